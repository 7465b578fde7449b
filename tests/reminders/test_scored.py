"""Columns as arrays, however a table holds them."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from overdue_ml.reminders.scored import codes_of, days_of, strings_of

DAY = dt.date(2024, 1, 31)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([DAY, None], dtype=object),
        pd.Series([dt.datetime(2024, 1, 31, 23, 59), None], dtype=object),
        pd.Series(["2024-01-31", None], dtype="str"),
        pd.Series(["2024-01-31 23:59", None], dtype="str"),
        pd.Series([pd.Timestamp("2024-01-31 23:59"), pd.NaT]),
        pd.Series([DAY, None], dtype=pd.ArrowDtype(pa.date32())),
        pd.Series([pd.Timestamp("2024-01-31"), pd.NaT]).astype("datetime64[s]"),
    ],
    ids=lambda c: str(c.dtype),
)
def test_days(column):
    assert days_of(column).tolist() == [DAY, None]
    assert days_of(column).dtype == "datetime64[D]"
    assert days_of(column.iloc[:0]).tolist() == []


def test_days_that_are_all_missing():
    assert days_of(pd.Series([None, None])).tolist() == [None, None]


def test_text_and_places():
    column = pd.Series(["b", None, "nan", "a"])
    assert strings_of(column).to_pylist() == ["b", None, "nan", "a"]
    assert strings_of(column.astype("category")).to_pylist() == ["b", None, "nan", "a"]
    assert codes_of(column, ("a", "b")).tolist() == [1, -1, -1, 0]
    assert codes_of(column.iloc[:0], ("a", "b")).dtype == np.int64
