"""The whole line for a lender that has instalments and payments and no statement: the synthetic one."""

import json

import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.jobs.cards import CardBook
from overdue_ml.records import simulate_to
from overdue_ml.reports import render_card

DATES = ["2022-04-30", "2022-05-31", "2022-06-30", "2022-07-31", "2022-08-31"]
TRAIN = {
    "labels.source": "instalments",
    "labels.grace_days": "3",
    "labels.population": "pre_due",
    "split.by": "time",
    "as_of": f"[{', '.join(DATES)}]",
    "model.n_estimators": "60",
    "model.cv": "2",
    "evaluation.n_boot": "0",
}


def run(*words, settings=None):
    options = [word for key, value in (settings or {}).items() for word in ("--set", f"{key}={value}")]
    return cli.run([*map(str, words), *options])


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """Records, trained and promoted, scored on the last month end before the records end."""
    root = tmp_path_factory.mktemp("instalments")
    simulate_to(root / "lender", 2000, seed=2, months=11)
    # The truth is for the test, not for the model.
    (root / "lender" / "truth").rename(root / "truth")
    models = ("--models", root / "models")
    assert run("train", "--records", root / "lender", *models, settings=TRAIN) == 0
    assert run("promote", "1", "--alias", "champion", "--by", "tester", "--reason", "first", *models) == 0
    score = ("score", "--records", root / "lender", "--as-of", "2022-10-31", "--model", "overdue@champion")
    assert run(*score, *models, "--out", root / "out") == 0
    return root


def test_every_known_customer_is_scored_and_the_dues_are_those_of_the_schedule(line):
    scores = pd.read_parquet(line / "out" / "as_of=2022-10-31" / "scores.parquet")
    due = scores["next_due_date"].notna()
    assert due.mean() > 0.5
    # Instalments fall due once a month.
    ahead = pd.to_datetime(scores.loc[due, "next_due_date"]) - pd.Timestamp("2022-10-31")
    assert ahead.dt.days.between(1, 31).mean() > 0.9
    assert (scores.loc[due, "due_amount"] > 0).all()
    assert (scores.loc[~due, "due_amount"] == 0).all()


def test_the_probabilities_rank_as_the_truth_does(line):
    """The rank correlation with the true probability of the month after, of those who are asked."""
    scores = pd.read_parquet(line / "out" / "as_of=2022-10-31" / "scores.parquet")
    truth = pd.concat(pd.read_parquet(path) for path in sorted((line / "truth").glob("*.parquet")))
    truth = truth[pd.to_datetime(truth["as_of_date"]) == "2022-10-31"]
    both = scores.merge(truth, on="customer_id", suffixes=("", "_true"))
    assert len(both) > 1000
    assert both["p_overdue"].corr(both["p_overdue_true"], method="spearman") > 0.4


def test_the_reminder_list_and_the_others_are_everybody(line):
    folder = line / "out" / "as_of=2022-10-31"
    scores = pd.read_parquet(folder / "scores.parquet")
    listed = pd.read_parquet(folder / "reminders.parquet")
    suppressed = pd.read_parquet(folder / "suppressed.parquet")
    assert len(listed)
    assert sorted([*listed["customer_id"], *suppressed["customer_id"]]) == list(scores["customer_id"])


@pytest.mark.parametrize(("lang", "words"), [("en", "instalments"), ("zh", "分期")])
def test_a_card_speaks_of_instalments(line, lang, words, capsys):
    folder = line / "out" / "as_of=2022-10-31"
    scores = pd.read_parquet(folder / "scores.parquet").sort_values("rank")
    customer = scores["customer_id"].iloc[0]
    assert run("explain", "--scores", folder, "--customer", customer, "--lang", lang) == 0
    assert words in capsys.readouterr().out
    assert words in (folder / "cards" / f"{customer}_{lang}.html").read_text(encoding="utf-8")


def test_cards_show_the_instalments_and_what_else_is_known(line):
    folder = line / "out" / "as_of=2022-10-31"
    book = CardBook(folder)
    ids = book.riskiest(200)
    scores = pd.read_parquet(folder / "scores.parquet").set_index("customer_id")
    for customer, card in zip(ids, book.make(ids), strict=True):
        row = scores.loc[customer]
        ahead = [i for i in card.instalments if i.due_date > card.as_of and i.short > 0]
        # The figures of the scores are those of the instalments on the card.
        assert card.next_due_date == min((i.due_date for i in ahead), default=None)
        due = [i.short for i in ahead if i.due_date == card.next_due_date]
        assert sum(due) == pytest.approx(row["due_amount"])
        assert sum(i.short for i in card.instalments) == pytest.approx(row["exposure_amount"], abs=0.01)
        assert card.incomes is not None
        assert card.debts is not None
        told = {r.code: r.sentence for r in card.reasons}["NEXT_DUE"]
        assert book.wording.format_date(card.next_due_date) in told or card.next_due_date is None
    page = render_card(card, book.wording)
    assert book.wording.text("instalments_heading") in page
    assert book.wording.text("history_none") not in page


def test_masked_cards_do_not_name_accounts_either(line):
    folder = line / "out" / "as_of=2022-10-31"
    open_book, masked = CardBook(folder), CardBook(folder, mask_ids=True)
    ids = open_book.riskiest(50)
    for customer, known, card in zip(ids, open_book.make(ids), masked.make(ids), strict=True):
        page = render_card(card, masked.wording)
        assert customer not in page
        assert len({i.account_id for i in card.instalments}) == len({i.account_id for i in known.instalments})


def test_outcomes_are_judged_as_the_model_was_trained(line, capsys):
    folder = line / "out" / "as_of=2022-10-31"
    capsys.readouterr()
    # No settings: the labels of the model, three days of grace and no one past due already.
    assert run("monitor", "--scores", folder, "--outcomes", line / "lender", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    by_metric = {row["metric"]: row["value"] for row in told["realised"]}
    assert by_metric["auc"] > 0.6
    assert told["in_sample"] is False
    grace = ["--set", "source=instalments", "--set", "grace_days=0"]
    assert run("monitor", "--scores", folder, "--outcomes", line / "lender", "--json", *grace) == 0
    harder = {row["metric"]: row["value"] for row in json.loads(capsys.readouterr().out)["realised"]}
    assert harder["auc"] != by_metric["auc"]


def test_the_run_has_its_verdicts_and_its_audit(line):
    (sheet,) = (line / "models").rglob("data_sheet.json")
    facts = json.loads(sheet.read_text(encoding="utf-8"))
    assert facts["label_source"] == "instalments"
    assert {"overdue", "on_time", "already_overdue", "nothing_due"} <= set(facts["verdicts"])
    assert facts["leakage_audit"]["findings"] == []
    page = sheet.with_name("evaluation.html").read_text(encoding="utf-8")
    assert "Labels by month" in page
    assert [path.name for path in (line / "models").rglob("verdicts.png")] == ["verdicts.png"]
