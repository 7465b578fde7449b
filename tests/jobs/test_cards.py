"""Many cards of one run: what they share, what is masked, what earlier runs said, whose words they use."""

from __future__ import annotations

import datetime as dt
import json
import shutil

import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.config import RemindersConfig
from overdue_ml.errors import ConfigError
from overdue_ml.explain.speaking import CONTRADICTIONS
from overdue_ml.features.catalogue import default_registry
from overdue_ml.jobs.cards import CardBook, mask_id
from overdue_ml.jobs.explain import chosen_customers, run_explain, write_cards
from overdue_ml.jobs.output import write_parquet
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.records import load_records
from overdue_ml.reports import render_card
from overdue_ml.tracking import load_model, open_store


@pytest.fixture(scope="module")
def records(line):
    return load_records(line.records)


@pytest.fixture(scope="module")
def book(line, records):
    return CardBook(line.scored.folder, source=records)


@pytest.fixture
def run(line, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(line.scored.folder, tmp_path / "out" / line.scored.folder.name)


def change(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def test_many_cards_are_those_made_one_by_one(line, records, book, tmp_path):
    ids = book.riskiest(5)
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").sort_values("rank")
    assert ids == scores["customer_id"].head(5).tolist()
    results = write_cards(book, ids[::-1], tmp_path / "many")
    assert [r.path.name for r in results] == [f"{i}_en.html" for i in ids[::-1]]
    for customer, result in zip(ids[::-1], results, strict=True):
        alone = run_explain(line.scored.folder, customer, source=records, out=tmp_path / "one.html")
        assert alone.path.read_bytes() == result.path.read_bytes()


def test_one_unknown_customer_and_nothing_is_written(book, tmp_path):
    with pytest.raises(ConfigError, match="'C99999' was not scored"):
        write_cards(book, [*book.riskiest(2), "C99999"], tmp_path / "many")
    assert not (tmp_path / "many").exists()


def test_whose_card_must_be_clear(book):
    assert chosen_customers(book, ["b", "a", "b"], None) == ["b", "a"]
    assert chosen_customers(book, None, 2) == book.riskiest(2)
    for named, top in ((None, None), ([], None), (["a"], 1)):
        with pytest.raises(ConfigError, match="not clear"):
            chosen_customers(book, named, top)


def test_the_card_ties_out_with_the_scores(line, book):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").set_index("customer_id")
    for customer, card in zip(book.riskiest(20), book.make(book.riskiest(20)), strict=True):
        row = scores.loc[customer]
        assert card.points_scale is not None
        assert (card.p_low, card.p_high) == (row["p_low"], row["p_high"])
        total = card.base_log_odds + sum(r.contribution for r in card.reasons)
        assert total == pytest.approx(row["log_odds"], abs=1e-9)
        raises, lowers = card.told_reasons()
        pairs = {frozenset((a.code, b.code)) for a in raises for b in lowers}
        assert not pairs & CONTRADICTIONS
        render_card(card, book.wording)


def test_notes_say_what_is_missing_and_how_old_the_last_record_is(book):
    (card,) = book.make(book.riskiest(1))
    en = book.wording
    assert en.text("note_no_incomes") in card.notes
    assert en.text("note_no_borrowings") in card.notes
    last = en.text("note_last_known", date="30 September 2005", days="0 days")
    assert last in card.notes
    assert not [note for note in card.notes if note.startswith("Instalments and statements on record")]
    assert (card.incomes, card.debts) == (None, None)


def test_a_customer_unlike_those_the_model_learned_from_is_noted(run, records):
    """Past due or not on 30 September, by the latest statement."""
    statements = records.frame("statements").sort_values("statement_date")
    latest = statements.groupby("account_id")["dpd"].last()
    owner = records.frame("accounts").set_index("account_id")["customer_id"]
    dpd = latest.groupby(owner).max()
    late, current = str(dpd.index[dpd > 0][0]), str(dpd.index[dpd == 0][0])
    labels = json.loads((run / "manifest.json").read_text())["labels"]
    for population, expected in {"all": (), "pre_due": (late,), "past_due": (current,)}.items():
        change(run, labels=labels | {"population": population})
        book = CardBook(run, source=records)
        for customer, card in zip((late, current), book.make([late, current]), strict=True):
            told = [book.wording.text(f"note_{kind}") for kind in ("pre_due", "past_due")]
            assert [note for note in card.notes if note in told] == (
                [book.wording.text(f"note_{population}")] if customer in expected else []
            )


def test_categories_that_the_model_never_saw_are_noted(run, records):
    change(run, unknown_categories={"attr_education": 12, "attr_other": 0})
    (card,) = CardBook(run, source=records).make(CardBook(run).riskiest(1))
    told = "Of the scored customers, 12 have no 'education' or one that the model never saw in training"
    assert [note for note in card.notes if note.startswith(told)]
    assert not [note for note in card.notes if "'other'" in note]


def test_protected_details_are_never_told(run, records):
    """Also where a config took one of them out of ``protected`` to let the model have it."""
    manifest = json.loads((run / "manifest.json").read_text())
    settings = manifest["settings"]
    settings["records"] |= {"attributes": ["sex"], "protected": ["marriage"]}
    change(run, settings=settings)
    book = CardBook(run, source=records)
    (card,) = book.make(book.riskiest(1))
    assert card.silent == {"PROFILE"}
    # The records have them, and the model did not ask.
    assert book.wording.text("note_protected") not in card.notes
    path = run / "contributions.parquet"
    pd.read_parquet(path).assign(attr_sex=0.0).to_parquet(path, index=False)
    (card,) = book.make(book.riskiest(1))
    assert book.wording.text("note_protected") in card.notes


def test_a_catalogue_of_ones_own_may_not_speak_of_a_category(run, records, tmp_path):
    manifest = json.loads((run / "manifest.json").read_text())
    settings = manifest["settings"]
    settings["records"] |= {"attributes": ["sex"], "protected": []}
    change(run, settings=settings)
    path = tmp_path / "own.yaml"
    path.write_text("language: en\nreasons:\n  PROFILE: {adverse: 'Is {attr_sex}.'}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'attr_sex' is no feature"):
        CardBook(run, source=records, wording=path)


def test_a_sentence_whose_figures_were_not_scored_is_told_plainly(run, records):
    path = run / "contributions.parquet"
    contributions = pd.read_parquet(path)
    names = [c for c in contributions if c.startswith("stmt_utilisation")]
    # All of the reason's weight on a feature that its sentence does not show.
    # One that is not made of them either.
    shown = {"stmt_utilisation_latest", "stmt_utilisation_mean_last6"}
    registry = default_registry()
    kept = next(c for c in names if not {f.name for f in registry.closure([c])} & shown)
    contributions[kept] += contributions[names].drop(columns=kept).sum(axis=1)
    book = CardBook(run, source=records)
    first = book.riskiest(1)
    before = {r.code: r.sentence for r in book.make(first)[0].reasons}
    write_parquet(contributions.drop(columns=[c for c in names if c != kept]), path)
    after = {r.code: r.sentence for r in book.make(first)[0].reasons}
    assert "%" in before["UTILISATION"]
    reason = book.wording.reasons["UTILISATION"]
    assert after["UTILISATION"] in (reason.adverse_plain, reason.protective_plain)
    assert {c: s for c, s in after.items() if c != "UTILISATION"} == {
        c: s for c, s in before.items() if c != "UTILISATION"
    }


def test_earlier_runs_beside_it_are_the_history_of_the_score(line, records, tmp_path):
    registered = load_model(open_store(line.models), "overdue@champion")
    settings = ScoreSettings(reminders=RemindersConfig(lead_days=31))
    days = [dt.date(2005, 7, 31), dt.date(2005, 8, 31), dt.date(2005, 9, 30)]
    folders = [run_score(line.records, d, registered, tmp_path, settings).folder for d in days]
    customer = CardBook(folders[2]).riskiest(1)

    def past(folder):
        (card,) = CardBook(folder, source=records).make(customer)
        return card.past

    for folder, score in zip(folders[:2], past(folders[2]), strict=True):
        row = pd.read_parquet(folder / "scores.parquet").set_index("customer_id").loc[customer[0]]
        assert (score.p_overdue, score.tier, score.rank) == (row["p_overdue"], row["tier"], row["rank"])
    assert [s.as_of for s in past(folders[2])] == days[:2]
    # What came later is not the past of an earlier card.
    assert past(folders[0]) == []
    # Another model of the same name is marked, one of another name left out, half a run passed over.
    model = json.loads((folders[1] / "manifest.json").read_text())["model"]
    change(folders[1], model=model | {"model_hash": "other", "version": "9"})
    assert [s.version for s in past(folders[2])] == ["1", "9"]
    change(folders[1], model=model | {"name": "another"})
    assert [s.as_of for s in past(folders[2])] == days[:1]
    (folders[0] / "scores.parquet").write_bytes(b"half")
    assert past(folders[2]) == []


def test_masked_cards_do_not_name_the_customer(line, capsys):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").sort_values("rank")
    customer = scores["customer_id"].iloc[2]
    words = ["--scores", str(line.scored.folder), "--customer", customer, "--mask-ids"]
    assert cli.run(["explain", *words]) == 0
    path = line.scored.folder / "cards" / "rank-3_en.html"
    assert customer not in capsys.readouterr().out
    page = path.read_text(encoding="utf-8")
    assert customer not in page
    assert customer[1:] not in page
    assert mask_id(customer) in page


def test_the_command_writes_many_in_the_words_given(line, tmp_path, capsys):
    own = tmp_path / "own.yaml"
    own.write_text("language: zh\ncard:\n  heading: 本行卡片\n", encoding="utf-8")
    words = ["--scores", str(line.scored.folder), "--top", "3", "--lang", "zh", "--out", str(tmp_path / "o")]
    capsys.readouterr()
    assert cli.run(["explain", *words, "--catalogue", str(own), "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)["cards"]
    assert [card["rank"] for card in cards] == [1, 2, 3]
    pages = sorted((tmp_path / "o").glob("*.html"))
    assert len(pages) == 3
    assert all("本行卡片" in page.read_text(encoding="utf-8") for page in pages)
    assert cli.run(["explain", "--scores", str(line.scored.folder)]) == 2
    assert "either --customer ID or --top N" in capsys.readouterr().err
