"""The best single rule: one column that ranks the rows, chosen on some rows and held against others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import FloatArray, as_target, as_vector_with_gaps, check_lengths
from overdue_ml.metrics.ranking import compute_auc


@dataclass(frozen=True, slots=True)
class SingleRule:
    """Rank by one column.

    Attributes
    ----------
    feature : str
    rising : bool
        Higher values are riskier.
    missing_first : bool
        Rows without a value are riskier than all others; else safer.
    auc : float
        On the rows on which it was chosen.
    """

    feature: str
    rising: bool
    missing_first: bool
    auc: float

    def score(self, values: ArrayLike) -> FloatArray:
        """Turn the column, shape (n,), into a score without gaps; higher is riskier.

        Raises
        ------
        ValueError
            If `values` is empty or infinite.
        """
        return _score(as_vector_with_gaps(values, self.feature), self.rising, self.missing_first)


def find_best_rule(y_true: ArrayLike, features: pd.DataFrame) -> SingleRule | None:
    """Find the column that ranks best alone, whichever way it points.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        1 for overdue, 0 otherwise; both must occur.
    features : DataFrame of shape (n, n_features)
        Candidates; those that are not numbers are passed over.

    Returns
    -------
    SingleRule or None
        None without a candidate. Of equal ones the first by name.

    Raises
    ------
    ValueError
        If one class is missing or the lengths differ.

    References
    ----------
    Holte (1993), Very simple classification rules perform well on most commonly used datasets, Machine
    Learning 11.

    Examples
    --------
    >>> import pandas as pd
    >>> find_best_rule([0, 0, 1, 1], pd.DataFrame({"dpd": [0, 3, 5, 9], "age": [3, 1, 2, 4]}))
    SingleRule(feature='dpd', rising=True, missing_first=False, auc=1.0)
    """
    target = as_target(y_true)
    check_lengths(("y_true", "features"), (target.size, len(features)))
    best: SingleRule | None = None
    for name in sorted(str(column) for column in features.columns):
        column = features[name]
        if not pd.api.types.is_numeric_dtype(column.dtype):
            continue
        values = as_vector_with_gaps(column.to_numpy(dtype=np.float64, na_value=np.nan), name)
        gaps = bool(np.isnan(values).any())
        for rising in (True, False):
            for missing_first in (False, True) if gaps else (False,):
                auc = compute_auc(target, _score(values, rising, missing_first))
                if best is None or auc > best.auc:
                    best = SingleRule(name, rising, missing_first, auc)
    return best


def _score(values: FloatArray, rising: bool, missing_first: bool) -> FloatArray:
    score = values if rising else -values
    gaps = np.isnan(score)
    if gaps.all():
        return np.zeros(score.size)
    known = score[~gaps]
    edge = np.nextafter(known.max(), np.inf) if missing_first else np.nextafter(known.min(), -np.inf)
    return np.where(gaps, edge, score)
