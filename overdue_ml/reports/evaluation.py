"""The page of a training run: how well it ranks, whether its probabilities hold, on which data, for whom.

It doubles as the model card: with an assessment it also says how the model compares with simpler ones, what
it does to groups, what moved, and what must not be concluded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from overdue_ml.errors import ConfigError
from overdue_ml.reports.assessment import Assessment, Remark
from overdue_ml.reports.charts import calibration_chart, capture_chart
from overdue_ml.reports.evaluation_sections import (
    WARNINGS,
    assessment_sections,
    findings,
    list_section,
    time_section,
)
from overdue_ml.reports.evaluation_tables import CELL, VALUE, Section, Table, cell, plain_table
from overdue_ml.reports.page import render_page
from overdue_ml.reports.phrases import Phrases, load_phrases
from overdue_ml.reports.svg import clean
from overdue_ml.reports.verdicts import verdict_chart

#: Parts of an evaluation that have a place of their own on the page.
_DRAWN = {"calibration": calibration_chart, "capture": capture_chart}
_OWN = ("metrics", "by_date", "verdicts", *_DRAWN)
_CHOICES = ("tuning", "calibration_choice", "challenger", "constraint_cost")


@dataclass(frozen=True)
class Judged:
    """An assessment and what the page needs to word it.

    Parameters
    ----------
    assessment : Assessment
    facts : mapping of str to value
        ``n``, ``n_overdue``, ``mean_p``, ``overdue_rate`` of the rows set aside, and ``min_rows`` and
        ``min_overdue``, below which a group is too few.
    score_psi, stability : float or None
    leakage : sequence of Remark
        Of the audit.
    """

    assessment: Assessment
    facts: Mapping[str, Any]
    score_psi: float | None = None
    stability: float | None = None
    leakage: Sequence[Remark] = field(default_factory=tuple)


def render_evaluation(
    evaluation: Mapping[str, pd.DataFrame],
    meta: Mapping[str, str],
    data_sheet: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    title: str | None = None,
    judged: Judged | None = None,
    lang: str = "en",
) -> str:
    """Write the evaluation of a training run as a self-contained HTML page.

    Parameters
    ----------
    evaluation : mapping of str to DataFrame
        ``metrics`` (as :func:`overdue_ml.metrics.evaluate_scores` gives it) is needed; ``calibration``
        and ``capture`` (as ``calibration_table`` and ``capture_curve`` give them) are drawn, and so are
        ``verdicts`` (as :func:`overdue_ml.labels.verdicts_by_date`) and ``by_date``; ``parts`` and any
        other table are shown as they are, under their name.
    meta : mapping of str to str
        Model, run, dates: the head of the page.
    data_sheet : mapping of str to str, optional
        What the data are and where they come from.
    notes : sequence of str
    title : str, optional
    judged : Judged, optional
        Adds findings, segments, drift, the rule, the champion, money, fairness and limits.
    lang : {'en', 'zh'}

    Returns
    -------
    str
        HTML without scripts or requests; the same input gives the same bytes.

    Raises
    ------
    ConfigError
        If there is no table of metrics, or no page in that language.
    """
    if "metrics" not in evaluation:
        raise ConfigError("the evaluation has no 'metrics'", expected="the table of evaluate_scores")
    phrases = load_phrases(lang)
    sections = [_metrics_section(evaluation, phrases)]
    if "by_date" in evaluation:
        stability = judged.stability if judged else None
        sections.append(time_section(evaluation["by_date"], stability, phrases))
    if judged is not None:
        limits = {"rows": judged.facts["min_rows"], "overdue": judged.facts["min_overdue"]}
        sections += assessment_sections(judged.assessment, judged.score_psi, limits, phrases)
    if "verdicts" in evaluation:
        chart = verdict_chart(evaluation["verdicts"], phrases)
        sections.append(Section(phrases.text("s_verdicts"), charts=[("", chart)]))
    sections += _other_tables(evaluation, phrases)
    if judged is not None:
        sections.append(list_section("s_leakage", judged.leakage, phrases))
        sections.append(_as_list(list_section("s_limits", judged.assessment.limits, phrases)))
    return render_page(
        "evaluation.html",
        lang,
        title=clean(title or phrases.text("title")),
        words=phrases.texts,
        meta=_pairs(meta),
        findings=_findings(evaluation["metrics"], judged, phrases),
        sections=[section for section in sections if not _is_empty(section)],
        data_sheet=_pairs(data_sheet or {}),
        notes=[clean(note, VALUE) for note in notes],
    )


def _findings(metrics: pd.DataFrame, judged: Judged | None, phrases: Phrases) -> list[tuple[bool, str]]:
    """Whether each is a warning, and its words."""
    if judged is None:
        return []
    said = findings(judged.assessment, metrics, judged.facts)
    return [(remark.key in WARNINGS, clean(phrases.remark(remark), VALUE)) for remark in said]


def _is_empty(section: Section) -> bool:
    return not (section.words or section.charts or section.tables)


def _as_list(section: Section) -> Section:
    return Section(section.heading, section.words, bullets=True)


def _metrics_section(evaluation: Mapping[str, pd.DataFrame], phrases: Phrases) -> Section:
    charts: list[tuple[str, Markup]] = [
        (phrases.text(f"s_{name}"), draw(evaluation[name], phrases))
        for name, draw in _DRAWN.items()
        if name in evaluation and len(evaluation[name])
    ]
    table = _metrics(evaluation["metrics"], phrases)
    return Section(phrases.text("s_metrics"), charts=charts, tables=[table], pair=True)


def _other_tables(evaluation: Mapping[str, pd.DataFrame], phrases: Phrases) -> list[Section]:
    """How the model was chosen under one heading, any other table under its own."""
    order = [name for name in ("parts", *evaluation) if name in evaluation and name not in _OWN]
    names = list(dict.fromkeys(order))
    chosen = [plain_table(name, evaluation[name], phrases) for name in names if _is_choice(name)]
    sections = [Section(phrases.text("s_choices"), tables=chosen)] if chosen else []
    for name in names:
        if not _is_choice(name):
            table = plain_table(name, evaluation[name], phrases)
            sections.append(Section(table.heading, tables=[Table("", table.head, table.rows, table.cut)]))
    return sections


def _is_choice(name: str) -> bool:
    return name.partition(":")[0] in _CHOICES


def _metrics(table: pd.DataFrame, phrases: Phrases) -> Table:
    """Names for people, and the interval in one column."""
    has_interval = {"low", "high"} <= set(table.columns) and bool(table[["low", "high"]].notna().any().any())
    head = [("text", phrases.text("c_metric")), ("", phrases.text("c_value"))]
    head += [("", phrases.text("c_interval"))] if has_interval else []
    rows = []
    for row in table.to_dict("records"):
        cells = [("text", _metric_name(str(row["metric"]), phrases)), ("", cell(row["value"]))]
        if has_interval:
            known = math.isfinite(row["low"]) and math.isfinite(row["high"])
            ends = phrases.text("to", low=cell(row["low"]), high=cell(row["high"])) if known else "–"
            cells.append(("", ends))
        rows.append(cells)
    return Table("", head, rows)


def _metric_name(name: str, phrases: Phrases) -> str:
    stem, at, share = name.rpartition("_at_")
    if at and f"m_{stem}" in phrases.texts:
        return clean(phrases.text(f"m_{stem}", share=share))
    known = phrases.word("m", name)
    return clean(name.replace("_", " ").capitalize()) if known == name else known


def _pairs(values: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(clean(key, CELL), clean(value, VALUE)) for key, value in values.items()]
