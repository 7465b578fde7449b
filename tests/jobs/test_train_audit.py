"""The audit within a training run: it refuses, it records, and it costs the clean run nothing but time."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import overdue_ml.features.build as build_module
from overdue_ml.config import (
    AuditConfig,
    EvaluationConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    SplitConfig,
    TrainConfig,
)
from overdue_ml.errors import ModelError
from overdue_ml.jobs.audit import _sample, _spread, audit_notes, audit_training
from overdue_ml.jobs.train import run_train
from overdue_ml.records import load_records

DATES = ["2005-05-31", "2005-06-30", "2005-07-31", "2005-08-31"]


def by_time(**audit):
    """Three training dates, of which the first and the last are audited."""
    return TrainConfig(
        as_of=DATES,
        labels=LabelsConfig(source="next_statement", overdue_dpd=31),
        split=SplitConfig(by="time"),
        model=ModelConfig(n_estimators=20, cv=2),
        evaluation=EvaluationConfig(n_boot=0),
        audit=AuditConfig(**{"customers": 60, "max_auc": 1.0} | audit),
    )


@pytest.fixture
def a_leaky_pass(monkeypatch):
    """Every statement is taken to be known 40 days before its date."""
    whole = build_module.statement_events

    def leaky(*args):
        events = whole(*args)
        return type(events)(**(vars(events) | {"known_day": events.known_day - 40}))

    monkeypatch.setattr(build_module, "statement_events", leaky)


def test_a_clean_audit_is_on_the_record(line):
    audit = run_train(line.records, RecordsConfig(), by_time(), None).facts["leakage_audit"]
    assert audit == {"dates": ["2005-05-31", "2005-07-31"], "customers": 60, "max_auc": 1.0, "findings": []}
    assert line.trained.facts["leakage_audit"]["findings"] == []
    assert line.trained.facts["leakage_audit"]["customers"] == 500
    assert line.trained.model.meta["leakage_audit"] == line.trained.facts["leakage_audit"]
    page = next(line.models.rglob("evaluation.html")).read_text(encoding="utf-8")
    assert "leakage audit" in page
    assert "findings none" in page


def test_a_leak_stops_the_run(line, a_leaky_pass):
    with pytest.raises(ModelError, match=r"the leakage audit found \d+ feature\(s\): ") as error:
        run_train(line.records, RecordsConfig(), by_time(), None)
    text = str(error.value)
    assert error.value.exit_code == 4
    # May's status becomes known at the end of June.
    assert "as of 2005-05-31, moves when the future is deleted: by the row of statements account_id=" in text
    assert " statement_date=2005-05-31; " in text
    assert "set audit.on_hit to record" in text


def test_a_leak_may_be_recorded_and_then_names_no_customer(line, a_leaky_pass, tmp_path):
    result = run_train(line.records, RecordsConfig(), by_time(on_hit="record"), tmp_path)
    findings = result.facts["leakage_audit"]["findings"]
    assert {f["as_of"] for f in findings} == {"2005-05-31", "2005-07-31"}
    assert {f["table"] for f in findings} == {"statements"}
    assert all(set(f) == {"feature", "as_of", "how", "table", "customers"} for f in findings)
    assert all(1 <= f["customers"] <= 60 for f in findings)
    page = next(tmp_path.rglob("evaluation.html")).read_text(encoding="utf-8")
    assert f"Leakage audit: {findings[0]['feature']} moves when the future is deleted" in page
    sheet = json.loads(next(tmp_path.rglob("data_sheet.json")).read_text(encoding="utf-8"))
    assert sheet["leakage_audit"] == result.facts["leakage_audit"]


def test_an_attribute_that_tells_the_outcome_stops_the_run(line):
    """No date stands beside an attribute: only that it is too good betrays it."""
    tables = {p.stem: pd.read_csv(p, dtype=str) for p in line.records.glob("*.csv")}
    labels = tables["labels"].set_index("customer_id")["is_overdue"]
    tables["customers"]["collector"] = tables["customers"]["customer_id"].map(
        labels.map({"True": "team west", "False": "none"})
    )
    records = load_records(tables, RecordsConfig(attributes=["collector"]))
    config = TrainConfig(model=ModelConfig(n_estimators=20, cv=2), evaluation=EvaluationConfig(n_boot=0))
    with pytest.raises(
        ModelError, match=r"'attr_collector' alone ranks the training rows with an AUC of 1\.000"
    ):
        run_train(records, records.config, config, None)
    recorded = config.model_copy(update={"audit": AuditConfig(on_hit="record")})
    result = run_train(records, records.config, recorded, None)
    assert result.facts["leakage_audit"]["findings"] == [
        {"feature": "attr_collector", "how": "alone", "auc": 1.0}
    ]
    assert audit_notes(result.facts["leakage_audit"]) == [
        "Leakage audit: attr_collector ranks the training rows alone with an AUC of 1.0."
    ]


def test_only_training_rows_are_asked_for_what_is_too_good(line):
    """A feature that is exact on the test customers alone is nobody's leak."""
    index = pd.MultiIndex.from_product(
        [[f"c{i}" for i in range(200)], pd.to_datetime(["2005-09-30"])], names=["customer_id", "as_of_date"]
    )
    target = np.arange(200) % 2 == 0
    frame = pd.DataFrame({"own_x": target * 1.0}, index=index)
    records = load_records(line.records)
    with pytest.raises(ModelError, match="'own_x' alone"):
        audit_training(records, frame, target, AuditConfig(dates=0))
    frame["own_x"] = 1.0
    assert audit_training(records, frame, target, AuditConfig(dates=0)) == {
        "dates": [], "customers": 0, "max_auc": 0.9, "findings": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0, []), (1, ["e"]), (2, ["a", "e"]), (3, ["a", "c", "e"]), (5, list("abcde")), (9, list("abcde"))],
)
def test_dates_are_spread_evenly(number, expected):
    assert _spread(list("abcde"), number) == expected
    assert _spread(["a"], number) == (["a"] if number else [])


def test_the_sample_follows_the_ids_alone():
    ids = [f"c{i:03}" for i in range(300)]
    days = pd.to_datetime(["2024-01-31", "2024-02-29"])
    rows = [(i, days[0]) for i in ids] + [(i, days[1]) for i in ids[:150]]
    frame = pd.DataFrame(index=pd.MultiIndex.from_tuples(rows, names=["customer_id", "as_of_date"]))
    january = _sample(frame, days[0].date(), 40)
    assert len(set(january)) == 40
    assert _sample(frame.iloc[::-1], days[0].date(), 40) == january
    # More customers keep those that were drawn, as far as they are there.
    assert _sample(frame, days[0].date(), 80)[:40] == january
    assert set(_sample(frame, days[1].date(), 40)) <= set(ids[:150])
    assert len(_sample(frame, days[1].date(), 999)) == 150
