"""Features of the accounts themselves: answers worked out by hand, and what a lender of cards keeps."""

import datetime as dt
import math

import pandas as pd
import pytest

from overdue_ml.features import available_features, build_features
from overdue_ml.features.account import ACCOUNT_DERIVED, account_features, loan_account_features
from overdue_ml.records import load_records

D = dt.date.fromisoformat
NAMES = [f.name for f in (*account_features(), *loan_account_features(), *ACCOUNT_DERIVED)]
ACCOUNTS = [
    # Ann's first is closed on 1 June 2024; the opening of the last lies ahead until 1 July.
    ("A1", "ANN", "2023-07-01", "2024-06-01", "car", 1000.0, 0.10, 24),
    ("A2", "ANN", "2024-04-01", None, "phone", 300.0, 0.25, 6),
    ("A3", "ANN", "2024-07-01", None, "phone", 700.0, None, 12),
    # Of Ben's terms nothing is known.
    ("B1", "BEN", "2024-01-10", None, None, None, None, None),
]
COLUMNS = [
    "account_id", "customer_id", "opened_on", "closed_on", "product", "principal_amount", "annual_rate",
    "term_months",
]  # fmt: skip
# 29 June 2024: A1 is 364 days old (2024 is a leap year), A2 is 89, Ben's 171.
CELLS = [
    ("ANN", "account_oldest_age_days", "2024-06-29", 364),
    ("ANN", "account_newest_age_days", "2024-06-29", 89),
    ("ANN", "account_mean_age_days", "2024-06-29", 453 / 2),
    ("ANN", "account_spread_age_days", "2024-06-29", 275),
    # The latest 90 days begin 89 days before.
    ("ANN", "account_opened_count_90d", "2024-06-29", 1),
    ("ANN", "account_opened_count_90d", "2024-06-30", 0),
    ("ANN", "account_opened_count_360d", "2024-06-24", 2),
    ("ANN", "account_opened_count_360d", "2024-06-25", 1),
    ("ANN", "account_open_count", "2024-05-31", 2),
    ("ANN", "account_open_count", "2024-06-01", 1),
    ("ANN", "account_closed_count", "2024-05-31", 0),
    ("ANN", "account_closed_count", "2024-06-01", 1),
    ("ANN", "account_closed_count_360d", "2025-05-26", 1),
    ("ANN", "account_closed_count_360d", "2025-05-27", 0),
    ("ANN", "account_product_count", "2024-03-31", 1),
    ("ANN", "account_product_count", "2024-06-29", 2),
    ("ANN", "account_principal_amount_sum", "2024-06-29", 1300),
    ("ANN", "account_principal_amount_sum", "2024-07-01", 2000),
    ("ANN", "account_principal_amount_max", "2024-06-29", 1000),
    ("ANN", "account_principal_amount_open_sum", "2024-05-31", 1300),
    ("ANN", "account_principal_amount_open_sum", "2024-06-29", 300),
    ("ANN", "account_principal_ratio_max", "2024-06-29", 10 / 13),
    ("ANN", "account_principal_open_ratio_sum", "2024-06-29", 3 / 13),
    ("ANN", "account_rate_ratio_max", "2024-06-29", 0.25),
    ("ANN", "account_rate_ratio_min", "2024-06-29", 0.10),
    ("ANN", "account_term_months_max", "2024-06-29", 24),
    ("ANN", "account_term_months_min", "2024-06-29", 6),
    ("BEN", "account_product_count", "2024-06-29", 0),
    ("BEN", "account_principal_amount_sum", "2024-06-29", None),
    ("BEN", "account_rate_ratio_max", "2024-06-29", None),
    ("BEN", "account_term_months_min", "2024-06-29", None),
]


@pytest.fixture(scope="module")
def lender():
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in ACCOUNTS]
    for row in rows:
        row["opened_on"], row["closed_on"] = D(row["opened_on"]), row["closed_on"] and D(row["closed_on"])
    accounts = pd.DataFrame(rows).astype({"term_months": "Int32"})
    statements = pd.DataFrame({"account_id": ["A1"], "statement_date": [D("2024-02-01")], "dpd": [0]})
    return load_records({"accounts": accounts, "statements": statements})


@pytest.fixture(scope="module")
def frame(lender):
    names = sorted({name for _, name, _, _ in CELLS})
    return build_features(lender, sorted({D(as_of) for _, _, as_of, _ in CELLS}), names)


@pytest.mark.parametrize(("customer", "name", "as_of", "expected"), CELLS)
def test_a_feature_by_hand(frame, customer, name, as_of, expected):
    found = frame.loc[(customer, as_of), name]
    if expected is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(expected, rel=1e-14)


def test_every_feature_was_worked_out():
    assert {name for _, name, _, _ in CELLS} | {"account_credit_limit_amount_sum"} == set(NAMES)


def test_what_the_accounts_do_not_say_is_left_out(lender, taiwan):
    assert set(NAMES) - set(available_features(lender)) == {"account_credit_limit_amount_sum"}
    # Cards whose opening nobody knows: the limit is all there is, as before.
    assert set(NAMES) & set(available_features(taiwan)) == {"account_credit_limit_amount_sum"}
    assert len(available_features(taiwan)) == 95 + len(taiwan.config.attributes)
