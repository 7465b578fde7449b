"""The page of a campaign: what reminders took off overdue rates and amounts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import pandas as pd
from markupsafe import Markup

from overdue_ml.config import LabelsConfig
from overdue_ml.metrics import OTHER
from overdue_ml.monitoring import CampaignEffect
from overdue_ml.reports import svg
from overdue_ml.reports.evaluation_tables import Column, Section, build_table, figure, percent, whole
from overdue_ml.reports.page import render_page
from overdue_ml.reports.phrases import Phrases, load_phrases
from overdue_ml.reports.svg import clean, number

#: Dates in the picture: the latest. All are in the table.
_LATEST = 12
_WIDE, _ROW, _LEFT, _RIGHT = 812.0, 24.0, 210.0, 170.0

_TIERS = {"high": "camp_tier_high", "medium": "camp_tier_medium", "low": "camp_tier_low"}
_BY = {"tier": "camp_by_tier", "due_amount": "camp_by_due_amount", "as_of_date": "camp_by_as_of_date"}
_AXES = {"rate": "camp_x_rate", "money": "camp_x_money", "unpaid": "camp_x_unpaid"}
#: Two ways to tell money, and of each the finding, the title, what it is about, and its column.
_MONEY = {
    "money": ("camp_amount", "camp_money", "camp_about_money", "camp_c_money_difference"),
    "unpaid": ("camp_left", "camp_unpaid", "camp_about_unpaid", "camp_c_unpaid_difference"),
}
_COVARIATES = {"p_overdue": "camp_x_p_overdue", "due_amount": "camp_x_due_amount"}
_NOTES = ("camp_note_intention", "camp_note_once", "camp_note_first", "camp_note_interval")

Row = dict[str, Any]


def render_campaign(
    effect: CampaignEffect, name: str, labels: LabelsConfig, lang: str = "en", *, superseded: int = 0
) -> str:
    """Write what a campaign's reminders did as a self-contained HTML page.

    Parameters
    ----------
    effect : CampaignEffect
    name : str
        Of the campaign.
    labels : LabelsConfig
        What counts as overdue.
    lang : {'en', 'zh'}
    superseded : int, default 0
        Runs that are left out, since a later one of their date counts.

    Returns
    -------
    str
        HTML without scripts or requests; the same effect gives the same bytes. It names no customer.

    Raises
    ------
    ConfigError
        If there is no page in that language.
    """
    phrases = load_phrases(lang)
    meta = {
        "camp_name": clean(name, 80),
        "camp_as_of": effect.as_of.isoformat(),
        "camp_share": percent(effect.share),
        "camp_dates": whole(effect.counts["dates"]),
        **({"camp_superseded": whole(superseded)} if superseded else {}),
        "camp_customers": whole(effect.counts["customers"]),
        "camp_dues": whole(effect.counts["rows"]),
    }
    return render_page(
        "evaluation.html",
        lang,
        title=phrases.text("camp_title"),
        words=dict(phrases.texts) | {"decides": phrases.text("camp_decides")},
        meta=[(phrases.text(key), value) for key, value in meta.items()],
        findings=_findings(effect, phrases),
        sections=[
            _rates(effect, phrases),
            *(_money(effect, kind, phrases) for kind in _kinds(effect)),
            *_groups(effect, phrases),
            _balance(effect, phrases),
            _verdicts(effect, phrases),
        ],
        data_sheet=[(key, clean(value)) for key, value in labels.model_dump(mode="json").items()],
        notes=[phrases.text(key) for key in _NOTES],
    )


def _points(values: Sequence[float], sign: str = "+") -> list[str]:
    """Differences of rates in points."""
    # Adding zero takes the sign off a rounded zero.
    return [f"{round(100 * v, 1) + 0.0:{sign}.1f}" if math.isfinite(v) else "–" for v in values]


def _amounts(values: Sequence[float], sign: str = "+") -> list[str]:
    """Differences of amounts, all with the same decimals: none where one of them is large."""
    digits = 0 if max(map(abs, values)) >= 100 else 2
    return [f"{round(v, digits) + 0.0:{sign},.{digits}f}" if math.isfinite(v) else "–" for v in values]


def _ends(row: Mapping[str, Any], kind: str) -> list[float]:
    """The difference, and the low and high end of its interval."""
    return [float(row[f"{kind}_{end}"]) for end in ("difference", "low", "high")]


def _findings(effect: CampaignEffect, phrases: Phrases) -> list[tuple[bool, str]]:
    overall: Row = {str(k): v for k, v in effect.overall.items()}
    rates = _ends(overall, "rate")
    kind = "camp_less" if rates[1] > 0 else "camp_more" if rates[2] < 0 else "camp_none"
    value, low, high = _points(rates, "" if kind == "camp_less" else "+")
    rate = phrases.text(
        kind, value=value, low=low, high=high,
        treated=percent(float(overall["treated_rate"])), holdout=percent(float(overall["holdout_rate"])),
        detectable=_points([effect.detectable], "")[0],
    )  # fmt: skip
    amounts = [_amount(overall, money, phrases) for money in _kinds(effect)]
    return [(kind == "camp_more", rate), *amounts, _contacted(effect, phrases)]


def _kinds(effect: CampaignEffect) -> list[str]:
    """The ways to tell money of which something is known."""
    return [kind for kind in _MONEY if kind != "unpaid" or effect.knows_unpaid]


def _amount(overall: Row, kind: str, phrases: Phrases) -> tuple[bool, str]:
    ends, n = _ends(overall, kind), float(overall["treated_rows"])
    (value, low, high), total = _amounts(ends, ""), _amounts([n * end for end in ends], "")
    words = phrases.text(
        _MONEY[kind][0], value=value, low=low, high=high, n=whole(n),
        total=total[0], total_low=total[1], total_high=total[2],
    )  # fmt: skip
    return ends[2] < 0, words


def _contacted(effect: CampaignEffect, phrases: Phrases) -> tuple[bool, str]:
    if effect.contacted is None:
        return False, phrases.text("camp_contacts_unknown")
    words = phrases.text(
        "camp_contacted" if effect.contacted["holdout"] else "camp_none_contacted",
        treated=whole(effect.contacted["treated"]),
        treated_n=whole(float(effect.overall["treated_rows"])),
        holdout=whole(effect.contacted["holdout"]),
        holdout_n=whole(float(effect.overall["holdout_rows"])),
    )
    return effect.contacted["holdout"] > 0, words


def _group(row: Row, phrases: Phrases) -> str:
    """What a row of effects is about, in words."""
    name = str(row["group"])
    if name == OTHER:
        return phrases.text("group_other")
    if row["grouping"] == "all":
        return phrases.text("camp_all")
    return _tier(name, phrases) if row["grouping"] == "tier" else clean(name, 40)


def _tier(name: str, phrases: Phrases) -> str:
    return phrases.text(_TIERS[name]) if name in _TIERS else clean(name, 40)


def _shown(effects: pd.DataFrame) -> pd.DataFrame:
    """Rows of the pictures: those of which something can be said."""
    known = effects[~effects["too_few"]]
    dates = known[known["grouping"] == "as_of_date"]
    return known.drop(index=dates.index[:-_LATEST])


def _rates(effect: CampaignEffect, phrases: Phrases) -> Section:
    return Section(
        phrases.text("camp_rates"),
        [phrases.text("camp_about_rates")],
        [("", effect_chart(effect.effects, "rate", phrases))],
        [build_table("", effect.effects.head(1), _rate_columns(phrases))],
    )


def _money(effect: CampaignEffect, kind: str, phrases: Phrases) -> Section:
    _, title, about, _ = _MONEY[kind]
    return Section(
        phrases.text(title),
        [phrases.text(about)],
        [("", effect_chart(effect.effects, kind, phrases))],
        [build_table("", effect.effects.head(1), _money_columns([kind], phrases, arms=True))],
    )


def _groups(effect: CampaignEffect, phrases: Phrases) -> list[Section]:
    sections = []
    chance = effect.differs.set_index("grouping")["p_value"]
    for grouping, title in _BY.items():
        rows = effect.effects[effect.effects["grouping"] == grouping]
        if rows.empty:
            continue
        words = []
        if grouping in chance.index:
            p_value = float(chance[grouping])
            words.append(phrases.text("camp_alike" if p_value >= 0.05 else "camp_unlike", p=_p(p_value)))
        # One of all columns would be wider than the page.
        columns = _rate_columns(phrases), _money_columns(_kinds(effect), phrases)
        tables = [build_table("", rows, each) for each in columns]
        sections.append(Section(phrases.text(title), words, tables=tables))
    return sections


def _rate_columns(phrases: Phrases) -> list[Column]:
    def rate(key: str) -> Callable[[Row], str]:
        return lambda row: percent(float(row[key]))

    def count(key: str) -> Callable[[Row], str]:
        return lambda row: whole(float(row[key]))

    shows = {
        "camp_c_treated": count("treated_rows"),
        "camp_c_holdout": count("holdout_rows"),
        "camp_c_treated_rate": rate("treated_rate"),
        "camp_c_holdout_rate": rate("holdout_rate"),
        "camp_c_rate_difference": _shows_difference("rate", phrases),
    }
    return _with_group(shows, phrases)


def _money_columns(kinds: Sequence[str], phrases: Phrases, *, arms: bool = False) -> list[Column]:
    """Differences of the kinds; the amounts of both arms before, of which there is one pair."""

    def amount(key: str) -> Callable[[Row], str]:
        return lambda row: _amounts([float(row[key])], "")[0]

    shows = {_MONEY[kind][-1]: _shows_difference(kind, phrases) for kind in kinds}
    if arms:
        (kind,) = kinds
        both = {"camp_c_treated": amount(f"treated_{kind}"), "camp_c_holdout": amount(f"holdout_{kind}")}
        shows = both | shows
    return _with_group(shows, phrases)


def _shows_difference(kind: str, phrases: Phrases) -> Callable[[Row], str]:
    return lambda row: phrases.text("camp_too_few") if row["too_few"] else _difference(row, kind)


def _with_group(shows: Mapping[str, Callable[[Row], str]], phrases: Phrases) -> list[Column]:
    columns = [Column(phrases.text(key), show) for key, show in shows.items()]
    return [Column(phrases.text("c_group"), lambda row: _group(row, phrases), "text"), *columns]


def _difference(row: Row, kind: str) -> str:
    """A difference with its interval in brackets."""
    value, low, high = (_points if kind == "rate" else _amounts)(_ends(row, kind))
    return f"{value} ({low} – {high})"


def _p(value: float) -> str:
    return figure(value) if value >= 0.001 else "< 0.001"


def _balance(effect: CampaignEffect, phrases: Phrases) -> Section:
    def covariate(row: Row) -> str:
        name = str(row["covariate"])
        tier = name.removeprefix("tier_")
        if tier != name:
            return f"{phrases.text('n_tier')}: {_tier(tier, phrases)}"
        return phrases.text(_COVARIATES[name])

    def mean(key: str) -> Callable[[Row], str]:
        return lambda row: (whole if row["covariate"] == "due_amount" else percent)(float(row[key]))

    columns = [
        Column(phrases.text("camp_c_covariate"), covariate, "text"),
        Column(phrases.text("camp_c_treated"), mean("treated")),
        Column(phrases.text("camp_c_holdout"), mean("holdout")),
        Column(phrases.text("camp_c_standardised"), lambda row: f"{float(row['difference']):+.3f}"),
        Column(phrases.text("camp_c_p_value"), lambda row: _p(float(row["p_value"]))),
    ]
    words = phrases.text("camp_about_balance", share=percent(effect.share), p=_p(effect.ratio_p))
    return Section(phrases.text("camp_balance"), [words], tables=[build_table("", effect.balance, columns)])


def _verdicts(effect: CampaignEffect, phrases: Phrases) -> Section:
    columns = [
        Column(phrases.text("camp_c_verdict"), lambda row: phrases.word("v", str(row["verdict"])), "text"),
        Column(phrases.text("camp_c_treated"), lambda row: whole(float(row["treated"]))),
        Column(phrases.text("camp_c_holdout"), lambda row: whole(float(row["holdout"]))),
    ]
    words = phrases.text(
        "camp_about_verdicts",
        repeated=whole(effect.counts["repeated"]),
        already=whole(effect.counts["already_overdue"]),
    )
    return Section(phrases.text("camp_verdicts"), [words], tables=[build_table("", effect.verdicts, columns)])


def effect_chart(effects: pd.DataFrame, kind: str, phrases: Phrases) -> Markup:
    """A dot and its interval for each group, with the line of no effect.

    Parameters
    ----------
    effects : DataFrame
        As :class:`overdue_ml.monitoring.CampaignEffect` has them.
    kind : {'rate', 'money', 'unpaid'}
    phrases : Phrases
    """
    rows: list[Row] = [{str(k): v for k, v in row.items()} for row in _shown(effects).to_dict("records")]
    scale = 100.0 if kind == "rate" else 1.0
    figures = [[scale * end for end in _ends(row, kind)] for row in rows]
    ticks = svg.nice_ticks(min(0.0, *(f[1] for f in figures)), max(0.0, *(f[2] for f in figures)), 5)
    # Half a row between one grouping and the next.
    steps = [0.5 * (a["grouping"] != b["grouping"]) for a, b in pairwise(rows)]
    places = [(i + 0.5 + gap) * _ROW + 2 for i, gap in enumerate(accumulate([0.0, *steps]))]
    floor = places[-1] + _ROW / 2 + 2

    def x(value: float) -> float:
        return _LEFT + (_WIDE - _LEFT - _RIGHT) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = []
    for tick in ticks:
        parts.append(svg.line(x(tick), 0, x(tick), floor, "grid" if abs(tick) > 1e-9 else "limit"))
        parts.append(svg.text(x(tick), floor + 14, number(tick), anchor="middle"))
    for y, row, (value, low, high) in zip(places, rows, figures, strict=True):
        parts.append(svg.text(_LEFT - 10, y + 4, clean(_group(row, phrases), 28), "strong", "end"))
        parts.append(svg.line(x(low), y, x(high), y, "whisker"))
        parts.append(svg.element("circle", cx=x(value), cy=y, r=4, class_="dot"))
        parts.append(svg.text(_WIDE - _RIGHT + 10, y + 4, _difference(row, kind)))
    parts.append(
        svg.text((_LEFT + _WIDE - _RIGHT) / 2, floor + 30, phrases.text(_AXES[kind]), anchor="middle")
    )
    return svg.picture(_WIDE, floor + 36, phrases.text(_AXES[kind]), parts)
