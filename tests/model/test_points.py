import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.config import PointsConfig
from overdue_ml.model import compute_points

probability = st.floats(0.0, 1.0)


def test_600_points_at_fifty_to_one():
    np.testing.assert_allclose(compute_points(np.array([1 / 51])), [600.0])


@given(st.floats(-10, 10), st.floats(1.0, 100.0))
def test_pdo_points_double_the_odds(log_odds, pdo):
    odds = np.exp(log_odds)
    p = 1 / (1 + np.array([odds, 2 * odds]))
    low, high = compute_points(p, PointsConfig(pdo=pdo))
    assert high - low == pytest.approx(pdo, rel=1e-6)


def test_own_scale():
    points = compute_points(np.array([1 / 21]), PointsConfig(base=500.0, odds=20.0, pdo=40.0))
    np.testing.assert_allclose(points, [500.0])


@given(st.lists(probability, min_size=2, max_size=20))
def test_points_fall_as_risk_rises(p):
    points = compute_points(np.sort(np.array(p)))
    assert (np.diff(points) <= 0).all()


def test_certainty_is_finite():
    points = compute_points(np.array([0.0, 1.0, 5e-324, 1 - 1e-16]))
    assert np.isfinite(points).all()
    assert points[0] > 600 > points[1]


def test_no_customers_no_points():
    assert compute_points(np.array([])).shape == (0,)
