"""Features of loans as a whole: their beginning, their plan, several beside each other, short against long.

Declaration only; see :mod:`overdue_ml.features.declare` for the words. What one instalment tells stands in
:mod:`overdue_ml.features.instalments`, whose measures are read here over other windows.
"""

from __future__ import annotations

from collections.abc import Iterator

from overdue_ml.features.declare import ALL, DerivedFeature, Feature, Measure, days, last
from overdue_ml.features.instalments import (
    AMOUNT,
    DPD,
    EARLY,
    LATE,
    LATE_8,
    PAID,
    PAID_RATIO,
    PARTIAL,
    PAYMENTS,
)
from overdue_ml.features.repayment import Plan, declare

_VIEW, _AHEAD, _PLAN = "instalments", "upcoming", "plan"
_NONE_DUE = "no instalment has fallen due"
_NONE_AHEAD = "no instalment is to come"
_NO_PLAN = "no instalment known"
_LATEST = (ALL,)

FIRST_LATE = Measure(
    "instalment_first3_late_count", _VIEW, "count", "late payments among the first 3 instalments",
    ((1.0, "dpd", 0),), times=("is_first3", 0), where=(">", 0.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
FIRST_DPD = Measure(
    "instalment_first3_dpd", _VIEW, "days", "days past due of the first 3 instalments (0 for later ones)",
    ((1.0, "dpd", 0),), times=("is_first3", 0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
AHEAD = Measure(
    "instalment_early", _VIEW, "ratio", "a payment ahead of the due date", ((1.0, "days_early", 0),),
    where=(">", 0.0), direction=-1, when_null=_NONE_DUE,
)  # fmt: skip
AHEAD_8 = Measure(
    "instalment_early8", _VIEW, "ratio", "a payment more than 7 days ahead of the due date",
    ((1.0, "days_early", 0),), where=(">", 7.0), direction=-1, when_null=_NONE_DUE,
)  # fmt: skip
SPLIT = Measure(
    "instalment_split", _VIEW, "ratio", "payments on more than one day", ((1.0, "n_payments", 0),),
    where=(">", 1.0), when_null=_NONE_DUE,
)  # fmt: skip
REVERSED = Measure(
    "instalment_reversed", _VIEW, "ratio", "a payment taken back", ((1.0, "n_reversals", 0),),
    where=(">", 0.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip

MEAN_DPD = Measure(
    "loans_mean_dpd", _VIEW, "days", "days past due (mean of the customer's loans)", ((1.0, "dpd", 0),),
    direction=1, when_null=_NONE_DUE,
)  # fmt: skip
MEAN_LATE = Measure(
    "loans_mean_late", _VIEW, "ratio", "a late payment (mean of the customer's loans)", ((1.0, "dpd", 0),),
    where=(">", 0.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
BEST_DPD = Measure(
    "loans_best_dpd", _VIEW, "days", "days past due (the loan with the fewest)", ((1.0, "dpd", 0),),
    direction=1, when_null=_NONE_DUE,
)  # fmt: skip
LOANS_DUE = Measure(
    "loans_due_count", _VIEW, "count", "loans with an instalment that has fallen due",
    ((1.0, "amount_due", 0),), where=(">=", 0.0), when_null=_NONE_DUE,
)  # fmt: skip
LOANS_LATE = Measure(
    "loans_late_count", _VIEW, "count", "loans late with the instalment", ((1.0, "dpd", 0),),
    where=(">", 0.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip
LOANS_BEHIND = Measure(
    "loans_behind_count", _VIEW, "count", "loans with an unpaid instalment past due", ((1.0, "dpd", 0),),
    times=("unpaid", 0), where=(">", 0.0), direction=1, when_null=_NONE_DUE,
)  # fmt: skip

LOANS_AHEAD = Measure(
    "loans_count", _AHEAD, "count", "loans with an instalment still to be paid", ((1.0, "unpaid", 0),),
    when_null=_NONE_AHEAD,
)  # fmt: skip
NEXT_DUE = Measure(
    "amount", _AHEAD, "amount", "the amount due", ((1.0, "amount_due", 0),), when_null=_NONE_AHEAD
)
SETTLED_AHEAD = Measure(
    "settled_count", _AHEAD, "count", "instalments settled ahead", ((1.0, "is_settled", 0),), direction=-1,
    when_null=_NONE_AHEAD,
)  # fmt: skip
MONTH_DAY = Measure(
    "monthday_score", _AHEAD, "score", "the day of the month of the due date",
    ((1.0, "due_month_day", 0),), when_null=_NONE_AHEAD,
)  # fmt: skip
MONTH_SINE = Measure(
    "month_sine_score", _AHEAD, "score", "the sine of the month of the due date (1 in April, -1 in October)",
    ((1.0, "due_month_sine", 0),), when_null=_NONE_AHEAD,
)  # fmt: skip
MONTH_COSINE = Measure(
    "month_cosine_score", _AHEAD, "score",
    "the cosine of the month of the due date (1 in January, -1 in July)",
    ((1.0, "due_month_cosine", 0),), when_null=_NONE_AHEAD,
)  # fmt: skip

PLAN_AMOUNT = Measure(
    "plan_amount", _PLAN, "amount", "the amount due, fallen due or not", ((1.0, "amount_due", 0),),
    when_null=_NO_PLAN,
)  # fmt: skip
PLAN_PAID = Measure(
    "plan_paid_amount", _PLAN, "amount", "the amount paid, also ahead of the due date",
    ((1.0, "paid_amount", 0),), when_null=_NO_PLAN,
)  # fmt: skip
PLAN_OPEN = Measure(
    "plan_open_amount", _PLAN, "amount", "what is still to be paid, late or not",
    ((1.0, "shortfall_amount", 0),), times=("unpaid", 0), when_null=_NO_PLAN,
)  # fmt: skip
PLAN_OPEN_COUNT = Measure(
    "plan_open_count", _PLAN, "count", "instalments still to be paid, late or not", ((1.0, "unpaid", 0),),
    when_null=_NO_PLAN,
)  # fmt: skip
PLAN_DAYS = Measure(
    "plan_days", _PLAN, "days", "days to the due date (0 if past)", ((1.0, "days_to_due", 0),),
    when_null=_NO_PLAN,
)  # fmt: skip


def more_lateness() -> Iterator[Feature]:
    """How a loan began, and how late over windows of other lengths."""
    yield from declare("repay", FIRST_LATE, "FIRST_INSTALMENTS", {"sum": _LATEST}, rollup="max")
    yield from declare("repay", FIRST_DPD, "FIRST_INSTALMENTS", {"max": _LATEST})
    yield Feature("repay", DPD, "first", ALL, "FIRST_INSTALMENTS", monotone=1)
    yield Feature("repay", LATE_8, "first", ALL, "FIRST_INSTALMENTS", monotone=1)
    depth: Plan = {
        "std": (last(6), last(12)),
        "slope": (last(12),),
        "wmean": (last(3),),
        "mean": (days(180),),
    }
    yield from declare("repay", DPD, "INSTALMENT_DEPTH", depth)
    yield from declare("repay", LATE, "INSTALMENT_OFTEN", {"share": (days(90),), "wmean": (last(12),)})
    yield from declare("repay", LATE_8, "INSTALMENT_OFTEN", {"streak": _LATEST, "since": _LATEST})
    yield from declare("repay", PARTIAL, "INSTALMENT_UNPAID", {"share": (last(12),)})
    yield from declare("repay", REVERSED, "PAYMENT_RETURNED", {"share": (last(6),)})


def more_manner() -> Iterator[Feature]:
    """How early, in how many parts and how large, over windows of other lengths."""
    yield from declare("repay", AHEAD, "INSTALMENT_PAID", {"share": (last(3), last(12)), "streak": _LATEST})
    yield from declare("repay", AHEAD_8, "INSTALMENT_PAID", {"share": (last(6), last(12))})
    yield from declare("repay", EARLY, "INSTALMENT_PAID", {"slope": (last(6),), "wmean": (last(6),)})
    ratio: Plan = {"min": (last(3), last(12)), "wmean": (last(6),)}
    yield from declare("repay", PAID_RATIO, "INSTALMENT_PAID", ratio)
    yield from declare("repay", SPLIT, "INSTALMENT_PAID", {"share": (last(6), last(12))})
    yield from declare("repay", PAYMENTS, "INSTALMENT_PAID", {"max": (last(12),)})
    yield from declare(
        "repay", AMOUNT, "INSTALMENT_COUNT", {"mean": (last(6),), "sum": (days(90), days(360))}
    )
    yield from declare("repay", PAID, "INSTALMENT_PAID", {"sum": (days(90), days(360))})


def several_loans() -> Iterator[Feature]:
    """The loans of one customer beside each other; elsewhere the worst decides."""
    depth: Plan = {"last": _LATEST, "mean": (last(6),), "max": (last(12),)}
    yield from declare("repay", MEAN_DPD, "LOANS_TOGETHER", depth, rollup="mean")
    yield from declare("repay", MEAN_LATE, "LOANS_TOGETHER", {"share": (last(6),)}, rollup="mean")
    yield from declare(
        "repay", BEST_DPD, "LOANS_TOGETHER", {"last": _LATEST, "mean": (last(6),)}, rollup="min"
    )
    for measure in (LOANS_DUE, LOANS_LATE):
        yield from declare("repay", measure, "LOANS_TOGETHER", {"sum": (last(1),)}, rollup="sum")
    yield from declare("repay", LOANS_BEHIND, "LOANS_TOGETHER", {"max": _LATEST}, rollup="sum")
    yield from declare("due", LOANS_AHEAD, "LOANS_TOGETHER", {"max": _LATEST}, rollup="sum")


def plan_features() -> Iterator[Feature]:
    """What is to come: how much, when in the year, and what is left of the plan."""
    yield from declare("due", NEXT_DUE, "NEXT_DUE", {"last": _LATEST})
    yield from declare("due", SETTLED_AHEAD, "PLAN_LEFT", {"sum": _LATEST}, rollup="sum")
    # Of several loans the middle: none of them is the worse for its date.
    for measure in (MONTH_DAY, MONTH_SINE, MONTH_COSINE):
        yield from declare("due", measure, "DUE_SEASON", {"last": _LATEST}, rollup="mean")
    yield from declare("due", PLAN_AMOUNT, "PLAN_LEFT", {"count": _LATEST, "sum": _LATEST}, rollup="sum")
    yield from declare("due", PLAN_PAID, "PLAN_LEFT", {"sum": _LATEST})
    yield from declare("due", PLAN_OPEN, "PLAN_LEFT", {"sum": _LATEST})
    yield from declare("due", PLAN_OPEN_COUNT, "PLAN_LEFT", {"sum": _LATEST}, rollup="sum")
    yield from declare("due", PLAN_DAYS, "PLAN_LEFT", {"max": _LATEST})


def _ratio(
    name: str, left: str, right: str, reason: str, meaning: str, when_null: str, direction: int = 0
) -> DerivedFeature:
    return DerivedFeature(name, "ratio", left, right, reason, "ratio", meaning, direction, None, when_null)


def _compared() -> list[DerivedFeature]:
    """Short against long, and the latest against the mean."""
    r = "repay_instalment_"
    return [
        _ratio(
            r + "dpd_ratio_last3_over_last12", r + "dpd_mean_last3", r + "dpd_mean_last12",
            "INSTALMENT_DEPTH",
            "Mean of days past due over the latest 3 instalments as a multiple of that over the latest 12.",
            "never late over the latest 12",
        ),
        _ratio(
            r + "dpd_ratio_90d_over_360d", r + "dpd_mean_90d", r + "dpd_mean_360d", "INSTALMENT_DEPTH",
            "Mean of days past due over the latest 90 days as a multiple of that over the latest 360.",
            "never late over the latest 360 days",
        ),
        DerivedFeature(
            r + "dpd_latest_minus_mean6", "difference", r + "dpd_latest", r + "dpd_mean_last6",
            "INSTALMENT_DEPTH", "days",
            "The latest days past due less the mean over the latest 6 instalments.", when_null=_NONE_DUE,
        ),
        DerivedFeature(
            r + "late_share_last3_minus_last12", "difference", r + "late_share_last3",
            r + "late_share_last12",            "INSTALMENT_OFTEN", "ratio",
            "Share of late instalments of the latest 3 less that of the latest 12.", when_null=_NONE_DUE,
        ),
        DerivedFeature(
            r + "paid_ratio_mean_last3_minus_last12", "difference", r + "paid_ratio_mean_last3",
            r + "paid_ratio_mean_last12", "INSTALMENT_PAID", "ratio",
            "Mean share paid of the latest 3 instalments less that of the latest 12.", when_null=_NONE_DUE,
        ),
        DerivedFeature(
            r + "early_days_mean_last3_minus_last12", "difference", r + "early_days_mean_last3",
            r + "early_days_mean_last12", "INSTALMENT_PAID", "days",
            "Mean of days early over the latest 3 instalments less that over the latest 12.",
            when_null=_NONE_DUE,
        ),
        _ratio(
            r + "paid_due_ratio_90d", r + "paid_amount_sum_90d", r + "amount_sum_90d", "INSTALMENT_PAID",
            "What is paid of the instalments of the latest 90 days as a share of what was due.",
            "nothing was due in 90 days", -1,
        ),
        _ratio(
            r + "paid_due_ratio_360d", r + "paid_amount_sum_360d", r + "amount_sum_360d", "INSTALMENT_PAID",
            "What is paid of the instalments of the latest 360 days as a share of what was due.",
            "nothing was due in 360 days", -1,
        ),
        _ratio(
            r + "unpaid_due_ratio_360d", r + "unpaid_amount_sum_all", r + "amount_sum_360d",
            "INSTALMENT_UNPAID",
            "What unpaid instalments are short by as a multiple of what fell due in 360 days.",
            "nothing was due in 360 days", 1,
        ),
    ]  # fmt: skip


def _beside() -> list[DerivedFeature]:
    """One loan against the others, and what is to come against what was."""
    return [
        DerivedFeature(
            "repay_loans_spread_dpd_mean_last6", "difference", "repay_instalment_dpd_mean_last6",
            "repay_loans_best_dpd_mean_last6", "LOANS_TOGETHER", "days",
            "Mean of days past due over the latest 6 instalments: the worst loan less the best.",
            when_null=_NONE_DUE,
        ),
        _ratio(
            "repay_loans_late_ratio_last1", "repay_loans_late_count_sum_last1",
            "repay_loans_due_count_sum_last1", "LOANS_TOGETHER",
            "Share of the loans that are or were late with their latest instalment.", _NONE_DUE, 1,
        ),
        _ratio(
            "due_loans_behind_ratio_all", "repay_loans_behind_count_max_all", "due_loans_count_max_all",
            "LOANS_TOGETHER",
            "Loans with an unpaid instalment past due, to each loan with something still to be paid.",
            "nothing is to come", 1,
        ),
        _ratio(
            "due_amount_growth_ratio_next", "due_amount_next", "repay_instalment_amount_mean_last6",
            "NEXT_DUE", "The next amount due as a multiple of the mean of the latest 6.",
            "nothing was due before",
        ),
        _ratio(
            "due_unpaid_payment_ratio_next31d", "due_unpaid_amount_sum_next31d",
            "repay_payment_amount_sum_90d", "NEXT_DUE",
            "What falls due in 31 days as a multiple of what was paid in 90.",
            "nothing is to come, or nothing was paid in 90 days",
        ),
        _ratio(
            "due_plan_paid_ratio_all", "due_plan_paid_amount_sum_all", "due_plan_amount_sum_all", "PLAN_LEFT",
            "Share of all known instalments, fallen due or not, that is paid.", _NO_PLAN,
        ),
        _ratio(
            "due_plan_open_ratio_all", "due_plan_open_count_sum_all", "due_plan_amount_count_all",
            "PLAN_LEFT", "Number of instalments still to be paid as a share of all known ones.", _NO_PLAN,
        ),
        _ratio(
            "due_plan_principal_ratio_all", "due_plan_open_amount_sum_all", "account_principal_amount_sum",
            "PLAN_LEFT", "What is still to be paid as a multiple of the principal of all loans.",
            "no principal known",
        ),
    ]  # fmt: skip


def loan_features() -> list[Feature | DerivedFeature]:
    """Every feature of loans as a whole; those of payments and of accounts are declared before."""
    return [
        *more_lateness(), *more_manner(), *several_loans(), *plan_features(), *_compared(), *_beside(),
    ]  # fmt: skip
