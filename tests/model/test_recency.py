"""Weights by age: exactly half at the half life."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from overdue_ml.model import recency_weights

DAYS = ["2024-03-01", "2024-01-31", "2024-01-01"]


@pytest.mark.parametrize(
    "dates",
    [
        DAYS,
        pd.DatetimeIndex(DAYS),
        pd.Series(pd.to_datetime(DAYS)),
        [dt.date.fromisoformat(day) for day in DAYS],
        np.array(DAYS, dtype="datetime64[D]"),
    ],
    ids=["text", "index", "series", "date", "numpy"],
)
def test_half_at_the_half_life(dates):
    # 30 days before the latest date, and 60.
    assert recency_weights(dates, 30).tolist() == [1.0, 0.5, 0.25]
    assert recency_weights(dates, 60)[1] == pytest.approx(2**-0.5)


def test_one_date_counts_all_the_same():
    assert recency_weights(["2024-01-31"] * 3, 1).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("dates", "half_life", "message"),
    [(DAYS, 0, "above 0"), (DAYS, float("nan"), "above 0"), ([*DAYS, None], 30, "1 missing")],
)
def test_what_cannot_be_used(dates, half_life, message):
    with pytest.raises(ValueError, match=message):
        recency_weights(dates, half_life)
