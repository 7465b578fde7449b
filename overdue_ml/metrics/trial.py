"""Two arms of a randomised trial: the difference of their rates, and whether the arms are comparable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overdue_ml.metrics._checks import FloatArray, IntArray, as_target, as_vector, check_lengths
from overdue_ml.metrics._resampling import group_codes
from overdue_ml.metrics.calibration import wilson_interval


@dataclass(frozen=True, slots=True)
class Difference:
    """Holdout minus treated: what the treatment took away.

    Attributes
    ----------
    treated, holdout : float
        The rate of each arm, in [0, 1].
    value : float
        ``holdout - treated``.
    low, high : float
        Ends of its interval.
    n_treated, n_holdout : float
        Independent rows that each rate is worth.
    """

    treated: float
    holdout: float
    value: float
    low: float
    high: float
    n_treated: float
    n_holdout: float


def compare_arms(
    hit: ArrayLike,
    is_holdout: ArrayLike,
    weight: ArrayLike | None = None,
    customers: ArrayLike | None = None,
    level: float = 0.95,
) -> Difference:
    """Difference of the rates of two arms, with limits that hold for few hits and for repeated rows.

    Newcombe's hybrid score limits (method 10) on the effective number of rows of each arm. Without weights
    and with each customer once that number is the number of rows. With weights, as amounts, the rate is the
    share of the weight that is hit, and the number is the smaller one of Kish's ``(sum w)^2 / sum w^2`` and
    of that which gives the linearised variance of the rate over customers (Rao and Scott). Where nothing or
    everything is hit there is no such variance, and the rows of a customer count as one.

    For amounts it is used instead of Welch's interval or a percentile bootstrap of the mean amount hit: with
    a tenth of the customers held out, these covered the truth 85 to 94 times in 100 where 5 to 15 in 100
    were overdue, since a small arm with few, skewed amounts estimates its own variance too low. This one
    covered it 95 to 98 times.

    Parameters
    ----------
    hit : array-like of shape (n,)
        1 for overdue, 0 otherwise; or how much of a row is hit, in [0, 1], as of an amount due the share that
        is still unpaid. Rows that are hit in part vary less, and Kish's number rises by as much.
    is_holdout : array-like of shape (n,)
        1 for the rows that were held out, 0 for the treated.
    weight : array-like of shape (n,), optional
        Not negative; 1 by default.
    customers : array-like of shape (n,), optional
        Whose row it is; by default each row is a customer.
    level : float, default=0.95
        Nominal coverage, in (0, 1).

    Returns
    -------
    Difference

    Raises
    ------
    ValueError
        If an arm has no row or no weight, inputs have NaN or different lengths, or `hit` or `level` is out of
        bounds.

    References
    ----------
    Newcombe (1998), Interval estimation for the difference between independent proportions: comparison of
    eleven methods, Statistics in Medicine 17, 873-890. Rao and Scott (1992), A simple method for the analysis
    of clustered binary data, Biometrics 48, 577-585. Kish (1965), Survey Sampling.

    Examples
    --------
    Newcombe's first example, 56 of 70 against 48 of 80:

    >>> hit = [1] * 56 + [0] * 14 + [1] * 48 + [0] * 32
    >>> found = compare_arms(hit, [1] * 70 + [0] * 80)
    >>> round(found.value, 4), round(found.low, 4), round(found.high, 4)
    (0.2, 0.0524, 0.3339)
    """
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}.")
    hits, held = as_vector(hit, "hit"), as_target(is_holdout).astype(np.bool_)
    if ((hits < 0) | (hits > 1)).any():
        raise ValueError("hit must lie in [0, 1].")
    weights = np.ones(hits.size) if weight is None else as_vector(weight, "weight")
    check_lengths(("hit", "is_holdout", "weight"), (hits.size, held.size, weights.size))
    if (weights < 0).any():
        raise ValueError("weight must not be negative.")
    codes = group_codes(customers, hits.size)
    treated, holdout = (_rate(hits[m], weights[m], codes[m]) for m in (~held, held))
    rates = np.array([treated[0], holdout[0]])
    low, high = wilson_interval(rates * (n := np.array([treated[1], holdout[1]])), n, level)
    value = float(rates[1] - rates[0])
    return Difference(
        treated[0],
        holdout[0],
        value,
        value - math.hypot(rates[1] - low[1], high[0] - rates[0]),
        value + math.hypot(high[1] - rates[1], rates[0] - low[0]),
        treated[1],
        holdout[1],
    )


def _rate(hits: FloatArray, weights: FloatArray, codes: IntArray) -> tuple[float, float]:
    """The rate of an arm, and how many independent rows it is worth."""
    total = float(weights.sum())
    if not total:
        raise ValueError("an arm has no row, or no weight.")
    rate = float((weights * hits).sum()) / total
    by_customer = np.unique(codes, return_inverse=True)[1]
    if not 0 < rate < 1:
        return rate, total**2 / float((np.bincount(by_customer, weights) ** 2).sum())
    # Of whole hits the spread within rows is 0, and both factors are the same.
    spread = rate * (1 - rate) - float((weights * hits * (1 - hits)).sum()) / total
    kish = total**2 / float((weights**2).sum()) * (rate * (1 - rate) / spread if spread > 0 else 1.0)
    variance = float((np.bincount(by_customer, weights * (hits - rate)) ** 2).sum()) / total**2
    return rate, min(kish, rate * (1 - rate) / variance) if variance > 0 else kish


def sample_ratio_p(is_holdout: ArrayLike, share: float, customers: ArrayLike | None = None) -> float:
    """How likely the arms are to be at least as far from the share that was to be held out.

    The chi-square test of the sample ratio with one degree of freedom; where a customer has several rows, all
    in one arm, the variance is that of as many coins as there are customers.

    Parameters
    ----------
    is_holdout : array-like of shape (n,)
        1 for the rows that were held out, 0 for the treated.
    share : float
        That was to be held out, in (0, 1).
    customers : array-like of shape (n,), optional
        Whose row it is; by default each row is a customer.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If `share` is outside (0, 1), or there are no rows.

    Examples
    --------
    30 of 100 where 20 were expected: chi-square 100 / 20 + 100 / 80 = 6.25.

    >>> round(sample_ratio_p([1] * 30 + [0] * 70, 0.2), 4)
    0.0124
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie in (0, 1), got {share!r}.")
    held = as_target(is_holdout)
    rows = np.bincount(group_codes(customers, held.size))
    squares = share * (1 - share) * float((rows.astype(np.float64) ** 2).sum())
    return math.erfc(math.sqrt((float(held.sum()) - share * held.size) ** 2 / squares / 2))


def standardised_difference(values: ArrayLike, is_holdout: ArrayLike) -> tuple[float, float]:
    """How far apart the means of two arms are in standard deviations, and how likely that is by chance.

    Parameters
    ----------
    values : array-like of shape (n,)
        Of something known before the treatment.
    is_holdout : array-like of shape (n,)

    Returns
    -------
    difference : float
        Holdout minus treated, over the root of the mean of both variances; 0 where nothing varies.
    p_value : float
        Two-sided, of the normal test with a variance for each arm.

    Raises
    ------
    ValueError
        If an arm has fewer than two rows, or inputs have NaN or different lengths.

    References
    ----------
    Austin (2009), Balance diagnostics for comparing the distribution of baseline covariates, Statistics in
    Medicine 28, 3083-3107.

    Examples
    --------
    >>> standardised_difference([0, 2, 0, 2, 1, 3, 1, 3], [0, 0, 0, 0, 1, 1, 1, 1])[0]
    0.8660254037844387
    """
    vector, held = as_vector(values, "values"), as_target(is_holdout).astype(np.bool_)
    check_lengths(("values", "is_holdout"), (vector.size, held.size))
    # Of equal values the means may differ by a rounding error; of zeros they do not.
    vector = vector - vector[0]
    arms: list[NDArray[np.float64]] = [vector[~held], vector[held]]
    if min(arm.size for arm in arms) < 2:
        raise ValueError("each arm needs at least two rows.")
    gap = float(arms[1].mean() - arms[0].mean())
    variances = [float(arm.var(ddof=1)) for arm in arms]
    error = math.sqrt(sum(v / arm.size for v, arm in zip(variances, arms, strict=True)))
    if not error:
        return (0.0, 1.0) if not gap else (math.copysign(math.inf, gap), 0.0)
    return gap / math.sqrt(sum(variances) / 2), 2 * NormalDist().cdf(-abs(gap) / error)
