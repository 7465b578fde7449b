"""Facts as known on a date that more than one stage needs."""

from __future__ import annotations

from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.contracts import KNOWN_FROM as KNOWN_FROM
from overdue_ml.records.load import Records

ALWAYS = "DATE '0001-01-01'"


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
