"""Events of what if from a YAML file: payments, incomes, debts, limits and rows of one's own.

Every event says under ``event`` what it is; amounts are in the currency of the records, days are written
YYYY-MM-DD. An event of a later day is looked at as of that day, any other as of the as_of date.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator

from overdue_ml.config import build_config, read_yaml
from overdue_ml.errors import ConfigError
from overdue_ml.explain.edits import append_rows, change_rows
from overdue_ml.explain.events import Edit, Event, event_named, ledger_event
from overdue_ml.records import Records
from overdue_ml.records.dates import parse_date

_IDLE = {"en": "There is nothing to edit.", "zh": "没有可修改的记录。"}
_Rows = dict[str, list[dict[str, str | int | float | bool | None]]]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @field_validator("on", check_fields=False)
    @classmethod
    def _is_a_day(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                parse_date(text)
            except ConfigError:
                raise ValueError("a day that exists, written YYYY-MM-DD, is expected") from None
        return text


class PaymentSpec(_Spec):
    """A payment, or with a negative amount a reversal.

    Parameters
    ----------
    amount : float
        Not 0.
    on : str
        The day on which it is made, and known.
    account : str, optional
        Needed where the customer has several open accounts.
    instalment_no : int, optional
        The instalment that it names; otherwise the oldest unpaid first.
    """

    event: Literal["payment"]
    amount: float
    on: str
    account: str | None = None
    instalment_no: int | None = Field(default=None, ge=0)

    @field_validator("amount")
    @classmethod
    def _is_something(cls, amount: float) -> float:
        if not amount:
            raise ValueError("an amount other than 0 is expected")
        return amount


class IncomeSpec(_Spec):
    """An income received on a day.

    Parameters
    ----------
    amount : float
    on : str
    kind : str, optional
        As in the records: salary, pension, revenue...
    """

    event: Literal["income"]
    amount: float = Field(gt=0)
    on: str
    kind: str | None = None


class BorrowingSpec(_Spec):
    """A report of a debt elsewhere.

    Parameters
    ----------
    balance_amount : float
    on : str
        The day on which it is reported.
    lender_id : str
        That of a lender in the records makes it this lender's latest report.
    monthly_due_amount, dpd : optional
    """

    event: Literal["borrowing"]
    balance_amount: float = Field(ge=0)
    on: str
    lender_id: str = "WHAT_IF"
    monthly_due_amount: float | None = Field(default=None, ge=0)
    dpd: int | None = Field(default=None, ge=0)


class LimitSpec(_Spec):
    """Another credit limit from the as_of date on.

    Parameters
    ----------
    amount : float
    account : str, optional
        Needed where the customer has several open accounts.
    """

    event: Literal["limit"]
    amount: float = Field(ge=0)
    account: str | None = None


class StandardSpec(_Spec):
    """An event of the package by its name, as ``pay_next_dues:2``."""

    event: Literal["standard"]
    name: str


class LedgerSpec(_Spec):
    """Rows to append and cells to change; see :func:`overdue_ml.explain.ledger_event`.

    Parameters
    ----------
    name : str
    en, zh : str
        What happens, as it ends the words "if ..."; one may stand for the other.
    append, change : mapping of table to list of rows
    on : str, optional
        The day as of which it is looked at.
    """

    event: Literal["ledger"]
    name: str = Field(min_length=1)
    en: str = ""
    zh: str = ""
    append: _Rows = {}
    change: _Rows = {}
    on: str | None = None


_Any = PaymentSpec | IncomeSpec | BorrowingSpec | LimitSpec | StandardSpec | LedgerSpec


class EventFile(_Spec):
    """The file as a whole: a list under ``events``, applied in its order."""

    events: list[Annotated[_Any, Field(discriminator="event")]] = Field(min_length=1)


def load_events(path: Path) -> list[Event]:
    """Events from a YAML file.

    Parameters
    ----------
    path : Path
        ``events:`` and a list; each item says under ``event`` whether it is a payment, income, borrowing,
        limit, standard or ledger event.

    Returns
    -------
    list of Event

    Raises
    ------
    ConfigError
        Naming each key that is unknown, missing, of the wrong type or out of range.
    """
    file = build_config(EventFile, read_yaml(path), where=str(path))
    return [event_of(spec) for spec in file.events]


def event_of(spec: _Any) -> Event:
    """The event that an item of the file stands for.

    Raises
    ------
    ConfigError
        If a standard event is unknown, or a ledger event edits nothing.
    """
    if isinstance(spec, StandardSpec):
        return event_named(spec.name)
    if isinstance(spec, LedgerSpec):
        return ledger_event(
            spec.name,
            {"en": spec.en or spec.zh or spec.name, "zh": spec.zh or spec.en or spec.name},
            append={table: pd.DataFrame(rows) for table, rows in spec.append.items()},
            change={table: pd.DataFrame(rows) for table, rows in spec.change.items()},
            on=None if spec.on is None else parse_date(spec.on),
        )
    if isinstance(spec, PaymentSpec):
        return _payment(spec)
    if isinstance(spec, IncomeSpec):
        return _income(spec)
    return _borrowing(spec) if isinstance(spec, BorrowingSpec) else _limit(spec)


def _own(name: str, en: str, zh: str, edit: Callable[[Records, dt.date], Edit | None]) -> Event:
    # Hypothetical: what a file says is asked for, never proposed by the package.
    return Event(name, {"en": en, "zh": zh}, edit, _IDLE, hypothetical=True)


def _payment(spec: PaymentSpec) -> Event:
    day, shown = parse_date(spec.on), _shown(abs(spec.amount))

    def edit(records: Records, as_of: dt.date) -> Edit:
        row: dict[str, Any] = {
            "account_id": _account(records, spec.account, as_of),
            "paid_on": day,
            "amount": spec.amount,
            "known_on": day,
        }
        if spec.instalment_no is not None:
            row["instalment_no"] = spec.instalment_no
        return _appended(records, "payments", row, max(day, as_of))

    if spec.amount > 0:
        return _own(f"payment:{shown}", f"{shown} is paid on {day}", f"于{day}还款{shown}", edit)
    return _own(f"reversal:{shown}", f"{shown} is reversed on {day}", f"于{day}冲回{shown}", edit)


def _income(spec: IncomeSpec) -> Event:
    day, shown = parse_date(spec.on), _shown(spec.amount)

    def edit(records: Records, as_of: dt.date) -> Edit:
        row = {"customer_id": _customer(records), "received_on": day, "amount": spec.amount, "known_on": day}
        if spec.kind is not None:
            row["kind"] = spec.kind
        return _appended(records, "incomes", row, max(day, as_of))

    return _own(f"income:{shown}", f"an income of {shown} comes on {day}", f"于{day}收入{shown}", edit)


def _borrowing(spec: BorrowingSpec) -> Event:
    day, shown = parse_date(spec.on), _shown(spec.balance_amount)

    def edit(records: Records, as_of: dt.date) -> Edit:
        cells = spec.model_dump(exclude={"event", "on"}, exclude_none=True)
        row = {"customer_id": _customer(records), "reported_on": day, "known_on": day} | cells
        return _appended(records, "borrowings", row, max(day, as_of))

    return _own(
        f"borrowing:{shown}",
        f"a debt of {shown} elsewhere is reported on {day}",
        f"于{day}报告他处负债{shown}",
        edit,
    )


def _limit(spec: LimitSpec) -> Event:
    shown = _shown(spec.amount)

    def edit(records: Records, as_of: dt.date) -> Edit:
        account = _account(records, spec.account, as_of)
        cell = {"account_id": [account], "credit_limit_amount": [spec.amount]}
        tables = {"accounts": change_rows(records, "accounts", pd.DataFrame(cell))}
        latest = _latest_with_limit(records, account)
        if latest is not None:
            rows = pd.DataFrame(cell | {"statement_date": [latest]})
            tables["statements"] = change_rows(records, "statements", rows)
        return Edit(tables, as_of)

    return _own(f"limit:{shown}", f"the credit limit is {shown}", f"授信额度为{shown}", edit)


def _latest_with_limit(records: Records, account: str) -> dt.date | None:
    """The date of an account's latest statement, if that says a limit of its own."""
    if "statements" not in records or "credit_limit_amount" not in records.columns("statements"):
        return None
    table = records.tables["statements"]
    own = table.filter(pc.equal(table.column("account_id"), account)).to_pylist()
    last = max(own, key=lambda row: row["statement_date"], default=None)
    return None if last is None or last["credit_limit_amount"] is None else last["statement_date"]


def _appended(records: Records, table: str, row: dict[str, Any], on: dt.date) -> Edit:
    return Edit({table: append_rows(records, table, pd.DataFrame([row]))}, on)


def _customer(records: Records) -> str:
    return str(records.tables["accounts"].column("customer_id")[0].as_py())


def _account(records: Records, wanted: str | None, as_of: dt.date) -> str:
    """The account that is meant; without a name the customer's only open one."""
    rows: Sequence[dict[str, Any]] = records.tables["accounts"].to_pylist()
    known = [row["account_id"] for row in rows]
    if wanted is not None:
        if wanted in known:
            return wanted
        raise ConfigError(
            f"account '{wanted[:80]}' is none of the customer's",
            next_step="check the id character by character; leading zeros count",
        )
    is_open = [r["account_id"] for r in rows if r.get("closed_on") is None or r["closed_on"] > as_of]
    if len(is_open) != 1:
        raise ConfigError(
            f"the customer has {len(is_open)} open accounts, and the event names none",
            expected="'account:' with the id of one of them",
        )
    return str(is_open[0])


def _shown(amount: float) -> str:
    return f"{amount:,.2f}".removesuffix(".00")
