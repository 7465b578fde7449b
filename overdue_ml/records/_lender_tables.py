"""The block of a synthetic lender as Arrow tables: ids, payments row by row, and every other table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from overdue_ml.records._lender import Block, Bools, Calendar, Floats, Ints

#: The column that tells to which customer a row belongs; each table is sorted by it.
OWNER = {
    "customers": "customer_id",
    "accounts": "account_id",
    "instalments": "account_id",
    "payments": "payment_id",
    "incomes": "customer_id",
    "borrowings": "customer_id",
    "contacts": "customer_id",
    "truth": "customer_id",
}

_REGIONS = ("centre", "east", "north", "south", "west")
_PRODUCTS = ("car_loan", "cash_loan", "consumer_loan")
_NONE = -(10**9)
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Payments:
    """Payments by loan and month, one row each; a reversal is negative."""

    loan: Ints
    month: Ints
    paid: Ints
    amount: Floats
    known: Ints
    technical: Bools


def _digits(values: Ints, width: int) -> Bytes:
    places = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return ((values[:, None] // places[None, :]) % 10 + ord("0")).astype(np.uint8)


def _joined(*parts: Bytes | bytes) -> Bytes:
    n = next(len(p) for p in parts if not isinstance(p, bytes))
    full = [np.tile(np.frombuffer(p, np.uint8), (n, 1)) if isinstance(p, bytes) else p for p in parts]
    return np.concatenate(full, axis=1)


def _strings(text: Bytes) -> pa.Array:
    """Rows of ASCII bytes as strings, without a Python object a row."""
    n, width = text.shape
    offsets = np.arange(n + 1, dtype=np.int32) * np.int32(width)
    values = pa.py_buffer(np.ascontiguousarray(text))
    return pa.Array.from_buffers(pa.string(), n, [None, pa.py_buffer(offsets), values])


def customer_bytes(numbers: Ints) -> Bytes:
    """Customer ids as ASCII: ``SYN`` and nine digits."""
    return _joined(b"SYN", _digits(numbers, 9))


def _dates(days: Ints) -> pa.Array:
    return pa.array(days.astype(np.int32), mask=days == _NONE).view(pa.date32())


def _choice(codes: Ints, words: tuple[str, ...]) -> pa.Array:
    """Words by position; -1 is null."""
    return pa.array(words, pa.string()).take(pa.array(codes, mask=codes < 0))


def _account_bytes(b: Block, first: int) -> Bytes:
    return _joined(customer_bytes(first + b.loans.customer), b"-", _digits(b.loans.slot + 1, 1))


def _customers(b: Block, first: int) -> pa.Table:
    n = len(b.people.income)
    return pa.table(
        {
            "customer_id": _strings(customer_bytes(first + np.arange(n))),
            "sex": _choice(b.people.female.astype(np.int64), ("M", "F")),
            "birth_date": _dates(b.people.birth_day),
            "region": _choice(b.people.region, _REGIONS),
        }
    )


def _closed_on(b: Block, p: Payments) -> Ints:
    """Day of the last payment of loans that were paid off within the records."""
    months = b.calendar.months
    end = b.loans.open_month + b.loans.last_no
    seen = b.course.due_amount[:, :months]
    paid = np.bincount(p.loan, weights=p.amount, minlength=len(end))
    expected = seen.sum(axis=1)
    last = np.full(len(end), _NONE)
    np.maximum.at(last, p.loan, p.paid)
    return np.where((end < months) & (np.abs(paid - expected) < 0.005), last, _NONE)


def _accounts(b: Block, p: Payments, first: int) -> pa.Table:
    loans = b.loans
    return pa.table(
        {
            "account_id": _strings(_account_bytes(b, first)),
            "customer_id": _strings(customer_bytes(first + loans.customer)),
            "opened_on": _dates(loans.opened),
            "product": _choice(loans.product, _PRODUCTS),
            "closed_on": _dates(_closed_on(b, p)),
            "principal_amount": loans.principal,
            "annual_rate": loans.rate,
            "term_months": loans.term.astype(np.int32),
        }
    )


def _instalments(b: Block, first: int) -> pa.Table:
    plan = b.plan
    return pa.table(
        {
            "account_id": _strings(_account_bytes(b, first)[plan.loan]),
            "instalment_no": plan.number.astype(np.int32),
            "due_date": _dates(plan.due),
            "amount_due": np.round(plan.principal + plan.interest, 2),
            "principal_due": plan.principal,
            "interest_due": plan.interest,
            "known_on": _dates(plan.known),
        }
    )


def draw_payments(rng: np.random.Generator, b: Block) -> Payments:
    """Payments that bring about ``b.course``, known by the last day, sorted by loan and day.

    All money for an instalment comes in its month from day 3 on or later, so that nothing known at the
    month end before tells whether it will be late.
    """
    loan, month = np.nonzero(b.course.due_amount[:, : b.calendar.months] > 0)
    n = len(loan)
    u_day, u_kind, u_part, u_cause, u_back = rng.random((5, n))
    lag_part = rng.integers(0, 2, n)
    late, lag = b.course.late[loan, month], b.course.lag[loan, month]
    due_day = b.loans.due_day[loan]
    due = b.calendar.day(month, due_day)
    amount = b.course.due_amount[loan, month]
    grace = b.calendar.grace_days
    technical = ~late & (u_cause < 0.004)
    bounced = ~technical & (u_back < 0.01) & (due_day >= 15)
    split = ~technical & ~bounced & (u_part < np.where(late, 0.3, 0.03))

    earlier = np.minimum(1 + np.floor(7 * u_day), due_day - 3).astype(np.int64)
    within = np.minimum(1 + np.floor(grace * u_day), grace).astype(np.int64)
    offset = np.where(u_kind < 0.4, 0, np.where(u_kind < 0.85, -earlier, within))
    offset = np.where(bounced, -np.floor(3 * u_day).astype(np.int64), offset)
    offset = np.where(technical, grace + 1 + np.floor(2 * u_day).astype(np.int64), offset)
    offset = np.where(late, b.course.days_late[loan, month], offset)
    paid = due + offset
    lag = np.where(technical, 0, lag)

    share = np.where(split, 0.3 + 0.5 * rng.random(n), 0.0)
    part = np.round(share * amount, 2)
    ahead = np.floor(3 * u_cause).astype(np.int64)
    part_day = np.maximum(np.where(late, due, paid) - ahead, due - due_day + 3)
    s, r = np.flatnonzero(split), np.flatnonzero(bounced)
    back = due[r] - 10 + (u_part[r] < 0.5)
    returned = back + 2 + (u_kind[r] < 0.5)
    order = [np.arange(n), s, r, r]
    rows = np.concatenate(order)
    found = Payments(
        loan=loan[rows],
        month=month[rows],
        paid=np.concatenate([paid, part_day[s], back, returned]),
        amount=np.concatenate([np.round(amount - part, 2), part[s], amount[r], -amount[r]]),
        known=np.concatenate([paid + lag, part_day[s] + lag_part[s], back, returned + 1]),
        technical=np.concatenate([technical, np.zeros(len(rows) - n, dtype=bool)]),
    )
    kept = np.flatnonzero(found.known <= b.calendar.last_day)
    kept = kept[np.lexsort((found.amount[kept], found.month[kept], found.paid[kept], found.loan[kept]))]
    return Payments(
        found.loan[kept],
        found.month[kept],
        found.paid[kept],
        found.amount[kept],
        found.known[kept],
        found.technical[kept],
    )


def _payments(b: Block, p: Payments, first: int) -> pa.Table:
    account = _account_bytes(b, first)[p.loan]
    start = np.searchsorted(p.loan, np.arange(len(b.loans.term)))
    serial = np.arange(len(p.loan)) - start[p.loan] + 1
    number = (p.month - b.loans.open_month[p.loan]).astype(np.int32)
    return pa.table(
        {
            "payment_id": _strings(_joined(account, b"-", _digits(serial, 4))),
            "account_id": _strings(account),
            "paid_on": _dates(p.paid),
            "amount": p.amount,
            "instalment_no": pa.array(number, mask=b.loans.unnamed[p.loan]),
            "known_on": _dates(p.known),
            "technical": p.technical,
        }
    )


def _incomes(b: Block, first: int) -> pa.Table:
    who, month = np.nonzero((b.incomes.amount > 0) & (b.incomes.known <= b.calendar.last_day))
    return pa.table(
        {
            "customer_id": _strings(customer_bytes(first + who)),
            "received_on": _dates(b.incomes.received[who, month]),
            "amount": b.incomes.amount[who, month],
            "kind": _choice(b.people.irregular[who].astype(np.int64), ("salary", "revenue")),
            "known_on": _dates(b.incomes.known[who, month]),
        }
    )


def _borrowings(b: Block, first: int) -> pa.Table:
    reports = b.reports
    # (customer, report, lender): sorted by day within the customer.
    who, report, lender = np.nonzero(reports.exists.transpose(0, 2, 1))
    return pa.table(
        {
            "customer_id": _strings(customer_bytes(first + who)),
            "reported_on": _dates(reports.reported[who, report]),
            "lender_id": _choice(lender, ("SYN-LENDER-1", "SYN-LENDER-2")),
            "balance_amount": reports.balance[who, lender, report],
            "credit_limit_amount": reports.limit[who, lender],
            "monthly_due_amount": reports.monthly[who, lender, report],
            "dpd": reports.dpd[who, lender, report].astype(np.int32),
            "opened_on": _dates(reports.opened[who, lender]),
            "known_on": _dates(reports.known[who, report]),
        }
    )


def _contacts(rng: np.random.Generator, b: Block, first: int) -> pa.Table:
    shape = b.course.arm[:, : b.calendar.months].shape
    reached, later = rng.random(shape), rng.integers(0, 2, shape)
    who, month = np.nonzero(b.course.arm[:, : b.calendar.months] > 0)
    treated = b.course.arm[who, month] == 2
    outcome = np.where(reached[who, month] < 0.7, 1, 0)
    return pa.table(
        {
            "customer_id": _strings(customer_bytes(first + who)),
            "contacted_on": _dates(b.calendar.day(month, 1) + later[who, month]),
            "channel": _choice(np.where(treated, 0, -1), ("sms",)),
            "purpose": _choice(np.zeros(len(who), dtype=np.int64), ("reminder",)),
            "arm": _choice(treated.astype(np.int64), ("holdout", "treated")),
            "outcome": _choice(np.where(treated, outcome, -1), ("no_answer", "reached")),
        }
    )


def _month_ends(calendar: Calendar) -> Ints:
    return calendar.day(np.arange(calendar.months + 1), 1) - 1


def _truth(b: Block, first: int) -> pa.Table:
    course = b.course
    who, month = np.nonzero(course.has_due)
    p = course.p[who, month]
    return pa.table(
        {
            "customer_id": _strings(customer_bytes(first + who)),
            "as_of_date": _dates(_month_ends(b.calendar)[month]),
            "p_overdue": p,
            "log_odds": np.log(p) - np.log1p(-p),
            "p_if_reminded": course.p_reminded[who, month],
            "p_if_not_reminded": course.p_not_reminded[who, month],
        }
    )


def block_tables(rng: np.random.Generator, b: Block, first: int) -> dict[str, pa.Table]:
    """All tables of a block whose first customer has the number ``first``."""
    payments = draw_payments(rng, b)
    return {
        "customers": _customers(b, first),
        "accounts": _accounts(b, payments, first),
        "instalments": _instalments(b, first),
        "payments": _payments(b, payments, first),
        "incomes": _incomes(b, first),
        "borrowings": _borrowings(b, first),
        "contacts": _contacts(rng, b, first),
        "truth": _truth(b, first),
    }
