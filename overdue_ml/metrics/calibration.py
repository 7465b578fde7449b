"""Whether a probability means what it says: Brier, log loss, calibration error, table and slope."""

from __future__ import annotations

from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import (
    FloatArray,
    IntArray,
    as_probabilities,
    as_target,
    as_weights,
    check_at_least,
    check_both_classes,
    check_lengths,
)

Strategy = Literal["quantile", "uniform"]

# A probability of exactly 0 or 1 (isotonic calibrators give them) has no finite logit.
LOGIT_CLIP = 1e-6


class Recalibration(NamedTuple):
    """Line that recalibrates a model: ``logit P(overdue) = intercept + slope * logit(p)``.

    Attributes
    ----------
    slope : float
        1 when the spread is right, below 1 when the probabilities are too extreme.
    intercept : float
        0 when, given the slope, the level is right; log-odds.
    """

    slope: float
    intercept: float


def compute_brier(y_true: ArrayLike, p: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean squared difference between probability and outcome.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise; one class alone is accepted.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    sample_weight : array-like of shape (n,), optional
        Row weights, not negative.

    Returns
    -------
    float
        Between 0 (best) and 1.

    Raises
    ------
    ValueError
        If `p` leaves [0, 1], or the inputs have NaN or different lengths.

    References
    ----------
    Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.

    Examples
    --------
    >>> compute_brier([0, 1], [0.5, 1.0])
    0.125
    """
    target, probability = _inputs(y_true, p)
    return float(np.average((probability - target) ** 2, weights=as_weights(sample_weight, target.size)))


def compute_log_loss(y_true: ArrayLike, p: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Mean negative log-likelihood of the outcomes, in nats.

    Parameters
    ----------
    y_true, p, sample_weight
        As in `compute_brier`. `p` is kept one float64 epsilon away from 0 and 1, as scikit-learn does.

    Returns
    -------
    float
        0 is best; a certain and wrong row costs about 36.

    Raises
    ------
    ValueError
        As `compute_brier`.

    References
    ----------
    Good (1952), Rational decisions, Journal of the Royal Statistical Society B 14.

    Examples
    --------
    >>> round(compute_log_loss([0, 1], [0.5, 0.5]), 4)
    0.6931
    """
    target, probability = _inputs(y_true, p)
    epsilon = np.finfo(np.float64).eps
    clipped = np.clip(probability, epsilon, 1 - epsilon)
    loss = -np.where(target == 1, np.log(clipped), np.log1p(-clipped))
    return float(np.average(loss, weights=as_weights(sample_weight, target.size)))


def compute_ece(y_true: ArrayLike, p: ArrayLike, n_bins: int = 10, strategy: Strategy = "quantile") -> float:
    """Compute the expected calibration error: ``|overdue rate - mean p|`` averaged over bins by rows.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise; one class alone is accepted.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    n_bins : int, default=10
        Number of bins aimed at. Ties may leave fewer quantile bins.
    strategy : {'quantile', 'uniform'}, default='quantile'
        Bins of equal row counts, where equal probabilities always share a bin, or of equal width on [0, 1].

    Returns
    -------
    float
        Between 0 (best) and 1.

    Raises
    ------
    ValueError
        If `n_bins` is below 1 or `strategy` unknown, and as `compute_brier`.

    References
    ----------
    Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using Bayesian binning,
    AAAI.

    Examples
    --------
    >>> round(compute_ece([0, 0, 1, 1], [0.2, 0.2, 0.7, 0.7], n_bins=2), 4)
    0.25
    """
    table = calibration_table(y_true, p, n_bins, strategy)
    gap = np.abs(table["gap"].to_numpy(dtype=np.float64))
    return float(np.average(gap, weights=table["n"].to_numpy(dtype=np.float64)))


def calibration_table(
    y_true: ArrayLike, p: ArrayLike, n_bins: int = 10, strategy: Strategy = "quantile"
) -> pd.DataFrame:
    """Predicted against observed, bin by bin.

    Parameters
    ----------
    y_true, p, n_bins, strategy
        As in `compute_ece`.

    Returns
    -------
    DataFrame of shape (n_bins or fewer, 9)
        bin (from 1, lowest p first), p_min, p_max, n (rows), mean_p, overdue_rate, gap
        (overdue_rate - mean_p), rate_low and rate_high (Wilson 95 % interval of overdue_rate). Empty bins are
        left out.

    Raises
    ------
    ValueError
        As `compute_ece`.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.

    Examples
    --------
    >>> table = calibration_table([0, 0, 1, 1], [0.1, 0.3, 0.6, 0.8], n_bins=2)
    >>> table[["bin", "n", "mean_p", "overdue_rate", "gap"]].round(2)
       bin  n  mean_p  overdue_rate  gap
    0    1  2     0.2           0.0 -0.2
    1    2  2     0.7           1.0  0.3
    """
    target, probability = _inputs(y_true, p)
    code = _bin_codes(probability, check_at_least(n_bins, 1, "n_bins"), strategy)
    order = np.lexsort((probability, code))
    starts = np.flatnonzero(np.r_[True, np.diff(code[order]) > 0])
    ends = np.r_[starts[1:], code.size] - 1
    n = ends - starts + 1
    # Sums over sorted values, so that the last digit does not depend on the order of the rows either.
    mean_p = np.add.reduceat(probability[order], starts) / n
    hits = np.bincount(code, weights=target).astype(np.float64)
    low, high = wilson_interval(hits, n.astype(np.float64))
    rate = hits / n
    return pd.DataFrame(
        {
            "bin": np.arange(1, n.size + 1),
            "p_min": probability[order][starts],
            "p_max": probability[order][ends],
            "n": n,
            "mean_p": mean_p,
            "overdue_rate": rate,
            "gap": rate - mean_p,
            "rate_low": low,
            "rate_high": high,
        }
    )


def calibration_slope_intercept(y_true: ArrayLike, p: ArrayLike) -> Recalibration:
    """Slope and intercept of the logistic regression of the outcome on ``logit(p)``.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise; both must occur.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1]; kept 1e-6 away from 0 and 1.

    Returns
    -------
    Recalibration
        ``(slope, intercept)``; (1, 0) is perfect.

    Raises
    ------
    ValueError
        If one class is missing, `p` is constant or separates the classes (no finite estimate exists), and as
        `compute_brier`.

    References
    ----------
    Cox (1958), Two further applications of a model for binary regression, Biometrika 45.

    Examples
    --------
    >>> y, p = [0, 0, 1, 0, 1, 1], [0.2, 0.2, 0.2, 0.8, 0.8, 0.8]  # odds are 1/2 and 2, p says 1/4 and 4
    >>> line = calibration_slope_intercept(y, p)
    >>> round(line.slope, 6), abs(round(line.intercept, 6))
    (0.5, 0.0)
    """
    target, probability = _inputs(y_true, p)
    check_both_classes(target, np.ones(target.size), "the calibration slope")
    clipped = np.clip(probability, LOGIT_CLIP, 1 - LOGIT_CLIP)
    logit = np.log(clipped) - np.log1p(-clipped)
    if logit.min() == logit.max():
        raise ValueError("p takes a single value, so the calibration slope is not defined.")
    on_time, overdue = logit[target == 0], logit[target == 1]
    if on_time.max() <= overdue.min() or overdue.max() <= on_time.min():
        raise ValueError(
            "p separates the classes in y_true, so the calibration slope has no finite estimate."
        )
    return _fit_line(target.astype(np.float64), logit)


def _inputs(y_true: ArrayLike, p: ArrayLike) -> tuple[IntArray, FloatArray]:
    target, probability = as_target(y_true), as_probabilities(p)
    check_lengths(("y_true", "p"), (target.size, probability.size))
    return target, probability


def _bin_codes(p: FloatArray, n_bins: int, strategy: Strategy) -> IntArray:
    """Return bin numbers 0, 1, ... by rising `p`, without gaps, shape (n,)."""
    if strategy == "quantile":
        # By mid-rank of the distinct values, in whole numbers: exact, and equal values stay together.
        _, inverse, count = np.unique(p, return_inverse=True, return_counts=True)
        code = (n_bins * (2 * np.cumsum(count) - count) // (2 * p.size))[inverse]
    elif strategy == "uniform":
        code = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
    else:
        raise ValueError(f"strategy must be 'quantile' or 'uniform', got {strategy!r}.")
    return np.searchsorted(np.unique(code), code).astype(np.int64)


def wilson_interval(hits: FloatArray, n: FloatArray, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Low and high end of the Wilson interval of ``hits / n``, each of shape (n_shares,)."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = hits / n
    centre = (rate + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2))
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def _fit_line(y: FloatArray, x: FloatArray) -> Recalibration:
    """Maximise the two-parameter logistic likelihood by Newton's method."""
    # Centred and scaled, so that the 2 x 2 system stays well conditioned when x hardly varies.
    centre, scale = float(x.mean()), float(x.std())
    design = np.column_stack((np.ones_like(x), (x - centre) / scale))
    beta = np.zeros(2)
    for _ in range(100):
        fitted = 1 / (1 + np.exp(-np.clip(design @ beta, -700, 700)))
        gradient = design.T @ (y - fitted)
        hessian = (design * (fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step
        if np.abs(step).max() <= 1e-10 * max(1.0, float(np.abs(beta).max())):
            slope = float(beta[1]) / scale
            return Recalibration(slope=slope, intercept=float(beta[0]) - slope * centre)
    raise ValueError("The calibration slope did not converge: p almost separates the classes in y_true.")
