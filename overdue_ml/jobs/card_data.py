"""What the records say of some customers as known on a date, read once for all of their cards."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from overdue_ml.records import Records, compute_facts, compute_next_due
from overdue_ml.records.facts import ALWAYS, known_on_sql
from overdue_ml.records.select import keep_customers
from overdue_ml.reports import Debt, Income, Instalment, Payment, Statement

_AS_OF = "getvariable('as_of')"


@dataclass(frozen=True)
class CardData:
    """By customer_id; who is not among the keys has no such row.

    Parameters
    ----------
    statements, instalments, payments : mapping of str to list
    incomes, debts : mapping of str to list, or None
        None where the records have no such table.
    last_known : mapping of str to date
        When the latest record that was known on the date became known.
    dpd : mapping of str to float
        Days past due of the worst account; NaN where it is not known.
    """

    statements: Mapping[str, list[Statement]]
    instalments: Mapping[str, list[Instalment]]
    payments: Mapping[str, list[Payment]]
    incomes: Mapping[str, list[Income]] | None
    debts: Mapping[str, list[Debt]] | None
    last_known: Mapping[str, dt.date]
    dpd: Mapping[str, float]


def read_card_data(records: Records, customer_ids: Iterable[str], as_of: dt.date) -> CardData:
    """Read what was known of some customers at the end of a day.

    Parameters
    ----------
    records : Records
    customer_ids : iterable of str
    as_of : datetime.date

    Returns
    -------
    CardData
    """
    kept = keep_customers(records, customer_ids)
    with kept.session() as con:
        con.execute("SET VARIABLE as_of = ?", [as_of])
        return CardData(
            statements=_statements(con, kept),
            instalments=_instalments(kept, as_of),
            payments=_payments(con, kept),
            incomes=_incomes(con, kept) if "incomes" in kept else None,
            debts=_debts(con, kept) if "borrowings" in kept else None,
            last_known=_last_known(con, kept),
            dpd={str(i): float(dpd) for i, dpd in compute_next_due(kept, as_of)["dpd"].items()},
        )


def _statements(con: duckdb.DuckDBPyConnection, records: Records) -> dict[str, list[Statement]]:
    if "statements" not in records:
        return {}
    present = set(records.columns("statements"))

    def cell(name: str) -> str:
        return f"s.{name}" if name in present else "NULL"

    limits = [
        f"{alias}.credit_limit_amount"
        for alias, table in (("s", "statements"), ("a", "accounts"))
        if "credit_limit_amount" in records.columns(table)
    ]
    limit = f"coalesce({', '.join(limits)})" if limits else "NULL"
    known = known_on_sql(records, "statements", "statement_date", "s")
    rows = con.sql(
        f"SELECT a.customer_id, s.statement_date, {cell('due_date')}, {cell('balance_amount')}, "
        f"{cell('paid_amount')}, {limit}, {cell('dpd')}, {cell('payment_behaviour')}, s.account_id "
        f"FROM statements s JOIN accounts a USING (account_id) WHERE {known} <= {_AS_OF} "
        "ORDER BY a.customer_id, s.statement_date, s.account_id"
    ).fetchall()
    return _by_customer(rows, Statement)


def _instalments(records: Records, as_of: dt.date) -> dict[str, list[Instalment]]:
    if "instalments" not in records or "payments" not in records:
        return {}
    facts = compute_facts(records, as_of)
    accounts = records.tables["accounts"]
    owner = dict(zip(accounts["account_id"].to_pylist(), accounts["customer_id"].to_pylist(), strict=True))
    columns = ("account_id", "due_date", "amount_due", "paid_amount", "settled_on", "dpd")
    found: dict[str, list[Instalment]] = defaultdict(list)
    for row in zip(*(facts[name].to_pylist() for name in columns), strict=True):
        found[owner[row[0]]].append(Instalment(*row))
    return found


def _payments(con: duckdb.DuckDBPyConnection, records: Records) -> dict[str, list[Payment]]:
    if "payments" not in records:
        return {}
    rows = con.sql(
        "SELECT a.customer_id, p.account_id, p.paid_on, p.amount "
        "FROM payments p JOIN accounts a USING (account_id) "
        f"WHERE {known_on_sql(records, 'payments', alias='p')} <= {_AS_OF} "
        "ORDER BY a.customer_id, p.account_id, p.paid_on, p.amount"
    ).fetchall()
    return _by_customer(rows, Payment)


def _incomes(con: duckdb.DuckDBPyConnection, records: Records) -> dict[str, list[Income]]:
    rows = con.sql(
        "SELECT e.customer_id, e.received_on, e.amount FROM incomes e "
        f"WHERE {known_on_sql(records, 'incomes', alias='e')} <= {_AS_OF} "
        "ORDER BY e.customer_id, e.received_on, e.amount"
    ).fetchall()
    return _by_customer(rows, Income)


def _debts(con: duckdb.DuckDBPyConnection, records: Records) -> dict[str, list[Debt]]:
    """Of each lender the latest report, as it was last told; what is closed by then is owed no more."""
    present = set(records.columns("borrowings"))
    lender = "coalesce(e.lender_id, '')" if "lender_id" in present else "''"
    is_open = f"(e.closed_on IS NULL OR e.closed_on > {_AS_OF})" if "closed_on" in present else "true"

    def total(name: str) -> str:
        # In the order of their size, so that the order of rows changes no bit of the sum.
        cell = f"e.{name} ORDER BY e.{name}"
        return f"sum({cell}) FILTER (WHERE is_open)" if name in present else "NULL::DOUBLE"

    # Named one by one: an extra column of the user's may bear any name.
    read = [f"e.{c}" for c in ("balance_amount", "monthly_due_amount", "dpd") if c in present]
    worst = "max(e.dpd) FILTER (WHERE is_open)" if "dpd" in present else "NULL::INTEGER"
    rows = con.sql(
        f"""
        WITH told AS (
            SELECT {", ".join(["e.customer_id", "e.reported_on", *read])}, {lender} AS lender,
                {known_on_sql(records, "borrowings", alias="e")} AS told_on, {is_open} AS is_open
            FROM borrowings e
        ),
        latest AS (
            SELECT * FROM told WHERE told_on <= {_AS_OF}
            QUALIFY rank() OVER (
                PARTITION BY customer_id, lender ORDER BY reported_on DESC, told_on DESC) = 1
        )
        SELECT customer_id, lender, any_value(reported_on), {total("balance_amount")},
            {total("monthly_due_amount")}, {worst}
        FROM latest e GROUP BY customer_id, lender HAVING bool_or(is_open) ORDER BY customer_id, lender
        """
    ).fetchall()
    return _by_customer(rows, Debt)


def _last_known(con: duckdb.DuckDBPyConnection, records: Records) -> dict[str, dt.date]:
    opened = "SELECT customer_id, opened_on AS day FROM accounts"
    parts = [opened] if "opened_on" in records.columns("accounts") else []
    for table in ("statements", "instalments", "payments", "incomes", "borrowings"):
        if table in records:
            own = "customer_id" in records.columns(table)
            owner = "e" if own else "a"
            join = "" if own else " JOIN accounts a USING (account_id)"
            known = known_on_sql(records, table, alias="e")
            parts.append(f"SELECT {owner}.customer_id, {known} AS day FROM {table} e{join}")
    if not parts:
        return {}
    rows = con.sql(
        f"SELECT customer_id, max(day) FROM ({' UNION ALL '.join(parts)}) "
        f"WHERE day > {ALWAYS} AND day <= {_AS_OF} GROUP BY customer_id ORDER BY customer_id"
    ).fetchall()
    return dict(rows)


def _by_customer(rows: Sequence[tuple[Any, ...]], kind: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for customer_id, *cells in rows:
        found[customer_id].append(kind(*cells))
    return found
