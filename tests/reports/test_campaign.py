"""The page of a campaign: every figure in words, nothing hostile, no customer."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import ConfigError
from overdue_ml.monitoring import Campaign, CampaignLimits, estimate_campaign
from overdue_ml.reports import render_campaign
from overdue_ml.reports.campaign import effect_chart
from overdue_ml.reports.page import CONTENT_SECURITY_POLICY
from overdue_ml.reports.phrases import load_phrases

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202egnp"
EN = load_phrases("en")
JAN, FEB = dt.date(2024, 1, 31), dt.date(2024, 2, 29)


def estimate(treated, holdout, *, tier=("high", "low"), contacts=None, left=None):
    """Two months of 200 customers; the first so many of each arm and month are overdue; 40 or 80 are due."""
    number = np.arange(200)
    month = pd.DataFrame(
        {
            "customer_id": [f"SECRET{i:03}" for i in number],
            "arm": np.where(number % 2, "holdout", "treated"),
            "tier": np.where(number < 90, *tier),
            "due_amount": np.where(number % 4 < 2, 40.0, 80.0),
            "p_overdue": 0.2,
        }
    )
    arms = pd.concat([month.assign(as_of_date=d, next_due_date=d + dt.timedelta(days=9)) for d in (JAN, FEB)])
    place = arms.groupby(["as_of_date", "arm"]).cumcount()
    bad = place < np.where(arms["arm"] == "holdout", holdout, treated)
    labels = pd.DataFrame(
        {"verdict": np.where(bad, "overdue", "on_time"), "matured_on": pd.Timestamp("2024-04-30")},
        index=pd.MultiIndex.from_arrays(
            [arms["customer_id"], pd.to_datetime(arms["as_of_date"])], names=["customer_id", "as_of_date"]
        ),
    )
    limits = CampaignLimits(min_customers=50)
    unpaid = None
    if left is not None:
        names = {"next_due_date": "due_date"}
        unpaid = arms.loc[bad.to_numpy(), ["customer_id", "as_of_date", *names]].rename(columns=names)
        unpaid["unpaid_amount"] = left
    return estimate_campaign(arms, labels, "2024-05-31", Campaign(0.5, limits=limits), contacts, unpaid)


@pytest.fixture(scope="module")
def effect():
    """20 of 100 treated and 40 of 100 held out; one of these was contacted in February's month."""
    made = pd.DataFrame(
        {"customer_id": ["SECRET001", "SECRET002"], "contacted_on": [dt.date(2024, 3, 1)] * 2}
    )
    return estimate(20, 40, contacts=made)


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
def test_every_part_is_on_the_page_with_its_figures(effect, lang):
    page = render_campaign(effect, "spring", LabelsConfig(source="instalments"), lang)
    words, phrases = _Words(page), load_phrases(lang)
    parts = (
        "rates", "money", "by_tier", "by_due_amount", "by_as_of_date", "balance", "verdicts", "decides",
        "note_intention", "note_once", "note_first", "note_interval",
    )  # fmt: skip
    for key in parts:
        assert phrases.text(f"camp_{key}") in words.found
    assert not {"script", "img", "iframe", "link"} & set(words.tags)
    assert CONTENT_SECURITY_POLICY in unescape(page)
    assert not re.search(r"https?:|url\(|@import", page)
    # 20 % of the treated, 40 % of those held out, of 200 dues each; all of one month, and the label.
    for figure in (
        "20.0 %",
        "40.0 %",
        "spring",
        "2024-05-31",
        "2024-02-29",
        "instalments",
        "≤ 40",
        "40 – 80",
    ):
        assert figure in words.found
    low, high = (f"{100 * effect.overall[end]:.1f}" for end in ("rate_low", "rate_high"))
    short = phrases.text("camp_less", value="20.0", low=low, high=high, treated="20.0 %", holdout="40.0 %")
    assert short in words.found
    assert any(
        "1" in text and "200" in text for text in words.found if text.startswith(("1 of 200", "对照组200"))
    )
    assert render_campaign(effect, "spring", LabelsConfig(source="instalments"), lang) == page
    assert "SECRET" not in page


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_both_ways_to_tell_money_stand_side_by_side(effect, lang):
    """Of 60 due on average 12 less are of those overdue; 10 are left of each of these, so 2 less a due."""
    phrases, known = load_phrases(lang), estimate(20, 40, left=10.0)
    keys = ("camp_unpaid", "camp_about_unpaid", "camp_x_unpaid", "camp_c_unpaid_difference")
    page, without = (_Words(render_campaign(e, "c", LabelsConfig(), lang)).found for e in (known, effect))
    for key in keys:
        assert phrases.text(key) in page
        assert phrases.text(key) not in without
    for kind, text in (("money", "camp_amount"), ("unpaid", "camp_left")):
        ends = [float(known.overall[f"{kind}_{end}"]) for end in ("difference", "low", "high")]
        shown = [f"{end:,.2f}" for end in ends]
        total = [f"{200 * end:,.0f}" for end in ends]
        words = phrases.text(
            text, value=shown[0], low=shown[1], high=shown[2], n="200",
            total=total[0], total_low=total[1], total_high=total[2],
        )  # fmt: skip
        assert words in page
        # What is left or due in either arm, and their difference.
        arms = [f"{known.overall[f'{arm}_{kind}']:,.2f}" for arm in ("treated", "holdout")]
        row = page.index(arms[0], page.index(phrases.text(f"camp_about_{kind}")))
        cells = [text for text in page[row : row + 5] if text]
        assert cells == [*arms, f"+{shown[0]} (+{shown[1]} – +{shown[2]})"]
    assert known.overall["money_difference"] == pytest.approx(12.0)
    assert known.overall["unpaid_difference"] == pytest.approx(2.0)


def test_what_is_less_more_or_nothing_is_said():
    none, more = estimate(30, 32), estimate(40, 20)
    page = render_campaign(none, "c", LabelsConfig())
    assert "No difference in overdue rates beyond chance: +2.0 points" in page
    assert f"would have found a difference of {100 * none.detectable:.1f} points" in page
    assert EN.text("camp_contacts_unknown") in page
    page = render_campaign(more, "c", LabelsConfig())
    assert '<li class="warning"><bdi>With reminders more went overdue' in page
    assert "-20.0" in page


def test_contacts_of_those_held_out_are_a_warning(effect):
    page = render_campaign(effect, "c", LabelsConfig())
    assert '<li class="warning"><bdi>1 of 200 dues held out were contacted' in page
    clean = replace(effect, contacted={"treated": 5, "holdout": 0})
    assert "Nobody who was held out was contacted" in render_campaign(clean, "c", LabelsConfig())


def test_names_are_escaped_everywhere():
    effect = estimate(20, 40, tier=(HOSTILE, "low"))
    page = render_campaign(effect, HOSTILE, LabelsConfig())
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page
    _Words(page)


def test_a_group_of_few_shows_no_figure(effect):
    few = effect.effects.copy()
    last = few["grouping"] == "tier"
    few.loc[last, "too_few"] = True
    few.loc[last, few.columns[6:-1]] = np.nan
    page = render_campaign(replace(effect, effects=few), "c", LabelsConfig())
    assert page.count(EN.text("camp_too_few")) == 4
    assert "nan" not in page.lower().replace("finance", "")


def test_the_chart_draws_what_the_table_says(effect):
    """20 points stand where the axis says so; the groups follow the whole with a gap."""
    drawn = str(effect_chart(effect.effects, "rate", EN))
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)]
    assert len(dots) == len(effect.effects) == 7
    ticks = {
        float(label): float(x)
        for x, label in re.findall(r'<text x="([\d.]+)"[^>]*text-anchor="middle">(-?[\d.]+)</text>', drawn)
    }
    (a, at_a), (b, at_b) = list(ticks.items())[:2]
    where = at_a + (20 - a) * (at_b - at_a) / (b - a)
    assert dots[0][0] == pytest.approx(where, abs=0.1)
    gaps = np.diff([y for _, y in dots])
    assert gaps.tolist() == pytest.approx([36, 24, 36, 24, 36, 24])
    # No line of no effect without a zero on the axis, and zero is always there.
    assert drawn.count('class="limit"') == 1


def test_no_page_in_another_language(effect):
    with pytest.raises(ConfigError, match="'fr'"):
        render_campaign(effect, "c", LabelsConfig(), "fr")
