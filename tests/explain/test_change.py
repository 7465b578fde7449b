"""Score change, worked out by hand for two customers, and exact for any two models."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.explain import Scores, load_wording, score_change, split_change
from overdue_ml.explain.change import EDGE
from overdue_ml.features import default_registry
from overdue_ml.model import OverdueClassifier, ScoringModel
from overdue_ml.model.calibration import PlattCalibrator

A, B = "repay_instalment_unpaid_amount_sum_all", "repay_instalment_dpd_latest"
INCOME = "income_amount_sum_90d"
IDS = pd.Index(["ANN", "BEN"], name="customer_id")


@pytest.fixture
def models(linear):
    """Of then: -2 + 0.01 A + 0.1 B, as it stands. Of now: -1 + 0.02 A - 0.001 I, and 2 z + 0.5."""
    then = linear.model({A: 0.01, B: 0.1})
    now = linear.model({A: 0.02, INCOME: -0.001}, base=-1.0, calibrator=PlattCalibrator(2.0, 0.5))
    return then, now


@pytest.fixture
def features():
    then = pd.DataFrame({A: [100.0, 0.0], B: [5.0, 0.0]}, index=IDS)
    now = pd.DataFrame({A: [50.0, 0.0], B: [10.0, 1.0], INCOME: [1000.0, 500.0]}, index=IDS)
    return then, now


def parts_of(table):
    return {(row["part"], row["reason_code"]): row["change"] for row in table.to_dict("records")}


def test_every_part_by_hand(models, features):
    """Ann then: -2 + 1 + 0.5 = -0.5. Now by the model of then: -2 + 0.5 + 1 = -0.5; by that of now
    -1 + 1 - 1 = -1, calibrated 2 * -1 + 0.5 = -1.5. So -0.5 becomes -1.5.
    """
    found = score_change(models[0], features[0], models[1], features[1])
    ann = parts_of(found.customer("ANN"))
    assert ann == {
        ("data", "INSTALMENT_UNPAID"): pytest.approx(-0.5),
        ("data", "INSTALMENT_DEPTH"): pytest.approx(0.5),
        ("data", "INCOME_LEVEL"): 0.0,
        ("model", "INSTALMENT_UNPAID"): pytest.approx(0.5),
        ("model", "INSTALMENT_DEPTH"): pytest.approx(-1.0),
        ("model", "INCOME_LEVEL"): pytest.approx(-1.0),
        ("base", ""): pytest.approx(1.0),
        ("calibration", ""): pytest.approx(-0.5),
    }
    assert sum(ann.values()) == pytest.approx(-1.0, abs=1e-9)
    assert found.total["ANN"] == pytest.approx(-1.0, abs=1e-9)
    assert found.p_now["ANN"] == pytest.approx(1 / (1 + np.exp(1.5)))


def test_the_book_is_the_mean_of_its_customers_by_tier(models, features):
    """Ben: -2, then by the model of then -1.9, by that of now -1.5, calibrated -2.5."""
    found = score_change(models[0], features[0], models[1], features[1])
    table = found.book(pd.Series({"ANN": "high", "BEN": "low"}))
    sums = table.groupby("tier")["change"].sum()
    assert sums.to_dict() == {
        "all": pytest.approx(-0.75, abs=1e-9),
        "high": pytest.approx(-1.0, abs=1e-9),
        "low": pytest.approx(-0.5, abs=1e-9),
    }
    assert table.groupby("tier")["n_customers"].first().to_dict() == {"all": 2, "high": 1, "low": 1}
    everybody = parts_of(table[table["tier"] == "all"])
    assert everybody[("data", "INSTALMENT_DEPTH")] == pytest.approx((0.5 + 0.1) / 2)
    assert everybody[("model", "INCOME_LEVEL")] == pytest.approx((-1.0 - 0.5) / 2)


def test_one_model_has_no_model_part_and_one_date_no_data_part(models, features):
    same = score_change(models[0], features[0], models[0], features[1])
    assert not same.model.to_numpy().any()
    assert same.base == 0
    assert same.calibration.abs().max() < 1e-12
    again = score_change(models[0], features[1], models[1], features[1])
    assert not again.data.to_numpy().any()


def test_only_those_who_were_scored_both_times(models, features):
    found = score_change(models[0], features[0], models[1], features[1].drop(index="BEN"))
    assert found.total.index.tolist() == ["ANN"]
    with pytest.raises(ConfigError, match="'BEN' was not scored both times"):
        found.customer("BEN")
    with pytest.raises(ModelError, match="nobody who was scored both times"):
        score_change(models[0], features[0], models[1], features[1].iloc[:0])
    with pytest.raises(ModelError, match=f"first '{B}'"):
        score_change(models[0], features[0], models[1], features[1].drop(columns=B))


def test_both_languages(models, features):
    found = score_change(models[0], features[0], models[1], features[1])
    en = found.sentences("ANN", load_wording("en"), "1 May", "1 June")
    assert en[0] == (
        "The calibrated probability went from 38 % (1 May) to 18 % (1 June): -1.00 in calibrated log-odds."
    )
    assert en[1] == (
        "Of this the data account for +0.00, the model for -1.50, its starting point for +1.00 and its "
        "calibration for -0.50."
    )
    zh = found.sentences("ANN", load_wording("zh"), "5月1日", "6月1日")
    assert zh[0] == "校准后的逾期概率由38%（5月1日）变为18%（6月1日）：校准后的对数几率变化-1.00。"
    assert len(en) == len(zh) == 7
    # What is too much to be told one by one is told as a sum.
    many = Scores(
        pd.DataFrame(np.full((1, 12), 0.0), IDS[:1], [f"R{i:02}" for i in range(12)]),
        0.0,
        pd.Series([0.0], IDS[:1]),
        pd.Series([0.5], IDS[:1]),
    )
    p = 1 / (1 + np.exp(-1.2))
    more = Scores(many.by_reason + 0.1, 0.0, pd.Series([1.2], IDS[:1]), pd.Series([p], IDS[:1]))
    told = split_change(many, more.by_reason, more).sentences("ANN", load_wording("en"), "then", "now")
    assert told[-2:] == ["R07: +0.10 through the data.", "All other reasons together: +0.40."]


def test_what_is_shown_adds_up():
    """+0.014, +0.014 and +0.012 make +0.04; each by itself would be +0.01."""
    empty = pd.DataFrame(index=IDS[:1])
    then = Scores(empty.assign(A=0.0), 0.0, pd.Series([0.0], IDS[:1]), pd.Series([0.5], IDS[:1]))
    data = then.by_reason + 0.014
    p = 1 / (1 + np.exp(-0.04))
    now = Scores(data + 0.014, 0.012, pd.Series([0.04], IDS[:1]), pd.Series([p], IDS[:1]))
    told = split_change(then, data, now).sentences("ANN", load_wording("en"), "then", "now")
    assert told[0].endswith("+0.04 in calibrated log-odds.")
    parts = [float(part) for part in re.findall(r"[+-]\d\.\d\d", told[1])]
    assert len(parts) == 4
    assert sum(parts) == pytest.approx(0.04, abs=1e-12)
    assert "-0.00" not in told[1]


def test_a_calibrator_that_says_nought_or_one_has_finite_parts():
    empty = pd.DataFrame(index=IDS)
    then = Scores(empty, 0.5, pd.Series([0.5, 0.5], IDS), pd.Series([0.0, 0.5], IDS))
    now = Scores(empty, 0.5, pd.Series([0.5, 0.5], IDS), pd.Series([1.0, 0.5], IDS))
    found = split_change(then, empty, now)
    assert found.total["ANN"] == pytest.approx(2 * np.log((1 - EDGE) / EDGE))
    assert found.total["BEN"] == 0


def test_parts_that_do_not_add_up_are_refused():
    by_reason = pd.DataFrame({"X": [0.1, 0.2]}, IDS)
    then = Scores(by_reason, 0.0, pd.Series([0.1, 0.2], IDS), pd.Series([0.5, 0.5], IDS))
    now = Scores(by_reason, 0.0, pd.Series([0.1, 0.2 + 1e-6], IDS), pd.Series([0.5, 0.5], IDS))
    with pytest.raises(ModelError, match="do not add up"):
        split_change(then, by_reason, now)


@settings(deadline=None, max_examples=8)
@given(
    seed=st.integers(0, 10_000),
    kinds=st.sampled_from([("platt", "beta"), ("isotonic", "platt"), ("none", "isotonic")]),
)
def test_trees_add_up_to_the_last_billionth(seed, kinds):
    rng = np.random.default_rng(seed)
    registry = default_registry()
    names = [A, B, INCOME, "repay_instalment_late_share_last6"]

    def model(columns, kind):
        X = pd.DataFrame(rng.normal(size=(120, len(columns))), columns=columns)
        y = (X[columns[0]] + rng.normal(size=120) > 0).astype(int)
        fitted = OverdueClassifier(
            n_estimators=8, learning_rate=0.3, min_child_samples=5, colsample_bytree=1.0, cv=2, n_jobs=1,
            calibration=kind,
        ).fit(X, y)  # fmt: skip
        return ScoringModel(
            fitted, "", {n: registry[n].reason for n in columns}, dict.fromkeys(columns, "count")
        )

    then, now = model(names[:3], kinds[0]), model(names[1:], kinds[1])
    index = [f"c{i}" for i in range(30)]
    old = pd.DataFrame(rng.normal(size=(30, 4)), index, names).where(rng.random((30, 4)) > 0.1)
    new = pd.DataFrame(rng.normal(size=(30, 4)), index, names).where(rng.random((30, 4)) > 0.1)
    found = score_change(then, old, now, new)
    for customer in index:
        assert abs(found.customer(customer)["change"].sum() - found.total[customer]) <= 1e-9
    p = now.classifier.predict_proba(new[names[1:]])[:, 1]
    assert (found.p_now.to_numpy() == p).all()
