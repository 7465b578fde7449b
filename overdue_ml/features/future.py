"""What was not known yet on a date, and records from which it is gone.

The day on which each row was known stands in :mod:`overdue_ml.records.facts`, once for all stages.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.records import Records
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.facts import KNOWN_FROM, account_known_sql, known_on_sql

BoolArray = npt.NDArray[np.bool_]

#: Dates of known rows that are filled in afterwards: a closing is not known before it happens.
LATER_DATES: dict[str, tuple[str, ...]] = {
    "accounts": ("opened_on", "closed_on"),
    "borrowings": ("opened_on", "closed_on"),
}
#: The number of a row in its table, while its table is in a query.
ROW = "_audit_row"


@dataclass(frozen=True)
class Later:
    """The rows of the records that were known only after a date.

    Attributes
    ----------
    records : Records
    as_of : datetime.date
    hidden : mapping of str to ndarray of bool
        By table, for each row in order: not known at the end of ``as_of``.
    touched : mapping of str to ndarray of bool
        Hidden, or known with a date that lies after ``as_of``.
    """

    records: Records
    as_of: dt.date
    hidden: Mapping[str, BoolArray]
    touched: Mapping[str, BoolArray]

    @classmethod
    def than(cls, records: Records, as_of: dt.date) -> Later:
        """Tell the rows that were known by ``as_of`` from the others."""
        hidden = {}
        with numbered(records) as con:
            con.execute("SET VARIABLE as_of = ?", [as_of])
            for name, table in records.tables.items():
                mask = np.ones(table.num_rows, dtype=np.bool_)
                mask[con.sql(_known_rows_sql(records, name)).fetchnumpy()[ROW]] = False
                hidden[name] = mask
        touched = {name: mask.copy() for name, mask in hidden.items()}
        for name in records.tables:
            for column in later_dates(records, name):
                touched[name] |= _is_later(records.tables[name].column(column), as_of)
        return cls(records, as_of, hidden, touched)

    def forget(self, kept: Mapping[str, BoolArray] | None = None) -> Records:
        """The records as they stood at the end of ``as_of``, and the later rows that are ``kept``.

        Parameters
        ----------
        kept : mapping of str to ndarray of bool, optional
            By table, for each row in order. A kept row brings its account and its customer along.
        """
        kept = kept or {}
        shown = self._with_owners(kept)
        tables = {}
        for name, table in self.records.tables.items():
            hidden = self.hidden[name]
            for column in later_dates(self.records, name):
                values = table.column(column)
                cut = _is_later(values, self.as_of) & ~kept.get(name, np.zeros_like(hidden))
                if cut.any():
                    nothing = pa.scalar(None, values.type)
                    place = table.column_names.index(column)
                    table = table.set_column(place, column, pc.if_else(pa.array(cut), nothing, values))
            dropped = hidden & ~shown.get(name, np.zeros_like(hidden))
            tables[name] = table.filter(pa.array(~dropped)) if dropped.any() else table
        return replace(self.records, tables=tables)

    def _with_owners(self, kept: Mapping[str, BoolArray]) -> dict[str, BoolArray]:
        shown = dict(kept)
        for owner, key in (("accounts", "account_id"), ("customers", "customer_id")):
            if owner not in self.records:
                continue
            owners = self.records.tables[owner].column(key)
            for name, mask in list(shown.items()):
                table = self.records.tables[name]
                if name != owner and key in table.column_names and mask.any():
                    ids = table.column(key).filter(pa.array(mask))
                    named = pc.is_in(owners, value_set=ids.cast(owners.type)).to_numpy()
                    shown[owner] = shown.get(owner, np.zeros_like(named)) | named
        return shown


def forget_after(records: Records, as_of: dt.date) -> Records:
    """The records as they stood at the end of ``as_of``: later rows and later dates of rows removed.

    A label is known from its ``known_on``; one without is forgotten, as nobody can tell. So are the
    customers of whom nothing was known yet. Rows keep their order.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    """
    return Later.than(records, as_of).forget()


def later_dates(records: Records, table: str) -> list[str]:
    """Date columns of a table's known rows that may lie after the as_of date."""
    return [name for name in LATER_DATES.get(table, ()) if name in records.columns(table)]


def has_known_on(records: Records, table: str) -> bool:
    """Whether the rows of a table say when they were known."""
    declared = any(c.name == "known_on" for c in CONTRACTS[table].columns)
    return declared and "known_on" in records.columns(table)


def numbered(
    records: Records, marks: Mapping[str, Mapping[str, BoolArray]] | None = None
) -> duckdb.DuckDBPyConnection:
    """A connection in which every table stands under its name, its rows numbered in :data:`ROW`.

    Parameters
    ----------
    records : Records
    marks : mapping of str to mapping of str to ndarray of bool, optional
        Further columns: their name, table and values.
    """
    con = duckdb.connect()
    for name, table in records.tables.items():
        with_rows = table.append_column(ROW, pa.array(np.arange(table.num_rows)))
        for column, by_table in (marks or {}).items():
            with_rows = with_rows.append_column(column, pa.array(by_table[name]))
        con.register(name, with_rows)
    return con


def naming_columns(table: str, present: list[str]) -> list[str]:
    """Columns that show which row is meant: the key, or ids and required dates. Never an amount."""
    contract = CONTRACTS[table]
    wanted: set[str | None] = {*contract.key, contract.version}
    if not contract.key_in(present) or contract.optional_key():
        wanted |= {c.name for c in contract.columns if c.type == "id" or (c.required and c.type == "date")}
    return [name for name in present if name in wanted]


def row_name(table: str, rows: pa.Table, number: int) -> dict[str, Any]:
    """The columns that name one row of a table; empty ones left out."""
    row = rows.select(naming_columns(table, rows.column_names)).slice(number, 1).to_pylist()[0]
    return {column: value for column, value in row.items() if value is not None}


def _is_later(values: pa.ChunkedArray, as_of: dt.date) -> BoolArray:
    later = pc.fill_null(pc.greater(values, pa.scalar(as_of, values.type)), False)
    return np.asarray(later.to_numpy(), dtype=np.bool_)


def _known_rows_sql(records: Records, table: str) -> str:
    """SQL for the numbers of the rows of a table that were known at the end of ``as_of``."""
    day = "getvariable('as_of')"
    if table == "accounts":
        return f"""SELECT e.{ROW} FROM accounts e JOIN ({account_known_sql(records)}) k
            ON k.account_id = e.account_id WHERE k.known_on <= {day}"""
    if table == "customers":
        owned = [f"SELECT customer_id, known_on FROM ({account_known_sql(records)})"]
        owned += [
            f"SELECT customer_id, {known_on_sql(records, name)} FROM {name}"
            for name in ("incomes", "borrowings", "contacts")
            if name in records
        ]
        return f"""SELECT e.{ROW} FROM customers e ANTI JOIN (
                SELECT customer_id FROM ({" UNION ALL ".join(owned)}) GROUP BY customer_id
                HAVING coalesce(min(known_on) > {day}, true)
            ) unknown ON unknown.customer_id = e.customer_id"""
    if table in KNOWN_FROM:
        return f"SELECT e.{ROW} FROM {table} e WHERE {known_on_sql(records, table, alias='e')} <= {day}"
    if table == "labels":
        known = f"known_on <= {day}" if has_known_on(records, table) else "false"
        return f"SELECT {ROW} FROM labels WHERE {known}"
    return f'SELECT {ROW} FROM "{table}"'
