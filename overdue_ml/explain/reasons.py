"""Reason codes: the contributions of features that say the same thing, added up."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd


def sum_by_reason(contributions: pd.DataFrame, reasons: Mapping[str, str]) -> pd.DataFrame:
    """Contributions added up by reason code.

    Parameters
    ----------
    contributions : pandas.DataFrame, shape (n_samples, n_features)
        In log-odds.
    reasons : mapping of str to str
        Feature name to reason code; every column must have one.

    Returns
    -------
    pandas.DataFrame, shape (n_samples, n_reasons)
        Columns sorted by code.

    Raises
    ------
    KeyError
        If a feature has no reason code.
    """
    codes = [reasons[name] for name in contributions.columns]
    found = {code: np.zeros(len(contributions)) for code in sorted(set(codes))}
    # One column after another: numpy sums a row in an order that hangs on how the matrix lies in memory.
    for j, code in enumerate(codes):
        found[code] += contributions.iloc[:, j].to_numpy()
    return pd.DataFrame(found, index=contributions.index)


def top_reasons(by_reason: pd.DataFrame, n: int = 4) -> pd.DataFrame:
    """The ``n`` reasons that raise each score most, strongest first.

    A reason with a negative contribution lowers the risk; it appears only where fewer than ``n``
    reasons raise it.

    Parameters
    ----------
    by_reason : pandas.DataFrame, shape (n_samples, n_reasons)
    n : int

    Returns
    -------
    pandas.DataFrame
        reason_1_code, reason_1_contribution, ... reason_n_contribution; null beyond the number of
        reasons there are.
    """
    matrix = by_reason.to_numpy()
    # Stable, so that equal contributions keep the order of the codes on every run.
    order = np.argsort(-matrix, axis=1, kind="stable")
    codes = by_reason.columns.astype("str").array
    found: dict[str, object] = {}
    for i in range(n):
        if i < matrix.shape[1]:
            found[f"reason_{i + 1}_code"] = codes.take(order[:, i])
            found[f"reason_{i + 1}_contribution"] = np.take_along_axis(matrix, order[:, i : i + 1], axis=1)[
                :, 0
            ]
        else:
            found[f"reason_{i + 1}_code"] = [None] * len(matrix)
            found[f"reason_{i + 1}_contribution"] = np.full(len(matrix), np.nan)
    return pd.DataFrame(found, index=by_reason.index)
