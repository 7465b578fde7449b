"""The rows that features are computed for: customers, each with its as_of days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from overdue_ml.features.program import IntArray
from overdue_ml.records.known import places_in


@dataclass(frozen=True)
class Keys:
    """The rows to compute: customers sorted by id, each with its as_of days.

    Attributes
    ----------
    customer_ids : ndarray of str, shape (n_customers,)
    start : ndarray of int64, shape (n_customers + 1,)
    day : ndarray of int64, shape (n_keys,)
        Days since 1970-01-01.
    """

    customer_ids: np.ndarray
    start: IntArray
    day: IntArray

    def frame(self) -> pd.DataFrame:
        """Columns ``customer_id`` and ``as_of`` (datetime64[s]), one row a key."""
        return pd.DataFrame(
            {
                "customer_id": self._texts.repeat(np.diff(self.start)),
                "as_of": self.day.astype("datetime64[D]").astype("datetime64[s]"),
            }
        )

    @cached_property
    def _texts(self) -> Any:
        """The customers as pandas keeps text: made of Python's once, not whenever a frame is asked for."""
        return pd.Series(self.customer_ids, dtype="str").array

    def places_of(self, customers: pa.Array | pa.ChunkedArray) -> IntArray:
        """Positions of some customers among those of the keys, -1 where they have none.

        Parameters
        ----------
        customers : pyarrow.Array or ChunkedArray of str, shape (n,)
        """
        return places_in(pa.array(self.customer_ids, type=customers.type), customers)

    def rows_of(self, places: IntArray) -> tuple[IntArray, IntArray]:
        """Positions of the keys of some customers, and where those of each begin.

        Parameters
        ----------
        places : ndarray of int64, shape (n,)
            Of :meth:`places_of`, none below zero.

        Returns
        -------
        rows : ndarray of int64
        start : ndarray of int64, shape (n + 1,)
        """
        first = self.start[places]
        sizes = self.start[places + 1] - first
        start = np.zeros(len(places) + 1, dtype=np.int64)
        np.cumsum(sizes, out=start[1:])
        return np.arange(start[-1]) + np.repeat(first - start[:-1], sizes), start
