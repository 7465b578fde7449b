"""The page about a whole book: which reasons and features move its scores, for whom, and which together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

from overdue_ml.reports.evaluation_tables import CELL, VALUE, Column, Section, build_table, percent, whole
from overdue_ml.reports.overview_charts import (
    bar_chart,
    dependence_chart,
    segment_chart,
    swarm_chart,
)
from overdue_ml.reports.page import render_page
from overdue_ml.reports.phrases import Phrases, load_phrases
from overdue_ml.reports.svg import clean

#: Customers of a group below which it is not shown.
MIN_GROUP = 30
_BARS, _ROWS, _PAIRS, _REASONS = 15, 20, 12, 12
# A rank correlation from which on a feature has a direction.
_CLEAR = 0.3


@dataclass(frozen=True)
class Overview:
    """Global views of one scored book.

    Attributes
    ----------
    n, n_book : int
        Customers that the views are of, and in the book.
    reasons, features, swarm : pandas.DataFrame
        As ``compute_reason_importance``, ``compute_importance`` and ``compute_swarm`` give them.
    dependence : mapping of str to pandas.DataFrame
        By feature, as ``compute_dependence`` gives it.
    interactions : pandas.DataFrame or None
        As ``compute_interactions`` gives it; None where there was no model to compute them.
    n_interactions : int
        Customers that they are of.
    segments : mapping of str to pandas.DataFrame
        By name, as ``compute_segment_reasons`` gives it.
    """

    n: int
    n_book: int
    reasons: pd.DataFrame
    features: pd.DataFrame
    swarm: pd.DataFrame
    dependence: Mapping[str, pd.DataFrame]
    interactions: pd.DataFrame | None = None
    n_interactions: int = 0
    segments: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Names:
    """What things are called in the language of the page: reasons by code, features and groups by name."""

    reasons: Mapping[str, str]
    meanings: Mapping[str, str]
    groups: Mapping[str, str] = field(default_factory=dict)

    def reason(self, code: str) -> str:
        """The title of a reason, or its code where there is none."""
        return self.reasons.get(code, code)

    def meaning(self, feature: str) -> str:
        """What a feature means, or a dash."""
        return self.meanings.get(feature, "–")


def render_overview(
    overview: Overview,
    names: Names,
    meta: Mapping[str, str],
    lang: str = "en",
    notes: Sequence[str] = (),
) -> str:
    """Write the overview of a book as a self-contained HTML page that names no customer.

    Parameters
    ----------
    overview : Overview
    names : Names
    meta : mapping of str to str
        Model, run, date: the head of the page.
    lang : {'en', 'zh'}
    notes : sequence of str

    Returns
    -------
    str
        HTML without scripts or requests; the same input gives the same bytes.

    Raises
    ------
    ConfigError
        If there is no page in that language.
    """
    phrases = load_phrases(lang)
    sections = [
        _reasons(overview, names, phrases),
        _features(overview, names, phrases),
        Section(phrases.text("ov_swarm"), [phrases.text("ov_about_swarm")],
                charts=[("", swarm_chart(overview.swarm, phrases))]),
        _dependence(overview, names, phrases),
        _interactions(overview, phrases),
        *(_segment(name, table, overview, names, phrases) for name, table in overview.segments.items()),
    ]  # fmt: skip
    said = [phrases.text("ov_note_sum"), phrases.text("ov_note_cause")]
    if overview.n < overview.n_book:
        sizes = {"n": whole(overview.n), "book": whole(overview.n_book)}
        said.insert(0, phrases.text("ov_note_sample", **sizes))
    return render_page(
        "evaluation.html",
        lang,
        title=phrases.text("ov_title"),
        words=phrases.texts,
        meta=[(clean(key, CELL), clean(value, VALUE)) for key, value in meta.items()],
        findings=[(False, clean(words, VALUE)) for words in _findings(overview, names, phrases)],
        sections=sections,
        data_sheet=[],
        notes=[*said, *(clean(note, VALUE) for note in notes)],
    )


def _findings(overview: Overview, names: Names, phrases: Phrases) -> list[str]:
    found = []
    first = overview.reasons.head(3).to_dict("records")
    told = [f"{names.reason(str(row['reason_code']))} ({percent(row['share'])})" for row in first]
    found.append(phrases.text("ov_finding_reasons", reasons=phrases.text("ov_and").join(told)))
    top = overview.features.iloc[0].to_dict()
    words = {"feature": str(top["feature"]), "share": percent(float(top["share"]))}
    found.append(
        phrases.text("ov_finding_feature", direction=_direction(float(top["direction"]), phrases), **words)
    )
    if overview.interactions is not None and len(overview.interactions):
        pair = overview.interactions.iloc[0].to_dict()
        found.append(
            phrases.text("ov_finding_pair", one=str(pair["feature_1"]), other=str(pair["feature_2"]),
                         size=f"{pair['mean_abs']:.3f}")
        )  # fmt: skip
    widest = [
        (abs(float(row["difference"])), name, row)
        for name, table in overview.segments.items()
        for row in table[table["n"] >= MIN_GROUP].to_dict("records")
    ]
    if widest:
        _, name, row = max(widest, key=lambda item: item[0])
        found.append(
            phrases.text(
                "ov_finding_group",
                name=phrases.word("n", name),
                group=names.groups.get(str(row["segment"]), str(row["segment"])),
                reason=names.reason(str(row["reason_code"])),
                difference=f"{row['difference']:+.2f}",
            )
        )
    return found


def _reasons(overview: Overview, names: Names, phrases: Phrases) -> Section:
    bars = [
        (names.reason(str(row["reason_code"])), float(row["mean_abs"]), percent(float(row["share"])))
        for row in overview.reasons.to_dict("records")
    ]
    columns = [
        Column(phrases.text("c_reason"), lambda row: names.reason(str(row["reason_code"])), "text"),
        Column(phrases.text("ov_n_features"), lambda row: whole(row["n_features"])),
        Column(phrases.text("ov_mean_abs"), lambda row: f"{row['mean_abs']:.3f}"),
        Column(phrases.text("ov_share"), lambda row: percent(row["share"])),
        Column(phrases.text("ov_mean"), lambda row: f"{row['mean']:+.3f}"),
        Column(phrases.text("ov_raises"), lambda row: percent(row["raises"])),
    ]
    heading = phrases.text("ov_reasons")
    return Section(
        heading,
        [phrases.text("ov_about_reasons")],
        charts=[("", bar_chart(bars, heading))],
        tables=[build_table("", overview.reasons, columns)],
    )


def _features(overview: Overview, names: Names, phrases: Phrases) -> Section:
    bars = [
        (str(row["feature"]), float(row["mean_abs"]), _direction(float(row["direction"]), phrases))
        for row in overview.features.head(_BARS).to_dict("records")
    ]
    columns = [
        Column(phrases.text("c_feature"), lambda row: str(row["feature"]), "text"),
        Column(phrases.text("c_meaning"), lambda row: names.meaning(str(row["feature"])), "text"),
        Column(phrases.text("ov_share"), lambda row: percent(row["share"])),
        Column(phrases.text("ov_raises"), lambda row: percent(row["raises"])),
    ]
    heading = phrases.text("ov_features")
    shown = overview.features[overview.features["mean_abs"] > 0]
    rest = phrases.text("first_rows", shown=str(_ROWS), n=f"{len(shown):,}") if len(shown) > _ROWS else ""
    return Section(
        heading,
        [phrases.text("ov_about_features"), *([rest] if rest else [])],
        charts=[("", bar_chart(bars, heading))],
        tables=[build_table("", shown.head(_ROWS), columns)],
    )


def _dependence(overview: Overview, names: Names, phrases: Phrases) -> Section:
    charts: list[tuple[str, Markup]] = [
        (clean(f"{name}: {names.meaning(name)}", CELL), dependence_chart(table, name, phrases))
        for name, table in overview.dependence.items()
    ]
    return Section(
        phrases.text("ov_dependence"), [phrases.text("ov_about_dependence")], charts=charts, pair=True
    )


def _interactions(overview: Overview, phrases: Phrases) -> Section:
    heading, found = phrases.text("ov_interactions"), overview.interactions
    if found is None:
        return Section(heading, [phrases.text("ov_no_interactions")])
    words = [phrases.text("ov_about_interactions", n=whole(overview.n_interactions))]
    columns = [
        Column(phrases.text("c_feature"), lambda row: str(row["feature_1"]), "text"),
        Column(phrases.text("ov_with"), lambda row: str(row["feature_2"]), "text"),
        Column(phrases.text("ov_mean_abs"), lambda row: f"{row['mean_abs']:.4f}"),
        Column(phrases.text("ov_mean"), lambda row: f"{row['mean']:+.4f}"),
    ]
    return Section(heading, words, tables=[build_table("", found.head(_PAIRS), columns)])


def _segment(name: str, table: pd.DataFrame, overview: Overview, names: Names, phrases: Phrases) -> Section:
    heading = phrases.text("s_segment", name=clean(phrases.word("n", name), 40))
    shown = table[table["n"] >= MIN_GROUP]
    hidden = table.loc[table["n"] < MIN_GROUP, "segment"].nunique()
    words = [phrases.text("ov_about_segment")]
    if hidden:
        words.append(phrases.text("ov_hidden", n=str(hidden), least=str(MIN_GROUP)))
    if shown.empty:
        return Section(heading, words)
    codes = [str(code) for code in overview.reasons["reason_code"].head(_REASONS)]
    titles = [(code, names.reason(code)) for code in codes]
    return Section(heading, words, charts=[("", segment_chart(shown, titles, heading, names.groups))])


def _direction(value: float, phrases: Phrases) -> str:
    if math.isnan(value):
        return phrases.text("ov_no_direction")
    if abs(value) < _CLEAR:
        return phrases.text("ov_both")
    return phrases.text("ov_more_raises" if value > 0 else "ov_more_lowers")
