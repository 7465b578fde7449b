"""What a reminder takes off the probability of going overdue, customer by customer, learned from a holdout.

The learner is econml's doubly robust one: outcomes of both arms are corrected by a regression that never saw
their customers, so that each row tells its effect without bias whatever that regression is worth; then a line
in the features (``LinearDRLearner``), or a forest whose trees are grown on other rows than those they average
(``ForestDRLearner``), finds where the effect is larger. Who was held out was drawn by lot, so that its chance
is a constant and is not modelled.

Nothing is stored: a model is fitted anew from the arms and outcomes of the past, in seconds, and the same
rows and seed give the same numbers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.errors import ConfigError, FeatureMismatchError, ModelError
from overdue_ml.labels import hash_share
from overdue_ml.metrics import compare_arms
from overdue_ml.reminders.listing import HOLDOUT, TREATED

FloatArray = npt.NDArray[np.float64]
Learner = Literal["linear", "forest"]

_LEARNERS: dict[str, Learner] = {"linear": "linear", "forest": "forest"}
#: Folds of customers in which the outcomes are corrected.
_FOLDS = 3


@dataclass(frozen=True)
class UpliftLimits:
    """With less history nothing is fitted: effects of single customers are much less sure than their mean.

    On six synthetic lenders a ranking learned from 1,300 rows in each arm, 200 of them overdue, saved up to
    1.7 points of what can be saved less than one by risk, at some length of the list; one learned from 3,400
    rows, 500 overdue, up to 0.2 (``benchmarks/uplift.py --history``).

    Parameters
    ----------
    min_rows : int
        In each arm.
    min_overdue : int
        Overdue rows in each arm.
    """

    min_rows: int = 2500
    min_overdue: int = 300


@dataclass(frozen=True)
class UpliftModel:
    """What a reminder does, by features.

    Attributes
    ----------
    feature_names : tuple of str
    n_treated, n_holdout : int
        Rows it was fitted on.
    mean_benefit : float
        Holdout less treated overdue rate of these rows.
    low, high : float
        Its 95 % interval.
    """

    feature_names: tuple[str, ...]
    n_treated: int
    n_holdout: int
    mean_benefit: float
    low: float
    high: float
    _medians: pd.Series
    _learner: Any

    def predict(self, features: pd.DataFrame) -> FloatArray:
        """What a reminder takes off the probability of going overdue.

        Parameters
        ----------
        features : DataFrame of shape (n, n_features)
            With the columns of the fit; others are left aside.

        Returns
        -------
        ndarray of float64, shape (n,)
            Above 0 where a reminder helps. Missing features are taken for the median of the fit.

        Raises
        ------
        FeatureMismatchError
            If a column is missing.
        """
        missing = [name for name in self.feature_names if name not in features]
        if missing:
            raise FeatureMismatchError(
                f"the feature '{missing[0]}' is missing", expected=", ".join(self.feature_names[:10])
            )
        if not len(features):
            return np.empty(0)
        matrix = _matrix(features[list(self.feature_names)]).fillna(self._medians)
        return -np.asarray(self._learner.effect(matrix.to_numpy()), dtype=np.float64).reshape(-1)


def fit_uplift(
    features: pd.DataFrame,
    arm: ArrayLike,
    is_overdue: ArrayLike,
    *,
    customers: ArrayLike | None = None,
    seed: int = 0,
    learner: Learner = "linear",
    limits: UpliftLimits | None = None,
) -> UpliftModel:
    """Learn from a randomised holdout what a reminder does for whom.

    Parameters
    ----------
    features : DataFrame of shape (n, n_features)
        Numbers known when the arms were drawn; NaN is missing. One or two that effects may well go with serve
        better than many, since what a reminder does is hidden in much more noise than the outcome is; see
        :func:`room_of`.
    arm : array-like of shape (n,)
        'treated' or 'holdout', by lot.
    is_overdue : array-like of shape (n,)
        What became of each row.
    customers : array-like of shape (n,), optional
        Whose row it is, where customers have several; by default each row is a customer.
    seed : int, default 0
    learner : {'linear', 'forest'}, default 'linear'
        A line is the surer one in tens of thousands of rows; a forest takes more rows and finds other shapes.
    limits : UpliftLimits, optional

    Returns
    -------
    UpliftModel

    Raises
    ------
    ConfigError
        If econml is not installed, or the rows make no sense.
    ModelError
        If there is too little history.

    References
    ----------
    Kennedy (2023), Towards optimal doubly robust estimation of heterogeneous causal effects, Electronic
    Journal of Statistics 17. Foster and Syrgkanis (2023), Orthogonal statistical learning, Annals of
    Statistics 51. Athey, Tibshirani and Wager (2019), Generalized random forests, Annals of Statistics 47.
    """
    matrix, held, target, owner = _checked(features, arm, is_overdue, customers)
    check_learner(learner)
    _refuse_few(held, target, limits or UpliftLimits())
    if find_spec("econml") is None:
        raise ConfigError(
            "an uplift model needs econml, which is not installed",
            next_step="install overdue_ml with the extra 'uplift'",
        )
    medians = matrix.median().fillna(0.0)
    fitted = _learner(learner, len(matrix), seed)
    with _quiet():
        fitted.fit(
            target.astype(np.float64),
            (~held).astype(np.int64),
            X=matrix.fillna(medians).to_numpy(),
            groups=pd.factorize(owner)[0],
            # Of single effects no interval is shown.
            inference=None,
        )
    mean = compare_arms(target, held, customers=owner)
    return UpliftModel(
        tuple(map(str, matrix.columns)), int((~held).sum()), int(held.sum()),
        mean.value, mean.low, mean.high, medians, fitted,
    )  # fmt: skip


def cross_uplift(
    features: pd.DataFrame,
    arm: ArrayLike,
    is_overdue: ArrayLike,
    customers: ArrayLike,
    *,
    seed: int = 0,
    learner: Learner = "linear",
    limits: UpliftLimits | None = None,
) -> FloatArray:
    """Benefits of the rows themselves, each from a model that never saw its customer.

    Parameters
    ----------
    features, arm, is_overdue, customers, seed, learner, limits
        As for :func:`fit_uplift`.

    Returns
    -------
    ndarray of float64, shape (n,)

    Raises
    ------
    ConfigError, ModelError
        As :func:`fit_uplift`, of each half of the customers.
    """
    matrix, held, target, owner = _checked(features, arm, is_overdue, customers)
    codes, unique = pd.factorize(owner)
    half = np.array([hash_share(str(customer), "uplift") < 0.5 for customer in unique], dtype=np.bool_)[codes]
    arms = np.where(held, HOLDOUT, TREATED)
    benefit = np.empty(len(matrix))
    for here in (half, ~half):
        rest = ~here
        model = fit_uplift(
            matrix[rest], arms[rest], target[rest],
            customers=owner[rest], seed=seed, learner=learner, limits=limits,
        )  # fmt: skip
        benefit[here] = model.predict(matrix[here])
    return benefit


def check_learner(name: str) -> Learner:
    """A learner by its name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in _LEARNERS:
        raise ConfigError(f"there is no learner '{name[:40]}'", where="uplift", expected=", ".join(_LEARNERS))
    return _LEARNERS[name]


def room_of(p_overdue: ArrayLike) -> FloatArray:
    """What there is to move: ``p (1 - p)``, to which an effect that is the same in log-odds is proportional.

    Where little is at risk, or nearly all is lost, a reminder can do little.

    Parameters
    ----------
    p_overdue : array-like of shape (n,)
    """
    p = np.asarray(p_overdue, dtype=np.float64)
    return p * (1.0 - p)


def _learner(kind: Learner, n_rows: int, seed: int) -> Any:
    from econml.dr import ForestDRLearner, LinearDRLearner
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shared: dict[str, Any] = {
        "model_regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        "model_propensity": DummyClassifier(strategy="prior"),
        "discrete_outcome": True,
        "cv": _FOLDS,
        "random_state": seed,
    }
    if kind == "linear":
        return LinearDRLearner(**shared)
    return ForestDRLearner(
        **shared,
        n_estimators=200,
        # In smaller leaves the mean says more of a few overdue rows than of reminders.
        min_samples_leaf=max(50, n_rows // 20),
        honest=True,
        # Threads add the trees in the order in which they end, and the last bits with it.
        n_jobs=1,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    from sklearn.exceptions import DataConversionWarning

    with warnings.catch_warnings():
        # econml hands its regressions a column where scikit-learn wants a vector; the values are the same.
        warnings.filterwarnings("ignore", "A column-vector y was passed", DataConversionWarning)
        # Of columns that say the same the shortest line is taken; no inference is drawn from it.
        warnings.filterwarnings("ignore", "Co-variance matrix is underdetermined", UserWarning)
        yield


def _matrix(features: pd.DataFrame) -> pd.DataFrame:
    for name in features.columns:
        kind = features[name].dtype
        if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
            raise ConfigError(
                f"the feature '{str(name)[:60]}' holds no numbers",
                where="uplift",
                expected="columns of numbers",
            )
    matrix = features.astype("float64").reset_index(drop=True)
    return matrix.where(np.isfinite(matrix))


def _checked(
    features: pd.DataFrame, arm: ArrayLike, is_overdue: ArrayLike, customers: ArrayLike | None
) -> tuple[pd.DataFrame, npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[Any]]:
    arms, outcome = np.asarray(arm, dtype=object), np.asarray(is_overdue)
    owner = np.arange(len(features)) if customers is None else np.asarray(customers, dtype=object)
    lengths = {len(features), len(arms), len(outcome), len(owner)}
    if len(lengths) > 1 or not features.shape[1]:
        raise ConfigError("features, arms, outcomes and customers are not of the same rows", where="uplift")
    held = arms == HOLDOUT
    if not (held | (arms == TREATED)).all():
        raise ConfigError("a row is in no arm", where="uplift", expected=f"{TREATED}, {HOLDOUT}")
    if not np.isin(outcome, [0, 1]).all():
        raise ConfigError("an outcome is missing", where="uplift", expected="True or False for every row")
    return _matrix(features), held, outcome.astype(np.bool_), owner


def _refuse_few(held: npt.NDArray[np.bool_], target: npt.NDArray[np.bool_], limits: UpliftLimits) -> None:
    for arm, rows in ((TREATED, ~held), (HOLDOUT, held)):
        n, overdue = int(rows.sum()), int(target[rows].sum())
        if n < limits.min_rows or overdue < limits.min_overdue:
            raise ModelError(
                f"the arm {arm} has {n:,} rows, {overdue:,} of them overdue",
                where="uplift",
                expected=f"at least {limits.min_rows:,} and {limits.min_overdue:,} in each arm",
                next_step="let the campaign run on, or rank by the benefits of tiers (rank_by, benefits)",
            )
