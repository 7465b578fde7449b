"""Another future: every later row with other values, and rows that became known the day after.

A feature of the past cannot tell it from the future that came. Nothing is drawn: the same records give
the same other future.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import duckdb
import numpy as np
import pyarrow as pa

from overdue_ml.features.future import BoolArray, Later, has_known_on, later_dates, numbered
from overdue_ml.records import Records
from overdue_ml.records.contracts import CONTRACTS, LAST_DATE, Column

#: Days by which dates of the future move: no month has as many, so no rhythm hides the move.
SHIFT_DAYS = 40
#: Begins the ids of rows that the audit adds.
ADDED = "audit:"
_LATER, _CHANGED = "_audit_later", "_audit_changed"
_ROW_ORDER = "ORDER BY _audit_row"

#: Tables that get added rows: whose latest row is copied, and the date that makes it a new one.
_COPIED: dict[str, tuple[str, str]] = {
    "accounts": ("customer_id", "opened_on"),
    "statements": ("account_id", "statement_date"),
    "instalments": ("account_id", "known_on"),
    "payments": ("account_id", "paid_on"),
    "incomes": ("customer_id", "received_on"),
    "borrowings": ("customer_id", "reported_on"),
    "contacts": ("customer_id", "contacted_on"),
    "labels": ("customer_id", "as_of_date"),
}


@dataclass(frozen=True)
class OtherFuture:
    """The changed and added rows of each table, to be put in place of what came.

    Attributes
    ----------
    later : Later
    changed : mapping of str to ndarray of bool
        By table, for each row in order: stands in ``scrambled`` with other values.
    scrambled, added : mapping of str to pyarrow.Table
    """

    later: Later
    changed: Mapping[str, BoolArray]
    scrambled: Mapping[str, pa.Table]
    added: Mapping[str, pa.Table]

    @classmethod
    def of(cls, later: Later) -> OtherFuture:
        """Change the later rows, and add some that are known from the day after ``later.as_of``."""
        records = later.records
        changed = {name: mask.copy() for name, mask in later.touched.items()}
        if "closed_on" in records.columns("accounts"):
            # An account that is open may be closed tomorrow.
            still_open = records.tables["accounts"].column("closed_on").is_null().to_numpy()
            changed["accounts"] |= np.asarray(still_open, dtype=np.bool_)
        scrambled, added = {}, {}
        with numbered(records, {_LATER: later.hidden, _CHANGED: changed}) as con:
            for name, table in records.tables.items():
                schema = table.schema
                if not changed[name].any():
                    scrambled[name] = schema.empty_table()
                else:
                    sql = _scrambled_sql(con, records, name, later.as_of)
                    scrambled[name] = con.sql(sql).to_arrow_table().cast(schema)
                query = _added_sql(con, records, name, later.as_of)
                rows = schema.empty_table() if query is None else con.sql(query).to_arrow_table().cast(schema)
                added[name] = rows
        return cls(later, changed, scrambled, added)

    def records(self, chosen: Mapping[str, BoolArray] | None = None) -> Records:
        """The records with this future in place of theirs.

        Parameters
        ----------
        chosen : mapping of str to ndarray of bool, optional
            By table, for each scrambled and then each added row: whether it takes its place. All by
            default.
        """
        tables = {}
        for name, table in self.later.records.tables.items():
            n = self.scrambled[name].num_rows
            if chosen is None:
                mask = np.ones(n + self.added[name].num_rows, dtype=np.bool_)
            else:
                mask = chosen.get(name, np.zeros(0, dtype=np.bool_))
            if mask.any():
                replaced = self.changed[name].copy()
                replaced[self.changed[name]] = mask[:n]
                table = pa.concat_tables(
                    [
                        table.filter(pa.array(~replaced)),
                        self.scrambled[name].filter(pa.array(mask[:n])),
                        self.added[name].filter(pa.array(mask[n:])),
                    ]
                )
            tables[name] = table
        return replace(self.later.records, tables=tables)


def _types(con: duckdb.DuckDBPyConnection, records: Records, table: str) -> dict[str, str]:
    relation = con.table(table)
    types = dict(zip(relation.columns, map(str, relation.types), strict=True))
    return {name: types[name] for name in records.columns(table)}


def _declared(table: str, name: str) -> Column | None:
    columns = CONTRACTS[table].columns if table in CONTRACTS else ()
    return next((c for c in columns if c.name == name), None)


def _quoted(name: str) -> str:
    return 'x."' + name.replace('"', '""') + '"'


def _other_value(table: str, name: str, kind: str) -> str:
    """SQL for another value that the contract allows too; ids and instalment numbers stay."""
    cell, column = _quoted(name), _declared(table, name)
    if (
        name == "instalment_no"
        or (column and column.type == "id")
        or (table, name) == ("labels", "as_of_date")
    ):
        return cell
    if kind == "DATE":
        # By CASE, since LEAST passes over nulls.
        return f"CASE WHEN {cell} IS NOT NULL THEN least({cell} + {SHIFT_DAYS}, DATE '{LAST_DATE}') END"
    if kind == "BOOLEAN":
        return f"NOT coalesce({cell}, false)"
    if kind == "VARCHAR" and column and column.choices:
        following = (*column.choices[1:], column.choices[0])
        cases = " ".join(f"WHEN '{a}' THEN '{b}'" for a, b in zip(column.choices, following, strict=True))
        return f"CASE {cell} {cases} ELSE '{column.choices[-1]}' END"
    if kind == "VARCHAR":
        return f"coalesce({cell}, '') || '*'"
    if kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL"):
        value = f"coalesce({cell}, 0) * 3 + 1000"
    elif "INT" in kind:
        value = f"coalesce({cell}, 0) * 2 + 31"
    else:
        return cell
    if column and column.maximum is not None:
        value = f"least({value}, {column.maximum!r})"
    # Numbers that outgrow their type stay.
    return f"coalesce(TRY_CAST({value} AS {kind}), {cell})"


def _scrambled_sql(con: duckdb.DuckDBPyConnection, records: Records, table: str, as_of: dt.date) -> str:
    cells = []
    dates = later_dates(records, table)
    for name, kind in _types(con, records, table).items():
        cell, other = _quoted(name), _other_value(table, name, kind)
        if name in dates:
            known = f"CASE WHEN {cell} > DATE '{as_of}' THEN {other} ELSE {cell} END"
            if (table, name) == ("accounts", "closed_on"):
                earliest = f"greatest(DATE '{as_of}' + 1, x.opened_on + {SHIFT_DAYS})"
                known = f"CASE WHEN {cell} IS NULL THEN {earliest} ELSE {known} END"
        else:
            known = cell
        cells.append(f"CASE WHEN x.{_LATER} THEN {other} ELSE {known} END AS {cell.removeprefix('x.')}")
    return f'SELECT {", ".join(cells)} FROM "{table}" x WHERE x.{_CHANGED} {_ROW_ORDER}'


def _added_sql(con: duckdb.DuckDBPyConnection, records: Records, table: str, as_of: dt.date) -> str | None:
    """SQL for rows known from the day after: copies of the latest row of each owner under other keys."""
    owner, event = _COPIED.get(table, ("", ""))
    dated = has_known_on(records, table) if table in CONTRACTS else False
    # Instalments without a known_on were known from the opening of their account: none can be added.
    if not owner or (table == "instalments" and not dated):
        return None
    tomorrow = f"DATE '{as_of}' + 1"
    days = [(tomorrow, 0)]
    if table == "instalments":
        # A new version of the last instalment, and one more instalment.
        days.append((tomorrow, 1))
    elif dated and table != "labels":
        # An event of the past that was heard of tomorrow.
        days.append((f"DATE '{as_of}' - 1", 1))
    cells = [
        f"{_added_value(table, name, kind, event, tomorrow)} AS {_quoted(name).removeprefix('x.')}"
        for name, kind in _types(con, records, table).items()
    ]
    taken = ""
    if event in CONTRACTS[table].key:
        taken = f'WHERE NOT EXISTS (FROM "{table}" y WHERE y.{owner} = x.{owner} AND y.{event} = d._day)'
    values = ", ".join(f"({day}, {step})" for day, step in days)
    return f"""
        SELECT {", ".join(cells)}
        FROM (
            FROM "{table}" QUALIFY row_number() OVER (
                PARTITION BY {owner} ORDER BY {event} DESC NULLS LAST, _audit_row DESC) = 1
        ) x CROSS JOIN (VALUES {values}) d(_day, _step) {taken}
        ORDER BY x._audit_row, d._step"""


def _added_value(table: str, name: str, kind: str, event: str, tomorrow: str) -> str:
    cell, column = _quoted(name), _declared(table, name)
    if name == "known_on" and column:
        return tomorrow
    if name == event:
        return "d._day"
    if (table, name) == ("payments", "payment_id"):
        return f"'{ADDED}' || d._step || ':' || x.account_id || ':' || coalesce({cell}, '')"
    if (table, name) == ("accounts", "account_id"):
        return f"'{ADDED}' || {cell}"
    if (table, name) == ("accounts", "closed_on"):
        return "CAST(NULL AS DATE)"
    if (table, name) == ("instalments", "instalment_no"):
        return f"{cell} + d._step"
    if (table, name) == ("borrowings", "opened_on"):
        return f"CASE WHEN {cell} IS NOT NULL THEN least({cell}, d._day) END"
    if kind == "DATE" and name != "closed_on":
        return f"CASE WHEN {cell} IS NOT NULL THEN greatest({_other_value(table, name, kind)}, d._day) END"
    return _other_value(table, name, kind) if name != "closed_on" else cell
