"""The page of a validation shows every rule and every table, and stays text whatever the keys hold."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from overdue_ml.records import FreshnessResult, RuleResult, TableResult, ValidationReport
from overdue_ml.records.remarks import Remark
from overdue_ml.reports import render_validation

HOSTILE = "<script>alert(1)</script><svg onload=alert(1)>\"'\u202e" + "X" * 10_000
TABLES = [TableResult("accounts", 1_000_000, 1_000_000, 0), TableResult("payments", 3_000_000, 2_999_999, 1)]
RULES = [
    RuleResult("accounts", "key_duplicate", "account_id names one row", 1_000_000, 0),
    RuleResult("payments", "amount_missing", "amount is filled in", 3_000_000, 1, ("P-17",)),
    RuleResult("payments", "paid_on_missing", "paid_on is filled in", 3_000_000, 2, ("P-18", "P-19")),
]
REPORT = ValidationReport(0.001, TABLES, RULES)


class _Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def check(html: str) -> list[tuple[str, dict[str, str | None]]]:
    tags = _Page(html).tags
    for tag, attributes in tags:
        assert tag not in ("script", "img", "link", "iframe")
        assert not [n for n in attributes if n.startswith("on") or n in ("src", "href", "style")]
    assert "Content-Security-Policy" in html
    assert "default-src 'none'" in html.replace("&#39;", "'")
    assert not re.search(r"https?:|url\(|@import", html)
    return tags


def test_it_shows_verdict_rules_keys_and_a_bar_for_each_table():
    html = render_validation(REPORT, "book")
    tags = check(html)
    for expected in (
        "Validation of book",
        "can be used",
        "0.10% of a table",
        "P-17",
        "P-18, P-19",
        "All 3 rules",
    ):
        assert expected in html
    assert "3,000,000 rows, 1 rejected (0.000%)" in html
    assert html == render_validation(REPORT, "book")
    # Broken rules come first, the worst on top, and stand among all rules again.
    assert html.index("paid_on_missing") < html.index("amount_missing") < html.index("key_duplicate")
    assert html.count(">amount_missing</td>") == 2
    bars = [float(a["width"]) for tag, a in tags if tag == "rect" and a["class"] == "adverse"]
    assert bars == [0.0, 3.0], "one rejected row of millions is still to be seen"
    assert "Newest events" not in html


def test_a_bar_is_as_long_as_its_share():
    half = ValidationReport(0.001, [TableResult("accounts", 4, 2, 2)], RULES)
    html = render_validation(half, "book")
    assert "cannot be used" in html
    widths = {a["class"]: float(a["width"]) for tag, a in check(html) if tag == "rect"}
    assert widths["bar"] == widths["adverse"] > 100


@pytest.mark.parametrize(("newest", "age", "shown"), [(dt.date(2005, 1, 31), 46, "46"), (None, None, "–")])
def test_freshness_is_shown_when_it_was_asked(newest, age, shown):
    found = [FreshnessResult("payments", "paid_on", newest, age, True)]
    report = ValidationReport(0.001, TABLES, RULES, dt.date(2005, 3, 18), 45, found)
    html = render_validation(report, "book")
    check(html)
    assert "Newest events on 2005-03-18" in html
    assert "Tables without an event within 45 days: 1 of 1." in html
    assert f"<td>{shown}</td>" in html


def test_without_broken_rules_it_says_so():
    html = render_validation(ValidationReport(0.001, TABLES[:1], RULES[:1]), "book")
    assert "<p>None.</p>" in html


def test_hostile_keys_and_names_stay_text():
    rule = RuleResult("payments", "amount_missing", "amount is filled in", 3, 1, (HOSTILE, HOSTILE))
    html = render_validation(ValidationReport(0.001, TABLES, [rule]), HOSTILE)
    check(html)
    assert "\u202e" not in html
    assert "<svg onload" not in html
    assert "X" * 200 not in html


def test_remarks_are_shown_as_text():
    remarks = [
        Remark("statements", "unused", "not used by the contract: due_dt (did you mean 'due_date')"),
        Remark("payments", "equal", "equal rows", 3, (HOSTILE,)),
    ]
    html = render_validation(replace(REPORT, remarks=remarks), "book")
    check(html)
    assert "did you mean &#39;due_date&#39;" in html
    assert "Warning: payments: equal rows" in html
    assert "\u202e" not in html
    assert "Remarks" not in render_validation(REPORT, "book")
