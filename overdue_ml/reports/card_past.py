"""How a customer was scored on earlier dates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from overdue_ml.explain.wording import Wording
from overdue_ml.reports import svg
from overdue_ml.reports.card_reasons import written_share

MAX_PAST = 12
# Rows of the table: with all of them the card would need a third page.
_LISTED = 6
_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 390.0, 44.0, 14.0, 14.0, 92.0


@dataclass(frozen=True)
class PastScore:
    """What a scoring run of an earlier date, or this one, said of the customer."""

    as_of: dt.date
    p_overdue: float
    tier: str
    rank: int
    n_customers: int
    version: str
    model_hash: str


@dataclass(frozen=True)
class PastSection:
    """What the card shows of earlier scores."""

    chart: Markup
    head: list[str]
    rows: list[list[str]]
    notes: list[str]


def past_section(past: Sequence[PastScore], now: PastScore, wording: Wording) -> PastSection | None:
    """Earlier scores as a line and a table; None where there are none.

    Parameters
    ----------
    past : sequence of PastScore
        In any order.
    now : PastScore
        That of the card; scores of another model are marked.
    wording : Wording

    Raises
    ------
    ValueError
        If one of them is of the date of the card or later.
    """
    late = [s.as_of for s in past if s.as_of >= now.as_of]
    if late:
        raise ValueError(f"A score of {max(late)} is not earlier than {now.as_of}.")
    if not past:
        return None
    scores = [*sorted(past, key=lambda s: s.as_of)[-MAX_PAST:], now]
    notes = []
    if len(scores) <= len(past):
        notes.append(wording.text("past_cut", shown=str(len(scores) - 1), n=str(len(past))))
    if any(s.model_hash != now.model_hash for s in scores):
        notes.append(wording.text("past_other"))
    keys = ("past_date", "past_probability", "past_tier", "past_rank", "past_version")
    rows = [_row(s, now, wording) for s in reversed(scores[-_LISTED:])]
    if len(rows) < len(scores):
        notes.append(wording.text("past_listed", n=str(len(rows))))
    return PastSection(_chart(scores, wording), [wording.text(k) for k in keys], rows, notes)


def _row(s: PastScore, now: PastScore, wording: Wording) -> list[str]:
    other = " *" if s.model_hash != now.model_hash else ""
    rank = f"{wording.format_number(s.rank, 'count')} / {wording.format_number(s.n_customers, 'count')}"
    p = written_share(s.p_overdue, wording)
    return [
        s.as_of.isoformat(),
        p,
        svg.clean(wording.tier(s.tier), 24),
        rank,
        svg.clean(s.version, 12) + other,
    ]


def _chart(scores: Sequence[PastScore], wording: Wording) -> Markup:
    first, last = scores[0].as_of, scores[-1].as_of
    span = (last - first).days
    ticks = svg.nice_ticks(0.0, max([s.p_overdue for s in scores] + [0.01]), 3)
    base = _TOP + _PLOT

    def at(s: PastScore) -> tuple[float, float]:
        x = _LEFT + 8 + (_WIDTH - _LEFT - _RIGHT - 16) * (s.as_of - first).days / span
        return x, base - _PLOT * s.p_overdue / ticks[-1]

    parts = []
    for tick in ticks:
        y = base - _PLOT * tick / ticks[-1]
        parts.append(svg.line(_LEFT, y, _WIDTH - _RIGHT, y, "grid" if tick else "zero"))
        parts.append(svg.text(_LEFT - 6, y + 4, wording.format_number(tick, "ratio"), anchor="end"))
    parts.append(svg.path([at(s) for s in scores], "curve"))
    for s in scores:
        x, y = at(s)
        kind = "dot open" if s.model_hash != scores[-1].model_hash else "dot"
        parts.append(svg.element("circle", cx=x, cy=y, r=4, class_=kind))
    parts.append(svg.text(_LEFT, base + 16, first.isoformat()))
    parts.append(svg.text(_WIDTH - _RIGHT, base + 16, last.isoformat(), anchor="end"))
    title = wording.text("past_chart", first=wording.format_date(first), last=wording.format_date(last))
    return svg.picture(_WIDTH, base + 22, title, parts)
