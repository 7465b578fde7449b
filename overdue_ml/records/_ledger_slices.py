"""Rows read block by block from Arrow tables whose rows already stand in the order of the accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from overdue_ml.errors import RecordsError
from overdue_ml.records._ledger import NONE, Int32Array, Int64Array, Ledger

_TYPES = {
    "instalments": {
        "instalment_no": pa.int32(), "due_date": pa.date32(), "amount_due": pa.float64(),
        "known_on": pa.date32(),
    },
    "payments": {
        "paid_on": pa.date32(), "amount": pa.float64(), "instalment_no": pa.int32(), "known_on": pa.date32(),
        "technical": pa.bool_(),
    },
}  # fmt: skip
_REQUIRED = {"instalments": ("instalment_no", "due_date", "amount_due"), "payments": ("paid_on", "amount")}
_NO_ROWS = np.empty(0, dtype=np.int32)
_Edges = tuple[Int64Array, Int64Array]


def missing_values(table: str, column: str, count: int) -> RecordsError:
    """The error for a column that may not be empty and is, or is no finite number."""
    return RecordsError(
        f"{count} rows have no '{column}'",
        where=f"table {table}",
        next_step="load the records by load_records, which rejects such rows",
    )


def slice_rows(
    tables: Mapping[str, pa.Table],
    opened: Int32Array,
    edges: Mapping[str, _Edges],
    posting_lag_days: int,
    wait_days: int,
) -> SlicedRows | None:
    """Rows in slices, or None if they stand in another order than accounts or are of other types.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
    opened : ndarray of int32, shape (n_accounts,)
    edges : mapping of str to a pair of ndarray of int64, shape (n_accounts,)
        First and last row of each account, by table.
    posting_lag_days, wait_days : int

    Raises
    ------
    RecordsError
        If a column that may not be empty is.
    """
    columns = {}
    for name, types in _TYPES.items():
        present = {column: tables[name][column] for column in types if column in tables[name].column_names}
        if any(values.type != types[column] for column, values in present.items()):
            return None
        for column in _REQUIRED[name]:
            if present[column].null_count:
                raise missing_values(name, column, present[column].null_count)
        columns[name] = {
            column: values.cast(pa.int32()) if pa.types.is_date(values.type) else values
            for column, values in present.items()
        }
    versions, payments = _ascending(*edges["instalments"]), _ascending(*edges["payments"])
    if versions is None or payments is None:
        return None
    return SlicedRows(columns, opened, versions, payments, posting_lag_days, wait_days)


def _ascending(first: Int64Array, last: Int64Array) -> _Edges | None:
    """Edges in which an account without rows stands where the one before it ends; None if they descend."""
    ends = np.maximum.accumulate(last)
    empty = first == last
    first = np.where(empty, ends, first)
    return (first, ends) if np.all(first[1:] >= ends[:-1]) and np.all((last == ends) | empty) else None


@dataclass(frozen=True)
class SlicedRows:
    """Columns of the tables, of which each block of accounts copies its own rows.

    Attributes
    ----------
    columns : mapping of str to mapping of str to pyarrow.ChunkedArray
        By table and name; dates as days since 1970-01-01.
    opened : ndarray of int32, shape (n_accounts,)
    versions, payments : pair of ndarray of int64, shape (n_accounts,)
        First and last row of each account, ascending.
    posting_lag_days, wait_days : int
    """

    columns: Mapping[str, Mapping[str, pa.ChunkedArray]]
    opened: Int32Array
    versions: _Edges
    payments: _Edges
    posting_lag_days: int
    wait_days: int

    def part(self, first: int, stop: int) -> tuple[Ledger, int]:
        """A ledger of the accounts ``first`` to ``stop`` alone.

        Raises
        ------
        RecordsError
            If an amount is not finite.
        """
        version, version_edges = self._slice("instalments", self.versions, first, stop)
        payment, payment_edges = self._slice("payments", self.payments, first, stop)
        paid_on = payment["paid_on"]
        told = payment["known_on"]
        known = np.where(told == NONE, paid_on + self.posting_lag_days, told) - self.wait_days
        ledger = Ledger(
            self.opened[first:stop],
            *version_edges,
            _NO_ROWS,
            version["instalment_no"],
            version["due_date"],
            version["amount_due"],
            version["known_on"],
            *payment_edges,
            _NO_ROWS,
            paid_on,
            payment["amount"],
            payment["instalment_no"],
            np.maximum(paid_on, known).astype(np.int32),
            payment["technical"],
        )
        return ledger.frozen(), first

    def _slice(
        self, table: str, edges: _Edges, first: int, stop: int
    ) -> tuple[dict[str, npt.NDArray[Any]], _Edges]:
        start, end = (int(edges[0][first]), int(edges[1][stop - 1])) if stop > first else (0, 0)
        columns = {
            column: _copy(self.columns[table].get(column), kind, table, column, slice(start, end))
            for column, kind in _TYPES[table].items()
        }
        return columns, (edges[0][first:stop] - start, edges[1][first:stop] - start)


def _copy(
    values: pa.ChunkedArray | None, kind: pa.DataType, table: str, column: str, rows: slice
) -> npt.NDArray[Any]:
    """Some rows of a column: int64 units of amounts, 0 or 1 of truths, else int32 with NONE for nulls."""
    from overdue_ml.records._settle_columns import to_units

    n = rows.stop - rows.start
    if values is None:
        return np.zeros(n, np.uint8) if kind == pa.bool_() else np.full(n, NONE, dtype=np.int32)
    piece = values.slice(rows.start, n)
    if kind == pa.bool_():
        return np.asarray(piece.fill_null(False).cast(pa.uint8()).to_numpy())
    if kind != pa.float64():
        return np.asarray((piece.fill_null(NONE) if piece.null_count else piece).to_numpy())
    amounts = piece.to_numpy().view()
    amounts.flags.writeable = False
    if not np.isfinite(amounts).all():
        raise missing_values(table, column, int((~np.isfinite(amounts)).sum()))
    return np.asarray(to_units(amounts))
