"""Features from single payments and from the versions of a plan: rhythm, amounts, what was put off.

Declaration only; see :mod:`overdue_ml.features.declare` for the words. Payments are read by the day on which
they were paid, whatever instalment they settle, and versions by the day on which the lender knew of them.
"""

from __future__ import annotations

from collections.abc import Iterator

from overdue_ml.features.declare import ALL, DerivedFeature, Feature, Measure, days, last
from overdue_ml.features.repayment import Plan, declare

_PAYMENTS, _VERSIONS = "payments", "versions"
_NO_PAYMENT = "no payment known"
_NO_PLAN = "no instalment known"
_LATEST = (ALL,)

AMOUNT = Measure(
    "payment_amount", _PAYMENTS, "amount", "the amount of a payment (below zero if it went back)",
    ((1.0, "amount", 0),), when_null=_NO_PAYMENT,
)  # fmt: skip
#: Of any account: what the customer paid last.
PAID = Measure(
    "payment", _PAYMENTS, "ratio", "money coming in", ((1.0, "amount", 0),), where=(">", 0.0),
    when_null=_NO_PAYMENT,
)  # fmt: skip
RETURNED = Measure(
    "payment_returned", _PAYMENTS, "ratio", "money going back", ((1.0, "amount", 0),), where=("<", 0.0),
    direction=1, when_null=_NO_PAYMENT,
)  # fmt: skip
RETURNED_COUNT = Measure(
    "payment_returned_count", _PAYMENTS, "count", "payments that went back", ((1.0, "amount", 0),),
    where=("<", 0.0), direction=1, when_null=_NO_PAYMENT,
)  # fmt: skip
GAP = Measure(
    "payment_gap_days", _PAYMENTS, "days", "days between a payment and the one before",
    ((1.0, "paid_day", 0), (-1.0, "paid_day", 1)), when_null="fewer than two payments known",
)  # fmt: skip
MONTH_DAY = Measure(
    "payment_monthday_score", _PAYMENTS, "score", "the day of the month on which a payment came",
    ((1.0, "month_day", 0),), when_null=_NO_PAYMENT,
)  # fmt: skip

CHANGED = Measure(
    "plan_changed", _VERSIONS, "ratio", "a change of an instalment that was planned otherwise",
    ((1.0, "is_change", 0),), where=(">", 0.0), when_null=_NO_PLAN,
)  # fmt: skip
CHANGED_COUNT = Measure(
    "plan_changed_count", _VERSIONS, "count", "changes of instalments that were planned otherwise",
    ((1.0, "is_change", 0),), when_null=_NO_PLAN,
)  # fmt: skip
PUT_OFF_COUNT = Measure(
    "plan_putoff_count", _VERSIONS, "count", "instalments put off to a later day",
    ((1.0, "put_off_days", 0),), where=(">", 0.0), when_null=_NO_PLAN,
)  # fmt: skip
PUT_OFF = Measure(
    "plan_putoff_days", _VERSIONS, "days", "days by which a change puts an instalment off (below 0: earlier)",
    ((1.0, "put_off_days", 0),), when_null=_NO_PLAN,
)  # fmt: skip
RAISED = Measure(
    "plan_raised_amount", _VERSIONS, "amount", "what a change adds to an instalment (below zero: takes off)",
    ((1.0, "amount_change", 0),), when_null=_NO_PLAN,
)  # fmt: skip


def payment_features() -> Iterator[Feature]:
    """When payments came, how regularly, and how much."""
    amounts: Plan = {
        "last": _LATEST, "mean": (last(3), last(6), last(12)), "max": (last(12),), "min": (last(12),),
        "sum": (days(30), days(90), days(360)), "std": (last(6),), "slope": (last(6),),
    }  # fmt: skip
    yield from declare("repay", AMOUNT, "PAYMENT_AMOUNT", amounts)
    often: Plan = {"count": (days(30), days(90), days(360), ALL)}
    yield from declare("repay", AMOUNT, "PAYMENT_RHYTHM", often, rollup="sum")
    # The latest of any account: a loan that is paid off has its last payment long ago.
    yield from declare("repay", PAID, "PAYMENT_RHYTHM", {"since": _LATEST}, rollup="min")
    yield from declare("repay", RETURNED, "PAYMENT_RETURNED", {"share": (last(12),), "since": _LATEST})
    returned: Plan = {"sum": (days(360), ALL)}
    yield from declare("repay", RETURNED_COUNT, "PAYMENT_RETURNED", returned, rollup="sum")
    gaps: Plan = {"last": _LATEST, "mean": (last(3), last(6)), "max": (last(6),), "std": (last(6),)}
    yield from declare("repay", GAP, "PAYMENT_RHYTHM", gaps)
    yield from declare("repay", MONTH_DAY, "PAYMENT_RHYTHM", {"mean": (last(6),), "std": (last(6),)})


def version_features() -> Iterator[Feature]:
    """What was changed of a plan after it was made."""
    yield from declare("repay", CHANGED, "PLAN_CHANGED", {"since": _LATEST}, rollup="min")
    counts: Plan = {"sum": (days(90), days(360), ALL)}
    yield from declare("repay", CHANGED_COUNT, "PLAN_CHANGED", counts, rollup="sum")
    yield from declare("repay", PUT_OFF_COUNT, "PLAN_CHANGED", {"sum": _LATEST}, rollup="sum")
    yield from declare("repay", PUT_OFF, "PLAN_CHANGED", {"sum": _LATEST, "max": _LATEST})
    yield from declare("repay", RAISED, "PLAN_CHANGED", {"sum": _LATEST})


#: Ratios and differences of what stands above; a null where the longer window has nothing.
PAYMENT_DERIVED = [
    DerivedFeature(
        "repay_payment_amount_last_over_mean6", "ratio", "repay_payment_amount_latest",
        "repay_payment_amount_mean_last6", "PAYMENT_AMOUNT", "ratio",
        "The latest payment as a multiple of the mean of the latest 6.", when_null=_NO_PAYMENT,
    ),
    DerivedFeature(
        "repay_payment_amount_ratio_30d_over_90d", "ratio", "repay_payment_amount_sum_30d",
        "repay_payment_amount_sum_90d", "PAYMENT_AMOUNT", "ratio",
        "What was paid in 30 days as a share of what was paid in 90.",
        when_null="nothing paid in 90 days",
    ),
    DerivedFeature(
        "repay_payment_amount_ratio_90d_over_360d", "ratio", "repay_payment_amount_sum_90d",
        "repay_payment_amount_sum_360d", "PAYMENT_AMOUNT", "ratio",
        "What was paid in 90 days as a share of what was paid in 360.",
        when_null="nothing paid in 360 days",
    ),
    DerivedFeature(
        "repay_payment_gap_ratio_latest_over_mean6", "ratio", "repay_payment_gap_days_latest",
        "repay_payment_gap_days_mean_last6", "PAYMENT_RHYTHM", "ratio",
        "The latest number of days between two payments as a multiple of the mean of the latest 6.",
        when_null="fewer than two payments known, or all on one day",
    ),
    DerivedFeature(
        "repay_payment_since_gap_ratio_all", "ratio", "repay_payment_since_all",
        "repay_payment_gap_days_mean_last6", "PAYMENT_RHYTHM", "ratio",
        "Days since the latest payment as a multiple of the usual number between two payments.",
        when_null="fewer than two payments known, or all on one day",
    ),
]  # fmt: skip
