"""The customer card as the job writes it."""

from __future__ import annotations

import datetime as dt
import shutil

import pandas as pd
import pytest

from overdue_ml.config import RemindersConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.jobs.explain import run_explain
from overdue_ml.jobs.monitor import run_monitor
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.tracking import load_model, open_store


@pytest.fixture(scope="module")
def first(line):
    scores = pd.read_parquet(line.scored.folder / "scores.parquet")
    return scores.sort_values("rank").iloc[0]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_card_says_why_in_the_language_asked_for(line, first, lang, tmp_path):
    result = run_explain(line.scored.folder, first["customer_id"], lang, out=tmp_path / "card.html")
    page = result.path.read_text(encoding="utf-8")
    assert first["customer_id"] in page
    assert f'lang="{lang}' in page
    assert "<script" not in page.lower()
    assert result.card.rank == 1
    total = sum(r.contribution for r in result.card.reasons) + result.card.base_log_odds
    assert total == pytest.approx(first["log_odds"], abs=1e-9)
    assert len(result.card.statements) == 6
    assert ("风险" in page) == (lang == "zh")


def test_the_card_shows_only_what_was_known(line, first, tmp_path):
    """On 31 July the statements of April to June were known, those of July to September were not."""
    registered = load_model(open_store(line.models), "overdue@champion")
    run_score(
        line.records,
        dt.date(2005, 7, 31),
        registered,
        tmp_path / "out",
        ScoreSettings(reminders=RemindersConfig(lead_days=31)),
    )
    result = run_explain(tmp_path / "out", first["customer_id"], out=tmp_path / "card.html")
    shown = [statement.statement_date for statement in result.card.statements]
    assert shown == [dt.date(2005, 4, 30), dt.date(2005, 5, 31), dt.date(2005, 6, 30)]


def test_an_unknown_customer_language_and_run_are_one_sentence(line, first, tmp_path):
    with pytest.raises(ConfigError, match="was not scored"):
        run_explain(line.scored.folder, "C99999")
    with pytest.raises(ConfigError, match="xx"):
        run_explain(line.scored.folder, first["customer_id"], "xx")
    with pytest.raises(ConfigError, match="no scoring run"):
        run_explain(tmp_path, first["customer_id"])


def test_other_records_than_those_scored_are_refused(line, first, tmp_path):
    other = tmp_path / "records"
    shutil.copytree(line.records, other)
    frame = pd.read_csv(other / "statements.csv", dtype=str)
    frame.loc[0, "balance_amount"] = "1"
    frame.to_csv(other / "statements.csv", index=False)
    with pytest.raises(RecordsError, match="not those that were scored"):
        run_explain(line.scored.folder, first["customer_id"], source=other, out=tmp_path / "card.html")
    assert not (tmp_path / "card.html").exists()


def test_monitoring_reports_drift_and_what_became_of_the_scores(line):
    result = run_monitor(line.scored.folder, line.records)
    assert result.drift["feature"].iloc[0] == "p_overdue"
    # Scored on the date it was trained on: the book is the one the model knows.
    assert result.drift["psi"].iloc[0] < 0.1
    assert result.realised is not None
    # The book's only outcomes are those the model was trained on: said, not hidden.
    assert result.in_sample
    assert result.realised.set_index("metric").loc["auc", "value"] > 0.7
    assert (line.scored.folder / "monitor.json").is_file()
    (line.scored.folder / "monitor.json").unlink()
