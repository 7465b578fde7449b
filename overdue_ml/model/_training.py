"""What the classifier checks and builds before and while it trains one member of its bag."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, _check_sample_weight, column_or_1d, validate_data

from overdue_ml.model.calibration import KINDS
from overdue_ml.model.encoding import category_levels, encode
from overdue_ml.model.folds import grouped_folds

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

#: Smallest value of each setting that is a whole number.
_WHOLE = {
    "n_estimators": 1, "min_child_samples": 1, "max_depth": 1, "num_leaves": 2, "max_bin": 2,
}  # fmt: skip
#: What ``calibration`` may be: a calibrator, or the choice of one.
CALIBRATIONS = (*KINDS, "auto")

#: Columns that a tree may use at least, where there are so many.
_LEAST_COLUMNS = 5


class MemberTraining(BaseEstimator):
    """Checks, matrices, folds and LightGBM calls of :class:`OverdueClassifier`, whose settings it reads."""

    n_estimators: int
    learning_rate: float
    num_leaves: int
    max_depth: int
    min_child_samples: int
    reg_lambda: float
    colsample_bytree: float
    subsample: float
    max_bin: int
    monotone_constraints: dict[str, int] | None
    calibration: str
    cv: Any
    early_stopping_rounds: int | None
    random_state: int | None
    classes_: npt.NDArray[Any]
    categories_: dict[int, list[str]]

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any
    ) -> tuple[FloatArray, FloatArray, FloatArray | None]:
        """Matrix, target of 0 and 1, and weights, all checked."""
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
        self._constraints = self._constraint_vector()
        return matrix, target, weight

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
        if self.calibration not in CALIBRATIONS:
            raise ValueError(f"calibration must be one of {CALIBRATIONS}, got {self.calibration!r}")

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
            # Of a dozen columns a small share would be one or two: such trees find no combination.
            "colsample_bytree": max(self.colsample_bytree, min(1.0, _LEAST_COLUMNS / self.n_features_in_)),
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
            # Threads as in training: members are made side by side, and LightGBM keeps one number for all.
            params={"max_bin": self.max_bin, "num_threads": 1, "verbosity": -1},
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

    def folds(self, y: Any, groups: Any = None) -> list[tuple[IndexArray, IndexArray]]:
        """The folds that :meth:`fit` makes of these rows: one member each.

        Parameters
        ----------
        y : array of {0, 1}, shape (n_samples,)
        groups : array of shape (n_samples,), optional

        Returns
        -------
        list of (train, held out) positions
            Empty where a class is too small to be split.
        """
        return self._folds(np.asarray(y, dtype=np.float64), groups)

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
        if codes is not None:
            return grouped_folds(target, codes, n_folds, self.random_state)
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=self.random_state)
        return list(folds.split(rows, target))
