"""The page of the aged book."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import pandas as pd
import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.monitoring import compute_book
from overdue_ml.records import load_records
from overdue_ml.reports import render_book
from overdue_ml.reports.book_charts import MAX_VINTAGES, bucket_chart, roll_chart, vintage_chart
from overdue_ml.reports.page import CONTENT_SECURITY_POLICY
from overdue_ml.reports.phrases import load_phrases

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp"
EN = load_phrases("en")


@pytest.fixture(scope="module")
def book(five):
    return compute_book(five.records, "2024-06-30", months=3, by=["education"])


class _Words(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.tags = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "style")]

    def handle_data(self, data):
        self.found.append(data.strip())


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_part_is_on_the_page_with_its_figures(book, lang):
    page = render_book(book, lang)
    words, phrases = _Words(page), load_phrases(lang)
    for key in ("ageing", "months", "rolls", "cures", "vintages", "first_payment", "decides"):
        assert phrases.text(f"book_{key}") in words.found
    assert not {"script", "img", "iframe", "link"} & set(words.tags)
    assert CONTENT_SECURITY_POLICY in unescape(page)
    assert not re.search(r"https?:|url\(|@import", page)
    # 900 of 3,200 are 1 to 30 days late; 5 of 6 current accounts stayed so a month later.
    for figure in ("2,300", "28.1 %", "83.3 %", "2024-06-30", phrases.word("v", "unknown")):
        assert figure in words.found
    assert render_book(book, lang) == page
    # Groups are named, no customer and no account is.
    assert "university" in words.found
    assert not {"ANN", "BEN", "A1", "B2"} & set(re.findall(r"\w+", " ".join(words.found)))


def test_arrears_stand_on_the_page_where_something_is_known_of_them(five):
    """Ann's minimum of 90 is all that is past due at the end of June; at that of May Dan's are not known."""
    may, june = (compute_book(five.records, on, months=1) for on in ("2024-05-31", "2024-06-30"))
    about, column = EN.text("book_about_arrears"), EN.word("c", "arrears_amount")
    words = _Words(render_book(june)).found
    assert {about, column, "90"} <= set(words)
    assert may.ageing["arrears_amount"].isna().sum() == 1
    rows = re.findall(r"<tr>.*?</tr>", render_book(may), re.DOTALL)
    (unknown,) = [row for row in rows if f"<bdi>{EN.word('v', 'unknown')}</bdi>" in row][:1]
    assert re.sub("<[^>]+>", " ", unknown).split()[-1] == "–"
    statements = five.frames["statements"].drop(columns=["balance_amount", "minimum_due_amount"])
    bare = compute_book(load_records(five.frames | {"statements": statements}), "2024-06-30", months=1)
    words = _Words(render_book(bare)).found
    assert not {about, column} & set(words)


def test_the_page_says_which_statements_tell_of_a_first_due(five):
    """Cat's first due of 20 May can be told from 21 July on: 30 days and 32 more have passed."""
    for lang, words in (("en", "those of the 62 days after that date"), ("zh", "后62天内的账单")):
        page = render_book(compute_book(five.records, "2024-07-31", months=3), lang)
        assert words in page


def test_names_of_groups_are_escaped(five):
    frames = five.frames | {"customers": five.frames["customers"].assign(education=HOSTILE)}
    page = render_book(compute_book(load_records(frames), "2024-06-30", by=["education"]))
    assert "<script" not in page
    assert "<img" not in page
    _Words(page)


def test_a_book_of_one_month_has_no_rolls(five):
    # Cat's account is the only one; her first statement is that of April.
    tables = {name: five.frames[name] for name in ("accounts", "statements")}
    cat = {name: frame[frame["account_id"] == "C1"] for name, frame in tables.items()}
    page = render_book(compute_book(load_records(cat), "2024-04-30", months=2))
    assert EN.text("book_ageing") in page
    for key in ("rolls", "cures", "months"):
        assert f"<bdi>{EN.text(f'book_{key}')}</bdi>" not in page


def test_no_page_in_another_language(book):
    with pytest.raises(ConfigError, match="'fr'"):
        render_book(book, "fr")


def test_the_charts_draw_what_the_tables_say(book):
    # March has 84 % in 1-30, April 75 % in 31-60, May nothing and June 28 % in 1-30: three bars, two kinds.
    drawn = str(bucket_chart(book.ageing, EN))
    bars = re.findall(r'<rect x="[^"]+" y="[^"]+" width="46" height="([\d.]+)" class="b-(\d)"/>', drawn)
    assert [kind for _, kind in bars] == ["1", "2", "1"]
    heights = [float(height) for height, _ in bars]
    assert heights[0] / heights[1] == pytest.approx((1050 / 1250) / (1200 / 1600), rel=1e-3)
    heat = str(roll_chart(book.roll_rates(), EN))
    # 1-30 to 31-60 and current to 1-30 are worse; current, 31-60 and unknown to better or gone are not.
    assert heat.count('class="adverse"') == 2
    assert "16.7 %" in heat


def test_vintage_lines_are_the_latest_and_need_two_months():
    frame = pd.DataFrame(
        [(f"20{y:02}-01", mob, 10, 1, 0.1 * mob, 0.1 * mob) for y in range(20) for mob in (0, 1)]
        + [("2030-01", 0, 5, 0, 0.0, 0.0)],
        columns=["vintage", "mob", "accounts", "late_accounts", "late_share", "ever_share"],
    )
    drawn = str(vintage_chart(frame, EN))
    assert drawn.count("<path") == MAX_VINTAGES
    assert "2030-01" not in drawn
    assert vintage_chart(frame[frame["mob"] == 0], EN) is None
