"""What reminders did, from the command line: the whole line on a synthetic lender, and its own coin.

A campaign's hash draws who is held out, but the synthetic lender has thrown its own coin: whoever is in which
arm of ours has the same chances, and the truth is no difference. With the lender's coin as arms the truth is
what its equations say.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.config import (
    EvaluationConfig,
    HoldoutConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    RemindersConfig,
    ScoreConfig,
    SplitConfig,
    TrainConfig,
)
from overdue_ml.errors import RecordsError
from overdue_ml.features.future import forget_after
from overdue_ml.jobs.campaign import CampaignQuestion, file_name, read_runs, run_campaign
from overdue_ml.jobs.output import write_json, write_parquet
from overdue_ml.jobs.promote import run_promote
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.jobs.train import run_train
from overdue_ml.labels import compute_unpaid
from overdue_ml.records import compute_next_due, load_records, simulate_to
from overdue_ml.tracking import load_model, open_store

HOSTILE = "../<script>alert(1)</script>\"'=1+1\u202e春"
RUNS = [dt.date(2022, 8, 31), dt.date(2022, 9, 30)]
LATER = "2022-11-30"
LABELS = LabelsConfig(source="instalments", grace_days=3)


@pytest.fixture(scope="module")
def lender(tmp_path_factory) -> Path:
    """4,000 customers, of whom the records end with November 2022."""
    folder = tmp_path_factory.mktemp("campaign") / "lender"
    simulate_to(folder, 4000, seed=6, months=11)
    (folder / "truth").rename(folder.parent / "truth")
    return folder


def read_truth(lender):
    truth = pd.concat(pd.read_parquet(path) for path in sorted((lender.parent / "truth").glob("*.parquet")))
    return truth.assign(as_of_date=pd.to_datetime(truth["as_of_date"]))


@pytest.fixture(scope="module")
def scored(lender, tmp_path_factory) -> Path:
    """Two runs of a campaign that holds out two of five, each on the records as they stood then."""
    root = tmp_path_factory.mktemp("scored")
    records = load_records(lender)
    config = TrainConfig(
        labels=LABELS,
        as_of=["2022-04-30", "2022-05-31", "2022-06-30"],
        split=SplitConfig(by="time"),
        model=ModelConfig(n_estimators=40, cv=2),
        evaluation=EvaluationConfig(n_boot=0),
    )
    then = forget_after(records, RUNS[0])
    trained = run_train(then, RecordsConfig(), config, root / "models")
    run_promote(root / "models", trained.run.version, "champion", "tester", "first")
    model = load_model(open_store(root / "models"), "overdue@champion")
    policy = RemindersConfig(
        lead_days=31,
        min_probability=0.0,
        tiers=["high", "medium", "low"],
        holdout=HoldoutConfig(share=0.4, campaign=HOSTILE),
    )
    for day in RUNS:
        settings = ScoreSettings(ScoreConfig(explain="none"), policy)
        run_score(forget_after(records, day), day, model, root / "out", settings)
    return root / "out"


def report(scores, lender, *words, campaign=HOSTILE, as_of=LATER, out=None):
    given = ["report", "--campaign", campaign, "--scores", scores, "--records", lender, "--as-of", as_of]
    return cli.run([str(word) for word in [*given, *(["--out", out] if out else []), *words]])


def test_the_whole_line(scored, lender, tmp_path, capsys):
    """Scored with a holdout, outcomes later, a page: no effect where our draw changed nothing."""
    out = tmp_path / "new" / "c.html"
    assert report(scored, lender, out=out) == 0
    told = capsys.readouterr().out
    folder = tmp_path / "new" / "c_tables"
    effects = pd.read_parquet(folder / "effects.parquet")
    everybody = effects.iloc[0]
    assert everybody["treated_rows"] + everybody["holdout_rows"] > 5000
    assert everybody["rate_low"] < 0 < everybody["rate_high"]
    assert everybody["money_low"] < 0 < everybody["money_high"]
    assert "No difference beyond chance" in told
    # What is not there is not to be ranked by.
    assert "benefits:" not in told
    # Rows of both runs, of customers who keep their arm.
    arms = pd.concat(pd.read_parquet(path) for path in sorted(scored.glob("*/arms.parquet")))
    assert len(arms[["customer_id", "arm"]].drop_duplicates()) == arms["customer_id"].nunique()
    assert set(arms["campaign"]) == {HOSTILE}
    # The lender has contacted about half of those eligible, whatever our draw said.
    assert "held out, which makes the difference smaller" in told
    # Rates are those of the labels, counted by hand.
    labels = cli_labels(lender).reset_index()
    both = arms.assign(as_of_date=pd.to_datetime(arms["as_of_date"])).merge(
        labels, on=["customer_id", "as_of_date"]
    )
    both = both[both["verdict"] != "already_overdue"].drop_duplicates(["customer_id", "next_due_date"])
    rates = both.groupby("arm")["is_overdue"].mean()
    assert everybody["treated_rate"] == pytest.approx(rates["treated"])
    assert everybody["holdout_rate"] == pytest.approx(rates["holdout"])
    # What was left unpaid of the dues listed, from the ledger.
    left = compute_unpaid(load_records(lender), RUNS, LABELS).rename(columns={"due_date": "next_due_date"})
    both = both.assign(next_due_date=pd.to_datetime(both["next_due_date"])).merge(
        left, on=["customer_id", "as_of_date", "next_due_date"], how="left"
    )
    sums = both.fillna({"unpaid_amount": 0.0}).groupby("arm")[["unpaid_amount", "due_amount"]].sum()
    shares = sums["unpaid_amount"] / sums["due_amount"] * both["due_amount"].mean()
    assert everybody["treated_unpaid"] == pytest.approx(shares["treated"])
    assert everybody["holdout_unpaid"] == pytest.approx(shares["holdout"])
    assert 0 < everybody["treated_unpaid"] < everybody["treated_money"]
    assert everybody["unpaid_low"] < 0 < everybody["unpaid_high"]
    assert "left unpaid, less (95 %)" in told
    csv = pd.read_csv(folder / "effects.csv")
    assert csv["rate_difference"].tolist() == pytest.approx(effects["rate_difference"].tolist())
    # Again the same bytes.
    before = {path.name: path.read_bytes() for path in [out, *folder.iterdir()]}
    assert report(scored, lender, out=out) == 0
    assert {path.name: path.read_bytes() for path in [out, *folder.iterdir()]} == before


def cli_labels(lender):
    from overdue_ml.labels import label_customers

    return label_customers(load_records(lender), RUNS, LABELS)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_no_customer_stands_on_the_page_or_in_the_tables(scored, lender, tmp_path, lang):
    out = tmp_path / "c.html"
    assert report(scored, lender, "--lang", lang, out=out) == 0
    page = out.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    written = page + "".join(
        path.read_text(encoding="utf-8") for path in (tmp_path / "c_tables").glob("*.csv")
    )
    assert "SYN" not in written
    assert f'lang="{lang}"' in page


def test_a_hostile_name_stays_in_its_folder(scored, lender, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert report(scored, lender) == 0
    (page,) = tmp_path.rglob("*.html")
    assert page.parent == tmp_path / "out"
    assert page.name == f"campaign_{file_name(HOSTILE)}_{LATER}.html"
    assert file_name("a/b") != file_name("a_b")
    assert len(file_name("x" * 100)) < 60


def test_one_json_object(scored, lender, tmp_path, capsys):
    assert report(scored, lender, "--json", "--bands", "500,1000", out=tmp_path / "c.html") == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["runs"] == ["as_of=2022-08-31", "as_of=2022-09-30"]
    assert (told["campaign"], told["share"]) == (HOSTILE, 0.4)
    groups = [row["group"] for row in told["tables"]["effects"] if row["grouping"] == "due_amount"]
    assert groups == ["≤ 500", "500 – 1,000", "> 1,000"]
    assert told["counts"]["dates"] == 2
    assert told["contacted"]["holdout"] > 0


def test_what_was_known_later_is_not_looked_at(scored, lender, tmp_path, capsys):
    """On 7 November the last answers of September's run are not final; on the 8th they are.

    The last dues are of 22 October; 3 days of grace, 7 to become known and 7 for causes of the bank's follow.
    On 20 October the run of August alone can be told, and records that end there say the same of it.
    """
    out = tmp_path / "c.html"
    assert report(scored, lender, as_of="2022-11-07", out=out) == 3
    assert list(tmp_path.iterdir()) == []
    assert report(scored, lender, as_of="2022-11-08", out=tmp_path / "later" / "c.html") == 0
    capsys.readouterr()
    assert report(scored, lender, as_of="2022-10-20", out=out) == 3
    said = capsys.readouterr().err
    assert "not final" in said
    assert "leave out the runs after 2022-08-31 (--until)" in said
    assert report(scored, lender, "--until", "2022-08-31", "--json", as_of="2022-10-20", out=out) == 0
    early = json.loads(capsys.readouterr().out)
    assert early["runs"] == ["as_of=2022-08-31"]
    records = forget_after(load_records(lender), dt.date(2022, 10, 20))
    question = CampaignQuestion(scored, HOSTILE, RUNS[0])
    then = run_campaign(question, records, dt.date(2022, 10, 20), tmp_path / "d.html")
    assert then.effect.effects["rate_low"].iloc[0] == early["tables"]["effects"][0]["rate_low"]
    assert then.effect.contacted == early["contacted"]
    assert (tmp_path / "d.html").read_bytes() == out.read_bytes()


def write_run(out, day, arms, *, share=0.5, campaign="coin", labels=LABELS, number=1):
    """A run as far as the report reads it."""
    folder = out / (f"as_of={day}" if number == 1 else f"as_of={day}.run{number}")
    folder.mkdir(parents=True)
    write_parquet(arms.assign(campaign=campaign), folder / "arms.parquet")
    digest = hashlib.sha256((folder / "arms.parquet").read_bytes()).hexdigest()
    manifest = {
        "as_of": str(day),
        "labels": labels.model_dump(mode="json"),
        "files": {"arms.parquet": digest},
        "settings": {
            "records": RecordsConfig().model_dump(mode="json"),
            "reminders": {"holdout": {"share": share, "campaign": campaign}},
        },
    }
    write_json(manifest, folder / "manifest.json")
    return folder


def coin(lender, day):
    """Customers whom the lender's own coin reminded or held back after a month end, as arms."""
    made = pd.concat(pd.read_parquet(path) for path in sorted((lender / "contacts").glob("*.parquet")))
    month = pd.to_datetime(made["contacted_on"]).dt.to_period("M").dt.start_time - pd.Timedelta(days=1)
    made = made[(month == pd.Timestamp(day)).to_numpy()][["customer_id", "arm"]]
    due = compute_next_due(load_records(lender), day).reset_index()
    truth = read_truth(lender)
    arms = made.merge(due[["customer_id", "next_due_date", "due_amount"]], on="customer_id").merge(
        truth[truth["as_of_date"] == pd.Timestamp(day)], on="customer_id"
    )
    tier = np.select([arms["p_overdue"] > 0.25, arms["p_overdue"] > 0.1], ["high", "medium"], "low")
    arms = arms.assign(as_of_date=day, tier=tier, channel="sms", contact_on=day)
    return arms[arms["due_amount"] > 0]


def test_the_effect_of_the_lenders_own_reminders_is_found(lender, tmp_path):
    """Over two months of those whose coin fell alike both times or once; the truth is its equations'.

    A reminder takes 1 off the log-odds of two customers in five, which is about 3 points.
    """
    months = [coin(lender, day) for day in RUNS]
    both = months[0].merge(months[1], on="customer_id", suffixes=("", "_then"))
    turned = set(both.loc[both["arm"] != both["arm_then"], "customer_id"])
    months[1] = months[1][~months[1]["customer_id"].isin(turned)]
    for day, arms in zip(RUNS, months, strict=True):
        write_run(
            tmp_path / "runs", day, arms.drop(columns=["log_odds", "p_if_reminded", "p_if_not_reminded"])
        )
    question = CampaignQuestion(tmp_path / "runs", "coin")
    effect = run_campaign(question, lender, dt.date(2022, 11, 30), tmp_path / "c.html").effect
    rows = pd.concat(months)
    true = float((rows["p_if_not_reminded"] - rows["p_if_reminded"]).mean())
    assert 0.02 < true < 0.06
    found = effect.overall
    assert found["rate_low"] <= true <= found["rate_high"]
    assert found["rate_low"] > 0
    money = float(((rows["p_if_not_reminded"] - rows["p_if_reminded"]) * rows["due_amount"]).mean())
    assert found["money_low"] <= money <= found["money_high"]
    # Nobody whom the coin held back was contacted, and all others were.
    assert effect.contacted == {"treated": int(found["treated_rows"]), "holdout": 0}
    assert "were contacted before the due date all the same" not in (tmp_path / "c.html").read_text("utf-8")


@pytest.fixture
def runs(lender, tmp_path):
    """One run with the lender's coin, and one of before there were holdouts."""
    arms = coin(lender, RUNS[0]).drop(columns=["log_odds", "p_if_reminded", "p_if_not_reminded"])
    write_run(tmp_path / "runs", RUNS[0], arms)
    old = tmp_path / "runs" / "as_of=2022-01-31"
    old.mkdir()
    (old / "manifest.json").write_text('{"as_of": "2022-01-31", "settings": {"reminders": {}}}')
    (tmp_path / "runs" / "as_of=2022-02-28").mkdir()
    (tmp_path / "runs" / "as_of=2022-02-28" / "manifest.json").write_text("{")
    return tmp_path / "runs"


def test_runs_that_do_not_fit_are_refused(runs, lender, tmp_path, capsys):
    def said(*words, **named):
        code = report(runs, lender, *words, out=tmp_path / "c.html", **({"campaign": "coin"} | named))
        return code, capsys.readouterr().err

    code, words = said(campaign="spring\u202e")
    assert code == 2
    assert "expected one of coin" in words
    assert "\u202e" not in words
    assert said(as_of="2022-08-30")[0] == 2
    assert "has no run up to 2022-08-30" in said(as_of="2022-08-30")[1]
    arms = pd.read_parquet(runs / "as_of=2022-08-31" / "arms.parquet")
    other = write_run(runs, RUNS[1], arms.assign(as_of_date=RUNS[1]), share=0.4)
    code, words = said()
    assert (code, "2 shares" in words) == (3, True)
    for path in other.iterdir():
        path.unlink()
    other.rmdir()
    write_run(
        runs, RUNS[1], arms.assign(as_of_date=RUNS[1]), labels=LABELS.model_copy(update={"grace_days": 1})
    )
    code, words = said()
    assert (code, "2 definitions of overdue" in words) == (3, True)
    assert not (tmp_path / "c.html").exists()


def test_arms_that_changed_since_are_refused(runs, lender):
    path = runs / "as_of=2022-08-31" / "arms.parquet"
    write_parquet(pd.read_parquet(path).iloc[1:], path)
    with pytest.raises(RecordsError, match="not as the run wrote it"):
        read_runs(CampaignQuestion(runs, "coin"), RUNS[1])
    path.unlink()
    with pytest.raises(RecordsError, match="not as the run wrote it"):
        read_runs(CampaignQuestion(runs, "coin"), RUNS[1])


def test_one_run_may_be_named_and_without_a_share_nobody_was_held_out(runs, tmp_path):
    assert len(read_runs(CampaignQuestion(runs / "as_of=2022-08-31", "coin"), RUNS[0]).folders) == 1
    assert len(read_runs(CampaignQuestion(runs, "coin"), RUNS[0]).folders) == 1
    write_run(
        tmp_path / "none", RUNS[0], pd.read_parquet(runs / "as_of=2022-08-31" / "arms.parquet"), share=0
    )
    with pytest.raises(Exception, match="held nobody out"):
        read_runs(CampaignQuestion(tmp_path / "none", "coin"), RUNS[0])


def told_runs(runs, as_of=RUNS[1]):
    found = read_runs(CampaignQuestion(runs, "coin"), as_of)
    return [folder.name for folder in found.folders], [folder.name for folder in found.superseded], found


def test_of_several_runs_of_a_date_the_last_counts(runs):
    """The tenth run of 31 August holds all but three; runs of other campaigns or dates do not push it out."""
    first = runs / "as_of=2022-08-31"
    arms = pd.read_parquet(first / "arms.parquet")
    assert told_runs(runs)[:2] == (["as_of=2022-08-31"], [])
    # Other settings: the first two did not fit, and are not asked any more.
    write_run(runs, RUNS[0], arms, number=2, share=0.4, labels=LABELS.model_copy(update={"grace_days": 1}))
    write_run(runs, RUNS[0], arms.iloc[3:], number=10)
    write_run(runs, RUNS[0], arms.iloc[5:], number=11, campaign="other")
    write_run(runs, RUNS[1], arms.iloc[:7].assign(as_of_date=RUNS[1]))
    kept, left_out, found = told_runs(runs)
    assert kept == ["as_of=2022-08-31.run10", "as_of=2022-09-30"]
    assert left_out == ["as_of=2022-08-31", "as_of=2022-08-31.run2"]
    assert len(found.arms) == len(arms) - 3 + 7
    assert told_runs(runs, RUNS[0])[0] == ["as_of=2022-08-31.run10"]
    # Named, an earlier one counts.
    kept, left_out, found = told_runs(first)
    assert (kept, left_out, len(found.arms)) == (["as_of=2022-08-31"], [], len(arms))
    # Scored again without a holdout, the date held nobody out.
    write_run(runs, RUNS[1], arms.iloc[:0], number=2, share=0)
    kept, left_out, _ = told_runs(runs)
    assert kept == ["as_of=2022-08-31.run10"]
    assert left_out == ["as_of=2022-08-31", "as_of=2022-08-31.run2", "as_of=2022-09-30"]


def test_what_is_left_out_is_said(runs, lender, tmp_path, capsys):
    arms = pd.read_parquet(runs / "as_of=2022-08-31" / "arms.parquet")
    out = tmp_path / "c.html"
    about = "Runs left out, since a later one of their date counts"
    assert report(runs, lender, campaign="coin", out=out) == 0
    before = capsys.readouterr().out
    assert "left out" not in before
    assert about not in out.read_text(encoding="utf-8")
    effects = (tmp_path / "c_tables" / "effects.csv").read_bytes()
    # Of the first run nothing is read any more.
    write_run(runs, RUNS[0], arms, number=2)
    (runs / "as_of=2022-08-31" / "arms.parquet").unlink()
    assert report(runs, lender, campaign="coin", out=out) == 0
    told = capsys.readouterr().out
    assert "1 run(s) left out, since a later run of the date counts: as_of=2022-08-31." in told
    assert about in out.read_text(encoding="utf-8")
    assert (tmp_path / "c_tables" / "effects.csv").read_bytes() == effects
    assert report(runs, lender, "--json", "--lang", "zh", campaign="coin", out=out) == 0
    assert json.loads(capsys.readouterr().out)["superseded"] == ["as_of=2022-08-31"]
    assert "而未计入的评分数" in out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scores", "x"], "need --campaign"),
        (["--campaign", "c"], "--campaign needs --scores"),
        (["--campaign", "c", "--scores", "x", "--by", "product"], "about the book"),
        (["--campaign", "c", "--scores", "x", "--bands", "1,a"], "no list of amounts"),
        (["--campaign", "c", "--scores", "x", "--until", "soon"], "not a date"),
        (["--campaign", "c", "--scores", "x"], "no run of a campaign 'c'"),
    ],
)
def test_words_that_do_not_go_together(lender, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["report", "--records", str(lender), "--as-of", LATER, *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
