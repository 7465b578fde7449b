"""What is due next, by hand on the ledger of five; and from which day a row was known."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.records import compute_next_due, load_records
from overdue_ml.records.facts import account_known_sql, known_on_sql


def told(records, as_of):
    """Due date (or None), due amount, exposure and dpd (or None) by customer."""
    frame = compute_next_due(records, dt.date.fromisoformat(as_of)).replace({np.nan: None})
    assert frame.index.name == "customer_id"
    assert frame.index.is_monotonic_increasing
    assert list(frame) == [
        "next_due_date", "due_amount", "exposure_amount", "dpd", "paid_due_date", "overdue_amount"
    ]  # fmt: skip
    return {
        row.Index: (
            None if pd.isna(row.next_due_date) else str(row.next_due_date.date()),
            row.due_amount,
            row.exposure_amount,
            row.dpd,
        )
        for row in frame.itertuples()
    }


def test_at_the_end_of_june(five):
    assert told(five.records, "2024-06-30") == {
        # The minimum, not the balance.
        "ANN": ("2024-07-20", 90, 900, 30),
        # B1 has no minimum: its balance. B2's last due date was 4 June, and nothing is left of it.
        "BEN": ("2024-07-20", 500, 500, 0),
        # In credit: owes nothing.
        "CAT": ("2024-07-20", 0, 0, 0),
        "DAN": ("2024-07-20", 1500, 1500, 0),
        # No due date: nothing is due on a day, but 300 are owed.
        "EVE": (None, 0, 300, 0),
    }


def test_two_accounts_due_on_one_day_add_up(five):
    # B1 200 (no minimum) and B2 45 (minimum of 450), both on 20 April; the worse of 0 and 30 days.
    assert told(five.records, "2024-03-31")["BEN"] == ("2024-04-20", 245, 650, 30)


def test_the_earlier_of_two_due_dates_counts(five):
    # B2 on 10 May with a minimum of 40, B1 on 20 May with 300; what is owed is 300 + 400 all the same.
    assert told(five.records, "2024-04-30")["BEN"] == ("2024-05-10", 40, 700, 60)
    # On its due date the day is over: the end of 10 May is after it.
    assert told(five.records, "2024-05-09")["BEN"][0] == "2024-05-10"
    assert told(five.records, "2024-05-10")["BEN"] == ("2024-05-20", 300, 700, 60)
    # B2's statement of 15 May: a minimum of 0 and a balance of 0, due on 4 June; B1's April is past.
    assert told(five.records, "2024-05-20")["BEN"] == ("2024-06-04", 0, 300, 0)


def test_a_minimum_of_nothing_is_a_minimum(five):
    frames = five.frames | {"statements": five.frames["statements"].copy()}
    last = frames["statements"]["account_id"].eq("A1") & frames["statements"]["balance_amount"].eq(900)
    frames["statements"].loc[last, "minimum_due_amount"] = 0.0
    # Nothing has to be paid by 20 July, though 900 are owed.
    assert told(load_records(frames), "2024-06-30")["ANN"] == ("2024-07-20", 0, 900, 30)


def test_only_what_was_known(five):
    # Cat's May statement is known from 15 July on; June's is the latest then too.
    assert told(five.records, "2024-05-19")["CAT"] == ("2024-05-20", 10, 100, 0)
    # After its due date nothing is due until the next statement; the balance stays exposed.
    assert told(five.records, "2024-06-29")["CAT"] == (None, 0, 100, 0)
    assert told(five.records, "2024-07-15")["CAT"] == ("2024-07-20", 0, 0, 0)
    # Without a known statement a customer is not there.
    assert sorted(told(five.records, "2024-04-29")) == ["ANN", "BEN"]


def test_what_is_overdue_is_what_is_due_of_accounts_past_due(five):
    june = compute_next_due(five.records, dt.date(2024, 6, 30))["overdue_amount"]
    # The minimum of the one account that is late.
    assert june.to_dict() == {"ANN": 90.0, "BEN": 0.0, "CAT": 0.0, "DAN": 0.0, "EVE": 0.0}
    # B2's minimum of 45; B1 is not late. Of March Ann's 60.
    assert compute_next_due(five.records, dt.date(2024, 3, 31))["overdue_amount"].to_dict() == {
        "ANN": 60.0, "BEN": 45.0,
    }  # fmt: skip


def test_an_unknown_dpd_stays_unknown(five):
    # Dan's May statement does not say.
    assert told(five.records, "2024-05-31")["DAN"] == ("2024-06-20", 1000, 1000, None)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        # No minimum in the records: the balance is due.
        ("minimum_due_amount", ("2024-07-20", 900, 900, 30)),
        # No balance: the minimum is, and nothing is known to be exposed.
        ("balance_amount", ("2024-07-20", 90, 0, 30)),
        ("due_date", (None, 0, 900, 30)),
        ("dpd", ("2024-07-20", 90, 900, None)),
    ],
)
def test_without_a_column(five, column, expected):
    frames = five.frames | {"statements": five.frames["statements"].drop(columns=column)}
    assert told(load_records(frames), "2024-06-30")["ANN"] == expected


def test_the_amounts_of_taiwan(taiwan):
    """Due at the end of October: the whole balance, as the source has no minimum; credits owe nothing."""
    frame = compute_next_due(taiwan, dt.date(2005, 9, 30))
    assert len(frame) == 30_000
    assert set(frame["next_due_date"].dt.strftime("%Y-%m-%d")) == {"2005-10-31"}
    assert (frame["due_amount"] == frame["exposure_amount"]).all()
    assert (frame["due_amount"] >= 0).all()
    # README: 590 balances below 0 and 2,008 of 0 in September.
    assert int((frame["due_amount"] == 0).sum()) == 590 + 2_008


def test_known_on_falls_back_to_the_event_date(five):
    assert (
        known_on_sql(five.records, "statements", "statement_date", "s")
        == "coalesce(s.known_on, s.statement_date)"
    )
    frames = five.frames | {"statements": five.frames["statements"].drop(columns="known_on")}
    assert known_on_sql(load_records(frames), "statements", "statement_date") == "statement_date"


def test_an_account_is_known_from_its_opening_or_its_first_statement(five):
    with five.records.connect() as con:
        found = dict(
            con.sql(f"SELECT account_id, known_on FROM ({account_known_sql(five.records)})").fetchall()
        )
    assert found == {
        "A1": dt.date(2024, 1, 1),
        "B1": dt.date(2020, 2, 29),
        "B2": dt.date(2022, 6, 30),
        "C1": dt.date(2024, 3, 1),
        "D1": dt.date(2023, 12, 15),
        # Opened nobody knows when.
        "E1": dt.date(2024, 6, 30),
    }


def instalment_frames():
    """One customer with three loans, as of 10 March 2024."""
    day = dt.date.fromisoformat
    instalments = [
        # Overdue since 1 March, half paid; the next on 20 March is short by all but 30 that came early.
        ("a", 1, "2024-03-01", 100.0),
        ("a", 2, "2024-03-20", 100.0),
        # Paid ahead: not due any more. The one after it is due on 20 March as well.
        ("b", 1, "2024-03-15", 50.0),
        ("b", 2, "2024-03-20", 50.0),
        # Later than both.
        ("c", 1, "2024-04-01", 70.0),
    ]
    payments = [("a", "2024-03-05", 50.0, 1), ("a", "2024-03-05", 30.0, 2), ("b", "2024-03-09", 50.0, 1)]
    return {
        "accounts": pd.DataFrame(
            {"account_id": list("abc"), "customer_id": ["X"] * 3, "opened_on": ["2024-01-01"] * 3}
        ),
        "instalments": pd.DataFrame(
            [
                {"account_id": a, "instalment_no": n, "due_date": day(due), "amount_due": amount}
                for a, n, due, amount in instalments
            ]
        ),
        "payments": pd.DataFrame(
            [
                {"account_id": a, "paid_on": day(paid), "amount": amount, "instalment_no": n}
                for a, paid, amount, n in payments
            ]
        ),
    }


def test_dues_of_instalments():
    records = load_records(instalment_frames())
    # 20 March: 70 of a and 50 of b. In all 50 + 70 + 50 + 70 are owed; the oldest is nine days late.
    assert told(records, "2024-03-10") == {"X": ("2024-03-20", 120.0, 240.0, 9)}
    # The day before its payment b was due on the 15th.
    assert told(records, "2024-03-08") == {"X": ("2024-03-15", 50.0, 290.0, 7)}
    # What is due today is no longer ahead and not yet late.
    assert told(records, "2024-03-20")["X"] == ("2024-04-01", 70.0, 240.0, 19)
    assert told(records, "2024-04-01")["X"] == (None, 0.0, 240.0, 31)


def test_overdue_instalments():
    records = load_records(instalment_frames())
    overdue = {
        # a1 is short by 50 of 100 from 5 March on.
        "2024-03-01": 0.0,
        "2024-03-04": 100.0,
        "2024-03-10": 50.0,
        # Since the 20th a2 by 70 and b2 by 50 as well; b1 is paid.
        "2024-03-20": 50.0,
        "2024-03-21": 170.0,
    }
    for as_of, amount in overdue.items():
        found = compute_next_due(records, dt.date.fromisoformat(as_of))["overdue_amount"]
        assert found.to_dict() == {"X": amount}, as_of


def test_the_posting_lag_holds_for_dues():
    config = RecordsConfig(posting_lag_days=2)
    records = load_records(instalment_frames(), config)
    # b's payment of the 9th is known on the 11th.
    assert told(records, "2024-03-10")["X"] == ("2024-03-15", 50.0, 290.0, 9)
    assert told(records, "2024-03-11")["X"] == ("2024-03-20", 120.0, 240.0, 10)


def test_within_the_tolerance_nothing_is_due():
    records = load_records(instalment_frames(), RecordsConfig(tolerance_amount=50.0))
    # a1's 50, b2's 50 and b1 are within it; a2 is short by 70.
    assert told(records, "2024-03-10")["X"] == ("2024-03-20", 70.0, 240.0, 0)


def test_statements_and_instalments_of_one_customer_add_up():
    frames = instalment_frames()
    frames["accounts"] = pd.concat(
        [
            frames["accounts"],
            pd.DataFrame({"account_id": ["card"], "customer_id": ["X"], "opened_on": ["2024-01-01"]}),
        ]
    )
    frames["statements"] = pd.DataFrame(
        {
            "account_id": ["card"],
            "statement_date": ["2024-02-29"],
            "due_date": ["2024-03-20"],
            "balance_amount": [500.0],
            "minimum_due_amount": [25.0],
            "dpd": [0],
        }
    )
    assert told(load_records(frames), "2024-03-10") == {"X": ("2024-03-20", 145.0, 740.0, 9)}
