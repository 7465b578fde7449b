"""The one-page evaluation of a score: every metric, with an interval when asked."""

from __future__ import annotations

from collections.abc import Sequence

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
    check_both_classes,
    check_lengths,
    check_share,
)
from overdue_ml.metrics._curves import GainCurve
from overdue_ml.metrics._resampling import draw_samples, group_codes
from overdue_ml.metrics.calibration import compute_brier, compute_ece, compute_log_loss

LEVEL = 0.95


def evaluate_scores(  # noqa: PLR0913
    y_true: ArrayLike,
    p: ArrayLike,
    log_odds: ArrayLike | None = None,
    amount: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    top: Sequence[float] = (0.05, 0.1, 0.2),
    n_boot: int = 0,
    random_state: int | np.random.Generator = 0,
) -> pd.DataFrame:
    """Evaluate a score by every metric of ranking, calibration and money.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise; both must occur.
    p : array-like of shape (n,)
        Probability of overdue, in [0, 1].
    log_odds : array-like of shape (n,), optional
        What the rows are ranked by; `p` by default. A calibrator may tie probabilities, log-odds keep the
        order.
    amount : array-like of shape (n,), optional
        Amount at stake, not negative; adds amount_capture_at_* for the money caught.
    groups : array-like of shape (n,), optional
        Resample whole groups (customer_id), not rows.
    top : sequence of float, default=(0.05, 0.1, 0.2)
        Shares of the rows for capture and lift, in (0, 1].
    n_boot : int, default=0
        Bootstrap resamples for the intervals; 0 leaves low and high NaN.
    random_state : int or numpy Generator, default=0
        Seed.

    Returns
    -------
    DataFrame
        metric, value, low, high (95 % percentile bootstrap). Metrics in order: auc, gini, ks,
        average_precision, brier, log_loss, ece, then capture_rate_at_10, lift_at_10 (the share in per cent)
        and, with `amount`, amount_capture_at_10 for each share. ``attrs["n_skipped"]`` counts the resamples
        left out because they held a single class.

    Raises
    ------
    ValueError
        If one class is missing, `p` leaves [0, 1], inputs have NaN or different lengths, no overdue row has
        an amount, or `top` is empty or outside (0, 1].

    References
    ----------
    See the function of each metric in `overdue_ml.metrics`.

    Examples
    --------
    >>> table = evaluate_scores([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], top=(0.5,))
    >>> table.loc[table["metric"].isin(["auc", "ks", "capture_rate_at_50"]), ["metric", "value"]]
                   metric  value
    0                 auc   0.75
    2                  ks   0.50
    7  capture_rate_at_50   0.50
    """
    boots = check_at_least(n_boot, 0, "n_boot")
    target, columns = _columns(y_true, p, log_odds, amount)
    shares = np.array([check_share(share) for share in top])
    if shares.size == 0:
        raise ValueError("top must hold at least one share in (0, 1].")
    names = _metric_names(shares, amount is not None)
    codes = group_codes(groups, target.size)
    # Ranked once, so that each resample arrives sorted; ties broken by content, so row order changes nothing.
    order = np.lexsort((*(() if groups is None else (codes,)), target, *columns[2:], columns[0], -columns[1]))
    target, columns = target[order], [column[order] for column in columns]

    def statistic(rows: IntArray) -> FloatArray:
        return _metric_values(target[rows], [column[rows] for column in columns], shares)

    values = statistic(np.arange(target.size))
    bounds = np.full((2, len(names)), np.nan)
    skipped = 0
    if boots:
        codes = codes if groups is None else codes[order]
        samples = draw_samples(statistic, target, codes, boots, random_state)
        bounds, skipped = samples.percentiles(LEVEL), samples.n_skipped
    table = pd.DataFrame({"metric": names, "value": values, "low": bounds[0], "high": bounds[1]})
    table.attrs["n_skipped"] = skipped
    return table


def _columns(
    y_true: ArrayLike, p: ArrayLike, log_odds: ArrayLike | None, amount: ArrayLike | None
) -> tuple[IntArray, list[FloatArray]]:
    """Check the inputs; return the target and the columns p, ranking score and, where given, amount."""
    target, probability = as_target(y_true), as_probabilities(p)
    score = probability if log_odds is None else as_vector(log_odds, "log_odds")
    columns, labels = [probability, score], ["p", "log_odds"]
    if amount is not None:
        money = as_vector(amount, "amount")
        if (money < 0).any():
            raise ValueError(f"amount must not be negative, got {float(money.min())!r}.")
        columns, labels = [*columns, money], [*labels, "amount"]
    check_lengths(("y_true", *labels), (target.size, *(column.size for column in columns)))
    check_both_classes(target, np.ones(target.size), "the ranking")
    if amount is not None and not (target * columns[2]).any():
        raise ValueError("No overdue row has an amount above 0; the share of money caught is not defined.")
    return target, columns


def _metric_names(shares: FloatArray, with_amount: bool) -> list[str]:
    names = ["auc", "gini", "ks", "average_precision", "brier", "log_loss", "ece"]
    kinds = ["capture_rate", "lift", *(["amount_capture"] if with_amount else [])]
    return names + [f"{kind}_at_{100 * share:g}" for share in shares for kind in kinds]


def _metric_values(target: IntArray, columns: list[FloatArray], shares: FloatArray) -> FloatArray:
    probability, score = columns[0], columns[1]
    ones = np.ones(target.size)
    curve = GainCurve.build(score, target.astype(np.float64), ones)
    captured = curve.captured(shares)
    at_top = [captured, captured / shares]
    if len(columns) == 3:
        hit = target * columns[2]
        # A resample may hold overdue rows that are all worth nothing.
        undefined = np.full_like(shares, np.nan)
        worth = GainCurve.build(score, hit, ones).captured(shares) if hit.any() else undefined
        at_top.append(worth)
    auc = curve.auc()
    whole = [
        auc,
        2 * auc - 1,
        curve.ks(),
        curve.average_precision(),
        compute_brier(target, probability),
        compute_log_loss(target, probability),
        compute_ece(target, probability),
    ]
    return np.concatenate((whole, np.column_stack(at_top).ravel()))
