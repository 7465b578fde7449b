"""The training run: what it evaluates on, what it records, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from overdue_ml.config import (
    EvaluationConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    SplitConfig,
    TrainConfig,
)
from overdue_ml.errors import ModelError
from overdue_ml.jobs.text import training_text
from overdue_ml.jobs.train import run_train
from overdue_ml.labels import split_by_customer
from overdue_ml.records import load_records
from overdue_ml.tracking import open_store

SMALL = ModelConfig(n_estimators=40, cv=2)
NO_BOOT = EvaluationConfig(n_boot=0)


def frames(line):
    return {p.stem: pd.read_csv(p, dtype=str) for p in line.records.glob("*.csv")}


@pytest.mark.parametrize(
    ("name", "models", "options"),
    [
        ("overdue", "models", ""),
        ("bnpl", "models", " --name bnpl"),
        ("bnpl", "my models/b", " --name bnpl --models 'my models/b'"),
    ],
)
def test_the_next_command_can_be_pasted(line, name, models, options):
    result = replace(line.trained, run=replace(line.trained.run, model_name=name, version="3"))
    last = training_text(result, Path(models)).splitlines()[-1]
    assert last == f"Next: overdue-ml promote 3 --alias champion{options}"


def test_the_model_beats_chance_on_customers_it_never_saw(line):
    # On 600 customers the standard error of an AUC near 0.77 is about 0.02.
    assert line.trained.evaluation.value("auc") > 0.7
    facts = line.trained.facts
    assert facts["train_rows"] + facts["test_rows"] == 3000
    assert 450 < facts["test_rows"] < 750


def test_training_twice_gives_the_same_bytes(line):
    config = TrainConfig(model=SMALL, evaluation=NO_BOOT)
    first, second = (run_train(line.records, RecordsConfig(), config, None) for _ in range(2))
    assert first.bundle_hash == second.bundle_hash
    assert first.evaluation.overall.equals(second.evaluation.overall)
    assert first.run is None


def test_the_test_customers_cannot_move_the_model(line):
    """Flipping every label and statement of the test customers leaves the model as it was."""
    tables = frames(line)
    config = TrainConfig(model=SMALL, evaluation=NO_BOOT)
    base = run_train(load_records(tables), RecordsConfig(), config, None)
    labels = tables["labels"].set_index(["customer_id", "as_of_date"])
    test = split_by_customer(labels, config.split.test_share, config.split.salt)
    ids = set(tables["labels"]["customer_id"][test])
    tables["labels"].loc[test, "is_overdue"] = (
        tables["labels"].loc[test, "is_overdue"].map({"True": "False", "False": "True"})
    )
    accounts = tables["accounts"]
    touched = tables["statements"]["account_id"].isin(
        accounts["account_id"][accounts["customer_id"].isin(ids)]
    )
    tables["statements"].loc[touched, "paid_amount"] = "7"
    moved = run_train(load_records(tables), RecordsConfig(), config, None)
    trees = [b.model_to_string() for b in base.model.classifier.boosters_]
    assert [b.model_to_string() for b in moved.model.classifier.boosters_] == trees
    assert moved.model.classifier.calibrator_ == base.model.classifier.calibrator_
    assert moved.evaluation.value("auc") < base.evaluation.value("auc")


def test_splitting_by_time_trains_on_labels_that_were_final(line):
    config = TrainConfig(
        as_of=["2005-05-31", "2005-06-30", "2005-07-31", "2005-08-31"],
        labels=LabelsConfig(source="next_statement", overdue_dpd=31),
        split=SplitConfig(by="time"),
        model=SMALL,
        evaluation=NO_BOOT,
    )
    result = run_train(line.records, RecordsConfig(), config, None)
    assert result.facts["as_of"] == ["2005-05-31", "2005-06-30", "2005-07-31"]
    assert result.facts["test_as_of"] == ["2005-08-31"]
    assert result.facts["labels_final_on"] == "2005-08-31"
    assert result.evaluation.value("auc") > 0.7


def test_attributes_become_categories_only_when_named(line):
    plain = run_train(line.records, RecordsConfig(), TrainConfig(model=SMALL, evaluation=NO_BOOT), None)
    assert not [n for n in plain.model.feature_names if n.startswith("attr_")]
    named = run_train(
        line.records,
        RecordsConfig(attributes=["education"]),
        TrainConfig(model=SMALL, evaluation=NO_BOOT),
        None,
    )
    assert "attr_education" in named.model.feature_names
    assert named.model.classifier.categories_
    assert plain.model.feature_set_hash != named.model.feature_set_hash


def test_too_few_overdue_customers_are_refused(line):
    tables = frames(line)
    tables["labels"]["is_overdue"] = "False"
    tables["labels"].loc[:20, "is_overdue"] = "True"
    with pytest.raises(ModelError, match="overdue of") as error:
        run_train(load_records(tables), RecordsConfig(), TrainConfig(model=SMALL), None)
    assert error.value.exit_code == 4


def test_the_run_holds_what_a_validator_asks_for_and_no_customer(line):
    client = open_store(line.models).client()
    run = client.get_run(line.trained.run.run_id)
    assert run.data.metrics["auc"] == pytest.approx(line.trained.evaluation.value("auc"))
    assert run.data.tags["records_fingerprint"] == line.trained.facts["records_fingerprint"]
    assert run.data.params["model.n_estimators"] == "60"
    kept = {
        f.path
        for part in ("config", "evaluation", "figures")
        for f in client.list_artifacts(run.info.run_id, part)
    }
    assert {
        "config/config.json", "evaluation/evaluation.json", "evaluation/evaluation.html",
        "evaluation/data_sheet.json", "figures/calibration.png", "figures/capture.png", "figures/reasons.png",
    } <= kept  # fmt: skip
    page = next(line.models.rglob("evaluation.html")).read_text(encoding="utf-8")
    assert "on_time 2,3" in page
    assert "{'" not in page
    assert "['" not in page
    planted = pd.read_csv(line.records / "accounts.csv")["customer_id"].iloc[[0, 1500, 2999]]
    for path in line.models.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(str(customer).encode() in data for customer in planted), path.name
