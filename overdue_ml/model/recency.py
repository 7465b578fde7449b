"""Sample weights that let older rows count less."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]


def recency_weights(dates: Any, half_life_days: float) -> FloatArray:
    """``0.5 ** (age / half_life_days)``, the age counted in days back from the latest date.

    Parameters
    ----------
    dates : array of shape (n_samples,)
        as_of date of each row.
    half_life_days : float
        Age at which a row counts half.

    Returns
    -------
    ndarray of float64, shape (n_samples,)
        1 on the latest date.

    Raises
    ------
    ValueError
        If the half life is not above 0 or a date is missing.

    Examples
    --------
    >>> recency_weights(["2024-01-01", "2024-01-31", "2024-03-01"], 30).tolist()
    [0.25, 0.5, 1.0]
    """
    if not half_life_days > 0:
        raise ValueError(f"half_life_days must be above 0, got {half_life_days!r}")
    days = pd.DatetimeIndex(pd.to_datetime(np.asarray(dates)))
    if days.isna().any():
        raise ValueError(f"dates must not be missing, got {int(np.sum(days.isna()))} missing")
    age = np.asarray((days.max() - days).days, dtype=np.float64) if len(days) else np.zeros(0)
    return np.asarray(0.5 ** (age / half_life_days), dtype=np.float64)
