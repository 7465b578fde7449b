"""Features of loans as a whole, of single payments and of changed plans: answers worked out by hand."""

import datetime as dt
import math

import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import FeatureMismatchError
from overdue_ml.features import (
    ALL,
    Feature,
    Measure,
    Registry,
    available_features,
    build_features,
    default_registry,
)
from overdue_ml.features.dated import DATED_VIEWS
from overdue_ml.features.loans import loan_features
from overdue_ml.features.payments import PAYMENT_DERIVED, payment_features, version_features
from overdue_ml.records import load_records

NAMES = [f.name for f in (*payment_features(), *version_features(), *PAYMENT_DERIVED, *loan_features())]


def day(text):
    """Month-day of 2024 as a date."""
    return dt.date.fromisoformat(f"2024-{text}")


def _instalments(account, amount, *dues):
    return [
        {"account_id": account, "instalment_no": no, "due_date": day(due), "amount_due": float(amount)}
        for no, due in enumerate(dues, start=1)
    ]


def _payments(account, *rows):
    return [
        {"account_id": account, "paid_on": day(paid), "amount": float(amount), "instalment_no": no}
        for paid, amount, no in rows
    ]


INSTALMENTS = [
    *_instalments("A1", 100, "02-10", "03-10", "04-10", "05-10", "06-10"),
    *_instalments("A2", 50, "04-01", "05-01", "06-01", "07-01"),
    # On 15 May the last of A2 is put off by 30 days and raised by 10.
    {"account_id": "A2", "instalment_no": 4, "due_date": day("07-31"), "amount_due": 60.0,
     "known_on": day("05-15")},
    *_instalments("B1", 80, "03-10", "04-10", "07-10"),
]  # fmt: skip
PAYMENTS = [
    # 5 days early, 15 late, in two parts, taken back and paid again 4 days late, not at all.
    *_payments(
        "A1", ("02-05", 100, 1), ("03-25", 100, 2), ("04-01", 50, 3), ("04-05", 50, 3), ("05-10", 100, 4),
        ("05-12", -100, 4), ("05-14", 100, 4),
    ),
    # On the day, 20 days late, not at all.
    *_payments("A2", ("04-01", 50, 1), ("05-21", 50, 2)),
    # 9 and 8 days early, and a month.
    *_payments("B1", ("03-01", 80, 1), ("04-02", 80, 2), ("06-10", 80, 3)),
]  # fmt: skip
FRAMES = {
    "accounts": pd.DataFrame(
        [
            {"account_id": a, "customer_id": c, "opened_on": day(opened), "principal_amount": principal}
            for a, c, opened, principal in [
                ("A1", "ANN", "01-01", 480.0), ("A2", "ANN", "03-01", 120.0), ("B1", "BEN", "02-01", 200.0),
            ]
        ]
    ),
    "instalments": pd.DataFrame(INSTALMENTS),
    "payments": pd.DataFrame([{"payment_id": f"P{i}"} | row for i, row in enumerate(PAYMENTS)]),
}  # fmt: skip

R = "repay_instalment_"
# On 15 June, newest first: A1 5 4 0 15 0 days late, A2 14 20 0; to come is A2's last, 60 on 31 July.
ANN = [
    (R + "first3_late_count_sum_all", "06-15", 2),
    (R + "first3_dpd_max_all", "06-15", 20),
    (R + "dpd_first_all", "06-15", 0),
    # Mean 34/3, mean square 596/3.
    (R + "dpd_std_last6", "06-15", math.sqrt(632) / 3),
    (R + "dpd_mean_180d", "06-15", 34 / 3),
    (R + "late_share_90d", "06-15", 2 / 3),
    (R + "late8_streak_all", "06-15", 2),
    (R + "late8_since_all", "06-15", 14),
    (R + "reversed_share_last6", "06-15", 1 / 5),
    (R + "early_share_last3", "06-15", 0),
    (R + "split_share_last6", "06-15", 2 / 5),
    (R + "payments_count_max_last12", "06-15", 2),
    (R + "amount_mean_last6", "06-15", 150),
    (R + "amount_sum_90d", "06-15", 450),
    (R + "paid_amount_sum_90d", "06-15", 300),
    (R + "paid_due_ratio_90d", "06-15", 2 / 3),
    (R + "unpaid_due_ratio_360d", "06-15", 150 / 650),
    (R + "dpd_ratio_last3_over_last12", "06-15", 1),
    # The worst of each: 14 of A2, less its mean.
    (R + "dpd_latest_minus_mean6", "06-15", 14 - 34 / 3),
    ("repay_loans_mean_dpd_latest", "06-15", 9.5),
    ("repay_loans_best_dpd_latest", "06-15", 5),
    ("repay_loans_spread_dpd_mean_last6", "06-15", 34 / 3 - 24 / 5),
    ("repay_loans_due_count_sum_last1", "06-15", 2),
    ("repay_loans_late_count_sum_last1", "06-15", 2),
    ("repay_loans_late_ratio_last1", "06-15", 1),
    # On 9 June A1 has paid all that fell due, though once late.
    ("repay_loans_behind_count_max_all", "06-09", 1),
    ("repay_loans_late_count_sum_last1", "06-09", 2),
    ("repay_loans_behind_count_max_all", "06-15", 2),
    ("due_loans_count_max_all", "06-09", 2),
    ("due_loans_behind_ratio_all", "06-09", 1 / 2),
    # Only A2 has something to come.
    ("due_loans_behind_ratio_all", "06-15", 2),
    ("due_amount_next", "06-15", 60),
    ("due_amount_growth_ratio_next", "06-15", 60 / 150),
    ("due_monthday_score_next", "06-15", 31),
    ("due_month_sine_score_next", "06-15", 0),
    ("due_month_cosine_score_next", "06-15", -1),
    # The 10th of April and the 1st: the mean of both loans. Before, March and April.
    ("due_monthday_score_next", "03-20", 5.5),
    ("due_month_sine_score_next", "03-20", 1),
    ("due_month_sine_score_next", "03-05", (1 + 0.866025403784) / 2),
    ("due_plan_amount_count_all", "06-15", 9),
    ("due_plan_amount_sum_all", "05-14", 700),
    ("due_plan_amount_sum_all", "06-15", 710),
    ("due_plan_paid_amount_sum_all", "06-15", 500),
    ("due_plan_open_amount_sum_all", "06-15", 210),
    ("due_plan_open_count_sum_all", "06-15", 3),
    ("due_plan_days_max_all", "06-15", 46),
    ("due_plan_paid_ratio_all", "06-15", 500 / 710),
    ("due_plan_open_ratio_all", "06-15", 1 / 3),
    ("due_plan_principal_ratio_all", "06-15", 210 / 600),
    # The next 31 days end on 1 August, the latest 90 begin on 3 April: 50 + 100 - 100 + 100, and 50.
    ("due_unpaid_payment_ratio_next31d", "07-01", 60 / 200),
    ("repay_payment_amount_latest", "06-15", 150),
    ("repay_payment_amount_count_all", "06-15", 9),
    ("repay_payment_amount_sum_90d", "06-15", 400),
    ("repay_payment_amount_count_90d", "06-15", 8),
    ("repay_payment_amount_sum_30d", "06-15", 50),
    ("repay_payment_amount_ratio_30d_over_90d", "06-15", 1 / 8),
    ("repay_payment_amount_min_last12", "06-15", -50),
    # 21 May with A2, 14 May with A1.
    ("repay_payment_since_all", "06-15", 25),
    ("repay_payment_gap_days_latest", "06-15", 50),
    # A1 alone: 24 days of February and 25 of March.
    ("repay_payment_gap_days_latest", "03-25", 49),
    # A1: 2, 2, 35, 4, 7, 49; of the latest 3: 2, 2, 35. A2 has the one of 50.
    ("repay_payment_gap_days_mean_last3", "05-20", 13),
    ("repay_payment_gap_days_mean_last6", "05-20", 99 / 6),
    ("repay_payment_gap_days_mean_last6", "06-15", 50),
    ("repay_payment_since_gap_ratio_all", "06-15", 1 / 2),
    ("repay_payment_monthday_score_mean_last6", "06-15", (14 + 12 + 10 + 5 + 1 + 25) / 6),
    ("repay_payment_returned_share_last12", "06-15", 1 / 7),
    ("repay_payment_returned_since_all", "06-15", 34),
    ("repay_payment_returned_count_sum_all", "06-15", 1),
    ("repay_payment_returned_count_sum_all", "05-11", 0),
    # Nobody knows before 15 May that the plan changes.
    ("repay_plan_changed_count_sum_all", "05-14", 0),
    ("repay_plan_changed_since_all", "05-14", None),
    ("repay_plan_changed_count_sum_all", "05-15", 1),
    ("repay_plan_changed_since_all", "06-15", 31),
    ("repay_plan_changed_count_sum_90d", "08-12", 1),
    # The 90th day before the 13th is 15 May, which is not among them: no version at all.
    ("repay_plan_changed_count_sum_90d", "08-13", None),
    ("repay_plan_putoff_count_sum_all", "06-15", 1),
    ("repay_plan_putoff_days_sum_all", "06-15", 30),
    ("repay_plan_raised_amount_sum_all", "06-15", 10),
    # No payment yet, no instalment due.
    ("repay_payment_amount_latest", "02-01", None),
    ("repay_payment_since_all", "02-01", None),
    ("repay_loans_due_count_sum_last1", "02-01", None),
]
BEN = [
    (R + "early_share_last3", "06-15", 1),
    (R + "early8_share_last6", "06-15", 1 / 1),
    (R + "early_streak_all", "06-15", 2),
    # The last is paid a month before it is due.
    ("due_settled_count_sum_all", "06-15", 1),
    ("due_loans_count_max_all", "06-15", 0),
    ("due_plan_paid_ratio_all", "06-15", 1),
    ("due_plan_open_amount_sum_all", "06-15", 0),
    ("repay_payment_gap_ratio_latest_over_mean6", "06-15", 69 * 2 / 101),
]
CELLS = [(c, *cell) for c, cells in {"ANN": ANN, "BEN": BEN}.items() for cell in cells]


@pytest.fixture(scope="module")
def loans():
    return load_records(FRAMES, RecordsConfig())


@pytest.fixture(scope="module")
def frame(loans):
    return build_features(loans, sorted({day(as_of) for _, _, as_of, _ in CELLS}), NAMES)


@pytest.mark.parametrize(("customer", "name", "as_of", "expected"), CELLS)
def test_a_feature_by_hand(frame, customer, name, as_of, expected):
    found = frame.loc[(customer, f"2024-{as_of}"), name]
    if expected is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-14)


def test_every_measure_was_worked_out():
    """Each measure once at least; their other windows are held against the oracle."""
    measured = {f.measure for f in (*payment_features(), *version_features(), *loan_features())
                if isinstance(f, Feature)}  # fmt: skip
    done = {name for _, name, _, _ in CELLS}
    registry = default_registry()
    lacking = measured - {registry[n].measure for n in done if isinstance(registry[n], Feature)}
    # Read over other windows in the tests of instalments.
    assert {m.name for m in lacking} <= {
        "instalment_part", "instalment_early_days", "instalment_paid_ratio", "loans_mean_late",
    }  # fmt: skip


def test_a_payment_counts_from_the_day_it_is_known():
    late = FRAMES["payments"].assign(known_on=FRAMES["payments"]["paid_on"])
    late.loc[late["payment_id"] == "P8", "known_on"] = day("06-10")
    records = load_records(FRAMES | {"payments": late})
    names = ["repay_payment_since_all", "repay_payment_amount_count_all"]
    found = build_features(records, [day("06-09"), day("06-10")], names).loc["ANN"]
    # Before, the latest known is that of 14 May; then that of 21 May.
    assert found.to_numpy().tolist() == [[26, 8], [20, 9]]


def test_without_known_on_there_is_one_version_of_each():
    first = FRAMES["instalments"].drop_duplicates(["account_id", "instalment_no"]).drop(columns="known_on")
    records = load_records(FRAMES | {"instalments": first})
    found = build_features(records, day("06-15"), ["repay_plan_changed_count_sum_all"])
    assert found.to_numpy().ravel().tolist() == [0, 0]


def test_the_records_have_all_features(loans):
    assert set(NAMES) <= set(available_features(loans))


@pytest.mark.parametrize(
    ("table", "name"),
    [("payments", "repay_payment_since_all"), ("instalments", "repay_plan_changed_since_all")],
)
def test_without_the_table_a_feature_is_left_out_by_name(five, table, name):
    assert table not in five.records
    assert name not in available_features(five.records)
    with pytest.raises(FeatureMismatchError, match=rf"missing {table}\."):
        build_features(five.records, "2024-06-30", [name])


@pytest.mark.parametrize("view", DATED_VIEWS)
def test_a_column_that_the_view_does_not_have_is_named(loans, view):
    measure = Measure("odd", view, "ratio", "odd", ((1.0, "mood", 0),))
    registry = Registry([Feature("own", measure, "last", ALL, "OWN")])
    assert available_features(loans, registry) == []
    with pytest.raises(FeatureMismatchError, match=rf"missing {DATED_VIEWS[view].table}\.mood"):
        build_features(loans, day("06-15"), ["own_odd_latest"], registry=registry)


def test_card_records_get_none_of_them(taiwan):
    assert not set(NAMES) & set(available_features(taiwan))
