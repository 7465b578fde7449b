"""A part of the customers: all that is theirs and nothing else."""

import pytest

from overdue_ml.features import build_features
from overdue_ml.records import load_records, simulate
from overdue_ml.records.select import keep_customers


@pytest.fixture(scope="module")
def book():
    tables = simulate(40, seed=2, months=6)
    tables.pop("truth")
    return load_records(tables)


def owners(records, table):
    frame = records.frame(table)
    if "customer_id" in frame:
        return set(frame["customer_id"])
    accounts = records.frame("accounts").set_index("account_id")["customer_id"]
    return set(accounts[frame["account_id"].unique()])


def test_every_table_keeps_their_rows_and_no_other(book):
    wanted = {"SYN000000003", "SYN000000017", "SYN000000031"}
    part = keep_customers(book, [*wanted, "nobody"])
    assert set(part.tables) == set(book.tables)
    for name in book.tables:
        assert owners(part, name) == owners(book, name) & wanted, name
        whole = book.frame(name)
        mine = (
            whole["customer_id"].isin(wanted)
            if "customer_id" in whole
            else whole["account_id"].isin(part.frame("accounts")["account_id"])
        )
        assert part.frame(name).equals(whole[mine].reset_index(drop=True)), name


def test_their_features_are_those_of_the_whole_book(book):
    wanted = sorted(book.frame("customers")["customer_id"])[5:9]
    date = "2022-04-30"
    whole = build_features(book, date)
    part = build_features(keep_customers(book, wanted), date, list(whole.columns))
    assert part.equals(whole[whole.index.get_level_values(0).isin(wanted)])


def test_nobody_is_nothing(book):
    assert all(table.num_rows == 0 for table in keep_customers(book, []).tables.values())
