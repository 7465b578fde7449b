"""Xente: repayments that look like loans, fees that grow, a flag that means something else."""

import numpy as np
import pandas as pd
import pytest

import overdue_ml as om
from overdue_ml.errors import RecordsError

LAST_DAY = "2019-07-15"
HEAD = (
    "CustomerId LoanId IssuedDateLoan DueDate Value ProductCategory InvestorId PayBackId PaidOnDate "
    "AmountLoan IsFinalPayBack IsThirdPartyConfirmed"
)
LOAN_A = "ann A 2019-01-01_10:00:00 2019-01-31_09:59:57 1000 airtime I1"
LOAN_B = "ben B 2019-02-01_23:30:00 2019-03-03_23:29:55 500 tv I2"
ROWS = [HEAD]
# Ann borrows 1,000 and pays 400 in time and 850 nine days late, which is the last of it.
ROWS += [f"{LOAN_A} P1 2019-01-20_08:00:00 400 0 1", f"{LOAN_A} P2 2019-02-09_08:00:00 850 1 1"]
# Ben borrows 500 and pays 100 of it; the lender never calls it finished.
ROWS += [f"{LOAN_B} P3 2019-02-10_08:00:00 100 0 1"]
# A purchase that became no loan.
ROWS += ["eve NA NA NA 700 airtime NA NA NA NA NA NA"]


def convert(zindi, tmp_path, rows=ROWS):
    return zindi.of(tmp_path, Train=rows)


def settle(tables, config, as_of):
    """Loaded with nothing rejected, and settled; by account."""
    records = om.load_records(tables, config)
    assert not any(result.rejected for result in records.report.tables)
    return om.compute_facts(records, as_of).to_pandas().set_index("account_id")


def test_a_loan_is_one_instalment_in_two_versions(zindi, tmp_path, rows):
    tables = convert(zindi, tmp_path).tables
    # As agreed: 119 % of the value. As it turned out: 400 + 850 = 1,250, known when the last of it came.
    columns = "account_id instalment_no due_date amount_due principal_due interest_due known_on"
    assert rows(tables["instalments"], columns) == [
        ("A", 1, "2019-01-31", 1190.0, 1000.0, 190.0, "2019-01-01"),
        ("A", 1, "2019-01-31", 1250.0, 1000.0, 250.0, "2019-02-09"),
        ("B", 1, "2019-03-03", 595.0, 500.0, 95.0, "2019-02-01"),
    ]
    columns = "account_id customer_id opened_on closed_on principal_amount product"
    assert rows(tables["accounts"], columns) == [
        ("A", "ann", "2019-01-01", "2019-02-09", 1000.0, "airtime"),
        ("B", "ben", "2019-02-01", None, 500.0, "tv"),
    ]
    assert rows(tables["payments"], "payment_id account_id paid_on amount instalment_no") == [
        ("P1", "A", "2019-01-20", 400.0, 1),
        ("P2", "A", "2019-02-09", 850.0, 1),
        ("P3", "B", "2019-02-10", 100.0, 1),
    ]
    # Eve has no loan.
    assert tables["customers"]["customer_id"].tolist() == ["ann", "ben"]


def test_on_a_day_nothing_later_is_known(zindi, tmp_path):
    tables = convert(zindi, tmp_path).tables
    # 8 February: 1,190 due, 400 paid, 8 days late. 9 February: 1,250 due and paid.
    before = settle(tables, zindi.module.CONFIG, "2019-02-08").loc["A"]
    after = settle(tables, zindi.module.CONFIG, "2019-02-09").loc["A"]
    assert (before["amount_due"], before["shortfall_amount"], before["dpd"]) == (1190.0, 790.0, 8)
    assert (after["amount_due"], after["shortfall_amount"], after["dpd"]) == (1250.0, 0.0, 9)
    # Without what happened on 9 February the tables say the same of the day before.
    truncated = convert(zindi, tmp_path, [*ROWS[:2], *ROWS[3:]]).tables
    assert settle(truncated, zindi.module.CONFIG, "2019-02-08").loc["A"].equals(before)


def test_paid_early_is_paid_although_it_is_less_than_on_the_due_date(zindi, tmp_path):
    tables = convert(zindi, tmp_path, [HEAD, f"{LOAN_A} P1 2019-01-03_08:00:00 1050 1 1"]).tables
    fact = settle(tables, zindi.module.CONFIG, "2019-01-31").loc["A"]
    assert fact["is_settled"]
    assert (fact["days_early"], fact["amount_due"]) == (28, 1050.0)


def test_finished_on_the_day_of_the_issue_there_is_one_version(zindi, tmp_path, rows):
    tables = convert(zindi, tmp_path, [HEAD, f"{LOAN_A} P1 2019-01-01_10:05:00 1040 1 1"]).tables
    assert rows(tables["instalments"], "amount_due known_on") == [(1040.0, "2019-01-01")]


def test_finished_for_less_than_the_value_has_no_negative_interest(zindi, tmp_path, rows):
    tables = convert(zindi, tmp_path, [HEAD, f"{LOAN_A} P1 2019-03-01_10:05:00 900 1 1"]).tables
    last = rows(tables["instalments"], "amount_due principal_due interest_due")[-1]
    assert last == (900.0, 900.0, 0.0)


def test_several_rows_called_final_count_up_to_the_last_of_them(zindi, tmp_path, rows):
    paid = [f"{LOAN_A} P1 2019-01-03_08:00:00 1000 1 0", f"{LOAN_A} P2 2019-01-05_08:00:00 60 1 0"]
    tables = convert(zindi, tmp_path, [HEAD, *paid]).tables
    assert rows(tables["instalments"], "amount_due known_on")[-1] == (1060.0, "2019-01-05")


def test_money_after_the_final_repayment_raises_no_amount_due(zindi, tmp_path, rows):
    paid = [f"{LOAN_A} P1 2019-01-03_08:00:00 1050 1 1", f"{LOAN_A} P2 2019-01-20_08:00:00 10 0 1"]
    tables = convert(zindi, tmp_path, [HEAD, *paid]).tables
    assert rows(tables["instalments"], "amount_due known_on")[-1] == (1050.0, "2019-01-03")
    assert len(tables["payments"]) == 2


def test_rows_without_a_loan_and_repeated_repayments_are_counted(zindi, tmp_path):
    conversion = convert(zindi, tmp_path, [*ROWS, ROWS[2]])
    assert conversion.rows_used == {"Train.csv": 3}
    assert conversion.left_out["Train.csv"] == {"no loan was given": 1, "the same repayment told again": 1}
    assert conversion.tables["payments"]["amount"].sum() == 1350.0


def test_a_missing_due_date_is_thirty_days_after_the_issue_and_counted(zindi, tmp_path, rows):
    loan = LOAN_A.replace("2019-01-31_09:59:57", "NA")
    conversion = convert(zindi, tmp_path, [HEAD, f"{loan} P1 2019-01-20_08:00:00 400 0 1"])
    assert rows(conversion.tables["instalments"], "due_date") == [("2019-01-31",)]
    assert conversion.changed == {"due dates derived, 30 days after the issue": 1}


def test_clock_times_are_cut_as_they_stand_and_zones_in_kampala(zindi, tmp_path, rows):
    late = [f"{LOAN_A} P1 2019-01-20_23:30:00 400 0 1", f"{LOAN_A} P2 2019-01-20T23:30:00Z 400 0 1"]
    tables = convert(zindi, tmp_path, [HEAD, *late]).tables
    # 23:30 UTC is 02:30 of the next day in Kampala.
    assert rows(tables["payments"], "payment_id paid_on") == [("P1", "2019-01-20"), ("P2", "2019-01-21")]


def test_rows_of_a_loan_that_contradict_each_other_are_refused(zindi, tmp_path):
    other = LOAN_A.replace(" 1000 ", " 2000 ")
    with pytest.raises(RecordsError, match=r"1 loans differ in Value.*A"):
        convert(zindi, tmp_path, [*ROWS, f"{other} P9 2019-02-20_08:00:00 1 0 1"])


def test_the_order_of_the_rows_does_not_matter(zindi, tmp_path):
    one = convert(zindi, tmp_path).tables
    other = convert(zindi, tmp_path, [HEAD, *ROWS[:0:-1]]).tables
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[name])


@pytest.fixture(scope="module")
def real(zindi):
    return zindi.module.convert_with_counts(zindi.real())


@pytest.fixture(scope="module")
def source(zindi):
    """The rows with a loan, as they came."""
    frame = pd.read_csv(zindi.real() / "Train.csv", dtype="str")
    return frame[frame["LoanId"].notna()]


def test_every_row_of_the_real_set_is_in_a_table_or_counted(real):
    assert real.rows_read["Train.csv"] == 2_100
    assert real.rows_used["Train.csv"] == 1_485
    assert real.left_out["Train.csv"] == {"no loan was given": 612, "the same repayment told again": 3}
    assert (real.rows_used["Test.csv"], real.rows_read["Test.csv"]) == (0, 905)
    assert real.rows_read["unlinked_masked_final.csv"] == 16_327
    assert list(real.changed.values()) == [2]
    assert {name: len(t) for name, t in real.tables.items()} == {
        "customers": 239,
        "accounts": 1_159,
        "instalments": 2_193,
        "payments": 1_485,
    }


def test_the_columns_mean_what_the_docstring_says(source):
    loans = source.groupby("LoanId")
    assert int(loans["AmountLoan"].nunique().gt(1).sum()) == 137
    value, price = source["Value"].astype(float), -source["Amount"].astype(float)
    assert (int((value > price).sum()), int((value < price).sum())) == (105, 0)
    days = (pd.to_datetime(source["DueDate"]) - pd.to_datetime(source["IssuedDateLoan"])).dt.total_seconds()
    assert set((days / 86_400).dropna().round(2)) == {30.0}
    assert loans["DueDate"].first().notna().sum() == 1_157
    not_confirmed = source[source["IsThirdPartyConfirmed"] == "0"]
    assert (len(not_confirmed), int((not_confirmed["IsFinalPayBack"] == "1").sum())) == (26, 25)
    assert (pd.to_datetime(source["PaidOnDate"]).dt.hour >= 21).mean() == pytest.approx(0.038, abs=5e-4)


def test_repayments_in_one_row_follow_the_tariff(source):
    once = source.drop_duplicates("PayBackId")
    once = once[(once.groupby("LoanId")["LoanId"].transform("size") == 1) & (once["IsFinalPayBack"] == "1")]
    days = (pd.to_datetime(once["PaidOnDate"]) - pd.to_datetime(once["IssuedDateLoan"])).dt.days
    ratio = once["AmountLoan"].astype(float) / once["Value"].astype(float)
    tariff = 1.04 + 0.005 * np.minimum(days, 89)
    assert len(once) == 971
    assert ((ratio - tariff).abs() < 0.006).mean() == pytest.approx(0.973, abs=5e-4)


def test_settlement_agrees_with_the_sets_own_flags(zindi, real, source):
    facts = settle(real.tables, zindi.module.CONFIG, LAST_DAY)
    loans = source.groupby("LoanId")
    defaulted = (loans["IsDefaulted"].first() == "1").reindex(facts.index)
    finished = (loans["IsFinalPayBack"].max() == "1").reindex(facts.index)
    assert (int(defaulted.sum()), int((~finished).sum()), int((defaulted & ~finished).sum())) == (71, 75, 68)
    unpaid = ~facts["is_settled"]
    assert (int(unpaid.sum()), int((unpaid & defaulted).sum())) == (72, 67)
    assert (unpaid == defaulted).mean() == pytest.approx(0.992, abs=5e-4)
    late = facts["dpd"] > 0
    assert (int(late.sum()), int((late & defaulted).sum())) == (350, 71)
    # What the lender calls finished is settled on the day it was finished, early or late.
    closed = real.tables["accounts"].set_index("account_id")["closed_on"].reindex(facts.index)
    assert (pd.to_datetime(facts["settled_on"])[finished] == closed[finished]).all()
    assert (int(finished.sum()), int((late & finished).sum())) == (1_084, 275)
    value = real.tables["accounts"].set_index("account_id")["principal_amount"].reindex(facts.index)
    assert int((finished & (facts["amount_due"] < value)).sum()) == 5


def test_the_command_line_writes_loads_and_reports(zindi, tmp_path, capsys):
    assert zindi.module.main(["--data", str(zindi.real()), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "left out 612: no loan was given" in text
    assert "instalments: 2,193, 2,193, 0" in text
