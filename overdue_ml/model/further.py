"""Probabilities of further degrees of lateness from one probability and a chain of conditional ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from overdue_ml.model.classifier import OverdueClassifier

FloatArray = npt.NDArray[np.float64]


def predict_further(
    further: Mapping[int, OverdueClassifier], X: Any, p_overdue: FloatArray
) -> dict[int, FloatArray]:
    """Probabilities of further degrees of lateness, none above that of the degree before.

    Parameters
    ----------
    further : mapping of int to OverdueClassifier
        By days past due, rising: who of those who reached the degree before reaches this one.
    X : DataFrame of shape (n_samples, n_features)
    p_overdue : ndarray of float64, shape (n_samples,)
        Of the first degree.

    Returns
    -------
    dict of int to ndarray of float64, shape (n_samples,)
        By days past due.

    References
    ----------
    Continuation ratios: Tutz (1991), Sequential models in categorical regression, CSDA 11.
    """
    found = {}
    for dpd, classifier in further.items():
        p_overdue = p_overdue * classifier.predict_proba(X)[:, 1]
        found[dpd] = p_overdue
    return found
