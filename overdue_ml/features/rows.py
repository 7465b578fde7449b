"""Rows of a table in the order of the pass: grouped, and sorted within each group."""

from __future__ import annotations

from collections.abc import Sequence

import numba as nb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.program import FloatArray, IntArray

_LAST = np.iinfo(np.int64).max


def number_cells(column: pa.ChunkedArray) -> FloatArray:
    """A column of numbers or truths as floats; NaN for null."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return np.asarray(column.to_numpy(), dtype=np.float64)


def text_codes(column: pa.ChunkedArray) -> IntArray:
    """Numbers in the order of the texts' bytes, the same for equal texts; a null is the empty text."""
    encoded = [chunk.dictionary_encode() for chunk in column.chunks]
    texts = pa.concat_arrays([*(chunk.dictionary.cast(pa.string()) for chunk in encoded), pa.array([""])])
    codes = pc.rank(texts, tiebreaker="dense").to_numpy().astype(np.int64)
    found, first = [np.empty(0, dtype=np.int64)], 0
    for chunk in encoded:
        own = np.append(codes[first : first + len(chunk.dictionary)], codes[-1])
        found.append(own[pc.fill_null(chunk.indices, len(chunk.dictionary)).to_numpy()])
        first += len(chunk.dictionary)
    return np.concatenate(found)


def sortable(values: FloatArray) -> IntArray:
    """Whole numbers in the order of the values; NaN is last.

    The bits of floats that are not negative ascend as the values do; those of the others are turned round.
    """
    bits = (values + 0.0).view(np.int64)
    return np.where(np.isnan(values), _LAST, bits ^ ((bits >> 63) & _LAST))


def sort_rows(group: IntArray, keys: Sequence[IntArray]) -> IntArray | slice:
    """The rows that belong to a group, by group and then by the keys; all as they are where they stand so.

    Parameters
    ----------
    group : ndarray of int64, shape (n_rows,)
        Below zero: the row belongs to none.
    keys : sequence of ndarray of int64, shape (n_rows,)
        Rows with equal keys stay in their order.

    Returns
    -------
    ndarray of int64, shape (n_kept,), or slice
        To take from arrays of all rows.
    """
    order = np.arange(len(group)) if len(group) == 0 or group.min() >= 0 else np.flatnonzero(group >= 0)
    mine = group if len(order) == len(group) else group[order]
    if np.any(mine[1:] < mine[:-1]):
        by_group = np.argsort(mine, kind="stable")
        order, mine = order[by_group], mine[by_group]
    moved = _sort_within(starts_of(mine), np.stack(keys).astype(np.int64, copy=False), order)
    stands = not moved and len(order) == len(group) and np.array_equal(order, np.arange(len(order)))
    return slice(None) if stands else order


def starts_of(group: IntArray) -> IntArray:
    """Where each group begins in a sorted list of the groups of rows; the last entry is their number."""
    changes = np.flatnonzero(group[1:] != group[:-1]) + 1
    return np.concatenate([[0] if len(group) else [], changes, [len(group)]]).astype(np.int64)


@nb.njit(cache=True, nogil=True)
def _is_after(keys, one, other):  # type: ignore[no-untyped-def]
    """Whether a row stands after another; of equal ones the later in the table."""
    for k in range(len(keys)):
        if keys[k, one] != keys[k, other]:
            return keys[k, one] > keys[k, other]
    return one > other


@nb.njit(cache=True, nogil=True)
def _sort_within(starts, keys, order):  # type: ignore[no-untyped-def]
    """Shell sort of each group; whether anything moved, which it mostly does not."""
    moved = False
    for g in range(len(starts) - 1):
        first, last = starts[g], starts[g + 1]
        sorted_to = first + 1
        while sorted_to < last and not _is_after(keys, order[sorted_to - 1], order[sorted_to]):
            sorted_to += 1
        if sorted_to >= last:
            continue
        moved = True
        gap = 1
        while gap < (last - first) // 3:
            gap = 3 * gap + 1
        while gap > 0:
            for i in range(first + gap, last):
                j, row = i, order[i]
                while j >= first + gap and _is_after(keys, order[j - gap], row):
                    order[j] = order[j - gap]
                    j -= gap
                order[j] = row
            gap //= 3
    return moved
