"""What a training run may do besides fitting: tuning, weights of age, comparisons; and that it need not."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import (
    EvaluationConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    SplitConfig,
    TrainConfig,
    TuningConfig,
)
from overdue_ml.errors import ConfigError
from overdue_ml.jobs import fitting, tune
from overdue_ml.jobs.train import run_train
from overdue_ml.jobs.tune import tuning_folds
from overdue_ml.labels import split_by_customer
from overdue_ml.model import OverdueClassifier, recency_weights
from overdue_ml.model import tuning as model_tuning
from overdue_ml.records import load_records
from overdue_ml.tracking import open_store

SMALL = {"n_estimators": 20, "cv": 2}
BY_TIME = {
    "as_of": ["2005-05-31", "2005-06-30", "2005-07-31", "2005-08-31"],
    "labels": LabelsConfig(source="next_statement", overdue_dpd=31),
    "split": SplitConfig(by="time"),
}


def config(model=None, **settings):
    return TrainConfig(
        model=ModelConfig(**SMALL | (model or {})), evaluation=EvaluationConfig(n_boot=5), **settings
    )


@pytest.fixture
def small_space(monkeypatch):
    space = dict(model_tuning.SPACE) | {"n_estimators": (5, 30, True)}
    monkeypatch.setattr(model_tuning, "SPACE", space)


class Told:
    """Keeps what a job says."""

    def __init__(self):
        self.stages, self.steps = [], []

    def stage(self, name):
        self.stages.append(name)

    def advance(self, done, total, note=""):
        self.steps.append((done, total))


def test_nothing_of_it_happens_unasked(line):
    assert not {"tuning", "calibration_choice", "challenger", "constraint_cost"} & set(line.trained.facts)


# ---- Folds


def labels_of(dates, matured, n=60):
    """``n`` customers on each date, every other one overdue, all final on the date given."""
    index = pd.MultiIndex.from_product(
        [[f"c{i:02d}" for i in range(n)], pd.to_datetime(dates)], names=["customer_id", "as_of_date"]
    )
    final = pd.to_datetime(pd.Series(matured, index=pd.to_datetime(dates)))
    overdue = np.arange(len(index)) // len(dates) % 2 == 0
    return pd.DataFrame(
        {
            "is_overdue": overdue,
            "verdict": np.where(overdue, "overdue", "on_time"),
            "matured_on": final.reindex(index.get_level_values("as_of_date")).to_numpy(),
        },
        index=index,
    )


def test_folds_in_time_leave_the_gap_of_the_labels():
    # Labels are final 45 days later: February trains for no earlier date than April.
    dates = ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]
    labels = labels_of(dates, ["2024-03-16", "2024-04-14", "2024-05-15", "2024-06-14"])
    folds, scheme = tuning_folds(labels, 4, 0)
    assert scheme == "time"
    days = labels.index.get_level_values("as_of_date")
    assert [sorted(set(days[train].strftime("%m"))) for train, _ in folds] == [["01"], ["01", "02"]]
    assert [set(days[held_out].strftime("%m")) for _, held_out in folds] == [{"03"}, {"04"}]
    assert all(len(held_out) == 60 for _, held_out in folds)
    # One row of January that is final late keeps all of January out of March.
    late = labels.copy()
    late.iloc[0, late.columns.get_loc("matured_on")] = pd.Timestamp("2024-04-01")
    assert tuning_folds(late, 4, 0)[1] == "customer"


def test_one_date_is_split_by_customers():
    labels = labels_of(["2024-01-31", "2024-02-29"], ["2024-06-30", "2024-06-30"])
    folds, scheme = tuning_folds(labels, 3, 0)
    assert (scheme, len(folds)) == ("customer", 3)
    customer = labels.index.get_level_values("customer_id")
    for train, held_out in folds:
        assert not set(customer[train]) & set(customer[held_out])
        assert labels["is_overdue"].to_numpy()[held_out].mean() == pytest.approx(0.5, abs=0.06)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(120))


def test_a_date_with_few_overdue_rows_holds_out_nothing():
    dates = ["2024-01-31", "2024-02-29", "2024-03-31"]
    labels = labels_of(dates, ["2024-02-01", "2024-03-01", "2024-04-01"])
    assert len(tuning_folds(labels, 4, 0)[0]) == 2
    march = labels.index.get_level_values("as_of_date") == pd.Timestamp("2024-03-31")
    labels.loc[march & (np.arange(180) > 60), "is_overdue"] = False
    assert tuning_folds(labels, 4, 0)[1] == "customer"


# ---- Tuning


def test_what_was_found_is_trained_recorded_and_continued(line, tmp_path, small_space):
    asked = config(tuning=TuningConfig(trials=3, folds=2))
    told = Told()
    result = run_train(line.records, RecordsConfig(), asked, tmp_path, told)
    facts = result.facts["tuning"]
    assert (facts["scheme"], facts["n_trials"], facts["n_folds"]) == ("customer", 3, 2)
    assert told.steps[:3] == [(1, 3), (2, 3), (3, 3)]
    used = result.model.classifier.get_params()
    assert {name: used[name] for name in facts["parameters"]} == facts["parameters"]
    assert result.model.meta["tuning"] == facts
    assert result.model.meta["config"]["model"]["n_estimators"] == 20
    client = open_store(tmp_path).client()
    run = client.get_run(result.run.run_id)
    assert run.data.params["model.learning_rate"] == str(facts["parameters"]["learning_rate"])
    written = json.loads(next(tmp_path.rglob("tuning.json")).read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(facts))
    # The same records again: the three trials stand in the models folder and two more are added.
    told = Told()
    again = run_train(
        line.records, RecordsConfig(), config(tuning=TuningConfig(trials=5, folds=2)), tmp_path, told
    )
    assert told.steps[:2] == [(4, 5), (5, 5)]
    assert again.facts["tuning"]["trials"][:3] == facts["trials"]
    # Without a models folder it is the same, from the start.
    alone = run_train(line.records, RecordsConfig(), config(tuning=TuningConfig(trials=3, folds=2)), None)
    assert alone.facts["tuning"] == facts
    assert alone.bundle_hash == result.bundle_hash


def test_the_test_customers_cannot_move_the_tuning(line, small_space):
    tables = {p.stem: pd.read_csv(p, dtype=str) for p in line.records.glob("*.csv")}
    asked = config(tuning=TuningConfig(trials=2, folds=2))
    base = run_train(load_records(tables), RecordsConfig(), asked, None)
    labels = tables["labels"].set_index(["customer_id", "as_of_date"])
    test = split_by_customer(labels, asked.split.test_share, asked.split.salt)
    flipped = tables["labels"].loc[test, "is_overdue"].map({"True": "False", "False": "True"})
    tables["labels"].loc[test, "is_overdue"] = flipped
    moved = run_train(load_records(tables), RecordsConfig(), asked, None)
    assert moved.facts["tuning"] == base.facts["tuning"]
    assert moved.evaluation.value("auc") != base.evaluation.value("auc")


def test_several_dates_are_tuned_in_the_order_of_time(line, small_space, monkeypatch):
    seen = []
    monkeypatch.setattr(tune, "tune", lambda *args, **named: (seen.append((args, named)), None)[1])
    with pytest.raises(AttributeError):
        run_train(line.records, RecordsConfig(), config(tuning=TuningConfig(trials=2), **BY_TIME), None)
    (_, X, _, folds), _ = seen[0]
    days = X.index.get_level_values("as_of_date")
    # May to July train; August is the test and is not even there.
    assert sorted(set(days.strftime("%m"))) == ["05", "06", "07"]
    assert [sorted(set(days[held].strftime("%m"))) for _, held in folds] == [["06"], ["07"]]
    assert [days[train].max() < days[held].min() for train, held in folds] == [True, True]


def test_stability_over_dates(line, small_space):
    asked = config(tuning=TuningConfig(trials=2, criterion="stability"), **BY_TIME)
    facts = run_train(line.records, RecordsConfig(), asked, None).facts["tuning"]
    assert facts["scheme"] == "time"
    assert facts["value"] >= facts["value_of_config"]


def test_minutes_alone_switch_tuning_on():
    assert not TuningConfig().wanted
    assert TuningConfig(minutes=1.0).wanted
    assert TuningConfig(trials=1).wanted
    with pytest.raises(ValueError, match="minutes"):
        TuningConfig(minutes=0.0)


# ---- Age, calibration, comparisons


def test_older_dates_count_less(line, monkeypatch):
    given = []
    fit = OverdueClassifier.fit

    def spy(self, X, y, sample_weight=None, **named):
        given.append((sample_weight, named["dates"]))
        return fit(self, X, y, sample_weight, **named)

    monkeypatch.setattr(OverdueClassifier, "fit", spy)
    aged = run_train(line.records, RecordsConfig(), config({"recency_half_life_days": 31.0}, **BY_TIME), None)
    plain = run_train(line.records, RecordsConfig(), config(**BY_TIME), None)
    weight, dates = given[0]
    assert given[1][0] is None
    np.testing.assert_array_equal(weight, recency_weights(dates, 31.0))
    # July is the latest training date: May is 61 days older.
    assert sorted(set(weight)) == pytest.approx([0.5 ** (61 / 31), 0.5, 1.0])
    assert aged.bundle_hash != plain.bundle_hash


def test_the_choice_of_a_calibrator_is_on_the_record(line):
    result = run_train(line.records, RecordsConfig(), config({"calibration": "auto"}, **BY_TIME), None)
    facts = result.facts["calibration_choice"]
    assert facts["scheme"] == "time"
    assert facts["chosen"] == result.model.classifier.calibrator_.kind
    assert len(facts["candidates"]) == 5


@pytest.mark.parametrize("kind", ["logistic", "scorecard"])
def test_a_challenger_stands_beside_the_model_and_changes_nothing(line, kind):
    if kind == "scorecard":
        pytest.importorskip("optbinning")
    base = run_train(line.records, RecordsConfig(), config(), None)
    result = run_train(line.records, RecordsConfig(), config(challenger=kind), None)
    facts = result.facts["challenger"]
    figures = {row["model"]: row for row in facts["metrics"]}
    assert list(figures) == ["served", "challenger", "blend"]
    assert figures["served"]["auc"] == pytest.approx(result.evaluation.value("auc"))
    assert figures["challenger"]["auc"] > 0.65
    assert facts["kind"] == kind
    assert not facts["blend_served"]
    trees = [b.model_to_string() for b in base.model.classifier.boosters_]
    assert [b.model_to_string() for b in result.model.classifier.boosters_] == trees
    assert result.model.classifier.calibrator_ == base.model.classifier.calibrator_


@pytest.mark.parametrize("monotone", [True, False])
def test_directions_and_what_they_cost(line, monotone):
    asked = config({"monotone": monotone, "monotone_cost": True})
    told = Told()
    result = run_train(line.records, RecordsConfig(), asked, None, told)
    found = result.facts["constraint_cost"]
    assert "all" in found
    assert found["all"]["n_constraints"] > 0
    assert bool(result.model.classifier.monotone_constraints) is monotone
    key = "test_auc_with" if monotone else "test_auc_without"
    assert found["all"][key] == pytest.approx(result.evaluation.value("auc"))
    assert "measuring what directions cost" in told.stages


def test_every_setting_of_the_model_reaches_the_classifier():
    """A setting that neither the classifier nor the job takes would be a promise without effect."""
    own = set(OverdueClassifier().get_params()) - {"monotone_constraints", "n_jobs"}
    of_the_job = {"monotone", "monotone_cost", "recency_half_life_days"}
    assert set(ModelConfig.model_fields) == own | of_the_job
    assert fitting._classifier(ModelConfig(), None).get_params() == OverdueClassifier().get_params()


def test_a_word_that_is_no_challenger_is_named():
    from overdue_ml.config import load_config

    with pytest.raises(ConfigError, match="challenger"):
        load_config(TrainConfig, None, ["challenger=forest"])
