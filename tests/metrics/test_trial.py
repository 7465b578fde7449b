"""Two arms: intervals by hand and by simulation, the sample ratio, and standardised differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.metrics import compare_arms, sample_ratio_p, standardised_difference


def arms(a, m, b, n):
    """``a`` of ``m`` held out and ``b`` of ``n`` treated were hit."""
    return [1] * a + [0] * (m - a) + [1] * b + [0] * (n - b), [1] * m + [0] * n


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        # Newcombe (1998), table II, method 10.
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0000),
        ((10, 10, 0, 10), 0.6075, 1.0000),
    ],
)
def test_the_intervals_of_the_paper(counts, low, high):
    found = compare_arms(*arms(*counts))
    assert (round(found.low, 4), round(found.high, 4)) == (low, high)
    assert found.value == pytest.approx(counts[0] / counts[1] - counts[2] / counts[3])


def test_rows_of_a_customer_are_not_independent():
    """Held out: customers a and b twice each, both times hit or not: two rows' worth.

    rate 1/2; residuals by customer are +1 and -1, their squares over 4^2 give 2/16, and 1/4 / (2/16) = 2.
    Treated: c once hit and once not, d the same: residuals 0, so Kish's number of rows, 4, is the limit.
    """
    hit = [1, 1, 0, 0, 1, 0, 1, 0]
    found = compare_arms(hit, [1] * 4 + [0] * 4, customers=list("aabbccdd"))
    assert (found.n_holdout, found.n_treated) == (2.0, 4.0)
    alone = compare_arms(hit, [1] * 4 + [0] * 4)
    assert found.value == alone.value == 0
    assert found.high > alone.high


def test_where_nothing_is_hit_rows_of_a_customer_count_as_one():
    found = compare_arms([0] * 8, [1] * 4 + [0] * 4, customers=list("aabbcdef"))
    assert (found.n_holdout, found.n_treated) == (2.0, 4.0)


def test_amounts_are_weights():
    """Held out: 300 of 400 are hit. Kish: 400^2 / (300^2 + 100^2) = 1.6; linearised: residuals 300 x 1/4 and
    -100 x 3/4, so 2 x 75^2 / 400^2 = 0.0703, and 3/16 / 0.0703 = 2.67: the smaller one counts."""
    found = compare_arms([1, 0, 0, 0], [1, 1, 0, 0], weight=[300, 100, 50, 50])
    assert (found.holdout, found.treated, found.value) == (0.75, 0.0, 0.75)
    assert (found.n_holdout, found.n_treated) == (pytest.approx(1.6), 2.0)


def test_rows_that_are_hit_in_part():
    """Held out: a half, a half, 0 and 0: a rate of 1/4. Whole hits at that rate have the variance 3/16, these
    1/8 - 1/16, a third of it: four rows are worth 12. Linearised 4 x 1/16 / 4^2 = 1/64: 3/16 x 64 = 12."""
    found = compare_arms([0.5, 0.5, 0, 0, 1, 0], [1, 1, 1, 1, 0, 0])
    assert (found.holdout, found.treated, found.value) == (0.25, 0.5, -0.25)
    assert (found.n_holdout, found.n_treated) == (pytest.approx(12.0), 2.0)
    # Everything hit by half: nothing varies, and the rows are what they are.
    same = compare_arms([0.5] * 4, [1, 1, 0, 0])
    assert (same.value, same.n_holdout) == (0.0, 2.0)


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 50)), min_size=4, max_size=40).filter(
        lambda rows: len({held for _, held, _ in rows}) == 2
    )
)
def test_the_interval_holds_the_value_and_turns_round_with_the_arms(rows):
    hit, held, weight = (np.array(column) for column in zip(*rows, strict=True))
    found = compare_arms(hit, held, weight)
    back = compare_arms(hit, ~held, weight)
    assert -1 <= found.low <= found.value <= found.high <= 1
    assert (back.low, back.value, back.high) == pytest.approx((-found.high, -found.value, -found.low))
    # In cents instead of units nothing changes.
    cents = compare_arms(hit, held, weight * 100.0)
    assert (cents.low, cents.high) == pytest.approx((found.low, found.high))


@pytest.mark.parametrize(
    ("amounts", "clusters", "part"), [(False, 1, 0), (True, 1, 0), (False, 3, 0), (True, 1, 1), (True, 3, 4)]
)
def test_the_interval_covers_the_truth(amounts, clusters, part):
    """A tenth held out, 15 and 12 of 100 overdue; log-normal amounts; or three rows of each customer, whose
    rates differ between customers; or a part of each, anything from 0 to all (1) or mostly nearly all (4). Of
    600 draws at least 550 should cover: an interval of 95 % covers fewer less than once in 5,000 times, and
    one that takes those rows for independent covers 74 %."""
    rng = np.random.default_rng(5)
    held_out, treated = 150, 1350
    held = np.repeat([True, False], [held_out, treated])
    covered = 0
    for _ in range(600):
        spread = rng.beta(1.5, 1.5, held.size) * 2 if clusters > 1 else np.ones(held.size)
        chance = np.repeat(np.where(held, 0.15, 0.12) * spread, clusters)
        arm, owner = np.repeat(held, clusters), np.repeat(np.arange(held.size), clusters)
        # The rows of a customer share one draw: as much alike as can be.
        draw = np.repeat(rng.random(held.size), clusters)
        hit = draw < chance
        weight = rng.lognormal(0, 0.8, hit.size) if amounts else None
        left = hit * rng.beta(part, 1, hit.size) if part else hit
        found = compare_arms(left, arm, weight, owner if clusters > 1 else None)
        # The mean of a beta of (a, 1) is a / (a + 1).
        covered += found.low <= 0.03 * (part / (part + 1) if part else 1) <= found.high
    assert covered >= 550


def test_the_sample_ratio_by_hand():
    """30 held out of 100 where 20 were expected: chi-square 6.25, p = 0.0124."""
    held = [1] * 30 + [0] * 70
    assert sample_ratio_p(held, 0.2) == pytest.approx(math.erfc(math.sqrt(6.25 / 2)))
    # Each customer twice in the same arm is no more evidence than once.
    twice = sample_ratio_p(held * 2, 0.2, [*range(100), *range(100)])
    assert twice == pytest.approx(sample_ratio_p(held, 0.2))
    assert sample_ratio_p([1] * 20 + [0] * 80, 0.2) == 1.0


def test_standardised_differences_by_hand():
    """Means 1 and 2, both variances 4/3: 1 / root of 4/3; standard error root of 2/3, z = 1.2247."""
    difference, p_value = standardised_difference([0, 2, 0, 2, 1, 3, 1, 3], [0] * 4 + [1] * 4)
    assert difference == pytest.approx(1 / math.sqrt(4 / 3))
    assert p_value == pytest.approx(math.erfc(math.sqrt(1.5) / math.sqrt(2)))
    assert standardised_difference([0.3] * 150, [0] * 80 + [1] * 70) == (0.0, 1.0)
    assert standardised_difference([1, 1, 1, 1], [0, 0, 1, 1]) == (0.0, 1.0)
    assert standardised_difference([1, 1, 2, 2], [0, 0, 1, 1]) == (math.inf, 0.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: compare_arms([1, 0], [1, 1]), "an arm has no row"),
        (lambda: compare_arms([1, 0], [1, 0], weight=[1, 0]), "no weight"),
        (lambda: compare_arms([1, 0], [1, 0], weight=[1, -1]), "negative"),
        (lambda: compare_arms([1, 0], [1, 0], level=1.0), "level"),
        (lambda: compare_arms([1, 2], [1, 0]), "hit must lie"),
        (lambda: compare_arms([1, -0.1], [1, 0]), "hit must lie"),
        (lambda: compare_arms([1, math.nan], [1, 0]), "hit contains NaN"),
        (lambda: sample_ratio_p([1, 0], 0.0), "share"),
        (lambda: standardised_difference([1, 2, 3], [0, 1, 1]), "two rows"),
    ],
)
def test_what_cannot_be_compared(call, said):
    with pytest.raises(ValueError, match=said):
        call()
