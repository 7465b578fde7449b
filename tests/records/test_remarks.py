"""What is suspicious and may yet be right is named with its counts, and nothing is rejected for it."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from overdue_ml.cli import run
from overdue_ml.config import RecordsConfig
from overdue_ml.records import find_remarks, load_records

ACCOUNTS = pd.DataFrame(
    {"account_id": ["a", "b"], "customer_id": ["c", "d"], "opened_on": ["2025-01-01", None]}
)
INSTALMENTS = pd.DataFrame(
    {"account_id": ["a", "b"], "instalment_no": 1, "due_date": "2025-02-01", "amount_due": 100}
)
#: Three are one payment; the last differs in its day, the one before in its amount.
PAYMENTS = pd.DataFrame(
    {
        "account_id": ["a", "a", "a", "a", "b"],
        "paid_on": ["2025-02-01", "2025-02-01", "2025-02-01", "2025-02-01", "2024-12-31"],
        "amount": [100, 100, 100, 99, 100],
    }
)


def remarks(payments=PAYMENTS, accounts=ACCOUNTS, config=None, **tables):
    source = {"accounts": accounts, "instalments": INSTALMENTS, "payments": payments} | tables
    records = load_records(source, config)
    assert records.tables["payments"].num_rows == len(payments), "nothing is rejected"
    return {r.name + " " + r.table: r for r in find_remarks(records.tables, config or RecordsConfig())}


class TestEqualPayments:
    def test_copies_without_an_id_are_counted(self):
        (found,) = remarks().values()
        assert (found.table, found.name) == ("payments", "row_repeated_without_payment_id")
        assert found.rows == 2
        assert found.first_keys == ("a 2025-02-01 100.0",)
        assert found.line.startswith("Warning: payments: 2 payments without a payment_id equal")

    def test_a_difference_in_any_column_counts(self):
        assert remarks(PAYMENTS.assign(clerk=list("xyzxx"))).keys() == {"columns_not_used payments"}
        (found,) = remarks(PAYMENTS.assign(technical=[True, True, None, None, None])).values()
        assert found.rows == 1
        assert "1 payment without a payment_id equals" in found.line

    def test_a_long_id_does_not_flood_the_line(self):
        name = "a" * 10_000
        payments = PAYMENTS.iloc[:2].assign(account_id=name)
        (found,) = remarks(
            payments, ACCOUNTS.assign(account_id=[name, "b"]), instalments=INSTALMENTS.iloc[1:]
        ).values()
        assert found.first_keys == (f"{name} 2025-02-01 100.0",)
        assert len(found.line) < 400

    def test_payments_with_an_id_are_looked_after_by_the_rules(self):
        assert remarks(PAYMENTS.assign(payment_id=list("12345"))) == {}
        # Where the id is empty, the row has none.
        (found,) = remarks(PAYMENTS.assign(payment_id=["1", None, None, None, None])).values()
        assert found.rows == 1


class TestPaymentsBeforeOpening:
    def test_they_are_counted(self):
        early = PAYMENTS.assign(
            paid_on=["2024-12-31", "2025-01-01", "2025-01-02", "2001-01-01", "2001-01-01"]
        )
        # 1 January is the opening itself; nobody knows when account b was opened.
        (found,) = remarks(early).values()
        assert (found.name, found.rows) == ("paid_on_before_opened_on", 2)
        assert found.first_keys == ("a 2001-01-01", "a 2024-12-31")

    def test_none_is_said_where_none_is(self):
        assert remarks(PAYMENTS.drop_duplicates()) == {}


class TestColumns:
    @pytest.mark.parametrize(
        ("theirs", "told"),
        [
            ("due_dt", "due_dt (did you mean 'due_date')"),
            ("DUE_DATE", "DUE_DATE (did you mean 'due_date')"),
            ("balance", "balance (did you mean 'balance_amount')"),
            ("overdue_days", "overdue_days (did you mean 'dpd')"),
            ("branch", "branch"),
            ("a\nb", '"a\\nb"'),
        ],
    )
    def test_those_that_the_contract_does_not_use_are_named(self, theirs, told):
        statements = pd.DataFrame({"account_id": ["a"], "statement_date": ["2025-02-28"], theirs: ["1"]})
        (found,) = remarks(PAYMENTS.drop_duplicates(), statements=statements).values()
        assert found.line == f"Note: statements: not used by the contract: {told}."

    def test_a_column_that_is_there_is_not_meant(self):
        statements = pd.DataFrame(
            {
                "account_id": ["a"],
                "statement_date": ["2025-02-28"],
                "due_dt": ["x"],
                "due_date": ["2025-03-20"],
            }
        )
        (found,) = remarks(PAYMENTS.drop_duplicates(), statements=statements).values()
        assert found.message == "not used by the contract: due_dt"

    def test_attributes_and_protected_columns_of_customers_are_used(self):
        customers = pd.DataFrame({"customer_id": ["c", "d"], "sex": "f", "region": "n", "education": "1"})
        config = RecordsConfig(attributes=["education"])
        (found,) = remarks(PAYMENTS.drop_duplicates(), config=config, customers=customers).values()
        assert found.message == "not used by the contract: region"

    def test_one_line_also_for_a_wide_table_and_the_misspelt_one_is_in_it(self):
        wide = {f"x{i}": ["1"] for i in range(100)}
        statements = pd.DataFrame(
            {"account_id": ["a"], "statement_date": ["2025-02-28"], **wide, "due_dt": ["x"]}
        )
        (found,) = remarks(PAYMENTS.drop_duplicates(), statements=statements).values()
        assert "due_dt (did you mean 'due_date'), x0," in found.line
        assert found.line.endswith("and 89 more.")


def test_validate_says_so_on_the_console_and_in_the_report(tmp_path, capsys):
    folder, out = tmp_path / "records", tmp_path / "out"
    folder.mkdir()
    tables = {"accounts": ACCOUNTS, "instalments": INSTALMENTS, "payments": PAYMENTS.assign(techncal="1")}
    for name, frame in tables.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    assert run(["validate", "--records", str(folder), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Warning: payments: 2 payments without a payment_id equal" in printed
    assert "Note: payments: not used by the contract: techncal (did you mean 'technical')." in printed
    told = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert told["passed"] is True
    assert [(r["table"], r["name"], r["rows"]) for r in told["remarks"]] == [
        ("payments", "row_repeated_without_payment_id", 2),
        ("payments", "columns_not_used", 0),
    ]
