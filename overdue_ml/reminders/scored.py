"""The columns of scores that the reminder policy reads, as arrays in the order of the scores."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import ConfigError, OverdueMLError

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.datetime64]

#: Tiers by their code; -1 is none of them.
TIERS: Final = ("high", "medium", "low")
NEEDED = ("customer_id", "as_of_date", "next_due_date", "due_amount", "p_overdue", "log_odds", "tier")


@dataclass(frozen=True)
class Scored:
    """Scored customers, each once.

    Attributes
    ----------
    ids : pyarrow.Array of large_string
    by_id : ndarray of int64, shape (n,)
        Rows in the order of customer_id.
    as_of : datetime.date or None
        None of an empty table.
    due_on : ndarray of datetime64[D], shape (n,)
        NaT where nothing is due.
    due_amount, p_overdue, log_odds : ndarray of float64, shape (n,)
    tier : ndarray of int64, shape (n,)
        Places in :data:`TIERS`.
    """

    ids: Any
    by_id: Ints
    as_of: dt.date | None
    due_on: Days
    due_amount: Floats
    p_overdue: Floats
    log_odds: Floats
    tier: Ints

    @classmethod
    def of(cls, scores: pd.DataFrame) -> Scored:
        """Read them.

        Raises
        ------
        ConfigError
            If a column is missing, or the scores are of several as_of dates.
        OverdueMLError
            If a customer stands there twice, or a row has no customer_id.
        """
        missing = [name for name in NEEDED if name not in scores.columns]
        if missing:
            raise ConfigError(
                f"the scores have no column '{missing[0]}'",
                where="scores",
                expected=", ".join(NEEDED),
                next_step="give scores as a scoring run writes them",
            )
        ids = strings_of(scores["customer_id"])
        by_id = _order_of(ids)
        as_of = np.unique(days_of(scores["as_of_date"]))
        if len(as_of) > 1 or np.isnat(as_of).any():
            raise ConfigError("the scores are of several as_of dates, or of none", expected="one as_of date")
        return cls(
            ids, by_id, as_of[0].item() if len(as_of) else None,
            days_of(scores["next_due_date"]), floats_of(scores["due_amount"]), floats_of(scores["p_overdue"]),
            floats_of(scores["log_odds"]), codes_of(scores["tier"], TIERS),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.by_id)


def _order_of(ids: Any) -> Ints:
    """Rows in the order of ids, each of which stands there once."""
    if not ids.null_count and pc.all(pc.less(ids[:-1], ids[1:])).as_py() in (True, None):
        # As a scoring run has them.
        return np.arange(len(ids))
    by_id = np.asarray(pc.sort_indices(ids), dtype=np.int64)
    _refuse_twice(ids.take(pa.array(by_id)))
    return by_id


def _refuse_twice(sorted_ids: Any) -> None:
    twice = pc.sum(pc.equal(sorted_ids[1:], sorted_ids[:-1])).as_py() or 0
    if twice or sorted_ids.null_count:
        raise OverdueMLError(
            f"{twice} rows repeat a customer and {sorted_ids.null_count} have none",
            where="scores, customer_id",
            expected="one row a customer",
            next_step="score every customer once",
        )


def strings_of(column: pd.Series) -> Any:
    """A text column as one Arrow array of large_string; missing is null."""
    found = pa.array(column.astype("str"), type=pa.large_string(), from_pandas=True)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def floats_of(column: pd.Series) -> Floats:
    """A column of numbers; missing is NaN."""
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def days_of(column: pd.Series) -> Days:
    """A column of days, however it holds them; missing is NaT."""
    if not pd.api.types.is_datetime64_dtype(column.dtype):
        try:
            # A million dates that are objects, in a tenth of the time that pandas takes.
            days = pa.array(column, type=pa.date32(), from_pandas=True)
            return np.asarray(days.to_numpy(zero_copy_only=False), dtype="datetime64[D]")
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            pass
    return np.asarray(pd.to_datetime(column).to_numpy(), dtype="datetime64[D]")


def codes_of(column: pd.Series, words: tuple[str, ...]) -> Ints:
    """Place of each cell among the words, -1 for any other."""
    places = pc.index_in(strings_of(column), value_set=pa.array(words, pa.large_string()))
    return np.asarray(places.fill_null(-1), dtype=np.int64)
