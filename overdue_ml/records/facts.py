"""Facts as known on a date that more than one stage needs."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from overdue_ml.records.load import Records

_NO_NEXT_DUE = pd.DataFrame(
    {
        "next_due_date": pd.Series(dtype="datetime64[us]"),
        "due_amount": pd.Series(dtype="float64"),
        "exposure_amount": pd.Series(dtype="float64"),
        "dpd": pd.Series(dtype="float64"),
    },
    index=pd.Index([], dtype="str", name="customer_id"),
)


def known_on_sql(records: Records, table: str, default: str, alias: str = "") -> str:
    """SQL for the day on which a row was known: its ``known_on`` if it has one, else ``default``.

    Parameters
    ----------
    records : Records
    table : str
    default : str
        A date column of the table.
    alias : str
        Table alias in the query.
    """
    prefix = f"{alias}." if alias else ""
    if "known_on" in records.columns(table):
        return f"coalesce({prefix}known_on, {prefix}{default})"
    return f"{prefix}{default}"


def account_known_sql(records: Records) -> str:
    """SQL for the day from which each account was known: ``account_id, customer_id, known_on``.

    That is its opening or its first known statement or payment, whichever came first; null if it has
    none of them.
    """
    events = [
        f"SELECT account_id, {known_on_sql(records, table, date)} AS day FROM {table}"
        for table, date in (("statements", "statement_date"), ("payments", "paid_on"))
        if table in records
    ]
    if not events:
        return "SELECT account_id, customer_id, opened_on AS known_on FROM accounts"
    return f"""
        SELECT a.account_id, a.customer_id, least(a.opened_on, f.first_known) AS known_on
        FROM accounts a LEFT JOIN (
            SELECT account_id, min(day) AS first_known FROM ({" UNION ALL ".join(events)}) GROUP BY account_id
        ) f USING (account_id)"""


def compute_next_due(records: Records, as_of: dt.date) -> pd.DataFrame:
    """Next due date and amounts of every customer, as known at the end of ``as_of``.

    The latest known statement of each account decides. The due amount is its minimum due, or the
    balance where the records have no minimum; balances in credit owe nothing.

    Parameters
    ----------
    records : Records
    as_of : datetime.date

    Returns
    -------
    pandas.DataFrame
        Indexed by customer_id: next_due_date (the earliest due date after ``as_of``; null if none),
        due_amount (due on that date), exposure_amount (all balances), dpd (worst account, days). Without
        a statements table nothing is known of the next due, and no customer has a row.
    """
    if "statements" not in records:
        return _NO_NEXT_DUE.copy()
    present = set(records.columns("statements"))

    def col(name: str, kind: str) -> str:
        return f"s.{name}" if name in present else f"CAST(NULL AS {kind})"

    known = known_on_sql(records, "statements", "statement_date", "s")
    with records.connect() as con:
        frame = con.execute(
            f"""
            WITH latest AS (
                SELECT a.customer_id, a.account_id,
                    {col("due_date", "DATE")} AS due_date,
                    greatest(coalesce({col("minimum_due_amount", "DOUBLE")},
                                      {col("balance_amount", "DOUBLE")}), 0) AS due_amount,
                    greatest({col("balance_amount", "DOUBLE")}, 0) AS exposure_amount,
                    {col("dpd", "INTEGER")} AS dpd
                FROM accounts a JOIN statements s USING (account_id)
                WHERE {known} <= $as_of
                QUALIFY row_number() OVER (PARTITION BY a.account_id ORDER BY s.statement_date DESC) = 1
            ),
            upcoming AS (
                SELECT *, min(due_date) FILTER (WHERE due_date > $as_of)
                    OVER (PARTITION BY customer_id) AS next_due_date
                FROM latest
            )
            SELECT customer_id, any_value(next_due_date) AS next_due_date,
                coalesce(sum(due_amount) FILTER (WHERE due_date = next_due_date), 0.0) AS due_amount,
                coalesce(sum(exposure_amount), 0.0) AS exposure_amount,
                max(dpd) AS dpd
            FROM upcoming GROUP BY customer_id ORDER BY customer_id
            """,
            {"as_of": as_of},
        ).df()
    return frame.set_index("customer_id")
