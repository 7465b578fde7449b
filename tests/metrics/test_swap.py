"""The swap set: ties shared out, parts that add up, and nothing told of a handful."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.metrics import capture_rate, select_top, swap_set


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40), st.sampled_from([0.05, 0.1, 0.3, 0.5, 1.0]))
def test_the_selection_adds_up_and_never_prefers_a_lower_score(scores, top):
    weight = select_top(np.array(scores, dtype=float), top)
    assert weight.sum() == pytest.approx(top * len(scores))
    assert (weight >= 0).all()
    assert (weight <= 1 + 1e-12).all()
    for value, share in zip(scores, weight, strict=True):
        assert share >= max((w for s, w in zip(scores, weight, strict=True) if s < value), default=0.0)


def test_the_selection_catches_what_the_capture_rate_says():
    rng = np.random.default_rng(1)
    score, y = rng.integers(0, 6, 300).astype(float), rng.integers(0, 2, 300)
    for top in (0.05, 0.1, 0.2, 0.37):
        assert (select_top(score, top) * y).sum() / y.sum() == pytest.approx(capture_rate(y, score, top))


def test_a_swap_worked_by_hand():
    # 100 rows; the old score takes rows 0-49, the new one rows 20-69. Overdue are rows 0-9 and 40-69.
    rows = np.arange(100)
    y = ((rows < 10) | ((rows >= 40) & (rows < 70))).astype(int)
    old, new = -rows.astype(float), np.where((rows >= 20) & (rows < 70), 1.0, 0.0)
    table = swap_set(y, old, new, top=0.5).set_index("part")
    assert table["n"].tolist() == [30, 20, 20, 30]
    assert table["n_overdue"].tolist() == [10, 20, 10, 0]
    assert table["overdue_rate"].tolist() == pytest.approx([1 / 3, 1.0, 0.5, 0.0])
    assert (table["rate_low"] <= table["overdue_rate"] + 1e-12).all()


def test_a_swap_of_a_handful_shows_counts_only():
    rows = np.arange(200)
    y, old = (rows % 2).astype(int), -rows.astype(float)
    new = old.copy()
    # Four rows change places over the cut at 100.
    new[[96, 97, 98, 99]], new[[100, 101, 102, 103]] = -1000.0, 1000.0
    table = swap_set(y, old, new, top=0.5)
    assert table["n"].tolist() == [96, 4, 4, 96]
    assert table[["n_overdue", "overdue_rate", "rate_low", "rate_high"]].isna().all(axis=None)


def test_the_same_score_swaps_nobody():
    score = np.arange(100.0)
    table = swap_set(np.arange(100) % 2, score, score, top=0.2).set_index("part")
    assert table["n"].tolist() == [20, 0, 0, 80]
    assert table.loc["both", "overdue_rate"] == 0.5
    assert np.isnan(table.loc["swapped_in", "overdue_rate"])


def test_lengths_and_shares_are_checked():
    with pytest.raises(ValueError, match="inconsistent"):
        swap_set([0, 1], [1.0, 2.0], [1.0], 0.5)
    with pytest.raises(ValueError, match="share in"):
        select_top([1.0], 0.0)
