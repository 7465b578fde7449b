"""The characteristic stability index: how far every feature of a book has moved since training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.metrics.stability import Reference, psi_status

FloatArray = npt.NDArray[np.float64]


def compute_csi(features: pd.DataFrame, references: Mapping[str, Reference]) -> pd.DataFrame:
    """Compute the characteristic stability index: the PSI of every feature, the most shifted first.

    Parameters
    ----------
    features : DataFrame of shape (n, n_features)
        Today's features; columns without a reference are ignored.
    references : mapping of str to Reference
        What each feature looked like at training time.

    Returns
    -------
    DataFrame of shape (n_references, 3)
        feature, psi, status ('stable', 'watch', 'shifted').

    Raises
    ------
    ValueError
        If a referenced feature is not among the columns, or a column does not suit its reference.

    References
    ----------
    Siddiqi (2017), Intelligent Credit Scoring, 2nd ed., Wiley.

    Examples
    --------
    >>> from overdue_ml.metrics import fit_reference
    >>> import pandas as pd
    >>> reference = {"dues": fit_reference([1, 2, 3, 4], n_bins=2)}
    >>> compute_csi(pd.DataFrame({"dues": [1, 3, 4, 5]}), reference).round(4)
      feature     psi   status
    0    dues  0.2747  shifted
    """
    return csi_of_counts(count_features(features, references), references)


def count_features(features: pd.DataFrame, references: Mapping[str, Reference]) -> dict[str, FloatArray]:
    """Count the rows of every feature by the bins of its reference; see :meth:`Reference.count`.

    Raises
    ------
    ValueError
        As :func:`compute_csi`.
    """
    absent = sorted(set(references) - set(features.columns))
    if absent:
        raise ValueError(f"features lacks {len(absent)} column(s) that have a reference: {absent[:5]}.")
    found: dict[str, FloatArray] = {}
    for name, reference in references.items():
        try:
            found[name] = reference.count(features[name])
        except ValueError as error:
            raise ValueError(f"Feature {name!r}: {error}") from error
    return found


def csi_of_counts(counts: Mapping[str, FloatArray], references: Mapping[str, Reference]) -> pd.DataFrame:
    """Compute the characteristic stability index from counts; see :func:`compute_csi`.

    Parameters
    ----------
    counts : mapping of str to ndarray of float64
        As :func:`count_features` gives them, or their sums over parts of a book.
    references : mapping of str to Reference

    Returns
    -------
    DataFrame of shape (n_references, 3)
    """
    found = {name: reference.psi_of_counts(counts[name]) for name, reference in references.items()}
    ranked = sorted(found, key=lambda name: (-found[name], name))
    return pd.DataFrame(
        {
            "feature": pd.Series(ranked, dtype="str"),
            "psi": pd.Series([found[name] for name in ranked], dtype="float64"),
            "status": pd.Series([psi_status(found[name]) for name in ranked], dtype="str"),
        }
    )
