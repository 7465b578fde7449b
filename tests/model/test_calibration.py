import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from overdue_ml.errors import ModelError
from overdue_ml.model.calibration import (
    BetaCalibrator,
    IsotonicCalibrator,
    PlattCalibrator,
    calibrator_from_dict,
    fit_calibrator,
)

KINDS = ("platt", "beta", "isotonic", "none")


def sample(n=400, seed=0, slope=0.4, shift=-1.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2.0, size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(-(slope * z + shift)))).astype(float)
    return z, y


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(
    rows=st.lists(st.tuples(st.floats(-30, 30), st.booleans()), min_size=2, max_size=40),
    seen_later=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
)
def test_never_turns_the_ranking_round(kind, rows, seen_later):
    z, y = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    y[0], y[1] = 0.0, 1.0
    p = fit_calibrator(kind, z, y).predict(np.sort(np.array(seen_later)))
    assert ((p >= 0) & (p <= 1)).all()
    assert (np.diff(p) >= -1e-15).all()


@pytest.mark.parametrize("kind", KINDS)
def test_json_round_trip_is_exact(kind):
    z, y = sample()
    fitted = fit_calibrator(kind, z, y)
    restored = calibrator_from_dict(json.loads(json.dumps(fitted.to_dict())))
    assert restored == fitted
    grid = np.linspace(-50, 50, 1001)
    assert restored.predict(grid).tobytes() == fitted.predict(grid).tobytes()


@pytest.mark.parametrize("weighted", [False, True])
def test_platt_agrees_with_scikit_learn(weighted):
    z, y = sample()
    weight = np.random.default_rng(1).integers(1, 4, len(y)).astype(float) if weighted else None
    fitted = fit_calibrator("platt", z, y, weight)
    # A target t of Platt's is t of a positive row and 1 - t of a negative one.
    n_pos = y.sum()
    t = np.where(y > 0, (n_pos + 1) / (n_pos + 2), 1 / (len(y) - n_pos + 2))
    both = np.concatenate([t, 1 - t]) * (1.0 if weight is None else np.tile(weight, 2))
    theirs = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(
        np.tile(z, 2)[:, None], np.repeat([1, 0], len(z)), sample_weight=both
    )
    assert fitted.slope == pytest.approx(theirs.coef_[0, 0], abs=1e-4)
    assert fitted.intercept == pytest.approx(theirs.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("kind", ["platt", "beta", "isotonic"])
def test_mends_an_overconfident_score(kind):
    z, y = sample(n=2000)
    fresh_z, fresh_y = sample(n=2000, seed=1)
    raw = log_loss(fresh_y, fit_calibrator("none", z, y).predict(fresh_z))
    mended = log_loss(fresh_y, np.clip(fit_calibrator(kind, z, y).predict(fresh_z), 1e-6, 1 - 1e-6))
    assert mended < raw - 0.05


def test_weights_are_counts():
    z, y = sample()
    weight = np.random.default_rng(2).integers(1, 4, len(y))
    for kind in ("beta", "isotonic"):
        weighted = fit_calibrator(kind, z, y, weight.astype(float)).predict(z)
        repeated = fit_calibrator(kind, z.repeat(weight), y.repeat(weight)).predict(z)
        np.testing.assert_allclose(weighted, repeated, atol=1e-4)


def test_isotonic_shares_ties():
    z = np.array([1.0, 1.0, 1.0, 2.0, 2.0])
    fitted = fit_calibrator("isotonic", z, np.array([0.0, 1.0, 0.0, 1.0, 1.0]))
    np.testing.assert_allclose(
        fitted.predict(np.array([0.0, 1.0, 1.5, 2.0, 9.0])), [1 / 3, 1 / 3, 2 / 3, 1, 1]
    )


def test_isotonic_on_one_score_is_the_mean():
    fitted = fit_calibrator("isotonic", np.zeros(4), np.array([0.0, 0.0, 0.0, 1.0]))
    np.testing.assert_allclose(fitted.predict(np.array([-5.0, 0.0, 5.0])), 0.25)


@pytest.mark.parametrize("kind", ["platt", "beta", "isotonic"])
@pytest.mark.parametrize("turned", [False, True])
def test_separable_and_reversed_samples_stay_finite(kind, turned):
    z = np.linspace(-5, 5, 50)
    fitted = fit_calibrator(kind, z, (z > 0).astype(float) if not turned else (z < 0).astype(float))
    p = fitted.predict(np.array([-1e6, -5.0, 0.0, 5.0, 1e6]))
    assert np.isfinite(p).all()
    assert all(np.isfinite(v) for k, v in fitted.to_dict().items() if isinstance(v, float))
    json.dumps(fitted.to_dict(), allow_nan=False)
    if turned:
        # A score that ranks the wrong way round is flattened, never turned.
        assert p[-1] - p[0] < 1.0 + 1e-12
        assert (np.diff(p) >= 0).all()


@pytest.mark.parametrize("z", [1e3, 1e6, 1e300])
def test_beta_takes_any_log_odds(z):
    p = BetaCalibrator(a=0.7, b=1.3, c=-0.2).predict(np.array([-z, 0.0, z]))
    assert np.isfinite(p).all()
    assert p[0] < 1e-300
    assert p[2] == 1.0


def test_beta_with_equal_slopes_is_platt():
    z = np.linspace(-20, 20, 41)
    np.testing.assert_allclose(
        BetaCalibrator(1.7, 1.7, 0.3).predict(z), PlattCalibrator(1.7, 0.3).predict(z), rtol=1e-12
    )


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"calibration must be one of .*'sigmoid'"):
        fit_calibrator("sigmoid", np.zeros(2), np.array([0.0, 1.0]))


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "sigmoid"},
        {"kind": "platt", "slope": 1.0},
        {"kind": "beta", "a": "x", "b": 1, "c": 1},
        {"kind": "isotonic", "x": 1.0, "y": [0.0]},
        {"kind": "isotonic", "x": [None], "y": [0.0]},
    ],
)
def test_broken_json_is_a_model_error(data):
    with pytest.raises(ModelError):
        calibrator_from_dict(data)


def test_isotonic_is_what_it_was_given():
    fitted = IsotonicCalibrator((0.0, 1.0), (0.0, 1.0))
    np.testing.assert_allclose(fitted.predict(np.array([-1.0, 0.25, 2.0])), [0.0, 0.25, 1.0])
