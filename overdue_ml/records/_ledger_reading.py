"""Reading the tables that settlement needs.

Accounts are numbered by ``Accounts.ids``. Where the account ids of an Arrow table ascend, the rows of an
account are a range of the table, and no id is looked up but the first of each range; tables that
``load_records`` made are read from such ranges as they stand. Otherwise DuckDB casts, rounds and looks up
every row, and the rows are grouped by counting. Nothing is sorted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import RecordsError
from overdue_ml.records._ledger import (
    ALWAYS,
    NONE,
    UNITS,
    Accounts,
    GatheredRows,
    Int32Array,
    Int64Array,
    Ledger,
    Rows,
)  # fmt: skip
from overdue_ml.records._ledger_slices import missing_values, slice_rows
from overdue_ml.records._sessions import open_session
from overdue_ml.records.load import Records

Source = Records | duckdb.DuckDBPyConnection | Mapping[str, pa.Table]

_REQUIRED: dict[str, tuple[str, ...]] = {
    "accounts": ("account_id", "opened_on"),
    "instalments": ("account_id", "instalment_no", "due_date", "amount_due"),
    "payments": ("account_id", "paid_on", "amount"),
}
_KEYS = "overdue_ml_settlement_keys"
_BATCH = 122_880
_NO_ROWS = np.empty(0, dtype=np.int32)


def present_columns(con: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Columns of the three tables.

    Raises
    ------
    RecordsError
        If a table or a column that settlement needs is missing.
    """
    present = {}
    for table, required in _REQUIRED.items():
        try:
            present[table] = set(con.table(table).columns)
        except duckdb.CatalogException:
            raise RecordsError(
                f"there is no table '{table}'", expected=f"settlement needs {', '.join(_REQUIRED)}"
            ) from None
        missing = sorted(set(required) - present[table])
        if missing:
            raise RecordsError(
                f"the column '{missing[0]}' is missing",
                where=f"table {table}",
                expected=f"the columns {', '.join(required)}",
            )
    return present


def read_ledger(
    source: Source, posting_lag_days: int, wait_days: int = 0, *, by_customer: bool
) -> tuple[Accounts, Rows]:
    """Read the three tables.

    Parameters
    ----------
    source : Records, duckdb.DuckDBPyConnection or mapping of str to pyarrow.Table
    posting_lag_days : int
    wait_days : int
        Payments count as known so much earlier, but not before ``paid_on``.
    by_customer : bool
        Number the accounts by customer_id and account_id, else by account_id.

    Raises
    ------
    RecordsError
        If a table, a column or a value that settlement needs is missing.
    """
    with _connected(source) as (con, tables):
        present = present_columns(con)
        runs = {name: _runs(tables.get(name)) for name in ("instalments", "payments")}
        accounts, opened = _read_accounts(con, runs["instalments"], present, by_customer)
        keys = pa.table({"account_id": accounts.ids, "a": np.arange(len(opened), dtype=np.int32)})
        con.register(_KEYS, keys)
        try:
            if None not in runs.values():
                edges = {name: _place(con, run, accounts.ids) for name, run in runs.items() if run}
                rows = slice_rows(tables, opened, edges, posting_lag_days, wait_days)
                if rows is not None:
                    return accounts, rows
            versions = _read_rows(con, "instalments", runs, _version_columns(present), accounts.ids)
            columns = _payment_columns(present, posting_lag_days, wait_days)
            payments = _read_rows(con, "payments", runs, columns, accounts.ids)
        finally:
            con.unregister(_KEYS)
    return accounts, GatheredRows(Ledger(opened, *versions, *payments).frozen())


@contextlib.contextmanager
def _connected(source: Source) -> Iterator[tuple[duckdb.DuckDBPyConnection, Mapping[str, pa.Table]]]:
    """A connection that has the tables, and those of them that are Arrow tables."""
    if isinstance(source, duckdb.DuckDBPyConnection):
        yield source, {}
        return
    tables = source.tables if isinstance(source, Records) else source
    with open_session() as con:
        for name in _REQUIRED.keys() & tables.keys():
            con.register(name, tables[name])
        yield con, tables


def _day(column: str) -> str:
    return f"CAST(CAST({column} AS DATE) - DATE '1970-01-01' AS INTEGER)"


def _units(column: str) -> str:
    """Whole units of an amount, null if it is not a finite number."""
    return f"CASE WHEN isfinite(CAST({column} AS DOUBLE)) THEN CAST(round({column} * {UNITS}) AS BIGINT) END"


def _version_columns(present: Mapping[str, set[str]]) -> dict[str, str]:
    known = _day("t.known_on") if "known_on" in present["instalments"] else "NULL"
    return {
        "instalment_no": "CAST(t.instalment_no AS INTEGER)",
        "due_date": _day("t.due_date"),
        "amount_due": _units("t.amount_due"),
        "known_on": f"CAST(coalesce({known}, {NONE}) AS INTEGER)",
    }


def _payment_columns(present: Mapping[str, set[str]], lag: int, wait: int) -> dict[str, str]:
    columns, paid_on = present["payments"], _day("t.paid_on")
    told = f"{_day('t.known_on')}, " if "known_on" in columns else ""
    named = "CAST(t.instalment_no AS INTEGER)" if "instalment_no" in columns else "NULL"
    technical = "coalesce(t.technical, false)" if "technical" in columns else "false"
    return {
        "paid_on": paid_on,
        "amount": _units("t.amount"),
        "instalment_no": f"CAST(coalesce({named}, {NONE}) AS INTEGER)",
        "known_on": f"CAST(greatest({paid_on}, coalesce({told}{paid_on} + {lag}) - {wait}) AS INTEGER)",
        "technical": f"CAST({technical} AS UTINYINT)",
    }


@dataclass(frozen=True)
class _Runs:
    """The account ids of a sorted table, each once, and the first row of each; the last entry is n_rows."""

    ids: pa.Array
    starts: Int64Array


def _runs(table: pa.Table | None) -> _Runs | None:
    """The runs of equal account ids, or None if the ids do not ascend or the table is not an Arrow one."""
    if table is None or "account_id" not in table.column_names:
        return None
    column = table["account_id"]
    if column.null_count or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return None
    # Without order nearly every row would be a run.
    head = column.slice(0, _BATCH).combine_chunks()
    if pc.any(pc.less(head[1:], head[:-1])).as_py():
        return None
    encoded = pc.run_end_encode(column, run_end_type=pa.int64())
    ids = pa.chunked_array([chunk.values for chunk in encoded.chunks], type=column.type).combine_chunks()
    sizes = [np.diff(chunk.run_ends.to_numpy(), prepend=0) for chunk in encoded.chunks]
    starts = np.concatenate([[0], np.cumsum(np.concatenate([[], *sizes]))]).astype(np.int64)
    # Chunks are encoded one by one: a run that goes on in the next chunk stands there again.
    is_new = np.append(True, pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False))[: len(ids)]
    ids, starts = ids.filter(pa.array(is_new)), np.append(starts[:-1][is_new], starts[-1])
    return _Runs(ids, starts) if pc.all(pc.greater(ids[1:], ids[:-1]), min_count=0).as_py() else None


def _read_accounts(
    con: duckdb.DuckDBPyConnection, runs: _Runs | None, present: Mapping[str, set[str]], by_customer: bool
) -> tuple[Accounts, Int32Array]:
    ids = "(SELECT DISTINCT account_id FROM instalments)"
    if runs is not None:
        con.register(_KEYS, pa.table({"account_id": runs.ids}))
        ids = _KEYS
    customer = "accounts.customer_id" if "customer_id" in present["accounts"] else "CAST(NULL AS VARCHAR)"
    try:
        table = con.sql(
            f"""
            SELECT account_id, {customer} AS customer_id,
                coalesce({_day("accounts.opened_on")}, {ALWAYS})::INTEGER AS opened
            FROM {ids} LEFT JOIN accounts USING (account_id)
            ORDER BY {"customer_id, " if by_customer else ""}account_id"""
        ).to_arrow_table()
    finally:
        if runs is not None:
            con.unregister(_KEYS)
    table = table.combine_chunks()
    columns = [column.combine_chunks() for column in table.columns]
    return Accounts(columns[0], columns[1], "technical" in present["payments"]), columns[2].to_numpy()


def _read_rows(
    con: duckdb.DuckDBPyConnection,
    table: str,
    runs: Mapping[str, _Runs | None],
    columns: Mapping[str, str],
    ids: pa.Array,
) -> tuple[npt.NDArray[Any], ...]:
    """First and last row of each account, rows, and the columns."""
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    run = runs[table]
    if run is None:
        values = _arrays(
            con, f"SELECT k.a, {selected} FROM {table} t JOIN {_KEYS} k USING (account_id)", table
        )
        return *_group(values.pop("a"), len(ids)), *values.values()
    values = _arrays(con, f"SELECT {selected} FROM {table} t", table)
    return *_place(con, run, ids), _NO_ROWS, *values.values()


def _arrays(con: duckdb.DuckDBPyConnection, query: str, table: str) -> dict[str, npt.NDArray[Any]]:
    """The columns of a query over a table as arrays, batch by batch: they never stand in memory twice."""
    most = con.sql(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    n = 0
    with contextlib.closing(con.sql(query).to_arrow_reader(_BATCH)) as reader:
        arrays = {field.name: np.empty(most, dtype=field.type.to_pandas_dtype()) for field in reader.schema}
        for batch in reader:
            for name, values in zip(arrays, batch.columns, strict=True):
                if values.null_count:
                    raise missing_values(table, name, values.null_count)
                arrays[name][n : n + len(values)] = values.to_numpy()
            n += batch.num_rows
    return {name: values[:n] for name, values in arrays.items()}


def _group(account: npt.NDArray[Any], n_accounts: int) -> tuple[Int64Array, Int64Array, Int32Array]:
    """First and last place of each account in a list of rows grouped by account, and the list."""
    edges = np.zeros(n_accounts + 1, dtype=np.int64)
    np.cumsum(np.bincount(account, minlength=n_accounts), out=edges[1:])
    rows = _NO_ROWS
    if np.any(account[1:] < account[:-1]):
        from overdue_ml.records._settle_pass import group_rows

        rows = np.empty(len(account), dtype=np.int32)
        group_rows(account, edges, rows)
    return edges[:-1], edges[1:], rows


def _place(con: duckdb.DuckDBPyConnection, runs: _Runs, ids: pa.Array) -> tuple[Int64Array, Int64Array]:
    """First and last row of each account where accounts are runs of rows."""
    if runs.ids.equals(ids):
        return runs.starts[:-1], runs.starts[1:]
    first, last = np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=np.int64)
    found = pa.table({"account_id": runs.ids, "run": np.arange(len(runs.ids), dtype=np.int32)})
    con.register(f"{_KEYS}_runs", found)
    try:
        pairs = con.sql(
            f"SELECT k.a, r.run FROM {_KEYS}_runs r JOIN {_KEYS} k USING (account_id)"
        ).to_arrow_table()
    finally:
        con.unregister(f"{_KEYS}_runs")
    account, run = pairs["a"].to_numpy(), pairs["run"].to_numpy()
    first[account], last[account] = runs.starts[run], runs.starts[run + 1]
    return first, last
