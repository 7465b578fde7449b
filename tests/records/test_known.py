"""From which day rows and accounts were known: the numbers say what the SQL says."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig
from overdue_ml.records import Records, ValidationReport, load_records, simulate
from overdue_ml.records.facts import KNOWN_FROM, account_known_sql, known_on_sql
from overdue_ml.records.known import UNDATED, account_known_days, day_numbers, known_days, places_in

DATE = pa.date32()
SCHEMAS = {
    "accounts": pa.schema([("account_id", pa.string()), ("customer_id", pa.string()), ("opened_on", DATE)]),
    "instalments": pa.schema(
        [("account_id", pa.string()), ("instalment_no", pa.int32()), ("known_on", DATE)]
    ),
    "payments": pa.schema([("account_id", pa.string()), ("paid_on", DATE), ("known_on", DATE)]),
    "statements": pa.schema([("account_id", pa.string()), ("statement_date", DATE)]),
}
DAYS = st.dates(dt.date(2024, 1, 1), dt.date(2024, 1, 9))
MAYBE = st.none() | DAYS


@st.composite
def ledgers(draw):
    """Three accounts of two customers, dated or not, and rows in any order."""
    accounts = [{"account_id": a, "customer_id": c, "opened_on": draw(MAYBE)} for a, c in ("aX", "bY", "cX")]
    instalments = [
        {"account_id": a, "instalment_no": n, "known_on": told}
        for a in draw(st.lists(st.sampled_from("abc"), unique=True))
        for n, told in enumerate(draw(st.lists(MAYBE, min_size=1, max_size=3)), 1)
    ]
    payments = [
        {"account_id": draw(st.sampled_from("abc")), "paid_on": day, "known_on": draw(MAYBE)}
        for day in draw(st.lists(DAYS, max_size=4))
    ]
    statements = [
        {"account_id": draw(st.sampled_from("abc")), "statement_date": day}
        for day in draw(st.lists(DAYS, max_size=3, unique=True))
    ]
    tables = {
        "accounts": accounts,
        "instalments": instalments,
        "payments": payments,
        "statements": statements,
    }
    keep = {name for name in ("instalments", "payments", "statements") if draw(st.booleans())}
    config = RecordsConfig(posting_lag_days=draw(st.integers(0, 2)))
    found = {name: pa.Table.from_pylist(tables[name], SCHEMAS[name]) for name in keep | {"accounts"}}
    for name in keep:
        if "known_on" in found[name].column_names and draw(st.booleans()):
            found[name] = found[name].drop_columns(["known_on"])
    return Records(found, {}, ValidationReport(1.0), config)


def by_sql(records):
    with records.connect() as con:
        days = {
            name: con.sql(
                f"SELECT r - DATE '1970-01-01' FROM (SELECT {known_on_sql(records, name)} AS r FROM {name})"
            ).fetchall()
            for name in records.tables
            if name in KNOWN_FROM
        }
        accounts = con.sql(
            f"SELECT account_id, known_on - DATE '1970-01-01' FROM ({account_known_sql(records)})"
        ).fetchall()
    return {name: [row[0] for row in found] for name, found in days.items()}, dict(accounts)


def check(records):
    days, accounts = by_sql(records)
    for name, expected in days.items():
        assert known_days(records, name).tolist() == expected, name
    ids = records.tables["accounts"]["account_id"].to_pylist()
    found = [None if day == UNDATED else day for day in account_known_days(records).tolist()]
    assert dict(zip(ids, found, strict=True)) == accounts


@given(ledgers())
@settings(max_examples=60)
def test_as_the_sql_says(records):
    check(records)


def test_of_the_synthetic_lender():
    tables = simulate(40, seed=1)
    del tables["truth"]
    records = load_records(tables)
    check(records)
    told = {
        n: t.drop_columns(["known_on"]) for n, t in records.tables.items() if "known_on" in t.column_names
    }
    check(replace(records, tables=dict(records.tables) | told))


def test_the_five(five):
    check(five.records)


def test_places():
    ids = pa.array(["a", "b", "é"])
    column = pa.chunked_array([["b", "b", None], [], ["b", "x", "é", "a"]], pa.string())
    assert places_in(ids, column).tolist() == [1, 1, -1, 1, -1, 2, 0]
    assert places_in(ids, pa.chunked_array([], pa.string())).tolist() == []


def test_day_numbers():
    column = pa.chunked_array([[dt.date(1970, 1, 2), None]], pa.date32())
    assert day_numbers(column).tolist() == [1, UNDATED]
    assert day_numbers(column, -5).tolist() == [1, -5]
    assert day_numbers(column).dtype == np.int64
