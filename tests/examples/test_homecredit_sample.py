"""Home Credit: relative days, versions that are parts, gaps filled from the row above, sampled payments."""

import datetime as dt

import pandas as pd
import pytest

import overdue_ml as om

# Everybody applies on 2018-01-01. Ann has a loan and a card; Ben was refused; Cat is in the bureau file only.
FILES = {
    "application": [
        "SK_ID_CURR CODE_GENDER NAME_FAMILY_STATUS NAME_EDUCATION_TYPE NAME_INCOME_TYPE NAME_HOUSING_TYPE "
        "DAYS_BIRTH AMT_INCOME_TOTAL",
        # 14,610 days are 40 years of 365.25 days.
        "1 F Married Higher_education Working House -14610 90000",
        "2 M Single Lower_secondary Pensioner House -14609 45000",
    ],
    "previous_application": [
        "SK_ID_PREV SK_ID_CURR NAME_CONTRACT_TYPE NAME_CONTRACT_STATUS AMT_CREDIT DAYS_DECISION "
        "DAYS_TERMINATION CNT_PAYMENT",
        "11 1 Consumer_loans Approved 1000 -365 -31 6",
        # The gap of a refused loan was filled from the row above.
        "12 2 Cash_loans Refused 5000 -300 -31 24",
        "13 1 Revolving_loans Approved 7000 -200 365243 0",
    ],
    "installments_payments": [
        "SK_ID_PREV SK_ID_CURR NUM_INSTALMENT_VERSION NUM_INSTALMENT_NUMBER DAYS_INSTALMENT "
        "DAYS_ENTRY_PAYMENT AMT_INSTALMENT AMT_PAYMENT",
        # Paid in two parts, five days late.
        "11 1 1 1 -335 -340 100 40",
        "11 1 1 1 -335 -330 100 60",
        # 130 paid on an instalment of 100: the surplus became version 2, and the payment is told twice.
        "11 1 1 2 -305 -310 100 130",
        "11 1 2 2 -305 -310 30 130",
        # The rest of the plan is smaller from then on.
        "11 1 3 4 -245 -240 90 90",
        "11 1 3 5 -215 -220 90 90",
        # Only 10 of 90 are in the sample.
        "11 1 3 6 -185 -190 90 10",
        # A card: a payment makes its own instalment, a day early.
        "13 1 0 1 -100 -101 50 50",
        # A loan that is not in the file.
        "99 1 1 1 -100 -101 50 50",
    ],
    "bureau": [
        "SK_ID_CURR SK_ID_BUREAU CREDIT_ACTIVE DAYS_CREDIT CREDIT_DAY_OVERDUE DAYS_ENDDATE_FACT "
        "AMT_CREDIT_SUM_DEBT AMT_CREDIT_SUM_LIMIT AMT_ANNUITY DAYS_CREDIT_UPDATE",
        # Closed 9 days before the update.
        "3 31 Closed -800 0 -40 0 0 25 -31",
        # Active: the end and the annuity come from the row above, the debt is its own.
        "3 32 Active -70 5 -40 500 0 25 -10",
        # Closed after its last update: known when it was over.
        "1 33 Closed -800 0 -2 0 0 40 -31",
        # Active with an end that is in no row above: still not closed. A limit of 0 below one of 0 stays.
        "2 34 Active -70 0 -20 7 0 11 -10",
    ],
    "bureau_balance": [
        "SK_ID_BUREAU STATUS MONTHS_BALANCE",
        "32 X 0",
        "32 2 -1",
        # Month -3 ends on 2017-10-01, before the opening on 2017-10-23.
        "32 0 -3",
        "77 0 -1",
    ],
    "credit_card_balance": [
        "SK_ID_PREV MONTHS_BALANCE AMT_BALANCE AMT_CREDIT_LIMIT_ACTUAL AMT_INST_MIN_REGULARITY "
        "AMT_PAYMENT_TOTAL_CURRENT AMT_DRAWINGS_CURRENT SK_DPD",
        "13 -1 400 7000 20 50 450 0",
        "13 -2 0 7000 0 0 0 18",
        "99 -1 0 0 0 0 0 0",
    ],
    "pos_cash_balance": ["SK_ID_PREV", "11", "11"],
}


@pytest.fixture
def made(homecredit, tmp_path):
    """The made-up files, converted."""
    return homecredit.of(tmp_path, **FILES)


def load(tables, config):
    records = om.load_records(tables, config)
    assert not any(result.rejected for result in records.report.tables)
    return records


def test_every_row_is_in_a_table_or_counted(made):
    assert made.rows_read == {f"{name}.csv": len(lines) - 1 for name, lines in FILES.items()}
    assert made.left_out == {
        "application.csv": {},
        "previous_application.csv": {"no loan was made: refused": 1},
        "installments_payments.csv": {
            "the loan is not an approved one of the file": 1,
            "the instalment's payments are not all in the sample": 1,
            "the same payment told again under a later version": 1,
        },
        "bureau.csv": {},
        "bureau_balance.csv": {"the credit is not in the file": 1},
        "credit_card_balance.csv": {"the card is not an approved one of the file": 1},
        "pos_cash_balance.csv": {"no table for a monthly status without amounts": 2},
    }


def test_days_before_the_application_become_days_before_2018(made, rows):
    # 365 days before 2018-01-01 is 2017-01-01; 31 days before it 2017-12-01; 200 days before it 2017-06-15.
    columns = (
        "account_id customer_id opened_on closed_on product principal_amount credit_limit_amount term_months"
    )
    assert rows(made.tables["accounts"], columns) == [
        ("11", "1", "2017-01-01", "2017-12-01", "Consumer loans", 1000.0, None, 6),
        ("13", "1", "2017-06-15", None, "Revolving loans", None, 7000.0, None),
    ]
    assert rows(made.tables["incomes"], "customer_id received_on amount kind") == [
        ("1", "2018-01-01", 90000.0, "declared"),
        ("2", "2018-01-01", 45000.0, "declared"),
    ]


def test_customers_of_any_file_are_there_and_only_applicants_have_attributes(made, rows):
    assert rows(made.tables["customers"], "customer_id gender age_years education") == [
        ("1", "F", 40, "Higher education"),
        ("2", "M", 39, "Lower secondary"),
        ("3", None, None, None),
    ]


def test_a_later_version_of_an_instalment_adds_up_and_its_payment_counts_once(made, rows):
    columns = "account_id instalment_no due_date amount_due known_on"
    assert rows(made.tables["instalments"], columns) == [
        # Version 1 from the opening; due 335 days before the application.
        ("11", 1, "2017-01-31", 100.0, "2017-01-01"),
        ("11", 2, "2017-03-02", 100.0, "2017-01-01"),
        # 100 + 30, known from the payment 310 days before.
        ("11", 2, "2017-03-02", 130.0, "2017-02-25"),
        # Version 3 shows first on the due date of number 4, 245 days before (it was paid later).
        ("11", 4, "2017-05-01", 90.0, "2017-05-01"),
        ("11", 5, "2017-05-31", 90.0, "2017-05-01"),
        # The card's: known from its payment, 101 days before.
        ("13", 1, "2017-09-23", 50.0, "2017-09-22"),
    ]
    assert made.tables["payments"]["amount"].sum() == 40 + 60 + 130 + 90 + 90 + 50


def test_settlement_of_the_versions_by_hand(homecredit, made):
    records = load(made.tables, homecredit.module.CONFIG)
    facts = om.compute_facts(records, ["2017-02-24", "2018-01-01"]).to_pandas()
    facts = facts[facts["account_id"] == "11"].set_index(["as_of_date", "instalment_no"])
    early = facts.loc[dt.date(2017, 2, 24)]
    # The day before the 130 came: number 2 is 100 and open, number 1 was paid 5 days late on 5 February.
    assert early["amount_due"].tolist() == [100.0, 100.0]
    assert early["is_settled"].tolist() == [True, False]
    last = facts.loc[dt.date(2018, 1, 1)]
    # 130 of 130, 5 days early; number 4 five days late, number 5 five days early; nothing carried forward.
    assert last["amount_due"].tolist() == last["paid_amount"].tolist() == [100.0, 130.0, 90.0, 90.0]
    assert last["dpd"].tolist() == [5, 0, 5, 0]
    assert last["days_early"].tolist() == [0, 5, 0, 5]


def test_two_equal_payments_under_one_version_are_two(homecredit, tmp_path):
    head = FILES["installments_payments"][0]
    files = FILES | {"installments_payments": [head, *["11 1 1 1 -335 -340 100 50"] * 2]}
    made = homecredit.of(tmp_path, **files)
    assert made.tables["payments"]["amount"].tolist() == [50.0, 50.0]
    assert made.left_out["installments_payments.csv"] == {}


def test_versions_known_from_the_same_day_are_one(homecredit, tmp_path, rows):
    head = FILES["installments_payments"][0]
    files = FILES | {
        "installments_payments": [head, "11 1 3 2 -305 -310 100 130", "11 1 4 2 -305 -310 30 130"]
    }
    made = homecredit.of(tmp_path, **files)
    assert rows(made.tables["instalments"], "amount_due known_on") == [(130.0, "2017-02-25")]
    assert made.changed["versions merged: both known from the same day"] == 1


def test_a_version_is_known_from_the_first_day_that_shows_it_or_a_later_one(homecredit, tmp_path, rows):
    lines = FILES["installments_payments"][:1]
    # Version 2 is paid late: by itself it would show on its due date, 275 days before. But number 4, of
    # version 3, was paid 290 days before (2017-03-17), so version 2 was there by then.
    lines = [*lines, "11 1 2 3 -275 -270 90 90", "11 1 3 4 -245 -290 90 90"]
    # The surplus of a late payment becomes a version on the day of the payment, 210 days before
    # (2017-06-05), not on the due date, 215 days before.
    lines += ["11 1 1 5 -215 -210 90 100", "11 1 4 5 -215 -210 10 100"]
    # Two instalments of a card, each by itself; the first was paid before the card was opened (2017-06-15).
    lines += ["13 1 0 1 -190 -205 50 50", "13 1 0 2 -70 -71 20 20"]
    made = homecredit.of(tmp_path, **FILES | {"installments_payments": lines})
    assert rows(made.tables["instalments"], "account_id instalment_no amount_due known_on") == [
        ("11", 3, 90.0, "2017-03-17"),
        ("11", 4, 90.0, "2017-03-17"),
        ("11", 5, 90.0, "2017-01-01"),
        ("11", 5, 100.0, "2017-06-05"),
        ("13", 1, 50.0, "2017-06-15"),
        ("13", 2, 20.0, "2017-10-22"),
    ]


def test_short_instalments_can_be_kept(homecredit, tmp_path):
    homecredit.of(tmp_path, **FILES)
    kept = homecredit.module.convert_with_counts(tmp_path, keep_short=True).tables
    assert kept["instalments"]["instalment_no"].tolist() == [1, 2, 2, 4, 5, 6, 1]
    assert 10.0 in kept["payments"]["amount"].tolist()


def test_an_end_before_the_decision_and_a_filled_end_are_blanked(homecredit, tmp_path, rows):
    head = FILES["previous_application"][0]
    loans = ["11 1 Cash_loans Approved 1000 -365 -31 6", "12 1 Cash_loans Approved 1000 -365 -31 6"]
    loans += ["13 1 Cash_loans Approved 1000 -365 -400 6"]
    made = homecredit.of(tmp_path, **FILES | {"previous_application": [head, *loans]})
    assert rows(made.tables["accounts"], "closed_on") == [("2017-12-01",), (None,), (None,)]
    assert made.changed["closing dates blanked: filled from the row above, or before the decision"] == 2


def test_the_bureau_says_what_it_said_when(made, rows):
    columns = (
        "customer_id lender_id reported_on balance_amount monthly_due_amount dpd opened_on closed_on known_on"
    )
    opened_31, opened_32 = "2015-10-24", "2017-10-23"
    assert made.tables["borrowings"]["credit_limit_amount"].dropna().tolist() == [0.0, 0.0, 0.0, 0.0]
    assert rows(made.tables["borrowings"], columns) == [
        # Over on 2017-12-30, after the update of 2017-12-01: known then.
        ("1", "33", "2017-12-01", 0.0, 40.0, 0, opened_31, "2017-12-30", "2017-12-30"),
        ("2", "34", "2017-12-22", 7.0, 11.0, 0, opened_32, None, "2017-12-22"),
        ("3", "31", "2017-12-01", 0.0, 25.0, 0, opened_31, "2017-11-22", "2017-12-01"),
        # A month that ends before the opening is moved to it.
        ("3", "32", opened_32, None, None, 0, opened_32, None, opened_32),
        # Status 2: from 31 days.
        ("3", "32", "2017-12-01", None, None, 31, opened_32, None, "2017-12-01"),
        # Active: the filled end and annuity are blank.
        ("3", "32", "2017-12-22", 500.0, None, 5, opened_32, None, "2017-12-22"),
        # X: unknown.
        ("3", "32", "2018-01-01", None, None, None, opened_32, None, "2018-01-01"),
    ]


def test_card_months_become_statements(made, rows):
    columns = "account_id statement_date balance_amount minimum_due_amount paid_amount drawings_amount dpd"
    assert rows(made.tables["statements"], columns) == [
        ("13", "2017-11-01", 0.0, 0.0, 0.0, 0.0, 18),
        ("13", "2017-12-01", 400.0, 20.0, 50.0, 450.0, 0),
    ]


def test_a_byte_order_mark_makes_no_difference(homecredit, tmp_path, made):
    for path in tmp_path.glob("*.csv"):
        path.write_bytes(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    for name, frame in homecredit.module.convert(tmp_path).items():
        pd.testing.assert_frame_equal(frame, made.tables[name])


def test_the_order_of_the_repayment_rows_does_not_matter(homecredit, tmp_path, made):
    # Not so for the bureau and the loans: there a gap was filled from the row above.
    lines = FILES["installments_payments"]
    turned = homecredit.of(tmp_path, **FILES | {"installments_payments": [lines[0], *lines[:0:-1]]})
    for name, frame in turned.tables.items():
        pd.testing.assert_frame_equal(frame, made.tables[name])


@pytest.fixture(scope="module")
def real(homecredit):
    return homecredit.module.convert_with_counts(homecredit.real())


@pytest.fixture(scope="module")
def pos(homecredit):
    """Monthly status of instalment loans, in no table."""
    frame = pd.read_csv(homecredit.real() / "pos_cash_balance.csv", encoding="utf-8-sig")
    frame["account_id"] = frame["SK_ID_PREV"].astype(str)
    frame["as_of_date"] = homecredit.module.month_ends(frame["MONTHS_BALANCE"])
    return frame[["account_id", "as_of_date", "SK_DPD"]]


def test_every_row_of_the_real_set_is_in_a_table_or_counted(homecredit, real):
    assert real.left_out["installments_payments.csv"] == {
        "the instalment's payments are not all in the sample": 576,
        "the same payment told again under a later version": 61,
    }
    assert sum(real.left_out["previous_application.csv"].values()) == 1_308
    whole = {
        "application.csv": 1_000,
        "bureau.csv": 3_435,
        "bureau_balance.csv": 3_622,
        "credit_card_balance.csv": 86,
    }
    assert real.rows_read | whole == real.rows_read
    assert real.rows_used | whole == real.rows_used
    assert list(real.changed.values()) == [85, 27, 1_838]
    records = load(real.tables, homecredit.module.CONFIG)
    assert {name: t.num_rows for name, t in records.tables.items()} == {
        "customers": 1_147,
        "accounts": 2_193,
        "instalments": 6_652,
        "payments": 6_710,
        "statements": 86,
        "incomes": 1_000,
        "borrowings": 7_057,
    }


def test_two_versions_add_up_to_one_payment_told_twice(homecredit):
    rows = pd.read_csv(homecredit.real() / "installments_payments.csv", encoding="utf-8-sig")
    key = ["SK_ID_PREV", "NUM_INSTALMENT_NUMBER"]
    twice = rows[rows.groupby(key)["NUM_INSTALMENT_VERSION"].transform("nunique") > 1]
    groups = twice.groupby(key)
    assert (groups.ngroups, len(twice)) == (61, 122)
    assert groups[["AMT_PAYMENT", "DAYS_ENTRY_PAYMENT"]].nunique().eq(1).all(axis=None)
    assert (groups["AMT_INSTALMENT"].sum() - groups["AMT_PAYMENT"].first()).abs().max() < 0.005


def test_gaps_of_the_real_set_were_filled_from_the_row_above(homecredit):
    bureau = pd.read_csv(homecredit.real() / "bureau.csv", encoding="utf-8-sig")
    same = bureau["DAYS_ENDDATE_FACT"] == bureau["DAYS_ENDDATE_FACT"].shift()
    active = bureau["CREDIT_ACTIVE"] == "Active"
    assert (int((same & active).sum()), int(active.sum())) == (1_254, 1_258)
    cards = pd.read_csv(homecredit.real() / "credit_card_balance.csv", encoding="utf-8-sig")
    assert cards["AMT_PAYMENT_CURRENT"].isin([806.085, 164.43]).sum() == 46


@pytest.mark.parametrize(
    ("keep_short", "months", "agree", "wrongly_open", "missed"),
    [(False, 555, 0.984, 1, 8), (True, 561, 0.900, 54, 2)],
)
def test_settlement_agrees_with_the_monthly_days_past_due(
    homecredit, pos, keep_short, months, agree, wrongly_open, missed
):
    tables = homecredit.module.convert_with_counts(homecredit.real(), keep_short=keep_short).tables
    records = load(tables, homecredit.module.CONFIG)
    facts = om.compute_facts(records, sorted({day.date() for day in pos["as_of_date"]})).to_pandas()
    facts["as_of_date"] = pd.to_datetime(facts["as_of_date"]).astype("datetime64[us]")
    facts["is_open"] = ~facts["is_settled"] & (facts["dpd"] > 0)
    is_open = facts.groupby(["account_id", "as_of_date"], as_index=False)["is_open"].any()
    both = pos.merge(is_open, on=["account_id", "as_of_date"])
    past_due = both["SK_DPD"] > 0
    assert len(both) == months
    assert (past_due == both["is_open"]).mean() == pytest.approx(agree, abs=5e-4)
    assert int((both["is_open"] & ~past_due).sum()) == wrongly_open
    assert int((past_due & ~both["is_open"]).sum()) == missed


def test_what_remains_is_paid_in_the_end(homecredit, real):
    facts = om.compute_facts(load(real.tables, homecredit.module.CONFIG), "2018-01-01").to_pandas()
    assert (len(facts), bool(facts["is_settled"].all())) == (6_618, True)
    assert (facts["dpd"] > 0).mean() == pytest.approx(0.055, abs=5e-4)


def test_the_command_line_writes_loads_and_reports(homecredit, tmp_path, capsys):
    assert homecredit.module.main(["--data", str(homecredit.real()), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "installments_payments.csv: 7,347, 6,710" in text
    assert "borrowings: 7,057, 7,057, 0" in text
