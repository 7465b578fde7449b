"""Exact SHAP interaction values: how much two features move a score together beyond each alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.errors import ModelError
from overdue_ml.explain._treeshap_interactions import interact_block
from overdue_ml.explain.treeshap import TreeShap
from overdue_ml.model import OverdueClassifier

FloatArray = npt.NDArray[np.float64]

#: Numbers of a block of interactions: 16 MB a thread.
_BLOCK_CELLS = 2**21


def interaction_values(
    texts: Sequence[str], X: Any, *, average: bool = True, n_threads: int | None = None
) -> FloatArray:
    """Path-dependent SHAP interaction values of a LightGBM model or a bag, exact with gaps and categories.

    The contribution of a feature is split over all features: what it does alone stands on the diagonal, what
    it does together with another in two equal halves off it. The rows of the last two axes add up to the
    contributions of :class:`overdue_ml.explain.TreeShap`.

    Parameters
    ----------
    texts : sequence of str
        What ``Booster.model_to_string()`` gives, one for each member of a bag.
    X : ndarray or DataFrame of numbers, shape (n_samples, n_features)
        Categories as the codes that LightGBM was trained with.
    average : bool
        Whether the score of a bag is the mean of its members, and not their sum.
    n_threads : int, optional
        All cores by default and below 1; the result does not depend on it.

    Returns
    -------
    ndarray of float64, shape (n_samples, n_features, n_features)
        In log-odds. 8 bytes x n_samples x n_features squared.

    Raises
    ------
    ModelError
        See :meth:`overdue_ml.explain.TreeShap.from_text`; or if X has other columns.

    References
    ----------
    Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees,
    Nature Machine Intelligence 2.
    """
    explainer = TreeShap.from_text(texts, average=average, max_cells=1)
    n = len(X)
    values = np.empty((n, explainer.n_features, explainer.n_features))
    for start, block in _blocks(explainer, X, n_threads):
        values[start : start + block.shape[2]] = block.transpose(2, 0, 1)
    return values


def compute_interactions(classifier: OverdueClassifier, features: pd.DataFrame) -> pd.DataFrame:
    """How much pairs of features move scores together, over some customers.

    Parameters
    ----------
    classifier : OverdueClassifier
    features : pandas.DataFrame, shape (n_samples, n_features)
        A sample: each row costs about a hundred times what its contributions do.

    Returns
    -------
    pandas.DataFrame
        feature_1, feature_2 (the earlier column first), mean_abs and mean of the interaction, both halves
        together, in log-odds; the largest mean_abs first, no pair that never acts together.

    Raises
    ------
    ModelError
        If nobody is in the sample or the model has no tables.
    """
    if not len(features):
        raise ModelError("there are no rows to find interactions in", expected="a sample of the book")
    # The order of the rows must not change a sum's last bits.
    rows = classifier.to_matrix(features.sort_index(kind="stable"))
    texts = [booster.model_to_string() for booster in classifier.boosters_]
    explainer = TreeShap.from_text(texts, max_cells=1)
    size, sums = np.zeros((2, explainer.n_features, explainer.n_features))
    for _, block in _blocks(explainer, rows, classifier.n_jobs):
        size += np.abs(block).sum(axis=2)
        sums += block.sum(axis=2)
    one, other = np.triu_indices(explainer.n_features, 1)
    names = features.columns.to_numpy()
    found = pd.DataFrame(
        {
            "feature_1": names[one],
            "feature_2": names[other],
            "mean_abs": 2.0 * size[one, other] / len(rows),
            "mean": 2.0 * sums[one, other] / len(rows),
        }
    )
    kept = found[found["mean_abs"] > 0]
    return kept.sort_values("mean_abs", ascending=False, kind="stable", ignore_index=True)


def _blocks(explainer: TreeShap, X: Any, n_threads: int | None) -> Iterator[tuple[int, FloatArray]]:
    """The first row of each block and its interactions, of shape (features, features, rows)."""
    rows = X.to_numpy(dtype=np.float64) if hasattr(X, "to_numpy") else np.asarray(X, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != explainer.n_features:
        raise ModelError(
            f"the matrix has the shape {rows.shape}",
            expected=f"two dimensions, {explainer.n_features} columns",
        )
    size = max(_BLOCK_CELLS // explainer.n_features**2, 1)

    def work(start: int) -> tuple[int, FloatArray]:
        block = np.ascontiguousarray(rows[start : start + size].T)
        out = np.zeros((explainer.n_features, *block.shape))
        interact_block(explainer._tables, block, out)
        out /= explainer._divisor
        return start, out

    threads = n_threads if n_threads is not None and n_threads > 0 else os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        # So many at a time, as the blocks of a large sample do not fit into memory.
        for first in range(0, len(rows), threads * size):
            yield from pool.map(work, range(first, min(first + threads * size, len(rows)), size))
