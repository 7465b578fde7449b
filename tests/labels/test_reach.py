"""Where the records end, and the few rows that pretend that they end later."""

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.config import LabelsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.labels import final_from, label_customers
from overdue_ml.labels.reach import last_known
from overdue_ml.records import load_records

FIRST = dt.date(2024, 1, 1)


def lender(days, known=None):
    """One payment on each day after the first, in an account with one instalment."""
    paid = [FIRST + dt.timedelta(n) for n in days]
    return load_records(
        {
            "accounts": pd.DataFrame({"account_id": ["a"], "customer_id": ["c"], "opened_on": [FIRST]}),
            "instalments": pd.DataFrame(
                {"account_id": ["a"], "instalment_no": [1], "due_date": ["2024-03-01"], "amount_due": [1.0]}
            ),
            "payments": pd.DataFrame(
                {
                    "account_id": "a",
                    "paid_on": paid,
                    "amount": 0.01,
                    "known_on": [
                        p if known is None else known.get(n, p) for n, p in zip(days, paid, strict=True)
                    ],
                }
            ),
        }
    )


def test_the_newest_known_day():
    assert last_known(lender([0, 5, 9]), "payments") == dt.date(2024, 1, 10)
    assert last_known(lender([0, 5], known={5: dt.date(2024, 2, 1)}), "payments") == dt.date(2024, 2, 1)


def test_a_gap_is_a_gap_only_for_a_few_rows():
    many = [0] * 1001
    # 92 days on is no gap; 93 are.
    assert last_known(lender([*many, 92]), "payments") == FIRST + dt.timedelta(92)
    with pytest.raises(RecordsError, match=r"1 row\(s\) became known 93 days or more after all others"):
        last_known(lender([*many, 93]), "payments")
    # One of a thousand is not fewer than one in a thousand: 999 and 1.
    assert last_known(lender([*many[:999], 93]), "payments") == FIRST + dt.timedelta(93)
    # Two strays, the nearer one named.
    with pytest.raises(
        RecordsError, match=r"2 row\(s\) became known 100 .*\[table payments, known from 2024-04-10"
    ):
        last_known(lender([*many, *many, 100, 9000]), "payments")


def test_no_label_rests_on_a_stray_row():
    stray = lender([*[0, 1, 2] * 400, 20000])
    config = LabelsConfig(source="instalments")
    for ask in (lambda: label_customers(stray, "2024-02-15", config), lambda: final_from(stray, config)):
        with pytest.raises(RecordsError, match="labels would count as final before their outcomes"):
            ask()


def test_statements_are_watched_alike(five):
    assert last_known(five.records, "statements") == dt.date(2024, 7, 15)
