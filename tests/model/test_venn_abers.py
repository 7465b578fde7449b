"""Venn-Abers: the steps against isotonic regression with the row added, and what they promise."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from overdue_ml.errors import ModelError
from overdue_ml.model.calibration import calibrator_from_dict
from overdue_ml.model.venn_abers import VennAbersCalibrator, fit_venn_abers


def added(z, y, weight, score, label):
    """By definition: isotonic regression with the row (score, label) added, read at the score."""
    model = IsotonicRegression().fit(
        np.append(z, score), np.append(y, label), sample_weight=np.append(weight, 1.0)
    )
    return float(model.predict([score])[0])


def test_by_hand():
    # Scores 1, 2, 3 with labels 0, 1, 0. At 2, one more overdue row: 0 | (1 + 1 + 0) / 3 = 2/3.
    # One more on-time row: 0 | (1 + 0 + 0) / 3 = 1/3. Together 2/3 / (1 - 1/3 + 2/3) = 1/2.
    fitted = fit_venn_abers(np.array([1.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0]))
    low, high = fitted.bounds(np.array([2.0]))
    assert (low[0], high[0]) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert fitted.predict(np.array([2.0]))[0] == pytest.approx(0.5)
    # Above all scores nothing speaks against an overdue row, below all of them against an on-time one.
    # At 9: on time gives (1 + 0 + 0) / 3; at 0: overdue gives (1 + 0) / 2, then (1 + 0) / 2.
    low, high = fitted.bounds(np.array([0.0, 9.0]))
    np.testing.assert_allclose(low, [0.0, 1 / 3])
    np.testing.assert_allclose(high, [1 / 2, 1.0])


@settings(deadline=None, max_examples=150)
@given(
    rows=st.lists(
        st.tuples(st.integers(-4, 4), st.booleans(), st.sampled_from([0.5, 1.0, 2.0])),
        min_size=1,
        max_size=25,
    ),
    asked=st.lists(st.sampled_from([k / 2 for k in range(-11, 12)]), min_size=1, max_size=8),
    weighted=st.booleans(),
)
def test_equals_isotonic_regression_with_the_row_added(rows, asked, weighted):
    z, y, weight = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    weight = weight if weighted else np.ones(len(z))
    fitted = fit_venn_abers(z, y, weight if weighted else None)
    low, high = fitted.bounds(np.array(asked))
    for score, p0, p1 in zip(asked, low, high, strict=True):
        assert p0 == pytest.approx(added(z, y, weight, score, 0.0), abs=1e-9)
        assert p1 == pytest.approx(added(z, y, weight, score, 1.0), abs=1e-9)
    p = fitted.predict(np.array(sorted(asked)))
    assert (np.diff(p) >= -1e-15).all()
    assert ((p > 0) & (p < 1)).all()


def test_the_order_of_the_rows_and_rows_of_no_weight_do_not_matter():
    rng = np.random.default_rng(0)
    z, y, weight = rng.normal(size=300), rng.integers(0, 2, 300).astype(float), rng.random(300)
    weight[::7] = 0.0
    turned = rng.permutation(300)
    fitted, kept = fit_venn_abers(z, y), weight > 0
    assert fit_venn_abers(z[turned], y[turned]) == fitted
    assert fit_venn_abers(z, y, weight) == fit_venn_abers(z[kept], y[kept], weight[kept])


def test_one_of_the_two_is_calibrated_on_new_rows():
    """The promise of the method: where the outcome picks the bound, the bound's mean is the rate."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(2000, 60))
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-3 * z + 2))).astype(float)
    # It holds over draws of the calibration rows, so that each of many draws predicts a few rows.
    bounds = [fit_venn_abers(a[:50], b[:50]).bounds(a[50:]) for a, b in zip(z, y, strict=True)]
    low, high = (np.array(bound) for bound in zip(*bounds, strict=True))
    outcome = y[:, 50:]
    picked = np.where(outcome == 1, high, low)
    edges = np.quantile(picked, [0, 0.25, 0.5, 0.75, 1])
    for a, b in pairwise(edges):
        part = (picked >= a) & (picked <= b)
        assert picked[part].mean() == pytest.approx(outcome[part].mean(), abs=0.02)


def test_json_is_small_and_exact():
    rng = np.random.default_rng(2)
    z = rng.normal(size=20_000)
    fitted = fit_venn_abers(z, (rng.random(20_000) < 1 / (1 + np.exp(-z))).astype(float))
    text = json.dumps(fitted.to_dict(), allow_nan=False)
    assert len(text) < 60_000
    restored = calibrator_from_dict(json.loads(text))
    assert restored == fitted
    assert restored.predict(z).tobytes() == fitted.predict(z).tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"x0": [1.0, 0.0]},
        {"p0": [0.1]},
        {"p1": [0.5, 2.0]},
        {"p1": [0.5, 0.4]},
        {"x1": [0.0, float("inf")]},
        {"x1": None},
    ],
)
def test_broken_steps_are_a_model_error(change):
    good = VennAbersCalibrator((0.0, 1.0), (0.1, 0.2), (0.0, 1.0), (0.3, 0.5)).to_dict()
    assert calibrator_from_dict(good).kind == "venn_abers"
    with pytest.raises(ModelError):
        calibrator_from_dict(good | change)
