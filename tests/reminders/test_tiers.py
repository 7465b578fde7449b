import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.config import ScoreConfig, TierRule
from overdue_ml.reminders import assign_tiers

RULES = [
    TierRule(tier="high", min_probability=0.5, min_amount=1000.0),
    TierRule(tier="medium", min_probability=0.2, min_amount=100.0),
    TierRule(tier="low", min_probability=0.0, min_amount=0.0),
]
BELOW = np.nextafter(0.5, 0.0)


@pytest.mark.parametrize(
    ("p", "amount", "tier"),
    [
        (0.5, 1000.0, "high"),
        (1.0, 1e9, "high"),
        (BELOW, 1000.0, "medium"),
        (0.5, np.nextafter(1000.0, 0.0), "medium"),
        (0.2, 100.0, "medium"),
        (np.nextafter(0.2, 0.0), 1e9, "low"),
        (1.0, np.nextafter(100.0, 0.0), "low"),
        (0.0, 0.0, "low"),
        (1.0, 0.0, "low"),
        (np.nan, 1000.0, "low"),
        (0.9, np.nan, "low"),
    ],
)
def test_both_conditions_must_be_reached(p, amount, tier):
    assert assign_tiers(np.array([p]), np.array([amount]), RULES).tolist() == [tier]


def test_first_rule_that_is_reached_counts():
    rules = [TierRule(tier="medium", min_probability=0.0, min_amount=0.0), *RULES]
    assert assign_tiers(np.array([0.9]), np.array([1e6]), rules).tolist() == ["medium"]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_risk_or_more_money_never_lowers_the_tier(p, more_p, amount, more_amount):
    order = ["low", "medium", "high"]
    p, more_p = sorted((p, more_p))
    amount, more_amount = sorted((amount, more_amount))
    low, high = assign_tiers(np.array([p, more_p]), np.array([amount, more_amount]), ScoreConfig().tiers)
    assert order.index(low) <= order.index(high)


def test_nobody_has_no_tier():
    assert assign_tiers(np.array([]), np.array([]), RULES).shape == (0,)
