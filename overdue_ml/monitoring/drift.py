"""How far today's book is from the one the model was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.metrics import Reference, count_features, csi_of_counts

SCORE = "p_overdue"


def compute_drift(
    features: pd.DataFrame, p_overdue: npt.NDArray[np.float64], references: Mapping[str, Reference]
) -> pd.DataFrame:
    """Stability index of the score and of every feature against training.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n, n_features)
    p_overdue : ndarray of float64, shape (n,)
    references : mapping of str to Reference
        From the model; the score's stands under ``p_overdue``.

    Returns
    -------
    pandas.DataFrame
        feature, psi, status ('stable' below 0.1, 'watch' below 0.25, else 'shifted'): the score
        first, then features from the most shifted down.
    """
    return drift_of_counts(count_book(features, p_overdue, references), references)


def count_book(
    features: pd.DataFrame, p_overdue: npt.NDArray[np.float64], references: Mapping[str, Reference]
) -> dict[str, npt.NDArray[np.float64]]:
    """What drift needs to know of a part of the book: counts by bin, which add up over parts.

    Parameters
    ----------
    features : pandas.DataFrame, shape (n, n_features)
    p_overdue : ndarray of float64, shape (n,)
    references : mapping of str to Reference
    """
    book = features.assign(**{SCORE: p_overdue})
    return count_features(book[list(references)], references)


def drift_of_counts(
    counts: Mapping[str, npt.NDArray[np.float64]], references: Mapping[str, Reference]
) -> pd.DataFrame:
    """Stability indices of a book that was counted in parts; see :func:`compute_drift`."""
    table = csi_of_counts(counts, references)
    is_score = table["feature"] == SCORE
    rest = table[~is_score].sort_values(["psi", "feature"], ascending=[False, True])
    return pd.concat([table[is_score], rest], ignore_index=True)
