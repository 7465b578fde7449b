"""Plain models beside ours: a scorecard on bins, and a logistic regression on ranks.

Neither knows interactions. Where our model is hardly better than one of
them, the plain one is easier to defend.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from overdue_ml.errors import ModelError
from overdue_ml.model.calibration import sigmoid
from overdue_ml.model.encoding import category_levels, encode

FloatArray = npt.NDArray[np.float64]
#: Fewer missing rows or rows of a level than this have no weight of their own.
_MIN_ROWS = 50
_SMOOTHING = 0.5


class _PlainModel(ClassifierMixin, BaseEstimator):
    """Columns turned into terms one by one, and a logistic regression on the terms."""

    C: float

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the terms and the logistic regression.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
            Numbers, NaN for missing; ``category`` or string columns are categories.
        y : array of shape (n_samples,)
            Two classes.
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        self

        Raises
        ------
        ModelError
            If a library that is needed is not installed.
        ValueError
            If labels or numbers cannot be used.
        """
        frame = _frame(X)
        y = np.asarray(y)
        if len(y) != len(frame) or pd.isna(y).any():
            raise ValueError(f"y must hold {len(frame)} labels, none missing")
        self.classes_, target = np.unique(y, return_inverse=True)
        if len(self.classes_) != 2:
            raise ValueError(f"y must hold two classes, got {len(self.classes_)}")
        self.feature_names_in_ = np.array([str(name) for name in frame.columns], dtype=object)
        self.n_features_in_ = frame.shape[1]
        self.categories_ = category_levels(frame)
        matrix = self._matrix(frame)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        counted = np.ones(len(target)) if weight is None else weight
        self._fit_terms(matrix, target.astype(np.float64), counted)
        # Newton steps on a few hundred terms: exact, and without a number of iterations to choose.
        self.regression_ = LogisticRegression(C=self.C, solver="newton-cholesky", max_iter=200)
        self.regression_.fit(self._terms(matrix), target, sample_weight=weight)
        return self

    def _matrix(self, frame: pd.DataFrame) -> FloatArray:
        matrix = encode(frame, self.categories_).to_numpy(dtype=np.float64)
        if np.isinf(matrix).any():
            raise ValueError("X contains infinity")
        return matrix

    def _fit_terms(self, matrix: FloatArray, target: FloatArray, weight: FloatArray) -> None:
        raise NotImplementedError

    def _terms(self, matrix: FloatArray) -> FloatArray:
        raise NotImplementedError

    def decision_function(self, X: Any) -> FloatArray:
        """Log-odds, finite for missing values and levels that training did not see.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        check_is_fitted(self)
        frame = _frame(X)
        names = [str(name) for name in frame.columns]
        if names != list(self.feature_names_in_):
            raise ValueError("the columns of X are not those of training, or in another order")
        terms = self._terms(self._matrix(frame))
        return np.asarray(self.regression_.decision_function(terms), dtype=np.float64)

    def predict_proba(self, X: Any) -> FloatArray:
        """Probabilities, columns in the order of ``classes_``.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples, 2)
        """
        positive = sigmoid(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The class with the higher probability.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        return np.asarray(self.classes_[(self.decision_function(X) > 0).astype(int)])


def _frame(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X
    values = np.asarray(X, dtype=np.float64)
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])


@dataclass(frozen=True)
class Bins:
    """Weights of evidence of one column; positive is riskier than average.

    Attributes
    ----------
    position : int
    splits : tuple of float or None
        Upper bounds, exclusive, of all bins but the last; None for a category, whose bins are its levels.
    woe : tuple of float
        One a bin.
    woe_missing : float
        Of missing values and unknown levels; 0 where training had too few of them.
    iv : float
        Information value.
    """

    position: int
    splits: tuple[float, ...] | None
    woe: tuple[float, ...]
    woe_missing: float
    iv: float

    def term(self, values: FloatArray) -> FloatArray:
        """The weight of evidence of each value."""
        missing = np.isnan(values)
        places = values if self.splits is None else np.searchsorted(self.splits, values, side="right")
        known = np.where(missing, 0, places).astype(np.intp)
        return np.where(missing, self.woe_missing, np.array(self.woe)[known])


class ScorecardChallenger(_PlainModel):
    """Logistic regression on weights of evidence: the scorecard that banks know.

    Numbers are cut into bins by optbinning, whose weights rise or fall throughout; levels of a category are
    bins. Columns that say too little are left out. Needs the extra ``scorecard``.

    Parameters
    ----------
    max_prebins : int, default 20
        Bins to begin with, which are then merged.
    min_bin_share : float, default 0.05
        Share of the rows in a bin.
    min_iv : float, default 0.02
        Columns with a lower information value are left out, but for the best one.
    C : float, default 1.0
        Inverse of the penalty of the logistic regression.

    Attributes
    ----------
    bins_ : list of Bins
        Columns that were kept.

    References
    ----------
    Navas-Palencia (2020), Optimal binning: mathematical programming formulation, arXiv 2001.08025.
    """

    def __init__(
        self,
        *,
        max_prebins: int = 20,
        min_bin_share: float = 0.05,
        min_iv: float = 0.02,
        C: float = 1.0,
    ) -> None:
        self.max_prebins = max_prebins
        self.min_bin_share = min_bin_share
        self.min_iv = min_iv
        self.C = C

    def _fit_terms(self, matrix: FloatArray, target: FloatArray, weight: FloatArray) -> None:
        if find_spec("optbinning") is None:
            raise ModelError(
                "the scorecard needs optbinning, which is not installed",
                next_step="install overdue_ml with the extra 'scorecard'",
            )
        found = []
        for position in range(matrix.shape[1]):
            values = matrix[:, position]
            splits = None if position in self.categories_ else self._splits(values, target)
            found.append(self._weigh(position, values, target, weight, splits))
        best = max(found, key=lambda bins: bins.iv)
        self.bins_ = [bins for bins in found if bins.iv >= self.min_iv or bins is best]

    def _splits(self, values: FloatArray, target: FloatArray) -> tuple[float, ...]:
        seen = ~np.isnan(values)
        part, labels = values[seen], target[seen].astype(int)
        if len(np.unique(part)) < 2 or len(np.unique(labels)) < 2:
            return ()
        from optbinning import OptimalBinning

        binning = OptimalBinning(
            dtype="numerical",
            max_n_prebins=self.max_prebins,
            min_prebin_size=self.min_bin_share,
            monotonic_trend="auto_asc_desc",
        )
        binning.fit(part, labels)
        return tuple(float(split) for split in binning.splits)

    def _weigh(
        self,
        position: int,
        values: FloatArray,
        target: FloatArray,
        weight: FloatArray,
        splits: tuple[float, ...] | None,
    ) -> Bins:
        n_bins = len(self.categories_[position]) if splits is None else len(splits) + 1
        missing = np.isnan(values)
        places = values if splits is None else np.searchsorted(splits, values, side="right")
        # Missing is one more bin, the last.
        codes = np.where(missing, n_bins, places).astype(np.intp)
        counts = np.bincount(codes, minlength=n_bins + 1)
        bad = np.bincount(codes, weight * target, n_bins + 1)
        good = np.bincount(codes, weight * (1 - target), n_bins + 1)
        bad_share = (bad + _SMOOTHING) / (bad.sum() + _SMOOTHING)
        good_share = (good + _SMOOTHING) / (good.sum() + _SMOOTHING)
        woe = np.where(counts >= min(_MIN_ROWS, len(values) / 2), np.log(bad_share / good_share), 0.0)
        iv = float(((bad / bad.sum() - good / good.sum()) * woe).sum())
        return Bins(position, splits, tuple(woe[:n_bins].tolist()), float(woe[n_bins]), iv)

    def _terms(self, matrix: FloatArray) -> FloatArray:
        return np.column_stack([bins.term(matrix[:, bins.position]) for bins in self.bins_])


class LogisticChallenger(_PlainModel):
    """Logistic regression on ranks of numbers and flags of missing values and levels.

    Parameters
    ----------
    C : float, default 0.1
        Inverse of the penalty.
    n_quantiles : int, default 101
        Points of the training distribution that a value is placed between.

    Attributes
    ----------
    quantiles_ : dict of int to ndarray
        Column position to its training quantiles; a column without two values is left out.
    """

    def __init__(self, *, C: float = 0.1, n_quantiles: int = 101) -> None:
        self.C = C
        self.n_quantiles = n_quantiles

    def _fit_terms(self, matrix: FloatArray, target: FloatArray, weight: FloatArray) -> None:  # noqa: ARG002
        self.quantiles_: dict[int, FloatArray] = {}
        self.flagged_: list[int] = []
        shares = np.linspace(0.0, 1.0, self.n_quantiles)
        for position in range(matrix.shape[1]):
            values = matrix[:, position]
            missing = np.isnan(values)
            if 0 < missing.sum() < len(values):
                self.flagged_.append(position)
            seen = values[~missing]
            if position not in self.categories_ and len(np.unique(seen)) > 1:
                self.quantiles_[position] = np.quantile(seen, shares)

    def _terms(self, matrix: FloatArray) -> FloatArray:
        terms = [np.zeros(len(matrix))]  # so that there is a term where every column is constant
        shares = np.linspace(-1.0, 1.0, self.n_quantiles)
        for position, quantiles in self.quantiles_.items():
            values = matrix[:, position]
            # The middle of the places that a repeated value takes, from both sides.
            left = np.interp(values, quantiles, shares)
            right = -np.interp(-values, -quantiles[::-1], shares)
            terms.append(np.where(np.isnan(values), 0.0, (left + right) / 2 * np.sqrt(3.0)))
        for position, levels in self.categories_.items():
            terms += [(matrix[:, position] == level).astype(float) for level in range(len(levels))]
        terms += [np.isnan(matrix[:, position]).astype(float) for position in self.flagged_]
        return np.column_stack(terms)
