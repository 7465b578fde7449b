"""The choice of features in a training run: from the training rows alone, and told to the validator."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import (
    EvaluationConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    SelectionConfig,
    SplitConfig,
    TrainConfig,
)
from overdue_ml.errors import ModelError
from overdue_ml.jobs.sample import Sample
from overdue_ml.jobs.train import _select, run_train
from overdue_ml.model.selection import Rule
from overdue_ml.records import load_records
from overdue_ml.reports.phrases import load_phrases

#: Three training dates and one that is set aside.
DATES = ["2005-05-31", "2005-06-30", "2005-07-31", "2005-08-31"]
EVERY_RULE = SelectionConfig(max_missing=0.6, duplicates=True, max_psi=0.25, keep=20)


def config_of(selection: SelectionConfig) -> TrainConfig:
    return TrainConfig(
        as_of=DATES,
        labels=LabelsConfig(source="next_statement", overdue_dpd=31),
        split=SplitConfig(by="time"),
        model=ModelConfig(n_estimators=20, cv=2),
        evaluation=EvaluationConfig(n_boot=0),
        selection=selection,
    )


@pytest.fixture(scope="module")
def tables(line):
    return {p.stem: pd.read_csv(p, dtype=str) for p in line.records.glob("*.csv")}


@pytest.fixture(scope="module")
def chosen(tables, tmp_path_factory):
    """A run with every rule on, and its models folder."""
    models = tmp_path_factory.mktemp("selection")
    return run_train(load_records(tables), RecordsConfig(), config_of(EVERY_RULE), models), models


def test_every_rule_leaves_something_out_and_the_rest_is_the_model(chosen):
    result, _ = chosen
    dropped = result.facts["selection"]["dropped"]
    assert {d["rule"] for d in dropped} == {"constant", "missing", "duplicate", "unstable", "weak"}
    assert result.facts["n_features"] == len(result.model.feature_names) == 20
    assert result.facts["dropped_features"] == sorted(d["feature"] for d in dropped)
    assert result.facts["selection"]["n_features"] == 20 + len(dropped)
    # Only the statements of the as_of date and of the month before are known on the first date.
    assert {"feature": "repay_dpd_mean_last4", "rule": "duplicate", "figure": None,
            "same_as": "repay_dpd_mean_last3"} in dropped  # fmt: skip


def test_what_is_known_of_the_date_that_is_set_aside_cannot_move_the_choice(tables, chosen):
    """Other amounts known on the test date and other days past due known after it: features and labels."""
    result, _ = chosen
    other = dict(tables)
    statements = tables["statements"].copy()
    late = statements["known_on"] > "2005-08-31"
    on_test_date = statements["known_on"] == "2005-08-31"
    assert late.sum() > 1000
    assert on_test_date.sum() > 1000
    rng = np.random.default_rng(3)
    # The days past due that became known that day decide the last training labels: those stay.
    statements.loc[on_test_date, "paid_amount"] = rng.permutation(
        statements.loc[on_test_date, "paid_amount"].to_numpy()
    )
    statements.loc[on_test_date, "balance_amount"] = "1"
    statements.loc[late, "dpd"] = rng.permutation(statements.loc[late, "dpd"].to_numpy())
    other["statements"] = statements
    moved = run_train(load_records(other), RecordsConfig(), config_of(EVERY_RULE), None)
    assert moved.facts["selection"] == result.facts["selection"]
    assert moved.model.feature_names == result.model.feature_names
    trees = [[b.model_to_string() for b in r.model.classifier.boosters_] for r in (moved, result)]
    assert trees[0] == trees[1]
    assert moved.evaluation.value("auc") != result.evaluation.value("auc")


def test_the_defaults_leave_out_constants_only(line, tables):
    assert line.trained.facts["selection"]["dropped"] == []
    result = run_train(load_records(tables), RecordsConfig(), config_of(SelectionConfig()), None)
    assert {d["rule"] for d in result.facts["selection"]["dropped"]} == {"constant"}
    assert "repay_status_score_lag5" in result.facts["dropped_features"]


def test_the_data_sheet_and_the_page_name_what_was_left_out(chosen):
    result, models = chosen
    sheet = json.loads(next(models.rglob("data_sheet.json")).read_text(encoding="utf-8"))
    assert sheet["selection"] == result.facts["selection"]
    page = next(models.rglob("evaluation.html")).read_text(encoding="utf-8")
    assert "Features left out" in page
    assert page.count("repay_dpd_mean_last3") >= 2
    assert "not_checked" not in page
    assert "Not checked" not in page


def test_every_rule_that_leaves_out_a_feature_has_words_in_each_language():
    english, chinese = load_phrases("en"), load_phrases("zh")
    for rule in get_args(Rule):
        assert english.word("v", rule) != rule
        assert not chinese.word("v", rule).isascii()


def test_a_rule_that_could_not_be_checked_is_a_note(line, tmp_path):
    config = TrainConfig(
        model=ModelConfig(n_estimators=20, cv=2),
        evaluation=EvaluationConfig(n_boot=0),
        selection=SelectionConfig(max_psi=0.25),
    )
    result = run_train(line.records, RecordsConfig(), config, tmp_path / "models")
    (note,) = result.facts["selection"]["not_checked"]
    assert note == "stability over time: 1 training date(s), 3 are needed"
    page = next((tmp_path / "models").rglob("evaluation.html")).read_text(encoding="utf-8")
    assert "Not checked: stability over time: 1 training date(s), 3 are needed." in page
    assert "Features left out" not in page


def sample_of(columns: dict[str, list[float]], train: list[bool]) -> Sample:
    index = pd.MultiIndex.from_arrays(
        [[f"c{i}" for i in range(len(train))], pd.to_datetime(["2024-01-31"] * len(train))],
        names=["customer_id", "as_of_date"],
    )
    labels = pd.DataFrame({"is_overdue": [i % 2 == 0 for i in range(len(train))]}, index=index)
    rows = np.array(train)
    return Sample(pd.DataFrame(columns, index=index), labels, rows, ~rows, pd.DataFrame())


def test_a_column_that_varies_only_among_test_rows_is_not_chosen_for_it():
    nan = np.nan
    sample = sample_of(
        {"both": [1.0, 2.0, 3.0], "test_only": [5.0, 5.0, 6.0], "nulls": [nan, nan, 1.0]}, [True, True, False]
    )
    columns, report = _select(sample, SelectionConfig(), 0)
    assert columns == ["both"]
    assert [d.feature for d in report.dropped] == ["test_only", "nulls"]


def test_no_feature_left_is_refused():
    sample = sample_of({"same": [5.0, 5.0, 6.0]}, [True, True, False])
    with pytest.raises(ModelError, match="no feature is left of 1") as error:
        _select(sample, SelectionConfig(), 0)
    assert error.value.exit_code == 4
