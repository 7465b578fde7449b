"""What a card is made of, from a ledger small enough to work out by hand."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.jobs.card_data import read_card_data
from overdue_ml.records import load_records
from overdue_ml.reports import Debt, Income, Instalment, Payment, Statement

D = dt.date
AS_OF = D(2024, 4, 30)


def frame(header, *rows):
    return pd.DataFrame([row.split() for row in rows], columns=header.split()).replace("-", None)


FRAMES = {
    "accounts": frame("account_id customer_id opened_on", "A1 ANN 2024-01-01", "A2 ANN 2024-01-01",
                      "B1 BEN 2024-01-01", "N1 NEW 2024-06-01"),
    "instalments": frame("account_id instalment_no due_date amount_due known_on",
                         "A1 1 2024-02-15 100 -", "A1 2 2024-04-15 100 -",
                         # Put off in May only.
                         "A1 2 2024-07-15 100 2024-05-10",
                         "A2 1 2024-05-15 50 -", "B1 1 2024-03-31 80 -", "N1 1 2024-07-01 10 -"),
    "payments": frame("account_id paid_on amount known_on",
                      "A1 2024-02-20 100 -", "A1 2024-04-20 40 -",
                      # Paid in April and known in May: not yet there.
                      "A1 2024-04-28 60 2024-05-02", "B1 2024-03-30 80 -"),
    "incomes": frame("customer_id received_on amount known_on",
                     "ANN 2024-03-05 900 -", "ANN 2024-04-05 950 2024-05-06", "BEN 2024-04-30 10 -"),
    "borrowings": frame(
        "customer_id reported_on lender_id balance_amount monthly_due_amount dpd closed_on known_on",
        "ANN 2024-02-29 X 999 99 60 - -",
        # The latest report of X: two debts, one of them closed.
        "ANN 2024-03-31 X 300 30 5 - -", "ANN 2024-03-31 X 200 20 9 2024-04-10 -",
        # Told again in April, which replaces what was told of that day before.
        "ANN 2024-03-15 Y 70 7 0 - 2024-03-20", "ANN 2024-03-15 Y 75 7 0 - 2024-04-20",
        # Known in May.
        "ANN 2024-04-15 Y 5000 500 90 - 2024-05-15",
        # Nothing is owed any more.
        "BEN 2024-04-01 X 10 1 0 2024-04-02 -",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return read_card_data(load_records(FRAMES), ["ANN", "BEN", "NEW"], AS_OF)


def test_instalments_and_payments_are_those_known_on_the_date(data):
    assert sorted(data.instalments["ANN"], key=lambda i: (i.account_id, i.due_date)) == [
        Instalment("A1", D(2024, 2, 15), 100.0, 100.0, D(2024, 2, 20), 5),
        # 40 of 100 paid, and 15 days past due on the 30th.
        Instalment("A1", D(2024, 4, 15), 100.0, 40.0, None, 15),
        Instalment("A2", D(2024, 5, 15), 50.0, 0.0, None, 0),
    ]
    assert data.payments["ANN"] == [
        Payment("A1", D(2024, 2, 20), 100.0), Payment("A1", D(2024, 4, 20), 40.0),
    ]  # fmt: skip
    assert data.instalments["BEN"] == [Instalment("B1", D(2024, 3, 31), 80.0, 80.0, D(2024, 3, 30), 0)]
    assert "NEW" not in data.instalments


def test_incomes_and_debts_are_those_known_on_the_date(data):
    assert data.incomes == {"ANN": [Income(D(2024, 3, 5), 900.0)], "BEN": [Income(D(2024, 4, 30), 10.0)]}
    assert data.debts == {
        "ANN": [Debt("X", D(2024, 3, 31), 300.0, 30.0, 5), Debt("Y", D(2024, 3, 15), 75.0, 7.0, 0)]
    }


def test_the_last_record_is_the_one_last_known_by_then(data):
    # New's account is opened in June.
    assert data.last_known == {"ANN": D(2024, 4, 20), "BEN": D(2024, 4, 30)}
    later = read_card_data(load_records(FRAMES), ["ANN", "BEN", "NEW"], D(2024, 6, 2)).last_known
    # The debt of 15 April, known a month later, after the instalment that was put off.
    assert later == {"ANN": D(2024, 5, 15), "BEN": D(2024, 4, 30), "NEW": D(2024, 6, 1)}
    plans = {name: FRAMES[name] for name in ("accounts", "instalments", "payments")}
    # A change of plan is a record too.
    assert read_card_data(load_records(plans), ["ANN"], D(2024, 6, 2)).last_known == {"ANN": D(2024, 5, 10)}
    # Nobody dated the plan of New: it was always known, and nothing says since when.
    undated = plans | {"accounts": plans["accounts"].assign(opened_on=None)}
    assert read_card_data(load_records(undated), ["NEW"], D(2024, 6, 2)).last_known == {}


def test_days_past_due_are_those_of_the_worst_account(data):
    """As of 30 April Ann's instalment of 15 April is unpaid; New has no instalment yet that is known."""
    assert {i: data.dpd.get(i) for i in ("ANN", "BEN", "NEW")} == {"ANN": 15.0, "BEN": 0.0, "NEW": None}


def test_absent_tables_are_told_from_absent_rows():
    few = {name: FRAMES[name] for name in ("accounts", "instalments", "payments")}
    data = read_card_data(load_records(few), ["NEW"], AS_OF)
    assert (data.incomes, data.debts) == (None, None)
    assert (data.statements, data.last_known) == ({}, {})
    lenderless = FRAMES | {"borrowings": FRAMES["borrowings"][["customer_id", "reported_on"]]}
    data = read_card_data(load_records(lenderless), ["ANN"], D(2024, 3, 31))
    assert data.debts == {"ANN": [Debt("", D(2024, 3, 31), None, None, None)]}


@pytest.mark.parametrize("day", ["2024-03-20", "2024-03-31", "2024-04-30", "2024-05-01"])
def test_what_became_known_later_changes_nothing(day):
    as_of = D.fromisoformat(day)
    event = {"payments": "paid_on", "incomes": "received_on", "borrowings": "reported_on"}

    def known(name, table):
        if name == "accounts":
            return table
        if name == "instalments":
            return table[table["known_on"].isna() | (table["known_on"] <= day)]
        return table[table["known_on"].fillna(table[event[name]]) <= day]

    cut = {name: known(name, table) for name, table in FRAMES.items()}
    whole = read_card_data(load_records(FRAMES), ["ANN", "BEN", "NEW"], as_of)
    part = read_card_data(load_records(cut), ["ANN", "BEN", "NEW"], as_of)
    assert part == whole


def test_the_order_of_the_rows_does_not_matter(data):
    turned = {name: table.iloc[::-1] for name, table in FRAMES.items()}
    assert read_card_data(load_records(turned), ["NEW", "BEN", "ANN"], AS_OF) == data


def test_statements_have_the_limit_of_their_time_or_of_the_account(five):
    data = read_card_data(five.records, ["BEN", "CAT"], D(2024, 6, 30))
    (*earlier, last) = [s for s in data.statements["BEN"] if s.behaviour == "paid_in_full" and s.balance]
    # The first account's limit of 1000 is 800 on the statement of June.
    assert [s.limit for s in earlier] == [1000.0, 1000.0]
    assert last == Statement(D(2024, 6, 30), D(2024, 7, 20), 500.0, 100.0, 800.0, 0, "paid_in_full", "B1")
    # Cat's statement of May became known in July only.
    assert [s.statement_date for s in data.statements["CAT"]] == [D(2024, 4, 30), D(2024, 6, 30)]
