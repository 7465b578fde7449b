"""``OverdueClassifier``: LightGBM with the habits of scikit-learn and the caution of a lender."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names,
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from overdue_ml.model.calibration import Calibrator, IdentityCalibrator, fit_calibrator
from overdue_ml.model.encoding import category_levels, count_unknown, encode

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

#: Smallest value of each setting that is a whole number.
_WHOLE = {
    "n_estimators": 1, "min_child_samples": 1, "max_depth": 1, "num_leaves": 2, "max_bin": 2,
}  # fmt: skip


class OverdueClassifier(ClassifierMixin, BaseEstimator):
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
    subsample : float, default 0.7
        Share of rows drawn anew for each tree.
    max_bin : int, default 63
    monotone_constraints : dict of str to {-1, 0, 1}, optional
        Feature name to direction of the log-odds: +1 never falls as the feature rises.
    calibration : {'platt', 'beta', 'isotonic', 'none'}, default 'platt'
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
            as_of date of each row; used by early stopping.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If labels, weights, constraints or numbers cannot be used.
        """
        self._check_parameters()
        # Names and shape first, so that every later message can speak of columns.
        matrix = self._design(X, reset=True)
        y = column_or_1d(y, warn=True)
        if len(y) != len(matrix):
            raise ValueError(f"X has {len(matrix)} rows and y has {len(y)}")
        target = self._encode_target(y)
        weight = (
            None
            if sample_weight is None
            else _check_sample_weight(sample_weight, matrix, dtype=np.float64, ensure_non_negative=True)
        )
        if weight is not None and len(np.unique(target[weight > 0])) < 2:
            raise ValueError(
                "Classifier can't train when only one class is present after removing zero weights"
            )
        for name, values in (("groups", groups), ("dates", dates)):
            if values is not None and len(values) != len(matrix):
                raise ValueError(f"X has {len(matrix)} rows and {name} has {len(values)}")
        self._constraints = self._constraint_vector()
        self._fit_members(matrix, target, weight, groups, dates)
        return self

    def _check_parameters(self) -> None:
        for name, least in _WHOLE.items():
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("cv", "early_stopping_rounds"):
            value, least = getattr(self, name), 2 if name == "cv" else 1
            if isinstance(value, Integral) and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value!r}")
        for name in ("colsample_bytree", "subsample"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)!r}")
        if not self.learning_rate > 0 or not self.reg_lambda >= 0:
            raise ValueError(
                "learning_rate must be above 0 and reg_lambda not below, "
                f"got {self.learning_rate!r} and {self.reg_lambda!r}"
            )
        if self.calibration not in ("platt", "beta", "isotonic", "none"):
            raise ValueError(
                f"calibration must be one of 'platt', 'beta', 'isotonic', 'none', got {self.calibration!r}"
            )

    def _design(self, X: Any, *, reset: bool) -> FloatArray:
        """A float64 matrix: LightGBM aborts the interpreter on much of what is not one."""
        if isinstance(X, pd.DataFrame):
            if reset:
                self.categories_ = category_levels(X)
            elif hasattr(self, "feature_names_in_"):
                # Before categories are looked up by position, where a moved column would mislead.
                _check_feature_names(self, X, reset=False)
            encoded = encode(X, self.categories_) if len(X.columns) else X
        else:
            if reset:
                self.categories_ = {}
            encoded = X
        matrix = validate_data(
            self, encoded, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan", order="C"
        )
        return np.asarray(matrix, dtype=np.float64)

    def _encode_target(self, y: npt.NDArray[Any]) -> FloatArray:
        if pd.isna(y).any():
            raise ValueError("y contains missing labels; drop rows that have not matured")
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) == 1:
            raise ValueError(
                f"Classifier can't train when only one class is present: every label is {self.classes_[0]!r}"
            )
        if len(self.classes_) > 2:
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass: "
                f"{len(self.classes_)} classes, {list(self.classes_[:5])}"
            )
        return codes.astype(np.float64)

    def _constraint_vector(self) -> list[int] | None:
        if not self.monotone_constraints:
            return None
        names = list(getattr(self, "feature_names_in_", []))
        unknown = sorted(set(self.monotone_constraints) - set(names))
        if unknown:
            raise ValueError(f"monotone_constraints name columns that X does not have: {unknown[:5]}")
        wrong = {k: v for k, v in self.monotone_constraints.items() if v not in (-1, 0, 1)}
        if wrong:
            raise ValueError(f"monotone_constraints must be -1, 0 or 1, got {wrong}")
        vector = [int(self.monotone_constraints.get(name, 0)) for name in names]
        for position in self.categories_:
            if vector[position]:
                raise ValueError(f"'{names[position]}' is a category and cannot be monotone")
        return vector if any(vector) else None

    def _params(self, seed: int) -> dict[str, Any]:
        return {
            "objective": "binary",
            "learning_rate": self.learning_rate,
            "num_leaves": self.num_leaves,
            "max_depth": self.max_depth,
            "min_child_samples": self.min_child_samples,
            "reg_lambda": self.reg_lambda,
            "colsample_bytree": self.colsample_bytree,
            "subsample": self.subsample,
            "subsample_freq": 1 if self.subsample < 1.0 else 0,
            "max_bin": self.max_bin,
            "monotone_constraints": self._constraints,
            "seed": seed,
            "deterministic": True,
            # Determinism needs one of the two; by row is slower where few columns are drawn for a tree.
            "force_col_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }

    def _dataset(self, matrix: FloatArray, target: FloatArray, weight: FloatArray | None) -> Any:
        import lightgbm as lgb

        return lgb.Dataset(
            matrix,
            label=target,
            weight=weight,
            categorical_feature=sorted(self.categories_) or "auto",
            params={"max_bin": self.max_bin, "verbosity": -1},
            free_raw_data=True,
        )

    def _train(
        self, matrix: FloatArray, target: FloatArray, weight: FloatArray | None, seed: int, n_trees: int
    ) -> Any:
        import lightgbm as lgb

        return lgb.train(self._params(seed), self._dataset(matrix, target, weight), num_boost_round=n_trees)

    def _choose_trees(
        self,
        matrix: FloatArray,
        target: FloatArray,
        weight: FloatArray | None,
        dates: Any,
        seed: int,
    ) -> int:
        """Number of trees by early stopping on the latest dates; all of them without dates to stop on."""
        if self.early_stopping_rounds is None:
            return int(self.n_estimators)
        # Codes in the order of time, whatever the dates are written in; -1 where one is missing.
        when = pd.factorize(np.asarray(dates), sort=True)[0] if dates is not None else np.zeros(0, np.intp)
        if len(np.unique(when)) < 2 or when.min() < 0:
            raise ValueError("early_stopping_rounds needs dates, none missing, with at least two values")
        import lightgbm as lgb

        late = when == when.max()
        if min(len(np.unique(target[late])), len(np.unique(target[~late]))) < 2:
            raise ValueError("early stopping needs both classes on the latest date and before it")
        early_weight = None if weight is None else weight[~late]
        valid = self._dataset(matrix[late], target[late], None if weight is None else weight[late])
        train = self._dataset(matrix[~late], target[~late], early_weight)
        booster = lgb.train(
            self._params(seed) | {"metric": "binary_logloss"},
            train,
            num_boost_round=self.n_estimators,
            valid_sets=[valid.set_reference(train)],
            callbacks=[lgb.early_stopping(self.early_stopping_rounds, verbose=False)],
        )
        return max(1, int(booster.best_iteration))

    def _folds(self, target: FloatArray, groups: Any) -> list[tuple[IndexArray, IndexArray]]:
        """Positions to train on and to hold out; none where a class is too small to stand on both sides."""
        rows = np.zeros((len(target), 1))
        if not isinstance(self.cv, Integral):
            return list(check_cv(self.cv, target, classifier=True).split(rows, target, groups))
        smallest = int(np.bincount(target.astype(int)).min())
        codes = None if groups is None else pd.factorize(np.asarray(groups))[0]
        if codes is not None:
            smallest = min(smallest, *(len(np.unique(codes[target == label])) for label in (0, 1)))
        n_folds = min(int(self.cv), smallest)
        if n_folds < 2:
            return []
        splitter = StratifiedKFold if codes is None else StratifiedGroupKFold
        folds = splitter(n_folds, shuffle=True, random_state=self.random_state)
        return list(folds.split(rows, target, codes))

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
        self._calibrate(log_odds, target, weight)

    def _calibrate(self, log_odds: FloatArray, target: FloatArray, weight: FloatArray | None) -> None:
        self.out_of_fold_log_odds_ = None
        self.calibrator_: Calibrator = IdentityCalibrator()
        seen = ~np.isnan(log_odds)
        if len(np.unique(target[seen])) == 2:
            self.out_of_fold_log_odds_ = log_odds
            part = None if weight is None else weight[seen]
            self.calibrator_ = fit_calibrator(self.calibration, log_odds[seen], target[seen], part)

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
