"""States of instalments as Arrow tables: blocks of accounts settled in threads, put together in order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from overdue_ml.records._ledger import UNITS, Accounts, Int32Array, Int64Array, Rows, Terms
from overdue_ml.records.dates import AsOf, parse_dates

#: Accounts that one call of the pass settles.
_BLOCK = 500

_NO_STATES = np.empty((0, 14), dtype=np.int64)

# The columns that ``fill_columns`` and ``fill_facts`` fill, in their order.
_INTEGERS = (
    "account", "number", "from", "until", "due_date", "settled_on", "n_payments", "n_reversals", "last",
)  # fmt: skip
_AMOUNTS = ("due", "paid", "shortfall", "technical", "received")
_BITS = ("is_settled", "has_paid")
_FACT_INTEGERS = ("as_of", "dpd", "days_early")

_T = TypeVar("_T")


def terms_of(tolerance_amount: float, tolerance_ratio: float, as_of: AsOf | Sequence[AsOf] | None) -> Terms:
    """Tolerances in units, and the days to look at; None is every day.

    Raises
    ------
    ConfigError
        If ``as_of`` holds no date.
    """
    dates = [] if as_of is None else parse_dates(as_of)
    days = np.array(dates, dtype="datetime64[D]").astype(np.int32)
    return Terms(round(tolerance_amount * UNITS), float(tolerance_ratio), days)


def settle_blocks(
    rows: Rows,
    terms: Terms,
    accounts: range | Sequence[range],
    convert: Callable[[Int64Array, Int64Array], _T],
    n_threads: int | None = None,
) -> list[_T]:
    """Settle accounts block by block and convert each block's states in its thread.

    Parameters
    ----------
    rows : Rows
    terms : Terms
    accounts : range or sequence of range
        The blocks, where they must not be cut anywhere.
    convert : callable
        Gets the states of a block and their order, as ``settle_accounts`` gives them.
    n_threads : int, optional
        All cores by default; the result does not depend on it.
    """
    from overdue_ml.records._settle_pass import settle_accounts

    # A buffer for each thread: fresh memory for each block costs more than filling it.
    buffers = threading.local()

    def run(block: range) -> _T:
        out = getattr(buffers, "out", _NO_STATES)
        ledger, offset = rows.part(block.start, block.stop)
        buffers.out, order = settle_accounts(ledger, terms, (block.start, block.stop, offset), out)
        return convert(buffers.out, order)

    with ThreadPoolExecutor(n_threads or os.cpu_count() or 1) as pool:
        return list(pool.map(run, _cut(accounts) if isinstance(accounts, range) else accounts))


def _cut(accounts: range) -> list[range]:
    # Without accounts one empty block gives the columns and their types.
    firsts = range(accounts.start, max(accounts.stop, accounts.start + 1), _BLOCK)
    return [range(first, min(first + _BLOCK, accounts.stop)) for first in firsts]


def histories_of(accounts: Accounts, states: Int64Array, order: Int64Array) -> pa.Table:
    """The states of a block as rows of ``compute_histories``."""
    columns = _Columns(states, order)
    return pa.table(
        {
            "customer_id": accounts.customers.take(columns.integer("account")),
            "account_id": accounts.ids.take(columns.integer("account")),
            "instalment_no": columns.integer("number"),
            "from_date": columns.date("from"),
            "until_date": columns.date("until"),
            **columns.standing(),
            "n_payments": columns.integer("n_payments"),
            "n_reversals": columns.integer("n_reversals"),
            "technical_amount": columns.amount("technical", is_known=accounts.has_technical),
            "received_amount": columns.amount("received"),
            "last_paid_on": columns.date("last", "has_paid"),
        }
    )


def facts_of(
    accounts: Accounts, states: Int64Array, order: Int64Array, as_of_days: Int32Array
) -> list[pa.Table]:
    """The states of a block as rows of ``compute_facts``, a table for each as_of date."""
    starts, ends = states[order, 2], states[order, 3]
    return [
        _facts_as_of(accounts, states, order[(starts <= day) & (day < ends)], int(day)) for day in as_of_days
    ]


def _facts_as_of(accounts: Accounts, states: Int64Array, rows: Int64Array, day: int) -> pa.Table:
    columns = _Columns(states, rows)
    columns.add_facts(states, rows, day)
    return pa.table(
        {
            "account_id": accounts.ids.take(columns.integer("account")),
            "instalment_no": columns.integer("number"),
            "as_of_date": columns.date("as_of"),
            **columns.standing(),
            "dpd": columns.integer("dpd"),
            "days_early": columns.integer("days_early"),
            "n_payments": columns.integer("n_payments"),
            "n_reversals": columns.integer("n_reversals"),
            "technical_ratio": columns.amount("ratio", "has_paid", is_known=accounts.has_technical),
            "last_paid_on": columns.date("last", "has_paid"),
        }
    )


class _Columns:
    """Columns of some states under their names, as Arrow arrays that no one copies again."""

    def __init__(self, states: Int64Array, rows: Int64Array) -> None:
        from overdue_ml.records._settle_columns import fill_columns

        self._n = len(rows)
        self._buffers: dict[str, pa.Buffer] = {}
        bits = self._add(_BITS, np.uint8, (self._n + 7) // 8)
        for values in bits:
            values[:] = 0
        integers, amounts = self._add(_INTEGERS, np.int32), self._add(_AMOUNTS, np.float64)
        fill_columns(states, rows, integers, amounts, bits)

    def add_facts(self, states: Int64Array, rows: Int64Array, day: int) -> None:
        """Add what depends on the day."""
        from overdue_ml.records._settle_columns import fill_facts

        integers, (ratio,) = self._add(_FACT_INTEGERS, np.int32), self._add(("ratio",), np.float64)
        fill_facts(states, rows, day, integers, ratio)

    def _add(
        self, names: tuple[str, ...], kind: type[np.generic], size: int | None = None
    ) -> tuple[npt.NDArray[Any], ...]:
        size = self._n if size is None else size
        # Arrow's own allocator hands the memory of parts that are gone to the next ones.
        for name in names:
            self._buffers[name] = pa.allocate_buffer(size * np.dtype(kind).itemsize)
        return tuple(np.frombuffer(self._buffers[name], dtype=kind) for name in names)

    def _wrap(self, kind: pa.DataType, name: str, valid: str | None) -> pa.Array:
        bits = None if valid is None else self._buffers[valid]
        return pa.Array.from_buffers(kind, self._n, [bits, self._buffers[name]])

    def integer(self, name: str) -> pa.Array:
        return self._wrap(pa.int32(), name, None)

    def date(self, name: str, valid: str | None = None) -> pa.Array:
        return self._wrap(pa.date32(), name, valid)

    def amount(self, name: str, valid: str | None = None, *, is_known: bool = True) -> pa.Array:
        return self._wrap(pa.float64(), name, valid) if is_known else pa.nulls(self._n, pa.float64())

    def standing(self) -> dict[str, pa.Array]:
        """The columns that histories and facts share."""
        return {
            "due_date": self.date("due_date"),
            "amount_due": self.amount("due"),
            "paid_amount": self.amount("paid"),
            "shortfall_amount": self.amount("shortfall"),
            "is_settled": self._wrap(pa.bool_(), "is_settled", None),
            "settled_on": self.date("settled_on", "is_settled"),
        }
