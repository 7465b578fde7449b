"""The views of tables that are about the customer and not an account: incomes, and debts elsewhere.

Incomes stand under the customer. Reports on debts elsewhere stand under the lender that gave them, as events
of accounts do under their account; those without a lender are one lender's. What a lender reported for one
day is one report: its debts add up, a report of that day that became known later replaces it, and a debt
counts as open until the day on which it was closed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.declare import Feature
from overdue_ml.features.engine import NEVER, Events
from overdue_ml.records import Records
from overdue_ml.records.facts import known_on_sql


@dataclass(frozen=True)
class PeopleColumn:
    """A column of a view of a customer's own events.

    Parameters
    ----------
    sql : str
        Over the row ``e`` of an income; of a report, an aggregate over its rows ``e``, with ``is_open`` and
        ``began_on``, the opening date unless it lies after the day on which the row was known.
    needs : frozenset of str
        Columns of the table.
    ages : {0, 1, -1}
        Whether null stands for the days since the event on the as_of date, or until it.
    """

    sql: str
    needs: frozenset[str]
    ages: int = 0


def _added_up(column: str) -> PeopleColumn:
    # In the order of their size, so that the order of rows changes no bit of the sum.
    sql = f"sum(CASE WHEN e.is_open THEN e.{column} ELSE 0 END ORDER BY e.{column})"
    return PeopleColumn(sql, frozenset({column}))


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
    "dpd": PeopleColumn("max(CASE WHEN e.is_open THEN e.dpd ELSE 0 END)", frozenset({"dpd"})),
    "is_open": PeopleColumn("bool_or(e.is_open)", frozenset({"reported_on"})),
    "newest_days": PeopleColumn("e.reported_on - max(e.began_on)", frozenset({"opened_on"})),
    "oldest_days": PeopleColumn("e.reported_on - min(e.began_on)", frozenset({"opened_on"})),
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
    place = table.column("place").to_numpy().astype(np.int64)
    is_first = np.diff(place, prepend=-1) != 0
    is_first[1:] |= _changes(table.column("lender"))
    group_first = np.flatnonzero(is_first)
    values = np.empty((table.num_rows, len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = table.column(name).to_numpy()
    until = pc.fill_null(table.column("until_day").cast(pa.int64()), NEVER)
    return Events(
        columns=tuple(columns),
        values=values,
        event_day=table.column("event_day").to_numpy().astype(np.int64),
        known_day=table.column("known_day").to_numpy().astype(np.int64),
        until_day=until.to_numpy().astype(np.int64),
        account_start=np.append(group_first, table.num_rows).astype(np.int64),
        customer_start=np.searchsorted(place[group_first], np.arange(len(customer_ids) + 1)).astype(np.int64),
        ageing={c: PEOPLE_COLUMNS[view][c].ages for c in columns if PEOPLE_COLUMNS[view][c].ages},
    )


def _changes(column: pa.ChunkedArray) -> np.ndarray:
    if len(column) == 0:
        return np.zeros(0, dtype=np.bool_)
    return np.asarray(pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy())


def _cells(view: str, columns: list[str]) -> str:
    return "".join(f', CAST({PEOPLE_COLUMNS[view][c].sql} AS DOUBLE) AS "{c}"' for c in columns)


def _incomes_sql(records: Records, columns: list[str]) -> str:
    """SQL for the events, those of one day from the smallest to the largest."""
    known = known_on_sql(records, "incomes", alias="e")
    kind = ", coalesce(e.kind, '')" if "kind" in records.columns("incomes") else ""
    return f"""
        SELECT w.place, '' AS lender, e.received_on - DATE '1970-01-01' AS event_day,
            {known} - DATE '1970-01-01' AS known_day, NULL AS until_day{_cells("incomes", columns)}
        FROM incomes e JOIN wanted_people w ON w.customer_id = e.customer_id
        ORDER BY w.place, e.received_on, known_day, e.amount{kind}"""


def _borrowings_sql(records: Records, columns: list[str]) -> str:
    """SQL for what each report said, and from when until when: until it is replaced or a debt is closed."""
    present, told = set(records.columns("borrowings")), known_on_sql(records, "borrowings", alias="e")
    read = sorted({"balance_amount", "credit_limit_amount", "monthly_due_amount", "dpd"} & present)
    optional = {
        name: f"e.{name}" if name in present else "CAST(NULL AS DATE)" for name in ("opened_on", "closed_on")
    }
    lender = "coalesce(e.lender_id, '')" if "lender_id" in present else "''"
    return f"""
        WITH said AS (
            SELECT w.place, {lender} AS lender, e.reported_on, {told} AS told_on,
                {optional["opened_on"]} AS opened_on, {optional["closed_on"]} AS closed_on
                {"".join(f", e.{name}" for name in read)}
            FROM borrowings e JOIN wanted_people w ON w.customer_id = e.customer_id
        ),
        reports AS (
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
        ),
        rows_then AS (
            SELECT m.from_on, s.*, s.closed_on IS NULL OR s.closed_on > m.from_on AS is_open,
                CASE WHEN s.opened_on <= told_on THEN s.opened_on END AS began_on
            FROM moments m JOIN said s USING (place, lender, reported_on, told_on)
        ),
        states AS (
            SELECT place, lender, reported_on, from_on{_cells("borrowings", columns)}
            FROM rows_then e GROUP BY place, lender, reported_on, from_on
        )
        SELECT * EXCLUDE (reported_on, from_on), reported_on - DATE '1970-01-01' AS event_day,
            from_on - DATE '1970-01-01' AS known_day,
            lead(from_on) OVER (PARTITION BY place, lender, reported_on ORDER BY from_on)
                - DATE '1970-01-01' AS until_day
        FROM states ORDER BY place, lender, event_day, known_day"""
