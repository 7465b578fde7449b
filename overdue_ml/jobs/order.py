"""The order of customers over all parts, and their ranks, found in ranges, each of which is sorted alone.

What has a place for every customer lies in a file: a process can then let go of it at any moment, and holds
no more memory of its own for many customers than for a few.
"""

from __future__ import annotations

import bisect
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import OverdueMLError

#: About as many rows are sorted together.
RANGE_ROWS = 1 << 20

#: Bytes that are written at once to reserve the room of a file.
_PIECE = 1 << 22

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


class InFiles:
    """Arrays that lie in files without a name, which are gone with the last array on them.

    Parameters
    ----------
    folder : Path
        Where there is room.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def zeros(self, n: int, dtype: Any) -> npt.NDArray[Any]:
        """An array of n zeros.

        Raises
        ------
        OSError
            If there is no room for it.
        """
        kind = np.dtype(dtype)
        if n == 0:
            return np.empty(0, kind)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            # Written, lest a full disk kill the process at the moment a page is touched.
            left = n * kind.itemsize
            while left:
                left -= file.write(bytes(min(left, _PIECE)))
            file.flush()
            return np.memmap(file, kind, "r+", shape=n)


class InMemory:
    """The same in memory, for arrays that are small."""

    def zeros(self, n: int, dtype: Any) -> npt.NDArray[Any]:
        """An array of n zeros."""
        return np.zeros(n, dtype)


class _Ids(Sequence[str]):
    """Ids of a part, looked at one by one."""

    def __init__(self, ids: pa.ChunkedArray) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        found: str = self._ids[place].as_py()
        return found


def find_order(parts: Sequence[pa.Table], room: InFiles | InMemory) -> Int64Array:
    """Row of the concatenated parts that stands at each place in the order of customer_id.

    Parameters
    ----------
    parts : sequence of pyarrow.Table
        Each sorted by customer_id.
    room : InFiles or InMemory

    Returns
    -------
    ndarray of int64, shape (n_rows,)

    Raises
    ------
    OverdueMLError
        If a customer stands in two parts.
    """
    first = np.cumsum([0, *(part.num_rows for part in parts)])
    order = room.zeros(int(first[-1]), np.int64)
    if len(parts) < 2:
        order[:] = np.arange(len(order))
        return order
    start = 0
    for low, high in _ranges(parts, first):
        here = np.flatnonzero(high > low).tolist()
        found = [parts[p].column("customer_id").slice(low[p], high[p] - low[p]) for p in here]
        ids = pa.chunked_array([chunk for column in found for chunk in column.chunks]).combine_chunks()
        rows = np.concatenate([np.arange(first[p] + low[p], first[p] + high[p]) for p in here])
        places = pc.sort_indices(ids)
        in_order = ids.take(places)
        # Equal ids fall into the same range.
        if pc.any(pc.equal(in_order[1:], in_order[:-1])).as_py():
            raise OverdueMLError(
                "a customer was scored in two buckets", where="parts", next_step="report this"
            )
        order[start : start + len(rows)] = rows[places.to_numpy()]
        start += len(rows)
    return order


def _ranges(parts: Sequence[pa.Table], first: Int64Array) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Where ranges of ids begin and end in each part, each of about so many rows."""
    total = int(first[-1])
    # Of each part an id every so many rows: what falls between two of all these is off by one step a part.
    step = max(1, RANGE_ROWS // (2 * len(parts)))
    seen: list[str] = []
    if total > RANGE_ROWS:
        for part in parts:
            places = pa.array(np.arange(0, part.num_rows, step))
            seen.extend(part.column("customer_id").take(places).to_pylist())
    every = max(1, RANGE_ROWS // step)
    cuts = sorted(seen)[every::every]
    bounds = np.zeros((len(cuts) + 2, len(parts)), dtype=np.int64)
    for number, part in enumerate(parts):
        ids, place = _Ids(part.column("customer_id")), 0
        for row, cut in enumerate(cuts, 1):
            place = bisect.bisect_left(ids, cut, place)
            bounds[row, number] = place
        bounds[-1, number] = len(ids)
    for low, high in pairwise(bounds):
        if (high > low).any():
            yield low, high


def find_ranks(values: Float64Array, room: InFiles | InMemory) -> Int64Array:
    """Rank of each value, 1 for the largest; of equal ones the first is ahead, and NaN comes last.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
    room : InFiles or InMemory

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    n = len(values)
    ranks = room.zeros(n, np.int64)
    if n <= RANGE_ROWS:
        ranks[np.argsort(-values, kind="stable")] = np.arange(1, n + 1)
        return ranks
    cuts = np.unique(np.sort(-values[:: max(1, n // (64 * (n // RANGE_ROWS + 1)))])[64::64])
    range_of = room.zeros(n, np.int32)
    starts = range(0, n, RANGE_ROWS)
    for start in starts:
        piece = slice(start, start + RANGE_ROWS)
        range_of[piece] = np.searchsorted(cuts, -values[piece], side="right")
    done = 0
    for number in range(len(cuts) + 1):
        # Those of a range in their order, so that equal ones keep it.
        rows = np.concatenate([s + np.flatnonzero(range_of[s : s + RANGE_ROWS] == number) for s in starts])
        ranks[rows[np.argsort(-values[rows], kind="stable")]] = np.arange(done + 1, done + 1 + len(rows))
        done += len(rows)
    return ranks
