"""Plain models beside ours: weights of evidence by hand, ranks by hand, and nothing that is not finite."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from overdue_ml.errors import ModelError
from overdue_ml.model import LogisticChallenger, Rows, ScorecardChallenger, compare_challenger, comparison
from overdue_ml.model import challenger as module

KINDS = (ScorecardChallenger, LogisticChallenger)


@pytest.fixture(autouse=True)
def needs_optbinning():
    pytest.importorskip("optbinning")


def rows(n=600, seed=0, pull=0.0):
    """Numbers, a missing share and a category; ``pull`` is an interaction that plain models cannot see."""
    rng = np.random.default_rng(seed)
    dpd, income = rng.normal(size=n), rng.normal(size=n)
    product = rng.choice(["card", "lease", "loan"], n)
    z = dpd + (product == "loan") + pull * np.sign(dpd * income) - 0.5
    frame = pd.DataFrame(
        {
            "dpd": np.where(rng.random(n) < 0.2, np.nan, dpd),
            "income": income,
            "product": pd.Categorical(product),
            "noise": rng.normal(size=n),
        }
    )
    y = (rng.random(n) < 1 / (1 + np.exp(-2 * z))).astype(int)
    dates = pd.DatetimeIndex(["2024-01-31"] * n)
    return Rows(frame, y, pd.Index([f"c{i // 2}" for i in range(n)]), dates)


@pytest.mark.parametrize("kind", KINDS)
def test_it_ranks_and_its_probabilities_hold(kind):
    train, test = rows(), rows(seed=1)
    model = kind().fit(train.features, train.target)
    z, p = model.decision_function(test.features), model.predict_proba(test.features)
    wins = (z[test.target == 1][:, None] > z[test.target == 0]).mean()
    assert wins > 0.78
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert p[:, 1].mean() == pytest.approx(test.target.mean(), abs=0.05)
    assert (model.predict(test.features) == (z > 0)).all()
    assert clone(model).get_params() == model.get_params()


@pytest.mark.parametrize("kind", KINDS)
def test_missing_unknown_and_far_values_are_finite(kind):
    train = rows()
    model = kind().fit(train.features, train.target)
    strange = pd.DataFrame(
        {
            "dpd": [np.nan, 1e300, -1e300],
            "income": [np.nan, 0, 0],
            "product": ["boat", None, "loan"],
            "noise": 0.0,
        }
    )
    assert np.isfinite(model.decision_function(strange)).all()
    assert model.decision_function(train.features.head(1)).shape == (1,)


def test_a_missing_or_unknown_value_without_training_rows_is_average():
    train = rows()
    model = ScorecardChallenger(min_iv=0.0).fit(train.features[["income", "product"]], train.target)
    z = model.decision_function(pd.DataFrame({"income": [np.nan], "product": ["boat"]}))
    assert z[0] == pytest.approx(model.regression_.intercept_[0])


def test_weights_of_evidence_by_hand():
    # 200 rows of level a with 60 overdue, 200 of b with 20: 80 overdue and 320 on time in all.
    frame = pd.DataFrame({"level": ["a"] * 200 + ["b"] * 200})
    y = np.r_[np.ones(60), np.zeros(140), np.ones(20), np.zeros(180)].astype(int)
    model = ScorecardChallenger().fit(frame, y)
    (bins,) = model.bins_
    assert bins.woe[0] == pytest.approx(np.log((60.5 / 80.5) / (140.5 / 320.5)))
    assert bins.woe[1] == pytest.approx(np.log((20.5 / 80.5) / (180.5 / 320.5)))
    share = 60 / 80 - 140 / 320
    assert bins.iv == pytest.approx(share * (bins.woe[0] - bins.woe[1]))
    assert bins.woe_missing == 0.0


def test_bins_rise_or_fall_throughout_and_missing_is_one():
    train = rows(3000)
    model = ScorecardChallenger().fit(train.features, train.target)
    dpd = next(bins for bins in model.bins_ if bins.position == 0)
    assert len(dpd.splits) > 2
    assert (np.diff(dpd.woe) > 0).all()
    assert dpd.woe_missing != 0.0
    edge = dpd.splits[0]
    assert dpd.term(np.array([np.nextafter(edge, -9), edge])).tolist() == list(dpd.woe[:2])
    # Noise says nothing.
    assert 3 not in [bins.position for bins in model.bins_]


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_say_nothing(kind):
    train = rows()
    frame = pd.DataFrame({"constant": np.ones(600), "empty": np.full(600, np.nan)})
    z = kind().fit(frame, train.target).decision_function(frame)
    rate = train.target.mean()
    np.testing.assert_allclose(z, np.log(rate / (1 - rate)), atol=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_used(kind):
    train = rows()
    X, y = train.features, train.target
    for labels, message in (
        (np.ones(600), "two classes"),
        (y[:-1], "600 labels"),
        (np.arange(600) % 3, "two"),
    ):
        with pytest.raises(ValueError, match=message):
            kind().fit(X, labels)
    with pytest.raises(ValueError, match="missing"):
        kind().fit(X, np.where(y == 1, np.nan, 0.0))
    with pytest.raises(ValueError, match="infinity"):
        kind().fit(X.assign(dpd=np.inf), y)
    with pytest.raises(ValueError, match="order"):
        kind().fit(X, y).decision_function(X[X.columns[::-1]])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_no_weight_do_not_move_the_rate(kind):
    train = rows()
    weight = np.where(np.arange(600) < 300, 0.0, 1.0)
    X = train.features[["noise"]]
    p = kind().fit(X, np.where(weight == 0, 1, train.target), weight).predict_proba(X)[:, 1]
    assert p.mean() == pytest.approx(train.target[300:].mean(), abs=0.03)


def test_without_optbinning_the_extra_is_named(monkeypatch):
    train = rows()
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="extra 'scorecard'"):
        ScorecardChallenger().fit(train.features, train.target)
    LogisticChallenger().fit(train.features, train.target)


@pytest.mark.parametrize("kind", KINDS)
def test_a_blend_pays_where_the_challenger_knows_more(small, kind):
    train, test = rows(2000), rows(2000, seed=1)
    # Two trees know little; the plain models know all there is.
    weak = small(n_estimators=2).fit(train.features, train.target, groups=train.groups)
    found = compare_challenger(kind(), weak, train, test, n_boot=50)
    figures = {row["model"]: row for row in found["metrics"]}
    assert figures["challenger"]["log_loss"] < figures["served"]["log_loss"]
    assert found["blend_weight"] > 0.5
    assert found["blend_pays"] is True
    assert 0 < found["oof_gain_low"] <= found["oof_log_loss_gain"] <= found["oof_gain_high"]
    assert figures["blend"]["log_loss"] < figures["served"]["log_loss"]
    assert found["blend_served"] is False
    served = weak.decision_function(test.features)
    wins = (served[test.target == 1][:, None] > served[test.target == 0]).mean()
    ties = (served[test.target == 1][:, None] == served[test.target == 0]).mean()
    assert figures["served"]["auc"] == pytest.approx(wins + ties / 2)


def test_a_blend_does_not_pay_where_ours_knows_what_they_cannot(small):
    train, test = rows(3000, pull=2.0), rows(3000, seed=1, pull=2.0)
    ours = small(n_estimators=120).fit(train.features, train.target, groups=train.groups)
    found = compare_challenger(LogisticChallenger(), ours, train, test, n_boot=50)
    figures = {row["model"]: row for row in found["metrics"]}
    assert figures["served"]["auc"] > figures["challenger"]["auc"] + 0.02
    assert found["blend_weight"] < 0.5


def test_out_of_fold_means_that_no_customer_is_on_both_sides(small, monkeypatch):
    train, test = rows(), rows(seed=1)
    ours = small(cv=3).fit(train.features, train.target, groups=train.groups)
    fits = []

    class Spy(LogisticChallenger):
        def fit(self, X, y, sample_weight=None):
            fits.append(set(X["noise"]))
            return super().fit(X, y, sample_weight)

        def decision_function(self, X):
            fits.append(set(X["noise"]))
            return super().decision_function(X)

    compare_challenger(Spy(), ours, train, test, n_boot=0)
    customer = dict(zip(train.features["noise"], train.groups, strict=True))
    fitted, held_out = fits[2::2], fits[3::2]
    assert len(fitted) == 3
    for a, b in zip(fitted, held_out, strict=True):
        assert not {customer[x] for x in a} & {customer[x] for x in b}


def test_without_a_bootstrap_it_stays_open_and_without_folds_there_is_no_blend(small):
    train, test = rows(), rows(seed=1)
    ours = small().fit(train.features, train.target, groups=train.groups)
    assert compare_challenger(LogisticChallenger(), ours, train, test, n_boot=0)["blend_pays"] is None
    ours.out_of_fold_log_odds_ = None
    found = compare_challenger(LogisticChallenger(), ours, train, test)
    assert [row["model"] for row in found["metrics"]] == ["served", "challenger"]
    assert set(comparison.CHALLENGERS) == {"scorecard", "logistic"}
