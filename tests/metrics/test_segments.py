"""Segments: the same figures as on the part alone, and none where a part is too small."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from overdue_ml.metrics import (
    OTHER,
    UNKNOWN,
    SmallGroups,
    compute_auc,
    compute_ece,
    evaluate_segments,
    pool_small,
)

RNG = np.random.default_rng(3)
N = 1200
P = RNG.beta(1, 3, N)
Y = (RNG.random(N) < P).astype(int)
OWNER = np.repeat(np.arange(N // 2), 2)
SEGMENT = np.array(["card"] * 600 + ["loan"] * 450 + ["lease"] * 145 + ["x"] * 3 + ["y"] * 2)


def test_each_segment_has_the_figures_of_its_rows():
    table = evaluate_segments(Y, P, SEGMENT, groups=OWNER, n_boot=30).set_index("segment")
    assert list(table.index) == ["card", "lease", "loan", OTHER] or OTHER in table.index
    for name in ("card", "loan"):
        here = name == SEGMENT
        assert table.loc[name, "n"] == here.sum()
        assert table.loc[name, "overdue_rate"] == Y[here].mean()
        assert table.loc[name, "mean_p"] == pytest.approx(P[here].mean())
        assert table.loc[name, "auc"] == compute_auc(Y[here], P[here])
        assert table.loc[name, "ece"] == compute_ece(Y[here], P[here])
        assert table.loc[name, "auc_low"] < table.loc[name, "auc"] < table.loc[name, "auc_high"]


def test_small_segments_have_a_count_and_nothing_else():
    limits = SmallGroups(min_rows=500, min_overdue=10)
    table = evaluate_segments(Y, P, SEGMENT, limits=limits).set_index("segment")
    assert not table.loc["card", "too_few"]
    loan = table.loc["loan"]
    assert loan["too_few"]
    assert loan["n"] == 450
    assert loan.drop(["n", "too_few"]).isna().all()


@pytest.mark.parametrize("overdue", [9, 191])
def test_few_of_either_class_are_too_few(overdue):
    y = np.r_[np.ones(overdue), np.zeros(200 - overdue)].astype(int)
    table = evaluate_segments(y, np.linspace(0, 1, 200), ["a"] * 200)
    assert table["too_few"].tolist() == [True]
    assert np.isnan(table["auc"].iloc[0])


def test_the_order_of_the_rows_changes_nothing():
    mixed = RNG.permutation(N)
    straight = evaluate_segments(Y, P, SEGMENT, groups=OWNER, n_boot=20)
    assert straight.equals(
        evaluate_segments(Y[mixed], P[mixed], SEGMENT[mixed], None, OWNER[mixed], None, 20)
    )


def test_tiny_levels_are_pooled_until_they_cannot_be_told_apart():
    # 3 + 2 are still under ten, so the next smallest joins them.
    pooled = pool_small(SEGMENT).value_counts().to_dict()
    assert pooled == {"card": 600, "loan": 450, OTHER: 150}
    # 11 and 12 alone are large enough; nothing is pooled.
    assert set(pool_small(["a"] * 11 + ["b"] * 12)) == {"a", "b"}
    # Everything is small: one group is left.
    assert set(pool_small(["a"] * 4 + ["b"] * 3)) == {OTHER}


def test_missing_levels_are_a_group_and_bands_keep_their_order():
    bands = pd.Categorical.from_codes([1] * 20 + [0] * 20 + [-1] * 20, pd.Index(["z low", "a high"]))
    assert list(pool_small(bands).categories) == ["z low", "a high", UNKNOWN]
    named = pool_small([OTHER] * 30 + ["b"] * 30 + ["c"] * 10 + ["d"] * 2)
    assert named.value_counts().to_dict() == {f"{OTHER} ": 30, "b": 30, OTHER: 12}


def test_a_segment_of_one_customer_has_no_interval():
    y, p = np.array([0, 1] * 60), np.linspace(0, 1, 120)
    row = evaluate_segments(y, p, ["a"] * 120, groups=["c1"] * 120, n_boot=5).iloc[0]
    assert row["auc"] == compute_auc(y, p)
    assert np.isnan(row["auc_low"])


@pytest.mark.parametrize(("rows", "overdue"), [(9, 10), (100, 0), (True, 10)])
def test_limits_that_would_show_customers_are_refused(rows, overdue):
    with pytest.raises(ValueError, match="at least"):
        SmallGroups(rows, overdue)


def test_levels_are_counted_in_customers_and_are_not_a_list_of_names():
    # Level b has twelve rows of one customer: it could point at them.
    labels, customers = ["a"] * 40 + ["b"] * 12, [*range(40), *["x"] * 12]
    assert set(pool_small(labels)) == {"a", "b"}
    assert set(pool_small(labels, customers)) == {OTHER}
    # Of three levels the two largest are kept; (other) has the third.
    labels = ["a"] * 30 + ["b"] * 20 + ["c"] * 15
    assert pool_small(labels, max_levels=2).value_counts().to_dict() == {"a": 30, "b": 20, OTHER: 15}
    # Two small levels of the same nine customers are nine, not eighteen: the next level joins them.
    labels = ["a"] * 30 + ["b"] * 20 + ["c"] * 9 + ["d"] * 9
    shared = [*range(50), *range(100, 109), *range(100, 109)]
    assert pool_small(labels, shared).value_counts().to_dict() == {"a": 30, OTHER: 38}
