"""Features from incomes: how much, how steady, how lately, and what falls due against it.

Declaration only; see :mod:`overdue_ml.features.declare` for the words. An income counts from the day on which
it was known. Nothing tells a month without income from one whose income is not recorded: gaps are counted
between incomes that are known.
"""

from __future__ import annotations

from collections.abc import Iterator

from overdue_ml.features.declare import ALL, DerivedFeature, Feature, Measure, days, last
from overdue_ml.features.repayment import Plan, declare

_VIEW = "incomes"
_NONE = "no income known, or none in the window"
_FEWER = "fewer than two incomes known"

AMOUNT = Measure(
    "amount", _VIEW, "amount", "what was received", ((1.0, "amount", 0),), when_null=_NONE,
)  # fmt: skip
RECEIVED = Measure(
    "received", _VIEW, "ratio", "an amount above zero", ((1.0, "amount", 0),), where=(">", 0.0),
    direction=-1, when_null=_NONE,
)  # fmt: skip
GAP = Measure(
    "gap_days", _VIEW, "days", "days since the income before",
    ((1.0, "received_day", 0), (-1.0, "received_day", 1)), when_null=_FEWER,
)  # fmt: skip
REGULAR = Measure(
    "regular", _VIEW, "ratio", "a salary or pension as its kind", ((1.0, "is_regular", 0),),
    where=(">", 0.0), when_null="no income of a known kind",
)  # fmt: skip
REVENUE = Measure(
    "revenue", _VIEW, "ratio", "revenue as its kind", ((1.0, "is_revenue", 0),), where=(">", 0.0),
    when_null="no income of a known kind",
)  # fmt: skip


def income_features() -> list[Feature]:
    """Every feature that incomes give by themselves."""
    return [*_level_features(), *_stability_features()]


def _level_features() -> Iterator[Feature]:
    level: Plan = {
        "last": (ALL,), "mean": (last(3), last(6), last(12)), "wmean": (last(6),),
        "sum": (days(31), days(90), days(180), days(360)),
    }  # fmt: skip
    yield from declare("income", AMOUNT, "INCOME_LEVEL", level)
    yield from declare("income", REGULAR, "INCOME_LEVEL", {"share": (days(360),)})
    yield from declare("income", REVENUE, "INCOME_LEVEL", {"share": (days(360),)})


def _stability_features() -> Iterator[Feature]:
    spread: Plan = {
        "min": (last(6), last(12)), "std": (last(6), last(12)), "slope": (last(6), last(12)),
        "count": (days(90), days(180), days(360)),
    }  # fmt: skip
    yield from declare("income", AMOUNT, "INCOME_STABILITY", spread)
    yield from declare("income", RECEIVED, "INCOME_STABILITY", {"since": (ALL,)})
    gaps: Plan = {"mean": (last(6),), "max": (last(6), days(360)), "std": (last(6),)}
    yield from declare("income", GAP, "INCOME_STABILITY", gaps)


_MEAN_6, _MEAN_12 = "income_amount_mean_last6", "income_amount_mean_last12"
_NO_MEAN = "no income known, or only of zero"

#: Spread and trend against the level; when the next income can be expected.
INCOME_DERIVED: tuple[DerivedFeature, ...] = (
    DerivedFeature(
        "income_amount_std_over_mean_last6", "ratio", "income_amount_std_last6", _MEAN_6, "INCOME_STABILITY",
        "ratio", "Standard deviation of the latest 6 incomes over their mean.", when_null=_FEWER,
    ),
    DerivedFeature(
        "income_amount_std_over_mean_last12", "ratio", "income_amount_std_last12", _MEAN_12,
        "INCOME_STABILITY", "ratio", "Standard deviation of the latest 12 incomes over their mean.",
        when_null=_FEWER,
    ),
    DerivedFeature(
        "income_amount_min_over_mean_last12", "ratio", "income_amount_min_last12", _MEAN_12,
        "INCOME_STABILITY", "ratio", "The lowest of the latest 12 incomes as a share of their mean.",
        when_null=_NO_MEAN,
    ),
    DerivedFeature(
        "income_amount_latest_over_mean_last12", "ratio", "income_amount_latest", _MEAN_12,
        "INCOME_STABILITY", "ratio", "The latest income as a multiple of the mean of the latest 12.",
        direction=-1, when_null=_NO_MEAN,
    ),
    DerivedFeature(
        "income_amount_mean_last3_over_last12", "ratio", "income_amount_mean_last3", _MEAN_12,
        "INCOME_STABILITY", "ratio",
        "The mean of the latest 3 incomes as a multiple of the mean of the latest 12.",
        direction=-1, when_null=_NO_MEAN,
    ),
    DerivedFeature(
        "income_amount_sum_31d_over_360d", "ratio", "income_amount_sum_31d", "income_amount_sum_360d",
        "INCOME_STABILITY", "ratio",
        "Income of the latest 31 days as a share of that of the latest 360 days.",
        when_null="no income in the latest 31 days",
    ),
    DerivedFeature(
        "income_next_days", "difference", "income_gap_days_mean_last6", "income_received_since_all",
        "INCOME_STABILITY", "days",
        "Days until the next income if incomes keep the pace of the latest 6; negative if it is late.",
        direction=-1, when_null=_FEWER,
    ),
)  # fmt: skip

_DUE = "due_unpaid_amount_sum_next31d"
_NO_DUE = "no income known, or no instalment due in the next 31 days"

#: What falls due with this lender against income; they need the features of instalments.
INCOME_BURDEN: tuple[DerivedFeature, ...] = (
    DerivedFeature(
        "income_due_ratio_next", "ratio", "due_unpaid_amount_next", _MEAN_6, "INCOME_BURDEN", "ratio",
        "What is still to be paid of the next instalment of each account as a multiple of the mean of the "
        "latest 6 incomes.",
        direction=1, when_null="no income known, or no instalment is to come",
    ),
    DerivedFeature(
        "income_due_mean_ratio_next31d", "ratio", _DUE, _MEAN_6, "INCOME_BURDEN", "ratio",
        "What is to be paid in the next 31 days as a multiple of the mean of the latest 6 incomes.",
        direction=1, when_null=_NO_DUE,
    ),
    DerivedFeature(
        "income_due_ratio_next31d", "ratio", _DUE, "income_amount_sum_90d", "INCOME_BURDEN", "ratio",
        "What is to be paid in the next 31 days as a share of the income of the latest 90 days.",
        direction=1, when_null="no income in the latest 90 days, or no instalment due in the next 31",
    ),
    DerivedFeature(
        "due_debt_amount_all", "total", "due_unpaid_amount_sum_all", "repay_instalment_unpaid_amount_sum_all",
        "INCOME_BURDEN", "amount", "What is still to be paid of all instalments, fallen due or to come.",
        when_null="no instalment known",
    ),
    DerivedFeature(
        "income_debt_ratio_360d", "ratio", "due_debt_amount_all", "income_amount_sum_360d", "INCOME_BURDEN",
        "ratio", "What is still to be paid of all instalments as a multiple of the income of 360 days.",
        direction=1, when_null="no income in the latest 360 days, or no instalment known",
    ),
    DerivedFeature(
        "income_due_gap_days_next", "difference", "due_days_next", "income_next_days", "PAYDAY_GAP", "days",
        "Days from the next expected income to the next due date; negative if the due date comes first.",
        when_null="fewer than two incomes known, or no instalment is to come",
    ),
    DerivedFeature(
        "income_payday_gap_days_next", "remainder", "income_due_gap_days_next", "income_gap_days_mean_last6",
        "PAYDAY_GAP", "days",
        "Days from the last expected income before the next due date to that date, at the pace of the latest "
        "6 incomes.",
        when_null="fewer than two incomes known, or no instalment is to come",
    ),
)  # fmt: skip
