"""Setting rows aside for evaluation: by customer, or by time with a gap."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.config import SplitConfig
from overdue_ml.errors import RecordsError

BoolArray = npt.NDArray[np.bool_]


def hash_share(customer_id: str, salt: str) -> float:
    """A number in [0, 1) that depends on the id and the salt only.

    The first 8 bytes of SHA-256, so that a customer stays on the same side in every run, on every
    machine, and when customers are added.
    """
    digest = hashlib.sha256(f"{salt}\x1f{customer_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def split_by_customer(labels: pd.DataFrame, test_share: float = 0.2, salt: str = "overdue_ml") -> BoolArray:
    """Mark the test rows: all rows of a customer fall on the same side.

    Parameters
    ----------
    labels : pandas.DataFrame
        Indexed (customer_id, as_of_date).
    test_share : float
    salt : str

    Returns
    -------
    ndarray of bool, shape (n_rows,)
    """
    ids = labels.index.get_level_values("customer_id")
    codes, unique = pd.factorize(ids)
    drawn = np.array([hash_share(str(customer), salt) < test_share for customer in unique], dtype=bool)
    return np.asarray(drawn[codes], dtype=np.bool_)


def split_by_time(labels: pd.DataFrame, test_dates: int = 1) -> tuple[BoolArray, BoolArray]:
    """Mark train and test rows by time: the test dates are the last ones.

    A date trains only if all its labels were final on or before the first test date. That leaves a gap
    as long as the performance window: no outcome of the test period is in a training label.

    Parameters
    ----------
    labels : pandas.DataFrame
        Indexed (customer_id, as_of_date), with ``matured_on``.
    test_dates : int
        Number of last as_of dates to test on.

    Returns
    -------
    train, test : ndarray of bool, shape (n_rows,)
        Rows in neither fell into the gap.

    Raises
    ------
    RecordsError
        If there are too few dates for a training part.
    """
    dates = labels.index.get_level_values("as_of_date")
    unique = dates.unique().sort_values()
    first_test = unique[-test_dates] if len(unique) >= test_dates else unique[0]
    test = np.asarray(dates >= first_test, dtype=np.bool_)
    # Whole dates: an overdue label is often final before an on-time one, so the final rows of a date that is
    # not yet final as a whole would be overdue too often.
    final = (labels["matured_on"] <= first_test).groupby(level="as_of_date").transform("all")
    train = ~test & np.asarray(final, dtype=np.bool_)
    if not train.any():
        raise RecordsError(
            f"no label is final on or before the first test date {first_test.date()}",
            where=f"{len(unique)} as_of date(s), {test_dates} of them to test on",
            next_step="give more as_of dates, or split by customer",
        )
    return train, test


def split_rows(labels: pd.DataFrame, config: SplitConfig) -> tuple[BoolArray, BoolArray]:
    """Train and test rows by the split config."""
    if config.by == "time":
        return split_by_time(labels, config.test_dates)
    test = split_by_customer(labels, config.test_share, config.salt)
    return ~test, test
