"""The pages of the feature catalogue: as committed, complete, and the same every time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.explain import load_wording
from overdue_ml.features import (
    AttributeFeature,
    Feature,
    Measure,
    Registry,
    default_registry,
    feature_catalogue,
    last,
)
from overdue_ml.jobs.document import COMMAND, PAGES, main, render_catalogue

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("lang", PAGES)
def test_the_committed_page_is_what_the_registry_says(lang):
    committed = (DOCS / PAGES[lang]).read_text(encoding="utf-8")
    same = committed == render_catalogue(default_registry(ranks=True), lang)
    assert same, f"docs/{PAGES[lang]} is out of date; write it again: {COMMAND}"


@pytest.mark.parametrize("lang", PAGES)
def test_every_feature_has_one_row_with_its_words(lang):
    page = render_catalogue(default_registry(ranks=True), lang)
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    catalogue = feature_catalogue(lang, ranks=True)
    titles = load_wording(lang)
    assert {len(row) for row in rows} == {7}
    found = {row[0].strip("`"): row for row in rows}
    assert len(rows) == len(found) == len(catalogue)
    for feature in catalogue.itertuples():
        row = found[feature.name]
        assert row[3:6] == [titles.title(feature.reason_code), feature.meaning, feature.when_null]
    assert found["repay_dpd_max_last6"][1:3] == {"en": ["days", "riskier"], "zh": ["天数", "风险上升"]}[lang]
    assert found["repay_dpd_max_last6"][6] == "`statements`"
    assert found["due_days_next"][6] == "`instalments`, `payments`"
    assert found["account_open_count"][6] == "`accounts`"
    assert found["due_amount_next_rank"][6] == "`due_amount_next`"
    assert (
        found["stmt_headroom_amount_latest"][6]
        == "`account_credit_limit_amount_sum` − `stmt_balance_amount_latest`"
    )


def test_the_chinese_page_holds_no_english_sentence():
    page = render_catalogue(default_registry(ranks=True), "zh")
    # Names stand in backticks; the units and abbreviations that are left are none.
    left = re.sub(r"<!--.*?-->|`[^`]*`", "", page)
    assert not re.findall("[A-Za-z]+", left.replace("DPD", "").replace("mod", ""))


def test_the_command_writes_both_pages_and_the_same_again(tmp_path):
    main(["--out", str(tmp_path / "docs")])
    first = {p.name: p.read_bytes() for p in (tmp_path / "docs").iterdir()}
    assert set(first) == set(PAGES.values())
    main(["--out", str(tmp_path / "docs")])
    assert {p.name: p.read_bytes() for p in (tmp_path / "docs").iterdir()} == first


def measure(**changes):
    return Measure("own", "statements", "days", "days|past due", ((1.0, "dpd", 0),), **changes)


def test_a_published_source_is_named_and_a_bar_does_not_break_the_table():
    registry = Registry(
        [
            Feature("repay", measure(source="Some Author (2020)"), "max", last(6), "LATE_DEPTH"),
            AttributeFeature("job"),
        ]
    )
    page = render_catalogue(registry, "en")
    assert "`statements`; Some Author (2020) |" in page
    assert "days\\|past due" in page
    assert "## Customer details (`attr`, 1)" in page


def test_what_has_no_title_is_refused():
    registry = Registry([Feature("own", measure(), "max", last(6), "LATE_DEPTH")])
    with pytest.raises(ConfigError, match="the families own have no title"):
        render_catalogue(registry, "en")
    with pytest.raises(ConfigError, match="no catalogue in 'fr'"):
        render_catalogue(registry, "fr")
