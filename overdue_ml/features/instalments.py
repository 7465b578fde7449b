"""Features from instalments and payments: how late, what is unpaid, how it was paid, and what is due next.

Declaration only; see :mod:`overdue_ml.features.declare` for the words. As of T the statistics of the past
read the instalments whose due date has come (T included), by due date; what is paid ahead of its due date is
read with those that are to come. An unpaid instalment counts as late by T less its due date.
"""

from __future__ import annotations

from collections.abc import Iterator

from overdue_ml.features.declare import ALL, DerivedFeature, Feature, Measure, days, last
from overdue_ml.features.repayment import Plan, declare

_VIEW, _AHEAD = "instalments", "upcoming"
_NONE_DUE = "no instalment has fallen due"
_NONE_AHEAD = "no instalment is to come"

DPD = Measure(
    "instalment_dpd", _VIEW, "days", "days past due", ((1.0, "dpd", 0),), direction=1,
    when_null=_NONE_DUE,
)  # fmt: skip
LATE = Measure(
    "instalment_late", _VIEW, "ratio", "a late payment", ((1.0, "dpd", 0),), where=(">", 0.0),
    direction=1, when_null=_NONE_DUE,
)  # fmt: skip
LATE_8 = Measure(
    "instalment_late8", _VIEW, "ratio", "a payment more than 7 days late", ((1.0, "dpd", 0),),
    where=(">", 7.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
LATE_31 = Measure(
    "instalment_late31", _VIEW, "ratio", "a payment more than 30 days late", ((1.0, "dpd", 0),),
    where=(">", 30.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
ON_TIME = Measure(
    "instalment_ontime", _VIEW, "ratio", "no day past due", ((1.0, "dpd", 0),), where=("<=", 0.0),
    direction=-1, when_null=_NONE_DUE,
)  # fmt: skip
#: Its sum over the sum of the amounts due is the mean of days past due in which each unit of money counts
#: the same.
WEIGHTED = Measure(
    "instalment_dpd_money_score", _VIEW, "score", "days past due times the amount due", ((1.0, "dpd", 0),),
    times=("amount_due", 0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip

UNPAID = Measure(
    "instalment_unpaid_count", _VIEW, "count", "instalments still unpaid", ((1.0, "unpaid", 0),),
    direction=1, when_null=_NONE_DUE,
)  # fmt: skip
UNPAID_AMOUNT = Measure(
    "instalment_unpaid_amount", _VIEW, "amount", "what unpaid instalments are short by",
    ((1.0, "shortfall_amount", 0),), times=("unpaid", 0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
UNPAID_DPD = Measure(
    "instalment_unpaid_dpd", _VIEW, "days", "days past due of what is unpaid (0 if paid)",
    ((1.0, "dpd", 0),), times=("unpaid", 0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip

AMOUNT = Measure(
    "instalment_amount", _VIEW, "amount", "the amount due", ((1.0, "amount_due", 0),), when_null=_NONE_DUE
)
PAID = Measure(
    "instalment_paid_amount", _VIEW, "amount", "the amount paid",
    ((1.0, "paid_amount", 0),), when_null=_NONE_DUE,
)  # fmt: skip
PAID_RATIO = Measure(
    "instalment_paid_ratio", _VIEW, "ratio", "the amount paid as a share of the amount due",
    ((1.0, "paid_amount", 0),), over=("amount_due", 0), direction=-1,
    when_null="no instalment with an amount due above zero has fallen due",
)  # fmt: skip
PARTIAL = Measure(
    "instalment_part", _VIEW, "ratio", "only a part paid", ((1.0, "is_partial", 0),),
    direction=1, where=(">", 0.0), when_null=_NONE_DUE,
)  # fmt: skip
PARTIAL_COUNT = Measure(
    "instalment_part_count", _VIEW, "count", "instalments paid in part only", ((1.0, "is_partial", 0),),
    direction=1, when_null=_NONE_DUE,
)  # fmt: skip
PAYMENTS = Measure(
    "instalment_payments_count", _VIEW, "count", "days with a payment",
    ((1.0, "n_payments", 0),), when_null=_NONE_DUE,
)  # fmt: skip
EARLY = Measure(
    "instalment_early_days", _VIEW, "days", "days from payment to due date (0 if not early)",
    ((1.0, "days_early", 0),), direction=-1, when_null=_NONE_DUE,
)  # fmt: skip
TECHNICAL = Measure(
    "instalment_technical_ratio", _VIEW, "ratio",
    "the share of the money that came late for a technical cause",
    ((1.0, "technical_ratio", 0),), when_null="no payment on an instalment that has fallen due",
)  # fmt: skip

NEXT_DAYS = Measure(
    "days", _AHEAD, "days", "days to the due date", ((1.0, "days_to_due", 0),), when_null=_NONE_AHEAD
)
NEXT_AMOUNT = Measure(
    "unpaid_amount", _AHEAD, "amount", "what is still to be paid",
    ((1.0, "shortfall_amount", 0),), times=("unpaid", 0), when_null=_NONE_AHEAD,
)  # fmt: skip
NEXT_COUNT = Measure(
    "unpaid_count", _AHEAD, "count", "instalments still to be paid", ((1.0, "unpaid", 0),),
    when_null=_NONE_AHEAD,
)  # fmt: skip

_LATEST = (ALL,)


def lateness_features() -> Iterator[Feature]:
    """How late, how often, how long ago."""
    depth: Plan = {
        "last": _LATEST,
        "mean": (last(3), last(6), last(12), days(90), days(360)),
        "max": (last(3), last(6), last(12), days(30), days(90), days(180), days(360)),
        "wmean": (last(6), last(12)),
        "slope": (last(6),),
    }
    yield from declare("repay", DPD, "INSTALMENT_DEPTH", depth)
    yield from declare("repay", WEIGHTED, "INSTALMENT_DEPTH", {"sum": (last(6),)}, rollup="sum")
    often: Plan = {
        "share": (last(3), last(6), last(12), days(180), days(360)), "wmean": (last(6),), "streak": _LATEST,
        "since": _LATEST,
    }  # fmt: skip
    yield from declare("repay", LATE, "INSTALMENT_OFTEN", often)
    yield Feature("repay", LATE, "first", ALL, "INSTALMENT_OFTEN", monotone=1)
    yield from declare("repay", LATE_8, "INSTALMENT_OFTEN", {"share": (last(6), last(12), days(360))})
    seldom: Plan = {"share": (last(6), last(12)), "since": _LATEST}
    yield from declare("repay", LATE_31, "INSTALMENT_OFTEN", seldom)
    yield from declare("repay", ON_TIME, "INSTALMENT_OFTEN", {"streak": _LATEST})


def unpaid_features() -> Iterator[Feature]:
    """What has fallen due and is not paid."""
    yield from declare("repay", UNPAID, "INSTALMENT_UNPAID", {"sum": _LATEST}, rollup="sum")
    yield from declare("repay", UNPAID_AMOUNT, "INSTALMENT_UNPAID", {"sum": _LATEST})
    yield from declare("repay", UNPAID_DPD, "INSTALMENT_UNPAID", {"max": _LATEST})
    parts: Plan = {"share": (last(6),)}
    yield from declare("repay", PARTIAL, "INSTALMENT_UNPAID", parts)
    yield from declare("repay", PARTIAL_COUNT, "INSTALMENT_UNPAID", {"sum": _LATEST}, rollup="sum")


def manner_features() -> Iterator[Feature]:
    """How much, in how many payments, how early, and how many instalments there were."""
    ratio: Plan = {"last": _LATEST, "mean": (last(3), last(6), last(12)), "min": (last(6),)}
    yield from declare("repay", PAID_RATIO, "INSTALMENT_PAID", ratio)
    yield from declare("repay", PAID, "INSTALMENT_PAID", {"mean": (last(3),)})
    yield from declare("repay", PAYMENTS, "INSTALMENT_PAID", {"mean": (last(6),)})
    early: Plan = {"last": _LATEST, "mean": (last(3), last(6), last(12))}
    yield from declare("repay", EARLY, "INSTALMENT_PAID", early)
    yield from declare("repay", TECHNICAL, "INSTALMENT_PAID", {"mean": (last(6), last(12))})
    level: Plan = {"sum": (last(6),), "count": _LATEST}
    yield from declare("repay", AMOUNT, "INSTALMENT_COUNT", level, rollup="sum")


def next_due_features() -> Iterator[Feature]:
    """What is to be paid, and when."""
    yield from declare("due", NEXT_DAYS, "NEXT_DUE", {"last": _LATEST}, rollup="min")
    yield from declare("due", NEXT_AMOUNT, "NEXT_DUE", {"last": _LATEST, "sum": (days(31), ALL)})
    yield from declare("due", NEXT_COUNT, "NEXT_DUE", {"sum": _LATEST}, rollup="sum")


def instalment_features() -> list[Feature | DerivedFeature]:
    """Every feature that instalments and payments give."""
    return [
        *lateness_features(), *unpaid_features(), *manner_features(), *next_due_features(),
        DerivedFeature(
            "repay_instalment_dpd_money_mean_last6", "ratio", "repay_instalment_dpd_money_score_sum_last6",
            "repay_instalment_amount_sum_last6", "INSTALMENT_DEPTH", "days",
            "Mean of days past due over the latest 6 instalments, each weighing as much as its amount due.",
            direction=1, when_null=_NONE_DUE,
        ),
        DerivedFeature(
            "repay_instalment_dpd_mean_last3_minus_last12", "difference", "repay_instalment_dpd_mean_last3",
            "repay_instalment_dpd_mean_last12", "INSTALMENT_DEPTH", "days",
            "Mean of days past due over the latest 3 instalments less that over the latest 12.",
            when_null=_NONE_DUE,
        ),
        DerivedFeature(
            "due_unpaid_paid_ratio_next", "ratio", "due_unpaid_amount_next",
            "repay_instalment_paid_amount_mean_last3", "NEXT_DUE", "ratio",
            "What is still to be paid of the next instalment as a multiple of the mean paid on the latest 3.",
            when_null="no instalment is to come, or nothing was paid on the latest 3",
        ),
    ]  # fmt: skip
