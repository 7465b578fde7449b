"""Answers worked out by hand on the ledger of five (``tests/conftest.py``), the working in comments."""

import math

import pytest

from overdue_ml.features import (
    ALL,
    DerivedFeature,
    Feature,
    Measure,
    Registry,
    SqlFeature,
    build_features,
    days,
    last,
)


def _measure(name, unit, *terms, **options):
    return Measure(name, "statements", unit, name, terms, **options)


DPD = _measure("dpd", "days", (1.0, "dpd", 0), direction=1)
CHANGE = _measure("change", "days", (1.0, "dpd", 0), (-1.0, "dpd", 1))
LATE = _measure("late", "ratio", (1.0, "dpd", 0), where=(">", 0.0), direction=1)
SAFE = _measure("safe", "ratio", (1.0, "dpd", 0), where=("==", 0.0), direction=-1)
INACTIVE = _measure("inactive", "ratio", (1.0, "inactive", 0))
PAID = _measure("paid_amount", "amount", (1.0, "paid_amount", 0))
PAID_RATIO = _measure("paid_ratio", "ratio", (1.0, "paid_amount", 0), over=("balance_amount", 1))
NOPAY = _measure("nopay", "ratio", (1.0, "paid_amount", 0), over=("balance_amount", 1), where=("<=", 0.0))
BALANCE = _measure("balance_amount", "amount", (1.0, "balance_amount", 0))
LIMIT = {"over": ("credit_limit_amount", 0)}
USED = _measure("used", "ratio", (1.0, "balance_amount", 0), **LIMIT)
UNPAID = _measure("unpaid", "ratio", (1.0, "balance_amount", 1), (-1.0, "paid_amount", 0), **LIMIT)
GROWTH = _measure("growth", "ratio", (1.0, "balance_amount", 0), (-1.0, "balance_amount", 1), **LIMIT)
SPENT = _measure(
    "spent",
    "ratio",
    (1.0, "balance_amount", 0),
    (-1.0, "balance_amount", 1),
    (1.0, "paid_amount", 0),
    **LIMIT,
)


def _own(measure, *statistics_and_windows, **options):
    return [Feature("own", measure, s, w, "OWN", **options) for s, w in statistics_and_windows]


PAID_MEAN = "own_paid_amount_mean_last"
# Features of one's own: each statistic, window and rollup, whatever the default registry holds.
OWN = Registry(
    [
        *_own(DPD, *((s, w) for s in ("count", "sum", "first") for w in (days(31), days(32), ALL))),
        *_own(DPD, ("mean", last(3)), ("std", last(6)), ("slope", last(6)), ("max", last(2))),
        *_own(DPD, ("wmean", last(6)), ("max", ALL)),
        *_own(DPD, ("lag", ALL), lag=1),
        *_own(DPD, ("lag", ALL), lag=2),
        *_own(CHANGE, ("last", ALL)),
        *_own(LATE, *(("share", w) for w in (days(62), days(91), days(92), days(1), last(3)))),
        *_own(LATE, ("streak", ALL), ("since", ALL)),
        *_own(SAFE, ("share", ALL), ("since", ALL)),
        *_own(INACTIVE, ("streak", ALL)),
        *_own(PAID, ("sum", last(6)), ("mean", last(3)), ("mean", last(6))),
        *_own(PAID_RATIO, ("last", ALL)),
        *_own(PAID_RATIO, ("lag", ALL), lag=1),
        *_own(NOPAY, ("share", last(6))),
        *_own(BALANCE, ("mean", ALL), ("mean", last(6)), ("slope", ALL)),
        *_own(USED, ("last", ALL), ("min", last(6)), ("mean", last(6)), ("std", last(6))),
        *_own(UNPAID, ("last", ALL)),
        *_own(GROWTH, ("last", ALL)),
        *_own(SPENT, ("last", ALL)),
        *(
            Feature(f"roll{how}", DPD, "max", ALL, "OWN", rollup=how)
            for how in ("max", "min", "sum", "mean")
        ),
        SqlFeature(
            "own_paid_amount_total", "statements", "sum(e.paid_amount)", "OWN", "amount", "Paid.",
            frozenset({"paid_amount"}),
        ),
        *(
            DerivedFeature(name, operator, left, right, "OWN", "ratio", "Derived.", clip=clip)
            for name, operator, left, right, clip in (
                ("own_paid_short_over_long", "ratio", f"{PAID_MEAN}3", f"{PAID_MEAN}6", None),
                ("own_paid_to_owed", "ratio", f"{PAID_MEAN}6", "own_balance_amount_mean_last6", None),
                ("own_used_above_usual", "difference", "own_used_latest", "own_used_mean_last6", None),
                ("own_late_and_used", "product", "own_dpd_max_last2", "own_used_latest", None),
                ("own_late_and_used_clipped", "product", "own_dpd_max_last2", "own_used_latest", (0.0, 20.0)),
            )
        ),
    ]
)  # fmt: skip

JUN, MAY, APR = "2024-06-30", "2024-05-31", "2024-04-30"

# Ann on 30 June, newest first: dpd 30, 0, 60, 30, 0, 0; balance 900, 700, 800, 600, 500, 400; paid 0, 400,
# 50, 0, 100, 0; limit 1000.
ANN = [
    ("repay_dpd_latest", JUN, 30),
    ("own_dpd_lag1", JUN, 0),
    ("own_dpd_lag2", JUN, 60),
    ("own_dpd_max_last2", JUN, 30),
    ("repay_dpd_max_last6", JUN, 60),
    ("own_dpd_max_all", JUN, 60),
    # (30 + 0 + 60) / 3 and 120 / 6.
    ("own_dpd_mean_last3", JUN, 30),
    ("repay_dpd_mean_last6", JUN, 20),
    # Deviations from 20: 10, -20, 40, 10, -20, -20; squares sum to 3000; 3000 / 6 = 500.
    ("own_dpd_std_last6", JUN, math.sqrt(500)),
    # Oldest first 0 0 30 60 0 30 against -2.5 ... 2.5: -15 + 30 + 75 = 90; squares of the latter 17.5.
    ("own_dpd_slope_last6", JUN, 90 / 17.5),
    # 30 + 0/2 + 60/4 + 30/8 = 48.75; weights 1 + 1/2 + ... + 1/32 = 63/32.
    ("repay_dpd_wmean_last6", JUN, 48.75 * 32 / 63),
    ("own_dpd_wmean_last6", JUN, 48.75 * 32 / 63),
    # Late in March, April and June: 2 of the latest 3, 3 of 6.
    ("own_late_share_last3", JUN, 2 / 3),
    ("repay_late_share_last6", JUN, 0.5),
    # In a row only June, as May was on time; the latest late statement is today's.
    ("own_late_streak_all", JUN, 1),
    ("own_late_since_all", JUN, 0),
    # Known on 31 May: May was on time, the last late statement is April's, 31 days ago.
    ("own_late_streak_all", MAY, 0),
    ("own_late_since_all", MAY, 31),
    # On 30 April: March and April late.
    ("own_late_streak_all", APR, 2),
    ("repay_dpd_latest", APR, 60),
    # Nobody was late by the end of February: never, hence null.
    ("own_late_since_all", "2024-02-29", None),
    ("own_late_streak_all", "2024-02-29", 0),
    # Of the latest two the higher dpd is 30, times 0.9; clipped at 20.
    ("own_late_and_used", JUN, 27),
    ("own_late_and_used_clipped", JUN, 20),
    ("stmt_utilisation_latest", JUN, 0.9),
    ("own_used_min_last6", JUN, 0.4),
    ("own_used_mean_last6", JUN, 0.65),
    # 0.9 - 0.65.
    ("own_used_latest", JUN, 0.9),
    ("own_used_above_usual", JUN, 0.25),
    ("own_paid_amount_sum_last6", JUN, 550),
    ("own_paid_amount_mean_last3", JUN, 150),
    ("own_paid_amount_mean_last6", JUN, 550 / 6),
    # Mean of 0, 400, 50 over the mean of all six: 150 / (550 / 6).
    ("own_paid_short_over_long", JUN, 150 * 6 / 550),
    # (550 / 6) / 650.
    ("own_balance_amount_mean_last6", JUN, 650),
    ("own_paid_to_owed", JUN, 550 / 3900),
    # June: nothing of May's 700. May: 400 of April's 800.
    ("own_paid_ratio_latest", JUN, 0),
    ("own_paid_ratio_lag1", JUN, 0.5),
    ("own_unpaid_latest", JUN, 0.7),
    # 900 - 700, and nothing was paid, so that 200 was spent.
    ("own_growth_latest", JUN, 0.2),
    ("own_spent_latest", JUN, 0.2),
    # On 1 January the account opens: known, age 0, and no statement yet.
    ("account_oldest_age_days", "2024-01-01", 0),
    ("repay_dpd_latest", "2024-01-01", None),
    ("own_late_streak_all", "2024-01-01", None),
    # Nothing came before January's statement.
    ("own_change_latest", "2024-01-31", None),
    ("own_dpd_std_last6", "2024-01-31", None),
]

# Ben, newest first. B1: dpd 0 0 0 0, balance 500 100 300 200, paid 100 300 200 0, limit 800 in June.
# B2: dpd 0 60 30, balance 0 400 450, paid 400 50 0, limit 500.
BEN = [
    # The worst account: max(0, 60), max(0, 0), max(0 / 4, 2 / 3).
    ("repay_dpd_max_last6", JUN, 60),
    ("repay_dpd_latest", JUN, 0),
    ("repay_late_share_last6", JUN, 2 / 3),
    # B1 was never late (null); B2 last on 30 April.
    ("own_late_since_all", JUN, 61),
    # Amounts add up: (100 + 300 + 200) + (400 + 50).
    ("own_paid_amount_sum_last6", JUN, 1050),
    ("stmt_balance_amount_latest", JUN, 500),
    # June's own limit before the account's: max(500 / 800, 0 / 500).
    ("stmt_utilisation_latest", JUN, 0.625),
    # max(100 / 1000, 0 / 500).
    ("stmt_utilisation_latest", MAY, 0.1),
    # -1 paid in full, -1 paid in full; before that max(inactive -2, 30 days late 1).
    ("repay_status_score_latest", JUN, -1),
    ("repay_status_score_latest", "2024-03-31", 1),
    # 29 Feb 2020 to 29 Feb 2024 is 1461 days, and 31 + 30 + 31 + 30 more.
    ("account_oldest_age_days", JUN, 1583),
    # Two years with a 29 February between them.
    ("account_newest_age_days", JUN, 731),
    # B2 closes on 15 May: still open the day before, closed at the end of that day.
    ("account_open_count", APR, 2),
    ("account_open_count", "2024-05-14", 2),
    ("account_open_count", "2024-05-15", 1),
    ("account_open_count", JUN, 1),
    ("account_credit_limit_amount_sum", JUN, 1500),
    # The second account is not known before it opens.
    ("account_credit_limit_amount_sum", "2022-06-29", 1000),
]

CAT = [
    # On 30 June May's statement is not known: April (0) and June (0).
    ("repay_dpd_latest", JUN, 0),
    ("own_dpd_lag1", JUN, 0),
    ("own_dpd_lag2", JUN, None),
    ("repay_dpd_max_last6", JUN, 0),
    # So the balance before -50 is April's 100: (-50 - 100) / 2000, and 350 / 100.
    ("own_growth_latest", JUN, -0.075),
    ("own_paid_ratio_latest", JUN, 3.5),
    # From 15 July it is, and stands between them.
    ("repay_dpd_max_last6", "2024-07-14", 0),
    ("repay_dpd_max_last6", "2024-07-15", 30),
    ("own_dpd_lag1", "2024-07-15", 30),
    ("own_growth_latest", "2024-07-15", -0.175),
    ("own_paid_ratio_latest", "2024-07-15", 350 / 300),
    # 15 July - 31 May.
    ("own_late_since_all", "2024-07-15", 45),
    # In credit.
    ("stmt_utilisation_latest", JUN, -0.025),
]

DAN = [
    # No limit: no utilisation, and no sum of limits.
    ("stmt_utilisation_latest", JUN, None),
    ("own_growth_latest", JUN, None),
    ("account_credit_limit_amount_sum", JUN, None),
    # May's dpd is not known: not counted, and one value has no spread and no trend.
    ("own_dpd_mean_last3", JUN, 0),
    ("own_dpd_lag1", JUN, None),
    ("own_dpd_std_last6", JUN, None),
    ("own_dpd_slope_last6", JUN, None),
    ("repay_dpd_latest", MAY, None),
    # A status without a name and without a dpd is null.
    ("repay_status_score_latest", MAY, None),
    # Nothing paid towards May's 1000; for May itself there is no balance before.
    ("own_nopay_share_last6", JUN, 1),
    # Paid 0, so that the mean of the latest six is 0 and no ratio to it.
    ("own_paid_short_over_long", JUN, None),
]

EVE = [
    ("account_oldest_age_days", JUN, None),
    ("account_open_count", JUN, 1),
    ("stmt_utilisation_latest", JUN, 1),
    ("own_dpd_lag1", JUN, None),
    ("own_change_latest", JUN, None),
    ("own_used_std_last6", JUN, None),
    ("own_inactive_streak_all", JUN, 1),
]

CELLS = [
    (customer, *cell)
    for customer, cells in {"ANN": ANN, "BEN": BEN, "CAT": CAT, "DAN": DAN, "EVE": EVE}.items()
    for cell in cells
]


OWN_CELLS = [
    # The latest 31 days on 30 June begin on 31 May, the first of them.
    # Dates inside: 31 May (0) and 30 June (30).
    ("ANN", "own_dpd_count_31d", JUN, 2),
    ("ANN", "own_dpd_sum_31d", JUN, 30),
    ("ANN", "own_dpd_first_31d", JUN, 0),
    # On 31 May the latest 31 days begin on 1 May and leave out 30 April; 32 days do not.
    ("ANN", "own_dpd_count_31d", MAY, 1),
    ("ANN", "own_dpd_count_32d", MAY, 2),
    ("ANN", "own_dpd_sum_32d", MAY, 60),
    ("ANN", "own_dpd_first_32d", MAY, 60),
    ("ANN", "own_dpd_count_all", JUN, 6),
    ("ANN", "own_dpd_sum_all", JUN, 120),
    ("ANN", "own_dpd_first_all", JUN, 0),
    # The latest 92 days on 30 June begin on 31 March: 3 of 4 late. 91 leave it out: 2 of 3.
    ("ANN", "own_late_share_92d", JUN, 3 / 4),
    ("ANN", "own_late_share_62d", JUN, 2 / 3),
    ("ANN", "own_late_share_91d", JUN, 2 / 3),
    ("ANN", "own_late_share_1d", JUN, 1),
    # The highest dpd is 0 for B1 and 60 for B2.
    ("BEN", "rollmax_dpd_max_all", JUN, 60),
    ("BEN", "rollmin_dpd_max_all", JUN, 0),
    ("BEN", "rollsum_dpd_max_all", JUN, 60),
    ("BEN", "rollmean_dpd_max_all", JUN, 30),
    # Counts are the worst account's too: max(4, 3).
    ("BEN", "own_dpd_count_all", JUN, 4),
    # Amounts add up: (500 + 100 + 300 + 200) / 4 + (0 + 400 + 450) / 3.
    ("BEN", "own_balance_amount_mean_all", JUN, 275 + 850 / 3),
    # But trends do not: B1 rises by 70 a statement, B2 falls by 225; the higher one.
    # B1 oldest first 200 300 100 500 against -1.5 ... 1.5: -300 - 150 + 50 + 750 = 350, over 5.
    ("BEN", "own_balance_amount_slope_all", JUN, 70),
    # A good thing (direction -1): the worse account has the lower share, 1 of 3, not 4 of 4.
    ("BEN", "own_safe_share_all", JUN, 1 / 3),
    # And the longer it is ago, the worse: B2's 15 May, 46 days before 30 June; B1's is today.
    ("BEN", "own_safe_since_all", JUN, 46),
    ("BEN", "own_paid_amount_total", JUN, 1050),
    # Cat's payment of 100 in May is known from 15 July on.
    ("CAT", "own_paid_amount_total", JUN, 350),
    ("CAT", "own_paid_amount_total", "2024-07-15", 450),
    ("CAT", "own_dpd_count_all", JUN, 2),
    # Known dpd only: June's.
    ("DAN", "own_dpd_count_all", JUN, 1),
    ("DAN", "own_dpd_count_all", MAY, 0),
]


def check(frame, customer, name, as_of, expected):
    found = frame.loc[(customer, as_of), name]
    if expected is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-14)


@pytest.fixture(scope="module")
def frames(five):
    dates = sorted({as_of for _, _, as_of, _ in [*CELLS, *OWN_CELLS]})
    return build_features(five.records, dates), build_features(five.records, dates, registry=OWN)


@pytest.mark.parametrize(("customer", "name", "as_of", "expected"), [*CELLS, *OWN_CELLS])
def test_a_feature_by_hand(frames, customer, name, as_of, expected):
    frame = frames[0] if name in frames[0] else frames[1]
    check(frame, customer, name, as_of, expected)


def test_a_customer_has_a_row_from_the_first_day_anything_is_known(five):
    dates = ["2020-02-28", "2020-02-29", "2023-12-15", "2024-01-01", "2024-06-29", "2024-06-30"]
    frame = build_features(five.records, dates, ["account_open_count"])
    first = frame.reset_index().groupby("customer_id")["as_of_date"].min().dt.strftime("%Y-%m-%d").to_dict()
    # Cat's account opens on 1 March; Eve is known from her first statement.
    expected = {"BEN": "2020-02-29", "DAN": "2023-12-15", "ANN": "2024-01-01"}
    assert first == expected | {"CAT": "2024-06-29", "EVE": "2024-06-30"}


def test_the_attribute_as_the_lender_holds_it(five):
    frame = build_features(five.records, JUN, ["attr_education"])
    assert frame["attr_education"].dtype == "category"
    found = frame["attr_education"].astype(object).where(frame["attr_education"].notna(), None)
    assert found.droplevel(1).to_dict() == {
        "ANN": "university", "BEN": "high_school", "CAT": "university", "DAN": None, "EVE": "others",
    }  # fmt: skip


def test_every_statistic_was_worked_out():
    named = {name for _, name, _, _ in [*CELLS, *OWN_CELLS]}
    assert {f.name for f in OWN} <= named, "a feature that is declared here is checked here"
    assert {f.statistic for f in OWN if isinstance(f, Feature)} == {
        "last", "lag", "count", "sum", "mean", "max", "min", "std", "slope", "wmean", "share", "streak",
        "since", "first",
    }  # fmt: skip
