"""Reports on debts elsewhere by hand: lenders, balances, use, lateness, age, and closings."""

import datetime as dt
from dataclasses import replace

import pandas as pd
import pytest

from overdue_ml.features import audit_leakage, available_features, build_features, default_registry
from overdue_ml.records import load_records


def day(text):
    return dt.date.fromisoformat(f"2024-{text}")


COLUMNS = ["reported_on", "lender_id", "balance_amount", "credit_limit_amount", "monthly_due_amount", "dpd"]


def _reports(customer, *rows):
    """(reported, lender, balance, limit, monthly due, dpd, what else there is to say)."""
    found = []
    for *cells, more in rows:
        row = dict(zip(COLUMNS, cells, strict=True))
        dates = {
            name: day(text) if len(text) == 5 else dt.date.fromisoformat(text) for name, text in more.items()
        }
        found.append(row | {"customer_id": customer, "reported_on": day(row["reported_on"])} | dates)
    return found


BORROWINGS = [
    *_reports(
        "ANN",
        # Lender A: growing, late in March; what it said of 1 March became known on 20 March.
        ("01-01", "A", 200.0, 1000.0, 20.0, 0, {"opened_on": "2023-06-01"}),
        ("03-01", "A", 500.0, 1000.0, 50.0, 12, {"opened_on": "2023-06-01", "known_on": "03-20"}),
        # Lender B: new on 15 February, closed on 10 April.
        ("02-20", "B", 300.0, 400.0, 30.0, 0, {"opened_on": "02-15", "closed_on": "04-10"}),
    ),
    *_reports(
        "BEN",
        # No lender: one lender, of whom two debts on one day add up; one is closed on 1 May.
        ("04-01", None, 100.0, 200.0, 10.0, 3, {"opened_on": "2023-01-01"}),
        ("04-01", None, 50.0, 300.0, 5.0, 40, {"opened_on": "01-01", "closed_on": "05-01"}),
        # What was said of 5 May is said anew on 9 May, before the closing that was said first.
        ("05-05", None, 900.0, 1000.0, 90.0, 0, {"closed_on": "05-20"}),
        ("05-05", None, 60.0, 200.0, 6.0, 0, {"known_on": "05-09"}),
    ),
]
FRAMES = {
    "accounts": pd.DataFrame(
        [
            {"account_id": f"{c[0]}1", "customer_id": c, "opened_on": day("01-01")}
            for c in ("ANN", "BEN", "CAT")
        ]
    ),
    "instalments": pd.DataFrame(
        [{"account_id": "A1", "instalment_no": 1, "due_date": day("05-10"), "amount_due": 140.0}]
    ),
    "payments": pd.DataFrame(
        [{"payment_id": "P1", "account_id": "C1", "paid_on": day("01-02"), "amount": 1.0}]
    ),
    "incomes": pd.DataFrame(
        [{"customer_id": c, "received_on": day("03-05"), "amount": 1000.0} for c in ("ANN", "BEN")]
    ),
    "borrowings": pd.DataFrame(BORROWINGS),
}
B = "borrow_"
EXPECTED = [
    # On 10 March the report of A for 1 March does not exist yet.
    ("ANN", "03-10", B + "lenders_count_latest", 2),
    ("ANN", "03-10", B + "balance_amount_latest", 500),
    ("ANN", "03-10", B + "dpd_latest", 0),
    # The latest report is of B: 20 February to 10 March.
    ("ANN", "03-10", B + "report_since_all", 19),
    ("ANN", "03-10", B + "growth_amount_sum_90d", None),
    # On 15 April it does, and B is closed.
    ("ANN", "04-09", B + "lenders_count_latest", 2),
    ("ANN", "04-09", B + "balance_amount_latest", 800),
    ("ANN", "04-15", B + "lenders_count_latest", 1),
    ("ANN", "04-15", B + "balance_amount_latest", 500),
    # The latest 360 days: 500 of A, and of B what its only report says by now.
    ("ANN", "04-15", B + "balance_amount_max_360d", 500),
    ("ANN", "04-15", B + "credit_limit_amount_latest", 1000),
    ("ANN", "04-15", B + "monthly_due_amount_latest", 50),
    ("ANN", "04-15", B + "headroom_amount_latest", 500),
    ("ANN", "04-15", B + "growth_amount_sum_90d", 300),
    ("ANN", "04-15", B + "growth_limit_ratio_latest", 0.3),
    ("ANN", "04-09", B + "utilisation_latest", 0.75),
    ("ANN", "04-09", B + "utilisation_total_latest", 800 / 1400),
    ("ANN", "04-15", B + "utilisation_latest", 0.5),
    ("ANN", "04-15", B + "utilisation_mean_last4", 0.35),
    ("ANN", "04-15", B + "utilisation_slope_last4", 0.3),
    ("ANN", "04-15", B + "dpd_latest", 12),
    ("ANN", "04-15", B + "dpd_mean_last4", 6),
    ("ANN", "04-15", B + "dpd_max_180d", 12),
    ("ANN", "04-15", B + "late_count_latest", 1),
    ("ANN", "04-15", B + "late_share_last4", 0.5),
    # 1 March to 15 April: 30 + 15.
    ("ANN", "04-15", B + "late_since_all", 45),
    # 15 February to 15 April: 14 + 31 + 15; 1 June 2023 to 15 April 2024: 214 + 105.
    ("ANN", "04-15", B + "newest_days_latest", 60),
    ("ANN", "04-15", B + "oldest_days_latest", 319),
    ("ANN", "04-15", B + "new90_count_latest", 1),
    ("ANN", "04-15", B + "new360_count_latest", 2),
    # 90 days after 15 February 2024 it is the 15th of May; the day before counts, that day does not.
    ("ANN", "05-14", B + "new90_count_latest", 1),
    ("ANN", "05-15", B + "new90_count_latest", 0),
    # Income 1000; 140 are due here by 15 May, 50 elsewhere.
    ("ANN", "04-15", B + "due_income_ratio_latest", 0.05),
    ("ANN", "04-15", B + "balance_income_ratio_360d", 0.5),
    ("ANN", "04-15", B + "all_due_amount_next31d", 190),
    ("ANN", "04-15", B + "all_due_income_ratio_next31d", 0.19),
    ("ANN", "04-15", B + "all_debt_amount_latest", 640),
    ("ANN", "04-15", B + "all_debt_income_ratio_360d", 0.64),
    ("BEN", "04-15", B + "lenders_count_latest", 1),
    ("BEN", "04-15", B + "balance_amount_latest", 150),
    ("BEN", "04-15", B + "utilisation_latest", 0.3),
    ("BEN", "04-15", B + "dpd_latest", 40),
    # 1 January 2024 to 15 April: 105; 365 days more to the older one.
    ("BEN", "04-15", B + "newest_days_latest", 105),
    ("BEN", "04-15", B + "oldest_days_latest", 470),
    # Nothing is due here: the dues elsewhere alone.
    ("BEN", "04-15", B + "all_due_amount_next31d", 15),
    # From 1 May on only the first is open.
    ("BEN", "05-01", B + "balance_amount_latest", 100),
    ("BEN", "05-01", B + "dpd_latest", 3),
    # The report of 5 May, and what took its place; against the report of April.
    ("BEN", "05-08", B + "balance_amount_latest", 900),
    ("BEN", "05-08", B + "growth_amount_sum_90d", 800),
    ("BEN", "05-15", B + "balance_amount_latest", 60),
    ("BEN", "05-15", B + "growth_amount_sum_90d", -40),
    ("BEN", "05-25", B + "balance_amount_latest", 60),
    # Its opening dates were not given again.
    ("BEN", "05-15", B + "newest_days_latest", None),
    ("CAT", "05-15", B + "lenders_count_latest", None),
    ("CAT", "05-15", B + "all_debt_amount_latest", None),
]
DATES = [day(text) for text in sorted({as_of for _, as_of, _, _ in EXPECTED})]


@pytest.fixture(scope="module")
def records():
    return load_records(FRAMES)


@pytest.fixture(scope="module")
def frame(records):
    return build_features(records, DATES)


@pytest.mark.parametrize(("customer", "as_of", "name", "value"), EXPECTED)
def test_by_hand(frame, customer, as_of, name, value):
    found = frame.loc[(customer, f"2024-{as_of}"), name]
    if value is None:
        assert pd.isna(found)
    else:
        assert found == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("as_of", DATES)
def test_nothing_leaks_from_later_reports_and_closings(records, as_of):
    assert audit_leakage(records, as_of) == []


def test_debts_of_one_report_add_up_to_the_same_bits_in_any_order():
    # 0.75 or 1 added to 1e16 is lost, both together are not.
    rows = [("03-01", "A", amount, 1000.0, 1.0, 0, {}) for amount in (0.75, 1.0, 1e16)]
    records = load_records(FRAMES | {"borrowings": pd.DataFrame(_reports("ANN", *rows))})
    found = set()
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        table = records.tables["borrowings"].take(order)
        other = replace(records, tables=records.tables | {"borrowings": table})
        built = build_features(other, [day("04-15")], ["borrow_balance_amount_latest"])
        found.add(built.loc["ANN", "borrow_balance_amount_latest"].iloc[0])
    assert found == {1e16 + 2}


def test_a_column_of_closings_that_is_empty_is_as_good_as_none():
    bare = FRAMES["borrowings"].drop(columns="closed_on")
    found = [
        build_features(load_records(FRAMES | {"borrowings": reports}), DATES)
        for reports in (bare, bare.assign(closed_on=pd.Series(None, index=bare.index, dtype=object)))
    ]
    pd.testing.assert_frame_equal(*found)
    # Nothing is closed on 1 May, and both debts of Ben stay in what was said on 1 April.
    assert found[0].loc[("BEN", "2024-05-01"), "borrow_balance_amount_latest"] == 150


def test_without_the_table_or_its_columns_features_are_left_out_by_name():
    borrow = {f.name for f in default_registry() if f.name.startswith("borrow_")}
    bare = {name: table for name, table in FRAMES.items() if name != "borrowings"}
    assert not borrow & set(available_features(load_records(bare)))
    plain = FRAMES["borrowings"].drop(columns=["opened_on", "closed_on", "lender_id", "known_on"])
    left = borrow - set(available_features(load_records(FRAMES | {"borrowings": plain})))
    assert left == {
        f"borrow_{n}_latest" for n in ("newest_days", "oldest_days", "new90_count", "new360_count")
    }
