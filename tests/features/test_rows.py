"""Rows in the order of the pass, against Python's own sorting."""

import math

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.features.rows import number_cells, sort_rows, sortable, starts_of, text_codes

SMALL = st.integers(-2, 3)


@given(st.lists(st.tuples(st.integers(-1, 3), SMALL, SMALL), max_size=60))
def test_rows_are_sorted_within_their_groups_and_ties_stay(rows):
    group, one, other = (np.array([row[i] for row in rows], dtype=np.int64) for i in range(3))
    expected = sorted((r for r in range(len(rows)) if rows[r][0] >= 0), key=lambda r: rows[r])
    found = np.arange(len(rows))[sort_rows(group, [one, other])]
    assert found.tolist() == expected


def test_rows_in_order_are_not_copied():
    group, key = np.repeat(np.arange(50), 20), np.tile(np.arange(20), 50)
    assert sort_rows(group, [key]) == slice(None)
    # One that belongs to nobody, one too early: each needs an order of its own.
    assert sort_rows(np.append(group, -1), [np.append(key, 0)]).tolist() == list(range(1000))
    key[999] = -1
    assert sort_rows(group, [key]).tolist() == [*range(980), 999, *range(980, 999)]


def test_a_long_group_is_sorted_too():
    key = np.random.default_rng(3).permutation(5000)
    assert np.array_equal(key[sort_rows(np.zeros(5000, dtype=np.int64), [key])], np.arange(5000))


@given(st.lists(st.floats(allow_nan=True), max_size=30))
def test_floats_as_whole_numbers_in_their_order(values):
    codes = sortable(np.array(values, dtype=np.float64))
    for one, other, a, b in zip(values, values[1:], codes, codes[1:], strict=False):
        if math.isnan(one) or math.isnan(other):
            assert (a < b, a == b) == (not math.isnan(one), math.isnan(one) and math.isnan(other))
        else:
            # 0.0 and -0.0 are one number.
            assert (a < b, a == b) == (one < other, one == other)


@given(
    st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=2) | st.none(), max_size=9))
)
def test_texts_as_whole_numbers_in_the_order_of_their_bytes(chunks):
    codes = text_codes(pa.chunked_array(chunks, pa.string())).tolist()
    texts = [(text or "").encode() for chunk in chunks for text in chunk]
    for one, a in zip(texts, codes, strict=True):
        for other, b in zip(texts, codes, strict=True):
            assert (a < b, a == b) == (one < other, one == other)


def test_cells():
    assert number_cells(pa.chunked_array([[True, None], [False]])).tolist()[::2] == [1.0, 0.0]
    found = number_cells(pa.chunked_array([[1, None], [3]], pa.int32()))
    assert found.dtype == np.float64
    assert np.isnan(found[1])
    assert number_cells(pa.chunked_array([], pa.bool_())).tolist() == []


def test_starts():
    assert starts_of(np.array([4, 4, 7, 9, 9])).tolist() == [0, 2, 3, 5]
    assert starts_of(np.empty(0, dtype=np.int64)).tolist() == [0]
