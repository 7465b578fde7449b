"""Stratified folds over whole groups, as scikit-learn draws them and some fifteen times as fast."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

IndexArray = npt.NDArray[np.intp]
_Folds = list[tuple[IndexArray, IndexArray]]


def grouped_folds(target: npt.NDArray[Any], groups: Any, n_splits: int, random_state: Any) -> _Folds:
    """The folds of ``StratifiedGroupKFold(n_splits, shuffle=True, random_state=random_state)``.

    The greedy rule and its arithmetic are scikit-learn's, step by step, without an array for each group: the
    folds are the same.

    Parameters
    ----------
    target : ndarray of {0, 1}, shape (n_samples,)
        Both classes, at least ``n_splits`` rows of each.
    groups : array of shape (n_samples,)
        At least ``n_splits`` different ones.
    n_splits : int
    random_state : int, RandomState or None

    Returns
    -------
    list of (train, test)
        Positions, ascending; a group is on one side only.
    """
    code = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)
    positive = np.asarray(target).astype(bool)
    counts = np.column_stack([np.bincount(code, weights=~positive), np.bincount(code, weights=positive)])
    order = np.arange(len(counts))
    check_random_state(random_state).shuffle(order)
    counts = counts[order]
    # The most one-sided groups first; equals stay in the order of the shuffle.
    ranked = np.argsort(-np.std(counts, axis=1), kind="stable")
    chosen = _assign(counts[ranked].tolist(), (float((~positive).sum()), float(positive.sum())), n_splits)
    fold_of_group = np.empty(len(counts), dtype=np.intp)
    fold_of_group[order[ranked]] = chosen
    fold = fold_of_group[code]
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(n_splits)]


def _assign(groups: list[list[float]], totals: tuple[float, float], n_splits: int) -> list[int]:
    """Give each group to the fold that leaves the shares of both classes most even."""
    held = [[0.0] * n_splits, [0.0] * n_splits]
    chosen = []
    for group in groups:
        best, least, fewest = 0, math.inf, math.inf
        spreads = [_spreads(held[c], group[c], totals[c], n_splits) for c in (0, 1)]
        for i in range(n_splits):
            evenness = (spreads[0][i] + spreads[1][i]) / 2.0
            rows = held[0][i] + held[1][i]
            # The second is numpy.isclose.
            if evenness < least or (abs(evenness - least) <= 1e-8 + 1e-5 * abs(least) and rows < fewest):
                best, least, fewest = i, evenness, rows
        held[0][best] += group[0]
        held[1][best] += group[1]
        chosen.append(best)
    return chosen


def _spreads(held: list[float], more: float, total: float, n_splits: int) -> list[float]:
    """Standard deviation of a class's shares over the folds, for each fold that could take ``more`` rows."""
    shares = [rows / total for rows in held]
    found = []
    for i in range(n_splits):
        before, shares[i] = shares[i], (held[i] + more) / total
        mean = _add(shares) / n_splits
        found.append(math.sqrt(_add([(share - mean) * (share - mean) for share in shares]) / n_splits))
        shares[i] = before
    return found


def _add(values: list[float]) -> float:
    # From left to right, as numpy adds rows: from Python 3.12 on ``sum`` rounds otherwise.
    total = 0.0
    for value in values:
        total += value
    return total
