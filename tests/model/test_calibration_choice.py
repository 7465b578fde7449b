"""Which calibrator is chosen: read on rows it was not fitted on, later in time where there are dates."""

from __future__ import annotations

import json

import numpy as np
import pytest

from overdue_ml.model import calibration_choice as module
from overdue_ml.model import choose_calibrator
from overdue_ml.model.calibration import KINDS, fit_calibrator


def sample(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2.0, size=n)
    return z, rng


def test_a_score_that_is_right_is_left_alone():
    z, rng = sample(20_000)
    y = (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(float)
    choice = choose_calibrator(z, y)
    losses = choice.candidates.set_index("kind")["log_loss"]
    assert list(losses.index) == list(KINDS)
    # What there is to learn is nothing; the calibrators with many steps pay for learning it.
    assert (losses[["none", "platt", "beta"]] < losses[["isotonic", "venn_abers"]].min()).all()
    assert choice.chosen in ("none", "platt", "beta")


def test_a_score_with_a_step_is_bent():
    z, rng = sample()
    y = (rng.random(len(z)) < np.where(z > 0, 0.6, 0.05)).astype(float)
    choice = choose_calibrator(z, y)
    assert choice.chosen in ("isotonic", "venn_abers")
    losses = choice.candidates.set_index("kind")["log_loss"]
    assert losses["venn_abers"] < losses["platt"] - 0.01
    assert choice.chosen == losses.idxmin()
    json.dumps(choice.to_dict(), allow_nan=False)


def test_dates_are_read_with_earlier_ones_only(monkeypatch):
    z, rng = sample(400)
    y = rng.integers(0, 2, 400).astype(float)
    dates = np.repeat(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"], 100)
    y[:100] = 0.0  # January alone holds one class: it cannot be fitted on
    seen = []

    def spy(kind, log_odds, target, weight):
        seen.append(len(log_odds))
        return fit_calibrator(kind, log_odds, target, weight)

    monkeypatch.setattr(module, "fit_calibrator", spy)
    choice = choose_calibrator(z, y, dates=dates)
    assert choice.scheme == "time"
    assert choice.n_rows == 200
    assert seen == [200, 300] * len(KINDS)
    # By hand: Platt fitted on January and February, read in March; fitted on all three, read in April.
    p = np.concatenate([fit_calibrator("platt", z[:n], y[:n]).predict(z[n : n + 100]) for n in (200, 300)])
    loss = -np.mean(np.where(y[200:] == 1, np.log(p), np.log1p(-p)))
    assert choice.candidates.set_index("kind")["log_loss"]["platt"] == pytest.approx(loss)


def test_the_order_of_the_rows_does_not_matter():
    z, rng = sample(300)
    y = (rng.random(300) < 0.3).astype(float)
    turned = rng.permutation(300)
    one, other = choose_calibrator(z, y), choose_calibrator(z[turned], y[turned])
    np.testing.assert_allclose(one.candidates["log_loss"], other.candidates["log_loss"], rtol=1e-9)
    assert one.chosen == other.chosen


def test_rows_of_no_weight_do_not_count():
    z, rng = sample(600)
    y = (rng.random(600) < 1 / (1 + np.exp(-z))).astype(float)
    weight = np.ones(600)
    spoilt = y.copy()
    weight[::3], spoilt[::3] = 0.0, 1 - y[::3]
    dates = np.repeat(["2024-01-31", "2024-02-29"], 300)
    base = choose_calibrator(z, y, dates=dates, sample_weight=weight).candidates["log_loss"]
    other = choose_calibrator(z, spoilt, dates=dates, sample_weight=weight).candidates["log_loss"]
    # Platt's targets count rows, whatever they weigh: they move a little.
    np.testing.assert_allclose(base, other, atol=2e-3)
    unweighted = choose_calibrator(z, spoilt, dates=dates).candidates["log_loss"]
    # Row 0 is no calibration, row 1 Platt's.
    assert (unweighted[:2] > other[:2] + 0.1).all()


def test_too_few_of_a_class_to_hold_any_out():
    with pytest.raises(ValueError, match="two held-out rows of each class"):
        choose_calibrator(np.arange(5.0), np.array([1.0, 0, 0, 0, 0]))


def test_the_classifier_takes_what_was_chosen(small, book):
    features, y, groups = book
    model = small(calibration="auto", n_estimators=20).fit(features, y, groups=groups)
    choice = model.calibration_choice_
    assert model.calibrator_.kind == choice.chosen
    assert choice.scheme == "cross_validation"
    assert choice.n_rows == len(y)
    same = small(calibration=choice.chosen, n_estimators=20).fit(features, y, groups=groups)
    np.testing.assert_array_equal(same.predict_proba(features), model.predict_proba(features))
    assert same.calibration_choice_ is None
    dated = small(calibration="auto").fit(features, y, dates=np.tile(["2024-01-31", "2024-02-29"], 150))
    assert dated.calibration_choice_.scheme == "time"
