"""The views of tables that are about the customer and not an account: incomes, and debts elsewhere.

Incomes stand under the customer. Reports on debts elsewhere stand under the lender that gave them, as events
of accounts do under their account; those without a lender are one lender's. What a lender reported for one
day is one report: its debts add up, a report of that day that became known later replaces it, and a debt
counts as open until the day on which it was closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.declare import Feature
from overdue_ml.features.engine import NEVER, Events
from overdue_ml.features.program import FloatArray, IntArray
from overdue_ml.records import Records
from overdue_ml.records.facts import known_on_sql


@dataclass(frozen=True)
class PeopleColumn:
    """A column of a view of a customer's own events.

    Parameters
    ----------
    sql : str
        Over the row ``e`` of an income, or of a debt in a report, with ``is_open`` and ``began_on``, the
        opening date unless it lies after the day on which the row was known.
    needs : frozenset of str
        Columns of the table.
    ages : {0, 1, -1}
        Whether null stands for the days since the event on the as_of date, or until it.
    of_debts : {'max', 'min', 'sum'}
        What becomes of the debts of one report; a null is passed over.
    """

    sql: str
    needs: frozenset[str]
    ages: int = 0
    of_debts: Literal["max", "min", "sum"] = "max"


def _added_up(column: str) -> PeopleColumn:
    sql = f"CASE WHEN e.is_open THEN e.{column} ELSE 0 END"
    return PeopleColumn(sql, frozenset({column}), of_debts="sum")


_INCOMES: Mapping[str, PeopleColumn] = {
    "amount": PeopleColumn("e.amount", frozenset({"amount"})),
    "received_day": PeopleColumn("e.received_on - DATE '1970-01-01'", frozenset({"received_on"})),
    "is_regular": PeopleColumn("e.kind IN ('salary', 'pension')", frozenset({"kind"})),
    "is_revenue": PeopleColumn("e.kind = 'revenue'", frozenset({"kind"})),
}
_BORROWINGS: Mapping[str, PeopleColumn] = {
    "balance_amount": _added_up("balance_amount"),
    "credit_limit_amount": _added_up("credit_limit_amount"),
    "monthly_due_amount": _added_up("monthly_due_amount"),
    "dpd": PeopleColumn("CASE WHEN e.is_open THEN e.dpd ELSE 0 END", frozenset({"dpd"})),
    "is_open": PeopleColumn("e.is_open", frozenset({"reported_on"})),
    "newest_days": PeopleColumn("e.reported_on - e.began_on", frozenset({"opened_on"}), of_debts="min"),
    "oldest_days": PeopleColumn("e.reported_on - e.began_on", frozenset({"opened_on"})),
    "report_days": PeopleColumn("NULL", frozenset({"reported_on"}), ages=1),
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


def people_events(
    con: duckdb.DuckDBPyConnection, records: Records, customer_ids: np.ndarray, view: str, columns: list[str]
) -> Events:
    """A view as sorted arrays, lenders (or the one list of incomes) grouped under the customers.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        Of the records.
    records : Records
    customer_ids : ndarray of str, shape (n_customers,)
        Sorted, each once; those without an event have no group.
    view : {'incomes', 'borrowings'}
    columns : list of str
        Of ``PEOPLE_COLUMNS[view]``.
    """
    wanted = {"customer_id": pd.array(customer_ids, dtype="str"), "place": np.arange(len(customer_ids))}
    con.register("wanted_people", pd.DataFrame(wanted))
    write = _incomes_sql if view == "incomes" else _borrowings_sql
    table = con.sql(write(records, columns)).to_arrow_table()
    place, event_day, known_day = (
        table.column(name).to_numpy().astype(np.int64) for name in ("place", "event_day", "known_day")
    )
    values = np.empty((table.num_rows, len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = table.column(name).to_numpy()
    starts_group = _changes(place) | _changes(table.column("lender"))
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


def _changes(values: IntArray | pa.ChunkedArray) -> np.ndarray:
    """Where a value differs from the one before; the first one always does."""
    if len(values) == 0:
        return np.zeros(0, dtype=np.bool_)
    if isinstance(values, np.ndarray):
        return np.append(True, values[1:] != values[:-1])
    return np.append(True, pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)).to_numpy())


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


def _cells(view: str, columns: list[str]) -> str:
    return "".join(f', CAST({PEOPLE_COLUMNS[view][c].sql} AS DOUBLE) AS "{c}"' for c in columns)


def _incomes_sql(records: Records, columns: list[str]) -> str:
    """SQL for the events, those of one day from the smallest to the largest."""
    known = known_on_sql(records, "incomes", alias="e")
    kind = ", coalesce(e.kind, '')" if "kind" in records.columns("incomes") else ""
    return f"""
        SELECT w.place, '' AS lender, e.received_on - DATE '1970-01-01' AS event_day,
            {known} - DATE '1970-01-01' AS known_day{_cells("incomes", columns)}
        FROM incomes e JOIN wanted_people w ON w.customer_id = e.customer_id
        ORDER BY w.place, e.received_on, known_day, e.amount{kind}"""


#: A report stands again from each day on which one of its debts was closed, until it is replaced.
_WITH_CLOSINGS = """
    WITH reports AS (
        SELECT *,
            lead(told_on) OVER (PARTITION BY place, lender, reported_on ORDER BY told_on) AS replaced_on
        FROM (SELECT DISTINCT place, lender, reported_on, told_on FROM said)
    ),
    moments AS (
        SELECT place, lender, reported_on, told_on, told_on AS from_on FROM reports
        UNION
        SELECT place, lender, reported_on, told_on, s.closed_on
        FROM reports r JOIN said s USING (place, lender, reported_on, told_on)
        WHERE s.closed_on > told_on AND (s.closed_on < r.replaced_on OR r.replaced_on IS NULL)
    )
    SELECT s.*, m.from_on, s.closed_on IS NULL OR s.closed_on > m.from_on AS is_open
    FROM moments m JOIN said s USING (place, lender, reported_on, told_on)"""


def _borrowings_sql(records: Records, columns: list[str]) -> str:
    """SQL for the debts of each report, and from when on they stood so, sorted by both."""
    present, told = set(records.columns("borrowings")), known_on_sql(records, "borrowings", alias="e")
    lender = "coalesce(e.lender_id, '')" if "lender_id" in present else "''"
    began = "CASE WHEN opened_on <= told_on THEN opened_on END" if "opened_on" in present else "NULL"
    read = {"reported_on", "opened_on", "closed_on"}.union(*(c.needs for c in _BORROWINGS.values())) & present
    shown = "SELECT *, told_on AS from_on, true AS is_open FROM said"
    return f"""
        WITH said AS (
            SELECT w.place, {lender} AS lender, {told} AS told_on, {", ".join(f"e.{c}" for c in sorted(read))}
            FROM borrowings e JOIN wanted_people w ON w.customer_id = e.customer_id
        ),
        shown AS ({_WITH_CLOSINGS if "closed_on" in present else shown}),
        debts AS (SELECT *, {began} AS began_on FROM shown)
        SELECT e.place, e.lender, e.reported_on - DATE '1970-01-01' AS event_day,
            e.from_on - DATE '1970-01-01' AS known_day{_cells("borrowings", columns)}
        FROM debts e ORDER BY e.place, e.lender, event_day, known_day"""
