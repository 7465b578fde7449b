"""Categories as numbers, so that LightGBM only ever sees a float64 matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd


def _is_categorical(series: pd.Series) -> bool:
    return isinstance(series.dtype, pd.CategoricalDtype) or pd.api.types.is_string_dtype(series.dtype)


def category_levels(X: pd.DataFrame) -> dict[int, list[str]]:
    """Levels of each categorical column, sorted, by column position.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_features)
    """
    levels = {}
    for position in range(X.shape[1]):
        series = X.iloc[:, position]
        # An object column of numbers is left to the numeric checks.
        if _is_categorical(series) and not _all_numbers(series):
            levels[position] = sorted({str(value) for value in series.dropna().unique()})
    return levels


def _all_numbers(series: pd.Series) -> bool:
    if isinstance(series.dtype, pd.CategoricalDtype) or series.dtype != object:
        return False
    return bool(pd.to_numeric(series, errors="coerce").notna().eq(series.notna()).all())


def encode(X: pd.DataFrame, levels: dict[int, list[str]]) -> pd.DataFrame:
    """Replace categorical columns by the position of their level; NaN where it is missing or unknown.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_features)
    levels : dict of int to list of str

    Raises
    ------
    ValueError
        If a column holds dates or anything else that is no number, or text where training saw numbers.
    """
    columns = {}
    for position, name in enumerate(X.columns):
        series = X.iloc[:, position]
        if position in levels:
            text = series.astype("str").where(series.notna())
            codes = pd.Index(levels[position], dtype="str").get_indexer(pd.Index(text, dtype="str"))
            columns[name] = np.where(codes >= 0, codes.astype(np.float64), np.nan)
        elif isinstance(series.dtype, pd.CategoricalDtype):
            raise ValueError(f"column '{name}' holds categories; it held numbers in training")
        else:
            columns[name] = _numbers(series)
    return pd.DataFrame(columns, index=X.index) if X.columns.is_unique else X


def _numbers(series: pd.Series) -> npt.NDArray[np.float64]:
    fault = ValueError(f"column '{series.name}' holds {series.dtype}, not numbers, text or categories")
    # Dates would become nanoseconds without a word.
    if getattr(series.dtype, "kind", "O") in "mMc":
        raise fault
    try:
        if pd.api.types.is_extension_array_dtype(series.dtype):
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
        return series.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        # Not chained: the message of the conversion shows a customer's value.
        raise fault from None


def count_unknown(X: pd.DataFrame, levels: dict[int, list[str]]) -> dict[str, int]:
    """Rows of each categorical column whose level is missing or was not seen in training.

    Parameters
    ----------
    X : DataFrame of shape (n_samples, n_features)
    levels : dict of int to list of str
    """
    counts = {}
    for position, known in levels.items():
        series = X.iloc[:, position]
        counts[str(X.columns[position])] = int((~series.astype("str").isin(known) | series.isna()).sum())
    return counts
