"""A score of a finished run once more: the same, or what differs."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.config import (
    AuditConfig,
    EvaluationConfig,
    FeaturesConfig,
    ModelConfig,
    RecordsConfig,
    TrainConfig,
)
from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.jobs.replay import replay_json, replay_text, run_replay
from overdue_ml.jobs.score import run_score
from overdue_ml.jobs.train import run_train
from overdue_ml.tracking import load_model, open_store

AS_OF = dt.date(2005, 9, 30)


@pytest.fixture
def grown(line, tmp_path: Path) -> Path:
    """A copy of the records, to be changed."""
    shutil.copytree(line.records, tmp_path / "records")
    return tmp_path / "records"


@pytest.fixture(scope="module")
def customer(line) -> str:
    """Somebody in the middle of the book who has an account of one's own."""
    scores = pd.read_parquet(line.scored.folder / "scores.parquet")
    return str(scores.sort_values("rank")["customer_id"].iloc[700])


def account_of(records: Path, customer: str) -> str:
    accounts = pd.read_csv(records / "accounts.csv", dtype=str)
    return accounts.set_index("customer_id").loc[customer, "account_id"]


def change(path: Path, edit) -> None:
    frame = pd.read_csv(path, dtype=str)
    changed = edit(frame)
    (frame if changed is None else changed).to_csv(path, index=False)


def test_customers_of_all_kinds_are_scored_the_same_again(line):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").sort_values("rank")
    for customer in scores["customer_id"].iloc[[0, 1, 1500, 2999]]:
        result = run_replay(line.scored.folder, customer, AS_OF, line.records, line.models)
        assert (result.exit_code, result.differences) == (0, [])
        assert "the rank is not replayed" in result.notes[0]
    assert "the same score" in replay_text(result)


def test_a_model_with_places_in_the_book_is_replayed_on_the_whole_book(line, tmp_path):
    config = TrainConfig(
        features=FeaturesConfig(ranks=True),
        model=ModelConfig(n_estimators=20, cv=2),
        evaluation=EvaluationConfig(n_boot=0),
        audit=AuditConfig(dates=0),
    )
    models = tmp_path / "models"
    trained = run_train(line.records, RecordsConfig(), config, models)
    assert any(name.endswith("_rank") for name in trained.model.feature_names)
    registered = load_model(open_store(models), "overdue/1")
    scored = run_score(line.records, AS_OF, registered, tmp_path / "out")
    parts = pd.read_parquet(scored.folder / "contributions.parquet").set_index("customer_id")
    # Whose score owes most to the place in the book.
    customer = str(parts.filter(like="_rank").abs().sum(axis=1).idxmax())
    result = run_replay(scored.folder, customer, AS_OF, line.records, models)
    assert (result.exit_code, result.differences) == (0, [])


def test_records_that_have_grown_since_give_the_same_score(line, grown, customer):
    """A statement of October, one of September that became known later, and another customer's past."""
    account = account_of(grown, customer)

    def grow(frame):
        mine = frame[frame["account_id"] == account]
        october = mine.iloc[[-1]].assign(
            statement_date="2005-10-31", due_date="2005-11-30", known_on="2005-11-30"
        )
        other = frame["account_id"] != account
        frame.loc[other, "balance_amount"] = "1"
        return pd.concat([frame, october])

    change(grown / "statements.csv", grow)
    result = run_replay(line.scored.folder, customer, AS_OF, grown, line.models)
    assert result.exit_code == 0
    assert [item.name for item in result.differences] == ["fingerprint of all records"]
    assert "not in what this score was made of" in result.notes[-1]


def test_a_changed_past_is_named_with_what_it_moved(line, grown, customer):
    account = account_of(grown, customer)

    def late(frame):
        mine = (frame["account_id"] == account) & (frame["known_on"] <= "2005-09-30")
        frame.loc[mine, "dpd"] = "150"

    change(grown / "statements.csv", late)
    result = run_replay(line.scored.folder, customer, AS_OF, grown, line.models)
    assert result.exit_code == 3
    kinds = {item.what for item in result.differences}
    assert kinds == {"records", "score", "contribution"}
    then = pd.read_parquet(line.scored.folder / "scores.parquet").set_index("customer_id").loc[customer]
    p = next(item for item in result.differences if item.name == "p_overdue")
    assert p.then == then["p_overdue"]
    assert p.now > p.then
    moved = [item.name for item in result.differences if item.what == "contribution"]
    assert any(name.startswith("repay_dpd_") and "(now 150" in name for name in moved), moved
    text = replay_text(result)
    assert "the records are not what they were" in text
    assert json.loads(json.dumps(replay_json(result)))["same"] is False


def test_a_customer_who_is_gone_is_a_difference_of_records(line, grown, customer):
    account = account_of(grown, customer)
    for name in ("accounts", "statements"):
        change(grown / f"{name}.csv", lambda f: f[f["account_id"] != account])
    for name in ("customers", "labels"):
        change(grown / f"{name}.csv", lambda f: f[f["customer_id"] != customer])
    result = run_replay(line.scored.folder, customer, AS_OF, grown, line.models)
    assert result.exit_code == 3
    assert result.differences[-1].now == "not known on that day"


def test_another_model_under_the_same_name_is_no_replay(line, tmp_path, customer):
    run = tmp_path / "run"
    shutil.copytree(line.scored.folder, run)
    manifest = json.loads((run / "manifest.json").read_text())
    # A coherent manifest of another model: its run key fits.
    from overdue_ml.jobs import replay

    manifest["model_hash"] = "0" * 64
    parts = json.dumps(replay._identity(manifest), sort_keys=True)
    manifest["run_key"] = replay.hashlib.sha256(parts.encode()).hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="is not the model that scored") as caught:
        run_replay(run, customer, AS_OF, line.records, line.models)
    assert caught.value.exit_code == 4


def test_code_that_computes_otherwise_is_named(line, customer, monkeypatch):
    """With the same records, model and settings only the code is left."""
    from overdue_ml.model import compute_points

    monkeypatch.setattr("overdue_ml.jobs.parts.compute_points", lambda p, c: compute_points(p, c) + 1.0)
    result = run_replay(line.scored.folder, customer, AS_OF, line.records, line.models)
    assert result.exit_code == 4
    assert [(item.what, item.name) for item in result.differences] == [("score", "points")]
    assert "the code or a library computes otherwise" in result.notes[-1]


def test_another_version_of_the_package_is_told_and_blamed_only_where_something_differs(
    line, customer, monkeypatch
):
    monkeypatch.setattr("overdue_ml.jobs.replay.version", lambda name: "9.9.9")
    result = run_replay(line.scored.folder, customer, AS_OF, line.records, line.models)
    assert result.exit_code == 0
    assert [(item.what, item.now) for item in result.differences] == [("code", "9.9.9")]


@pytest.mark.parametrize(
    ("key", "value"),
    [("as_of", "2005-08-31"), ("code_version", "9"), ("config_hash", "0" * 64), ("run_key", "")],
)
def test_a_changed_manifest_is_refused(line, tmp_path, customer, key, value):
    run = tmp_path / "run"
    shutil.copytree(line.scored.folder, run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest[key] = value
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="the manifest of the run was changed"):
        run_replay(run, customer, AS_OF, line.records, line.models)


def test_what_cannot_be_replayed_is_a_usage_error(line, customer):
    with pytest.raises(ConfigError, match="the run is of 2005-09-30, not of 2005-08-31"):
        run_replay(line.scored.folder, customer, dt.date(2005, 8, 31), line.records, line.models)
    with pytest.raises(ConfigError, match="was not scored in this run"):
        run_replay(line.scored.folder, "nobody", AS_OF, line.records, line.models)


def test_the_verb_ends_with_the_codes_of_the_verdict(line, grown, customer, capsys):
    args = ["replay", "--customer", customer, "--as-of", "2005-09-30", "--run", str(line.scored.folder)]
    args += ["--models", str(line.models), "--records"]
    assert cli.run([*args, str(line.records)]) == 0
    assert "the same score" in capsys.readouterr().out
    account = account_of(grown, customer)

    def paid_nothing(frame):
        frame.loc[frame["account_id"] == account, ["paid_amount", "dpd"]] = ["0", "90"]

    change(grown / "statements.csv", paid_nothing)
    assert cli.run([*args, str(grown), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3
