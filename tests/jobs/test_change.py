"""What if and score change of finished runs, through the jobs and the command line."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.config import AuditConfig, EvaluationConfig, ModelConfig, RecordsConfig, TrainConfig
from overdue_ml.errors import ConfigError, ModelError, RecordsError
from overdue_ml.explain import SmallestChange, load_wording, pay_next_statements, score_change
from overdue_ml.features import build_features
from overdue_ml.jobs.change import change_json, change_text, run_change
from overdue_ml.jobs.score import run_score
from overdue_ml.jobs.train import run_train
from overdue_ml.jobs.whatif import run_what_if
from overdue_ml.records import load_records
from overdue_ml.tracking import load_model, open_store

JULY, SEPTEMBER = dt.date(2005, 7, 31), dt.date(2005, 9, 30)


@pytest.fixture(scope="module")
def runs(line, tmp_path_factory):
    """Folders: July by the first model; September by it (``line``) and by a second one of fewer trees."""
    root = tmp_path_factory.mktemp("change")
    models = root / "second"
    july = run_score(
        line.records, JULY, load_model(open_store(line.models), "overdue/1"), root / "out"
    ).folder
    config = TrainConfig(
        model=ModelConfig(n_estimators=25, cv=2, random_state=7, calibration="beta"),
        evaluation=EvaluationConfig(n_boot=0),
        audit=AuditConfig(dates=0),
    )
    run_train(line.records, RecordsConfig(), config, models)
    second = load_model(open_store(models), "overdue/1")
    other = run_score(line.records, SEPTEMBER, second, root / "other").folder
    return {"july": july, "september": line.scored.folder, "second": other, "model": second.model}


@pytest.fixture(scope="module")
def champion(line):
    return load_model(open_store(line.models), "overdue/1").model


def test_two_dates_of_one_model_need_no_more_than_the_runs(runs):
    result = run_change(runs["july"], runs["september"])
    assert not result.change.model.to_numpy().any()
    assert result.change.base == 0
    assert (result.left, result.joined) == (0, 0)
    old, new = (pd.read_parquet(runs[name] / "scores.parquet") for name in ("july", "september"))
    logit = [np.log(frame["p_overdue"] / (1 - frame["p_overdue"])).mean() for frame in (old, new)]
    everybody = result.table[result.table["tier"] == "all"]
    assert everybody["change"].sum() == pytest.approx(logit[1] - logit[0], abs=1e-9)
    assert set(result.table["tier"]) == {"all", *old["tier"]}
    assert "3,000 customers in both runs" in change_text(result, load_wording("en"))
    assert json.loads(json.dumps(change_json(result)))["n_customers"] == 3000


def test_another_model_on_one_date_needs_no_more_than_the_runs(runs):
    result = run_change(runs["september"], runs["second"])
    assert not result.change.data.to_numpy().any()
    assert result.change.calibration.abs().max() > 0.01
    assert result.change.base != 0


def test_where_both_differ_the_first_model_is_asked_about_the_later_features(line, runs, champion):
    """The same as from features in memory, customer by customer."""
    result = run_change(runs["july"], runs["second"], models=line.models)
    records = load_records(line.records)
    names = sorted({*champion.feature_names, *runs["model"].feature_names})
    then, now = (build_features(records, day, names).droplevel("as_of_date") for day in (JULY, SEPTEMBER))
    expected = score_change(champion, then, runs["model"], now)
    for name in ("data", "model"):
        gap = (getattr(result.change, name) - getattr(expected, name)).abs().to_numpy()
        assert gap.max() <= 1e-9
        assert getattr(expected, name).abs().to_numpy().max() > 0.1
    assert (result.change.total - expected.total).abs().max() <= 1e-9
    with pytest.raises(ConfigError, match="give --models"):
        run_change(runs["july"], runs["second"])


def test_one_customer_in_words_and_by_the_verb(line, runs, capsys):
    scores = pd.read_parquet(runs["september"] / "scores.parquet").set_index("customer_id")
    customer = scores.index[5]
    args = ["change", "--from", runs["july"], "--to", runs["second"], "--customer", customer]
    args = [str(a) for a in [*args, "--models", line.models]]
    assert cli.run(args) == 0
    out = capsys.readouterr().out
    assert out.startswith("The calibrated probability went from")
    assert "31 July 2005, overdue/1" in out
    assert cli.run([*args, "--lang", "zh"]) == 0
    assert "数据变化占" in capsys.readouterr().out
    assert cli.run([*args, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(part["change"] for part in told["parts"]) == pytest.approx(told["change"], abs=1e-9)
    assert cli.run([*args[:5], "--customer", "nobody"]) == 2


def test_features_of_one_model_that_mean_something_else_are_refused(runs, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(runs["july"], copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"feature_set_hash": "0" * 64}))
    with pytest.raises(ConfigError, match="mean different things"):
        run_change(copy, runs["september"])


def test_other_records_and_another_model_than_those_of_the_runs_are_refused(line, runs, tmp_path):
    other = tmp_path / "records"
    shutil.copytree(line.records, other)
    frame = pd.read_csv(other / "statements.csv", dtype=str)
    frame.loc[0, "balance_amount"] = "1"
    frame.to_csv(other / "statements.csv", index=False)
    with pytest.raises(RecordsError, match="not those of the second run"):
        run_change(runs["july"], runs["second"], models=line.models, source=other)
    with pytest.raises(ModelError, match="is not the model that scored"):
        run_change(runs["july"], runs["second"], models=runs["second"].parents[1] / "second")


def test_what_if_begins_at_the_score_of_the_run(line, champion):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").sort_values("rank")
    row = scores.iloc[0]
    result = run_what_if(line.scored.folder, row["customer_id"], line.models, [pay_next_statements(2)])
    assert result.answer.now.p_overdue == pytest.approx(row["p_overdue"], abs=1e-12)
    assert result.answer.on == dt.date(2005, 11, 30)
    # The riskiest of all pays in full twice.
    assert result.answer.change < -0.1
    assert result.answer.reasons["change"].sum() == pytest.approx(result.answer.change, abs=1e-9)
    zh = result.text(load_wording("zh"))
    assert "接下来2期账单均显示已全额还款" in zh


def test_what_would_lower_the_tier(line, capsys):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").sort_values("rank")
    tiers = scores.groupby("tier")["customer_id"].last()
    result = run_what_if(line.scored.folder, tiers["medium"], line.models)
    assert isinstance(result.answer, SmallestChange)
    # The lower end of the medium tier.
    assert result.answer.threshold == 0.2
    assert result.answer.found is not None
    assert result.answer.found.after.p_overdue < 0.2 <= result.answer.found.without.p_overdue
    with pytest.raises(ConfigError, match="below which there is none"):
        run_what_if(line.scored.folder, tiers["low"], line.models)
    args = ["what-if", "--scores", str(line.scored.folder), "--customer", tiers["medium"]]
    args += ["--models", str(line.models)]
    assert cli.run(args) == 0
    # With a decimal, as the estimate of today would look the same without.
    assert "The smallest change that brings the estimate below 20.0 %" in capsys.readouterr().out
    assert cli.run([*args, "--event", "pay_next_statements:1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == ["pay_next_statements:1"]
    assert cli.run([*args, "--event", "pay_never"]) == 2


def test_records_that_give_another_score_are_refused(line, tmp_path):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet")
    customer = scores["customer_id"].iloc[0]
    other = tmp_path / "records"
    shutil.copytree(line.records, other)
    accounts = pd.read_csv(other / "accounts.csv", dtype=str).set_index("customer_id")
    frame = pd.read_csv(other / "statements.csv", dtype=str)
    frame.loc[frame["account_id"] == accounts.loc[customer, "account_id"], "dpd"] = "150"
    frame.to_csv(other / "statements.csv", index=False)
    with pytest.raises(RecordsError, match="do not give the score of the run"):
        run_what_if(line.scored.folder, customer, line.models, [pay_next_statements(1)], source=other)
