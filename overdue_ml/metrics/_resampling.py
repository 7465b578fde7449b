"""Bootstrap draws, of rows or of whole groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import FloatArray, IntArray, check_at_least, check_lengths


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Bootstrap replicates of a vector of statistics.

    Attributes
    ----------
    values : ndarray of shape (n_used, n_statistics)
        One row per resample that could be used.
    n_skipped : int
        Resamples left out because they held a single class.
    """

    values: FloatArray
    n_skipped: int

    def percentiles(self, level: float) -> FloatArray:
        """Return the ends of each statistic's interval, shape (2, n_statistics), NaN if undefined."""
        bounds = np.full((2, self.values.shape[1]), np.nan)
        for column, values in enumerate(self.values.T):
            defined = values[~np.isnan(values)]
            if defined.size:
                bounds[:, column] = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
        return bounds


def draw_samples(
    statistic: Callable[[IntArray], FloatArray],
    y_true: IntArray,
    codes: IntArray,
    n_boot: int,
    random_state: int | np.random.Generator,
) -> Samples:
    """Evaluate `statistic` on `n_boot` resamples; it receives row numbers, rising, with repeats.

    Raises
    ------
    ValueError
        If `n_boot` is below 1, or no resample has both classes.
    """
    n_boot = check_at_least(n_boot, 1, "n_boot")
    needs_both = y_true.min() != y_true.max()
    used = []
    for rows in _draws(codes, n_boot, np.random.default_rng(random_state)):
        drawn = y_true[rows]
        if not needs_both or drawn.min() != drawn.max():
            used.append(statistic(rows))
    if not used:
        raise ValueError(f"None of the {n_boot} resamples has both classes: too few overdue rows or groups.")
    return Samples(values=np.array(used), n_skipped=n_boot - len(used))


def group_codes(groups: ArrayLike | None, n_rows: int) -> IntArray:
    """Return group numbers 0, 1, ... in sorted order, shape (n_rows,); without `groups` each row is one.

    Raises
    ------
    ValueError
        If `groups` has gaps, the wrong length or fewer than two groups.
    """
    if groups is None:
        return np.arange(n_rows, dtype=np.int64)
    labels = np.asarray(groups)
    if labels.ndim != 1:
        raise ValueError(f"groups should be a 1d array, got an array of shape {labels.shape} instead.")
    check_lengths(("y_true", "groups"), (n_rows, labels.size))
    if pd.isna(labels).any():
        raise ValueError("Input groups contains missing values.")
    codes = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    if codes.max() == 0:
        raise ValueError("groups must hold at least 2 different groups to resample.")
    return codes


def _draws(codes: IntArray, n_boot: int, generator: np.random.Generator) -> Iterator[IntArray]:
    n_groups, row = int(codes.max()) + 1, np.arange(codes.size)
    for _ in range(n_boot):
        times = np.bincount(generator.integers(n_groups, size=n_groups), minlength=n_groups)
        yield np.repeat(row, times[codes])
