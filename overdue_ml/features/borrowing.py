"""Features from reports on debts elsewhere: how many, how large, how fully used, how late, how new.

Declaration only; see :mod:`overdue_ml.features.declare` for the words. Each statistic is one lender's, and
the lenders of a customer combine as accounts do. What was closed counts as nothing owed from its closing on.
"""

from __future__ import annotations

from collections.abc import Iterator

from overdue_ml.features.declare import ALL, DerivedFeature, Feature, Measure, days, last
from overdue_ml.features.repayment import Plan, declare

_VIEW = "borrowings"
_NONE = "no debt elsewhere was reported, or none in the window"
_NO_LIMIT = "no open debt elsewhere with a limit above zero was reported"
_FEWER = "no lender elsewhere has reported twice"
_NO_DATE = "no opening date of a debt elsewhere was reported"

OPEN = Measure(
    "lenders_count", _VIEW, "count", "the number of lenders elsewhere with an open debt",
    ((1.0, "is_open", 0),), when_null=_NONE,
)  # fmt: skip
REPORT = Measure(
    "report", _VIEW, "ratio", "anything said", ((1.0, "is_open", 0),), where=(">=", 0.0), when_null=_NONE,
)  # fmt: skip
BALANCE = Measure(
    "balance_amount", _VIEW, "amount", "the balance owed elsewhere", ((1.0, "balance_amount", 0),),
    when_null=_NONE,
)  # fmt: skip
GROWTH = Measure(
    "growth_amount", _VIEW, "amount", "the growth of the balance owed elsewhere",
    ((1.0, "balance_amount", 0), (-1.0, "balance_amount", 1)), when_null=_FEWER,
)  # fmt: skip
GROWTH_RATIO = Measure(
    "growth_limit_ratio", _VIEW, "ratio",
    "the growth of the balance owed elsewhere as a share of the limit there",
    ((1.0, "balance_amount", 0), (-1.0, "balance_amount", 1)), over=("credit_limit_amount", 0),
    when_null=_FEWER,
)  # fmt: skip
LIMIT = Measure(
    "credit_limit_amount", _VIEW, "amount", "the credit limit elsewhere", ((1.0, "credit_limit_amount", 0),),
    when_null="no credit limit elsewhere was reported",
)  # fmt: skip
DUES = Measure(
    "monthly_due_amount", _VIEW, "amount", "what is due elsewhere each month",
    ((1.0, "monthly_due_amount", 0),), when_null="no monthly dues elsewhere were reported",
)  # fmt: skip
UTILISATION = Measure(
    "utilisation", _VIEW, "ratio", "the balance owed elsewhere as a share of the limit there",
    ((1.0, "balance_amount", 0),), over=("credit_limit_amount", 0), direction=1, when_null=_NO_LIMIT,
)  # fmt: skip
DPD = Measure(
    "dpd", _VIEW, "days", "days past due elsewhere", ((1.0, "dpd", 0),), direction=1, when_null=_NONE,
)  # fmt: skip
LATE = Measure(
    "late", _VIEW, "ratio", "a debt past due elsewhere", ((1.0, "dpd", 0),), where=(">", 0.0), direction=1,
    when_null=_NONE,
)  # fmt: skip
LATE_COUNT = Measure(
    "late_count", _VIEW, "count", "the number of lenders elsewhere with a debt past due",
    ((1.0, "dpd", 0),), where=(">", 0.0), direction=1, when_null=_NONE,
)  # fmt: skip
_NEWEST = ((1.0, "newest_days", 0), (1.0, "report_days", 0))
NEWEST = Measure(
    "newest_days", _VIEW, "days", "days since the opening of the newest debt elsewhere", _NEWEST,
    direction=-1, when_null=_NO_DATE,
)  # fmt: skip
OLDEST = Measure(
    "oldest_days", _VIEW, "days", "days since the opening of the oldest debt elsewhere",
    ((1.0, "oldest_days", 0), (1.0, "report_days", 0)), when_null=_NO_DATE,
)  # fmt: skip
NEW_90 = Measure(
    "new90_count", _VIEW, "count", "the number of lenders elsewhere with a debt opened in the latest 90 days",
    _NEWEST, where=("<", 90.0), direction=1, when_null=_NO_DATE,
)  # fmt: skip
NEW_360 = Measure(
    "new360_count", _VIEW, "count",
    "the number of lenders elsewhere with a debt opened in the latest 360 days", _NEWEST,
    where=("<", 360.0), direction=1, when_null=_NO_DATE,
)  # fmt: skip

_LATEST = (ALL,)


def borrowing_features() -> list[Feature]:
    """Every feature that reports on debts elsewhere give by themselves."""
    return [*_debt_features(), *_use_features(), *_lateness_features(), *_age_features()]


def _debt_features() -> Iterator[Feature]:
    latest: Plan = {"last": _LATEST}
    yield from declare("borrow", OPEN, "DEBT_ELSEWHERE", latest, rollup="sum")
    yield Feature("borrow", REPORT, "since", ALL, "DEBT_ELSEWHERE", rollup="min")
    yield from declare("borrow", BALANCE, "DEBT_ELSEWHERE", {"last": _LATEST, "max": (days(360),)})
    yield from declare("borrow", LIMIT, "DEBT_ELSEWHERE", latest)
    yield from declare("borrow", DUES, "DEBT_ELSEWHERE", latest)
    yield from declare("borrow", GROWTH, "DEBT_ELSEWHERE", {"sum": (days(90), days(180), days(360))})
    yield from declare("borrow", GROWTH_RATIO, "DEBT_ELSEWHERE", latest)


def _use_features() -> Iterator[Feature]:
    use: Plan = {"last": _LATEST, "mean": (last(4),), "max": (days(360),), "slope": (last(4),)}
    yield from declare("borrow", UTILISATION, "UTILISATION_ELSEWHERE", use)


def _lateness_features() -> Iterator[Feature]:
    depth: Plan = {"last": _LATEST, "mean": (last(4),), "max": (days(180), days(360))}
    yield from declare("borrow", DPD, "LATE_ELSEWHERE", depth)
    often: Plan = {"share": (last(4), ALL), "since": _LATEST}
    yield from declare("borrow", LATE, "LATE_ELSEWHERE", often)
    yield from declare("borrow", LATE_COUNT, "LATE_ELSEWHERE", {"last": _LATEST}, rollup="sum")


def _age_features() -> Iterator[Feature]:
    latest: Plan = {"last": _LATEST}
    yield from declare("borrow", NEWEST, "NEW_CREDIT", latest)
    yield from declare("borrow", OLDEST, "NEW_CREDIT", latest)
    yield from declare("borrow", NEW_90, "NEW_CREDIT", latest, rollup="sum")
    yield from declare("borrow", NEW_360, "NEW_CREDIT", latest, rollup="sum")


_BALANCE, _LIMIT = "borrow_balance_amount_latest", "borrow_credit_limit_amount_latest"
_DUES = "borrow_monthly_due_amount_latest"

#: All lenders together.
BORROWING_DERIVED: tuple[DerivedFeature, ...] = (
    DerivedFeature(
        "borrow_utilisation_total_latest", "ratio", _BALANCE, _LIMIT, "UTILISATION_ELSEWHERE", "ratio",
        "All that is owed elsewhere as a share of all limits there.", direction=1, when_null=_NO_LIMIT,
    ),
    DerivedFeature(
        "borrow_headroom_amount_latest", "difference", _LIMIT, _BALANCE, "UTILISATION_ELSEWHERE", "amount",
        "All limits elsewhere less all that is owed there.", when_null=_NO_LIMIT,
    ),
)  # fmt: skip

#: Debts and dues elsewhere against income.
BORROWING_BURDEN: tuple[DerivedFeature, ...] = (
    DerivedFeature(
        "borrow_due_income_ratio_latest", "ratio", _DUES, "income_amount_mean_last6", "INCOME_BURDEN",
        "ratio", "What is due elsewhere each month as a multiple of the mean of the latest 6 incomes.",
        direction=1, when_null="no income known, or no monthly dues elsewhere were reported",
    ),
    DerivedFeature(
        "borrow_balance_income_ratio_360d", "ratio", _BALANCE, "income_amount_sum_360d", "INCOME_BURDEN",
        "ratio", "All that is owed elsewhere as a multiple of the income of the latest 360 days.",
        direction=1, when_null="no income in the latest 360 days, or no debt elsewhere was reported",
    ),
)  # fmt: skip

#: With what is owed here; they need the features of instalments.
DEBT_BURDEN: tuple[DerivedFeature, ...] = (
    DerivedFeature(
        "borrow_all_due_amount_next31d", "total", "due_unpaid_amount_sum_next31d", _DUES, "INCOME_BURDEN",
        "amount", "What is to be paid here in the next 31 days and elsewhere in a month.",
        when_null="nothing falls due in the next 31 days, here or elsewhere",
    ),
    DerivedFeature(
        "borrow_all_due_income_ratio_next31d", "ratio", "borrow_all_due_amount_next31d",
        "income_amount_mean_last6", "INCOME_BURDEN", "ratio",
        "What is to be paid here in the next 31 days and elsewhere in a month as a multiple of the mean of "
        "the latest 6 incomes.",
        direction=1, when_null="no income known, or nothing falls due in the next 31 days",
    ),
    DerivedFeature(
        "borrow_all_debt_amount_latest", "total", "due_debt_amount_all", _BALANCE, "INCOME_BURDEN", "amount",
        "All that is still to be paid here and owed elsewhere.",
        when_null="neither an instalment nor a debt elsewhere is known",
    ),
    DerivedFeature(
        "borrow_all_debt_income_ratio_360d", "ratio", "borrow_all_debt_amount_latest",
        "income_amount_sum_360d", "INCOME_BURDEN", "ratio",
        "All that is still to be paid here and owed elsewhere as a multiple of the income of 360 days.",
        direction=1, when_null="no income in the latest 360 days, or no debt known",
    ),
)  # fmt: skip
