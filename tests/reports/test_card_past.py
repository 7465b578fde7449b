from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from overdue_ml.explain.wording import load_wording
from overdue_ml.reports.card_past import PastScore, past_section

EN = load_wording("en")
TODAY = PastScore(dt.date(2024, 4, 30), 0.486, "high", 37, 2977, "2", "bb")


def earlier(days, p=0.25, model="bb", version="2"):
    return PastScore(TODAY.as_of - dt.timedelta(days=days), p, "medium", 100, 2900, version, model)


def test_scores_are_listed_newest_first_and_other_models_are_marked():
    found = past_section([earlier(30), earlier(60, 0.1, "aa", "1")], TODAY, EN)
    assert found.rows == [
        ["2024-04-30", "48.6 %", "High risk", "37 / 2,977", "2"],
        ["2024-03-31", "25.0 %", "Medium risk", "100 / 2,900", "2"],
        ["2024-03-01", "10.0 %", "Medium risk", "100 / 2,900", "1 *"],
    ]
    assert found.notes == [EN.text("past_other")]
    assert str(found.chart).count('class="dot open"') == 1
    assert str(found.chart).count('class="dot"') == 2
    assert past_section([earlier(30)], TODAY, EN).notes == []


def test_long_histories_are_cut_and_their_order_does_not_matter():
    past = [earlier(30 * i) for i in range(1, 16)]
    found = past_section(past, TODAY, EN)
    assert found == past_section(past[::-1], TODAY, EN)
    assert str(found.chart).count("<circle") == 13
    assert len(found.rows) == 6
    assert found.notes == [
        "The latest 12 of 15 earlier scores are shown.", "The table lists the latest 6.",
    ]  # fmt: skip


def test_no_past_no_section_and_no_future():
    assert past_section([], TODAY, EN) is None
    with pytest.raises(ValueError, match="not earlier"):
        past_section([replace(TODAY)], TODAY, EN)
