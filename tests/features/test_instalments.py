"""Features of instalments: answers worked out by hand, and what paying later may and may not do."""

import datetime as dt
import functools
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, FeatureMismatchError
from overdue_ml.features import (
    ALL,
    DerivedFeature,
    Feature,
    Measure,
    Registry,
    available_features,
    build_features,
    days,
    default_registry,
    last,
)
from overdue_ml.features.account import account_features
from overdue_ml.features.engine import NEVER, Events, run_pass
from overdue_ml.features.instalments import instalment_features
from overdue_ml.features.keys import Keys
from overdue_ml.features.repayment import DERIVED, statement_features
from overdue_ml.records import load_records
from overdue_ml.records.states import UnsettledAccounts

D = dt.date.fromisoformat
NAMES = [feature.name for feature in instalment_features()]
STATISTICS = [
    "last", "lag", "count", "sum", "mean", "max", "min", "std", "slope", "wmean", "share", "streak", "since",
    "first",
]  # fmt: skip


def day(text):
    """Month-day of 2024 as a date."""
    return D(f"2024-{text}")


def _instalments(account, *rows):
    """``(due, amount)``, numbered from 1."""
    return [
        {"account_id": account, "instalment_no": no, "due_date": day(due), "amount_due": float(amount)}
        for no, (due, amount) in enumerate(rows, start=1)
    ]


def _payments(account, *rows):
    """``(paid, amount)``, then perhaps what else there is to say."""
    return [
        {"account_id": account, "paid_on": day(paid), "amount": float(amount)} | dict(*more)
        for paid, amount, *more in rows
    ]


ACCOUNTS = [
    ("A1", "ANN", "01-01"), ("B1", "BEN", "02-01"), ("B2", "BEN", "03-01"), ("C1", "CAT", "03-01"),
    ("D1", "DAN", "06-01"), ("E1", "EVE", "04-01"),
]  # fmt: skip
INSTALMENTS = [
    *_instalments("A1", ("02-10", 100), ("03-10", 100), ("04-10", 100), ("05-10", 300), ("06-10", 100)),
    *_instalments("B1", ("03-15", 200), ("04-15", 200), ("05-15", 200)),
    *_instalments("B2", ("04-01", 50), ("05-01", 50)),
    # On 1 May Cat's instalment is put off by two months and halved.
    *_instalments("C1", ("04-10", 100)),
    {"account_id": "C1", "instalment_no": 1, "due_date": day("06-10"), "amount_due": 50.0,
     "known_on": day("05-01")},
    *_instalments("D1", ("07-10", 120), ("08-10", 120)),
    *_instalments("E1", ("05-10", 100), ("06-10", 100), ("06-20", 100)),
]  # fmt: skip
PAYMENTS = [
    # Ann: on the day, 15 days late, in two parts and 40 days late, 36 days late, 9 days early.
    *_payments(
        "A1",
        ("02-10", 100, {"instalment_no": 1}),
        ("03-25", 100, {"instalment_no": 2}),
        ("04-05", 60, {"instalment_no": 3}),
        ("05-20", 40, {"instalment_no": 3}),
        ("06-15", 300, {"instalment_no": 4}),
        ("06-01", 100, {"instalment_no": 5}),
    ),
    # Ben: on time and once 5 days early with one loan; with the other a single payment that names nothing.
    *_payments("B1", ("03-15", 200), ("04-10", 200), ("05-15", 200)),
    *_payments("B2", ("05-05", 30)),
    # Paid on 10 June, known ten days later.
    *_payments("C1", ("06-10", 50, {"known_on": day("06-20")})),
    # Eve: half a unit short, which the tolerance forgives; 60 of 100 late for a technical cause; paid and
    # returned five days later.
    *_payments(
        "E1",
        ("05-10", 99.5, {"instalment_no": 1}),
        ("06-12", 60, {"instalment_no": 2, "technical": True}),
        ("06-12", 40, {"instalment_no": 2}),
        ("06-20", 100, {"instalment_no": 3}),
        ("06-25", -100, {"instalment_no": 3}),
    ),
]
FRAMES = {
    "accounts": pd.DataFrame(
        [{"account_id": a, "customer_id": c, "opened_on": day(opened)} for a, c, opened in ACCOUNTS]
    ),
    "instalments": pd.DataFrame(INSTALMENTS),
    "payments": pd.DataFrame(
        [{"payment_id": f"P{i}", "technical": False} | row for i, row in enumerate(PAYMENTS)]
    ).assign(instalment_no=lambda frame: frame["instalment_no"].astype("Int64")),
}

R = "repay_instalment_"
# Ann on 30 June, newest first: dpd 0, 36, 40, 15, 0; due 100, 300, 100, 100, 100.
ANN = [
    (R + "dpd_latest", "06-30", 0),
    (R + "dpd_mean_last3", "06-30", 76 / 3),
    (R + "dpd_mean_last6", "06-30", 91 / 5),
    (R + "dpd_mean_last12", "06-30", 91 / 5),
    # The latest 90 days begin on 2 April, the latest 30 on 1 June, the latest 180 on 3 January.
    (R + "dpd_mean_90d", "06-30", 76 / 3),
    (R + "dpd_mean_360d", "06-30", 91 / 5),
    (R + "dpd_max_30d", "06-30", 0),
    (R + "dpd_max_90d", "06-30", 40),
    (R + "dpd_max_180d", "06-30", 40),
    (R + "dpd_max_360d", "06-30", 40),
    (R + "dpd_max_last3", "06-30", 40),
    (R + "dpd_max_last6", "06-30", 40),
    (R + "dpd_max_last12", "06-30", 40),
    # 36/2 + 40/4 + 15/8 = 29.875; weights 1 + 1/2 + 1/4 + 1/8 + 1/16.
    (R + "dpd_wmean_last6", "06-30", 29.875 / 1.9375),
    (R + "dpd_wmean_last12", "06-30", 29.875 / 1.9375),
    # Oldest first 0 15 40 36 0 against -2 ... 2: -15 + 36 = 21, over 10.
    (R + "dpd_slope_last6", "06-30", 2.1),
    # 36 x 300 + 40 x 100 + 15 x 100, over 700 due.
    (R + "dpd_money_score_sum_last6", "06-30", 16300),
    (R + "dpd_money_mean_last6", "06-30", 163 / 7),
    (R + "dpd_mean_last3_minus_last12", "06-30", 76 / 3 - 91 / 5),
    (R + "late_share_last3", "06-30", 2 / 3),
    (R + "late_share_last6", "06-30", 3 / 5),
    (R + "late_share_last12", "06-30", 3 / 5),
    (R + "late_share_180d", "06-30", 3 / 5),
    (R + "late_share_360d", "06-30", 3 / 5),
    # 0 + 1/2 + 1/4 + 1/8 + 0.
    (R + "late_wmean_last6", "06-30", 0.875 / 1.9375),
    (R + "late_streak_all", "06-30", 0),
    # From 10 May: 21 days of May and 30 of June.
    (R + "late_since_all", "06-30", 51),
    (R + "late_first_all", "06-30", 0),
    (R + "late8_share_last6", "06-30", 3 / 5),
    (R + "late8_share_last12", "06-30", 3 / 5),
    (R + "late8_share_360d", "06-30", 3 / 5),
    (R + "late31_share_last6", "06-30", 2 / 5),
    (R + "late31_share_last12", "06-30", 2 / 5),
    (R + "late31_since_all", "06-30", 51),
    (R + "ontime_streak_all", "06-30", 1),
    (R + "unpaid_count_sum_all", "06-30", 0),
    (R + "unpaid_amount_sum_all", "06-30", 0),
    (R + "unpaid_dpd_max_all", "06-30", 0),
    (R + "amount_sum_last6", "06-30", 700),
    (R + "amount_count_all", "06-30", 5),
    (R + "paid_amount_mean_last3", "06-30", 500 / 3),
    # The third came in two payments.
    (R + "payments_count_mean_last6", "06-30", 6 / 5),
    (R + "early_days_latest", "06-30", 9),
    (R + "early_days_mean_last3", "06-30", 3),
    (R + "early_days_mean_last6", "06-30", 9 / 5),
    (R + "early_days_mean_last12", "06-30", 9 / 5),
    # Nothing more is to come.
    ("due_days_next", "06-30", None),
    ("due_unpaid_count_sum_all", "06-30", None),
    # On 30 April the third is 20 days late, with 60 of 100 paid; 15 and 0 before.
    (R + "dpd_latest", "04-30", 20),
    (R + "dpd_mean_last3", "04-30", 35 / 3),
    (R + "late_streak_all", "04-30", 2),
    (R + "late8_share_last6", "04-30", 2 / 3),
    (R + "late31_share_last6", "04-30", 0),
    (R + "late31_since_all", "04-30", None),
    (R + "unpaid_count_sum_all", "04-30", 1),
    (R + "unpaid_amount_sum_all", "04-30", 40),
    (R + "unpaid_dpd_max_all", "04-30", 20),
    (R + "part_share_last6", "04-30", 1 / 3),
    (R + "part_count_sum_all", "04-30", 1),
    (R + "paid_ratio_latest", "04-30", 0.6),
    (R + "paid_ratio_min_last6", "04-30", 0.6),
    (R + "paid_ratio_mean_last3", "04-30", 2.6 / 3),
    (R + "paid_ratio_mean_last6", "04-30", 2.6 / 3),
    (R + "paid_ratio_mean_last12", "04-30", 2.6 / 3),
    ("due_days_next", "04-30", 10),
    ("due_unpaid_amount_next", "04-30", 300),
    ("due_unpaid_amount_sum_all", "04-30", 400),
    ("due_unpaid_count_sum_all", "04-30", 2),
    # The next 31 days end on 31 May; on 10 April they end on 11 May, and on 9 April on 10 May itself.
    ("due_unpaid_amount_sum_next31d", "04-30", 300),
    ("due_unpaid_amount_sum_next31d", "04-09", 340),
    ("due_unpaid_amount_sum_next31d", "04-08", 40),
    # 300 over the mean of 60, 100 and 100.
    ("due_unpaid_paid_ratio_next", "04-30", 300 * 3 / 260),
    # On its due date an instalment has fallen due, unpaid and not late.
    (R + "dpd_latest", "05-10", 0),
    (R + "ontime_streak_all", "05-10", 1),
    (R + "unpaid_count_sum_all", "05-10", 2),
    (R + "unpaid_amount_sum_all", "05-10", 340),
    (R + "unpaid_dpd_max_all", "05-10", 30),
    (R + "amount_count_all", "05-09", 3),
    (R + "amount_count_all", "05-10", 4),
    # The last is paid on 1 June, ahead of its day: nothing of it is to be paid, and it is not yet told of.
    (R + "dpd_latest", "06-05", 26),
    ("due_days_next", "06-05", 5),
    ("due_unpaid_amount_next", "06-05", 0),
    ("due_unpaid_count_sum_all", "06-05", 0),
    ("due_unpaid_paid_ratio_next", "06-05", 0),
    # Nothing has fallen due: none, which is a count; all the rest is null.
    (R + "amount_count_all", "01-31", 0),
    (R + "dpd_latest", "01-31", None),
    (R + "late_streak_all", "01-31", None),
    (R + "unpaid_count_sum_all", "01-31", None),
    ("due_days_next", "01-31", 10),
    ("due_unpaid_count_sum_all", "01-31", 5),
]
# Ben on 30 June: B1 paid on time; B2, newest first, 60 and 90 days late, 0 and 30 of 50 paid.
BEN = [
    (R + "dpd_latest", "06-30", 60),
    (R + "dpd_mean_last3", "06-30", 75),
    (R + "unpaid_count_sum_all", "06-30", 2),
    (R + "unpaid_amount_sum_all", "06-30", 70),
    (R + "unpaid_dpd_max_all", "06-30", 90),
    (R + "late_since_all", "06-30", 60),
    (R + "late_first_all", "06-30", 1),
    # The worse account: min(3, 0).
    (R + "ontime_streak_all", "06-30", 0),
    (R + "paid_ratio_mean_last3", "06-30", 0.3),
    # Amounts and counts add up: 3 x 200 + 2 x 50, and 3 + 2.
    (R + "amount_sum_last6", "06-30", 700),
    (R + "amount_count_all", "06-30", 5),
    # 50 x 60 + 50 x 90, over 700.
    (R + "dpd_money_mean_last6", "06-30", 7500 / 700),
    (R + "paid_amount_mean_last3", "06-30", 200 + 15),
    # min(5 / 3, 0).
    (R + "early_days_mean_last3", "06-30", 0),
    (R + "late_streak_all", "06-30", 2),
    # The 30 go to the older one.
    (R + "part_share_last6", "05-04", 0),
    (R + "part_share_last6", "05-05", 0.5),
    # B1's next in 14 days, B2's in none; on 20 April B1's in 25, B2's in 11.
    ("due_days_next", "05-01", 14),
    ("due_days_next", "04-20", 11),
    ("due_unpaid_amount_next", "04-20", 250),
]
CAT = [
    (R + "dpd_latest", "04-30", 20),
    (R + "unpaid_amount_sum_all", "04-30", 100),
    # Put off: not due any more.
    (R + "dpd_latest", "05-31", None),
    (R + "amount_count_all", "05-31", 0),
    ("due_days_next", "05-31", 10),
    ("due_unpaid_amount_next", "05-31", 50),
    # Paid on 10 June, but nobody knows it before the 20th; then it was on time all along.
    (R + "dpd_latest", "06-19", 9),
    (R + "dpd_latest", "06-20", 0),
    (R + "late_since_all", "06-20", None),
]
DAN = [
    (R + "dpd_latest", "06-30", None),
    (R + "amount_count_all", "06-30", 0),
    ("due_days_next", "06-30", 10),
    ("due_unpaid_amount_next", "06-30", 120),
    ("due_unpaid_amount_sum_all", "06-30", 240),
    ("due_unpaid_amount_sum_next31d", "06-30", 120),
    # To the mean paid on nothing.
    ("due_unpaid_paid_ratio_next", "06-30", None),
]
# Eve on 30 June, newest first: dpd 10 (returned), 2, 0; paid 0, 100, 99.5 of 100.
EVE = [
    (R + "dpd_latest", "06-22", 0),
    (R + "dpd_latest", "06-30", 10),
    (R + "dpd_max_last3", "06-30", 10),
    (R + "late8_share_last6", "06-30", 1 / 3),
    (R + "unpaid_amount_sum_all", "06-30", 100),
    (R + "part_share_last6", "06-30", 0),
    (R + "paid_ratio_mean_last6", "06-30", 1.995 / 3),
    # What came for the third counts, though it went back: 0, 0.6, 0.
    (R + "technical_ratio_mean_last6", "06-30", 0.2),
    (R + "technical_ratio_mean_last12", "06-30", 0.2),
    (R + "payments_count_mean_last6", "06-30", 1),
]
CELLS = [
    (customer, *cell)
    for customer, cells in {"ANN": ANN, "BEN": BEN, "CAT": CAT, "DAN": DAN, "EVE": EVE}.items()
    for cell in cells
]


@pytest.fixture(scope="module")
def loans():
    return load_records(FRAMES, RecordsConfig(tolerance_amount=1.0))


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


def test_every_feature_was_worked_out():
    assert {name for _, name, _, _ in CELLS} == set(NAMES)


def test_an_unpaid_instalment_counts_as_the_date_less_its_due_date(loans):
    """On each of 400 dates in one pass: B2's first from 1 April on, its second from 1 May on."""
    dates = [day("04-01") + dt.timedelta(n) for n in range(400)]
    names = [R + "unpaid_dpd_max_all", R + "dpd_latest", R + "late_streak_all"]
    rows = build_features(loans, dates, names).loc["BEN"]
    assert rows[R + "unpaid_dpd_max_all"].tolist() == list(range(400))
    # B1 is never late, so that the worst account's latest is B2's: 30 days until the second falls due.
    assert rows[R + "dpd_latest"].tolist() == [*range(30), *range(370)]
    assert rows[R + "late_streak_all"].tolist() == [0, *[1] * 29, 0, *[2] * 369]


def test_one_date_at_a_time_gives_the_same(loans, frame):
    for as_of in sorted(set(frame.index.get_level_values("as_of_date"))):
        alone = build_features(loans, as_of.date(), NAMES)
        same = frame[frame.index.get_level_values("as_of_date") == as_of]
        assert alone.index.equals(same.index)
        assert alone.to_numpy().tobytes() == same.to_numpy().tobytes()


@pytest.mark.parametrize("accounts_per_block", [1, 2, 7])
def test_blocks_and_threads_change_nothing(monkeypatch, ledgers, accounts_per_block):
    records = ledgers.bulk(n_customers=30, n_instalments=20)
    dates = [ledgers.day(120), ledgers.day(430)]
    whole = build_features(records, dates, NAMES, n_threads=1)
    visit = functools.partialmethod(UnsettledAccounts.visit, accounts_per_block=accounts_per_block)
    monkeypatch.setattr(UnsettledAccounts, "visit", visit)
    assert (
        build_features(records, dates, NAMES, n_threads=2).to_numpy().tobytes() == whole.to_numpy().tobytes()
    )


def test_keys_of_some_customers():
    keys = Keys(np.array(["A", "C", "D"], dtype=object), np.array([0, 2, 3, 6]), np.arange(10, 16))
    # B and E have none.
    assert keys.places_of(pa.array(["B", "C", "D", "E", None])).tolist() == [-1, 1, 2, -1, -1]
    rows, start = keys.rows_of(np.array([2, 1, 0]))
    assert rows.tolist() == [3, 4, 5, 2, 0, 1]
    assert start.tolist() == [0, 3, 4, 6]


#: What must not fall when something is paid later: days late, how often, what is unpaid.
LATENESS = [
    f.name
    for f in instalment_features()
    if isinstance(f, Feature)
    and f.reason in ("INSTALMENT_DEPTH", "INSTALMENT_OFTEN", "INSTALMENT_UNPAID")
    and f.direction == 1
    # A trend falls where the oldest instalment is paid later, and a part can become nothing.
    and f.statistic != "slope"
    and "is_partial" not in f.columns
]
#: And what must not rise.
SOUNDNESS = [
    R + "late_since_all",
    R + "ontime_streak_all",
    R + "paid_ratio_mean_last6",
    R + "early_days_latest",
]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_paying_later_never_lowers_a_lateness_feature(oracle, ledgers, data):
    records, dates = data.draw(ledgers.ledger(loans=True)), data.draw(ledgers.as_of_dates())
    rows = ledgers.rows_of(records)
    paid = [row for row in rows["payments"] if row["amount"] > 0]
    if not paid or not oracle.Ledger(records).keys(dates):
        return
    before = build_features(records, dates, LATENESS + SOUNDNESS)
    row, later = data.draw(st.sampled_from(paid)), dt.timedelta(data.draw(st.integers(1, 100)))
    row["paid_on"] += later
    row["known_on"] = row["known_on"] and row["known_on"] + later
    after = build_features(ledgers.make_records(rows), dates, LATENESS + SOUNDNESS)
    # The last account of which nothing else is known may go.
    before = before.reindex(after.index)
    for name in LATENESS + SOUNDNESS:
        sign = 1 if name in LATENESS else -1
        fell = sign * after[name] < sign * before[name] - 1e-9 * np.maximum(1.0, before[name].abs())
        assert not fell.any(), name


def test_the_lateness_features_are_enrolled():
    assert len(LATENESS) == 32
    assert {R + "dpd_max_90d", R + "unpaid_dpd_max_all", R + "late31_share_last6"} <= set(LATENESS)


def _measure(name, view, *terms, **options):
    return Measure(name, view, options.pop("unit", "ratio"), name, terms, **options)


def _everything():
    """Each statistic of measures that use what the default features do not, over each kind of window."""
    found = []
    for view in ("instalments", "upcoming"):
        measures = [
            _measure("dpd", view, (1.0, "dpd", 0), unit="days", direction=1),
            _measure(
                "change", view, (1.0, "paid_amount", 0), (-0.5, "amount_due", 1), over=("amount_due", 1)
            ),
            _measure(
                "open", view, (1.0, "days_to_due", 0), (2.0, "dpd", 2), times=("unpaid", 1), unit="score"
            ),
            _measure("tech", view, (1.0, "technical_ratio", 0), times=("n_payments", 0), clip=(0.0, 1.5)),
            _measure("settled", view, (1.0, "is_settled", 0), where=("==", 1.0), direction=-1),
        ]
        for m, measure in enumerate(measures):
            for s, statistic in enumerate(STATISTICS):
                if view == "upcoming" and statistic in ("since", "slope"):
                    continue
                for w, window in enumerate([last(1), last(3), days(1), days(40), ALL]):
                    if statistic in ("last", "lag") and w > 0:
                        continue
                    how = ("max", "min", "sum", "mean", None)[(m + s + w) % 5]
                    lag = 2 if statistic == "lag" else 0
                    family = f"own_{view}"
                    found.append(Feature(family, measure, statistic, window, "OWN", lag=lag, rollup=how))
    return Registry(found)


EVERYTHING = _everything()


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_every_statistic_of_both_views_equals_the_oracle(oracle, ledgers, data):
    records, dates = data.draw(ledgers.ledger(loans=True)), data.draw(ledgers.as_of_dates(2))
    ledger = oracle.Ledger(records)
    keys = ledger.keys(dates)
    if not keys:
        return
    frame = build_features(records, dates, [f.name for f in EVERYTHING], registry=EVERYTHING)
    assert [(c, d.date()) for c, d in frame.index] == keys
    for row, (customer, as_of) in enumerate(keys):
        for feature in EVERYTHING:
            expected, scale = ledger.declared(feature, customer, as_of)
            found = frame[feature.name].iloc[row]
            what = f"{feature.name} of {customer} on {as_of}"
            if expected is None:
                assert math.isnan(found), what
            else:
                assert found == pytest.approx(expected, rel=1e-12, abs=64e-12 * scale), what


def test_a_column_ages_only_where_it_is_declared_to():
    """Two events on days 10 and 20, seen on days 5, 15 and 25; the first is told otherwise from day 22 on."""
    values = np.array([[np.nan, np.nan], [3.0, 4.0], [np.nan, np.nan]])
    events = Events(
        columns=("dpd", "amount_due"),
        values=values,
        event_day=np.array([10, 10, 20]),
        known_day=np.array([1, 22, 1]),
        until_day=np.array([22, NEVER, NEVER]),
        account_start=np.array([0, 3]),
        customer_start=np.array([0, 1]),
        ageing={"dpd": 1},
    )
    measures = [_measure(name, "instalments", (1.0, name, 0)) for name in ("dpd", "amount_due")]
    features = [Feature("own", m, s, ALL, "OWN") for m in measures for s in ("last", "sum", "count")]
    found = run_pass(events, features, np.array([0, 3]), np.array([5, 15, 25]))
    # Nothing has fallen due on day 5: none. Day 15: the first, 5 days. Day 25: 5 days, and 3 as told then.
    expected = [
        [np.nan, np.nan, 0, np.nan, np.nan, 0],
        [5, 5, 1, np.nan, np.nan, 0],
        [5, 8, 2, np.nan, 4, 1],
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("statistic", ["since", "slope"])
def test_what_looks_back_is_refused_ahead(statistic):
    ahead = Feature("own", _measure("dpd", "upcoming", (1.0, "dpd", 0)), statistic, ALL, "OWN")
    with pytest.raises(ConfigError, match="looks back, and the events of 'upcoming' are still to come"):
        Registry([ahead])


def test_names_and_sentences_of_both_sides():
    past, ahead = (_measure("dpd", view, (1.0, "dpd", 0)) for view in ("instalments", "upcoming"))
    said = [
        (feature.name, feature.meaning)
        for measure in (past, ahead)
        for statistic, window in (("last", ALL), ("max", last(3)), ("sum", days(30)), ("wmean", last(2)))
        for feature in [Feature("own", measure, statistic, window, "OWN")]
    ]
    assert said == [
        ("own_dpd_latest", "The latest value of dpd."),
        ("own_dpd_max_last3", "The highest value of dpd over the latest 3 instalments."),
        ("own_dpd_sum_30d", "The sum of dpd over the latest 30 days."),
        ("own_dpd_wmean_last2", "The mean of dpd over the latest 2 instalments, each instalment weighing "
         "half of the one after it."),
        ("own_dpd_next", "The next value of dpd."),
        ("own_dpd_max_next3", "The highest value of dpd over the next 3 instalments."),
        ("own_dpd_sum_next30d", "The sum of dpd over the next 30 days."),
        ("own_dpd_wmean_next2", "The mean of dpd over the next 2 instalments, each instalment weighing "
         "half of the one before it."),
    ]  # fmt: skip


def _without(table, *columns):
    frames = {name: f for name, f in FRAMES.items() if (name, columns) != (table, ())}
    if columns:
        frames[table] = FRAMES[table].drop(columns=list(columns))
    return frames


def test_the_records_have_all_features(loans):
    assert set(NAMES) <= set(available_features(loans))


def test_features_of_a_missing_column_are_left_out_by_name():
    records = load_records(_without("payments", "technical"))
    technical = {name for name in NAMES if "technical" in name}
    assert set(NAMES) - set(available_features(records)) == technical
    name = min(technical)
    with pytest.raises(FeatureMismatchError, match=rf"first '{name}'.*missing payments\.technical"):
        build_features(records, day("06-30"), [name])


def test_a_column_without_any_value_is_left_out_by_default():
    frames = FRAMES | {
        "payments": FRAMES["payments"].assign(technical=pd.array([None] * 16, dtype="boolean"))
    }
    records = load_records(frames)
    name = R + "technical_ratio_mean_last6"
    assert name not in available_features(records)
    # Asked for, what nobody said was technical was not: 0 for the four who paid anything.
    assert build_features(records, day("06-30"), [name])[name].dropna().tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("table", ["instalments", "payments"])
def test_without_a_table_there_is_none(five, table):
    records = load_records(five.frames | _without(table) | {"accounts": _all_accounts(five)}, strict=False)
    assert not set(NAMES) & set(available_features(records))
    with pytest.raises(FeatureMismatchError, match=rf"missing {table}\."):
        build_features(records, day("06-30"), [R + "dpd_latest"])


def _all_accounts(five):
    return pd.concat([five.frames["accounts"], FRAMES["accounts"].iloc[[0]].assign(account_id="A9")])


def test_a_column_that_the_view_does_not_have_is_named(loans):
    odd = Feature("own", _measure("odd", "instalments", (1.0, "mood", 0)), "last", ALL, "OWN")
    assert available_features(loans, Registry([odd])) == []
    with pytest.raises(FeatureMismatchError, match=r"missing instalments\.mood"):
        build_features(loans, day("06-30"), ["own_odd_latest"], registry=Registry([odd]))


def test_statements_and_instalments_stand_beside_each_other(five):
    accounts = pd.concat(
        [five.frames["accounts"], FRAMES["accounts"].assign(account_id=lambda f: "L" + f["account_id"])]
    )
    loans = {
        name: FRAMES[name].assign(account_id=lambda f: "L" + f["account_id"])
        for name in ("instalments", "payments")
    }
    both = load_records(five.frames | {"accounts": accounts} | loans, RecordsConfig(tolerance_amount=1.0))
    names = [f.name for f in statement_features()]
    frame = build_features(both, day("06-30"), names + NAMES)
    alone = load_records(FRAMES, RecordsConfig(tolerance_amount=1.0))
    assert frame[names].equals(build_features(five.records, day("06-30"), names))
    assert frame[NAMES].equals(build_features(alone, day("06-30"), NAMES))


def test_features_of_old_keep_their_hash():
    """A model from before features of instalments still fits: ENGINE_VERSION alone changes this."""
    names = [f.name for f in (*statement_features(), *account_features(), *DERIVED)]
    registry = default_registry()
    assert list(registry)[: len(names)] == [registry[name] for name in names]
    assert (
        registry.feature_set_hash(names) == "810789a4a1e99d9ce1ce37925a900774e154965e44d0c65d47b32b38d4a040f8"
    )


def test_the_hash_changes_with_the_factor():
    weighted = _measure("dpd", "instalments", (1.0, "dpd", 0), times=("amount_due", 0))
    plain = _measure("dpd", "instalments", (1.0, "dpd", 0))
    hashes = {
        Registry([f]).feature_set_hash([f.name])
        for f in (Feature("own", m, "sum", ALL, "OWN") for m in (weighted, plain))
    }
    assert len(hashes) == 2


def test_the_derived_ones_are_derived():
    derived = {f.name for f in instalment_features() if isinstance(f, DerivedFeature)}
    assert len(derived) == 3
