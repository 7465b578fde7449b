"""How well a score puts overdue customers first: AUC, Gini, KS, average precision, capture and lift.

Higher score means riskier. Only the order of the scores counts, so log-odds and probabilities give the same
figures unless rounding made ties. The order of the rows never matters.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import (
    as_target,
    as_vector,
    as_weights,
    check_at_least,
    check_both_classes,
    check_lengths,
    check_share,
)
from overdue_ml.metrics._curves import GainCurve


def compute_auc(y_true: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Probability that a random overdue row scores above a random other row, ties counted half.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    score : array-like of shape (n,)
        Any number that grows with risk.
    sample_weight : array-like of shape (n,), optional
        Row weights, not negative.

    Returns
    -------
    float
        Between 0 and 1; 0.5 for a random order.

    Raises
    ------
    ValueError
        If only one class is present, or the inputs have NaN, infinity or different lengths.

    References
    ----------
    Hanley and McNeil (1982), The meaning and use of the area under a ROC curve, Radiology 143.

    Examples
    --------
    >>> compute_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return _curve(y_true, score, sample_weight, "AUC").auc()


def compute_gini(y_true: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Gini coefficient (accuracy ratio, Somers' D): ``2 * AUC - 1``.

    Parameters
    ----------
    y_true, score, sample_weight
        As in `compute_auc`.

    Returns
    -------
    float
        Between -1 and 1; 0 for a random order.

    Raises
    ------
    ValueError
        As `compute_auc`.

    References
    ----------
    Engelmann, Hayden and Tasche (2003), Testing rating accuracy, Risk 16.

    Examples
    --------
    >>> compute_gini([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """
    return 2 * _curve(y_true, score, sample_weight, "Gini").auc() - 1


def compute_ks(y_true: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Kolmogorov-Smirnov distance between the scores of overdue and other rows.

    The distance has no sign: a ranking turned upside down has the same KS. Read it beside the Gini.

    Parameters
    ----------
    y_true, score, sample_weight
        As in `compute_auc`.

    Returns
    -------
    float
        Largest absolute gap between the two cumulative shares, between 0 and 1.

    Raises
    ------
    ValueError
        As `compute_auc`.

    References
    ----------
    Smirnov (1948), Table for estimating the goodness of fit of empirical distributions, Ann. Math. Stat. 19.

    Examples
    --------
    >>> compute_ks([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """
    return _curve(y_true, score, sample_weight, "KS").ks()


def compute_average_precision(
    y_true: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Precision averaged over recall, ``sum((R_k - R_{k-1}) * P_k)`` over the distinct scores.

    Parameters
    ----------
    y_true, score, sample_weight
        As in `compute_auc`.

    Returns
    -------
    float
        Between 0 and 1; near the overdue rate for a random order.

    Raises
    ------
    ValueError
        As `compute_auc`.

    References
    ----------
    Zhu (2004), Recall, precision and average precision, University of Waterloo;
    the same step form as `sklearn.metrics.average_precision_score`.

    Examples
    --------
    >>> round(compute_average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return _curve(y_true, score, sample_weight, "average precision").average_precision()


def capture_rate(y_true: ArrayLike, score: ArrayLike, top: float = 0.1) -> float:
    """Share of all overdue rows found among the `top` share of rows by score.

    Where the cut falls inside a group of equal scores, or between two rows, the answer is the expectation
    over a random order of the tied rows: a fraction of the group brings the same fraction of its overdue
    rows.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    score : array-like of shape (n,)
        Any number that grows with risk.
    top : float, default=0.1
        Share of the rows worked, in (0, 1].

    Returns
    -------
    float
        Between 0 and 1; about `top` for a random order.

    Raises
    ------
    ValueError
        If `top` is outside (0, 1], and as `compute_auc`.

    References
    ----------
    Thomas, Edelman and Crook (2002), Credit Scoring and Its Applications, SIAM, chapter 7.

    Examples
    --------
    >>> capture_rate([1, 0, 1, 0, 0], [5, 4, 3, 2, 1], top=0.4)
    0.5
    """
    share = np.array([check_share(top)])
    return float(_curve(y_true, score, None, "the capture rate").captured(share)[0])


def compute_lift(y_true: ArrayLike, score: ArrayLike, top: float = 0.1) -> float:
    """Overdue rate among the `top` share of rows over the overdue rate of all: ``capture_rate / top``.

    Parameters
    ----------
    y_true, score, top
        As in `capture_rate`.

    Returns
    -------
    float
        1 for a random order, at most ``min(1 / top, 1 / overdue rate)``.

    Raises
    ------
    ValueError
        As `capture_rate`.

    References
    ----------
    Thomas, Edelman and Crook (2002), Credit Scoring and Its Applications, SIAM, chapter 7.

    Examples
    --------
    >>> compute_lift([1, 0, 1, 0, 0], [5, 4, 3, 2, 1], top=0.4)
    1.25
    """
    return capture_rate(y_true, score, top) / top


def capture_curve(y_true: ArrayLike, score: ArrayLike, n_points: int = 100) -> pd.DataFrame:
    """Capture rate and lift at evenly spaced shares, ready to plot.

    Parameters
    ----------
    y_true, score
        As in `capture_rate`.
    n_points : int, default=100
        Number of shares: ``1 / n_points, 2 / n_points, ..., 1``. The curve starts at (0, 0), which is left
        out because the lift is not defined there.

    Returns
    -------
    DataFrame of shape (n_points, 3)
        share, captured, lift.

    Raises
    ------
    ValueError
        If `n_points` is below 1, and as `compute_auc`.

    Examples
    --------
    >>> capture_curve([1, 0, 1, 0], [4, 3, 2, 1], n_points=2)
       share  captured  lift
    0    0.5       0.5   1.0
    1    1.0       1.0   1.0
    """
    points = check_at_least(n_points, 1, "n_points")
    share = np.arange(1, points + 1, dtype=np.float64) / points
    captured = _curve(y_true, score, None, "the capture curve").captured(share)
    return pd.DataFrame({"share": share, "captured": captured, "lift": captured / share})


def _curve(y_true: ArrayLike, score: ArrayLike, sample_weight: ArrayLike | None, metric: str) -> GainCurve:
    target, vector = as_target(y_true), as_vector(score, "score")
    check_lengths(("y_true", "score"), (target.size, vector.size))
    weight = as_weights(sample_weight, target.size)
    check_both_classes(target, weight, metric)
    return GainCurve.build(vector, target * weight, weight)
