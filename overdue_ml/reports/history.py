"""The statement history of a customer: read what there is, draw it, leave gaps where nothing is known."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from overdue_ml.explain.wording import Wording
from overdue_ml.reports import svg
from overdue_ml.reports.card_instalments import short_name

MAX_STATEMENTS = 24
#: Of accounts, where there are several.
MAX_CHARTS = 2

_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 812.0, 74.0, 10.0, 26.0, 150.0
# Room that a full date takes.
_LABEL = 74.0
# A limit far above everything else would flatten the bars; it is then named instead of drawn.
_LIMIT_FACTOR = 4.0
_HUGE = 1e15


@dataclass(frozen=True)
class Statement:
    """One statement; None where a figure is not known.

    ``account_id`` tells those of several accounts apart; nothing is named of it where there is one.
    """

    statement_date: dt.date | None
    due_date: dt.date | None
    balance: float | None
    paid: float | None
    limit: float | None
    dpd: float | None
    behaviour: str | None
    account_id: str = ""


def read_statements(table: pd.DataFrame | Sequence[Statement]) -> list[Statement]:
    """Statements in order of their date; missing columns and nulls of a table become None.

    Parameters
    ----------
    table : pandas.DataFrame or sequence of Statement
        Any of statement_date, due_date, balance_amount, paid_amount, credit_limit_amount, dpd,
        payment_behaviour, account_id.
    """
    if not isinstance(table, pd.DataFrame):
        return sorted(table, key=_day)
    if table.empty:
        return []
    behaviours = table["payment_behaviour"] if "payment_behaviour" in table else [None] * len(table)
    rows = zip(
        _dates(table, "statement_date"),
        _dates(table, "due_date"),
        _numbers(table, "balance_amount"),
        _numbers(table, "paid_amount"),
        _numbers(table, "credit_limit_amount"),
        _numbers(table, "dpd"),
        (None if pd.isna(name) else str(name) for name in behaviours),
        table["account_id"].astype("str").fillna("") if "account_id" in table else [""] * len(table),
        strict=True,
    )
    return sorted((Statement(*row) for row in rows), key=_day)


def _day(statement: Statement) -> dt.date:
    return statement.statement_date or dt.date.min


def _dates(table: pd.DataFrame, column: str) -> list[dt.date | None]:
    if column not in table:
        return [None] * len(table)
    stamps = pd.to_datetime(table[column], errors="coerce", format="ISO8601")
    return [None if pd.isna(stamp) else stamp.date() for stamp in stamps]


def _numbers(table: pd.DataFrame, column: str) -> list[float | None]:
    if column not in table:
        return [None] * len(table)
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    return [float(value) if np.isfinite(value) else None for value in values]


@dataclass(frozen=True)
class _Frame:
    """Where a slot and an amount lie in the picture."""

    slots: int
    ticks: list[float]

    @property
    def slot(self) -> float:
        return (_WIDTH - _LEFT - _RIGHT) / self.slots

    def x(self, i: int) -> float:
        return _LEFT + (i + 0.5) * self.slot

    def y(self, amount: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return _TOP + _PLOT * (high - min(max(amount, low), high)) / (high - low)


def statement_charts(statements: Sequence[Statement], wording: Wording) -> tuple[Markup, int]:
    """The chart of a customer's statements; of several accounts one each, those in most trouble first.

    Parameters
    ----------
    statements : sequence of Statement
        At least one, in order.
    wording : Wording

    Returns
    -------
    charts : Markup
    n_left_out : int
        Accounts that have none.
    """
    accounts: dict[str, list[Statement]] = {}
    for statement in statements:
        accounts.setdefault(statement.account_id, []).append(statement)
    if len(accounts) == 1:
        return statement_chart(statements[-MAX_STATEMENTS:], wording), 0

    def trouble(account: str) -> tuple[float, float, str]:
        latest = accounts[account][-1]
        return -(latest.dpd or 0.0), -(latest.balance or 0.0), account

    shown = sorted(accounts, key=trouble)[:MAX_CHARTS]
    parts = []
    for account in shown:
        parts.append(Markup('<p class="muted small">{}: <bdi>{}</bdi></p>').format(
            wording.text("account"), short_name(account)
        ))  # fmt: skip
        parts.append(statement_chart(accounts[account][-MAX_STATEMENTS // MAX_CHARTS :], wording))
    return Markup("").join(parts), len(accounts) - len(shown)


def statement_chart(statements: Sequence[Statement], wording: Wording) -> Markup:
    """Balances as bars against the limit, payments as diamonds, days past due as a strip beneath.

    Parameters
    ----------
    statements : sequence of Statement
        At least one, in order.
    wording : Wording
    """
    found = [a for s in statements for a in (s.balance, s.paid) if a is not None]
    amounts = [min(max(a, -_HUGE), _HUGE) for a in found]
    limits = [s.limit for s in statements if s.limit is not None]
    largest = max([*amounts, 0.0])
    drawn = bool(limits) and (largest <= 0 or max(limits) <= _LIMIT_FACTOR * largest)
    high = max(largest, *limits) if drawn else largest
    frame = _Frame(len(statements), svg.nice_ticks(min([*amounts, 0.0]), high or 1.0))
    parts = [*_axis(frame, wording), *_bars(statements, frame)]
    if drawn:
        parts += _limit_line(statements, frame)
    parts += _payments(statements, frame)
    note = ""
    if limits and not drawn:
        note = wording.text("limit_above", amount=wording.format_number(limits[-1], "amount"))
    parts += _legend(wording, note, with_limit=drawn)
    parts += _strip(statements, frame, wording)
    first, last = (wording.format_date(s.statement_date) for s in (statements[0], statements[-1]))
    title = wording.text("history_chart", first=first, last=last)
    return svg.picture(_WIDTH, _TOP + _PLOT + 68, title, parts)


def _axis(frame: _Frame, wording: Wording) -> list[Markup]:
    parts = []
    for tick in frame.ticks:
        y = frame.y(tick)
        parts.append(svg.line(_LEFT, y, _WIDTH - _RIGHT, y, "zero" if tick == 0 else "grid"))
        parts.append(svg.text(_LEFT - 8, y + 4, wording.format_number(tick, "count"), anchor="end"))
    return parts


def _bars(statements: Sequence[Statement], frame: _Frame) -> list[Markup]:
    width = min(frame.slot * 0.56, 46.0)
    zero = frame.y(0.0)
    return [
        svg.rect(frame.x(i) - width / 2, zero, width, frame.y(s.balance) - zero, "bar")
        for i, s in enumerate(statements)
        if s.balance is not None
    ]


def _limit_line(statements: Sequence[Statement], frame: _Frame) -> list[Markup]:
    """Steps, so that a changed limit is seen, with gaps where it is unknown."""
    parts: list[Markup] = []
    half = frame.slot / 2
    points: list[tuple[float, float]] = []
    for i, s in enumerate(statements):
        if s.limit is not None:
            points += [(frame.x(i) - half, frame.y(s.limit)), (frame.x(i) + half, frame.y(s.limit))]
        if points and (s.limit is None or i == len(statements) - 1):
            parts.append(svg.path(points, "limit"))
            points = []
    return parts


def _payments(statements: Sequence[Statement], frame: _Frame) -> list[Markup]:
    size = min(5.0, frame.slot * 0.2)
    return [
        svg.marker(frame.x(i), frame.y(s.paid), size, "paid")
        for i, s in enumerate(statements)
        if s.paid is not None
    ]


def _legend(wording: Wording, note: str, *, with_limit: bool) -> list[Markup]:
    x, y = _LEFT, 10.0
    parts = [svg.rect(x, y - 7, 11, 9, "bar"), svg.text(x + 17, y + 2, wording.text("balance"))]
    x += 128
    parts += [svg.marker(x + 5, y - 2, 5, "paid"), svg.text(x + 16, y + 2, wording.text("paid"))]
    x += 128
    if with_limit:
        parts += [svg.line(x, y - 2, x + 20, y - 2, "limit"), svg.text(x + 26, y + 2, wording.text("limit"))]
    elif note:
        parts.append(svg.text(x, y + 2, "↑ " + note))
    return parts


def _strip(statements: Sequence[Statement], frame: _Frame, wording: Wording) -> list[Markup]:
    """Days past due, darker with more days and always as a number, and the dates."""
    top = _TOP + _PLOT + 14
    parts = [svg.text(_LEFT - 8, top + 15, wording.text("dpd_short"), anchor="end")]
    every = max(1, math.ceil(_LABEL / frame.slot))
    for i, s in enumerate(statements):
        x = frame.x(i)
        width = min(frame.slot - 2, 120.0)
        parts.append(svg.rect(x - width / 2, top, width, 22, f"dpd {_dpd_class(s.dpd)}"))
        shown = "–" if s.dpd is None else wording.format_number(s.dpd, "count")
        parts.append(svg.text(x, top + 15, shown, f"dpdtext {_dpd_class(s.dpd)}", "middle"))
        if (len(statements) - 1 - i) % every == 0:
            day = "–" if s.statement_date is None else s.statement_date.isoformat()
            # The last label would run over the edge.
            end = x + _LABEL / 2 > _WIDTH
            parts.append(svg.text(_WIDTH if end else x, top + 40, day, anchor="end" if end else "middle"))
    return parts


def _dpd_class(dpd: float | None) -> str:
    if dpd is None:
        return "d-unknown"
    if dpd <= 0:
        return "d-0"
    return "d-1" if dpd <= 30 else ("d-2" if dpd <= 60 else "d-3")
