"""Reason codes: the contributions of features that say the same thing, added up."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from overdue_ml.explain.speaking import CONTRADICTIONS, MAX_PROTECTIVE, VISIBLE, Pairs


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


def top_reasons(
    by_reason: pd.DataFrame,
    n: int = 4,
    silent: Collection[str] = (),
    contradictions: Pairs = CONTRADICTIONS,
) -> pd.DataFrame:
    """The ``n`` reasons that raise each score most, strongest first: those that a card tells.

    A reason that lowers the score or moves it by less than can be written is none, nor is one that
    contradicts a stronger reason to the contrary (:func:`overdue_ml.explain.speaking.choose_reasons`).

    Parameters
    ----------
    by_reason : pandas.DataFrame, shape (n_samples, n_reasons)
        In log-odds.
    n : int
    silent : collection of str
        Reasons that are never told, as those with a protected attribute in them.
    contradictions : frozenset of pairs

    Returns
    -------
    pandas.DataFrame
        reason_1_code, reason_1_contribution, ... reason_n_contribution; null where there are fewer.
    """
    from overdue_ml.explain._reasons_pass import choose_rows

    matrix = np.ascontiguousarray(by_reason.to_numpy(), dtype=np.float64)
    names = [str(code) for code in by_reason.columns]
    clash = np.array([[frozenset((a, b)) in contradictions for b in names] for a in names], dtype=bool)
    chosen = np.full((len(matrix), n), -1, dtype=np.int64)
    # Stable, so that equal contributions keep the order of the codes on every run.
    order = np.argsort(-np.abs(matrix), axis=1, kind="stable")
    mute = np.isin(np.array(names, dtype=object), list(silent))
    if names:
        choose_rows(matrix, order, mute, clash, (VISIBLE, MAX_PROTECTIVE), chosen)
    codes = pd.Series(names, dtype="str").array
    rows = np.arange(len(matrix))
    found: dict[str, object] = {}
    for i in range(n):
        column = chosen[:, i]
        found[f"reason_{i + 1}_code"] = codes.take(column, allow_fill=True)
        values = matrix[rows, column] if names else np.empty(len(matrix))
        found[f"reason_{i + 1}_contribution"] = np.where(column < 0, np.nan, values)
    return pd.DataFrame(found, index=by_reason.index)
