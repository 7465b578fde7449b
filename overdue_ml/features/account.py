"""Features of the accounts themselves: how many, how old, how large the limit."""

from __future__ import annotations

from overdue_ml.features.declare import DerivedFeature, SqlFeature


def account_features() -> list[SqlFeature]:
    """Account features, as SQL aggregates over the accounts known on the as_of date."""
    opened, closed = frozenset({"opened_on"}), frozenset({"opened_on", "closed_on"})
    limit = frozenset({"credit_limit_amount"})
    return [
        SqlFeature(
            "account_oldest_age_days", "accounts", "max(as_of - opened_on)", "ACCOUNT_AGE", "days",
            "Days since the customer's first account was opened.", opened, direction=-1,
            when_null="opening date unknown",
        ),
        SqlFeature(
            "account_newest_age_days", "accounts", "min(as_of - opened_on)", "ACCOUNT_AGE", "days",
            "Days since the customer's latest account was opened.", opened,
            when_null="opening date unknown",
        ),
        SqlFeature(
            "account_open_count", "accounts", "count(*) FILTER (WHERE closed_on IS NULL)", "ACCOUNT_AGE",
            "count", "Number of accounts open on the as_of date.", closed,
        ),
        SqlFeature(
            "account_credit_limit_amount_sum", "accounts", "sum(credit_limit_amount)", "CREDIT_LIMIT",
            "amount", "Sum of the credit limits of the customer's accounts.", limit,
            when_null="no credit limit known",
        ),
    ]  # fmt: skip


def loan_account_features() -> list[SqlFeature]:
    """How accounts came and went, and their terms, where accounts say so."""
    return [*_coming_and_going(), *_terms()]


def _coming_and_going() -> list[SqlFeature]:
    opened, closed = frozenset({"opened_on"}), frozenset({"opened_on", "closed_on"})
    return [
        SqlFeature(
            "account_mean_age_days", "accounts", "avg(as_of - opened_on)", "ACCOUNT_AGE", "days",
            "Mean number of days since the customer's accounts were opened.", opened, direction=-1,
            when_null="opening date unknown",
        ),
        SqlFeature(
            "account_opened_count_90d", "accounts", "count(*) FILTER (WHERE opened_on > as_of - 90)",
            "ACCOUNT_OPENED", "count", "Number of accounts opened in the latest 90 days.", opened,
        ),
        SqlFeature(
            "account_opened_count_360d", "accounts", "count(*) FILTER (WHERE opened_on > as_of - 360)",
            "ACCOUNT_OPENED", "count", "Number of accounts opened in the latest 360 days.", opened,
        ),
        SqlFeature(
            "account_closed_count", "accounts", "count(closed_on)", "ACCOUNT_OPENED", "count",
            "Number of accounts closed by the as_of date.", closed,
        ),
        SqlFeature(
            "account_closed_count_360d", "accounts", "count(*) FILTER (WHERE closed_on > as_of - 360)",
            "ACCOUNT_OPENED", "count", "Number of accounts closed in the latest 360 days.", closed,
        ),
        SqlFeature(
            "account_product_count", "accounts", "count(DISTINCT product)", "ACCOUNT_OPENED", "count",
            # A lender that does not say when accounts were opened has one of each customer, or cannot tell.
            "Number of products that the customer's accounts are of.", opened | {"product"},
        ),
    ]  # fmt: skip


def _terms() -> list[SqlFeature]:
    principal, rate = frozenset({"principal_amount"}), frozenset({"annual_rate"})
    term = frozenset({"term_months"})
    return [
        SqlFeature(
            "account_principal_amount_sum", "accounts", "sum(principal_amount ORDER BY principal_amount)",
            "LOAN_TERMS", "amount", "Sum of the principals of the customer's loans.", principal,
            when_null="no principal known",
        ),
        SqlFeature(
            "account_principal_amount_max", "accounts", "max(principal_amount)", "LOAN_TERMS", "amount",
            "The largest principal of the customer's loans.", principal, when_null="no principal known",
        ),
        SqlFeature(
            "account_principal_amount_open_sum", "accounts",
            "sum(principal_amount ORDER BY principal_amount) FILTER (WHERE closed_on IS NULL)",
            "LOAN_TERMS", "amount", "Sum of the principals of the loans that are not closed.",
            principal | {"closed_on"}, when_null="no principal of an open account known",
        ),
        SqlFeature(
            "account_rate_ratio_max", "accounts", "max(annual_rate)", "LOAN_TERMS", "ratio",
            "The highest yearly rate of the customer's loans.", rate, when_null="no rate known",
        ),
        SqlFeature(
            "account_rate_ratio_min", "accounts", "min(annual_rate)", "LOAN_TERMS", "ratio",
            "The lowest yearly rate of the customer's loans.", rate, when_null="no rate known",
        ),
        SqlFeature(
            "account_term_months_max", "accounts", "max(term_months)", "LOAN_TERMS", "count",
            "The longest term of the customer's loans, in months.", term, when_null="no term known",
        ),
        SqlFeature(
            "account_term_months_min", "accounts", "min(term_months)", "LOAN_TERMS", "count",
            "The shortest term of the customer's loans, in months.", term, when_null="no term known",
        ),
    ]  # fmt: skip


#: What follows from several accounts.
ACCOUNT_DERIVED = [
    DerivedFeature(
        "account_spread_age_days", "difference", "account_oldest_age_days", "account_newest_age_days",
        "ACCOUNT_AGE", "days", "Days between the openings of the first and of the latest account.",
        when_null="opening date unknown",
    ),
    DerivedFeature(
        "account_principal_ratio_max", "ratio", "account_principal_amount_max",
        "account_principal_amount_sum", "LOAN_TERMS", "ratio",
        "Share of the largest loan in the principals of all.", when_null="no principal known",
    ),
    DerivedFeature(
        "account_principal_open_ratio_sum", "ratio", "account_principal_amount_open_sum",
        "account_principal_amount_sum", "LOAN_TERMS", "ratio",
        "Share of the loans that are not closed in the principals of all.",
        when_null="no principal of an open account known",
    ),
]  # fmt: skip
