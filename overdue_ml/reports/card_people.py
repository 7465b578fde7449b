"""What the lender knows of a customer's incomes and of debts elsewhere."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from overdue_ml.explain.wording import Wording
from overdue_ml.reports import svg
from overdue_ml.reports.card_instalments import plain_amount

MONTHS = 12
MAX_LENDERS = 6
_WIDTH, _LEFT, _TOP, _PLOT = 390.0, 56.0, 10.0, 86.0
_NAME = 18


@dataclass(frozen=True)
class Income:
    """One income: a salary, a pension, a revenue..."""

    received_on: dt.date
    amount: float


@dataclass(frozen=True)
class Debt:
    """The latest report of one lender elsewhere: open debts added up, the worst delay among them."""

    lender_id: str
    reported_on: dt.date
    balance_amount: float | None
    monthly_due_amount: float | None
    dpd: int | None


@dataclass(frozen=True)
class IncomeSection:
    """What the card shows of incomes; an empty chart where none was known."""

    chart: Markup
    latest: str


@dataclass(frozen=True)
class DebtSection:
    """What the card shows of debts elsewhere."""

    head: list[str]
    rows: list[list[str]]
    total: list[str]
    cut: str


def income_section(
    incomes: Sequence[Income] | None, as_of: dt.date, wording: Wording
) -> IncomeSection | None:
    """Incomes of the latest twelve months as bars; None where the records have no such table.

    Raises
    ------
    ValueError
        If an income was received after the as_of date.
    """
    if incomes is None:
        return None
    if not incomes:
        return IncomeSection(Markup(""), wording.text("incomes_none"))
    newest = max(incomes, key=lambda i: (i.received_on, i.amount))
    if newest.received_on > as_of:
        raise ValueError(f"An income of {newest.received_on} was not known on {as_of}.")
    last = 12 * as_of.year + as_of.month - 1
    sums: dict[int, list[float]] = {month: [] for month in range(last - MONTHS + 1, last + 1)}
    for income in incomes:
        month = 12 * income.received_on.year + income.received_on.month - 1
        if month in sums and math.isfinite(income.amount):
            sums[month].append(income.amount)
    totals = {month: math.fsum(amounts) for month, amounts in sums.items()}
    latest = wording.text(
        "incomes_latest", date=wording.format_date(newest.received_on),
        amount=wording.format_number(newest.amount, "amount"),
    )  # fmt: skip
    return IncomeSection(_bars(totals, wording), latest)


def _bars(totals: dict[int, float], wording: Wording) -> Markup:
    ticks = svg.nice_ticks(0.0, max(totals.values()) or 1.0, 3)
    labels = [wording.format_number(tick, "count") for tick in ticks]
    left = max(_LEFT, *(svg.width_of(label) + 8 for label in labels))
    base, slot = _TOP + _PLOT, (_WIDTH - left) / len(totals)
    parts = []
    for tick, label in zip(ticks, labels, strict=True):
        y = base - _PLOT * tick / ticks[-1]
        parts.append(svg.line(left, y, _WIDTH, y, "grid" if tick else "zero"))
        parts.append(svg.text(left - 6, y + 4, label, anchor="end"))
    for i, (month, total) in enumerate(totals.items()):
        x, height = left + (i + 0.5) * slot, _PLOT * total / ticks[-1]
        parts.append(svg.rect(x - 0.3 * slot, base - height, 0.6 * slot, height, "income"))
        # From the last month backwards, so that it always has its label.
        if (len(totals) - 1 - i) % 3 == 0:
            end = i == len(totals) - 1
            label = f"{month // 12:04d}-{month % 12 + 1:02d}"
            parts.append(svg.text(_WIDTH if end else x, base + 14, label, anchor="end" if end else "middle"))
    return svg.picture(_WIDTH, base + 20, wording.text("incomes_chart", n=str(len(totals))), parts)


def debt_section(debts: Sequence[Debt] | None, as_of: dt.date, wording: Wording) -> DebtSection | None:
    """Debts elsewhere, the largest first, and their total; None where the records have no such table.

    Raises
    ------
    ValueError
        If a debt was reported after the as_of date.
    """
    if debts is None:
        return None
    if any(d.reported_on > as_of for d in debts):
        raise ValueError(f"A debt was reported after {as_of}.")
    ordered = sorted(debts, key=lambda d: (-(d.balance_amount or 0.0), d.lender_id))
    shown = ordered[:MAX_LENDERS]
    rows = [_debt_row(svg.clean(d.lender_id, _NAME) or "–", d, wording) for d in shown]
    sums: list[str] = []
    if len(ordered) > 1:
        total = Debt("", as_of, _total(d.balance_amount for d in ordered),
                     _total(d.monthly_due_amount for d in ordered),
                     max((d.dpd for d in ordered if d.dpd is not None), default=None))  # fmt: skip
        # Reports of several days have no day together.
        sums = [wording.text("debts_total"), "", *_debt_row("", total, wording)[2:]]
    cut = ""
    if len(shown) < len(ordered):
        cut = wording.text("debts_cut", shown=str(len(shown)), n=str(len(ordered)))
    keys = ("lender", "reported_on", "owed", "monthly_due", "dpd_short")
    return DebtSection([wording.text(key) for key in keys] if rows else [], rows, sums, cut)


def _total(values: object) -> float | None:
    known = [float(v) for v in values if v is not None]  # type: ignore[attr-defined]
    return math.fsum(known) if known else None


def _debt_row(name: str, d: Debt, wording: Wording) -> list[str]:
    amounts = [plain_amount(a, wording) for a in (d.balance_amount, d.monthly_due_amount)]
    dpd = "–" if d.dpd is None else wording.format_number(d.dpd, "count")
    return [name, d.reported_on.isoformat(), *amounts, dpd]
