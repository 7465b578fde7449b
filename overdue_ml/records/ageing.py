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
#: A statement that says of a due that it is so many days late is written within so many days more, and one
#: that is written later than that may speak of a later due.
STATEMENT_DAYS = 32
#: After the opening: an account whose first statement on record is later has had others before it.
_FIRST_STATEMENT_DAYS = 62
#: What a statement asks for: the first of these that it says.
_ASKED = ("minimum_due_amount", "balance_amount")

Int32Array = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


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
        What instalments past due are short by, and what the latest statement asks for (its minimum due, else
        its balance) where it says that the account is past due; NaN where that is not known. None where the
        records cannot tell it of any account.
    told : ndarray of bool, shape (n_accounts,)
        Whether an instalment or a statement of the account is known on the last day.
    opened : ndarray of int32, shape (n_accounts,)
        Day of opening since 1970-01-01.
    first_due, first_late_days : ndarray of int32, shape (n_accounts,)
        The first due date known on the last day, and by how many days that due was paid late, or is late on
        that day; of a first due that statements tell, the worst days past due that they say within
        ``fpd_days`` and 32 days after it. A number that is not known is the smallest of its kind.
    first_by_statement : ndarray of bool, shape (n_accounts,)
        Whether it was statements that told the first due.
    """

    account_id: pa.ChunkedArray
    customer_id: pa.ChunkedArray
    days: tuple[dt.date, ...]
    dpd: Int32Array
    amount: FloatArray
    arrears_amount: FloatArray | None
    told: BoolArray
    opened: Int32Array
    first_due: Int32Array
    first_late_days: Int32Array
    first_by_statement: BoolArray


def compute_ageing(
    records: Records, days: AsOf | Sequence[AsOf], n_threads: int | None = None, *, fpd_days: int = 30
) -> Ageing:
    """Days past due and amounts of every account on some days, in one pass over the instalments.

    Of an account the worst instalment decides, and the latest known statement; amounts of both add up, as in
    :func:`~overdue_ml.records.compute_next_due`.

    Parameters
    ----------
    records : Records
    days : date, str or sequence of these
    n_threads : int, optional
        The result does not depend on it.
    fpd_days : int, default 30
        By how many days statements are to tell whether the first due was missed.

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
    has_instalments = "instalments" in records and "payments" in records
    present = set(records.columns("statements")) if "statements" in records else set()
    if not has_instalments and not present:
        raise RecordsError(
            "there is nothing to age", expected="the table statements, or instalments and payments"
        )
    accounts = records.tables["accounts"].sort_by("account_id")
    n, m = accounts.num_rows, len(dates)
    has_arrears = has_instalments or ("dpd" in present and bool(present & set(_ASKED)))
    found = Ageing(
        accounts.column("account_id"),
        accounts.column("customer_id"),
        tuple(dates),
        np.full((n, m), ABSENT, dtype=np.int32),
        np.zeros((n, m)),
        np.zeros((n, m)) if has_arrears else None,
        np.zeros(n, dtype=np.bool_),
        _days_of(accounts.column("opened_on")),
        np.full(n, NONE, dtype=np.int32),
        np.full(n, NONE, dtype=np.int32),
        np.zeros(n, dtype=np.bool_),
    )
    if has_instalments:
        _age_instalments(records, found, n_threads)
    if present:
        _age_statements(records, found, fpd_days)
    return found


def _days_of(column: pa.ChunkedArray) -> Int32Array:
    """Days since 1970-01-01; nulls as the smallest number."""
    plain = pc.fill_null(column.cast(pa.date32()).cast(pa.int32()), NONE)
    return np.asarray(plain.to_numpy(), dtype=np.int32)


def _age_instalments(records: Records, found: Ageing, n_threads: int | None) -> None:
    from overdue_ml.records._ageing_pass import age_states

    unsettled = read_unsettled(records, as_of=list(found.days))
    n, m = len(unsettled.accounts.ids), len(found.days)
    days = np.array(found.days, dtype="datetime64[D]").astype(np.int32)
    late = np.full((n, m), ABSENT, dtype=np.int32)
    owed = np.zeros((2, n, m), dtype=np.int64)
    firsts = np.full((3, n), NONE, dtype=np.int32)

    def visit(states: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> None:
        # A block has accounts of its own: no two threads write into one row.
        age_states(states, order, days, late, owed, firsts)

    unsettled.visit(visit, n_threads)
    ids = found.account_id
    place = pc.index_in(unsettled.accounts.ids.cast(ids.type), value_set=ids).to_numpy(zero_copy_only=False)
    found.dpd[place] = late
    found.amount[place] = owed[0] / UNITS
    assert found.arrears_amount is not None
    found.arrears_amount[place] = owed[1] / UNITS
    found.first_due[place], found.first_late_days[place] = firsts[0], firsts[2]
    found.told[place] = firsts[0] != NONE
    # What is within the tolerance of an account that is settled throughout is nothing to collect.
    found.amount[found.dpd == ABSENT] = 0.0


def _age_statements(records: Records, found: Ageing, fpd_days: int) -> None:
    present = set(records.columns("statements"))
    late = "s.dpd" if "dpd" in present else "CAST(NULL AS INTEGER)"
    balance = "greatest(coalesce(s.balance_amount, 0), 0)" if "balance_amount" in present else "0.0::DOUBLE"
    known = known_on_sql(records, "statements", "statement_date", "s")
    closed = "a.closed_on" if "closed_on" in records.columns("accounts") else "CAST(NULL AS DATE)"
    ids = found.account_id
    with records.connect() as con:
        con.register("places", pa.table({"account_id": ids, "place": np.arange(len(ids), dtype=np.int64)}))
        for j, day in enumerate(found.days):
            con.execute("SET VARIABLE day = ?", [day])
            # One day at a time: what a day keeps is a row an account, whatever the number of statements.
            table = con.sql(
                f"""
                SELECT p.place, l.last.dpd AS dpd, l.last.balance AS balance, l.last.asked AS asked,
                    coalesce({closed} > getvariable('day'), true) OR l.last.balance > 0
                        OR coalesce(l.last.dpd > 0, false) AS is_here
                FROM (
                    SELECT s.account_id, arg_max({{
                        'dpd': {late}, 'balance': {balance}, 'asked': {_asked_sql(present)}
                    }}, s.statement_date) AS last
                    FROM statements s WHERE {known} <= getvariable('day') GROUP BY s.account_id
                ) l JOIN accounts a USING (account_id) JOIN places p USING (account_id)
                """
            ).to_arrow_table()
            found.told[table.column("place").to_numpy()] = True
            _add_statements(found, j, table.filter(table.column("is_here")))
        if {"due_date", "dpd"} <= present:
            _first_of_statements(con, known, _asked_sql(present), found, fpd_days)


def _add_statements(found: Ageing, j: int, table: pa.Table) -> None:
    """Add what the latest statements of a day say of accounts in the book."""
    place = table.column("place").to_numpy()
    days_late = np.asarray(pc.fill_null(table.column("dpd"), UNKNOWN).to_numpy(), dtype=np.int32)
    found.dpd[place, j] = np.maximum(found.dpd[place, j], days_late)
    found.amount[place, j] += table.column("balance").to_numpy()
    if found.arrears_amount is not None:
        asked = np.asarray(table.column("asked").to_numpy(), dtype=np.float64)
        found.arrears_amount[place, j] += np.where(days_late > 0, np.maximum(asked, 0.0), 0.0)
        found.arrears_amount[place[found.dpd[place, j] == UNKNOWN], j] = np.nan


def _asked_sql(present: set[str]) -> str:
    """SQL for what a statement asks for; null where it does not say."""
    return f"coalesce({', '.join([*(f's.{name}' for name in _ASKED if name in present), 'NULL::DOUBLE'])})"


def _first_of_statements(
    con: duckdb.DuckDBPyConnection, known: str, asked: str, found: Ageing, fpd_days: int
) -> None:
    """The first due date of an account, and the worst days past due that the statements after it then say.

    A statement that asks for nothing is of no due; one that does not say what it asks for is taken to ask for
    something. Only of accounts whose first statement was written within two months of the opening: of others
    the first statement on record is not the first.

    That the first due was paid is told by a statement with no day past due, or by one so late after it that
    days past due would be those of a default. Where none of the statements tells, nobody knows.
    """
    table = con.sql(
        f"""
        WITH told AS (
            SELECT s.account_id, s.statement_date, s.dpd,
                min(s.due_date) FILTER (WHERE coalesce({asked}, 1) > 0)
                    OVER (PARTITION BY s.account_id) AS first_due,
                min(s.statement_date) OVER (PARTITION BY s.account_id) AS first_statement
            FROM statements s WHERE {known} <= getvariable('day')
        ), after AS (
            SELECT *, statement_date > first_due
                AND statement_date <= first_due + {fpd_days + STATEMENT_DAYS} AS speaks,
                dpd = 0 OR dpd > {fpd_days} OR statement_date > first_due + {fpd_days} AS tells
            FROM told
        )
        SELECT p.place, any_value(t.first_due) AS first_due,
            CASE WHEN bool_or(t.tells) FILTER (WHERE t.speaks AND t.dpd IS NOT NULL)
                THEN max(t.dpd) FILTER (WHERE t.speaks) END::INTEGER AS late
        FROM after t JOIN accounts a USING (account_id) JOIN places p USING (account_id)
        WHERE t.first_due IS NOT NULL AND t.first_statement <= a.opened_on + {_FIRST_STATEMENT_DAYS}
        GROUP BY p.place
        """
    ).to_arrow_table()
    place = table.column("place").to_numpy()
    # Where an account has instalments too, they have said it.
    mine = found.first_due[place] == NONE
    here = place[mine]
    found.first_due[here] = _days_of(table.column("first_due"))[mine]
    found.first_late_days[here] = pc.fill_null(table.column("late"), NONE).to_numpy()[mine]
    found.first_by_statement[here] = True
