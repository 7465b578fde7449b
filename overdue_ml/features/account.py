"""Features of the accounts themselves: how many, how old, how large the limit."""

from __future__ import annotations

from overdue_ml.features.declare import SqlFeature


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
