"""Tuning of the classifier with Optuna: pruned, seeded, and continued where it was stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import Parallel, cpu_count, delayed
from sklearn.base import clone

from overdue_ml.config import TuningConfig
from overdue_ml.errors import ModelError
from overdue_ml.metrics import compute_gini, compute_log_loss, stability_score
from overdue_ml.model.calibration import sigmoid
from overdue_ml.model.classifier import OverdueClassifier

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Fold = tuple[IndexArray, IndexArray]

#: What is tuned: (lowest, highest, logarithmic). A setting of the config outside widens its range. The depth
#: is not tuned: explaining a row costs its square.
SPACE: Mapping[str, tuple[float, float, bool]] = {
    "n_estimators": (100, 800, True),
    "learning_rate": (0.01, 0.1, True),
    "num_leaves": (4, 32, True),
    "min_child_samples": (10, 300, True),
    "reg_lambda": (0.1, 100.0, True),
    "colsample_bytree": (0.1, 1.0, False),
    "subsample": (0.5, 1.0, False),
}
_WHOLE = ("n_estimators", "num_leaves", "min_child_samples")
#: Trials before which none is given up, and folds before which a trial is not.
_PRUNE_AFTER_TRIALS, _PRUNE_AFTER_FOLDS = 5, 1


@dataclass(frozen=True)
class TuningStudy:
    """How long to try, where the trials are kept, and who is told.

    Parameters
    ----------
    config : TuningConfig
    database : Path, optional
        SQLite file of the trials; the same rows, folds and settings find their earlier trials there and
        go on. In memory by default.
    advance : callable (done, total) -> None, optional
        Told after each trial; ``total`` is 0 where only the time is limited.
    """

    config: TuningConfig = field(default_factory=TuningConfig)
    database: Path | None = None
    advance: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class TuningResult:
    """What the trials found.

    Attributes
    ----------
    parameters : mapping of str to number
        Of the best trial: arguments of :class:`OverdueClassifier`.
    value, value_of_config : float
        Criterion of the best trial and of the settings that were given (trial 0).
    criterion : {'log_loss', 'stability'}
    n_folds : int
    trials : pandas.DataFrame
        trial, state (complete or pruned), value (null where pruned) and the parameters.
    stopped_by : {'trials', 'minutes'}
    """

    parameters: Mapping[str, Any]
    value: float
    value_of_config: float
    criterion: str
    n_folds: int
    trials: pd.DataFrame
    stopped_by: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        table = self.trials.astype(object).where(self.trials.notna(), None)
        states = self.trials["state"]
        return {
            "criterion": self.criterion,
            "n_folds": self.n_folds,
            "n_trials": len(self.trials),
            "n_complete": int((states == "complete").sum()),
            "n_pruned": int((states == "pruned").sum()),
            "stopped_by": self.stopped_by,
            "value": self.value,
            "value_of_config": self.value_of_config,
            "parameters": dict(self.parameters),
            "trials": table.to_dict("records"),
        }


def tune(
    classifier: OverdueClassifier,
    X: Any,
    y: Any,
    folds: Sequence[Fold],
    *,
    dates: Any = None,
    sample_weight: Any = None,
    study: TuningStudy | None = None,
) -> TuningResult:
    """Search for settings that do better on rows held out.

    Trial 0 are the settings of ``classifier``, so the best are never worse than those on these folds. With
    a number of trials and no limit of time the result depends on the arguments only, also where a run was
    stopped and continued; a limit of time makes it depend on the machine.

    Parameters
    ----------
    classifier : OverdueClassifier
        Settings to begin with; its constraints, seed and ``n_jobs`` hold for every trial. Early stopping
        is left out while tuning: the number of trees is tuned.
    X : DataFrame or array of shape (n_samples, n_features)
        Training rows only: what is set aside for evaluation must not be here.
    y : array of shape (n_samples,)
        Two classes.
    folds : sequence of (train, held out) positions
        In the order of time where they have one; both parts of each must hold both classes.
    dates : array of shape (n_samples,), optional
        as_of date of each row; for the criterion ``stability``.
    sample_weight : array of shape (n_samples,), optional
        For training; held-out rows count the same.
    study : TuningStudy, optional

    Returns
    -------
    TuningResult

    Raises
    ------
    ModelError
        If the extra ``tune`` is not installed, the folds or dates cannot carry the criterion, or the
        database cannot be used.
    ValueError
        As by :meth:`OverdueClassifier.fit`.

    References
    ----------
    Akiba et al. (2019), Optuna, KDD; Bergstra et al. (2011), Algorithms for hyper-parameter optimization.
    """
    if find_spec("optuna") is None:
        raise ModelError(
            "tuning needs Optuna, which is not installed",
            next_step="install overdue_ml with the extra 'tune'",
        )
    study = study or TuningStudy()
    trial_ground = _Ground.of(classifier, (X, y, sample_weight), folds, dates, study.config.criterion)
    with _locked(study.database), _opened(study, trial_ground) as opened:
        stopped_by = _run(opened, trial_ground, study)
        return _result(opened, trial_ground, stopped_by)


@dataclass(frozen=True)
class _Ground:
    """The rows and folds that every trial is measured on."""

    model: OverdueClassifier
    matrix: FloatArray
    target: FloatArray
    weight: FloatArray | None
    folds: tuple[Fold, ...]
    when: npt.NDArray[np.intp] | None
    criterion: str

    @classmethod
    def of(
        cls,
        classifier: OverdueClassifier,
        rows: tuple[Any, Any, Any],
        folds: Sequence[Fold],
        dates: Any,
        criterion: str,
    ) -> _Ground:
        model = clone(classifier)
        matrix, target, weight = model._prepare(*rows)
        parts = tuple((np.asarray(train), np.asarray(held_out)) for train, held_out in folds)
        one_sided = [i for i, fold in enumerate(parts) if any(len(np.unique(target[p])) < 2 for p in fold)]
        if not parts or one_sided:
            raise ModelError(
                f"fold {one_sided[0] + 1} holds one class only" if parts else "there is no fold to tune on",
                expected="overdue and on-time rows on both sides of every fold",
                next_step="give fewer folds, more as_of dates or more customers",
            )
        when = None if dates is None else pd.factorize(np.asarray(dates), sort=True)[0]
        held_out = np.concatenate([fold[1] for fold in parts])
        if criterion == "stability" and (when is None or len(np.unique(when[held_out])) < 2):
            raise ModelError(
                "stability is a matter of time and needs held-out rows of two as_of dates or more",
                next_step="give more as_of dates, or tune by log_loss",
            )
        return cls(model, matrix, target, weight, parts, when, criterion)

    def log_odds(self, parameters: Mapping[str, Any], fold: Fold) -> FloatArray:
        """Log-odds of the held-out rows of one fold."""
        train, held_out = fold
        model = copy(self.model).set_params(**parameters)
        weight = None if self.weight is None else self.weight[train]
        seed = _seed(self.model.random_state, "fold")
        booster = model._train(self.matrix[train], self.target[train], weight, seed, model.n_estimators)
        # One thread, as in training: LightGBM keeps one number for the whole process, and a change of it
        # while another fold's data set is made ends the interpreter.
        found = booster.predict(self.matrix[held_out], raw_score=True, num_threads=1)
        return np.asarray(found, dtype=np.float64)

    def steps(self, parameters: Mapping[str, Any]) -> Iterator[tuple[float, float | None]]:
        """After each fold: the mean of the folds so far, and on the last one the criterion."""
        log_odds: list[FloatArray] = []
        figures: list[float] = []
        # As many folds at once as there are cores; they are judged one after the other, so a machine with
        # more cores gives up the same trials.
        at_once = self.model.n_jobs if self.model.n_jobs and self.model.n_jobs > 0 else cpu_count()
        for start in range(0, len(self.folds), at_once):
            part = self.folds[start : start + at_once]
            done = Parallel(n_jobs=at_once, prefer="threads")(
                delayed(self.log_odds)(parameters, fold) for fold in part
            )
            for (_, held_out), z in zip(part, done, strict=True):
                log_odds.append(z)
                figures.append(self._figure(self.target[held_out], z))
                last = len(figures) == len(self.folds)
                yield float(np.mean(figures)), self._criterion(figures, log_odds) if last else None

    def _figure(self, target: FloatArray, z: FloatArray) -> float:
        return (
            compute_log_loss(target, sigmoid(z)) if self.criterion == "log_loss" else compute_gini(target, z)
        )

    def _criterion(self, figures: list[float], log_odds: list[FloatArray]) -> float:
        if self.criterion == "log_loss":
            return float(np.mean(figures))
        assert self.when is not None
        rows = np.concatenate([held_out for _, held_out in self.folds])
        z, target, when = np.concatenate(log_odds), self.target[rows], self.when[rows]
        dates = [d for d in np.unique(when) if len(np.unique(target[when == d])) == 2]
        return stability_score([compute_gini(target[when == d], z[when == d]) for d in dates])

    def key(self) -> str:
        """The same for the same rows, folds and settings, whatever the limits of the study are."""
        digest = hashlib.sha256()
        settings = {
            k: v for k, v in self.model.get_params().items() if k not in ("n_jobs", "cv", "calibration")
        }
        words = {"settings": settings, "space": dict(SPACE), "criterion": self.criterion}
        digest.update(json.dumps(words, sort_keys=True, default=str).encode())
        arrays = [self.matrix, self.target, self.weight, self.when, *(p for fold in self.folds for p in fold)]
        for array in arrays:
            digest.update(b"|" if array is None else np.ascontiguousarray(array).tobytes() + b"|")
        return digest.hexdigest()


def _seed(random_state: Any, *words: object) -> int:
    """A seed of its own for each purpose, so that nothing depends on how often another was drawn from."""
    text = "\x1f".join(str(word) for word in (random_state, *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 1)


@contextmanager
def _locked(database: Path | None) -> Iterator[None]:
    """One process at a time: a second would take the trials of the first for abandoned."""
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        handle = database.with_suffix(".lock").open("w")
    except OSError as error:
        raise ModelError(
            f"the trials cannot be kept: {error.strerror or error}",
            where=database.name,
            next_step="give a models folder that can be written",
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ModelError(
                "another process is tuning with this models folder", where=database.name,
                next_step="wait for it, or give another models folder",
            ) from error  # fmt: skip
        yield


@contextmanager
def _opened(study: TuningStudy, ground: _Ground) -> Iterator[Any]:
    """The Optuna study of these rows, trials that a killed process left behind set aside."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = None
    try:
        if study.database is not None:
            storage = optuna.storages.RDBStorage(f"sqlite:///{study.database}")
        opened = optuna.create_study(
            study_name=ground.key(),
            storage=storage,
            direction="minimize" if ground.criterion == "log_loss" else "maximize",
            pruner=optuna.pruners.MedianPruner(_PRUNE_AFTER_TRIALS, _PRUNE_AFTER_FOLDS),
            load_if_exists=True,
        )
        states = optuna.trial.TrialState
        for left in opened.get_trials(deepcopy=False, states=(states.RUNNING, states.WAITING)):
            # By number: a waiting one cannot be told anything, only set aside.
            opened._storage.set_trial_state_values(left._trial_id, states.FAIL)
        yield opened
    except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:
        raise ModelError(
            f"the trials cannot be kept: {type(error).__name__}",
            where="memory" if study.database is None else study.database.name,
            next_step="move the file away, or give another models folder",
        ) from error
    finally:
        optuna.logging.set_verbosity(level)
        if storage is not None:
            storage.remove_session()
            storage.engine.dispose()


def _finished(opened: Any) -> list[Any]:
    from optuna.trial import TrialState

    return list(opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def _run(opened: Any, ground: _Ground, study: TuningStudy) -> str:
    """Trials until the limit; says which limit."""
    import optuna

    config = study.config
    began = time.monotonic()
    done = len(_finished(opened))
    while not config.trials or done < config.trials:
        if done and config.minutes is not None and time.monotonic() - began > 60 * config.minutes:
            return "minutes"
        # Seeded by the number of trials that count: a run that was stopped continues as it would have.
        sampler_seed = _seed(ground.model.random_state, "trial", done)
        opened.sampler = optuna.samplers.TPESampler(seed=sampler_seed, n_startup_trials=10)
        if done == 0:
            opened.enqueue_trial({name: getattr(ground.model, name) for name in SPACE})
        _run_one(opened, ground)
        done += 1
        if study.advance is not None:
            study.advance(done, config.trials)
    return "trials"


def _run_one(opened: Any, ground: _Ground) -> None:
    import optuna

    trial = opened.ask()
    parameters = _suggest(trial, ground.model)
    value = None
    for step, (so_far, final) in enumerate(ground.steps(parameters)):
        value = final
        trial.report(so_far, step)
        if final is None and trial.should_prune():
            opened.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return
    opened.tell(trial, value)


def _suggest(trial: Any, model: OverdueClassifier) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, (low, high, log) in SPACE.items():
        given = getattr(model, name)
        low, high = min(low, given), max(high, given)
        # There is no logarithm of a penalty of zero.
        log = log and low > 0
        if name in _WHOLE:
            found[name] = int(trial.suggest_int(name, int(low), int(high), log=log))
        else:
            found[name] = float(trial.suggest_float(name, low, high, log=log))
    return found


def _result(opened: Any, ground: _Ground, stopped_by: str) -> TuningResult:
    trials = _finished(opened)
    rows = [
        {
            "trial": number,
            "state": trial.state.name.lower(),
            # Optuna gives a pruned trial the figure that it was given up with.
            "value": trial.value if trial.state.name == "COMPLETE" else np.nan,
        }
        | {name: trial.params[name] for name in SPACE}
        for number, trial in enumerate(trials)
    ]
    table = pd.DataFrame(rows)
    sign = 1 if ground.criterion == "log_loss" else -1
    best = trials[int(np.nanargmin(sign * table["value"].to_numpy(dtype=np.float64)))]
    return TuningResult(
        parameters={name: best.params[name] for name in SPACE},
        value=float(best.value),
        value_of_config=float(table["value"].iloc[0]),
        criterion=ground.criterion,
        n_folds=len(ground.folds),
        trials=table,
        stopped_by=stopped_by,
    )
