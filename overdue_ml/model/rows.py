"""Rows with everything that training and comparing need to know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Features, outcomes and what else is known of each row.

    Attributes
    ----------
    features : pandas.DataFrame of shape (n_rows, n_features)
    target : ndarray of {0, 1}, shape (n_rows,)
    groups : pandas.Index
        Customer of each row.
    dates : pandas.Index
        as_of date of each row.
    weight : ndarray of float64, shape (n_rows,), or None
        For training.
    """

    features: pd.DataFrame
    target: npt.NDArray[np.int64]
    groups: pd.Index
    dates: pd.Index
    weight: FloatArray | None = None
