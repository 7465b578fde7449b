"""A list ranked by what reminders do, from the runs of a campaign whose arms are the lender's own coin."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.config import HoldoutConfig, LabelsConfig, RecordsConfig, RemindersConfig
from overdue_ml.errors import CampaignError, ConfigError, ModelError, RecordsError
from overdue_ml.jobs.campaign import CampaignQuestion, run_campaign
from overdue_ml.jobs.output import mask_id, write_json, write_parquet
from overdue_ml.jobs.uplift import UpliftQuestion, run_uplift, uplift_json, uplift_text
from overdue_ml.records import compute_next_due, load_records, simulate
from overdue_ml.reminders import UpliftLimits

LABELS = LabelsConfig(source="instalments", grace_days=3)
POLICY = RemindersConfig(
    lead_days=31,
    min_probability=0.0,
    tiers=["high", "low"],
    holdout=HoldoutConfig(share=0.5, campaign="coin"),
)
LATER = dt.date(2022, 11, 30)
FEW = UpliftLimits(min_rows=500, min_overdue=50)


def write_run(
    out: Path,
    day: dt.date,
    scores: pd.DataFrame,
    arms: pd.DataFrame,
    *,
    policy: RemindersConfig = POLICY,
    suffix: str = "",
) -> Path:
    """A run as far as it is read here."""
    folder = out / f"as_of={day}{suffix}"
    folder.mkdir(parents=True)
    write_parquet(scores, folder / "scores.parquet")
    write_parquet(arms.assign(campaign="coin"), folder / "arms.parquet")
    names = ("scores.parquet", "arms.parquet")
    manifest = {
        "as_of": str(day),
        "run_key": "k",
        "labels": LABELS.model_dump(mode="json"),
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
        "settings": {
            "records": RecordsConfig().model_dump(mode="json"),
            "reminders": policy.model_dump(mode="json"),
        },
    }
    write_json(manifest, folder / "manifest.json")
    return folder


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Records, and three runs: of August and September with the coin of those who have one, of November."""
    root = tmp_path_factory.mktemp("uplift")
    tables = simulate(3000, seed=6, months=11)
    truth = tables.pop("truth").to_pandas()
    records = load_records(tables)
    made = tables["contacts"].to_pandas()[["customer_id", "contacted_on", "arm"]]
    month = pd.to_datetime(made["contacted_on"]).dt.to_period("M").dt.start_time
    made["as_of_date"] = (month - pd.Timedelta(days=1)).dt.date
    turned = set()
    for day in (dt.date(2022, 8, 31), dt.date(2022, 9, 30), dt.date(2022, 11, 30)):
        due = compute_next_due(records, day).reset_index()[["customer_id", "next_due_date", "due_amount"]]
        known = truth[truth["as_of_date"] == day][["customer_id", "p_overdue", "log_odds"]]
        scores = due.merge(known, on="customer_id").sort_values("customer_id", ignore_index=True)
        scores = scores.assign(
            as_of_date=day, tier=np.where(scores["p_overdue"] > 0.15, "high", "low"), exposure_amount=1.0
        )
        coin = made[(made["as_of_date"] == day) & ~made["customer_id"].isin(turned)]
        arms = scores.merge(coin[["customer_id", "arm"]], on="customer_id")
        turned |= set(arms["customer_id"])
        write_run(root / "out", day, scores, arms)
    return records, root / "out"


@pytest.fixture(scope="module")
def result(line, tmp_path_factory):
    records, runs = line
    out = tmp_path_factory.mktemp("ranked")
    return run_uplift(UpliftQuestion(runs, "coin"), records, LATER, out, limits=FEW)


def test_a_list_ranked_by_benefit_stands_beside_the_run(line, result):
    """November's outcomes are not final, so that it is ranked and not learned from."""
    _, runs = line
    assert result.folder.name == "as_of=2022-11-30"
    scores = pd.read_parquet(result.folder / "scores.parquet")
    before = pd.read_parquet(runs / "as_of=2022-11-30" / "scores.parquet")
    pd.testing.assert_frame_equal(scores.drop(columns="benefit"), before)
    assert scores["benefit"].notna().all()
    # By hand: with one feature a benefit is a line in p (1 - p).
    room = scores["p_overdue"] * (1 - scores["p_overdue"])
    slope, base = np.polyfit(room, scores["benefit"], 1)
    np.testing.assert_allclose(scores["benefit"], base + slope * room, atol=1e-9)
    listed = pd.read_parquet(result.folder / "reminders.parquet")
    by_id = scores.set_index("customer_id")
    keys = (by_id["benefit"] * by_id["due_amount"]).loc[listed["customer_id"]].tolist()
    assert keys == sorted(keys, reverse=True)
    assert len(listed) + len(pd.read_parquet(result.folder / "suppressed.parquet")) == len(scores)
    n = result.effect.counts["rows"]
    assert result.model.n_treated + result.model.n_holdout == n
    assert result.effect.counts["dates"] == 2
    assert result.rankings["ranking"].tolist() == ["risk"] * 6 + ["benefit"] * 6
    # Of the whole list no order saves more.
    last = result.rankings.iloc[-1]
    assert (last["top"], last["gain"]) == (1.0, 0.0)
    assert "a reminder takes" in uplift_text(result)


def test_its_manifest_says_what_it_is_and_the_report_reads_it(line, result):
    manifest = json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["ranked_from"] == "k" != manifest["run_key"]
    assert manifest["settings"]["reminders"]["rank_by"] == "expected_benefit"
    assert manifest["uplift"]["campaign"] == "coin"
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((result.folder / name).read_bytes()).hexdigest() == digest
    assert not [
        path.name for path in result.folder.iterdir() if path.suffix in (".pkl", ".pickle", ".joblib")
    ]
    records, _ = line
    with pytest.raises(CampaignError, match="not final"):
        run_campaign(CampaignQuestion(result.folder.parent, "coin"), records, LATER, result.folder / "c.html")


def test_the_same_again_is_the_same_bytes_and_nothing_is_written_over(line, result, tmp_path):
    records, runs = line
    question = UpliftQuestion(runs, "coin")
    again = run_uplift(question, records, LATER, tmp_path, limits=FEW)
    for path in again.folder.iterdir():
        assert path.read_bytes() == (result.folder / path.name).read_bytes()
    with pytest.raises(ConfigError, match="stands there already"):
        run_uplift(question, records, LATER, tmp_path, limits=FEW)
    with pytest.raises(ConfigError, match="stands there already"):
        run_uplift(question, records, LATER, runs, limits=FEW)


def test_features_may_be_named(line, tmp_path):
    records, runs = line
    names = ("borrow_utilisation_latest",)
    run = runs / "as_of=2022-09-30"
    found = run_uplift(UpliftQuestion(runs, "coin", run, names), records, LATER, tmp_path, limits=FEW)
    assert found.model.feature_names == ("room", *names)
    assert found.folder.name == "as_of=2022-09-30"
    with pytest.raises(ConfigError, match="repay_colour"):
        run_uplift(
            UpliftQuestion(runs, "coin", features=["repay_colour"]),
            records,
            LATER,
            tmp_path / "b",
            limits=FEW,
        )
    assert not (tmp_path / "b").exists()


def test_what_cannot_be_learned_from_is_refused(line, tmp_path):
    records, runs = line
    with pytest.raises(ModelError, match="at least 2,500 and 300"):
        run_uplift(UpliftQuestion(runs, "coin"), records, LATER, tmp_path)
    with pytest.raises(CampaignError, match="no run of the campaign has final outcomes"):
        run_uplift(UpliftQuestion(runs, "coin"), records, dt.date(2022, 9, 15), tmp_path)
    with pytest.raises(ConfigError, match="no run of a campaign 'spring'"):
        run_uplift(UpliftQuestion(runs, "spring"), records, LATER, tmp_path)
    with pytest.raises(ConfigError, match="no scoring run up to"):
        run_uplift(UpliftQuestion(runs, "coin", run=tmp_path), records, LATER, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_scored_again_is_not_learned_from(line, result, tmp_path):
    """The second run of 30 September is the first again: what is learned is what was, of as many rows."""
    records, runs = line
    shutil.copytree(runs, tmp_path / "runs")
    first = tmp_path / "runs" / "as_of=2022-09-30"
    shutil.copytree(first, first.with_name(f"{first.name}.run2"))
    found = run_uplift(UpliftQuestion(first.parent, "coin"), records, LATER, tmp_path / "out", limits=FEW)
    assert [folder.name for folder in found.runs.superseded] == [first.name]
    for name in ("scores.parquet", "rankings.csv", "reminders.csv"):
        assert (found.folder / name).read_bytes() == (result.folder / name).read_bytes()
    assert found.effect.counts == result.effect.counts
    said = "1 run(s) left out, since a later run of the date counts: as_of=2022-09-30."
    assert said in uplift_text(found)
    assert said not in uplift_text(result)
    assert uplift_json(found)["superseded"] == [first.name]


def test_the_policys_workbook_and_masks_hold_for_the_new_list(line, tmp_path, monkeypatch):
    records, runs = line
    tables = (pd.read_parquet(runs / f"as_of={LATER}" / f"{name}.parquet") for name in ("scores", "arms"))
    policy = POLICY.model_copy(update={"excel": True, "masked_columns": ["customer_id"]})
    question = UpliftQuestion(runs, "coin", write_run(tmp_path / "run", LATER, *tables, policy=policy))
    made = run_uplift(question, records, LATER, tmp_path / "out", limits=FEW)
    manifest = json.loads((made.folder / "manifest.json").read_text(encoding="utf-8"))
    assert "reminders.xlsx" in manifest["files"]
    header, *rows = openpyxl.load_workbook(made.folder / "reminders.xlsx").active.iter_rows(values_only=True)
    place = header.index("customer_id")
    ids = pd.read_parquet(made.folder / "reminders.parquet")["customer_id"]
    assert [row[place] for row in rows] == [mask_id(customer) for customer in ids]
    assert (made.folder / "reminders.csv").read_text("utf-8").count("••••") == len(ids) > 0
    # Without openpyxl it is refused before anything is learned.
    monkeypatch.setattr("overdue_ml.jobs.excel.importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="need openpyxl"):
        run_uplift(question, records, LATER, tmp_path / "without")
    assert not (tmp_path / "without").exists()


def test_scores_that_changed_since_are_refused(line, tmp_path):
    records, runs = line
    scores = pd.read_parquet(runs / "as_of=2022-11-30" / "scores.parquet")
    arms = pd.read_parquet(runs / "as_of=2022-11-30" / "arms.parquet")
    run = write_run(tmp_path / "runs", LATER, scores, arms)
    write_parquet(scores.iloc[1:], run / "scores.parquet")
    with pytest.raises(RecordsError, match="not as the run wrote it"):
        run_uplift(UpliftQuestion(runs, "coin", run=run), records, LATER, tmp_path / "out", limits=FEW)


def test_the_verb_prints_what_it_found(line, result, tmp_path, monkeypatch, capsys):
    records, runs = line
    (tmp_path / "records").mkdir()
    for name, table in records.tables.items():
        write_parquet(table, tmp_path / "records" / f"{name}.parquet")
    monkeypatch.setattr("overdue_ml.reminders.uplift.UpliftLimits", lambda: FEW)
    words = ["uplift", "--records", str(tmp_path / "records"), "--scores", str(runs), "--as-of", str(LATER)]
    words += ["--campaign", "coin", "--json", "--out"]
    assert cli.run([*words, str(tmp_path / "a")]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["mean_benefit"] == result.model.mean_benefit
    assert [row["saved"] for row in told["rankings"]] == result.rankings["saved"].tolist()
    assert cli.run([*words[:-2], "--out", str(tmp_path / "b")]) == 0
    assert "money saved (95 %)" in capsys.readouterr().out
    written = (tmp_path / "a" / "as_of=2022-11-30" / "scores.parquet").read_bytes()
    assert written == (result.folder / "scores.parquet").read_bytes()


def test_the_verb_says_what_is_wrong(line, tmp_path, capsys):
    _, runs = line
    simulated = tmp_path / "records"
    simulated.mkdir()
    words = ["uplift", "--records", str(simulated), "--scores", str(runs), "--out", str(tmp_path / "out")]
    words += ["--campaign", "coin"]
    assert cli.run([*words, "--as-of", str(LATER), "--learner", "deep"]) == 2
    assert "no learner 'deep'" in capsys.readouterr().err
    assert cli.run([*words, "--as-of", "soon"]) == 2
    assert cli.run([*words, "--as-of", str(LATER)]) == 3
    assert not (tmp_path / "out").exists()
