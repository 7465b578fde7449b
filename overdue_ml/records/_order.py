"""Whether the rows of an Arrow table already stand in order: far cheaper than sorting them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# While more pairs than this share are undecided, whole columns are compared: picking costs more.
_FEW = 0.05


def _is_comparable(kind: pa.DataType) -> bool:
    """Whether Arrow and DuckDB order such values alike (they do not with categories, for one)."""
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_date32(kind)
    )


def in_order(table: pa.Table, names: Sequence[str]) -> bool:
    """Whether the rows stand in the order that DuckDB's ``ORDER BY`` of these columns would give.

    Parameters
    ----------
    table : pyarrow.Table
    names : sequence of str
        Columns, the first counts most. Text is compared byte by byte; nulls stand last.

    Returns
    -------
    bool
        False also where it cannot be told: NaN, categories, lists.
    """
    if table.num_rows < 2:
        return True
    pairs = table.num_rows - 1
    tied = np.ones(pairs, dtype=bool)
    for name in names:
        column = table.column(name)
        if not _is_comparable(column.type):
            return False
        before, after = column.slice(0, pairs), column.slice(1)
        places = np.flatnonzero(tied)
        few = len(places) < _FEW * pairs
        if few:
            before, after = before.filter(pa.array(tied)), after.filter(pa.array(tied))
        less, equal = _compare(before, after)
        if not few:
            less, equal = less[places], equal[places]
        if not (less | equal).all():
            return False
        tied[places] = equal
        if not equal.any():
            break
    return True


def _compare(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """For each pair whether the first is less, and whether they are equal; null is the greatest."""
    less = pc.fill_null(pc.less(before, after), False).to_numpy()
    equal = pc.fill_null(pc.equal(before, after), False).to_numpy()
    if before.null_count or after.null_count:
        gone, gone_after = before.is_null().to_numpy(), after.is_null().to_numpy()
        return less | (~gone & gone_after), equal | (gone & gone_after)
    return less, equal
