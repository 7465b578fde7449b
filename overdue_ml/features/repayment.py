"""Features from statements: how late, how much of what was owed was paid, how the credit is used.

Every list below is declaration only; see :mod:`overdue_ml.features.declare` for the words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from overdue_ml.features.declare import (
    ALL,
    DerivedFeature,
    Feature,
    Measure,
    Operator,
    Rollup,
    Statistic,
    Unit,
    Window,
    last,
)

_VIEW = "statements"
_NO_LIMIT = "no statement known, or no credit limit above zero"
_NO_PREVIOUS = "no earlier statement with a balance above zero"

DPD = Measure("dpd", _VIEW, "days", "days past due", ((1.0, "dpd", 0),), direction=1)
STATUS = Measure(
    "status_score", _VIEW, "score",
    "the payment status (-2 inactive, -1 paid in full, 0 paid the minimum, else months late)",
    ((1.0, "status", 0),), direction=0,
)  # fmt: skip
IMPROVED = Measure(
    "improved",
    _VIEW,
    "ratio",
    "a better payment status than on the statement before",
    ((1.0, "status", 0), (-1.0, "status", 1)),
    where=("<", 0.0),
    when_null="fewer than two statements known",
)
LATE = Measure("late", _VIEW, "ratio", "a payment late", ((1.0, "dpd", 0),), where=(">", 0.0), direction=1)
LATE_31 = Measure(
    "late31",
    _VIEW,
    "ratio",
    "a payment more than 30 days late",
    ((1.0, "dpd", 0),),
    where=(">", 30.0),
    direction=1,
)
INACTIVE = Measure("inactive", _VIEW, "ratio", "the account not used", ((1.0, "inactive", 0),))
IN_FULL = Measure("full", _VIEW, "ratio", "the balance paid in full", ((1.0, "paid_in_full", 0),))
MINIMUM = Measure("minimum", _VIEW, "ratio", "only part of the balance paid", ((1.0, "paid_minimum", 0),))
NOTHING_PAID = Measure(
    "nopay", _VIEW, "ratio", "nothing paid although the balance before was above zero",
    ((1.0, "paid_amount", 0),), over=("balance_amount", 1), where=("<=", 0.0), when_null=_NO_PREVIOUS,
)  # fmt: skip

PAID = Measure("paid_amount", _VIEW, "amount", "the amount paid", ((1.0, "paid_amount", 0),))
PAID_TO_PREVIOUS = Measure(
    "paid_previous_ratio", _VIEW, "ratio", "the amount paid as a share of the balance before (at most 2)",
    ((1.0, "paid_amount", 0),), over=("balance_amount", 1), clip=(0.0, 2.0), when_null=_NO_PREVIOUS,
)  # fmt: skip
PAID_TO_BALANCE = Measure(
    "paid_balance_ratio", _VIEW, "ratio", "the amount paid as a share of the balance it left (at most 2)",
    ((1.0, "paid_amount", 0),), over=("balance_amount", 0), clip=(0.0, 2.0),
    when_null="no statement with a balance above zero",
)  # fmt: skip
SHORTFALL = Measure(
    "shortfall_limit_ratio", _VIEW, "ratio",
    "the unpaid part of the balance before as a share of the credit limit",
    ((1.0, "balance_amount", 1), (-1.0, "paid_amount", 0)), over=("credit_limit_amount", 0),
    when_null="fewer than two statements known, or no credit limit above zero",
)  # fmt: skip
NET = Measure(
    "net_limit_ratio", _VIEW, "ratio", "the balance less the amount paid as a share of the credit limit",
    ((1.0, "balance_amount", 0), (-1.0, "paid_amount", 0)), over=("credit_limit_amount", 0),
    when_null=_NO_LIMIT,
)  # fmt: skip

BALANCE = Measure("balance_amount", _VIEW, "amount", "the statement balance", ((1.0, "balance_amount", 0),))
UTILISATION = Measure(
    "utilisation", _VIEW, "ratio", "the balance as a share of the credit limit",
    ((1.0, "balance_amount", 0),), over=("credit_limit_amount", 0), when_null=_NO_LIMIT,
)  # fmt: skip
GROWTH = Measure(
    "growth_limit_ratio", _VIEW, "ratio", "the growth of the balance as a share of the credit limit",
    ((1.0, "balance_amount", 0), (-1.0, "balance_amount", 1)), over=("credit_limit_amount", 0),
    when_null="fewer than two statements known, or no credit limit above zero",
)  # fmt: skip
GROWTH_FACTOR = Measure(
    "growth_ratio", _VIEW, "ratio", "the balance as a multiple of the balance before (-1 to 5)",
    ((1.0, "balance_amount", 0),), over=("balance_amount", 1), clip=(-1.0, 5.0), when_null=_NO_PREVIOUS,
)  # fmt: skip
SPEND_AMOUNT = Measure(
    "spend_amount", _VIEW, "amount", "new spending and charges",
    ((1.0, "balance_amount", 0), (-1.0, "balance_amount", 1), (1.0, "paid_amount", 0)),
    when_null="fewer than two statements known",
)  # fmt: skip
SPEND = Measure(
    "spend_limit_ratio", _VIEW, "ratio", "new spending and charges as a share of the credit limit",
    ((1.0, "balance_amount", 0), (-1.0, "balance_amount", 1), (1.0, "paid_amount", 0)),
    over=("credit_limit_amount", 0),
    when_null="fewer than two statements known, or no credit limit above zero",
)  # fmt: skip

#: Statistics, each with its windows.
Plan = Mapping[Statistic, tuple[Window, ...]]


def declare(
    family: str,
    measure: Measure,
    reason: str,
    plan: Plan,
    lags: tuple[int, ...] = (),
    rollup: Rollup | None = None,
) -> Iterator[Feature]:
    """Features of one measure: each statistic of the plan over its windows, then the lags."""
    for statistic, windows in plan.items():
        for window in windows:
            yield Feature(family, measure, statistic, window, reason, rollup=rollup)
    for lag in lags:
        yield Feature(family, measure, "lag", ALL, reason, lag=lag, rollup=rollup)


_LATEST = (ALL,)
_HALF_YEAR = (last(6),)
#: Short, middle and long: the level now against the level that is usual for the customer.
_LADDER = (last(2), last(3), last(4), last(6))
_FLAG: Plan = {"share": (last(3), last(6)), "streak": (ALL,), "since": (ALL,), "wmean": _HALF_YEAR}


def lateness_features() -> Iterator[Feature]:
    """How late, how often, how long ago."""
    depth: Plan = {"last": _LATEST, "mean": _LADDER, "max": _LADDER, "wmean": (last(3), last(6))}
    yield from declare("repay", DPD, "LATE_DEPTH", depth)
    yield from declare("repay", LATE, "LATE_OFTEN", _FLAG)
    yield from declare("repay", LATE_31, "LATE_OFTEN", _FLAG)


def behaviour_features() -> Iterator[Feature]:
    """How statements were settled: inactive, in full, in part, not at all, and getting better or not."""
    level: Plan = {"last": _LATEST, "mean": _LADDER, "max": _LADDER, "wmean": (last(3), last(6))}
    yield from declare("repay", STATUS, "PAYMENT_STATUS", level, lags=(5,))
    yield from declare(
        "repay", IMPROVED, "PAYMENT_STATUS", {"last": _LATEST, "since": _LATEST, "wmean": _HALF_YEAR}
    )
    for measure in (INACTIVE, IN_FULL, MINIMUM):
        yield from declare("repay", measure, "PAYMENT_STATUS", {"share": _HALF_YEAR})
    yield from declare("repay", NOTHING_PAID, "PAID_LITTLE", {"share": _HALF_YEAR, "since": _LATEST})


def payment_features() -> Iterator[Feature]:
    """How much was paid, against the balance before, the balance left, and the limit."""
    yield from declare("repay", PAID, "PAID_LITTLE", {"last": _LATEST, "mean": _HALF_YEAR})
    yield from declare("repay", PAID_TO_PREVIOUS, "PAID_LITTLE", {"min": (last(3), last(6))}, lags=(3, 4))
    yield from declare(
        "repay",
        PAID_TO_BALANCE,
        "PAID_LITTLE",
        {"mean": (last(2), last(6)), "min": _HALF_YEAR, "std": _HALF_YEAR},
    )
    shortfall: Plan = {"last": _LATEST, "mean": _HALF_YEAR, "max": (last(2), last(3))}
    yield from declare("repay", SHORTFALL, "UNPAID_BALANCE", shortfall)
    yield from declare("repay", NET, "UNPAID_BALANCE", {"mean": (last(2),)}, lags=(1,))


def balance_features() -> Iterator[Feature]:
    """Balance, utilisation, growth and spending."""
    level: Plan = {
        "last": _LATEST, "mean": (last(2), last(6)), "max": _HALF_YEAR, "std": _HALF_YEAR,
        "wmean": _HALF_YEAR,
    }  # fmt: skip
    yield from declare("stmt", BALANCE, "BALANCE_LEVEL", level)
    yield from declare(
        "stmt", UTILISATION, "UTILISATION", {"last": _LATEST, "mean": _HALF_YEAR, "std": _HALF_YEAR}
    )
    yield from declare("stmt", GROWTH, "BALANCE_TREND", {"last": _LATEST, "mean": _HALF_YEAR})
    yield from declare("stmt", GROWTH_FACTOR, "BALANCE_TREND", {"max": (last(3),)})
    spending: Plan = {
        "last": _LATEST, "mean": (last(2), last(3), last(6)), "max": (last(3), last(6)), "min": (last(2),),
        "std": (last(3), last(6)), "wmean": (last(3), last(6)),
    }  # fmt: skip
    yield from declare("stmt", SPEND_AMOUNT, "SPENDING", spending)
    yield from declare("stmt", SPEND, "SPENDING", {"last": _LATEST, "mean": _HALF_YEAR, "min": (last(3),)})


_LIMITS = "account_credit_limit_amount_sum"
_STATUS_NOW, _DPD_NOW = "repay_status_score_wmean_last6", "repay_dpd_wmean_last6"


def _derive(
    name: str, operator: Operator, parts: tuple[str, str], reason: str, unit: Unit, meaning: str
) -> DerivedFeature:
    return DerivedFeature(name, operator, parts[0], parts[1], reason, unit, meaning)


#: Lateness against the limit and the use of it, latest against worst, spread against level. They need
#: the account features and are declared after them.
DERIVED: tuple[DerivedFeature, ...] = (
    _derive(
        "stmt_headroom_amount_latest",
        "difference",
        (_LIMITS, "stmt_balance_amount_latest"),
        "UTILISATION",
        "amount",
        "Credit limits less the latest balances.",
    ),
    _derive(
        "stmt_headroom_amount_min_last6",
        "difference",
        (_LIMITS, "stmt_balance_amount_max_last6"),
        "UTILISATION",
        "amount",
        "Credit limits less the highest balances of the latest 6 statements.",
    ),
    _derive(
        "repay_limit_paid_ratio_mean_last6",
        "ratio",
        (_LIMITS, "repay_paid_amount_mean_last6"),
        "PAID_LITTLE",
        "ratio",
        "Credit limits as a multiple of the mean payment of the latest 6 statements.",
    ),
    _derive(
        "repay_status_limit_score_wmean_last6",
        "ratio",
        (_STATUS_NOW, _LIMITS),
        "PAYMENT_STATUS",
        "score",
        "Recency-weighted payment status, divided by the credit limits.",
    ),
    _derive(
        "repay_dpd_limit_score_wmean_last6",
        "ratio",
        (_DPD_NOW, _LIMITS),
        "LATE_DEPTH",
        "score",
        "Recency-weighted days past due, divided by the credit limits.",
    ),
    _derive(
        "repay_status_utilisation_score_wmean_last6",
        "product",
        (_STATUS_NOW, "stmt_utilisation_latest"),
        "PAYMENT_STATUS",
        "score",
        "Recency-weighted payment status times the latest utilisation.",
    ),
    _derive(
        "repay_status_utilisation_score_mean_last6",
        "product",
        ("repay_status_score_mean_last6", "stmt_utilisation_mean_last6"),
        "PAYMENT_STATUS",
        "score",
        "Mean payment status times mean utilisation of the latest 6 statements.",
    ),
    _derive(
        "repay_dpd_utilisation_score_wmean_last6",
        "product",
        (_DPD_NOW, "stmt_utilisation_latest"),
        "LATE_DEPTH",
        "score",
        "Recency-weighted days past due times the latest utilisation.",
    ),
    _derive(
        "repay_dpd_paid_score_wmean_last6",
        "product",
        (_DPD_NOW, "repay_paid_amount_mean_last6"),
        "LATE_DEPTH",
        "score",
        "Recency-weighted days past due times the mean payment of the latest 6 statements.",
    ),
    _derive(
        "repay_status_score_latest_minus_max_last6",
        "difference",
        ("repay_status_score_latest", "repay_status_score_max_last6"),
        "PAYMENT_STATUS",
        "score",
        "The latest payment status less the worst of the latest 6 statements.",
    ),
    _derive(
        "stmt_balance_amount_std_over_mean_last6",
        "ratio",
        ("stmt_balance_amount_std_last6", "stmt_balance_amount_mean_last6"),
        "BALANCE_TREND",
        "ratio",
        "Standard deviation of the balance over its mean, latest 6 statements.",
    ),
)


def statement_features() -> list[Feature]:
    """Every feature that statements give by themselves."""
    return [*lateness_features(), *behaviour_features(), *payment_features(), *balance_features()]
