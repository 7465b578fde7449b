"""The fairness report: hand-worked rates, intervals by customer, and silence about small groups."""

from __future__ import annotations

import numpy as np
import pytest

from overdue_ml.metrics import SmallGroups, compare_groups
from overdue_ml.metrics.calibration import wilson_interval

# Group a: 40 overdue, of which 30 selected; 60 others, of which 15 selected.
# Group b: 20 overdue, of which 10 selected; 80 others, of which 8 selected.
Y = np.array([1] * 40 + [0] * 60 + [1] * 20 + [0] * 80)
CHOSEN = np.array([1] * 30 + [0] * 10 + [1] * 15 + [0] * 45 + [1] * 10 + [0] * 10 + [1] * 8 + [0] * 72)
GROUP = np.array(["a"] * 100 + ["b"] * 100)
P = np.where(CHOSEN == 1, 0.5, 0.1)


def test_rates_worked_by_hand():
    table = compare_groups(Y, P, CHOSEN, GROUP).set_index("group")
    rates = table[["selected_rate", "tpr_rate", "fpr_rate", "overdue_rate"]]
    assert rates.loc["a"].tolist() == [0.45, 0.75, 0.25, 0.40]
    assert rates.loc["b"].tolist() == [0.18, 0.50, 0.10, 0.20]
    # 45 x 0.5 + 55 x 0.1 = 28 of 100.
    assert table.loc["a", "mean_p"] == pytest.approx(0.28)
    assert table.loc["a", ["n", "n_overdue"]].tolist() == [100, 40]
    low, high = wilson_interval(np.array([30.0]), np.array([40.0]))
    assert table.loc["a", ["tpr_low", "tpr_high"]].tolist() == [low[0], high[0]]


def test_rows_of_one_customer_do_not_narrow_the_interval():
    once = compare_groups(Y, P, CHOSEN, GROUP)
    twice = compare_groups(
        *(np.repeat(part, 2) for part in (Y, P, CHOSEN, GROUP)), np.repeat(np.arange(200), 2)
    )
    ends = [f"{name}_{end}" for name in ("selected", "tpr", "fpr", "overdue") for end in ("low", "high")]
    assert np.allclose(once[ends], twice[ends])
    rows = compare_groups(*(np.repeat(part, 2) for part in (Y, P, CHOSEN, GROUP)))
    assert (rows["tpr_high"] - rows["tpr_low"] < once["tpr_high"] - once["tpr_low"]).all()


def test_small_groups_are_suppressed():
    limits = SmallGroups(min_rows=100, min_overdue=25)
    table = compare_groups(Y, P, CHOSEN, GROUP, limits=limits).set_index("group")
    assert not table.loc["a", "too_few"]
    assert table.loc["b", "too_few"]
    assert table.loc["b"].drop(["n", "too_few"]).isna().all()


def test_the_order_of_the_rows_changes_nothing():
    mixed = np.random.default_rng(0).permutation(200)
    straight = compare_groups(Y, P, CHOSEN, GROUP)
    assert straight.equals(compare_groups(Y[mixed], P[mixed], CHOSEN[mixed], GROUP[mixed]))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="selected must hold"):
        compare_groups(Y, P, CHOSEN * 2, GROUP)
    with pytest.raises(ValueError, match="inconsistent"):
        compare_groups(Y, P, CHOSEN, GROUP[:-1])
