"""Events of what if, as data: a name, a clause in each language, and an edit of one customer's ledger.

An edit sees the records of one customer as they were known at the end of the as_of date, all later rows
removed, and gives tables with other rows: features are then built from them as from any records. So an event
moves everything that it would move in the ledger, and nothing that it would not.

*Which day.* Something that happens on the as_of date (:func:`pay_arrears`) or would have gone otherwise until
then (:func:`income_falls`) is looked at as of that date. A due that lies ahead can only be paid on its day:
the score is then that as of the day after the last of the dues, on which a due that was not paid is late. By
then everything has aged, so it must not be compared with the score of today: it is compared with the score of
that same day when nothing at all becomes known after the as_of date. An instalment that nobody paid is then
short, as it would be; of a statement that was not written nothing is invented.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import ConfigError
from overdue_ml.explain.edits import append_rows, change_rows, with_tables
from overdue_ml.records import Records, compute_facts

#: Languages in which an event has to say what it is.
LANGUAGES = ("en", "zh")
_MONTHLY = range(27, 33)
#: So many statements left out in a row say that an account has no more.
_MISSED = 3


@dataclass(frozen=True)
class Edit:
    """What an event makes of a ledger.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        The edited tables as a whole; the others stay.
    on : datetime.date
        The day as of which it is looked at; not before the as_of date.
    """

    tables: Mapping[str, pa.Table]
    on: dt.date


@dataclass(frozen=True)
class Event:
    """Something that may happen to a customer's ledger.

    Parameters
    ----------
    name : str
    clause : mapping of str to str
        What happens, in each language, as it ends the words "if ...".
    edit : callable
        Gets the records of one customer as known on a date, and the date; gives an :class:`Edit`, or None
        where there is nothing to edit.
    idle : mapping of str to str
        Why there may be nothing to edit: a sentence in each language.
    group : str
        Of the events of one group at most one stands in a proposed set; empty for none.
    hypothetical : bool
        Nothing that a customer can do: asked for by name, never proposed.

    Raises
    ------
    ConfigError
        If a language has no clause.
    """

    name: str
    clause: Mapping[str, str]
    edit: Callable[[Records, dt.date], Edit | None]
    idle: Mapping[str, str]
    group: str = ""
    hypothetical: bool = False

    def __post_init__(self) -> None:
        for part in (self.clause, self.idle):
            lacking = [lang for lang in LANGUAGES if not part.get(lang)]
            if lacking:
                raise ConfigError(f"the event '{self.name}' has no words in '{lacking[0]}'")


def apply_event(event: Event, records: Records, as_of: dt.date) -> tuple[Records, dt.date] | None:
    """The edited and checked records of one customer, and the day as of which they are looked at.

    Parameters
    ----------
    event : Event
    records : Records
        Of one customer, with nothing known after ``as_of`` but what other events brought.
    as_of : datetime.date

    Returns
    -------
    (Records, datetime.date) or None
        None where there is nothing to edit.

    Raises
    ------
    ConfigError
        If the event looks back, or edits labels or a protected attribute.
    RecordsError
        If its rows break their contract.
    """
    edit = event.edit(records, as_of)
    if edit is None:
        return None
    if edit.on < as_of:
        raise ConfigError(
            f"the event '{event.name}' is looked at as of {edit.on}", expected=f"{as_of} or a later day"
        )
    return with_tables(records, edit.tables), edit.on


def pay_arrears() -> Event:
    """Everything that has fallen due by the as_of date and is short is paid on that day.

    One payment for each such instalment of all accounts, of what it is short by, which names it, is made on
    the as_of date and known at its end. For lenders with instalments and payments: what is paid between two
    statements no statement tells.
    """

    def edit(records: Records, as_of: dt.date) -> Edit | None:
        short = _unsettled(records, as_of)
        return _pay(records, [{**row, "day": as_of} for row in short if row["due_date"] <= as_of], as_of)

    return Event(
        "pay_arrears",
        {"en": "everything that has fallen due is paid today", "zh": "已到期未付的款项今日全部付清"},
        edit,
        {"en": "Nothing that has fallen due is unpaid.", "zh": "没有已到期而未付的款项。"},
    )


def pay_next_dues(number: int = 2) -> Event:
    """What falls due on the next due dates is paid on these days; older arrears stay.

    The next ``number`` due dates on which any account has something still to be paid, and everything that
    falls due until the last of them. A payment names its instalment, is made on its due date and known at the
    end of it. Looked at as of the day after the last of these dates. For lenders with instalments and
    payments.

    Parameters
    ----------
    number : int, default 2
        Due dates, 1 to 12.
    """
    _check_number(number)

    def edit(records: Records, as_of: dt.date) -> Edit | None:
        ahead = [row for row in _unsettled(records, as_of) if row["due_date"] > as_of]
        days = sorted({row["due_date"] for row in ahead})[:number]
        if len(days) < number:
            return None
        paid = [{**row, "day": row["due_date"]} for row in ahead if row["due_date"] <= days[-1]]
        return _pay(records, paid, days[-1] + dt.timedelta(days=1))

    one = number == 1
    return Event(
        f"pay_next_dues:{number}",
        {
            "en": "the next due is paid on time" if one else f"the next {number} dues are paid on time",
            "zh": "下一期款项按时还清" if one else f"接下来{number}期款项均按时还清",
        },
        edit,
        {
            "en": "No due that lies ahead is known."
            if one
            else f"Fewer than {number} dues that lie ahead are known.",
            "zh": "没有已知的未来应还款项。" if one else f"已知的未来应还款项不足{number}期。",
        },
        group="next",
    )


def pay_next_statements(number: int = 1) -> Event:
    """The next statements show the balance before as paid in full, and as much spending as the latest.

    Each open account gets ``number`` statements more, at the pace of its statements (monthly unless the
    latest two lie otherwise apart); one of which three in a row were not written gets none. Each shows 0 days
    past due, the whole balance before as paid, and as balance what was newly spent on the latest statement;
    limit, and the days until it is due and known, are as there. Where payments of the account are on record
    these are too: each balance is paid on its due date. Looked at as of the day on which the last is known.
    For lenders with statements.

    Parameters
    ----------
    number : int, default 1
        Statements of each account, 1 to 12.
    """
    _check_number(number)

    def edit(records: Records, as_of: dt.date) -> Edit | None:
        rows, payments = [], []
        for account in _open_accounts(records, as_of):
            coming = _statements(records, account, number, as_of)
            payments += _payments_shown(records, account, coming, as_of)
            rows += coming
        known = [row.get("known_on") or row["statement_date"] for row in rows]
        if not rows or max(known) <= as_of:
            return None
        tables = {"statements": append_rows(records, "statements", pd.DataFrame(rows))}
        if payments:
            tables["payments"] = append_rows(records, "payments", pd.DataFrame(payments))
        return Edit(tables, max(known))

    one = number == 1
    return Event(
        f"pay_next_statements:{number}",
        {
            "en": "the coming statement shows payment in full and spending as before"
            if one
            else f"the next {number} statements show payment in full and spending as before",
            "zh": "下一期账单显示已全额还款，消费保持不变"
            if one
            else f"接下来{number}期账单均显示已全额还款，消费保持不变",
        },
        edit,
        {"en": "No open account has a recent statement.", "zh": "没有未结清账户的近期账单记录。"},
        group="next",
    )


def income_falls(share: float = 0.2, days: int = 90) -> Event:
    """The incomes of the latest days had been lower by a share: a question only, nothing to be proposed.

    Parameters
    ----------
    share : float, default 0.2
        Above 0, at most 1.
    days : int, default 90
        Incomes received in (as_of - days, as_of].
    """
    if not 0 < share <= 1 or days < 1:
        raise ConfigError(
            f"incomes of {days} days cannot fall by {share:g}", expected="a share above 0, up to 1"
        )

    def edit(records: Records, as_of: dt.date) -> Edit | None:
        if "incomes" not in records:
            return None
        table = records.tables["incomes"]
        first = pa.scalar(as_of - dt.timedelta(days=days), pa.date32())
        hit = pc.and_(
            pc.greater(table.column("received_on"), first), pc.less_equal(table.column("received_on"), as_of)
        )
        if not pc.any(hit).as_py():
            return None
        amount = table.column("amount")
        lower = pc.if_else(hit, pc.multiply(amount, 1.0 - share), amount)
        place = table.column_names.index("amount")
        return Edit({"incomes": table.set_column(place, "amount", lower)}, as_of)

    percent = f"{100 * share:g}"
    return Event(
        f"income_falls:{share:g}",
        {
            "en": f"the incomes of the latest {days} days had been lower by {percent} %",
            "zh": f"最近{days}天的收入减少{percent}%",
        },
        edit,
        {"en": f"No income of the latest {days} days is known.", "zh": f"最近{days}天没有已知的收入。"},
        hypothetical=True,
    )


def ledger_event(
    name: str,
    clause: Mapping[str, str],
    *,
    append: Mapping[str, pd.DataFrame] | None = None,
    change: Mapping[str, pd.DataFrame] | None = None,
    on: dt.date | None = None,
) -> Event:
    """An event of one's own: rows to append and cells to change, table by table.

    Parameters
    ----------
    name : str
    clause : mapping of str to str
        What happens, as it ends the words "if ..."; of 'en' and 'zh' one may stand for the other.
    append : mapping of str to DataFrame, optional
        New rows; see :func:`overdue_ml.explain.edits.append_rows`.
    change : mapping of str to DataFrame, optional
        Keys and cells; see :func:`overdue_ml.explain.edits.change_rows`.
    on : datetime.date, optional
        The day as of which it is looked at; the as_of date by default.

    Returns
    -------
    Event
        Its rows are held to the contracts when it is applied. What it changes of the past can be asked for
        and is never proposed.

    Raises
    ------
    ConfigError
        If there is nothing to edit, or no clause.
    """
    if not append and not change:
        raise ConfigError(f"the event '{name}' edits nothing", expected="rows to append or to change")
    words = next((text for text in clause.values() if text), "")

    def edit(records: Records, as_of: dt.date) -> Edit:
        tables: dict[str, pa.Table] = {}
        for table, rows in (change or {}).items():
            tables[table] = change_rows(records, table, rows)
        for table, rows in (append or {}).items():
            own = replace(records, tables={**records.tables, **tables})
            tables[table] = append_rows(own, table, rows)
        return Edit(tables, on or as_of)

    return Event(
        name,
        {lang: clause.get(lang) or words for lang in LANGUAGES},
        edit,
        {"en": "There is nothing to edit.", "zh": "没有可修改的记录。"},
    )


def standard_events() -> list[Event]:
    """What a customer can do, and may be proposed, for lenders of both kinds."""
    return [
        pay_arrears(), pay_next_dues(1), pay_next_dues(2), pay_next_dues(3), pay_next_statements(1),
        pay_next_statements(2), pay_next_statements(3),
    ]  # fmt: skip


_NAMED: dict[str, Callable[..., Event]] = {
    "pay_arrears": pay_arrears,
    "pay_next_dues": lambda number="2": pay_next_dues(int(number)),
    "pay_next_statements": lambda number="1": pay_next_statements(int(number)),
    "income_falls": lambda share="0.2": income_falls(float(share)),
}


def event_named(text: str) -> Event:
    """The event of the package that a name stands for, as ``pay_next_dues:2`` or ``income_falls:0.2``.

    Raises
    ------
    ConfigError
        If there is none.
    """
    name, colon, number = text.partition(":")
    try:
        return _NAMED[name](number) if colon else _NAMED[name]()
    except (KeyError, ValueError, TypeError):
        raise ConfigError(
            f"'{text}' names no event",
            expected="pay_arrears, pay_next_dues:2, pay_next_statements:1 or income_falls:0.2",
        ) from None


def _check_number(number: int) -> None:
    if not 1 <= number <= 12:
        raise ConfigError(f"the number of dues is {number}", expected="1 to 12")


def _unsettled(records: Records, as_of: dt.date) -> list[dict[str, Any]]:
    """Instalments known on the date that stay short when all that is in the ledger by now has been paid."""
    if "instalments" not in records or "payments" not in records:
        return []
    dates = records.tables["instalments"].column("due_date")
    paid = records.tables["payments"].column("paid_on")
    ends = [day for day in (pc.max(dates).as_py(), pc.max(paid).as_py(), as_of) if day is not None]
    # The lender may know of a payment later than it is made.
    horizon = max(ends) + dt.timedelta(days=records.config.posting_lag_days)
    facts = compute_facts(records, horizon).to_pylist()
    return [row for row in facts if not row["is_settled"] and row["shortfall_amount"] > 0]


def _pay(records: Records, rows: Sequence[Mapping[str, Any]], on: dt.date) -> Edit | None:
    """Payments of what instalments are short by, each on its ``day``."""
    if not rows:
        return None
    paid = {
        "account_id": [row["account_id"] for row in rows],
        "paid_on": [row["day"] for row in rows],
        "amount": [row["shortfall_amount"] for row in rows],
        "instalment_no": [row["instalment_no"] for row in rows],
        "known_on": [row["day"] for row in rows],
    }
    if "technical" in records.columns("payments"):
        paid["technical"] = [False] * len(rows)
    return Edit({"payments": append_rows(records, "payments", pd.DataFrame(paid))}, on)


def _open_accounts(records: Records, as_of: dt.date) -> list[str]:
    if "statements" not in records:
        return []
    return [
        row["account_id"]
        for row in records.tables["accounts"].to_pylist()
        if row.get("closed_on") is None or row["closed_on"] > as_of
    ]


def _statements(records: Records, account: str, number: int, as_of: dt.date) -> list[dict[str, Any]]:
    """The next statements of an account if its balances are paid and as much is spent as on the latest.

    None of an account that has had none for so long that nobody would wait for the next.
    """
    own = records.tables["statements"]
    rows = own.filter(pc.equal(own.column("account_id"), account)).to_pylist()
    rows.sort(key=lambda row: row["statement_date"])
    if not rows:
        return []
    last, spent = rows[-1], _spent(rows)
    found: list[dict[str, Any]] = []
    balance, day = last.get("balance_amount") or 0.0, last["statement_date"]
    posted = (last.get("known_on") or day) - day
    waited = 0
    # Those that would be known by now were not written.
    while _next_date(day, rows) + posted <= as_of:
        day, waited = _next_date(day, rows), waited + 1
        if waited == _MISSED:
            return []
    for _ in range(number):
        day, paid = _next_date(day, rows), max(balance, 0.0)
        # What is in credit stays so, less what is spent.
        balance = balance - paid + spent
        new = {
            "account_id": account, "statement_date": day, "balance_amount": balance, "dpd": 0,
            "paid_amount": paid, "payment_behaviour": "paid_in_full",
            "credit_limit_amount": last.get("credit_limit_amount"),
            "minimum_due_amount": _in_proportion(last, max(balance, 0.0)),
        }  # fmt: skip
        for name in ("due_date", "known_on"):
            later = None if last.get(name) is None else last[name] - last["statement_date"]
            new[name] = None if later is None else day + later
        found.append({name: value for name, value in new.items() if name in own.column_names})
    return found


def _payments_shown(
    records: Records, account: str, coming: Sequence[Mapping[str, Any]], as_of: dt.date
) -> list[dict[str, Any]]:
    """The payments that coming statements of an account show, less what has been paid since the latest.

    None where the account has no payment on record: its lender keeps them elsewhere.
    """
    if "payments" not in records or not coming or "paid_amount" not in coming[0]:
        return []
    own = [row for row in records.tables["payments"].to_pylist() if row["account_id"] == account]
    if not own:
        return []
    statements = records.tables["statements"].to_pylist()
    before = max((s for s in statements if s["account_id"] == account), key=lambda s: s["statement_date"])
    since = sum(row["amount"] for row in own if row["paid_on"] > before["statement_date"])
    found = []
    for statement in coming:
        day = before.get("due_date") or statement["statement_date"]
        # Not in the past, and if it can be on the statement, not after it.
        day = max(min(day, statement["statement_date"]), as_of + dt.timedelta(days=1))
        amount = statement["paid_amount"] - max(since, 0.0)
        if amount > 0:
            found.append({"account_id": account, "paid_on": day, "amount": amount, "known_on": day})
            if "technical" in records.columns("payments"):
                found[-1]["technical"] = False
        before, since = statement, 0.0
    return found


def _spent(rows: Sequence[Mapping[str, Any]]) -> float:
    """Newly spent on the latest statement; its whole balance where nothing stood before."""
    balance = rows[-1].get("balance_amount") or 0.0
    before = (rows[-2].get("balance_amount") or 0.0) if len(rows) > 1 else 0.0
    return float(max(balance - before + (rows[-1].get("paid_amount") or 0.0 if len(rows) > 1 else 0.0), 0.0))


def _in_proportion(last: Mapping[str, Any], balance: float) -> float | None:
    minimum, before = last.get("minimum_due_amount"), last.get("balance_amount")
    return None if minimum is None or not before or before < 0 else float(minimum * balance / before)


def _next_date(day: dt.date, rows: Sequence[Mapping[str, Any]]) -> dt.date:
    """A month later, from month end to month end; other paces by the days between the latest two."""
    gap = (rows[-1]["statement_date"] - rows[-2]["statement_date"]).days if len(rows) > 1 else 30
    if gap not in _MONTHLY:
        return day + dt.timedelta(days=gap)
    year, month = divmod(day.year * 12 + day.month, 12)
    end = calendar.monthrange(year, month + 1)[1]
    is_end = day.day == calendar.monthrange(day.year, day.month)[1]
    return dt.date(year, month + 1, end if is_end else min(day.day, end))
