"""Views of dated rows: payments one by one, and the versions of a plan, as sorted arrays.

Unlike the states of instalments they need no settlement: a row is known from a day on and stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd

from overdue_ml.features.engine import NEVER, Events
from overdue_ml.records import Records
from overdue_ml.records.facts import known_on_sql

if TYPE_CHECKING:
    from overdue_ml.features.declare import Feature
    from overdue_ml.features.keys import Keys

_EPOCH = "DATE '1970-01-01'"


@dataclass(frozen=True)
class DatedView:
    """A view whose events are rows of one table.

    Parameters
    ----------
    table : str
    needs : frozenset of str
        Columns of the table without which there is no such view.
    day : str
        SQL over ``e`` (the rows) and ``known_day`` (when each was known) for the day of the event.
    columns : mapping of str to str
        SQL over ``e`` of each column that a measure may read.
    order : tuple of str
        SQL by which events of one account and day are sorted: all that the columns read.
    """

    table: str
    needs: frozenset[str]
    day: str
    columns: Mapping[str, str]
    order: tuple[str, ...]


#: A version against the one that it supersedes; settlement has the same order of versions.
_BEFORE = "OVER (PARTITION BY o.account, e.instalment_no ORDER BY known_day, e.due_date, e.amount_due)"

DATED_VIEWS: Mapping[str, DatedView] = {
    "payments": DatedView(
        "payments",
        frozenset({"paid_on", "amount"}),
        "e.paid_on",
        {
            "amount": "e.amount",
            "paid_day": f"e.paid_on - {_EPOCH}",
            "month_day": "day(e.paid_on)",
        },
        ("e.amount",),
    ),
    "versions": DatedView(
        "instalments",
        frozenset({"due_date", "amount_due", "instalment_no"}),
        "known_day",
        {
            "is_change": f"lag(1, 1, 0) {_BEFORE}",
            "put_off_days": f"coalesce(e.due_date - lag(e.due_date) {_BEFORE}, 0)",
            "amount_change": f"coalesce(e.amount_due - lag(e.amount_due) {_BEFORE}, 0)",
        },
        ("e.instalment_no", "e.due_date", "e.amount_due"),
    ),
}


def missing_from_dated(feature: Feature, records: Records) -> set[str]:
    """Columns that a feature of such a view lacks, as ``table.column``."""
    view = DATED_VIEWS[feature.measure.view]
    missing = view.needs - set(records.columns(view.table))
    return {f"{view.table}.{column}" for column in missing | (feature.columns - set(view.columns))}


def dated_events(
    con: duckdb.DuckDBPyConnection, records: Records, keys: Keys, view: str, columns: list[str]
) -> Events:
    """Rows of a view as sorted arrays, accounts grouped under the customers of ``keys``.

    Parameters
    ----------
    con : duckdb.DuckDBPyConnection
        With the tables of the records.
    records : Records
    keys : Keys
    view : str
        One of ``DATED_VIEWS``.
    columns : list of str
        Columns of the view.
    """
    declared = DATED_VIEWS[view]
    known = known_on_sql(records, declared.table, alias="e")
    cells = "".join(f', CAST({declared.columns[c]} AS DOUBLE) AS "{c}"' for c in columns)
    wanted = {
        "customer_id": pd.array(keys.customer_ids, dtype="str"),
        "place": np.arange(len(keys.customer_ids)),
    }
    con.register("wanted", pd.DataFrame(wanted))
    # Accounts by number: sorting by their ids takes several times as long.
    table = con.sql(
        f"""
        WITH own AS (
            SELECT a.account_id, w.place, row_number() OVER (ORDER BY w.place, a.account_id) AS account
            FROM accounts a JOIN wanted w USING (customer_id)
        ),
        dated AS (SELECT *, {known} AS known_day FROM {declared.table} e)
        SELECT o.place, o.account, {declared.day} - {_EPOCH} AS event_day,
            e.known_day - {_EPOCH} AS known_day{cells}
        FROM dated e JOIN own o USING (account_id)
        ORDER BY o.account, event_day, e.known_day, {", ".join(declared.order)}
        """
    ).to_arrow_table()
    values = np.empty((table.num_rows, len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = table.column(name).to_numpy()
    account_first = np.flatnonzero(np.diff(table.column("account").to_numpy(), prepend=0))
    places = table.column("place").to_numpy()[account_first]
    return Events(
        columns=tuple(columns),
        values=values,
        event_day=table.column("event_day").to_numpy().astype(np.int64),
        known_day=table.column("known_day").to_numpy().astype(np.int64),
        until_day=np.full(table.num_rows, NEVER),
        account_start=np.append(account_first, table.num_rows).astype(np.int64),
        customer_start=np.searchsorted(places, np.arange(len(keys.customer_ids) + 1)).astype(np.int64),
    )
