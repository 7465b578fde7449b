"""Views: the sorted events and table rows that declared features read, straight from the records."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.dated import DATED_VIEWS, missing_from_dated
from overdue_ml.features.declare import AnyFeature, AttributeFeature, DerivedFeature, Feature
from overdue_ml.features.engine import NEVER, Events
from overdue_ml.features.function import FunctionFeature
from overdue_ml.features.keys import Keys
from overdue_ml.features.people import PEOPLE_COLUMNS, people_needs
from overdue_ml.features.program import IntArray
from overdue_ml.features.ranks import RankFeature
from overdue_ml.features.states import STATE_COLUMNS, STATE_NEEDS
from overdue_ml.records import Records
from overdue_ml.records.facts import known_on_sql
from overdue_ml.records.known import UNDATED, places_in

#: Columns of the statements view: SQL over ``s`` (statements) and ``a`` (accounts), and what each needs.
_STATEMENT_COLUMNS: dict[str, tuple[str, frozenset[str]]] = {
    "balance_amount": ("s.balance_amount", frozenset({"s.balance_amount"})),
    "paid_amount": ("s.paid_amount", frozenset({"s.paid_amount"})),
    "minimum_due_amount": ("s.minimum_due_amount", frozenset({"s.minimum_due_amount"})),
    "dpd": ("s.dpd", frozenset({"s.dpd"})),
    # One ordinal for how a statement was dealt with, from not used to months late.
    "status": (
        "CASE s.payment_behaviour WHEN 'inactive' THEN -2 WHEN 'paid_in_full' THEN -1 "
        "WHEN 'paid_minimum' THEN 0 ELSE ceil(s.dpd / 30.0) END",
        frozenset({"s.payment_behaviour", "s.dpd"}),
    ),
    "inactive": ("s.payment_behaviour = 'inactive'", frozenset({"s.payment_behaviour"})),
    "paid_in_full": ("s.payment_behaviour = 'paid_in_full'", frozenset({"s.payment_behaviour"})),
    "paid_minimum": ("s.payment_behaviour = 'paid_minimum'", frozenset({"s.payment_behaviour"})),
}


def _has_values(records: Records, table: str, column: str) -> bool:
    if column not in records.columns(table):
        return False
    values = records.tables[table].column(column)
    return bool(values.null_count < len(values))


def statement_columns(records: Records) -> dict[str, str]:
    """Columns of the statements view whose columns are there, with their SQL.

    Whether a column holds any value is not asked here: that may hang on rows of the future.
    """
    present = {f"s.{column}" for column in records.columns("statements")}
    found = {name: sql for name, (sql, needs) in _STATEMENT_COLUMNS.items() if needs <= present}
    # The limit of the statement itself where it has one, else the account's.
    limits = [
        f"{alias}.credit_limit_amount"
        for alias, table in (("s", "statements"), ("a", "accounts"))
        if "credit_limit_amount" in records.columns(table)
    ]
    if limits:
        found["credit_limit_amount"] = f"coalesce({', '.join(limits)})"
    return found


def _filled_statement_columns(records: Records) -> set[str]:
    """Columns of the statements view that hold a value somewhere."""
    if "statements" not in records:
        return set()
    found = {
        name
        for name, (_, needs) in _STATEMENT_COLUMNS.items()
        if all(_has_values(records, "statements", need.removeprefix("s.")) for need in needs)
    }
    if any(_has_values(records, table, "credit_limit_amount") for table in ("statements", "accounts")):
        found.add("credit_limit_amount")
    return found


def is_available(feature: AnyFeature, records: Records, registry_lookup: dict[str, AnyFeature]) -> bool:
    """Whether the records have the tables and columns that a feature reads."""
    if isinstance(feature, DerivedFeature):
        return all(
            is_available(registry_lookup[part], records, registry_lookup)
            for part in (feature.left, feature.right)
        )
    if isinstance(feature, RankFeature):
        return is_available(registry_lookup[feature.source], records, registry_lookup)
    if isinstance(feature, AttributeFeature):
        return feature.column in records.columns("customers")
    if isinstance(feature, FunctionFeature):
        return not feature.missing(records)
    if isinstance(feature, Feature) and feature.measure.view in DATED_VIEWS:
        return not missing_from_dated(feature, records)
    if isinstance(feature, Feature) and feature.measure.view in PEOPLE_COLUMNS:
        return all(_has_values(records, *need.split(".")) for need in people_needs(feature))
    if isinstance(feature, Feature) and feature.measure.view != "statements":
        return not _missing_from_states(feature, records) and all(
            _has_values(records, *need.split("."))
            for column in feature.columns
            for need in STATE_COLUMNS[column].needs
        )
    if isinstance(feature, Feature):
        return "statements" in records and feature.columns <= _filled_statement_columns(records)
    return feature.table in records and all(
        _has_values(records, feature.table, column) for column in feature.columns
    )


def missing_columns(
    feature: AnyFeature, records: Records, registry_lookup: dict[str, AnyFeature]
) -> set[str]:
    """Columns that a feature needs and the records do not have at all, as ``table.column``."""
    if isinstance(feature, DerivedFeature):
        parts = (registry_lookup[feature.left], registry_lookup[feature.right])
        return set().union(*(missing_columns(p, records, registry_lookup) for p in parts))
    if isinstance(feature, RankFeature):
        return missing_columns(registry_lookup[feature.source], records, registry_lookup)
    if isinstance(feature, AttributeFeature):
        return set() if feature.column in records.columns("customers") else {f"customers.{feature.column}"}
    if isinstance(feature, FunctionFeature):
        return feature.missing(records)
    if isinstance(feature, Feature) and feature.measure.view in DATED_VIEWS:
        return missing_from_dated(feature, records)
    if isinstance(feature, Feature) and feature.measure.view in PEOPLE_COLUMNS:
        return {n for n in people_needs(feature) if n.split(".")[1] not in records.columns(n.split(".")[0])}
    if isinstance(feature, Feature) and feature.measure.view != "statements":
        return _missing_from_states(feature, records)
    if isinstance(feature, Feature):
        if "statements" not in records:
            return {"statements.statement_date"}
        present = set(records.columns("statements"))
        missing = set()
        for column in feature.columns:
            if column == "credit_limit_amount":
                if column not in present and column not in records.columns("accounts"):
                    missing.add("accounts.credit_limit_amount")
                continue
            if column not in _STATEMENT_COLUMNS:
                missing.add(f"statements.{column}")
                continue
            needs = {need.removeprefix("s.") for need in _STATEMENT_COLUMNS[column][1]}
            missing |= {f"statements.{need}" for need in needs - present}
        return missing
    return {f"{feature.table}.{c}" for c in feature.columns - set(records.columns(feature.table))}


def _missing_from_states(feature: Feature, records: Records) -> set[str]:
    """Columns that a feature of instalments lacks, as ``table.column``."""
    known = feature.columns & set(STATE_COLUMNS)
    needs = STATE_NEEDS.union(*(STATE_COLUMNS[column].needs for column in known))
    tables = {table: set(records.columns(table)) for table in ("instalments", "payments")}
    missing = {need for need in needs if need.split(".")[1] not in tables[need.split(".")[0]]}
    return missing | {f"instalments.{column}" for column in feature.columns - known}


def known_customers(records: Records, as_of_days: IntArray) -> Keys:
    """Keys of every customer from the first day on which the lender knew anything of them."""
    customers = records.tables["accounts"]["customer_id"].combine_chunks()
    ids = customers.unique().drop_null()
    ids = ids.take(pc.sort_indices(ids))
    known_from = np.full(len(ids) + 1, UNDATED, dtype=np.int64)
    # The last one is of accounts without a customer.
    np.minimum.at(known_from, places_in(ids, customers), records.account_known_days)
    grid = known_from[:-1, None] <= as_of_days[None, :]
    keep = grid.any(axis=1)
    grid = grid[keep]
    start = np.concatenate([[0], np.cumsum(grid.sum(axis=1))]).astype(np.int64)
    known = np.asarray(ids.filter(pa.array(keep)).to_numpy(zero_copy_only=False), dtype=object)
    return Keys(known, start, np.broadcast_to(as_of_days, grid.shape)[grid].astype(np.int64))


def statement_events(
    con: duckdb.DuckDBPyConnection, records: Records, keys: Keys, columns: list[str]
) -> Events:
    """The statements view as sorted arrays, accounts grouped under the customers of ``keys``."""
    sql = statement_columns(records)
    known = known_on_sql(records, "statements", "statement_date", "s")
    cells = ", ".join(f'CAST({sql[c]} AS DOUBLE) AS "{c}"' for c in columns)
    con.register("wanted", pd.DataFrame({"customer_id": pd.array(keys.customer_ids, dtype="str")}))
    table = con.sql(
        f"""
        SELECT a.customer_id, s.account_id, s.statement_date - DATE '1970-01-01' AS event_day,
            {known} - DATE '1970-01-01' AS known_day, {cells}
        FROM statements s JOIN accounts a USING (account_id)
        SEMI JOIN wanted w ON a.customer_id = w.customer_id
        ORDER BY a.customer_id, s.account_id, s.statement_date
        """
    ).to_arrow_table()
    account = table.column("account_id").combine_chunks().dictionary_encode().indices.to_numpy()
    customer = np.searchsorted(
        keys.customer_ids.astype(str), np.asarray(table.column("customer_id").to_pylist(), dtype=str)
    )
    account_first = np.flatnonzero(np.diff(account, prepend=-1)) if len(account) else np.zeros(0, np.int64)
    per_customer = np.bincount(customer[account_first], minlength=len(keys.customer_ids))
    values = (
        np.column_stack([table.column(c).to_numpy().astype(np.float64) for c in columns])
        if columns
        else np.empty((table.num_rows, 0))
    )
    return Events(
        columns=tuple(columns),
        values=np.ascontiguousarray(values),
        event_day=table.column("event_day").to_numpy().astype(np.int64),
        known_day=table.column("known_day").to_numpy().astype(np.int64),
        until_day=np.full(table.num_rows, NEVER),
        account_start=np.append(account_first, table.num_rows).astype(np.int64),
        customer_start=np.concatenate([[0], np.cumsum(per_customer)]).astype(np.int64),
    )


#: Name of the table with the day from which each account was known, for :func:`known_rows_sql`.
KNOWN_ACCOUNTS = "known_accounts"


def known_accounts(records: Records) -> pa.Table:
    """account_id and known_on of the accounts that anything dates."""
    days = records.account_known_days
    known = pa.array(days.astype(np.int32), mask=days == UNDATED).cast(pa.date32())
    return pa.table({"account_id": records.tables["accounts"]["account_id"], "known_on": known})


def known_rows_sql(records: Records, table: str) -> str:
    """SQL for ``keys k`` joined to the rows of a table known by then, later dates nulled.

    That of accounts asks for the table of :func:`known_accounts`.
    """
    if table == "accounts":
        join = f"""JOIN accounts e ON e.customer_id = k.customer_id
            JOIN {KNOWN_ACCOUNTS} f ON f.account_id = e.account_id"""
        known = "f.known_on <= k.as_of"
        later = {"opened_on", "closed_on"} & set(records.columns("accounts"))
    else:
        join = """JOIN accounts a ON a.customer_id = k.customer_id
            JOIN statements e ON e.account_id = a.account_id"""
        known, later = f"{known_on_sql(records, 'statements', 'statement_date', 'e')} <= k.as_of", set()
    cut = ", ".join(f"CASE WHEN e.{c} <= k.as_of THEN e.{c} END AS {c}" for c in sorted(later))
    replaced = f"e.* REPLACE ({cut})" if cut else "e.*"
    plain = "" if table == "statements" else "EXCLUDE (customer_id)"
    replaced = replaced if not plain else replaced.replace("e.*", f"e.* {plain}", 1)
    return f"SELECT k.row_number, k.as_of, {replaced} FROM keys k {join} WHERE {known}"
