"""Facts as known on a date that more than one stage needs."""

from __future__ import annotations

import datetime as dt

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.records._ledger import NEVER, Int64Array
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.load import Records
from overdue_ml.records.state_columns import ACCOUNT, DUE, DUE_DATE, FROM, NONE, PAID, SETTLED, UNITS, UNTIL
from overdue_ml.records.states import read_unsettled

#: From which of its dates a row without ``known_on`` is known. Of labels nobody can tell.
KNOWN_FROM: dict[str, str] = {
    "statements": "statement_date",
    "instalments": "opened_on",  # of the account
    "payments": "paid_on",  # and the posting lag
    "incomes": "received_on",
    "borrowings": "reported_on",
    "contacts": "contacted_on",
}
ALWAYS = "DATE '0001-01-01'"

_NO_NEXT_DUE = pd.DataFrame(
    {
        "next_due_date": pd.Series(dtype="datetime64[us]"),
        "due_amount": pd.Series(dtype="float64"),
        "exposure_amount": pd.Series(dtype="float64"),
        "dpd": pd.Series(dtype="float64"),
        "paid_due_date": pd.Series(dtype="datetime64[us]"),
        "overdue_amount": pd.Series(dtype="float64"),
    },
    index=pd.Index([], dtype="str", name="customer_id"),
)


def known_on_sql(records: Records, table: str, default: str | None = None, alias: str = "") -> str:
    """SQL for the day on which a row was known: its ``known_on`` if it has one, else ``default``.

    Payments without one are known ``records.config.posting_lag_days`` after they were paid, and none
    before; instalments without one from the ``opened_on`` of their account, else always.

    Parameters
    ----------
    records : Records
    table : str
    default : str, optional
        A date column of the table; by :data:`KNOWN_FROM` otherwise.
    alias : str
        Table alias in the query.
    """
    row = alias or table
    prefix = f"{alias}." if alias else ""
    own = "known_on" in records.columns(table) and any(c.name == "known_on" for c in CONTRACTS[table].columns)
    date = default or KNOWN_FROM[table]
    if date == "opened_on" and table != "accounts":
        # Qualified by the table's own name: inside the subquery a bare account_id is the account's.
        opened = f"(SELECT o.opened_on FROM accounts o WHERE o.account_id = {row}.account_id)"
        return f"coalesce({f'{row}.known_on, ' if own else ''}{opened}, {ALWAYS})"
    fallback = f"{prefix}{date}"
    if table == "payments" and records.config.posting_lag_days:
        fallback = f"{fallback} + {records.config.posting_lag_days}"
    if not own:
        return fallback
    known = f"coalesce({prefix}known_on, {fallback})"
    return f"greatest({prefix}{date}, {known})" if table == "payments" else known


def account_known_sql(records: Records) -> str:
    """SQL for the day from which each account was known: ``account_id, customer_id, known_on``.

    That is its opening or its first known statement, payment or instalment version, whichever came
    first; null if it has none of them. Instalments that nobody dated, of an account that nobody knows
    the opening of, were always known, as in settlement.
    """
    events = [
        f"SELECT account_id, {known_on_sql(records, table)} AS day, false AS undated FROM {table}"
        for table in ("statements", "payments")
        if table in records
    ]
    if "instalments" in records:
        # Not by known_on_sql: its look-up of each row's account is what the join below does once.
        day = "known_on" if "known_on" in records.columns("instalments") else "CAST(NULL AS DATE)"
        events.append(f"SELECT account_id, {day} AS day, {day} IS NULL AS undated FROM instalments")
    if not events:
        return "SELECT account_id, customer_id, opened_on AS known_on FROM accounts"
    return f"""
        SELECT a.account_id, a.customer_id, least(a.opened_on, f.first_known,
            CASE WHEN a.opened_on IS NULL AND f.undated THEN {ALWAYS} END) AS known_on
        FROM accounts a LEFT JOIN (
            SELECT account_id, min(day) AS first_known, bool_or(undated) AS undated
            FROM ({" UNION ALL ".join(events)}) GROUP BY account_id
        ) f USING (account_id)"""


def compute_next_due(records: Records, as_of: dt.date) -> pd.DataFrame:
    """Next due date and amounts of every customer, as known at the end of ``as_of``.

    The latest known statement of an account decides, and its instalments if it has any. A statement's
    due amount is its minimum due, or the balance where the records have no minimum; balances in credit
    owe nothing. An instalment's is what it is short by, and what is settled already is not due.

    Parameters
    ----------
    records : Records
    as_of : datetime.date

    Returns
    -------
    pandas.DataFrame
        Indexed by customer_id: next_due_date (the earliest due date after ``as_of``; null if none),
        due_amount (due on that date), exposure_amount (all balances, and all that instalments are short
        by), dpd (worst account, days), paid_due_date (the earliest due date after ``as_of`` of an instalment
        that is settled already; null if none), overdue_amount (what is due of everything that is past due).
        A customer without a known statement or instalment has no row.
    """
    parts = []
    if "statements" in records:
        parts.append(_statement_dues(records, as_of))
    if "instalments" in records and "payments" in records:
        parts.append(_instalment_dues(records, as_of))
    if not parts:
        return _NO_NEXT_DUE.copy()
    with duckdb.connect() as con:
        con.register("dues", pa.concat_tables(parts))
        # Sums in a fixed order: their last bit must not hang on threads.
        frame = con.execute(
            """
            WITH upcoming AS (
                SELECT *, min(due_date) FILTER (WHERE due_date > $as_of)
                    OVER (PARTITION BY customer_id) AS next_due_date
                FROM dues
            )
            SELECT customer_id, any_value(next_due_date) AS next_due_date,
                coalesce(sum(due_amount ORDER BY due_amount) FILTER (WHERE due_date = next_due_date), 0.0)
                    AS due_amount,
                coalesce(sum(exposure_amount ORDER BY exposure_amount), 0.0) AS exposure_amount,
                max(dpd) AS dpd, min(paid_due_date) AS paid_due_date,
                coalesce(sum(due_amount ORDER BY due_amount) FILTER (WHERE dpd > 0), 0.0) AS overdue_amount
            FROM upcoming GROUP BY customer_id ORDER BY customer_id
            """,
            {"as_of": as_of},
        ).df()
    return frame.set_index("customer_id")


def _statement_dues(records: Records, as_of: dt.date) -> pa.Table:
    """The latest known statement of each account: customer_id, due_date, amounts and dpd."""
    present = set(records.columns("statements"))

    def col(name: str, kind: str) -> str:
        return f"s.{name}" if name in present else f"CAST(NULL AS {kind})"

    known = known_on_sql(records, "statements", "statement_date", "s")
    with records.connect() as con:
        con.execute("SET VARIABLE as_of = ?", [as_of])
        return con.sql(
            f"""
            SELECT a.customer_id, {col("due_date", "DATE")} AS due_date,
                greatest(coalesce({col("minimum_due_amount", "DOUBLE")},
                                  {col("balance_amount", "DOUBLE")}), 0) AS due_amount,
                greatest({col("balance_amount", "DOUBLE")}, 0) AS exposure_amount,
                {col("dpd", "INTEGER")} AS dpd, CAST(NULL AS DATE) AS paid_due_date
            FROM accounts a JOIN statements s USING (account_id)
            WHERE {known} <= getvariable('as_of')
            QUALIFY row_number() OVER (PARTITION BY a.account_id ORDER BY s.statement_date DESC) = 1
            """
        ).to_arrow_table()


def _instalment_dues(records: Records, as_of: dt.date) -> pa.Table:
    """Per customer and due date what instalments are short by; the settled ones together, without a date."""
    day = (as_of - dt.date(1970, 1, 1)).days
    unsettled = read_unsettled(records, as_of=as_of)
    customers = unsettled.customers.dictionary_encode()
    # A customer who is not known comes last, and is one more customer.
    customer_of = pc.fill_null(customers.indices, len(customers.dictionary)).to_numpy()

    def add_up(states: Int64Array, order: Int64Array) -> list[Int64Array]:
        now = states[order[(states[order, FROM] <= day) & (day < states[order, UNTIL])]]
        settled = now[:, SETTLED] != 0
        customer, due_date = customer_of[now[:, ACCOUNT]], np.where(settled, NONE, now[:, DUE_DATE])
        rows = np.lexsort((due_date, customer))
        now, settled, customer, due_date = now[rows], settled[rows], customer[rows], due_date[rows]
        is_new = (np.diff(customer, prepend=-1) != 0) | (np.diff(due_date, prepend=NONE) != 0)
        first = np.flatnonzero(is_new)
        late = np.where(settled, 0, np.maximum(day - due_date, 0))
        paid_ahead = settled & (now[:, DUE] > 0) & (now[:, DUE_DATE] > day)
        return [
            customer[first],
            due_date[first],
            # Whole units, so exactly.
            np.add.reduceat(now[:, DUE] - now[:, PAID], first),
            np.maximum.reduceat(late, first),
            np.minimum.reduceat(np.where(paid_ahead, now[:, DUE_DATE], NEVER), first),
        ]

    columns = zip(*unsettled.visit(add_up), strict=True)
    customer, due_date, short, dpd, paid_due_date = (np.concatenate(parts) for parts in columns)
    amount = pa.array(short / UNITS)
    return pa.table(
        {
            "customer_id": customers.dictionary.take(
                pa.array(customer, mask=customer == len(customers.dictionary))
            ),
            "due_date": _dates(due_date, due_date != NONE),
            "due_amount": amount,
            "exposure_amount": amount,
            "dpd": pa.array(dpd.astype(np.int32)),
            "paid_due_date": _dates(paid_due_date, paid_due_date != NEVER),
        }
    )


def _dates(days: Int64Array, known: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array(days.astype(np.int32), pa.int32(), mask=~known).cast(pa.date32())
