"""The ledger tables: keys that may be empty, equal rows that are both true, dates, references."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.errors import FeatureMismatchError, RecordsError
from overdue_ml.features import audit_leakage, available_features, build_features
from overdue_ml.records import compute_next_due, load_records


@pytest.fixture
def ledger():
    """Two accounts of two customers, with every table but statements and labels; nothing is rejected."""
    return {
        "customers": pd.DataFrame({"customer_id": ["c1", "c2", "c3"]}),
        "accounts": pd.DataFrame(
            {
                "account_id": ["a", "b"],
                "customer_id": ["c1", "c2"],
                "opened_on": ["2024-01-05", None],
                "credit_limit_amount": [100, 200],
            }
        ),
        "instalments": pd.DataFrame(
            {
                "account_id": ["a", "a", "a", "b"],
                "instalment_no": [1, 2, 2, 1],
                "due_date": ["2024-02-05", "2024-03-05", "2024-04-05", "1999-01-01"],
                "amount_due": [100, 100, 100, 7],
                "known_on": [None, None, "2024-02-20", None],
            }
        ),
        "payments": pd.DataFrame(
            {
                "account_id": ["a", "a", "b"],
                "paid_on": ["2024-02-05", "2024-02-05", "2024-02-06"],
                "amount": [50.0, 50.0, -7.0],
                "technical": [None, None, "true"],
            }
        ),
        "incomes": pd.DataFrame(
            {"customer_id": ["c1", "c1", "c3"], "received_on": ["2024-01-31"] * 3, "amount": [10, 10, 5]}
        ),
        "borrowings": pd.DataFrame(
            {
                "customer_id": ["c1", "c1", "c3"],
                "reported_on": ["2024-01-31"] * 3,
                "lender_id": ["bank", "bank", None],
                "opened_on": ["2023-01-01", "2023-01-01", None],
            }
        ),
        "contacts": pd.DataFrame(
            {"customer_id": ["c1", "c1"], "contacted_on": ["2024-02-01"] * 2, "arm": ["treated", "holdout"]}
        ),
    }


def test_equal_rows_without_a_key_are_both_true(ledger):
    records = load_records(ledger)
    assert {t.table: t.rejected for t in records.report.tables} == dict.fromkeys(ledger, 0)
    assert records.tables["payments"].num_rows == 3
    told = {(r.table, r.rule) for r in records.report.rules}
    for name in ("payments", "incomes", "borrowings", "contacts"):
        assert not {(name, "row_repeated"), (name, "key_duplicate")} & told
    assert ("instalments", "key_duplicate") in told


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_without_a_key_changes_nothing(ledger, seed):
    ledger["incomes"]["note"] = ["x", "y", "z"]  # equal but for a column that the contract does not know
    ledger["payments"]["payment_id"] = [None, None, "p"]
    ledger["payments"]["note"] = ["x", "y", "z"]
    plain = load_records(ledger)
    mixed = load_records({name: frame.sample(frac=1, random_state=seed) for name, frame in ledger.items()})
    assert mixed.fingerprint == plain.fingerprint
    for name in ledger:
        assert mixed.tables[name].to_pylist() == plain.tables[name].to_pylist()


def test_payments_with_an_id_stand_once_and_without_one_as_often_as_they_come(ledger, via, broken):
    one = {"account_id": "a", "paid_on": "2024-02-05", "amount": 50.0, "technical": None}
    ledger["payments"] = pd.DataFrame(
        [{"payment_id": i} | one for i in ("p", "p", "q", "r", None, None, None)]
        + [{"payment_id": "r"} | one | {"amount": 60.0}]
    )
    records = via(ledger)
    assert broken(records, "payments") == {"row_repeated": 1, "key_duplicate": 2}
    ids = records.tables["payments"].column("payment_id").to_pylist()
    assert sorted(ids, key=str) == [None, None, None, "p", "q"]
    rule = next(r for r in records.report.rules if (r.table, r.rule) == ("payments", "key_duplicate"))
    assert rule.first_keys == ("r a 2024-02-05 50.0", "r a 2024-02-05 60.0")


@pytest.mark.parametrize(
    ("account", "known", "duplicate"),
    [
        ("a", [None, "2024-02-01"], False),
        ("a", ["2024-02-01", "2024-02-02"], False),
        ("a", ["2024-02-01", "2024-02-01"], True),
        ("a", [None, None], True),
        ("a", [None, "2024-01-05"], True),  # the day the account was opened, said and unsaid
        ("b", [None, None], True),
        ("b", [None, "2024-01-05"], False),  # when b was opened is not known
    ],
)
def test_versions_of_an_instalment_differ_in_known_on(ledger, broken, account, known, duplicate):
    ledger["instalments"] = pd.DataFrame(
        {
            "account_id": account,
            "instalment_no": 9,
            "due_date": "2024-05-05",
            "amount_due": [1, 2],
            "known_on": known,
        }
    )
    records = load_records(ledger, strict=False)
    assert broken(records, "instalments") == ({"key_duplicate": 2} if duplicate else {})


@pytest.mark.parametrize(
    ("table", "row", "rule"),
    [
        ("instalments", {"due_date": "2024-01-04"}, "due_date_before_opened_on"),
        ("instalments", {"account_id": "z"}, "account_id_unknown"),
        ("instalments", {"amount_due": -1}, "amount_due_out_of_range"),
        ("instalments", {"instalment_no": 1.5}, "instalment_no_not_readable"),
        ("payments", {"known_on": "2024-02-04"}, "known_on_before_paid_on"),
        ("payments", {"account_id": "z"}, "account_id_unknown"),
        ("payments", {"amount": None}, "amount_missing"),
        ("payments", {"technical": "perhaps"}, "technical_not_readable"),
        ("incomes", {"amount": -1}, "amount_out_of_range"),
        ("incomes", {"customer_id": "c9"}, "customer_id_unknown"),
        ("incomes", {"known_on": "2024-01-30"}, "known_on_before_received_on"),
        ("borrowings", {"known_on": "2024-01-30"}, "known_on_before_reported_on"),
        ("borrowings", {"opened_on": "2024-02-01"}, "reported_on_before_opened_on"),
        ("borrowings", {"closed_on": "2022-12-31"}, "closed_on_before_opened_on"),
        ("borrowings", {"dpd": -1}, "dpd_out_of_range"),
        ("borrowings", {"customer_id": "c9"}, "customer_id_unknown"),
        ("contacts", {"arm": "control"}, "arm_unknown_value"),
        ("contacts", {"contacted_on": None}, "contacted_on_missing"),
    ],
)
def test_a_broken_row_is_rejected_by_its_rule(ledger, broken, table, row, rule):
    frame = ledger[table].astype(object)
    for name, value in row.items():
        if name not in frame:
            frame[name] = None
        frame.loc[0, name] = value
    ledger[table] = frame
    records = load_records(ledger, strict=False)
    assert broken(records, table) == {rule: 1}
    assert records.rejected[table].num_rows == 1


def test_people_are_looked_up_among_customers_or_else_among_accounts(ledger, broken):
    del ledger["customers"]
    records = load_records(ledger, strict=False)
    assert broken(records, "incomes") == broken(records, "borrowings") == {"customer_id_unknown": 1}


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([], "statements"),
        (["instalments"], "payments"),
        (["payments"], "instalments"),
        (["instalments", "payments"], None),
        (["statements"], None),
        (["statements", "payments"], None),
    ],
)
def test_the_tables_that_are_needed(ledger, there, missing):
    ledger["statements"] = pd.DataFrame({"account_id": ["a"], "statement_date": ["2024-02-29"]})
    frames = {name: ledger[name] for name in ("accounts", *there)}
    if missing is None:
        assert set(load_records(frames).tables) == set(frames)
    else:
        with pytest.raises(RecordsError, match=f"the table '{missing}' is missing") as caught:
            load_records(frames)
        assert "either statements or instalments with payments" in str(caught.value)


def test_without_statements_features_that_need_them_are_left_out_by_name(ledger):
    records = load_records(ledger)
    names = available_features(records)
    features = build_features(records, "2024-02-29")
    assert list(features.columns) == names
    # Those of the accounts and of the instalments; none that reads a statement.
    assert {"account_oldest_age_days", "due_days_next"} <= set(names)
    assert not [name for name in names if name.startswith("stmt_")]
    # b was opened nobody knows when, and nobody dated its instalment: it was always there, as in settlement.
    assert [key[0] for key in features.index] == ["c1", "c2"]
    assert [key[0] for key in build_features(records, "2024-01-04").index] == ["c2"]
    with pytest.raises(FeatureMismatchError, match=r"'repay_dpd_latest' \[missing statements"):
        build_features(records, "2024-02-29", ["repay_dpd_latest"])
    assert audit_leakage(records, "2024-02-05") == []


def test_without_statements_instalments_say_what_is_due(ledger):
    day = dt.date(2024, 2, 29)
    due = compute_next_due(load_records(ledger), day)
    assert list(due.columns) == [
        "next_due_date", "due_amount", "exposure_amount", "dpd", "paid_due_date", "overdue_amount",
        "covered_due_date",
    ]  # fmt: skip
    assert due.pop("paid_due_date").isna().all()
    assert due.pop("covered_due_date").isna().all()
    assert due.pop("overdue_amount").to_dict() == {"c1": 0.0, "c2": 7.0}
    # The first is paid; the second has been put off to April, known since 20 February.
    assert due.loc["c1"].tolist() == [pd.Timestamp("2024-04-05"), 100.0, 100.0, 0]
    # 7 due since 1999, and 7 taken back.
    assert pd.isna(due.loc["c2", "next_due_date"])
    assert due.loc["c2"].tolist()[1:] == [0.0, 7.0, (day - dt.date(1999, 1, 1)).days]
    assert "c3" not in due.index
    del ledger["instalments"], ledger["payments"]
    ledger["statements"] = pd.DataFrame({"account_id": ["a"], "statement_date": ["2024-03-01"]})
    assert len(compute_next_due(load_records(ledger), day)) == 0
