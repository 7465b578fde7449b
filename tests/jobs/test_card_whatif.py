"""What-if on the cards of a run, and reasons that stay silent wherever words are made."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.jobs.card_whatif import Asker
from overdue_ml.jobs.cards import CardBook
from overdue_ml.jobs.silent import silent_reasons
from overdue_ml.jobs.whatif import run_what_if
from overdue_ml.records import load_records
from overdue_ml.reports import render_card


@pytest.fixture(scope="module")
def records(line):
    return load_records(line.records)


@pytest.fixture(scope="module")
def first(line):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet").sort_values("rank")
    return scores.iloc[0]


def test_the_card_says_what_the_command_says(line, records, first):
    """A lender of statements: only these can be paid; the incomes and instalments are not there."""
    book = CardBook(line.scored.folder, source=records, models=line.models)
    (card,) = book.make([first["customer_id"]])
    asked = card.what_if
    assert asked.absent == ""
    # The two events are possible together or not at all; a smallest set may stand beneath them.
    assert asked.scenarios[0].clause.startswith("the next 2 statements show payment in full")
    found = run_what_if(line.scored.folder, first["customer_id"], line.models, source=records)
    assert asked.smallest == found.answer.sentences(book.wording)[0]
    for scenario in asked.scenarios:
        assert scenario.on >= card.as_of
        assert scenario.tier_without in ("high", "medium", "low")
    page = render_card(card, book.wording)
    assert book.wording.text("what_if_heading") in page
    # Asked of many at once the same is said.
    again = book.make([first["customer_id"]])[0]
    assert again.what_if == asked


def test_without_the_model_the_card_says_so_and_makes_no_folder(line, records, first, tmp_path):
    absent = tmp_path / "models"
    book = CardBook(line.scored.folder, "zh", source=records, models=absent)
    (card,) = book.make([first["customer_id"]])
    assert card.what_if.absent == book.wording.text("what_if_no_model")
    assert book.wording.text("what_if_no_model") in render_card(card, book.wording)
    assert not absent.exists()
    # Not asked, not a word of it.
    (plain,) = CardBook(line.scored.folder, source=records).make([first["customer_id"]])
    assert plain.what_if is None
    assert book.wording.text("what_if_heading") not in render_card(
        plain, CardBook(line.scored.folder).wording
    )


def test_another_model_of_the_same_name_is_not_asked(line, records, first, tmp_path):
    run = shutil.copytree(line.scored.folder, tmp_path / line.scored.folder.name)
    path = run / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_hash": "other"}), encoding="utf-8")
    manifest = json.loads(path.read_text())
    assert Asker.find(manifest, line.models, None) is None


def test_a_score_that_the_records_do_not_give_is_not_played_with(line, records, first):
    book = CardBook(line.scored.folder, source=records, models=line.models)
    row = first.to_dict() | {"log_odds": first["log_odds"] + 0.01}
    asker = Asker.find(json.loads((line.scored.folder / "manifest.json").read_text()), line.models, None)
    assert asker.ask(records, row, book.wording).absent == book.wording.text("what_if_no_score")
    assert asker.ask(records, first.to_dict(), book.wording).absent == ""


def test_one_card_has_it_by_default_and_many_only_if_asked(line, first, tmp_path, capsys):
    words = ["explain", "--scores", str(line.scored.folder), "--models", str(line.models)]
    heading = CardBook(line.scored.folder).wording.text("what_if_heading")

    def page(*more):
        assert cli.run([*words, *more, "--out", str(tmp_path / "o.html")]) == 0
        capsys.readouterr()
        return (tmp_path / "o.html").read_text(encoding="utf-8")

    assert heading in page("--customer", first["customer_id"])
    assert heading not in page("--customer", first["customer_id"], "--no-what-if")
    assert heading not in page("--top", "1")
    assert heading in page("--top", "1", "--what-if")


def test_events_of_a_file_are_asked_by_the_command(line, first, tmp_path, capsys):
    path = tmp_path / "events.yaml"
    path.write_text("events: [{event: limit, amount: 1}]", encoding="utf-8")
    words = ["what-if", "--scores", str(line.scored.folder), "--models", str(line.models)]
    words += ["--customer", first["customer_id"], "--events", str(path)]
    assert cli.run([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] == ["limit:1"]
    path.write_text("events: [{event: limit, amount: -1}]", encoding="utf-8")
    assert cli.run(words) == 2
    assert "events.0.limit.amount" in capsys.readouterr().err


@pytest.mark.parametrize("protected", [["marriage"], ["marriage", "sex"]])
def test_protected_reasons_are_silent_whatever_a_config_let_in(protected):
    def manifest(attributes):
        return {"settings": {"records": {"attributes": attributes, "protected": protected}}}

    assert silent_reasons(manifest(["education"])) == frozenset()
    assert silent_reasons(manifest(["education", "sex"])) == {"PROFILE"}
    assert silent_reasons(manifest([]), manifest(["marriage"])) == {"PROFILE"}
