"""Forgetting and changing the future: which rows go, which change, and that the contract still holds."""

import datetime as dt
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.features.future import Later, forget_after, row_name
from overdue_ml.features.perturb import OtherFuture
from overdue_ml.records import load_records, simulate

_spec = importlib.util.spec_from_file_location("planted", Path(__file__).with_name("planted.py"))
planted = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(planted)
D = dt.date.fromisoformat
MARCH = D("2024-03-31")


@pytest.fixture(scope="module")
def ledger():
    """One row before and one after 31 March of every table, by each way in which a row becomes known."""
    return {
        "customers": pd.DataFrame({"customer_id": ["a", "b", "c"]}),
        "accounts": pd.DataFrame(
            {
                "account_id": ["A", "B", "C", "U"],
                "customer_id": ["a", "b", "b", "a"],
                # C is known by its payment; of U nobody knows when it was opened, but its plan was there.
                "opened_on": [D("2024-01-01"), D("2024-04-10"), D("2024-04-20"), None],
                "closed_on": [D("2024-05-01"), None, None, None],
            }
        ),
        "instalments": pd.DataFrame(
            {
                "account_id": ["A", "A", "A", "B", "U"],
                "instalment_no": [1, 2, 2, 1, 1],
                "due_date": [D(f"2024-0{month}-15") for month in (2, 5, 6, 7, 8)],
                "amount_due": [10.0] * 5,
                "known_on": [None, D("2024-03-31"), D("2024-04-01"), None, None],
            }
        ),
        "payments": pd.DataFrame(
            {
                "payment_id": ["p1", "p2", "p3", "p4"],
                "account_id": ["A", "A", "C", "A"],
                "paid_on": [D("2024-03-28"), D("2024-03-29"), D("2024-03-01"), D("2024-03-27")],
                "amount": [1.0, 2.0, 3.0, -4.0],
                "known_on": [None, None, None, D("2024-04-02")],
            }
        ),
        "incomes": pd.DataFrame(
            {"customer_id": ["a", "a", "c"], "amount": [5.0, 6.0, 7.0],
             "received_on": [D("2024-03-31"), D("2024-04-01"), D("2024-04-01")]}
        ),
        "borrowings": pd.DataFrame(
            {"customer_id": ["a", "a"], "reported_on": [D("2024-03-01"), D("2024-03-02")],
             "known_on": [None, D("2024-04-01")], "closed_on": [D("2024-06-01"), None], "dpd": [3, 4]}
        ),
        "contacts": pd.DataFrame(
            {"customer_id": ["a", "a"], "contacted_on": [D("2024-03-31"), D("2024-04-01")],
             "arm": ["treated", "holdout"]}
        ),
        "labels": pd.DataFrame(
            {"customer_id": ["a", "a"], "as_of_date": [D("2024-01-31"), D("2024-02-29")],
             "is_overdue": [True, True], "known_on": [D("2024-03-31"), None]}
        ),
    }  # fmt: skip


def records_of(frames, lag=0):
    return load_records(frames, RecordsConfig(posting_lag_days=lag))


def test_forgetting_goes_by_the_day_each_row_was_known(ledger):
    then = forget_after(records_of(ledger, lag=3), MARCH)
    assert list(then.frame("accounts")["account_id"]) == ["A", "C", "U"]
    # C is open nobody knows since when, and A not closed.
    assert then.tables["accounts"].column("opened_on").to_pylist() == [D("2024-01-01"), None, None]
    assert then.tables["accounts"].column("closed_on").null_count == 3
    # A's plan from its opening, the version of 31 March; B's plan comes with B.
    assert [
        (r["account_id"], r["instalment_no"], r["known_on"]) for r in then.tables["instalments"].to_pylist()
    ] == [("A", 1, None), ("A", 2, MARCH), ("U", 1, None)]
    # Paid on 28 March and posted on the 31st; paid on the 29th and posted on 1 April.
    assert sorted(then.frame("payments")["payment_id"]) == ["p1", "p3"]
    assert list(then.frame("incomes")["amount"]) == [5]
    assert list(then.frame("borrowings")["dpd"]) == [3]
    assert then.tables["borrowings"].column("closed_on").to_pylist() == [None]
    assert list(then.frame("contacts")["arm"]) == ["treated"]
    # Nobody can tell since when the second label was known.
    assert list(then.tables["labels"].column("as_of_date").to_pylist()) == [D("2024-01-31")]
    # b is known by C; of c nothing is.
    assert list(then.frame("customers")["customer_id"]) == ["a", "b"]


def test_without_a_posting_lag_a_payment_is_known_when_it_is_paid(ledger):
    then = forget_after(records_of(ledger), MARCH)
    assert sorted(then.frame("payments")["payment_id"]) == ["p1", "p2", "p3"]


def test_forgetting_nothing_is_the_records(ledger):
    records = records_of(ledger)
    late = D("2025-01-01")
    then = forget_after(records, late)
    for name, table in records.tables.items():
        if name == "labels":
            assert then.tables[name].num_rows == 1
        else:
            assert then.tables[name].equals(table), name


def test_a_kept_row_brings_its_account_and_customer(ledger):
    records = records_of(ledger)
    later = Later.than(records, MARCH)
    kept = {name: np.zeros(table.num_rows, bool) for name, table in records.tables.items()}
    kept["instalments"] = later.hidden["instalments"] & np.array(
        [row["account_id"] == "B" for row in records.tables["instalments"].to_pylist()]
    )
    then = later.forget(kept)
    assert "B" in list(then.frame("accounts")["account_id"])
    # Its opening is not kept.
    assert then.tables["accounts"].column("opened_on").null_count == 3
    assert then.tables["instalments"].num_rows == 4
    assert then.tables["incomes"].num_rows == 1


def changed_values(before, after):
    """Columns of two rows that differ."""
    return {name for name in before if before[name] != after[name]}


def test_another_future_changes_every_later_value_and_no_known_one(ledger):
    records = records_of(ledger)
    other = OtherFuture.of(Later.than(records, MARCH))
    told = {}
    for name, table in records.tables.items():
        rows = table.filter(pa.array(other.changed[name])).to_pylist()
        told[name] = [
            (before, changed_values(before, after))
            for before, after in zip(rows, other.scrambled[name].to_pylist(), strict=True)
        ]
    # Of accounts that are known only the dates to come; an open account is closed.
    assert [(row["account_id"], names) for row, names in told["accounts"]] == [
        ("A", {"closed_on"}), ("B", {"opened_on"}), ("C", {"opened_on", "closed_on"}), ("U", {"closed_on"}),
    ]  # fmt: skip
    assert [names for _, names in told["instalments"]] == [
        {"due_date", "amount_due", "known_on"},
        {"due_date", "amount_due"},
    ]
    assert [names for _, names in told["payments"]] == [{"paid_on", "amount", "known_on"}]
    assert [names for _, names in told["incomes"]] == [{"received_on", "amount"}] * 2
    assert [names for _, names in told["borrowings"]] == [{"closed_on"}, {"reported_on", "known_on", "dpd"}]
    assert [names for _, names in told["contacts"]] == [{"contacted_on", "arm"}]
    assert [names for _, names in told["labels"]] == [{"is_overdue"}]
    # What was known as of 31 March is the same as before, whatever came later.
    plain, changed = forget_after(records, MARCH), forget_after(other.records(), MARCH)
    for name, table in plain.tables.items():
        assert changed.tables[name].equals(table), name


@pytest.mark.parametrize("lag", [0, 4])
def test_added_rows_were_known_the_day_after(ledger, lag):
    records = records_of(ledger, lag)
    other = OtherFuture.of(Later.than(records, MARCH))
    assert {name: other.added[name].num_rows for name in records.tables} == {
        # A version and an instalment of three accounts; two payments of two; a person each.
        "customers": 0, "accounts": 2, "instalments": 6, "payments": 4, "incomes": 2, "borrowings": 2,
        "contacts": 1, "labels": 1,
    }  # fmt: skip
    whole = other.records()
    hidden = Later.than(whole, MARCH).hidden
    for name, table in other.added.items():
        if table.num_rows:
            assert hidden[name][-table.num_rows :].all(), name
    next_day = Later.than(whole, D("2024-04-01") + dt.timedelta(days=lag)).hidden
    for name in ("accounts", "instalments", "payments", "incomes", "borrowings", "contacts"):
        assert not next_day[name][-other.added[name].num_rows :].any(), name


@pytest.mark.parametrize("source", ["ledger", "planted", "synthetic", "five"])
def test_another_future_keeps_the_contract(ledger, five, source):
    if source == "synthetic":
        tables, day = simulate(150, seed=1, months=6), D("2022-03-31")
        tables.pop("truth")
    else:
        tables = {"ledger": ledger, "planted": planted.frames(), "five": five.frames}[source]
        day = D("2024-04-30") if source == "five" else MARCH
    records = load_records(tables)
    before = {t.table: t.rejected for t in records.report.tables}
    assert not any(before.values())
    other = OtherFuture.of(Later.than(records, day)).records()
    again = load_records(dict(other.tables), strict=False)
    broken = {(r.table, r.rule): r.rows_rejected for r in again.report.rules if r.rows_rejected}
    assert not broken


def test_a_row_is_named_by_ids_and_dates_and_never_by_an_amount(ledger):
    records = records_of(ledger)
    firsts = {
        "customers": {"customer_id": "a"},
        "accounts": {"account_id": "A"},
        "instalments": {"account_id": "A", "instalment_no": 1},
        "payments": {"payment_id": "p1", "account_id": "A", "paid_on": D("2024-03-28")},
        "incomes": {"customer_id": "a", "received_on": D("2024-03-31")},
        "borrowings": {"customer_id": "a", "reported_on": D("2024-03-01")},
        "contacts": {"customer_id": "a", "contacted_on": D("2024-03-31")},
        "labels": {"customer_id": "a", "as_of_date": D("2024-01-31")},
    }
    for name, first in firsts.items():
        table = records.tables[name]
        assert first in [row_name(name, table, number) for number in range(table.num_rows)], name
