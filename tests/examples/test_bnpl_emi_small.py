"""Pay-later orders: derived dues, dates in stamp's clothes, equal rows, reversals."""

import pandas as pd
import pytest

import overdue_ml as om
from overdue_ml.errors import RecordsError

ORDERS = ["transactionId day downPaymentAmount emiPrincipal emiInterest tenure"]
ORDERS += ["9 2024-01-31T00:00:00Z 300 300 0 2", "8 2024-02-10T00:00:00Z 500 200 10 3"]
PAID = ["transactionId repaymentDay amount", "9 2024-01-31T00:00:00Z 300"]


def convert(bnpl, tmp_path, paid=PAID, orders=ORDERS):
    return bnpl.of(tmp_path, wt_transactions=orders, wt_repayments=paid)


def facts_at(tables, config, as_of):
    """Loaded with nothing rejected, and settled."""
    records = om.load_records(tables, config)
    assert not any(result.rejected for result in records.report.tables)
    rules = om.SettlementRules(tolerance_amount=config.tolerance_amount)
    facts = om.compute_facts(records, as_of, rules).to_pandas()
    return facts.assign(due=pd.to_datetime(facts["due_date"]), settled=pd.to_datetime(facts["settled_on"]))


def test_the_down_payment_is_due_at_once_and_the_rest_every_thirty_days(bnpl, tmp_path, rows):
    tables = convert(bnpl, tmp_path).tables
    # From 31 January 2024, a leap year: 30 days are 1 March, 60 days 31 March. From 10 February: 11 March,
    # 10 April, 10 May.
    assert rows(tables["instalments"], "account_id instalment_no due_date amount_due interest_due") == [
        ("8", 0, "2024-02-10", 500.0, 0.0),
        ("8", 1, "2024-03-11", 210.0, 10.0),
        ("8", 2, "2024-04-10", 210.0, 10.0),
        ("8", 3, "2024-05-10", 210.0, 10.0),
        ("9", 0, "2024-01-31", 300.0, 0.0),
        ("9", 1, "2024-03-01", 300.0, 0.0),
        ("9", 2, "2024-03-31", 300.0, 0.0),
    ]
    # Lent: 500 + 3 x 200 without interest.
    assert rows(tables["accounts"], "account_id customer_id opened_on principal_amount term_months") == [
        ("8", "8", "2024-02-10", 1100.0, 3),
        ("9", "9", "2024-01-31", 900.0, 2),
    ]


def test_equal_rows_are_two_payments_and_a_reversal_takes_back_the_surplus(bnpl, tmp_path, rows):
    paid = [*PAID, "9 2024-02-20T00:00:00Z 300", "9 2024-02-20T00:00:00Z 300"]
    paid += ["8 2024-02-10T00:00:00Z 500", "8 2024-02-15T00:00:00Z 1130", "8 2024-02-15T00:00:00Z -500"]
    conversion = convert(bnpl, tmp_path, paid)
    assert conversion.rows_used["wt_repayments.csv"] == 6
    facts = facts_at(conversion.tables, bnpl.module.CONFIG, "2024-05-31")
    # 9 pays both instalments on 20 February: 10 and 40 days early. 8 owes 1,130 in all and has 500 in:
    # 1,130 paid and 500 taken back on one day are 630 net, which is all of the three instalments.
    assert facts["is_settled"].all()
    assert facts["days_early"].tolist() == [0, 25, 55, 85, 0, 10, 40]
    assert facts["shortfall_amount"].sum() == 0


def test_an_order_divided_into_whole_amounts_is_paid_within_the_tolerance(bnpl, tmp_path):
    # 2 short of 300 is paid; 3 short is not.
    conversion = convert(bnpl, tmp_path, [PAID[0], "9 2024-01-31T00:00:00Z 298"])
    assert facts_at(conversion.tables, bnpl.module.CONFIG, "2024-01-31")["is_settled"].tolist() == [
        True,
        False,
        False,
    ]
    conversion = convert(bnpl, tmp_path, [PAID[0], "9 2024-01-31T00:00:00Z 297"])
    assert not facts_at(conversion.tables, bnpl.module.CONFIG, "2024-01-31")["is_settled"].any()


def test_a_clock_time_is_refused(bnpl, tmp_path):
    with pytest.raises(RecordsError, match=r"midnight UTC.*repaymentDay"):
        convert(bnpl, tmp_path, [PAID[0], "9 2024-01-31T18:30:00Z 300"])


@pytest.mark.parametrize("tenure", ["0", "1.5", "-"])
def test_an_order_without_a_usable_tenure_is_refused(bnpl, tmp_path, tenure):
    with pytest.raises(RecordsError, match="tenure"):
        convert(bnpl, tmp_path, orders=[ORDERS[0], f"9 2024-01-31T00:00:00Z 300 300 0 {tenure}"])


def test_a_repayment_of_an_unknown_order_is_counted(bnpl, tmp_path):
    conversion = convert(bnpl, tmp_path, [*PAID, "7 2024-01-31T00:00:00Z 300"])
    assert conversion.left_out["wt_repayments.csv"] == {"the order is not in the file": 1}
    assert len(conversion.tables["payments"]) == 1


def test_the_order_of_the_rows_does_not_matter(bnpl, tmp_path):
    paid = [*PAID, "9 2024-02-20T00:00:00Z 300", "8 2024-02-10T00:00:00Z 500"]
    one = convert(bnpl, tmp_path, paid).tables
    other = convert(bnpl, tmp_path, [paid[0], *paid[:0:-1]], [ORDERS[0], *ORDERS[:0:-1]]).tables
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[name])


@pytest.fixture(scope="module")
def real(bnpl):
    return bnpl.module.convert_with_counts(bnpl.real())


def test_every_row_of_the_real_set_is_in_a_table(bnpl, real):
    assert real.rows_read == real.rows_used == {"wt_transactions.csv": 1_000, "wt_repayments.csv": 2_883}
    assert {name: len(t) for name, t in real.tables.items()} == {
        "customers": 1_000,
        "accounts": 1_000,
        "instalments": 3_094,
        "payments": 2_883,
    }


def test_the_repayments_follow_the_derived_due_dates(bnpl, real):
    facts = facts_at(real.tables, bnpl.module.CONFIG, "2024-06-25")
    fell_due = facts[facts["due"] <= "2024-06-25"]
    down = fell_due[fell_due["instalment_no"] == 0]
    assert (len(down), int((down["settled"] == down["due"]).sum())) == (1_000, 995)
    later = fell_due[fell_due["instalment_no"] > 0]
    paid = later[later["is_settled"]]
    assert (len(later), len(paid)) == (1_655, 1_583)
    assert (paid["settled"] <= paid["due"]).mean() == pytest.approx(0.829, abs=5e-4)
    assert (paid["settled"] == paid["due"]).mean() == pytest.approx(0.200, abs=5e-4)
    assert int((~facts["is_settled"]).sum()) == 442
    records = om.load_records(real.tables, bnpl.module.CONFIG)
    strict = om.compute_facts(records, "2024-06-25", om.SettlementRules()).to_pandas()
    assert int((~strict["is_settled"]).sum()) == 448


def test_by_calendar_months_fewer_are_paid_on_the_day(bnpl, real):
    opened = real.tables["accounts"].set_index("account_id")["opened_on"]
    instalments = real.tables["instalments"]
    days = [
        opened[account] + pd.DateOffset(months=int(number))
        for account, number in zip(instalments["account_id"], instalments["instalment_no"], strict=True)
    ]
    monthly = real.tables | {"instalments": instalments.assign(due_date=days)}
    facts = facts_at(monthly, bnpl.module.CONFIG, "2024-06-25")
    paid = facts[(facts["due"] <= "2024-06-25") & (facts["instalment_no"] > 0) & facts["is_settled"]]
    assert (paid["settled"] == paid["due"]).mean() == pytest.approx(0.094, abs=5e-4)


def test_equal_rows_and_reversals_of_the_real_set_are_as_documented(real):
    due = real.tables["instalments"].groupby("account_id")["amount_due"].sum()
    payments = real.tables["payments"]
    over = payments.groupby("account_id")["amount"].sum() - due
    assert (int((over.abs() <= 1).sum()), int((over > 1).sum())) == (680, 73)
    reversals = payments[payments["amount"] < 0]
    assert (len(reversals), reversals["account_id"].nunique()) == (32, 25)
    assert over[reversals["account_id"].unique()].abs().max() <= 1
    repeated = payments[payments.duplicated()]
    accounts = repeated["account_id"].unique()
    assert (len(repeated), len(accounts)) == (251, 187)
    without = (payments.drop_duplicates().groupby("account_id")["amount"].sum() - due)[accounts]
    assert (int((over[accounts].abs() <= 1).sum()), int((without.abs() <= 1).sum())) == (137, 9)


def test_the_command_line_writes_loads_and_reports(bnpl, tmp_path, capsys):
    assert bnpl.module.main(["--data", str(bnpl.real()), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "wt_repayments.csv: 2,883, 2,883" in text
    assert "payments: 2,883, 2,883, 0" in text
    assert om.load_records(tmp_path / "out", bnpl.module.CONFIG).tables["instalments"].num_rows == 3_094
