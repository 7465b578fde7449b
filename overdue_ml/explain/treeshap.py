"""Exact SHAP contributions of LightGBM models at about the cost of a prediction.

The path-dependent contributions of a leaf depend on a row only through which of the features on the leaf's
path the row satisfies. They are computed once a model for every such pattern, summed up over leaves that
stand side by side, and looked up for each row; leaves with too many features for a table are integrated
exactly. Scores come out of the same pass. Results equal LightGBM's ``pred_contrib`` up to rounding.

References
----------
Lundberg et al. (2020), From local explanations to global understanding with explainable AI for trees,
Nature Machine Intelligence 2. Yang (2021), Fast TreeSHAP. Nadel and Wettenstein (2026), From
Decision Trees to Boolean Logic, AAAI 40 (Woodelf).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import fsum
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from overdue_ml.errors import ModelError
from overdue_ml.explain._treeshap_build import build_tables
from overdue_ml.explain._treeshap_pass import Tables, explain_block, pick_top
from overdue_ml.explain._treeshap_text import read_trees

FloatArray = npt.NDArray[np.float64]

#: Rows that a thread works on at a time: large enough for the tables to be read rarely.
BLOCK = 8192
MAX_CELLS = 4096
MAX_BYTES = 256 * 2**20
# Features above which a block has fewer rows, so that it stays in the caches.
_BLOCK_FEATURES = 128
# What reading a number of a table costs each row of a block, in look-ups.
_CELL_COST = 6.0 / BLOCK


class Explained(NamedTuple):
    """Contributions of every feature.

    ``contributions`` has the shape (n_samples, n_features), by column in memory; ``base`` and ``scores``
    (n_samples,). Base plus contributions is the score, up to rounding.
    """

    contributions: FloatArray
    base: FloatArray
    scores: FloatArray


class TopExplained(NamedTuple):
    """The largest contributions of every row.

    ``indices`` of the features and ``values``, largest size first, have the shape (n_samples, k);
    ``scores`` and ``rest``, the sum of all other contributions, (n_samples,).
    """

    indices: npt.NDArray[np.int64]
    values: FloatArray
    scores: FloatArray
    rest: FloatArray


def _background_rows(background: Any, n_features: int) -> FloatArray:
    rows = np.asarray(background, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != n_features or not len(rows):
        raise ModelError(
            f"the background has the shape {rows.shape}", expected=f"rows of {n_features} columns"
        )
    return rows


@dataclass(frozen=True, eq=False)
class TreeShap:
    """Explainer of one LightGBM model with one output, or of a bag of them.

    Made by :meth:`from_text`. Takes splits on numbers and on categories, and all kinds of missing values.

    Attributes
    ----------
    n_features : int
    base : float
        Expected score, the mean over the background where there is one: where every sum starts.

    Examples
    --------
    >>> import lightgbm as lgb
    >>> import numpy as np
    >>> from overdue_ml.explain import TreeShap
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 4))
    >>> data = lgb.Dataset(X, X[:, 0] + X[:, 1] ** 2 > 1)
    >>> booster = lgb.train({"objective": "binary", "verbose": -1}, data, num_boost_round=20)
    >>> explainer = TreeShap.from_text([booster.model_to_string()])
    >>> found = explainer.explain(X)
    >>> expected = booster.predict(X, pred_contrib=True)
    >>> bool(np.abs(found.contributions - expected[:, :-1]).max() < 1e-9)
    True
    >>> bool((found.scores == booster.predict(X, raw_score=True)).all())
    True
    """

    n_features: int
    base: float
    _tables: Tables
    _divisor: int

    @classmethod
    def from_text(
        cls,
        texts: Sequence[str],
        *,
        average: bool = True,
        max_cells: int = MAX_CELLS,
        max_bytes: int = MAX_BYTES,
        background: Any = None,
    ) -> Self:
        """Build the tables of a model.

        Parameters
        ----------
        texts : sequence of str
            What ``Booster.model_to_string()`` gives, one for each member of a bag.
        average : bool
            Whether the score of a bag is the mean of its members, and not their sum.
        max_cells : int
            Cells of a table, at most 65,536; leaves that need more are integrated for each row.
        max_bytes : int
            Memory of all tables; they are made smaller, and the pass slower, until they fit.
        background : ndarray or DataFrame of numbers, shape (n_rows, n_features), optional
            Rows against which contributions are taken (interventional: a feature that is not known takes
            its value from a row of the background, whatever the other features are). Without it they are
            path-dependent, as ``pred_contrib`` has them. The cost of a row is the same; that of building
            rises with the number of patterns that the rows show, not with the rows themselves.

        Returns
        -------
        TreeShap

        Raises
        ------
        ModelError
            If a text cannot be read, or the model is of a kind that tables cannot explain: several outputs,
            linear leaves, members with different numbers of features, or trees far too large. If the
            background has no rows or other columns.
        """
        if not texts or isinstance(texts, str):
            raise ModelError(
                "an explainer needs a list of model texts", expected="one text for each member of the bag"
            )
        if not 1 <= max_cells <= 2**16:
            raise ModelError(f"max_cells is {max_cells}", expected="1 to 65,536")
        read = [read_trees(text) for text in texts]
        if len({n for n, _ in read}) > 1:
            raise ModelError("the members of the bag have different numbers of features")
        divisor = len(texts) if average else 1
        trees = [own for _, own in read]
        rows = None if background is None else _background_rows(background, read[0][0])
        total = 0.0
        for own in trees:
            expected = 0.0
            for tree in own:
                expected += tree.expected_value
            total += expected
        while True:
            tables = build_tables(trees, max_cells, _CELL_COST, max_bytes, rows)
            if tables is not None:
                break
            max_cells = max(max_cells // 2, 1)
        built = cls(read[0][0], total / divisor, tables, divisor)
        # Summed exactly: the order of the rows changes nothing.
        return built if rows is None else replace(built, base=fsum(built.explain(rows).scores) / len(rows))

    @property
    def n_bytes(self) -> int:
        """Memory of the tables and of everything else that the pass reads."""
        return sum(int(part.nbytes) for part in self._tables)

    def explain(
        self, X: Any, n_threads: int | None = None, progress: Callable[[int, int], Any] | None = None
    ) -> Explained:
        """Contributions of every feature to every row's score, and the scores.

        Parameters
        ----------
        X : ndarray or DataFrame of numbers, shape (n_samples, n_features)
            Categories as the codes that LightGBM was trained with.
        n_threads : int, optional
            All cores by default and below 1; the result does not depend on it.
        progress : callable, optional
            Called with (rows done, rows in all) after each block.

        Returns
        -------
        Explained

        Raises
        ------
        ModelError
            If X has another number of columns than the model.
        """
        n = self._check(X)
        by_column = np.empty((self.n_features, n))
        scores = np.empty(n)

        def run(start: int, stop: int, sums: FloatArray, found: FloatArray) -> None:
            by_column[:, start:stop] = sums
            scores[start:stop] = found

        self._run(X, n_threads, run, progress)
        return Explained(by_column.T, np.full(n, self.base), scores)

    def explain_top(self, X: Any, k: int, n_threads: int | None = None) -> TopExplained:
        """The k largest contributions of every row, without a matrix of all in memory.

        Parameters
        ----------
        X : ndarray or DataFrame of numbers, shape (n_samples, n_features)
            Categories as the codes that LightGBM was trained with.
        k : int
            At most the number of features.
        n_threads : int, optional
            All cores by default and below 1; the result does not depend on it.

        Returns
        -------
        TopExplained

        Raises
        ------
        ModelError
            If X has another number of columns than the model, or k is out of range.
        """
        if not 1 <= k <= self.n_features:
            raise ModelError(f"k is {k}", expected=f"1 to {self.n_features}, the number of features")
        n = self._check(X)
        indices, values = np.empty((n, k), np.int64), np.empty((n, k))
        scores, rest = np.empty(n), np.empty(n)

        def run(start: int, stop: int, sums: FloatArray, found: FloatArray) -> None:
            pick_top(sums, indices[start:stop], values[start:stop], rest[start:stop])
            scores[start:stop] = found

        self._run(X, n_threads, run, None)
        return TopExplained(indices, values, scores, rest)

    def predict(self, X: Any, n_threads: int | None = None) -> FloatArray:
        """Every row's score alone: LightGBM's raw one bit for bit.

        Parameters
        ----------
        X : ndarray or DataFrame of numbers, shape (n_samples, n_features)
            Categories as the codes that LightGBM was trained with.
        n_threads : int, optional
            All cores by default and below 1; the result does not depend on it.

        Returns
        -------
        ndarray of float64, shape (n_samples,)

        Raises
        ------
        ModelError
            If X has another number of columns than the model.
        """
        scores = np.empty(self._check(X))

        def run(start: int, stop: int, _: FloatArray, found: FloatArray) -> None:
            scores[start:stop] = found

        self._run(X, n_threads, run, None)
        return scores

    def _check(self, X: Any) -> int:
        shape = np.shape(X)
        if len(shape) != 2 or shape[1] != self.n_features:
            raise ModelError(
                f"the matrix has the shape {shape}", expected=f"two dimensions, {self.n_features} columns"
            )
        return int(shape[0])

    def _run(
        self,
        X: Any,
        n_threads: int | None,
        keep: Callable[[int, int, FloatArray, FloatArray], None],
        progress: Callable[[int, int], Any] | None,
    ) -> None:
        n = len(X)
        rows = X.iloc if hasattr(X, "iloc") else X
        size = max(BLOCK * _BLOCK_FEATURES // max(self.n_features, _BLOCK_FEATURES), 1)

        def work(start: int) -> int:
            stop = min(start + size, n)
            block = np.ascontiguousarray(np.asarray(rows[start:stop], dtype=np.float64).T)
            sums, scores = np.zeros(block.shape), np.zeros(stop - start)
            explain_block(self._tables, block, sums, scores)
            sums /= self._divisor
            scores /= self._divisor
            keep(start, stop, sums, scores)
            return stop

        threads = n_threads if n_threads is not None and n_threads > 0 else os.cpu_count()
        with ThreadPoolExecutor(threads) as pool:
            for stop in pool.map(work, range(0, n, size)):
                if progress is not None:
                    progress(stop, n)
