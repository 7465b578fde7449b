"""Lift in money: what a team of a given size finds when it works down a ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import (
    FloatArray,
    IntArray,
    as_probabilities,
    as_target,
    as_vector,
    check_at_least,
    check_lengths,
    check_share,
)
from overdue_ml.metrics._curves import GainCurve
from overdue_ml.metrics._resampling import draw_samples, group_codes
from overdue_ml.metrics.swap import select_top

RANDOM, PERFECT = "random", "perfect"
_LEVEL = 0.95


def money_table(
    y_true: ArrayLike,
    p: ArrayLike,
    amount: ArrayLike,
    rankings: Mapping[str, ArrayLike],
    top: Sequence[float] = (0.05, 0.1, 0.2),
    groups: ArrayLike | None = None,
    n_boot: int = 0,
) -> pd.DataFrame:
    """Overdue money among the `top` share of rows: expected beforehand and realised, by ranking.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    amount : array-like of shape (n,)
        Amount at stake in each row, not negative.
    rankings : mapping of str to array-like of shape (n,)
        What the rows can be ranked by, highest first. A random order and the perfect one (the overdue with
        the largest amounts first) are added under ``random`` and ``perfect``.
    top : sequence of float, default=(0.05, 0.1, 0.2)
        Shares of the rows worked, in (0, 1].
    groups : array-like of shape (n,), optional
        Resample whole groups (customer_id), not rows.
    n_boot : int, default=0
        Bootstrap resamples for the interval of the share; 0 leaves low and high NaN.

    Returns
    -------
    DataFrame
        top, ranking, n (rows worked), expected_amount (probability times amount), realised_amount (amount of
        the overdue), share (of all overdue money), low, high (95 %), lift (share over that of a random
        order).

    Raises
    ------
    ValueError
        If no overdue row has an amount, a share is outside (0, 1], or inputs have NaN, negative amounts or
        different lengths.

    References
    ----------
    Verbraken, Bravo, Weber and Baesens (2014), Development and application of consumer credit scoring models
    using profit-based classification measures, EJOR 238.

    Examples
    --------
    >>> table = money_table([1, 1, 0, 0], [0.9, 0.5, 0.4, 0.2], [100.0, 300.0, 50.0, 50.0],
    ...                     {"risk": [4, 3, 2, 1]}, top=[0.25])
    >>> table[["ranking", "expected_amount", "realised_amount", "share"]]
       ranking  expected_amount  realised_amount  share
    0     risk             90.0            100.0   0.25
    1   random             67.5            100.0   0.25
    2  perfect            150.0            300.0   0.75
    """
    target, probability, money = as_target(y_true), as_probabilities(p), as_vector(amount, "amount")
    if (money < 0).any():
        raise ValueError(f"amount must not be negative, got {float(money.min())!r}.")
    scores = {name: as_vector(score, name) for name, score in rankings.items()}
    check_lengths(
        ("y_true", "p", "amount", *scores),
        (target.size, probability.size, money.size, *(score.size for score in scores.values())),
    )
    hit = target * money
    if not hit.any():
        raise ValueError("No overdue row has an amount above 0; the share of money caught is not defined.")
    shares = np.array([check_share(share) for share in top])
    ordered = scores | {PERFECT: hit}
    values = _captured(list(ordered.values()), hit, shares)
    bounds = _bounds(list(ordered.values()), target, hit, shares, groups, check_at_least(n_boot, 0, "n_boot"))
    rows = []
    for i, share in enumerate(shares.tolist()):
        for name in (*scores, RANDOM, PERFECT):
            work = np.full(target.size, share) if name == RANDOM else select_top(ordered[name], share)
            caught = share if name == RANDOM else float(values[list(ordered).index(name), i])
            low, high = (
                (np.nan, np.nan) if name == RANDOM else bounds[:, list(ordered).index(name), i].tolist()
            )
            # Sorted before they are added: the last digit does not hang on the order of the rows.
            sums = [float(np.sort(work * values).sum()) for values in (probability * money, hit)]
            rows.append((share, name, share * target.size, *sums, caught, low, high, caught / share))
    columns = ["top", "ranking", "n", "expected_amount", "realised_amount", "share", "low", "high", "lift"]
    return pd.DataFrame(rows, columns=columns).astype({"ranking": "str"})


def money_curve(y_true: ArrayLike, amount: ArrayLike, score: ArrayLike, n_points: int = 50) -> pd.DataFrame:
    """Share of the overdue money found against the share of rows worked.

    Parameters
    ----------
    y_true, amount, score : array-like of shape (n,)
        As in `money_table`.
    n_points : int, default=50
        Evenly spaced shares; the last is all rows.

    Returns
    -------
    DataFrame of shape (n_points, 2)
        share, captured.

    Raises
    ------
    ValueError
        As `money_table`.
    """
    target, money, vector = as_target(y_true), as_vector(amount, "amount"), as_vector(score, "score")
    check_lengths(("y_true", "amount", "score"), (target.size, money.size, vector.size))
    hit = target * money
    if (money < 0).any() or not hit.any():
        raise ValueError("amount must not be negative, and some overdue row must have one above 0.")
    points = check_at_least(n_points, 1, "n_points")
    shares = np.arange(1, points + 1) / points
    return pd.DataFrame({"share": shares, "captured": _captured([vector], hit, shares)[0]})


def _captured(scores: Sequence[FloatArray], hit: FloatArray, shares: FloatArray) -> FloatArray:
    ones = np.ones(hit.size)
    return np.array([GainCurve.build(score, hit, ones).captured(shares) for score in scores])


def _bounds(
    scores: list[FloatArray],
    target: IntArray,
    hit: FloatArray,
    shares: FloatArray,
    groups: ArrayLike | None,
    n_boot: int,
) -> FloatArray:
    """Ends of the intervals, shape (2, n_rankings, n_shares)."""
    shape = (2, len(scores), len(shares))
    if not n_boot:
        return np.full(shape, np.nan)
    codes = group_codes(groups, target.size)
    # In an order that content alone decides, so that the order of the rows changes no resample.
    order = np.lexsort((*(() if groups is None else (codes,)), target, hit, *scores))
    target, hit, scores = target[order], hit[order], [score[order] for score in scores]

    def statistic(rows: IntArray) -> FloatArray:
        drawn = hit[rows]
        if not drawn.any():
            return np.full(len(scores) * len(shares), np.nan)
        return _captured([score[rows] for score in scores], drawn, shares).ravel()

    codes = codes if groups is None else codes[order]
    return draw_samples(statistic, target, codes, n_boot, 0).percentiles(_LEVEL).reshape(shape)
