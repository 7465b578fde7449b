"""How sure a figure is: bootstrap intervals for one score and for the difference of two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import FloatArray, IntArray, as_target, as_vector, check_lengths
from overdue_ml.metrics._resampling import draw_samples, group_codes

Metric = Callable[[IntArray, FloatArray], float]


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its percentile bootstrap interval.

    Attributes
    ----------
    value : float
        The figure on all rows.
    low, high : float
        Ends of the interval.
    level : float
        Nominal coverage, as 0.95.
    n_boot : int
        Resamples the interval rests on.
    n_skipped : int
        Resamples left out because they held a single class.
    """

    value: float
    low: float
    high: float
    level: float = 0.95
    n_boot: int = 0
    n_skipped: int = 0


def bootstrap_interval(
    metric: Metric,
    y_true: ArrayLike,
    score: ArrayLike,
    groups: ArrayLike | None = None,
    n_boot: int = 200,
    level: float = 0.95,
    random_state: int | np.random.Generator = 0,
) -> Interval:
    """Percentile bootstrap interval of ``metric(y_true, score)``.

    Rows are put in a fixed order first, so with the same seed the order they come in changes nothing.

    Parameters
    ----------
    metric : callable
        ``metric(y_true, score) -> float``, such as `compute_auc`.
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise.
    score : array-like of shape (n,)
        Score or probability.
    groups : array-like of shape (n,), optional
        Draw whole groups, not rows: customer_id when a customer has several rows.
    n_boot : int, default=200
        Number of resamples.
    level : float, default=0.95
        Nominal coverage, in (0, 1).
    random_state : int or numpy Generator, default=0
        Seed.

    Returns
    -------
    Interval
        Value on all rows, interval, and resamples used and skipped.

    Raises
    ------
    ValueError
        If inputs have NaN or different lengths, `level` is outside (0, 1), `n_boot` is below 1, there are
        fewer than two groups, or no resample has both classes.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; for groups Field and Welsh
    (2007), Bootstrapping clustered data, JRSS B 69.

    Examples
    --------
    >>> from overdue_ml.metrics import compute_auc
    >>> interval = bootstrap_interval(compute_auc, [0, 0, 1, 1] * 25, [0.1, 0.4, 0.35, 0.8] * 25)
    >>> interval.value, interval.low < 0.75 < interval.high, interval.n_skipped
    (0.75, True, 0)
    """
    return _interval(metric, y_true, {"score": score}, groups, n_boot, level, random_state)


def paired_difference(
    metric: Metric,
    y_true: ArrayLike,
    scores: tuple[ArrayLike, ArrayLike],
    groups: ArrayLike | None = None,
    n_boot: int = 200,
    level: float = 0.95,
    random_state: int | np.random.Generator = 0,
) -> Interval:
    """Interval of ``metric(first) - metric(second)`` for two scores on the same rows.

    Both scores are read on the same resamples, which cancels what they share: it is much narrower than the
    difference of two separate intervals.

    Parameters
    ----------
    metric, y_true, groups, n_boot, level, random_state
        As in `bootstrap_interval`.
    scores : tuple of two array-like of shape (n,)
        First and second score, as (challenger, champion).

    Returns
    -------
    Interval
        Of the difference; it excludes 0 when the scores differ beyond chance.

    Raises
    ------
    ValueError
        If `scores` is not a pair, and as `bootstrap_interval`.

    References
    ----------
    Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.

    Examples
    --------
    >>> from overdue_ml.metrics import compute_auc
    >>> y, better, worse = [0, 0, 1, 1] * 25, [1, 2, 3, 4] * 25, [1, 3, 2, 4] * 25
    >>> interval = paired_difference(compute_auc, y, (better, worse))
    >>> interval.value, interval.low > 0
    (0.25, True)
    """
    if len(scores) != 2:
        raise ValueError(f"scores must be a pair of scores on the same rows, got {len(scores)}.")
    named = {"scores[0]": scores[0], "scores[1]": scores[1]}
    return _interval(metric, y_true, named, groups, n_boot, level, random_state)


def _interval(
    metric: Metric,
    y_true: ArrayLike,
    scores: dict[str, ArrayLike],
    groups: ArrayLike | None,
    n_boot: int,
    level: float,
    random_state: int | np.random.Generator,
) -> Interval:
    if not 0 < level < 1:
        raise ValueError(f"level must lie in (0, 1), got {level!r}.")
    target = as_target(y_true)
    vectors = [as_vector(score, name) for name, score in scores.items()]
    check_lengths(("y_true", *scores), (target.size, *(vector.size for vector in vectors)))
    codes = group_codes(groups, target.size)
    # Group first: with groups the draws follow the group numbers, without them the sorted rows.
    order = np.lexsort((*(() if groups is None else (codes,)), target, *(-v for v in reversed(vectors))))
    target, vectors = target[order], [vector[order] for vector in vectors]
    codes = codes if groups is None else codes[order]

    def statistic(rows: IntArray) -> FloatArray:
        figures = [metric(target[rows], vector[rows]) for vector in vectors]
        return np.array([figures[0] if len(figures) == 1 else figures[0] - figures[1]], dtype=np.float64)

    value = float(statistic(np.arange(target.size))[0])
    samples = draw_samples(statistic, target, codes, n_boot, random_state)
    low, high = samples.percentiles(level)[:, 0].tolist()
    return Interval(value, low, high, level, samples.values.shape[0], samples.n_skipped)
