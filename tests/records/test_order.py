"""The cheap look at the order of rows agrees with the order that DuckDB gives them."""

from __future__ import annotations

import datetime as dt

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.records._order import in_order

TEXTS = st.sampled_from([None, "", " ", "a", "B", "é", "東", "ab", "a\0"])
NUMBERS = st.sampled_from([None, -1.5, 0.0, -0.0, 2.0, float("inf"), float("-inf")])
DAYS = st.sampled_from([None, dt.date(1970, 1, 1), dt.date(2024, 2, 29)])
FLAGS = st.sampled_from([None, False, True])
NAMES = ["text", "number", "day", "flag"]
SCHEMA = pa.schema(
    [("text", pa.string()), ("number", pa.float64()), ("day", pa.date32()), ("flag", pa.bool_())]
)


def table_of(rows: list[tuple[object, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in rows], SCHEMA)


def sorted_by_duckdb(table: pa.Table) -> pa.Table:
    with duckdb.connect() as con:
        con.register("t", table)
        return con.sql(f"SELECT * FROM t ORDER BY {', '.join(NAMES)}").to_arrow_table()


@given(rows=st.lists(st.tuples(TEXTS, NUMBERS, DAYS, FLAGS), max_size=6), cut=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_it_agrees_with_duckdb_whatever_the_chunks(rows, cut):
    table = table_of(rows)
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    ordered = sorted_by_duckdb(table)
    assert in_order(ordered, NAMES)
    # -0.0 and 0.0 compare alike, so rows are told by their values, not by their bytes.
    assert in_order(chunked, NAMES) == (table.to_pylist() == ordered.to_pylist())


def test_few_open_pairs_are_looked_at_by_themselves():
    """Of 1,000 rows two share the first column: only these are compared by the second."""
    texts = [f"{i:04}" for i in range(1000)]
    texts[500] = texts[499]
    for pair, answer in (((1.0, 2.0), True), ((2.0, 1.0), False), ((1.0, None), True), ((None, 1.0), False)):
        numbers = [9.0] * 499 + list(pair) + [0.0] * 499
        assert in_order(pa.table({"text": texts, "number": numbers}), ["text", "number"]) is answer


@pytest.mark.parametrize(
    "values",
    [
        [1.0, float("nan")],
        pa.array(["b", "a"]).dictionary_encode(),
        [[1], [2]],
    ],
    ids=["NaN", "categories", "lists"],
)
def test_what_cannot_be_told_counts_as_out_of_order(values):
    assert not in_order(pa.table({"x": values}), ["x"])


def test_one_row_or_none_stand_in_order():
    assert in_order(pa.table({"x": [[1]]}), ["x"])
    assert in_order(pa.table({"x": pa.array([], pa.string())}), ["x"])
