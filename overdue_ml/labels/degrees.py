"""Further degrees of lateness: the same question with more days past due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.config import LabelsConfig
from overdue_ml.labels.compile import TRAINABLE, label_customers
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Degree:
    """What became of rows at a degree of lateness.

    Attributes
    ----------
    asked : ndarray of bool, shape (n_rows,)
        Rows that reached all degrees before and are decided at this one.
    overdue : ndarray of bool, shape (n_rows,)
        Rows that reached this one, by way of all before.
    judged : ndarray of bool, shape (n_rows,)
        Rows of which is known whether they reached it: those asked, and those that fell short before.
    """

    asked: BoolArray
    overdue: BoolArray
    judged: BoolArray


def label_degrees(
    records: Records, as_of: AsOf | Sequence[AsOf] | None, config: LabelsConfig
) -> dict[int, pd.DataFrame]:
    """Labels for each degree of ``config.further_dpd``.

    Parameters
    ----------
    records : Records
    as_of : date, str or sequence of these, optional
    config : LabelsConfig

    Returns
    -------
    dict of int to pandas.DataFrame
        Days past due to what :func:`overdue_ml.label_customers` gives, the least days first.
    """
    return {
        dpd: label_customers(
            records, as_of, config.model_copy(update={"overdue_dpd": dpd, "further_dpd": []})
        )
        for dpd in config.further_dpd
    }


def judge_degrees(
    labels: pd.DataFrame, degrees: Mapping[int, pd.DataFrame], by: pd.Timestamp | None = None
) -> dict[int, Degree]:
    """Follow rows from degree to degree.

    A label with more days past due is final later, so that later degrees may have fewer dates. Dates count as
    a whole: on one that is not final yet, only those who fell short would be known.

    Parameters
    ----------
    labels : pandas.DataFrame
        Of the first degree: decided rows, indexed (customer_id, as_of_date), with ``is_overdue``.
    degrees : mapping of int to pandas.DataFrame
        From :func:`label_degrees`, the least days first.
    by : pandas.Timestamp, optional
        Count only dates on which all is final on or before this day.

    Returns
    -------
    dict of int to Degree
    """
    before = labels["is_overdue"].to_numpy(dtype=np.bool_)
    judged = np.ones(len(labels), dtype=np.bool_)
    found = {}
    for dpd, further in degrees.items():
        further = further.reindex(labels.index)
        open_still = further["verdict"].eq("immature")
        if by is not None:
            open_still |= further["matured_on"] > by
        waits = pd.Series(before, labels.index) & open_still
        final = ~waits.groupby(level="as_of_date").transform("any").to_numpy(dtype=np.bool_)
        decided = further["verdict"].isin(TRAINABLE).to_numpy()
        judged = judged & final & (decided | ~before)
        asked = before & judged
        before = asked & further["verdict"].eq("overdue").to_numpy()
        found[dpd] = Degree(asked, before, judged)
    return found
