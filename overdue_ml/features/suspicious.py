"""Features that are too good to be true: one that ranks the overdue customers almost alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.metrics import compute_auc

#: Categories with fewer rows are taken together: their overdue rates are chance, and chance fits itself.
MIN_ROWS = 50
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SuspiciousFeature:
    """A feature that separates the overdue from the others alone.

    Attributes
    ----------
    feature : str
    auc : float
        Of this feature alone, whichever way it points; from 0.5 to 1.
    """

    feature: str
    auc: float


def flag_suspicious(
    features: pd.DataFrame, target: npt.ArrayLike, max_auc: float = 0.9
) -> list[SuspiciousFeature]:
    """Find the features that predict the target suspiciously well, each alone.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n_rows, n_features)
        Training rows only. Numbers or categories.
    target : array-like of bool, shape (n_rows,)
        Whether each went overdue; both must occur.
    max_auc : float, default 0.9
        A feature with a higher AUC is flagged.

    Returns
    -------
    list of SuspiciousFeature
        Best first.

    Raises
    ------
    ValueError
        If the target has one class only or another length.

    Notes
    -----
    A null is a level of its own, at the place among the values where it serves best. A category stands
    for its overdue rate; those with fewer than 50 rows count as one.
    """
    y = np.asarray(target, dtype=np.float64)
    scores = ((str(name), _score(features[name], y)) for name in features.columns)
    aucs = [(name, compute_auc(y, score)) for name, score in scores]
    found = [SuspiciousFeature(name, max(auc, 1 - auc)) for name, auc in aucs]
    return sorted((f for f in found if f.auc > max_auc), key=lambda f: (-f.auc, f.feature))


def _score(column: pd.Series, y: FloatArray) -> FloatArray:
    """The column as numbers that only rank."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _with_nulls_placed(column.to_numpy(dtype=np.float64, na_value=np.nan), y)
    return _overdue_rates(column, y)


def _with_nulls_placed(values: FloatArray, y: FloatArray) -> FloatArray:
    empty = np.isnan(values)
    _, codes = np.unique(values[~empty], return_inverse=True)
    # Even numbers for the values, so that the nulls find an odd one between any two.
    rank = np.empty(len(values))
    rank[~empty] = 2.0 * codes
    if not empty.any() or empty.all():
        rank[empty] = 0.0
        return rank
    n_levels = int(codes.max()) + 1
    bad = np.bincount(codes, weights=y[~empty], minlength=n_levels)
    good = np.bincount(codes, weights=1 - y[~empty], minlength=n_levels)
    # Pairs that the nulls rank rightly when they stand above k of the levels: their overdue rows against the
    # good rows below, and the overdue rows above against their good rows.
    null_bad, null_good = float(y[empty].sum()), float((1 - y[empty]).sum())
    below = np.concatenate([[0.0], np.cumsum(good)])
    above = bad.sum() - np.concatenate([[0.0], np.cumsum(bad)])
    right = null_bad * below + null_good * above
    best, worst = int(np.argmax(right)), int(np.argmin(right))
    highest, lowest = rank.copy(), rank.copy()
    highest[empty], lowest[empty] = 2.0 * best - 1, 2.0 * worst - 1
    # Values that fall with risk want their nulls where they rank worst.
    return highest if compute_auc(y, highest) >= 1 - compute_auc(y, lowest) else lowest


def _overdue_rates(column: pd.Series, y: FloatArray) -> FloatArray:
    codes, levels = pd.factorize(column.astype("str"), sort=True)
    codes = np.where(codes < 0, len(levels), codes)
    rows = np.bincount(codes, minlength=len(levels) + 1)
    codes = np.where(rows[codes] < MIN_ROWS, len(levels) + 1, codes)
    rows = np.bincount(codes)
    bad = np.bincount(codes, weights=y)
    return np.asarray((bad / np.maximum(rows, 1))[codes], dtype=np.float64)
