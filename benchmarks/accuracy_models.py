"""The models that are compared on the folds of a benchmark, each with how to make it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from accuracy_report import OURS, YARDSTICK
from numpy.typing import NDArray

MODEL_SEED = 0


@dataclass(frozen=True)
class Task:
    """The customers, in id order, as every model sees them.

    Attributes
    ----------
    ids : ndarray of str, shape (n,)
        Customer ids.
    y : ndarray of int, shape (n,)
        1 if overdue by the official label.
    raw : DataFrame, shape (n, 23)
        The classical flat columns, for the peers.
    features : dict of str to DataFrame
        What overdue_ml built for each of its rows in the table, indexed by customer id.
    categories : list of str
        The columns of ``raw`` that are categories.
    """

    ids: NDArray[Any]
    y: NDArray[np.int64]
    raw: pd.DataFrame
    features: dict[str, pd.DataFrame]
    categories: list[str]


@dataclass(frozen=True)
class Model:
    """A row of the table: its name, the packages it needs and, for a peer, how to make it.

    For overdue_ml instead the customer attributes that it is allowed to use.
    """

    label: str
    packages: tuple[str, ...]
    build: Callable[[int, Task], Any] | None = None
    attributes: tuple[str, ...] = ()


def build_lightgbm(threads: int, task: Task, **options: Any) -> Any:  # noqa: ARG001 - by dtype
    """Return an unfitted LightGBM classifier."""
    lightgbm = importlib.import_module("lightgbm")
    return lightgbm.LGBMClassifier(random_state=MODEL_SEED, n_jobs=threads, verbose=-1, **options)


def build_lightgbm_slow(threads: int, task: Task) -> Any:
    """Return LightGBM with 1,000 trees of 16 leaves; settings fixed before the first run, not tuned."""
    return build_lightgbm(
        threads,
        task,
        n_estimators=1000,
        learning_rate=0.01,
        num_leaves=16,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.5,
    )


def build_catboost(threads: int, task: Task, **options: Any) -> Any:
    """Return an unfitted CatBoost classifier."""
    catboost = importlib.import_module("catboost")
    return catboost.CatBoostClassifier(
        random_seed=MODEL_SEED,
        thread_count=threads,
        cat_features=task.categories,
        verbose=0,
        allow_writing_files=False,
        **options,
    )


def build_catboost_slow(threads: int, task: Task) -> Any:
    """Return CatBoost with 1,000 trees of depth 6 at learning rate 0.02."""
    return build_catboost(threads, task, iterations=1000, learning_rate=0.02, depth=6)


def build_xgboost(threads: int, task: Task) -> Any:  # noqa: ARG001 - by dtype
    """Return an unfitted XGBoost classifier that splits categories natively."""
    xgboost = importlib.import_module("xgboost")
    return xgboost.XGBClassifier(random_state=MODEL_SEED, n_jobs=threads, enable_categorical=True)


def build_hist(threads: int, task: Task) -> Any:  # noqa: ARG001 - OpenMP decides
    """Return scikit-learn's histogram boosting; its thread count is OpenMP's, set in ``main``."""
    ensemble = importlib.import_module("sklearn.ensemble")
    return ensemble.HistGradientBoostingClassifier(random_state=MODEL_SEED)


def build_scorecard(threads: int, task: Task) -> Any:
    """Return optimal binning into weight of evidence, then a logistic regression."""
    optbinning = importlib.import_module("optbinning")
    linear = importlib.import_module("sklearn.linear_model")
    pipeline = importlib.import_module("sklearn.pipeline")
    binning = optbinning.BinningProcess(
        list(task.raw.columns), categorical_variables=task.categories, n_jobs=threads
    )
    return pipeline.make_pipeline(binning, linear.LogisticRegression(max_iter=1000))


def build_ebm(threads: int, task: Task) -> Any:
    """Return an explainable boosting machine, additive with pairwise interactions."""
    glassbox = importlib.import_module("interpret.glassbox")
    kinds = ["nominal" if column in task.categories else "continuous" for column in task.raw.columns]
    return glassbox.ExplainableBoostingClassifier(
        feature_types=kinds, random_state=MODEL_SEED, n_jobs=threads
    )


class TunedLightGBM:
    """LightGBM tuned by Optuna inside the fold: 25 trials on a fifth of its rows, then all of them.

    Parameters
    ----------
    threads : int
    """

    TRIALS = 25

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def fit(self, X: pd.DataFrame, y: NDArray[np.int64]) -> TunedLightGBM:
        """Tune and fit."""
        lightgbm, optuna = importlib.import_module("lightgbm"), importlib.import_module("optuna")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        split = importlib.import_module("sklearn.model_selection").train_test_split
        X_fit, X_held, y_fit, y_held = split(X, y, test_size=0.2, stratify=y, random_state=MODEL_SEED)

        def options(trial: Any) -> dict[str, Any]:
            return {
                "num_leaves": trial.suggest_int("num_leaves", 4, 64, log=True),
                "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
                "min_child_samples": trial.suggest_int("min_child_samples", 20, 400, log=True),
                "colsample_bytree": trial.suggest_float("colsample_bytree", 0.2, 1.0),
                "subsample": trial.suggest_float("subsample", 0.5, 1.0),
                "subsample_freq": 1,
                "reg_lambda": trial.suggest_float("reg_lambda", 0.01, 100.0, log=True),
                "random_state": MODEL_SEED,
                "n_jobs": self.threads,
                "verbose": -1,
            }

        def loss(trial: Any) -> float:
            model = lightgbm.LGBMClassifier(n_estimators=2000, **options(trial))
            stop = lightgbm.early_stopping(50, verbose=False)
            model.fit(X_fit, y_fit, eval_set=[(X_held, y_held)], callbacks=[stop])
            trial.set_user_attr("trees", max(1, int(model.best_iteration_)))
            return float(model.best_score_["valid_0"]["binary_logloss"])

        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=MODEL_SEED))
        study.optimize(loss, n_trials=self.TRIALS)
        best = study.best_trial
        trees = int(best.user_attrs["trees"] * len(y) / len(y_fit))
        self.model_ = lightgbm.LGBMClassifier(n_estimators=trees, **options(best)).fit(X, y)
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return probabilities, shape (n, 2)."""
        found: NDArray[np.float64] = self.model_.predict_proba(X)
        return found


def build_lightgbm_tuned(threads: int, task: Task) -> Any:  # noqa: ARG001 - by dtype
    """Return LightGBM that tunes itself inside the fold."""
    return TunedLightGBM(threads)


MODELS = {
    OURS: Model("overdue_ml, behaviour only", ("overdue_ml",)),
    "ours_education": Model("overdue_ml, with education", ("overdue_ml",), attributes=("education",)),
    YARDSTICK: Model("LightGBM, defaults", ("lightgbm",), build_lightgbm),
    "catboost": Model("CatBoost, defaults", ("catboost",), build_catboost),
    "xgboost": Model("XGBoost, defaults", ("xgboost",), build_xgboost),
    "hist": Model("HistGradientBoosting, defaults", ("sklearn",), build_hist),
    "scorecard": Model("optbinning WoE + logistic", ("optbinning",), build_scorecard),
    "lightgbm_slow": Model("LightGBM, 1,000 x 16 leaves, lr 0.01", ("lightgbm",), build_lightgbm_slow),
    "lightgbm_tuned": Model("LightGBM, tuned in the fold", ("lightgbm", "optuna"), build_lightgbm_tuned),
    "ebm": Model("EBM, defaults", ("interpret",), build_ebm),
    "catboost_slow": Model("CatBoost, 1,000 x depth 6, lr 0.02", ("catboost",), build_catboost_slow),
}
