"""Groups of rows: known on the date, in bands that are nobody's amount."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from overdue_ml.jobs.groups import SEVERAL, amount_bands, groups_of, table_of
from overdue_ml.records import load_records

CUSTOMERS = pd.DataFrame(
    {
        "customer_id": ["a", "b", "c"],
        "sex": ["f", "m", None],
        "birth_date": ["1980-07-01", "2000-01-01", None],
    }
)
ACCOUNTS = pd.DataFrame(
    {
        "account_id": ["1", "2", "3", "4"],
        "customer_id": ["a", "a", "b", "c"],
        "opened_on": ["2020-01-01", "2021-06-01", "2020-01-01", None],
        "product": ["card", "loan", "card", "lease"],
    }
)
STATEMENTS = pd.DataFrame({"account_id": ["1"], "statement_date": ["2021-01-31"], "dpd": [0]})
RECORDS = load_records({"customers": CUSTOMERS, "accounts": ACCOUNTS, "statements": STATEMENTS})


def keys(*rows: tuple[str, str]) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples(
        [(customer, pd.Timestamp(day)) for customer, day in rows], names=["customer_id", "as_of_date"]
    )


def shown(column: str, *rows: tuple[str, str]) -> list[str | None]:
    return [None if pd.isna(g) else str(g) for g in groups_of(RECORDS, column, keys(*rows))]


def test_accounts_count_from_their_opening_on():
    rows = (("a", "2021-05-31"), ("a", "2021-06-01"), ("b", "2019-12-31"), ("c", "1999-01-01"))
    # The loan of a is not known before June; b has nothing yet; when c opened nobody knows.
    assert shown("product", *rows) == ["card", SEVERAL, None, "lease"]


def test_a_birth_date_is_an_age_on_the_day():
    # Forty-five on the first of July 2025, within a day.
    rows = (("a", "2025-06-29"), ("a", "2025-07-02"), ("b", "2024-12-30"), ("c", "2025-01-01"))
    assert shown("birth_date", *rows) == ["35 – 44", "45 – 54", "< 25", None]


def test_words_stay_words_and_rows_keep_their_order():
    assert shown("sex", ("c", "2021-01-01"), ("b", "2021-01-01"), ("a", "2021-01-01")) == [None, "m", "f"]
    assert (table_of(RECORDS, "product"), table_of(RECORDS, "sex")) == ("accounts", "customers")
    assert table_of(RECORDS, "nowhere") is None


def test_bands_hold_a_quarter_each_and_have_round_bounds():
    amounts = np.arange(1.0, 1001.0) * 1.2345
    bands = amount_bands(np.append(amounts, np.nan))
    assert list(bands.categories) == ["< 310", "310 – 620", "620 – 930", "930 +"]
    counts = pd.Series(bands).value_counts()
    assert counts.sum() == 1000
    assert counts.min() > 240
    # An amount on a bound belongs to the upper band.
    assert list(amount_bands(np.array([310.0, 309.9] + [310.0] * 9)))[:2] == ["310 +", "< 310"]


@pytest.mark.parametrize("amounts", [[np.nan, np.nan], []])
def test_unknown_amounts_have_no_band(amounts):
    assert pd.isna(pd.Series(amount_bands(np.array(amounts)))).all()
