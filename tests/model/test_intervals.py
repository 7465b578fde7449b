"""The interval of each customer: it holds the probability, costs no prediction, and survives the bundle."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from overdue_ml.errors import ModelError
from overdue_ml.model import load_bundle, save_bundle
from overdue_ml.model.calibration import KINDS
from overdue_ml.model.interval import ScoreBand, fit_band


@pytest.mark.parametrize("calibration", KINDS)
def test_it_holds_the_probability(small, book, calibration):
    features, y, groups = book
    model = small(calibration=calibration, n_estimators=30).fit(features, y, groups=groups)
    low, high = model.predict_interval(features).T
    p = model.predict_proba(features)[:, 1]
    assert ((low <= p) & (p <= high)).all()
    assert ((low >= 0) & (high <= 1) & (low < high)).all()
    bounds = model.interval_.bounds(model.decision_function(features))
    np.testing.assert_array_equal(low, np.minimum(bounds[0], p))
    np.testing.assert_array_equal(high, np.maximum(bounds[1], p))


def test_it_holds_the_rate_about_as_often_as_it_says():
    """Scores whose true probability is known: a 95 % band that smooths may hold it a little less often."""
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        z = rng.normal(scale=1.2, size=4000) - 1.5
        truth = 1 / (1 + np.exp(-z))
        low, high = fit_band(z[:3000], (rng.random(3000) < truth[:3000]).astype(float)).bounds(z[3000:])
        held.append(((low <= truth[3000:]) & (truth[3000:] <= high)).mean())
    assert 0.88 < np.mean(held) < 0.98


def test_wilson_by_hand():
    # The middle one of 51 rows has all of them in its window of 25 on a side; the last 17 are overdue.
    z = np.arange(51.0)
    y = (z >= 34).astype(float)
    q, n, z95 = 1 / 3, 51, 1.959964
    middle, spread = q + z95**2 / (2 * n), z95 * np.sqrt(q * (1 - q) / n + z95**2 / (4 * n**2))
    low, high = fit_band(z, y).bounds(np.array([25.0]))
    assert low[0] == pytest.approx((middle - spread) / (1 + z95**2 / n), abs=1e-6)
    assert high[0] == pytest.approx((middle + spread) / (1 + z95**2 / n), abs=1e-6)


def test_it_never_falls_and_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(0)
    z, grid = rng.normal(size=700).round(1), np.linspace(-9, 9, 500)
    for y in (rng.integers(0, 2, 700).astype(float), (z < 0).astype(float), (z > 0).astype(float)):
        band = fit_band(z, y)
        low, high = band.bounds(grid)
        assert (np.diff(low) >= 0).all()
        assert (np.diff(high) >= 0).all()
        assert (low <= high).all()
        turned = rng.permutation(700)
        assert fit_band(z[turned], y[turned]) == band


def test_weights_make_fewer_rows_of_them():
    rng = np.random.default_rng(1)
    z, y = rng.normal(size=600), rng.integers(0, 2, 600).astype(float)
    weight = np.where(np.arange(600) % 2, 1.0, 0.0)
    assert fit_band(z, y, weight) == fit_band(z[1::2], y[1::2])
    doubled, plain = fit_band(z, y, np.full(600, 2.0)), fit_band(z, y)
    np.testing.assert_allclose(doubled.low, plain.low)


@pytest.mark.parametrize(
    "change",
    [
        {"x": []},
        {"low": [0.1]},
        {"low": [0.9, 0.95]},
        {"high": [0.5, 1.5]},
        {"x": [1.0, 0.0]},
        {"high": None},
    ],
)
def test_a_broken_band_is_refused(change):
    good = ScoreBand((0.0, 1.0), (0.1, 0.2), (0.3, 0.4)).to_dict()
    assert ScoreBand.from_dict(good).to_dict() == good
    with pytest.raises((TypeError, ValueError)):
        ScoreBand.from_dict(good | change)


def test_more_customers_make_it_narrower(small):
    rng = np.random.default_rng(0)
    widths = []
    for n in (200, 4000):
        X = rng.normal(size=(n, 2))
        y = (X[:, 0] + rng.normal(size=n) > 0).astype(int)
        model = small().fit(X, y)
        low, high = model.predict_interval(X).T
        widths.append(np.mean(high - low))
    assert widths[1] < widths[0] / 2


def test_unknown_levels_and_missing_values_have_one_too(small, book):
    features, y, groups = book
    model = small().fit(features, y, groups=groups)
    strange = features.head(2).astype({"product": "str"}).assign(product=["boat", None], dpd=np.nan)
    assert model.count_unknown_categories(strange) == {"product": 2}
    assert np.isfinite(model.predict_interval(strange)).all()
    assert model.predict_interval(features.head(1)).shape == (1, 2)


def test_a_model_without_held_out_rows_has_none(small):
    X = np.arange(20.0)[:, None]
    y = np.r_[np.zeros(19), 1]
    model = small(min_child_samples=1).fit(X, y)
    assert model.interval_ is None
    with pytest.raises(ModelError, match="no interval"):
        model.predict_interval(X)


def test_it_comes_back_to_the_bit(scoring_model, book, tmp_path):
    features = book[0]
    saved = save_bundle(scoring_model, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle", saved)
    assert loaded.classifier.interval_ == scoring_model.classifier.interval_
    now, then = (m.classifier.predict_interval(features) for m in (loaded, scoring_model))
    assert now.tobytes() == then.tobytes()
    assert save_bundle(loaded, tmp_path / "again") == saved


def test_a_bundle_from_before_intervals_still_loads(scoring_model, tmp_path, book):
    save_bundle(dataclasses.replace(scoring_model), tmp_path)
    path = tmp_path / "model.json"
    payload = json.loads(path.read_text(encoding="utf-8"))
    del payload["interval"]
    path.write_text(json.dumps(payload), encoding="utf-8")
    loaded = load_bundle(tmp_path)
    np.testing.assert_array_equal(
        loaded.classifier.predict_proba(book[0]), scoring_model.classifier.predict_proba(book[0])
    )
    with pytest.raises(ModelError, match="no interval"):
        loaded.classifier.predict_interval(book[0])
