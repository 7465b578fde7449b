"""From which day each row and each account was known, as numbers: what ``facts`` says in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.records._ledger import ALWAYS, NEVER, Int64Array
from overdue_ml.records.contracts import CONTRACTS, KNOWN_FROM

if TYPE_CHECKING:
    from overdue_ml.records.load import Records

#: What no date becomes: 9999-12-31, the day that never comes.
UNDATED = NEVER


def day_numbers(column: pa.ChunkedArray, null: int = UNDATED) -> Int64Array:
    """Days since 1970-01-01 of a column of dates.

    Parameters
    ----------
    column : pyarrow.ChunkedArray of date32
    null : int
        What a null becomes.
    """
    days = column.cast(pa.int32())
    return np.asarray((days.fill_null(null) if days.null_count else days).to_numpy(), dtype=np.int64)


def places_in(ids: pa.Array, column: pa.Array | pa.ChunkedArray) -> Int64Array:
    """The place of each value of a column among some ids; -1 where it has none.

    Equal ids mostly stand behind one another: each run of them is looked up once.

    Parameters
    ----------
    ids : pyarrow.Array of str
        Each once.
    column : pyarrow.Array or ChunkedArray of str
    """
    pieces = [np.empty(0, dtype=np.int64)]
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        encoded = pc.run_end_encode(chunk, run_end_type=pa.int64())
        found = pc.fill_null(pc.index_in(encoded.values.cast(ids.type), ids, skip_nulls=True), -1)
        lengths = np.diff(encoded.run_ends.to_numpy(), prepend=0)
        pieces.append(np.repeat(found.to_numpy().astype(np.int64), lengths))
    return np.concatenate(pieces)


def account_places(records: Records, table: str) -> Int64Array:
    """The row of ``accounts`` that each row of a table belongs to; -1 where there is none."""
    ids = records.tables["accounts"]["account_id"].combine_chunks()
    return places_in(ids, records.tables[table]["account_id"])


def known_days(records: Records, table: str) -> Int64Array:
    """The day from which each row of a table was known.

    Parameters
    ----------
    records : Records
    table : str
        Of ``KNOWN_FROM``.

    Returns
    -------
    ndarray of int64, shape (n_rows,)
        Days since 1970-01-01, as :func:`overdue_ml.records.facts.known_on_sql` tells them.
    """
    rows = records.tables[table]
    own = None
    if "known_on" in rows.column_names and any(c.name == "known_on" for c in CONTRACTS[table].columns):
        own = day_numbers(rows["known_on"])
        if table != "payments" and not rows["known_on"].null_count:
            return own
    fallback = _fallback(records, table)
    known = fallback if own is None else np.where(own == UNDATED, fallback, own)
    return np.maximum(known, day_numbers(rows["paid_on"])) if table == "payments" else known


def _fallback(records: Records, table: str) -> Int64Array:
    rows = records.tables[table]
    if table == "instalments":
        # One more, for the rows of no account.
        opened = np.append(day_numbers(records.tables["accounts"]["opened_on"], ALWAYS), ALWAYS)
        return opened[account_places(records, table)]
    days = day_numbers(rows[KNOWN_FROM[table]])
    return days + records.config.posting_lag_days if table == "payments" else days


def account_known_days(records: Records) -> Int64Array:
    """The day from which each account was known.

    Parameters
    ----------
    records : Records

    Returns
    -------
    ndarray of int64, shape (n_accounts,)
        In the order of the table; days since 1970-01-01, ``UNDATED`` where nothing dates the account. As
        :func:`overdue_ml.records.facts.account_known_sql` tells them.
    """
    opened = day_numbers(records.tables["accounts"]["opened_on"])
    known = opened.copy()
    for table in ("statements", "payments", "instalments"):
        if table not in records:
            continue
        rows = records.tables[table]
        place = account_places(records, table)
        if table != "instalments":
            _lower(known, place, known_days(records, table))
        elif "known_on" in rows.column_names:
            told = day_numbers(rows["known_on"])
            _lower(known, place, told)
            _lower(known, place[(told == UNDATED) & (opened[place] == UNDATED)], ALWAYS)
        else:
            _lower(known, place[opened[place] == UNDATED], ALWAYS)
    return known


def _lower(known: Int64Array, place: Int64Array, days: Int64Array | int) -> None:
    """Take the smaller day of each account; rows of no account say nothing."""
    if not len(place):
        return
    first = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
    if isinstance(days, np.ndarray):
        days = np.minimum.reduceat(days, first)
    is_one = place[first] >= 0
    np.minimum.at(known, place[first][is_one], days[is_one] if isinstance(days, np.ndarray) else days)
