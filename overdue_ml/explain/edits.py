"""Edits of the records of one customer: rows put in or changed, and held to the contracts like any others."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa

from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records import Records, ValidationReport
from overdue_ml.records.contracts import CONTRACTS, ColumnType, Table
from overdue_ml.records.validate import ordered_tables, validate_table

_ARROW: dict[ColumnType, pa.DataType] = {
    "id": pa.string(),
    "text": pa.string(),
    "date": pa.date32(),
    "amount": pa.float64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
}
#: From which date of a new row it can be told that it is not of the past.
_DAY_OF_NEW = {"accounts": "opened_on", "instalments": "known_on"}
_LABELS = "labels"


def append_rows(records: Records, table: str, rows: pd.DataFrame) -> pa.Table:
    """A table of one customer with some rows more; the contract is checked by :func:`with_tables`.

    Parameters
    ----------
    records : Records
    table : str
    rows : pandas.DataFrame
        Columns of the contract, or others that the table has; what is absent becomes null.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ConfigError
        If the records have no such table, or it has no such column.
    RecordsError
        If a cell cannot be read as what the column holds.
    """
    own = _table(records, table)
    new = _typed(table, own, rows)
    contract = {c.name: _ARROW[c.type] for c in CONTRACTS[table].columns}
    for name in new.column_names:
        if name not in own.column_names:
            own = own.append_column(name, pa.nulls(own.num_rows, contract[name]))
    for name in own.column_names:
        if name not in new.column_names:
            new = new.append_column(name, pa.nulls(new.num_rows, own.schema.field(name).type))
    return pa.concat_tables([own, new.select(own.column_names).cast(own.schema)])


def change_rows(records: Records, table: str, rows: pd.DataFrame) -> pa.Table:
    """A table of one customer in which some cells are others.

    Parameters
    ----------
    records : Records
    table : str
    rows : pandas.DataFrame
        The columns of the table's key, by which a row is found, and the columns to set.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    ConfigError
        If the table has no key, or a key names no row or several.
    RecordsError
        If a cell cannot be read as what the column holds.
    """
    own = _table(records, table)
    contract = CONTRACTS[table]
    key = [name for name in contract.key if name in own.column_names]
    if contract.version in rows.columns and contract.version in own.column_names:
        key.append(str(contract.version))
    if not contract.key_in(own.column_names) or not set(key) <= set(rows.columns):
        raise ConfigError(
            f"rows of '{table}' cannot be changed by their key",
            expected=f"the columns {', '.join(contract.key)}" if contract.key else "a table with a key",
            next_step="write an Event with a function instead",
        )
    cells = own.to_pylist()
    for change in _typed(table, own, rows).to_pylist():
        found = [row for row in cells if all(row[name] == change[name] for name in key)]
        if len(found) != 1:
            raise ConfigError(
                f"{len(found)} rows of '{table}' have the key of a row to be changed", expected="one"
            )
        found[0].update(change)
    added = [name for name in rows.columns if name not in own.column_names]
    types = {c.name: _ARROW[c.type] for c in contract.columns}
    schema = own.schema
    for name in added:
        schema = schema.append(pa.field(name, types[name]))
    return pa.Table.from_pylist(cells, schema=schema)


def _table(records: Records, table: str) -> pa.Table:
    if table == _LABELS or table not in CONTRACTS:
        raise ConfigError(
            f"an event cannot edit the table '{table}'",
            expected=f"one of {', '.join(name for name in CONTRACTS if name != _LABELS)}",
        )
    if table not in records:
        raise ConfigError(
            f"the records have no table '{table}'", expected=f"one of {', '.join(records.tables)}"
        )
    return records.tables[table]


def _typed(table: str, own: pa.Table, rows: pd.DataFrame) -> pa.Table:
    types = {c.name: _ARROW[c.type] for c in CONTRACTS[table].columns}
    columns = {}
    for name in map(str, rows.columns):
        kind = own.schema.field(name).type if name in own.column_names else types.get(name)
        if kind is None:
            raise ConfigError(f"the table '{table}' has no column '{name}'", next_step="leave it out")
        try:
            columns[name] = pa.array(rows[name], from_pandas=True).cast(kind)
        except (pa.ArrowException, TypeError):
            raise RecordsError(
                "a cell of an event cannot be read",
                where=f"{table}.{name}",
                expected=f"values of type {kind}",
            ) from None
    return pa.table(columns)


def with_tables(records: Records, tables: Mapping[str, pa.Table]) -> Records:
    """Records of one customer in which some tables are others, after these are checked by their contracts.

    Parameters
    ----------
    records : Records
    tables : mapping of str to pyarrow.Table
        Whole tables by name, their rows in any order.

    Returns
    -------
    Records

    Raises
    ------
    ConfigError
        If labels or a protected attribute would be edited.
    RecordsError
        If a row breaks a rule of its contract; not one is dropped.
    """
    _refuse_protected(records, tables)
    accepted = dict(records.tables)
    report = ValidationReport(0.0)
    with duckdb.connect() as con:
        for name in ("customers", "accounts"):
            if name in records and name not in tables:
                con.register(name, records.tables[name])
        for contract in ordered_tables([name for name in tables if tables[name].num_rows]):
            con.register(f"raw_{contract.name}", tables[contract.name])
            accepted[contract.name], _ = validate_table(con, contract, records.config, set(accepted), report)
    for name, table in tables.items():
        if not table.num_rows:
            accepted[name] = table
    broken = [f"{rule.table}: {rule.rule}" for rule in report.rules if rule.rows_rejected]
    if broken:
        raise RecordsError(
            f"rows of an event break {len(broken)} rule(s) of the contract", where="; ".join(broken[:3])
        )
    return replace(records, tables=accepted)


def _refuse_protected(records: Records, tables: Mapping[str, pa.Table]) -> None:
    if _LABELS in tables:
        raise ConfigError("an event cannot edit the table 'labels'", next_step="leave it out")
    if "customers" not in tables:
        return
    new = tables["customers"]
    before = records.tables["customers"] if "customers" in records else new.slice(0, 0)
    for name in sorted(set(records.config.protected) & {*new.column_names, *before.column_names}):
        if _cells(before, name) != _cells(new, name):
            raise ConfigError(
                f"an event would change the protected attribute '{name}'",
                next_step="leave it out: nobody is to become another person",
            )


def _cells(table: pa.Table, name: str) -> dict[Any, Any]:
    values = table.column(name).to_pylist() if name in table.column_names else [None] * table.num_rows
    return dict(zip(table.column("customer_id").to_pylist(), values, strict=True))


def changes_past(before: Records, after: Records, as_of: dt.date) -> bool:
    """Whether edited records differ from the others in anything that stood fast at the end of ``as_of``.

    That is a row that is gone or another, a row of ``customers``, and a new row that would have happened,
    or been known, before that day. What happens on the day itself still can.

    Parameters
    ----------
    before, after : Records
    as_of : datetime.date
    """
    for name, table in after.tables.items():
        old = before.tables.get(name)
        if old is table:
            continue
        new_rows = _rows(table)
        if old is not None:
            old_rows = _rows(old)
            if old_rows - new_rows:
                return True
            new_rows -= old_rows
        for row in new_rows.elements():
            if name == "customers" or not _is_new(CONTRACTS[name], dict(row), as_of):
                return True
    return bool(set(before.tables) - set(after.tables))


def _rows(table: pa.Table) -> Counter[frozenset[tuple[str, Any]]]:
    # Without nulls: a column that an event brings along is empty in the rows that stood there before.
    return Counter(frozenset((k, v) for k, v in row.items() if v is not None) for row in table.to_pylist())


def _is_new(contract: Table, row: Mapping[str, Any], as_of: dt.date) -> bool:
    known = row.get("known_on")
    happened = row.get(_DAY_OF_NEW.get(contract.name) or contract.event or "")
    if known is not None and known < as_of:
        return False
    # A statement tells of a month that is over when it becomes known.
    if contract.name == "statements" and known is not None:
        return True
    return happened is not None and happened >= as_of
