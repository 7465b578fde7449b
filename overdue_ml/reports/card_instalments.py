"""The instalments of a customer on a time line: what fell due, what was paid, how late, what is to come."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from overdue_ml.explain.wording import Wording
from overdue_ml.reports import svg

MAX_INSTALMENTS = 24
MAX_ACCOUNTS = 4
MAX_UPCOMING = 6
# Of each account on the time line; further ones would only push the past together.
_AHEAD = 3

_WIDTH, _LEFT, _RIGHT, _TOP, _LANE, _PLOT = 812.0, 112.0, 12.0, 44.0, 78.0, 40.0
_NAME = 14
# Two tables stand side by side.
_CELL = 9
# Room that a number of days and the label of a month take.
_DAYS, _MONTH = 19.0, 58.0
#: Room for one of two tables side by side, and between two columns.
_HALF, _GAP = 375.0, 8.0


@dataclass(frozen=True)
class Instalment:
    """One instalment as known on the as_of date.

    Parameters
    ----------
    account_id : str
    due_date : date
    amount_due, paid_amount : float
    settled_on : date or None
        None while it is short by more than the tolerance.
    dpd : int
        Days from the due date until it was settled, or until the as_of date; 0 before the due date.
    """

    account_id: str
    due_date: dt.date
    amount_due: float
    paid_amount: float
    settled_on: dt.date | None
    dpd: int

    @property
    def short(self) -> float:
        """What is still to be paid; 0 once it is settled."""
        return 0.0 if self.settled_on else max(self.amount_due - self.paid_amount, 0.0)


@dataclass(frozen=True)
class Payment:
    """One payment, or with a negative amount the reversal of one."""

    account_id: str
    paid_on: dt.date
    amount: float


@dataclass(frozen=True)
class InstalmentSection:
    """What the card shows of the instalments."""

    chart: Markup
    head: list[str]
    halves: list[list[list[str]]]
    upcoming: str
    notes: list[str]


def instalment_section(
    instalments: Sequence[Instalment], payments: Sequence[Payment], as_of: dt.date, wording: Wording
) -> InstalmentSection | None:
    """Draw the instalments and list them; None where there are none.

    Parameters
    ----------
    instalments : sequence of Instalment
        Those that fell due by the as_of date and those to come, in any order.
    payments : sequence of Payment
    as_of : date
    wording : Wording

    Raises
    ------
    ValueError
        If something was settled or paid after the as_of date.
    """
    # What needs no payment is settled on its due date, also ahead of it.
    days = [i.settled_on for i in instalments if i.settled_on and i.settled_on != i.due_date]
    days += [p.paid_on for p in payments]
    if days and max(days) > as_of:
        raise ValueError(f"A payment of {max(days)} was not known on {as_of}.")
    if not instalments:
        return None
    ordered = sorted(instalments, key=lambda i: (i.due_date, i.account_id, i.amount_due, i.paid_amount))
    past = [i for i in ordered if i.due_date <= as_of]
    ahead = [i for i in ordered if i.due_date > as_of and i.short > 0]
    lanes, notes = _lanes(past, ahead, wording)
    listed = past[-MAX_INSTALMENTS:][::-1]
    if len(listed) < len(past):
        notes.append(wording.text("instalments_cut", shown=str(len(listed)), n=str(len(past))))
    if any(i.short > 0 for i in listed):
        notes.append(wording.text("instalments_growing"))
    several = len({i.account_id for i in ordered}) > 1
    keys = ["due_date", *(["account"] if several else []), "due_short", "paid", "settled_on", "dpd_short"]
    rows = [_row(i, wording, several=several) for i in listed]
    head = [wording.text(key) for key in keys]
    middle = (len(rows) + 1) // 2 if len(rows) > 6 and _fits_twice(head, rows) else len(rows)
    return InstalmentSection(
        _chart(lanes, payments, as_of, wording) if lanes else Markup(""),
        head,
        [half for half in (rows[:middle], rows[middle:]) if half],
        _upcoming(ahead, wording),
        notes,
    )


def plain_amount(amount: float | None, wording: Wording) -> str:
    """An amount without its unit, which a column would only repeat."""
    if amount is None:
        return "–"
    before, _, after = wording.units["amount"].partition("{n}")
    return wording.format_number(amount, "amount").removeprefix(before).removesuffix(after)


def short_name(account: str, limit: int = _NAME) -> str:
    """The end of an id, where those of one customer differ."""
    return svg.clean(account if len(account) <= limit else "…" + account[1 - limit :], limit)


def _fits_twice(head: list[str], rows: list[list[str]]) -> bool:
    """Whether the table is narrow enough for two halves of it side by side."""
    widths = [max(map(svg.width_of, column)) for column in zip(head, *rows, strict=True)]
    return sum(widths) + _GAP * len(widths) <= _HALF


def _row(i: Instalment, wording: Wording, *, several: bool) -> list[str]:
    account = [short_name(i.account_id, _CELL)] if several else []
    dpd = wording.format_number(i.dpd, "count") + (" +" if i.short > 0 else "")
    settled = i.settled_on.isoformat() if i.settled_on else "–"
    amounts = [plain_amount(a, wording) for a in (i.amount_due, i.paid_amount)]
    return [i.due_date.isoformat(), *account, *amounts, settled, dpd]


def _upcoming(ahead: list[Instalment], wording: Wording) -> str:
    if not ahead:
        return wording.text("upcoming_none")
    dues: dict[dt.date, list[float]] = {}
    for i in ahead:
        dues.setdefault(i.due_date, []).append(i.short)
    listed = [
        wording.text(
            "upcoming_due",
            date=wording.format_date(day),
            amount=wording.format_number(math.fsum(dues[day]), "amount"),
        )
        for day in sorted(dues)[:MAX_UPCOMING]
    ]
    # The sum goes over all of them, also those that are not listed.
    total = wording.format_number(math.fsum(i.short for i in ahead), "amount")
    return wording.text("upcoming", dues=" · ".join(listed), n=str(len(ahead)), total=total)


def _lanes(
    past: list[Instalment], ahead: list[Instalment], wording: Wording
) -> tuple[dict[str, list[Instalment]], list[str]]:
    """The latest of each account, the accounts with the latest dues first cut, in order of their ids."""
    by_account: dict[str, tuple[list[Instalment], list[Instalment]]] = {}
    for i in past:
        by_account.setdefault(i.account_id, ([], []))[0].append(i)
    for i in ahead:
        by_account.setdefault(i.account_id, ([], []))[1].append(i)

    def newest(account: str) -> tuple[bool, dt.date, str]:
        before, after = by_account[account]
        return (bool(after) or any(i.short > 0 for i in before), (after or before)[-1].due_date, account)

    chosen = sorted(sorted(by_account, key=newest, reverse=True)[:MAX_ACCOUNTS])
    notes = []
    if len(chosen) < len(by_account):
        notes.append(wording.text("accounts_cut", shown=str(len(chosen)), n=str(len(by_account))))
    lanes = {a: [*by_account[a][0][-MAX_INSTALMENTS:], *by_account[a][1][:_AHEAD]] for a in chosen}
    return lanes, notes


@dataclass(frozen=True)
class _Time:
    """Where a day lies between the first and the last that is drawn."""

    first: dt.date
    last: dt.date

    def x(self, day: dt.date) -> float:
        inside = _WIDTH - _LEFT - _RIGHT - 24
        span = (self.last - self.first).days or 1
        return _LEFT + 12 + inside * (min(max(day, self.first), self.last) - self.first).days / span


def _chart(
    lanes: dict[str, list[Instalment]], payments: Sequence[Payment], as_of: dt.date, wording: Wording
) -> Markup:
    days = [i.due_date for lane in lanes.values() for i in lane]
    time = _Time(min([*days, as_of]), max([*days, as_of]))
    bottom = _TOP + _LANE * len(lanes)
    parts = [*_legend(wording), *_months(time, bottom)]
    x = time.x(as_of)
    parts.append(svg.line(x, _TOP - 14, x, bottom, "asof"))
    parts.append(svg.text(x, _TOP - 18, as_of.isoformat(), "label strong", "end" if x > 700 else "middle"))
    for place, (account, lane) in enumerate(lanes.items()):
        own = sorted((p for p in payments if p.account_id == account), key=lambda p: (p.paid_on, p.amount))
        parts += _lane(account, lane, own, time, _TOP + _LANE * place)
    first, last = wording.format_date(time.first), wording.format_date(time.last)
    return svg.picture(_WIDTH, bottom + 20, wording.text("instalments_chart", first=first, last=last), parts)


def _lane(
    account: str, lane: list[Instalment], payments: list[Payment], time: _Time, top: float
) -> list[Markup]:
    base = top + 14 + _PLOT
    parts = [
        svg.text(_LEFT - 8, base - _PLOT / 2 + 4, short_name(account), anchor="end"),
        svg.line(_LEFT, base, _WIDTH - _RIGHT, base, "zero"),
    ]
    gaps = [time.x(b.due_date) - time.x(a.due_date) for a, b in pairwise(lane)]
    width = min(16.0, max(2.0, 0.8 * min([g for g in gaps if g > 0], default=16.0)))
    largest = max((i.amount_due for i in lane), default=0.0) or 1.0
    labelled = -_WIDTH
    for i in lane:
        x = time.x(i.due_date)
        height = _PLOT * max(i.amount_due, 0.0) / largest
        paid = height * min(max(i.paid_amount / i.amount_due, 0.0), 1.0) if i.amount_due > 0 else 0.0
        parts.append(svg.rect(x - width / 2, base - paid, width, paid, f"due {_kind(i)}"))
        if i.short > 0:
            kind = "open ahead" if i.dpd == 0 else "open"
            parts.append(svg.rect(x - width / 2, base - height, width, height - paid, kind))
        if i.dpd > 0 and x - labelled >= _DAYS:
            labelled = x
            days = f"{i.dpd}+" if i.short > 0 else str(i.dpd)
            parts.append(svg.text(x, base - height - 4, days, "days", "middle"))
    for p in payments:
        if p.paid_on >= time.first and p.amount:
            shape, kind = ("up", "paid") if p.amount > 0 else ("down", "reversal")
            parts.append(svg.marker(time.x(p.paid_on), base + 8, 3.5, kind, shape))
    return parts


def _kind(i: Instalment) -> str:
    if i.dpd <= 0:
        return "d-ontime"
    return "d-1" if i.dpd <= 30 else ("d-2" if i.dpd <= 60 else "d-3")


def _legend(wording: Wording) -> list[Markup]:
    """Boxes and marks with their words, one after the other as wide as each is."""
    parts, x, y = [], _LEFT, 10.0
    boxes = ("due d-ontime", "due d-1", "due d-2", "due d-3", "open", "open ahead")
    keys = (
        "legend_on_time",
        "legend_late_30",
        "legend_late_60",
        "legend_late_61",
        "legend_open",
        "legend_ahead",
    )
    for kind, key in zip(boxes, keys, strict=True):
        words = wording.text(key)
        parts += [svg.rect(x, y - 7, 11, 9, kind), svg.text(x + 15, y + 2, words)]
        x += 15 + svg.width_of(words) + 12
    for shape, kind, key in (("up", "paid", "legend_payment"), ("down", "reversal", "legend_reversal")):
        words = wording.text(key)
        parts += [svg.marker(x + 4, y - 2, 4, kind, shape), svg.text(x + 12, y + 2, words)]
        x += 12 + svg.width_of(words) + 12
    return parts


def _months(time: _Time, bottom: float) -> list[Markup]:
    """The first day of months, as many as there is room for."""
    first, last = 12 * time.first.year + time.first.month, 12 * time.last.year + time.last.month - 1
    every = max(1, round((last - first + 1) * _MONTH / (_WIDTH - _LEFT - _RIGHT) + 0.5))
    parts = []
    for month in range(first, last + 1):
        # Whole quarters and years where months are left out.
        if month % every == 0:
            x = time.x(dt.date(month // 12, month % 12 + 1, 1))
            parts.append(svg.line(x, _TOP, x, bottom, "grid"))
            label = f"{month // 12:04d}-{month % 12 + 1:02d}"
            parts.append(svg.text(x, bottom + 14, label, anchor="end" if x > 780 else "middle"))
    return parts
