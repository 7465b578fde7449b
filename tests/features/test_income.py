"""Incomes by hand: how much, how steady, how lately, and what falls due against them."""

import datetime as dt

import pandas as pd
import pytest

from overdue_ml.features import available_features, build_features, default_registry
from overdue_ml.records import load_records


def day(text):
    return dt.date.fromisoformat(f"2024-{text}")


def _incomes(customer, *rows):
    """(received, amount, kind, known)."""
    return [
        {"customer_id": customer, "received_on": day(on), "amount": amount, "kind": kind, "known_on": known}
        for on, amount, kind, known in rows
    ]


INCOMES = [
    # Ann: 31, 29 and 31 days apart; the income of 20 April is known on 2 May only.
    *_incomes(
        "ANN",
        ("01-20", 1200.0, "salary", None),
        ("02-20", 1000.0, "salary", None),
        ("03-20", 800.0, None, None),
        ("04-20", 600.0, "revenue", day("05-02")),
    ),
    # Ben: twice on one day, of which the larger stands last, and 0 later.
    *_incomes(
        "BEN",
        ("04-10", 300.0, "pension", None),
        ("04-10", 100.0, "declared", None),
        ("04-25", 0.0, "revenue", None),
    ),
]
INSTALMENTS = [
    # Ann owes 150 since 15 April and 240 in May; Ben 60 in May and 60 in June.
    ("A1", 1, "04-15", 150.0), ("A1", 2, "05-10", 240.0), ("B1", 1, "05-05", 60.0), ("B1", 2, "06-05", 60.0),
]  # fmt: skip
FRAMES = {
    "accounts": pd.DataFrame(
        [
            {"account_id": f"{c[0]}1", "customer_id": c, "opened_on": day("01-01")}
            for c in ("ANN", "BEN", "CAT")
        ]
    ),
    "instalments": pd.DataFrame(
        [
            {"account_id": a, "instalment_no": n, "due_date": day(due), "amount_due": amount}
            for a, n, due, amount in INSTALMENTS
        ]
    ),
    "payments": pd.DataFrame(
        [{"payment_id": "P1", "account_id": "B1", "paid_on": day("04-28"), "amount": 20.0}]
    ),
    "incomes": pd.DataFrame(INCOMES),
}
I = "income_"  # noqa: E741
# On 30 April three incomes of Ann's are known: 800, 1000, 1200; 29 and 31 days between them.
EXPECTED = [
    ("ANN", "04-30", I + "amount_latest", 800),
    ("ANN", "04-30", I + "amount_mean_last3", 1000),
    ("ANN", "04-30", I + "amount_mean_last12", 1000),
    # (800 + 1000 / 2 + 1200 / 4) / (1 + 1/2 + 1/4).
    ("ANN", "04-30", I + "amount_wmean_last6", 1600 / 1.75),
    ("ANN", "04-30", I + "amount_sum_31d", None),
    # The latest 90 days begin on 1 February, the latest 180 and 360 before all of them.
    ("ANN", "04-30", I + "amount_sum_90d", 1800),
    ("ANN", "04-30", I + "amount_sum_180d", 3000),
    ("ANN", "04-30", I + "amount_count_90d", 2),
    ("ANN", "04-30", I + "amount_count_360d", 3),
    ("ANN", "04-30", I + "amount_min_last6", 800),
    ("ANN", "04-30", I + "amount_std_last6", (80000 / 3) ** 0.5),
    ("ANN", "04-30", I + "amount_slope_last6", -200),
    # Of two incomes of a known kind.
    ("ANN", "04-30", I + "regular_share_360d", 1),
    ("ANN", "04-30", I + "revenue_share_360d", 0),
    # 20 March to 30 April: 11 + 30.
    ("ANN", "04-30", I + "received_since_all", 41),
    ("ANN", "04-30", I + "gap_days_mean_last6", 30),
    ("ANN", "04-30", I + "gap_days_max_last6", 31),
    ("ANN", "04-30", I + "gap_days_std_last6", 1),
    ("ANN", "04-30", I + "amount_std_over_mean_last6", (80000 / 3) ** 0.5 / 1000),
    ("ANN", "04-30", I + "amount_min_over_mean_last12", 0.8),
    ("ANN", "04-30", I + "amount_latest_over_mean_last12", 0.8),
    ("ANN", "04-30", I + "amount_mean_last3_over_last12", 1),
    # Expected 30 days after 20 March: 11 days ago.
    ("ANN", "04-30", I + "next_days", -11),
    # 240 are due in 10 days, which is 21 days after the income expected for 19 April.
    ("ANN", "04-30", I + "due_ratio_next", 0.24),
    ("ANN", "04-30", I + "due_mean_ratio_next31d", 0.24),
    ("ANN", "04-30", I + "due_ratio_next31d", 240 / 1800),
    ("ANN", "04-30", I + "due_gap_days_next", 21),
    ("ANN", "04-30", I + "payday_gap_days_next", 21),
    ("ANN", "04-30", "due_debt_amount_all", 390),
    ("ANN", "04-30", I + "debt_ratio_360d", 0.13),
    # On 2 May the income of 20 April is known too: 600.
    ("ANN", "05-02", I + "amount_latest", 600),
    ("ANN", "05-02", I + "amount_sum_31d", 600),
    ("ANN", "05-02", I + "amount_sum_31d_over_360d", 600 / 3600),
    ("ANN", "05-02", I + "received_since_all", 12),
    ("ANN", "05-02", I + "revenue_share_360d", 1 / 3),
    ("ANN", "05-02", I + "amount_latest_over_mean_last12", 600 / 900),
    # The gaps are 31, 29 and 31 days, the next income is expected in 91 / 3 - 12 days, and the due date comes
    # 8 days from now: before it, so that the income before that counts.
    ("ANN", "05-02", I + "next_days", 55 / 3),
    ("ANN", "05-02", I + "due_gap_days_next", 8 - 55 / 3),
    ("ANN", "05-02", I + "payday_gap_days_next", 20),
    # Newest first 0, 300, 100: 0 is an income that says nothing came.
    ("BEN", "04-30", I + "amount_latest", 0),
    ("BEN", "04-30", I + "amount_wmean_last6", 175 / 1.75),
    ("BEN", "04-30", I + "received_since_all", 20),
    ("BEN", "04-30", I + "gap_days_mean_last6", 7.5),
    ("BEN", "04-30", I + "gap_days_max_360d", 15),
    ("BEN", "04-30", I + "regular_share_360d", 1 / 3),
    ("BEN", "04-30", I + "next_days", -12.5),
    # 40 of the next are still to be paid; the mean income is 400 / 3. 31 days reach to 31 May.
    ("BEN", "04-30", I + "due_ratio_next", 0.3),
    ("BEN", "04-30", I + "due_ratio_next31d", 0.1),
    # Nothing has fallen due: a total of what is there.
    ("BEN", "04-30", "due_debt_amount_all", 100),
    ("BEN", "04-30", I + "debt_ratio_360d", 0.25),
    # 5 May is 17.5 days after the expected income: two spans of 7.5 days and 2.5.
    ("BEN", "04-30", I + "due_gap_days_next", 17.5),
    ("BEN", "04-30", I + "payday_gap_days_next", 2.5),
    # Before the first income, and without any: null, not 0.
    ("BEN", "04-09", I + "amount_count_90d", None),
    ("CAT", "04-30", I + "amount_latest", None),
    ("CAT", "04-30", I + "received_since_all", None),
]


@pytest.fixture(scope="module")
def records():
    return load_records(FRAMES)


@pytest.fixture(scope="module")
def frame(records):
    return build_features(records, [day("04-09"), day("04-30"), day("05-02")])


@pytest.mark.parametrize(("customer", "as_of", "name", "value"), EXPECTED)
def test_by_hand(frame, customer, as_of, name, value):
    found = frame.loc[(customer, f"2024-{as_of}"), name]
    if value is None:
        assert pd.isna(found)
    else:
        assert found == pytest.approx(value, rel=1e-12)


def test_an_income_is_known_from_its_known_on(records):
    before = build_features(records, [day("05-01")])
    without = {**FRAMES, "incomes": FRAMES["incomes"][FRAMES["incomes"]["amount"] != 600.0]}
    pd.testing.assert_frame_equal(before, build_features(load_records(without), [day("05-01")]))


def test_without_the_table_or_its_kinds_features_are_left_out_by_name():
    incomes = {f.name for f in default_registry() if f.name.startswith("income_")}
    bare = {name: table for name, table in FRAMES.items() if name != "incomes"}
    assert not incomes & set(available_features(load_records(bare)))
    without_kind = FRAMES | {"incomes": FRAMES["incomes"].drop(columns="kind")}
    left = incomes - set(available_features(load_records(without_kind)))
    assert left == {"income_regular_share_360d", "income_revenue_share_360d"}
