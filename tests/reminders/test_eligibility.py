"""What in the records keeps a customer off the list: cells of every kind, dates, orders."""

import datetime as dt
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from overdue_ml.config import ExclusionRule, RecordsConfig, RemindersConfig
from overdue_ml.errors import ConfigError
from overdue_ml.records import load_records
from overdue_ml.reminders.eligibility import find_excluded, find_matched, find_unmatched

AS_OF = dt.date(2024, 1, 31)


def records_of(customers=None, accounts=None, payments=None, config=None):
    """Customers and accounts with the given columns, in the order a, b, ...; an account each."""
    n = len(next(iter((customers or accounts or {"x": "ab"}).values())))
    ids = [chr(ord("a") + i) for i in range(n)]
    base = {"account_id": [f"A{i}" for i in ids], "customer_id": ids, "opened_on": ["2020-01-01"] * n}
    tables = {
        "accounts": pd.DataFrame(base | (accounts or {})),
        "instalments": pd.DataFrame(
            {"account_id": ["Aa"], "instalment_no": [1], "due_date": ["2024-02-05"], "amount_due": [100.0]}
        ),
        "payments": pd.DataFrame(
            payments or {"account_id": ["Aa"], "paid_on": ["2023-01-01"], "amount": [1.0]}
        ),
    }
    if customers is not None:
        tables["customers"] = pd.DataFrame({"customer_id": ids} | customers)
    return load_records(tables, config or RecordsConfig())


def excluded(records, *rules, **settings):
    config = RemindersConfig(exclusions=[ExclusionRule(**rule) for rule in rules], **settings)
    found, unclear = find_excluded(records, AS_OF, config)
    return found.to_dict(), unclear


@pytest.mark.parametrize(
    ("cells", "who", "n_unclear"),
    [
        ([True, False, None], "a", 0),
        (["yes", "No", " Y ", "off", "TRUE", "f", "", None, "none"], "ace", 0),
        ([1, 0, 2, -1], "acd", 0),
        ([0.0, 1.0, 0.5, None], "bc", 0),
        (["0.0", "0.00", "1.0", "-0"], "c", 0),
        ([Decimal("0.00"), Decimal("1.00"), None], "b", 0),
        # A day counts once it has come.
        ([dt.date(2024, 1, 31), dt.date(2024, 2, 1), dt.date(1999, 1, 1), None], "ac", 0),
        (["2024-01-31", "2024-02-01", "2024-01-31 12:00"], "ac", 0),
        # Neither yes nor no: nobody is contacted in doubt, and the doubt is counted.
        (["maybe", "no", "?"], "ac", 2),
        (["=1+1", "<b>yes</b>", "😀", "客户"], "abcd", 4),
    ],
)
def test_cells_that_say_yes(cells, who, n_unclear):
    records = records_of({"flag": cells})
    found, unclear = excluded(records, {"rule": "opted_out", "column": "flag"})
    assert found == dict.fromkeys(who, "opted_out")
    assert unclear == ({"opted_out": n_unclear} if n_unclear else {})


def test_cells_that_count():
    records = records_of(
        {"status": ["Deceased ", "active", None, "DECEASED", "dead", "3"], "code": [3, 4, 3, 3.0, 0, 1]}
    )
    rule = {"rule": "deceased", "column": "status", "values": ["deceased", " Dead"]}
    assert excluded(records, rule) == (dict.fromkeys("ade", "deceased"), {})
    # Numbers are compared as they are written.
    by_code = {"rule": "deceased", "column": "code", "values": ["3"]}
    assert excluded(records, by_code) == (dict.fromkeys("acd", "deceased"), {})
    # An empty cell counts where it is asked for.
    nothing = {"rule": "deceased", "column": "status", "values": [""]}
    assert excluded(records, nothing) == ({"c": "deceased"}, {})


def test_values_that_stand_in_no_cell_are_found():
    records = records_of(
        {"status": ["Gold ", "gold", None, "dead"], "code": [3, 4, 3, 3.0]}, {"note": ["x"] * 4}
    )
    rules = [
        {"rule": "vip", "column": "status", "values": ["GOLD", "platnum", ""]},
        {"rule": "vip", "column": "code", "values": ["3", "5"]},
        {"rule": "noted", "column": "note", "table": "accounts", "values": ["y"]},
        {"rule": "said", "column": "note", "table": "accounts", "values": ["X"]},
        {"rule": "flagged", "column": "code"},
    ]
    config = RemindersConfig(exclusions=[ExclusionRule(**rule) for rule in rules])
    matched = find_matched(records, config)
    assert matched == {"vip": ["", "3", "GOLD"], "noted": [], "said": ["X"]}
    assert find_unmatched(matched, config) == {"vip": ["5", "platnum"], "noted": ["y"]}
    assert find_unmatched({}, config) == {
        "vip": ["", "3", "5", "GOLD", "platnum"],
        "noted": ["y"],
        "said": ["X"],
    }


@pytest.mark.parametrize(
    ("known_on", "until", "holds"),
    [
        (None, None, True),
        ("2024-01-31", None, True),
        ("2024-02-01", None, False),
        (None, "2024-02-01", True),
        (None, "2024-01-31", False),  # the first day on which it does not hold any more
        ("2024-01-01", "2024-02-01", True),
        ("2024-01-01", "2024-01-15", False),
        ("nobody knows", None, True),  # nobody is contacted in doubt
    ],
)
def test_a_flag_holds_for_a_time(known_on, until, holds):
    records = records_of({"flag": ["yes"], "since": [known_on], "till": [until]})
    rule = {"rule": "hardship", "column": "flag", "known_on": "since", "until": "till"}
    assert excluded(records, rule) == ({"a": "hardship"} if holds else {}, {})


def test_a_doubt_counts_only_while_it_holds():
    records = records_of({"flag": ["maybe", "maybe"], "till": ["2024-01-01", None]})
    rule = {"rule": "hardship", "column": "flag", "until": "till"}
    assert excluded(records, rule) == ({"b": "hardship"}, {"hardship": 1})


def test_one_account_is_enough():
    records = records_of(accounts={"customer_id": ["a", "a", "b"], "dispute": [False, True, False]})
    rule = {"rule": "dispute", "column": "dispute", "table": "accounts"}
    assert excluded(records, rule) == ({"a": "dispute"}, {})


def test_an_account_that_is_opened_later_says_nothing_yet():
    opened = ["2024-01-31", "2024-02-01", None]
    records = records_of(accounts={"opened_on": opened, "dispute": [True] * 3})
    rule = {"rule": "dispute", "column": "dispute", "table": "accounts"}
    assert excluded(records, rule) == (dict.fromkeys("ac", "dispute"), {})


def test_the_first_rule_of_the_config_is_recorded():
    records = records_of(
        {"dead": [0, 1, 1, 0], "out": [1, 1, 0, 0]}, {"blocked": [1, 1, 1, 0], "dispute": [0, 1, 0, 1]}
    )
    dead, out = {"rule": "deceased", "column": "dead"}, {"rule": "opted_out", "column": "out"}
    dispute = {"rule": "dispute", "column": "dispute", "table": "accounts"}
    assert excluded(records, dead, out, dispute)[0] == {
        "a": "opted_out", "b": "deceased", "c": "deceased", "d": "dispute",
    }  # fmt: skip
    assert excluded(records, dispute, out, dead)[0] == {
        "a": "opted_out", "b": "dispute", "c": "deceased", "d": "dispute",
    }  # fmt: skip
    # A rule may stand for several columns; where it stands first is its place.
    twice = {"rule": "deceased", "column": "blocked", "table": "accounts"}
    assert excluded(records, twice, out, dead)[0] == dict.fromkeys("abc", "deceased")


@pytest.mark.parametrize(
    ("paid_on", "known_on", "technical", "holds"),
    [
        ("2024-01-31", None, True, True),
        ("2024-01-22", None, True, True),  # of 10 days, the first
        ("2024-01-21", None, True, False),
        ("2024-01-30", "2024-02-01", True, False),  # known tomorrow
        ("2024-02-01", None, True, False),
        ("2024-01-31", None, False, False),
        ("2024-01-31", None, None, False),
    ],
)
def test_technical_payments(paid_on, known_on, technical, holds):
    payments = {
        "account_id": ["Aa"], "paid_on": [paid_on], "amount": [1.0], "known_on": [known_on],
        "technical": [technical],
    }  # fmt: skip
    found, _ = excluded(records_of({"x": ["1", "2"]}, payments=payments), technical_days=10)
    assert found == ({"a": "technical"} if holds else {})


def test_a_technical_payment_is_known_after_the_posting_lag():
    payments = {"account_id": ["Aa"], "paid_on": ["2024-01-30"], "amount": [1.0], "technical": [True]}
    for lag, holds in ((1, True), (2, False)):
        records = records_of({"x": [1]}, payments=payments, config=RecordsConfig(posting_lag_days=lag))
        assert bool(excluded(records, technical_days=10)[0]) == holds


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"rule": "opted_out", "column": "gone"}, "no column 'gone' in 'customers'"),
        ({"rule": "opted_out", "column": "flag", "known_on": "gone"}, "no column 'gone'"),
        ({"rule": "opted_out", "column": "flag", "until": "gone"}, "no column 'gone'"),
        ({"rule": "opted_out", "column": "flag", "table": "accounts"}, "no column 'flag' in 'accounts'"),
    ],
)
def test_columns_that_are_not_there(rule, told):
    with pytest.raises(ConfigError, match=told) as error:
        excluded(records_of({"flag": ["secret"]}), rule)
    assert error.value.where == "exclusions, rule 'opted_out'"
    assert "secret" not in str(error.value)


def test_tables_that_are_not_there():
    with pytest.raises(ConfigError, match="a table 'customers'"):
        excluded(records_of(accounts={"x": [1]}), {"rule": "opted_out", "column": "flag"})
    with pytest.raises(ConfigError, match="do not say which are technical"):
        excluded(records_of(accounts={"x": [1]}), technical_days=10)


def test_nobody_and_everybody():
    rule = {"rule": "opted_out", "column": "flag"}
    assert excluded(records_of({"flag": [None, None]}), rule) == ({}, {})
    assert excluded(records_of({"flag": ["yes"] * 5}), rule)[0] == dict.fromkeys("abcde", "opted_out")
    assert excluded(records_of({"flag": ["yes"]})) == ({}, {})
    found, _ = find_excluded(records_of({"flag": ["yes"]}), AS_OF, RemindersConfig())
    assert pa.Array.from_pandas(found).type == pa.large_string()
