"""What every account owed and how late it was on some days, each as known at the end of that day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import RecordsError
from overdue_ml.records._ledger import NONE, UNITS
from overdue_ml.records.dates import AsOf, parse_dates
from overdue_ml.records.facts import known_on_sql
from overdue_ml.records.load import Records
from overdue_ml.records.states import read_unsettled

#: Days past due of an account that is not in the book, and of one of which nobody knows them.
ABSENT, UNKNOWN = -2, -1
#: The first statement whose days past due can say that the first due was missed by more than a month, and
#: the last that still says it of the first due and not of a later one.
_FIRST_WAIT = 62

Int32Array = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ageing:
    """Accounts by days.

    Attributes
    ----------
    account_id, customer_id : pyarrow.ChunkedArray, shape (n_accounts,)
        In the order of ``accounts``.
    days : tuple of date
        Ascending.
    dpd : ndarray of int32, shape (n_accounts, n_days)
        Days past due; -1 where the latest statement does not say, -2 for an account that is not in the book:
        not known yet, all paid, or closed and nothing owed.
    amount : ndarray of float64, shape (n_accounts, n_days)
        What is owed: the latest known balance, and all that known instalments are short by.
    arrears_amount : ndarray of float64, shape (n_accounts, n_days), or None
        What instalments past due are short by; None for a lender of statements only.
    opened : ndarray of int32, shape (n_accounts,)
        Day of opening since 1970-01-01.
    first_due, first_late_days : ndarray of int32, shape (n_accounts,)
        The first due date known on the last day, and by how many days that due was paid late, or is late on
        that day. A number that is not known is the smallest of its kind.
    """

    account_id: pa.ChunkedArray
    customer_id: pa.ChunkedArray
    days: tuple[dt.date, ...]
    dpd: Int32Array
    amount: FloatArray
    arrears_amount: FloatArray | None
    opened: Int32Array
    first_due: Int32Array
    first_late_days: Int32Array


def compute_ageing(records: Records, days: AsOf | Sequence[AsOf], n_threads: int | None = None) -> Ageing:
    """Days past due and amounts of every account on some days, in one pass over the instalments.

    Of an account the worst instalment decides, and the latest known statement; amounts of both add up, as in
    :func:`~overdue_ml.records.compute_next_due`.

    Parameters
    ----------
    records : Records
    days : date, str or sequence of these
    n_threads : int, optional
        The result does not depend on it.

    Returns
    -------
    Ageing

    Raises
    ------
    RecordsError
        If there are neither statements nor instalments with payments.
    ConfigError
        If there is no day, or one is not a date.
    """
    dates = parse_dates(days)
    accounts = records.tables["accounts"].sort_by("account_id")
    n, m = accounts.num_rows, len(dates)
    dpd = np.full((n, m), ABSENT, dtype=np.int32)
    amount, first = np.zeros((n, m)), np.full((2, n), NONE, dtype=np.int32)
    has_instalments = "instalments" in records and "payments" in records
    if not has_instalments and "statements" not in records:
        raise RecordsError(
            "there is nothing to age", expected="the table statements, or instalments and payments"
        )
    arrears = np.zeros((n, m)) if has_instalments else None
    if arrears is not None:
        _age_instalments(records, accounts, dates, (dpd, amount, arrears, first), n_threads)
    if "statements" in records:
        _age_statements(records, accounts, dates, (dpd, amount, first))
    return Ageing(
        accounts.column("account_id"),
        accounts.column("customer_id"),
        tuple(dates),
        dpd,
        amount,
        arrears,
        _days_of(accounts.column("opened_on")),
        first[0],
        first[1],
    )


def _days_of(column: pa.ChunkedArray) -> Int32Array:
    """Days since 1970-01-01; nulls as the smallest number."""
    plain = pc.fill_null(column.cast(pa.date32()).cast(pa.int32()), NONE)
    return np.asarray(plain.to_numpy(), dtype=np.int32)


def _age_instalments(
    records: Records,
    accounts: pa.Table,
    dates: list[dt.date],
    out: tuple[Int32Array, FloatArray, FloatArray, Int32Array],
    n_threads: int | None,
) -> None:
    from overdue_ml.records._ageing_pass import age_states

    dpd, amount, arrears, first = out
    unsettled = read_unsettled(records, as_of=dates)
    n, m = len(unsettled.accounts.ids), len(dates)
    days = np.array(dates, dtype="datetime64[D]").astype(np.int32)
    late = np.full((n, m), ABSENT, dtype=np.int32)
    owed = np.zeros((2, n, m), dtype=np.int64)
    firsts = np.full((3, n), NONE, dtype=np.int32)

    def visit(states: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> None:
        # A block has accounts of its own: no two threads write into one row.
        age_states(states, order, days, late, owed, firsts)

    unsettled.visit(visit, n_threads)
    ids = accounts.column("account_id")
    place = pc.index_in(unsettled.accounts.ids.cast(ids.type), value_set=ids).to_numpy(zero_copy_only=False)
    dpd[place] = late
    amount[place], arrears[place] = owed[0] / UNITS, owed[1] / UNITS
    first[0, place], first[1, place] = firsts[0], firsts[2]
    # What is within the tolerance of an account that is settled throughout is nothing to collect.
    amount[dpd == ABSENT] = 0.0


def _age_statements(
    records: Records,
    accounts: pa.Table,
    dates: list[dt.date],
    out: tuple[Int32Array, FloatArray, Int32Array],
) -> None:
    dpd, amount, first = out
    present = set(records.columns("statements"))
    late = "s.dpd" if "dpd" in present else "CAST(NULL AS INTEGER)"
    balance = "greatest(coalesce(s.balance_amount, 0), 0)" if "balance_amount" in present else "0.0"
    known = known_on_sql(records, "statements", "statement_date", "s")
    closed = "a.closed_on" if "closed_on" in records.columns("accounts") else "CAST(NULL AS DATE)"
    ids = accounts.column("account_id")
    with records.connect() as con:
        con.register("places", pa.table({"account_id": ids, "place": np.arange(len(ids), dtype=np.int64)}))
        for j, day in enumerate(dates):
            con.execute("SET VARIABLE day = ?", [day])
            # One day at a time: what a day keeps is a row an account, whatever the number of statements.
            found = con.sql(
                f"""
                SELECT p.place, l.last.dpd AS dpd, l.last.balance AS balance
                FROM (
                    SELECT s.account_id, arg_max(
                        {{'dpd': {late}, 'balance': {balance}}}, s.statement_date) AS last
                    FROM statements s WHERE {known} <= getvariable('day') GROUP BY s.account_id
                ) l JOIN accounts a USING (account_id) JOIN places p USING (account_id)
                WHERE {closed} IS NULL OR {closed} > getvariable('day') OR l.last.balance > 0
                    OR l.last.dpd > 0
                """
            ).to_arrow_table()
            place = found.column("place").to_numpy()
            days_late = np.asarray(pc.fill_null(found.column("dpd"), UNKNOWN).to_numpy(), dtype=np.int32)
            dpd[place, j] = np.maximum(dpd[place, j], days_late)
            amount[place, j] += found.column("balance").to_numpy()
        if {"due_date", "dpd"} <= present:
            _first_of_statements(con, known, first)


def _first_of_statements(con: duckdb.DuckDBPyConnection, known: str, first: Int32Array) -> None:
    """The first due date of an account, and the worst days past due that statements of two months then say.

    Only of accounts whose first statement was written within two months of the opening: of others the first
    statement on record is not the first.
    """
    found = con.sql(
        f"""
        WITH told AS (
            SELECT s.account_id, s.statement_date, s.due_date, s.dpd,
                min(s.due_date) OVER (PARTITION BY s.account_id) AS first_due,
                min(s.statement_date) OVER (PARTITION BY s.account_id) AS first_statement
            FROM statements s WHERE {known} <= getvariable('day')
        )
        SELECT p.place, any_value(t.first_due) AS first_due,
            coalesce(max(t.dpd) FILTER (
                WHERE t.statement_date > t.first_due AND t.statement_date <= t.first_due + {_FIRST_WAIT}
            ), 0)::INTEGER AS late
        FROM told t JOIN accounts a USING (account_id) JOIN places p USING (account_id)
        WHERE t.first_due IS NOT NULL AND t.first_statement <= a.opened_on + {_FIRST_WAIT}
        GROUP BY p.place
        """
    ).to_arrow_table()
    place = found.column("place").to_numpy()
    # Of a lender with both, the instalments have said it.
    mine = first[0, place] == NONE
    first[0, place[mine]] = _days_of(found.column("first_due"))[mine]
    first[1, place[mine]] = found.column("late").to_numpy()[mine]
