"""Promotion, the champion of a day and going back, as jobs on a model that was really trained."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from overdue_ml import cli
from overdue_ml.config import GatesConfig
from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.jobs.promote import champion_text, promotion_text, run_champion, run_promote
from overdue_ml.jobs.rollback import run_rollback
from overdue_ml.tracking import Policy, load_model, open_store, read_promotions


@pytest.fixture
def models(line, tmp_path: Path) -> Path:
    """A copy of the models folder, to promote in."""
    shutil.copytree(line.models, tmp_path / "models")
    return tmp_path / "models"


def test_a_trained_model_passes_the_default_gates_with_its_figures(line):
    (entry,) = read_promotions(line.models / "promotions.jsonl")
    assert entry["kind"] == "promotion"
    assert all(gate["passed"] for gate in entry["gates"])
    figures = {gate["name"]: gate["figure"] for gate in entry["gates"]}
    evaluation = line.trained.evaluation
    assert figures["discrimination (auc)"] == evaluation.value("auc")
    assert figures["calibration error (ECE)"] == evaluation.value("ece")
    assert figures["shift of the score (PSI)"] == evaluation.score_psi
    assert figures["overdue rows set aside"] == line.trained.facts["test_overdue"]
    text = promotion_text(entry)
    assert "version 1 is now champion, by tester." in text
    assert text.count("  passed  ") == 6


def test_a_gate_that_fails_gives_exit_code_4_and_an_override_goes_on_the_record(models, capsys):
    promote = ["promote", "1", "--models", str(models), "--by", "lin", "--set", "max_score_psi=0.0001"]
    assert cli.run(promote) == 4
    err = capsys.readouterr().err
    assert "does not pass 1 gate(s)" in err
    assert "(limit: at most 0.0001)" in err
    assert len(read_promotions(models / "promotions.jsonl")) == 1
    assert cli.run([*promote, "--override", "only candidate", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert line["override"] == "only candidate"
    assert [gate["passed"] for gate in line["gates"]].count(False) == 1
    assert cli.run([*promote, "--alias", "challenger"]) == 0
    out = capsys.readouterr().out
    assert "FAILED  shift of the score (PSI)" in out


def test_an_override_of_blanks_is_a_usage_error(models):
    with pytest.raises(ConfigError, match="needs a reason"):
        run_promote(models, "1", "champion", "lin", policy=Policy(GatesConfig(), "  "))


def test_a_leaking_model_is_no_champion_by_its_own_hashed_facts(models, line):
    """The audit is read from the model, where it stands under its hash, not from the page of the run."""
    loaded = load_model(open_store(models), "overdue/1")
    meta = dict(loaded.model.meta)
    finding = {"feature": "repay_dpd_latest", "how": "alone", "auc": 0.95}
    meta["leakage_audit"] = dict(meta["leakage_audit"]) | {"findings": [finding]}
    leaking = dataclasses.replace(loaded, model=dataclasses.replace(loaded.model, meta=meta))
    from overdue_ml.tracking import check_gates

    failed = [g for g in check_gates(open_store(models), leaking, "") if not g.passed]
    assert [(g.name, g.figure) for g in failed] == [("leakage audit", "found repay_dpd_latest")]


def test_the_champion_of_a_day_and_of_none(models, capsys):
    (entry,) = read_promotions(models / "promotions.jsonl")
    moved = dt.datetime.fromtimestamp(int(entry["registry_time_ms"]) / 1000, dt.UTC).date()
    found = run_champion(models, moved)
    assert (found.version, found.since) == ("1", moved)
    text = champion_text(found, moved)
    assert (
        f"overdue version 1 was champion on {moved}, since {moved} (promotion by tester: first model)" in text
    )
    with pytest.raises(ModelError, match="had no champion on 2001-01-01") as caught:
        run_champion(models, dt.date(2001, 1, 1))
    assert caught.value.exit_code == 4
    args = ["champion", "--on", moved.isoformat(), "--models", str(models)]
    assert cli.run(args) == 0
    assert "overdue version 1" in capsys.readouterr().out
    assert cli.run([*args, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "1"
    assert cli.run(["champion", "--on", "2001-02-30", "--models", str(models)]) == 2


def test_with_one_champion_there_is_nothing_to_go_back_to(models, capsys):
    args = ["rollback", "--by", "lin", "--reason", "bad", "--models", str(models)]
    assert cli.run(args) == 4
    assert "no champion of 'overdue' to go back to" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="a name and a reason"):
        run_rollback(models, "lin", " ")


def test_the_run_has_its_metrics_by_split_and_everything_else_on_record(line):
    store = open_store(line.models)
    run = store.client().get_run(line.trained.run.run_id)
    metrics, overall = run.data.metrics, line.trained.evaluation.overall
    for row in overall.itertuples():
        assert metrics[row.metric] == metrics[f"test_{row.metric}"] == row.value
        assert f"train_{row.metric}" in metrics
    # The rows it was fitted on flatter it.
    assert metrics["train_auc"] > metrics["test_auc"]
    assert {"records_fingerprint", "feature_set_hash", "config_hash", "code_version"} <= set(run.data.tags)
    found = {f.path for f in store.client().list_artifacts(run.info.run_id, "evaluation")}
    assert found == {
        f"evaluation/{name}" for name in ("data_sheet.json", "evaluation.html", "evaluation.json")
    }
    assert store.client().list_artifacts(run.info.run_id, "figures")
    assert store.client().list_artifacts(run.info.run_id, "config")
