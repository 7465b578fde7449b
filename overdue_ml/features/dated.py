"""Views of dated rows: payments one by one, and the versions of a plan, as sorted arrays.

Unlike the states of instalments they need no settlement: a row is known from a day on and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.engine import NEVER, Events
from overdue_ml.features.program import FloatArray, IntArray
from overdue_ml.features.rows import number_cells, sort_rows, sortable, starts_of
from overdue_ml.records import Records
from overdue_ml.records.known import account_places, day_numbers, known_days

if TYPE_CHECKING:
    from overdue_ml.features.declare import Feature
    from overdue_ml.features.keys import Keys


@dataclass(frozen=True)
class Rows:
    """Rows of a table, each with the number of its account and the day from which it was known.

    Attributes
    ----------
    table : pyarrow.Table
    account : ndarray of int64, shape (n_rows,)
        Below zero: not one of the accounts.
    known_day : ndarray of int64, shape (n_rows,)
    """

    table: pa.Table
    account: IntArray
    known_day: IntArray

    def days(self, column: str) -> IntArray:
        """A column of dates, as days since 1970-01-01."""
        return day_numbers(self.table[column])

    def cells(self, column: str) -> FloatArray:
        """A column of numbers."""
        return number_cells(self.table[column])

    @cached_property
    def _versions(self) -> tuple[IntArray | slice, np.ndarray]:
        """Versions in the order in which settlement has them, and which of them supersede the one before."""
        number = self.table["instalment_no"].to_numpy().astype(np.int64)
        amount = sortable(self.cells("amount_due"))
        order = sort_rows(self.account, [number, self.known_day, self.days("due_date"), amount])
        account, number = self.account[order], number[order]
        same = np.append(False, (account[1:] == account[:-1]) & (number[1:] == number[:-1]))
        return order, same[: len(account)]

    def is_change(self) -> FloatArray:
        """1 for a version that supersedes another."""
        order, supersedes = self._versions
        found = np.zeros(len(self.account))
        found[order] = supersedes
        return found

    def change_of(self, values: FloatArray) -> FloatArray:
        """What the values of a version are above those of the one that it supersedes, if any; else 0."""
        order, supersedes = self._versions
        found = np.zeros(len(self.account))
        found[order] = np.where(supersedes, np.diff(values[order], prepend=0.0), 0.0)
        return found


@dataclass(frozen=True)
class DatedView:
    """A view whose events are rows of one table.

    Parameters
    ----------
    table : str
    needs : frozenset of str
        Columns of the table without which there is no such view.
    day : callable
        Of :class:`Rows`: the day of each event.
    columns : mapping of str to callable
        Of :class:`Rows`: each column that a measure may read.
    order : callable
        Of :class:`Rows`: by which events of one account and day are sorted, all that the columns read.
    """

    table: str
    needs: frozenset[str]
    day: Callable[[Rows], IntArray]
    columns: Mapping[str, Callable[[Rows], FloatArray]]
    order: Callable[[Rows], list[IntArray]]


DATED_VIEWS: Mapping[str, DatedView] = {
    "payments": DatedView(
        "payments",
        frozenset({"paid_on", "amount"}),
        lambda rows: rows.days("paid_on"),
        {
            "amount": lambda rows: rows.cells("amount"),
            "paid_day": lambda rows: rows.days("paid_on").astype(np.float64),
            "month_day": lambda rows: number_cells(pc.day(rows.table["paid_on"])),
        },
        lambda rows: [sortable(rows.cells("amount"))],
    ),
    "versions": DatedView(
        "instalments",
        frozenset({"due_date", "amount_due", "instalment_no"}),
        lambda rows: rows.known_day,
        {
            "is_change": Rows.is_change,
            "put_off_days": lambda rows: rows.change_of(rows.days("due_date").astype(np.float64)),
            "amount_change": lambda rows: rows.change_of(rows.cells("amount_due")),
        },
        lambda rows: [
            rows.table["instalment_no"].to_numpy().astype(np.int64),
            rows.days("due_date"),
            sortable(rows.cells("amount_due")),
        ],
    ),
}


def missing_from_dated(feature: Feature, records: Records) -> set[str]:
    """Columns that a feature of such a view lacks, as ``table.column``."""
    view = DATED_VIEWS[feature.measure.view]
    missing = view.needs - set(records.columns(view.table))
    return {f"{view.table}.{column}" for column in missing | (feature.columns - set(view.columns))}


def dated_events(records: Records, keys: Keys, view: str, columns: list[str]) -> Events:
    """Rows of a view as sorted arrays, accounts grouped under the customers of ``keys``.

    Parameters
    ----------
    records : Records
    keys : Keys
    view : str
        One of ``DATED_VIEWS``.
    columns : list of str
        Columns of the view.
    """
    declared = DATED_VIEWS[view]
    number, place = _numbered_accounts(records, keys)
    # One more, for the rows of no account.
    account = np.append(number, -1)[account_places(records, declared.table)]
    rows = Rows(records.tables[declared.table], account, known_days(records, declared.table))
    event_day = declared.day(rows)
    order = sort_rows(account, [event_day, rows.known_day, *declared.order(rows)])
    account = account[order]
    values = np.empty((len(account), len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = declared.columns[name](rows)[order]
    first = starts_of(account)
    return Events(
        columns=tuple(columns),
        values=values,
        event_day=event_day[order],
        known_day=rows.known_day[order],
        until_day=np.full(len(account), NEVER),
        account_start=first,
        customer_start=np.searchsorted(place[account[first[:-1]]], np.arange(len(keys.customer_ids) + 1)),
    )


def _numbered_accounts(records: Records, keys: Keys) -> tuple[IntArray, IntArray]:
    """A number for each account by customer and account_id, -1 for other customers; and the customers."""
    accounts = records.tables["accounts"]
    place, ids = keys.places_of(accounts["customer_id"]), accounts["account_id"]
    by_id = pc.sort_indices(ids).to_numpy() if pc.any(pc.less(ids[1:], ids[:-1])).as_py() else slice(None)
    order = np.arange(len(place))[by_id]
    order = order[np.argsort(place[order], kind="stable")]
    order = order[place[order] >= 0]
    number = np.full(len(place), -1, dtype=np.int64)
    number[order] = np.arange(len(order))
    return number, place[order]
