"""The views of tables that are about the customer and not an account: incomes, and debts elsewhere.

Incomes stand under the customer. Reports on debts elsewhere stand under the lender that gave them, as events
of accounts do under their account; those without a lender are one lender's. What a lender reported for one
day is one report: its debts add up, a report of that day that became known later replaces it, and a debt
counts as open until the day on which it was closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.declare import Feature
from overdue_ml.features.engine import NEVER, Events
from overdue_ml.features.program import FloatArray, IntArray
from overdue_ml.features.rows import number_cells, sort_rows, sortable, text_codes
from overdue_ml.records import Records
from overdue_ml.records._sessions import open_session
from overdue_ml.records.known import day_numbers, known_days, places_in


@dataclass(frozen=True)
class Rows:
    """Rows of incomes, or of debts in reports, each from the day on which it stood so.

    Attributes
    ----------
    table : pyarrow.Table
    told_day, from_day : ndarray of int64, shape (n_rows,)
        When the row was known, and from when on it stands so: a debt that was closed stands again.
    is_open : ndarray of bool, shape (n_rows,)
    """

    table: pa.Table
    told_day: IntArray
    from_day: IntArray
    is_open: np.ndarray

    def cells(self, column: str) -> FloatArray:
        """A column of numbers; NaN for null."""
        return number_cells(self.table[column])

    def of_open(self, column: str) -> FloatArray:
        """A column of numbers; 0 for what is closed."""
        return np.where(self.is_open, self.cells(column), 0.0)

    def open_days(self) -> FloatArray:
        """Days from the opening to the report; NaN where it lies after the day on which the row was known."""
        opened = day_numbers(self.table["opened_on"])
        reported = day_numbers(self.table["reported_on"])
        return np.where(opened <= self.told_day, reported - opened, np.nan)

    def is_kind(self, *kinds: str) -> FloatArray:
        """1 where an income is of one of the kinds; NaN where nothing is said of it."""
        kind = self.table["kind"]
        found = number_cells(pc.is_in(kind, value_set=pa.array(kinds, kind.type)))
        return np.where(kind.is_valid().to_numpy(), found, np.nan)


@dataclass(frozen=True)
class PeopleColumn:
    """A column of a view of a customer's own events.

    Parameters
    ----------
    values : callable
        Of :class:`Rows`.
    needs : frozenset of str
        Columns of the table.
    ages : {0, 1, -1}
        Whether NaN stands for the days since the event on the as_of date, or until it.
    of_debts : {'max', 'min', 'sum'}
        What becomes of the debts of one report; a null is passed over.
    """

    values: Callable[[Rows], FloatArray]
    needs: frozenset[str]
    ages: int = 0
    of_debts: Literal["max", "min", "sum"] = "max"


def _added_up(column: str) -> PeopleColumn:
    return PeopleColumn(lambda rows: rows.of_open(column), frozenset({column}), of_debts="sum")


_INCOMES: Mapping[str, PeopleColumn] = {
    "amount": PeopleColumn(lambda rows: rows.cells("amount"), frozenset({"amount"})),
    "received_day": PeopleColumn(
        lambda rows: day_numbers(rows.table["received_on"]).astype(np.float64), frozenset({"received_on"})
    ),
    "is_regular": PeopleColumn(lambda rows: rows.is_kind("salary", "pension"), frozenset({"kind"})),
    "is_revenue": PeopleColumn(lambda rows: rows.is_kind("revenue"), frozenset({"kind"})),
}
_BORROWINGS: Mapping[str, PeopleColumn] = {
    "balance_amount": _added_up("balance_amount"),
    "credit_limit_amount": _added_up("credit_limit_amount"),
    "monthly_due_amount": _added_up("monthly_due_amount"),
    "dpd": PeopleColumn(lambda rows: rows.of_open("dpd"), frozenset({"dpd"})),
    "is_open": PeopleColumn(lambda rows: rows.is_open.astype(np.float64), frozenset({"reported_on"})),
    "newest_days": PeopleColumn(Rows.open_days, frozenset({"opened_on"}), of_debts="min"),
    "oldest_days": PeopleColumn(Rows.open_days, frozenset({"opened_on"})),
    "report_days": PeopleColumn(
        lambda rows: np.full(len(rows.told_day), np.nan), frozenset({"reported_on"}), ages=1
    ),
}
#: Columns of each view; a view has the name of its table.
PEOPLE_COLUMNS: Mapping[str, Mapping[str, PeopleColumn]] = {"incomes": _INCOMES, "borrowings": _BORROWINGS}
_EVENT = {"incomes": "received_on", "borrowings": "reported_on"}


def people_needs(feature: Feature) -> set[str]:
    """Columns that a feature of these views reads, as ``table.column``.

    One that the view does not have is named as if the table should have it.
    """
    view = feature.measure.view
    needs = {_EVENT[view]}
    for name in feature.columns:
        column = PEOPLE_COLUMNS[view].get(name)
        needs |= column.needs if column else {name}
    return {f"{view}.{name}" for name in needs}


def people_events(records: Records, customer_ids: np.ndarray, view: str, columns: list[str]) -> Events:
    """A view as sorted arrays, lenders (or the one list of incomes) grouped under the customers.

    Parameters
    ----------
    records : Records
    customer_ids : ndarray of str, shape (n_customers,)
        Sorted, each once; those without an event have no group.
    view : {'incomes', 'borrowings'}
    columns : list of str
        Of ``PEOPLE_COLUMNS[view]``.
    """
    rows = _incomes(records) if view == "incomes" else _borrowings(records)
    place = places_in(pa.array(customer_ids, pa.string()), rows.table["customer_id"])
    event_day, known_day = day_numbers(rows.table[_EVENT[view]]), rows.from_day
    lender = text_codes(rows.table["lender_id"]) if "lender_id" in rows.table.column_names else None
    if view == "incomes":
        order = _order_of_incomes(rows, place, event_day)
    else:
        order = sort_rows(place, [key for key in (lender, event_day, known_day) if key is not None])
    place, event_day, known_day = place[order], event_day[order], known_day[order]
    values = np.empty((len(place), len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = PEOPLE_COLUMNS[view][name].values(rows)[order]
    starts_group = _changes(place) if lender is None else _changes(place) | _changes(lender[order])
    until_day = np.full(len(place), NEVER)
    if view == "borrowings":
        starts_report = starts_group | _changes(event_day)
        first = np.flatnonzero(starts_report | _changes(known_day))
        values = _add_up_debts(values, first, [_BORROWINGS[name].of_debts for name in columns])
        place, event_day, known_day = place[first], event_day[first], known_day[first]
        starts_group, is_replaced = starts_group[first], np.append(~starts_report[first][1:], False)
        until_day = np.where(is_replaced, np.append(known_day[1:], NEVER), NEVER)[: len(first)]
    group_first = np.flatnonzero(starts_group)
    return Events(
        columns=tuple(columns),
        values=values,
        event_day=event_day,
        known_day=known_day,
        until_day=until_day,
        account_start=np.append(group_first, len(place)).astype(np.int64),
        customer_start=np.searchsorted(place[group_first], np.arange(len(customer_ids) + 1)).astype(np.int64),
        ageing={c: PEOPLE_COLUMNS[view][c].ages for c in columns if PEOPLE_COLUMNS[view][c].ages},
    )


def _changes(values: IntArray) -> np.ndarray:
    """Where a value differs from the one before; the first one always does."""
    return np.append(True, values[1:] != values[:-1])[: len(values)]


def _add_up_debts(values: FloatArray, first: IntArray, how: list[str]) -> FloatArray:
    """The debts of each state of a report, which begins in ``first``, in one row."""
    # Adding 0 makes -0 a 0, as adding up does.
    if len(first) == len(values):
        return values + 0.0
    found = np.empty((len(first), values.shape[1]))
    state = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(values))))
    for i, fold in enumerate(how):
        column = values[:, i]
        if fold == "sum":
            # In the order of their size, so that the order of rows changes no bit of the sum.
            order = np.lexsort((column, state))
            order = order[~np.isnan(column[order])]
            found[:, i] = np.bincount(state[order], column[order], minlength=len(first))
            found[np.bincount(state[order], minlength=len(first)) == 0, i] = np.nan
        else:
            found[:, i] = (np.fmax if fold == "max" else np.fmin).reduceat(column, first) + 0.0
    return found


def _incomes(records: Records) -> Rows:
    table, told = records.tables["incomes"], known_days(records, "incomes")
    return Rows(table, told, told, np.ones(len(told), dtype=np.bool_))


def _order_of_incomes(rows: Rows, place: IntArray, event_day: IntArray) -> IntArray | slice:
    """Those of one day from the smallest to the largest, and by kind where that leaves a choice."""
    keys = [event_day, rows.from_day, sortable(rows.cells("amount"))]
    order = sort_rows(place, keys)
    same = np.ones(max(len(place[order]) - 1, 0), dtype=np.bool_)
    for key in (place, *keys):
        same &= key[order][1:] == key[order][:-1]
    if same.any() and "kind" in rows.table.column_names:
        order = sort_rows(place, [*keys, text_codes(rows.table["kind"])])
    return order


def _borrowings(records: Records) -> Rows:
    table, told = records.tables["borrowings"], known_days(records, "borrowings")
    has_closings = "closed_on" in table.column_names and table["closed_on"].null_count < len(table)
    if not has_closings:
        return Rows(table, told, told, np.ones(len(told), dtype=np.bool_))
    lender = text_codes(table["lender_id"]) if "lender_id" in table.column_names else np.zeros(len(told))
    said = {
        "row": np.arange(len(told)),
        "customer_id": table["customer_id"],
        "lender": lender,
        "reported_on": table["reported_on"],
        "told_day": told,
        "closed_day": table["closed_on"].cast(pa.int32()),
    }
    with open_session() as con:
        con.register("said", pa.table(said))
        shown = con.sql(_WITH_CLOSINGS).fetchnumpy()
    row = np.asarray(shown["row"], dtype=np.int64)
    from_day = np.asarray(shown["from_day"], dtype=np.int64)
    closed_day = day_numbers(table["closed_on"])[row]
    return Rows(table.take(pa.array(row)), told[row], from_day, closed_day > from_day)


#: A report stands again from each day on which one of its debts was closed, until it is replaced.
_WITH_CLOSINGS = """
    WITH reports AS (
        SELECT *, lead(told_day) OVER (PARTITION BY customer_id, lender, reported_on ORDER BY told_day)
            AS replaced_day
        FROM (SELECT DISTINCT customer_id, lender, reported_on, told_day FROM said)
    ),
    moments AS (
        SELECT customer_id, lender, reported_on, told_day, told_day AS from_day FROM reports
        UNION
        SELECT customer_id, lender, reported_on, told_day, s.closed_day
        FROM reports r JOIN said s USING (customer_id, lender, reported_on, told_day)
        WHERE s.closed_day > told_day AND (s.closed_day < r.replaced_day OR r.replaced_day IS NULL)
    )
    SELECT s.row, m.from_day
    FROM moments m JOIN said s USING (customer_id, lender, reported_on, told_day)
    ORDER BY s.row, m.from_day"""
