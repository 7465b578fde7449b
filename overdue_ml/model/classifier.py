"""``OverdueClassifier``: LightGBM with the habits of scikit-learn and the caution of a lender."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from overdue_ml.errors import ModelError
from overdue_ml.model._training import FloatArray, IndexArray, MemberTraining
from overdue_ml.model.calibration import Calibrator, IdentityCalibrator, fit_calibrator
from overdue_ml.model.calibration_choice import CalibrationChoice, choose_calibrator
from overdue_ml.model.encoding import count_unknown
from overdue_ml.model.interval import ScoreBand, fit_band


class OverdueClassifier(ClassifierMixin, MemberTraining):
    """Gradient-boosted trees for the probability of going overdue.

    The bag has one LightGBM model for each fold, trained on the rows of all the others with a seed of its
    own. The raw score is their mean log-odds; a calibrator fitted on the log-odds that each row got from
    the one member that did not see it turns the score into a probability. Missing
    values and pandas categories are taken natively. There is no class-imbalance switch: it would
    spoil the probabilities.

    Parameters
    ----------
    n_estimators : int, default 400
        Trees of each member; an upper limit with early stopping.
    learning_rate : float, default 0.03
    num_leaves : int, default 8
    max_depth : int, default 8
        Kept low: explaining a row costs the square of the depth.
    min_child_samples : int, default 50
    reg_lambda : float, default 10.0
        L2 penalty on leaf values.
    colsample_bytree : float, default 0.15
        Share of the columns drawn for each tree, but no less than five columns.
    subsample : float, default 0.7
        Share of rows drawn anew for each tree.
    max_bin : int, default 63
    monotone_constraints : dict of str to {-1, 0, 1}, optional
        Feature name to direction of the log-odds: +1 never falls as the feature rises.
    calibration : {'platt', 'beta', 'isotonic', 'venn_abers', 'none', 'auto'}, default 'platt'
        With ``auto`` the one with the lowest log loss on held-out rows, later in time where there are
        several ``dates``; see :func:`overdue_ml.model.choose_calibrator`.
    cv : int, splitter or iterable of (train, held out) positions, default 5
        Folds, and so members of the bag. A number means stratified folds in random order, grouped where
        ``groups`` are given; rows that a splitter never holds out do not take part in calibration.
    early_stopping_rounds : int, optional
        Stop adding trees when the log loss of the latest ``dates`` has not fallen for so many.
    random_state : int, default 0
    n_jobs : int, optional
        Threads, all cores by default; the trees do not depend on it.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The second is the one whose probability is predicted.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Only for input with string column names.
    categories_ : dict of int to list of str
        Column position to the levels seen in training.
    boosters_ : list of lightgbm.Booster
        One for each fold; a single one on all rows where a class is too small to be split.
    calibrator_ : Calibrator
    calibration_choice_ : CalibrationChoice or None
        What ``calibration='auto'`` compared.
    interval_ : ScoreBand or None
        Fitted on the same log-odds as the calibrator; None where that was not fitted.
    out_of_fold_log_odds_ : ndarray of float64, shape (n_samples,)
        What the calibrator was fitted on, NaN for a row never held out; None where it was not fitted.
    n_trees_ : int
        Trees of each member.

    Examples
    --------
    >>> import numpy as np
    >>> from overdue_ml.model import OverdueClassifier
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 3))
    >>> y = (X[:, 0] + rng.normal(size=400) > 1).astype(int)
    >>> model = OverdueClassifier(n_estimators=20).fit(X, y)
    >>> model.predict_proba(X).shape
    (400, 2)
    """

    def __init__(
        self,
        *,
        n_estimators: int = 400,
        learning_rate: float = 0.03,
        num_leaves: int = 8,
        max_depth: int = 8,
        min_child_samples: int = 50,
        reg_lambda: float = 10.0,
        colsample_bytree: float = 0.15,
        subsample: float = 0.7,
        max_bin: int = 63,
        monotone_constraints: dict[str, int] | None = None,
        calibration: str = "platt",
        cv: Any = 5,
        early_stopping_rounds: int | None = None,
        random_state: int | None = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.num_leaves = num_leaves
        self.max_depth = max_depth
        self.min_child_samples = min_child_samples
        self.reg_lambda = reg_lambda
        self.colsample_bytree = colsample_bytree
        self.subsample = subsample
        self.max_bin = max_bin
        self.monotone_constraints = monotone_constraints
        self.calibration = calibration
        self.cv = cv
        self.early_stopping_rounds = early_stopping_rounds
        self.random_state = random_state
        self.n_jobs = n_jobs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = False
        return tags

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        dates: Any = None,
    ) -> Self:
        """Fit the bag and the calibrator.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)
            Numbers, NaN for missing; ``category`` or string columns of a DataFrame are categories.
        y : array of shape (n_samples,)
            Two classes.
        sample_weight : array of shape (n_samples,), optional
            Not negative.
        groups : array of shape (n_samples,), optional
            Customer of each row: no customer is on both sides of a fold.
        dates : array of shape (n_samples,), optional
            as_of date of each row; used by early stopping and by ``calibration='auto'``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels, weights, constraints or numbers cannot be used.
        """
        matrix, target, weight = self._prepare(X, y, sample_weight)
        for name, values in (("groups", groups), ("dates", dates)):
            if values is not None and len(values) != len(matrix):
                raise ValueError(f"X has {len(matrix)} rows and {name} has {len(values)}")
        self._fit_members(matrix, target, weight, groups, dates)
        return self

    def _fit_members(
        self,
        matrix: FloatArray,
        target: FloatArray,
        weight: FloatArray | None,
        groups: Any,
        dates: Any,
    ) -> None:
        """One member for each fold, trained on the others, and the calibrator on what each held out."""
        generator = np.random.default_rng(self.random_state)
        self.n_trees_ = self._choose_trees(matrix, target, weight, dates, _draw_seeds(generator, 1)[0])
        folds = [fold for fold in self._folds(target, groups) if _has_both(target, weight, fold)]
        parts = [train for train, _ in folds] or [np.arange(len(target))]
        seeds = _draw_seeds(generator, len(parts))

        def train(rows: IndexArray, seed: int) -> Any:
            part = None if weight is None else weight[rows]
            return self._train(matrix[rows], target[rows], part, seed, self.n_trees_)

        # One thread a member: small trees gain little from more, and members are independent.
        self.boosters_ = list(
            Parallel(n_jobs=self.n_jobs or -1, prefer="threads")(
                delayed(train)(rows, seed) for rows, seed in zip(parts, seeds, strict=True)
            )
        )
        log_odds = np.full(len(target), np.nan)
        for (_, held_out), booster in zip(folds, self.boosters_, strict=False):
            if len(held_out):
                log_odds[held_out] = booster.predict(matrix[held_out], raw_score=True)
        self._calibrate(log_odds, target, weight, dates)

    def _calibrate(
        self, log_odds: FloatArray, target: FloatArray, weight: FloatArray | None, dates: Any
    ) -> None:
        self.out_of_fold_log_odds_ = None
        self.calibrator_: Calibrator = IdentityCalibrator()
        self.calibration_choice_: CalibrationChoice | None = None
        self.interval_: ScoreBand | None = None
        seen = ~np.isnan(log_odds)
        if len(np.unique(target[seen])) < 2:
            return
        self.out_of_fold_log_odds_ = log_odds
        z, y, part = log_odds[seen], target[seen], None if weight is None else weight[seen]
        kind = self.calibration
        if kind == "auto":
            when = None if dates is None else np.asarray(dates)[seen]
            self.calibration_choice_ = choose_calibrator(z, y, dates=when, sample_weight=part)
            kind = self.calibration_choice_.chosen
        self.calibrator_ = fit_calibrator(kind, z, y, part)
        self.interval_ = fit_band(z, y, part)

    def to_matrix(self, X: Any) -> FloatArray:
        """The matrix that the boosters see: categories as codes, NaN where missing or never seen.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        return self._design(X, reset=False)

    def decision_function(self, X: Any) -> FloatArray:
        """Mean log-odds of the bag: what to rank by.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples,)
        """
        check_is_fitted(self)
        matrix = self._design(X, reset=False)
        total = np.zeros(len(matrix))
        for booster in self.boosters_:
            total += booster.predict(matrix, raw_score=True, num_threads=self.n_jobs or 0)
        return total / len(self.boosters_)

    def predict_proba(self, X: Any) -> FloatArray:
        """Calibrated probabilities.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples, 2)
            Columns in the order of ``classes_``.
        """
        check_is_fitted(self)
        positive = self.calibrator_.predict(self.decision_function(X))
        return np.column_stack([1.0 - positive, positive])

    def predict_interval(self, X: Any) -> FloatArray:
        """Lower and upper end of the probability of each row, 95 %.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of float64, shape (n_samples, 2)
            Low and high; see :meth:`interval_of_log_odds`.

        Raises
        ------
        ModelError
            If no row was held out in training.
        """
        return self.interval_of_log_odds(self.decision_function(X))

    def interval_of_log_odds(self, log_odds: FloatArray) -> FloatArray:
        """The same from log-odds that are there already, at no cost.

        A 95 % band around the overdue rate of the held-out rows that score alike, widened where the
        calibrator says less or more. It tells how well a probability is known at this score, not how this
        customer will decide. The two Venn-Abers probabilities are no such interval: with many rows they
        lie so close together that they seldom hold the rate.

        Parameters
        ----------
        log_odds : ndarray of float64, shape (n_samples,)

        Returns
        -------
        ndarray of float64, shape (n_samples, 2)

        Raises
        ------
        ModelError
            If no row was held out in training.
        """
        check_is_fitted(self)
        if self.interval_ is None:
            raise ModelError(
                "the model has no interval", expected="one trained with rows held out of each member",
                next_step="train it again, with more rows of both classes or another cv",
            )  # fmt: skip
        low, high = self.interval_.bounds(log_odds)
        p = self.calibrator_.predict(log_odds)
        return np.column_stack([np.minimum(low, p), np.maximum(high, p)])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The class with the higher calibrated probability.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        chosen = (self.predict_proba(X)[:, 1] > 0.5).astype(int)
        return np.asarray(self.classes_[chosen])

    def predict_contributions(self, X: Any) -> tuple[FloatArray, FloatArray]:
        """Exact path-dependent SHAP values of the log-odds, by LightGBM's TreeSHAP.

        Parameters
        ----------
        X : DataFrame or array of shape (n_samples, n_features)

        Returns
        -------
        contributions : ndarray of float64, shape (n_samples, n_features)
            In log-odds; with ``base`` they sum to :meth:`decision_function`.
        base : ndarray of float64, shape (n_samples,)
            The expected log-odds, the same for every row.

        References
        ----------
        Lundberg et al. (2020), From local explanations to global understanding with explainable AI
        for trees, Nature Machine Intelligence 2.
        """
        check_is_fitted(self)
        matrix = self._design(X, reset=False)
        total = np.zeros((len(matrix), self.n_features_in_ + 1))
        for booster in self.boosters_:
            total += booster.predict(matrix, pred_contrib=True, num_threads=self.n_jobs or 0)
        total /= len(self.boosters_)
        return total[:, :-1], total[:, -1]

    def count_unknown_categories(self, X: pd.DataFrame) -> dict[str, int]:
        """Rows of each categorical column whose level was not seen in training (missing ones too).

        Parameters
        ----------
        X : DataFrame of shape (n_samples, n_features)
        """
        check_is_fitted(self)
        return count_unknown(X, self.categories_)


def _has_both(target: FloatArray, weight: FloatArray | None, fold: tuple[IndexArray, IndexArray]) -> bool:
    """Whether a fold trains on both classes: folds made of few groups can be one-sided."""
    rows = fold[0] if weight is None else fold[0][weight[fold[0]] > 0]
    return len(np.unique(target[rows])) == 2


def _draw_seeds(generator: np.random.Generator, n: int) -> list[int]:
    return [int(seed) for seed in generator.integers(1, 2**31 - 1, size=n)]
