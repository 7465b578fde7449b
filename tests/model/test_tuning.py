"""Tuning: what it looks at, what it gives up, and that a stopped run goes on where it was."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import TuningConfig
from overdue_ml.errors import ModelError
from overdue_ml.model import OverdueClassifier, TuningStudy, tune
from overdue_ml.model import tuning as module

pytest.importorskip("optuna")


@pytest.fixture
def dated():
    """360 rows over six months; the last feature is noise."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.normal(size=(360, 3)), columns=["dpd", "income", "noise"])
    y = (X["dpd"] - 0.5 * X["income"] + rng.normal(size=360) > 0.5).to_numpy().astype(int)
    months = np.repeat(pd.date_range("2024-01-31", periods=6, freq="ME").to_numpy(), 60)
    folds = [(np.arange(60 * k), np.arange(60 * k, 60 * (k + 1))) for k in (3, 4, 5)]
    return X, y, months, folds


@pytest.fixture(autouse=True)
def small_space(monkeypatch):
    """Trials that take milliseconds."""
    space = dict(module.SPACE) | {"n_estimators": (2, 12, True), "min_child_samples": (2, 20, True)}
    monkeypatch.setattr(module, "SPACE", space)


def study(trials=8, database=None, advance=None, **settings):
    return TuningStudy(TuningConfig(trials=trials, **settings), database, advance)


def test_trial_0_is_the_config_and_the_best_is_no_worse(small, dated):
    X, y, _, folds = dated
    # Trees on all rows and columns: no seed matters.
    result = tune(small(subsample=1.0), X, y, folds, study=study())
    first = result.trials.iloc[0]
    assert {name: first[name] for name in module.SPACE} == {
        name: getattr(small(subsample=1.0), name) for name in module.SPACE
    }
    # By hand: a member trained on each fold's rows, its log loss on the rows held out, and their mean.
    losses = []
    for train, held_out in folds:
        one = small(subsample=1.0, cv=[(train, held_out)], calibration="none").fit(X, y)
        p = 1 / (1 + np.exp(-one.out_of_fold_log_odds_[held_out]))
        losses.append(-np.mean(np.where(y[held_out] == 1, np.log(p), np.log1p(-p))))
    assert result.value_of_config == pytest.approx(np.mean(losses), abs=1e-12)
    assert result.value <= result.value_of_config
    best = result.trials["value"].idxmin()
    assert result.parameters == {name: result.trials[name][best] for name in module.SPACE}
    assert len(result.trials) == 8
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_same_for_any_number_of_threads_and_without_a_database(small, dated, tmp_path):
    X, y, _, folds = dated
    base = tune(small(n_jobs=1), X, y, folds, study=study())
    for n_jobs, database in ((3, None), (1, tmp_path / "tuning.db")):
        other = tune(small(n_jobs=n_jobs), X, y, folds, study=study(database=database))
        pd.testing.assert_frame_equal(other.trials, base.trials, check_exact=True)
        assert other.parameters == base.parameters
    assert not tune(small(random_state=1), X, y, folds, study=study()).trials.equals(base.trials)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(small, dated, tmp_path, monkeypatch):
    X, y, _, folds = dated
    whole = tune(small(), X, y, folds, study=study(trials=14))
    database = tmp_path / "models" / "tuning.db"

    class Killed(BaseException):
        pass

    def stop_after(trials):
        def advance(done, total):
            if done == trials:
                raise Killed

        return advance

    for trials in (4, 12):
        with pytest.raises(Killed):
            tune(small(), X, y, folds, study=study(trials=14, database=database, advance=stop_after(trials)))
    # Killed within a trial: the trial stands there as running, and is set aside.
    log_odds = module._Ground.log_odds
    monkeypatch.setattr(module._Ground, "log_odds", lambda *_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        tune(small(), X, y, folds, study=study(trials=14, database=database))
    monkeypatch.setattr(module._Ground, "log_odds", log_odds)
    told = []
    done = tune(
        small(),
        X,
        y,
        folds,
        study=study(trials=14, database=database, advance=lambda *step: told.append(step)),
    )
    pd.testing.assert_frame_equal(done.trials, whole.trials, check_exact=True)
    assert told == [(13, 14), (14, 14)]
    # Other labels are another study.
    assert len(tune(small(), X, 1 - y, folds, study=study(trials=2, database=database)).trials) == 2


def test_a_kill_before_the_first_trial_is_done(small, dated, tmp_path, monkeypatch):
    X, y, _, folds = dated
    database = tmp_path / "tuning.db"
    with monkeypatch.context() as broken:
        broken.setattr(module, "_run_one", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tune(small(), X, y, folds, study=study(trials=2, database=database))
    result = tune(small(), X, y, folds, study=study(trials=2, database=database))
    # The settings of the config were queued before the kill: they are tried once, not twice.
    whole = tune(small(), X, y, folds, study=study(trials=2))
    pd.testing.assert_frame_equal(result.trials, whole.trials, check_exact=True)


def test_two_processes_do_not_share_a_study(small, dated, tmp_path):
    X, y, _, folds = dated
    database = tmp_path / "tuning.db"
    with module._locked(database), pytest.raises(ModelError, match="another process"):
        tune(small(), X, y, folds, study=study(database=database))


def test_a_file_that_is_no_database_is_named(small, dated, tmp_path):
    X, y, _, folds = dated
    database = tmp_path / "tuning.db"
    database.write_text("no database " * 100)
    with pytest.raises(ModelError, match=r"trials cannot be kept.*tuning\.db"):
        tune(small(), X, y, folds, study=study(database=database))
    assert database.read_text().startswith("no database")


def test_hopeless_trials_are_given_up(small, dated, monkeypatch):
    X, y, _, folds = dated
    calls = []

    def log_odds(self, parameters, fold):
        calls.append(len(fold[0]))
        # The later the trial the worse it is: certain of the wrong answer.
        return (1 - 2 * y[fold[1]]) * float(len(calls))

    monkeypatch.setattr(module._Ground, "log_odds", log_odds)
    result = tune(small(), X, y, folds, study=study(trials=8))
    # Five trials of three folds each; after these a trial worse than the median ends after the second fold.
    assert result.trials["state"].tolist() == ["complete"] * 5 + ["pruned"] * 3
    assert len(calls) == 5 * 3 + 3 * 2
    assert result.trials["value"].isna().tolist() == [False] * 5 + [True] * 3
    assert result.to_dict()["n_pruned"] == 3


def test_rows_outside_the_folds_are_not_looked_at(small, dated):
    X, y, _, folds = dated
    base = tune(small(), X, y, folds[:2], study=study())
    changed = X.copy()
    changed.iloc[300:] = 99.0
    labels = np.where(np.arange(360) >= 300, 1 - y, y)
    other = tune(small(), changed, labels, folds[:2], study=study())
    pd.testing.assert_frame_equal(other.trials, base.trials, check_exact=True)


def test_stability_is_that_of_the_metric(small, dated, monkeypatch):
    X, y, dates, folds = dated
    monkeypatch.setattr(
        module._Ground, "log_odds", lambda self, parameters, fold: X["dpd"].to_numpy()[fold[1]]
    )
    result = tune(small(), X, y, folds, dates=dates, study=study(trials=1, criterion="stability"))
    ginis = []
    for _, rows in folds:
        z, t = X["dpd"].to_numpy()[rows], y[rows]
        wins = (z[t == 1][:, None] > z[t == 0]).mean()
        ginis.append(2 * wins - 1)
    # Least squares over 0, 1, 2: the slope is half of last minus first.
    slope = (ginis[2] - ginis[0]) / 2
    residual = np.array(ginis) - np.mean(ginis) - slope * np.array([-1, 0, 1])
    expected = np.mean(ginis) + 88 * min(0, slope) - 0.5 * residual.std()
    assert result.value == pytest.approx(expected)


def test_the_more_stable_is_the_better(small, dated):
    X, y, dates, folds = dated
    result = tune(small(), X, y, folds, dates=dates, study=study(criterion="stability"))
    assert result.value == result.trials["value"].max()


def test_minutes_alone_stop_it(small, dated, monkeypatch):
    X, y, _, folds = dated
    clock = iter(range(0, 10_000, 40))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    result = tune(small(), X, y, folds, study=study(trials=0, minutes=1))
    # Begun at 0 s, asked at 40 s after the first trial and at 80 s after the second.
    assert len(result.trials) == 2
    assert result.stopped_by == "minutes"


@pytest.mark.parametrize(
    ("folds", "dates", "criterion", "message"),
    [
        ([], None, "log_loss", "no fold"),
        ([(np.arange(60), np.array([60]))], None, "log_loss", "one class only"),
        ([(np.arange(60), np.arange(60, 120))], None, "stability", "two as_of dates"),
        ([(np.arange(60), np.arange(60, 120))], "given", "stability", "two as_of dates"),
    ],
)
def test_folds_that_cannot_carry_it(small, dated, folds, dates, criterion, message):
    X, y, months, _ = dated
    when = None if dates is None else months
    with pytest.raises(ModelError, match=message):
        tune(small(), X, y, folds, dates=when, study=study(criterion=criterion))


def test_without_optuna_the_extra_is_named(small, dated, monkeypatch):
    X, y, _, folds = dated
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="extra 'tune'"):
        tune(small(), X, y, folds, study=study())


def test_a_setting_outside_the_space_widens_it(small, dated):
    X, y, _, folds = dated
    result = tune(small(learning_rate=0.9, reg_lambda=0.0), X, y, folds, study=study(trials=3))
    assert result.trials["learning_rate"][0] == 0.9
    assert result.trials["reg_lambda"][0] == 0.0


def test_constraints_hold_in_every_trial(dated, small, monkeypatch):
    X, y, _, folds = dated
    seen = []
    params = OverdueClassifier._params

    def spy(self, seed):
        seen.append(params(self, seed)["monotone_constraints"])
        return params(self, seed)

    monkeypatch.setattr(OverdueClassifier, "_params", spy)
    tune(small(monotone_constraints={"dpd": 1}), X, y, folds, study=study(trials=2))
    assert seen == [[1, 0, 0]] * 6
