"""What reminders do, learned: on draws whose truth is known, and on the synthetic lender."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import LabelsConfig, RemindersConfig
from overdue_ml.errors import ConfigError, FeatureMismatchError, ModelError
from overdue_ml.features import build_features
from overdue_ml.labels import label_customers
from overdue_ml.metrics import compare_rankings
from overdue_ml.records import compute_next_due, load_records, simulate
from overdue_ml.reminders import UpliftLimits, cross_uplift, fit_uplift, rank_customers, room_of

FEW = UpliftLimits(min_rows=100, min_overdue=10)


def draw(n, seed=0):
    """A reminder takes 0.2 off where x is above 0, and nothing elsewhere; z says nothing."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    held = rng.random(n) < 0.5
    benefit = np.where(features["x"] > 0, 0.2, 0.0)
    overdue = rng.random(n) < 0.35 - benefit * ~held
    return features, np.where(held, "holdout", "treated"), overdue, benefit


@pytest.fixture(scope="module")
def rows():
    return draw(8000)


@pytest.mark.parametrize("learner", ["linear", "forest"])
def test_who_is_helped_is_found(rows, learner):
    """On other rows, the half with the larger benefit holds nearly all who are helped."""
    features, arm, overdue, _ = rows
    model = fit_uplift(features, arm, overdue, learner=learner)
    other, _, _, true = draw(4000, seed=1)
    found = model.predict(other)
    assert model.feature_names == ("x", "z")
    assert model.low <= 0.1 <= model.high
    assert found.mean() == pytest.approx(0.1, abs=0.025)
    first = np.argsort(-found)[:2000]
    assert true[first].mean() > 0.18
    # A line is too smooth for a step; a forest is not.
    if learner == "forest":
        assert found[other["x"] > 0.2].mean() == pytest.approx(0.2, abs=0.04)
        assert found[other["x"] < -0.2].mean() == pytest.approx(0.0, abs=0.04)


def test_the_same_rows_and_seed_give_the_same_bits(rows):
    features, arm, overdue, _ = (part[:3000] for part in rows)
    for learner in ("linear", "forest"):
        first, second, other = (
            fit_uplift(features, arm, overdue, learner=learner, seed=seed, limits=FEW).predict(features)
            for seed in (0, 0, 1)
        )
        assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()


def test_columns_by_name_and_missing_ones_are_medians(rows):
    features, arm, overdue, _ = (part[:3000] for part in rows)
    gappy = features.assign(x=features["x"].where(np.arange(3000) % 10 > 0), empty=np.nan)
    model = fit_uplift(gappy, arm, overdue, limits=FEW)
    whole = model.predict(gappy.assign(x=gappy["x"].fillna(gappy["x"].median())))
    assert model.predict(gappy[["empty", "z", "x"]].assign(more="text")).tolist() == whole.tolist()
    infinite = gappy.assign(x=gappy["x"].fillna(np.inf))
    assert model.predict(infinite).tolist() == whole.tolist()
    assert model.predict(gappy.iloc[:0]).shape == (0,)
    with pytest.raises(FeatureMismatchError, match="'z' is missing"):
        model.predict(gappy[["x"]])


def test_rows_of_a_customer_stay_together(rows):
    """Every row thrice is no more history: the interval stays as wide, and a customer's own rows are never
    those that the benefit is learned from."""
    features, arm, overdue, _ = (part[:2000] for part in rows)
    once = fit_uplift(features, arm, overdue, limits=FEW)
    owner = np.arange(2000)
    thrice = fit_uplift(
        pd.concat([features] * 3), [*arm] * 3, [*overdue] * 3, customers=[*owner] * 3, limits=FEW
    )
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    # Outcomes that are noise: benefits of rows that were learned from follow them, crossed ones do not.
    rng = np.random.default_rng(2)
    noise = rng.random(2000) < 0.3
    dummies = pd.DataFrame(rng.normal(size=(2000, 30)), columns=[f"f{i}" for i in range(30)])
    signal = np.where(arm == "holdout", 1, -1) * (noise - 0.3)
    own = fit_uplift(dummies, arm, noise, limits=FEW).predict(dummies)
    crossed = cross_uplift(dummies, arm, noise, owner, limits=FEW)
    assert np.corrcoef(own, signal)[0, 1] > 0.1
    assert abs(np.corrcoef(crossed, signal)[0, 1]) < 0.06


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"arm": ["treated"] * 200}, ModelError, "the arm holdout has 0 rows"),
        ({"is_overdue": [False] * 200}, ModelError, "0 of them overdue"),
        ({"arm": ["x"] * 200}, ConfigError, "in no arm"),
        ({"is_overdue": [None] * 200}, ConfigError, "an outcome is missing"),
        ({"is_overdue": [True]}, ConfigError, "not of the same rows"),
        ({"features": pd.DataFrame(index=range(200))}, ConfigError, "not of the same rows"),
        ({"features": pd.DataFrame({"word": ["a"] * 200})}, ConfigError, "'word' holds no numbers"),
        ({"learner": "deep"}, ConfigError, "no learner 'deep'"),
    ],
)
def test_what_is_no_history_is_refused(change, kind, said):
    features, arm, overdue, _ = draw(200)
    given = {"features": features, "arm": arm, "is_overdue": overdue, "limits": FEW} | change
    with pytest.raises(kind, match=said):
        fit_uplift(**given)


def test_enough_for_a_rate_is_not_enough_for_a_ranking(rows):
    features, arm, overdue, _ = (part[:4000] for part in rows)
    with pytest.raises(ModelError, match="at least 2,500 and 300 in each arm"):
        fit_uplift(features, arm, overdue)


def test_without_econml_one_sentence_says_so(rows, monkeypatch):
    features, arm, overdue, _ = rows
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "overdue_ml.reminders.uplift.find_spec", lambda name: None if name == "econml" else real(name)
    )
    with pytest.raises(ConfigError, match="extra 'uplift'"):
        fit_uplift(features, arm, overdue)


def test_the_first_of_a_list_by_hand():
    """Of four rows, the first two of the order: held out 10 of 10 overdue, treated 0 of 30: 1 x 40 saved.

    Of all, held out 10 of 30, treated 20 of 50: (1/3 - 2/5) x 80 = -5.33. The other order begins with 20 held
    out, not overdue, and 20 treated, overdue: -1 x 40.
    """
    hit, held = [1, 0, 0, 1], [1, 0, 1, 0]
    due = [10.0, 30.0, 20.0, 20.0]
    table = compare_rankings(
        {"risk": [4, 3, 2, 1], "benefit": [1, 2, 3, 4]}, hit, held, due, tops=[0.5, 1.0], n_boot=20
    )
    assert table["rows"].tolist() == [2, 4, 2, 4]
    assert table["saved"].tolist() == pytest.approx([40.0, -16 / 3, -40.0, -16 / 3])
    assert table["gain"].tolist() == pytest.approx([0.0, 0.0, -80.0, 0.0])
    assert table.loc[[0, 1, 3], ["gain_low", "gain_high"]].to_numpy().tolist() == [[0.0, 0.0]] * 3
    alone = compare_rankings({"risk": [4, 3, 2, 1]}, hit, held, due, tops=[0.25])
    assert alone[["saved", "low", "gain"]].isna().all(axis=None)
    with pytest.raises(ValueError, match="tops"):
        compare_rankings({"risk": [4, 3, 2, 1]}, hit, held, due, tops=[0.0])


@pytest.fixture(scope="module")
def lender():
    """Eligible customers of six months: what was known of them, the coin, the outcome, the truth."""
    tables = simulate(6000, seed=8, months=14)
    truth = tables.pop("truth").to_pandas()
    records = load_records(tables)
    days = sorted(set(truth["as_of_date"]))[7:13]
    made = tables["contacts"].to_pandas()[["customer_id", "contacted_on", "arm"]]
    month = pd.to_datetime(made["contacted_on"]).dt.to_period("M").dt.start_time
    made["as_of_date"] = (month - pd.Timedelta(days=1)).dt.date
    names = ["repay_instalment_dpd_max_30d", "borrow_utilisation_latest", "due_loans_count_max_all"]
    known = build_features(records, days, names).reset_index()
    known["as_of_date"] = pd.to_datetime(known["as_of_date"]).dt.date
    due = pd.concat(
        [compute_next_due(records, day).reset_index().assign(as_of_date=day)[
            ["customer_id", "as_of_date", "next_due_date", "due_amount"]
        ] for day in days]
    )  # fmt: skip
    labels = label_customers(records, days, LabelsConfig(source="instalments", grace_days=3)).reset_index()
    labels["as_of_date"] = pd.to_datetime(labels["as_of_date"]).dt.date
    keys = ["customer_id", "as_of_date"]
    rows = made.merge(known, on=keys).merge(due, on=keys).merge(truth, on=keys).merge(labels, on=keys)
    return rows[rows["due_amount"] > 0].sort_values(keys, ignore_index=True)


def risk_of(history, rows):
    """A plain model of the risk from three features, fitted on those who were held out."""
    from sklearn.linear_model import LogisticRegression

    names = ["repay_instalment_dpd_max_30d", "borrow_utilisation_latest", "due_loans_count_max_all"]
    held = history[history["arm"] == "holdout"]
    model = LogisticRegression().fit(held[names].fillna(0.0).clip(upper=30), held["is_overdue"])
    return model.predict_proba(rows[names].fillna(0.0).clip(upper=30))[:, 1]


def test_the_lenders_benefits_are_found_as_far_as_tables_tell(lender):
    """Fixed seed, true response: a reminder takes 1 off the log-odds of those who are forgetful, and nobody
    knows who is. Ranked by benefit, the first tenth save much more than by lot and about as much as ranked by
    risk; those who knew the forgetful would save far more. The table is printed by benchmarks/uplift.py.
    """
    days = sorted(set(lender["as_of_date"]))
    past = lender["as_of_date"].isin(days[:4]).to_numpy()
    history, today = lender[past].reset_index(drop=True), lender[~past].reset_index(drop=True)
    model = fit_uplift(
        pd.DataFrame({"room": room_of(risk_of(history, history))}),
        history["arm"], history["is_overdue"], customers=history["customer_id"], limits=FEW,
    )  # fmt: skip
    true = (today["p_if_not_reminded"] - today["p_if_reminded"]).to_numpy()
    told = float((history["p_if_not_reminded"] - history["p_if_reminded"]).mean())
    assert model.low <= told <= model.high
    risk, due = risk_of(history, today), today["due_amount"].to_numpy()
    benefit = model.predict(pd.DataFrame({"room": room_of(risk)}))
    assert np.corrcoef(benefit, true)[0, 1] > 0.15
    keys = {"lot": np.random.default_rng(0).random(len(due)), "risk": risk * due, "benefit": benefit * due}
    keys["known"] = true * due
    first = len(due) // 10
    saved = {name: (true * due)[np.argsort(-key)[:first]].sum() for name, key in keys.items()}
    whole = (true * due).sum()
    assert saved["benefit"] > 2 * saved["lot"]
    assert saved["benefit"] >= 0.95 * saved["risk"]
    assert saved["known"] > 1.5 * saved["benefit"]
    assert saved["known"] < whole


def test_a_list_is_ranked_by_benefit_and_amount(lender):
    """The column ``benefit`` of the scores is all that the policy asks for."""
    day = max(lender["as_of_date"])
    today = lender[lender["as_of_date"] == day].head(200).reset_index(drop=True)
    scores = today.assign(
        log_odds=0.0,
        tier="high",
        p_overdue=0.5,
        exposure_amount=1.0,
        benefit=np.linspace(0.0, 0.1, len(today)),
    )
    listed = rank_customers(scores, RemindersConfig(rank_by="expected_benefit", lead_days=31)).reminders
    by_hand = scores.assign(key=scores["benefit"] * scores["due_amount"])
    by_hand = by_hand[by_hand["customer_id"].isin(listed["customer_id"])]
    order = by_hand.sort_values(["key", "customer_id"], ascending=[False, True])["customer_id"]
    assert listed["customer_id"].tolist() == order.tolist()
    assert len(listed) > 100


def test_room_is_where_something_can_be_moved():
    assert room_of([0.0, 0.1, 0.5, 1.0]).tolist() == pytest.approx([0.0, 0.09, 0.25, 0.0])
