"""Groups of rows: by a column of the records as known on the date of the row, or by bands of an amount."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.records import Records

SEVERAL = "(several)"
_BANDS, _MAX_LEVELS = 4, 8
_AGES = (25, 35, 45, 55, 65)
_DAYS_OF_A_YEAR = 365.25


def table_of(records: Records, column: str) -> str | None:
    """The table that tells this of a customer: accounts before customers; None if neither has it."""
    return next((name for name in ("accounts", "customers") if column in records.columns(name)), None)


def groups_of(records: Records, column: str, keys: pd.Index[Any]) -> pd.Categorical[str]:
    """The group of each row by a column of accounts or customers.

    Of accounts only those opened by the as_of date count, and those whose opening is not known; a customer
    whose accounts differ is ``(several)``. Numbers of many values become bands, ages and dates of birth
    bands of years.

    Parameters
    ----------
    records : Records
    column : str
        Of the table that `table_of` names.
    keys : pandas.MultiIndex
        (customer_id, as_of_date) of each row.

    Returns
    -------
    pandas.Categorical of shape (n_rows,)
        Missing where the records do not say.
    """
    table = table_of(records, column)
    wanted = pd.DataFrame(
        {
            "customer_id": keys.get_level_values("customer_id").astype("str"),
            "as_of": pd.DatetimeIndex(keys.get_level_values("as_of_date")),
            "place": np.arange(len(keys)),
        }
    )
    opened = "AND (a.opened_on IS NULL OR a.opened_on <= w.as_of::DATE)" if table == "accounts" else ""
    with records.session() as con:
        con.register("wanted", wanted)
        cells = con.sql(
            f"""
            SELECT w.place, min(a."{column}")::VARCHAR AS low, max(a."{column}")::VARCHAR AS high,
                count(a."{column}") AS known, count(a.customer_id) AS accounts
            FROM wanted w LEFT JOIN {table} a ON a.customer_id = w.customer_id {opened}
            GROUP BY w.place ORDER BY w.place
            """
        ).df()
    several = (cells["low"] != cells["high"]) | (cells["known"] < cells["accounts"])
    several &= cells["known"] > 0
    words = cells["high"].astype("str").where((cells["known"] > 0) & (cells["high"] != "nan"))
    as_of = wanted["as_of"]
    if "birth" in column.split("_"):
        born = pd.to_datetime(words, errors="coerce", format="%Y-%m-%d")
        return _age_bands(np.floor((as_of - born).dt.days.to_numpy(dtype=np.float64) / _DAYS_OF_A_YEAR))
    numbers = pd.to_numeric(words, errors="coerce")
    if numbers.notna().equals(words.notna()) and numbers.nunique() > _MAX_LEVELS:
        values = numbers.to_numpy(dtype=np.float64)
        return _age_bands(values) if "age" in column.split("_") else amount_bands(values)
    named = words.mask(several, SEVERAL)
    levels: pd.Index[str] = pd.Index(sorted(named.dropna().unique()), dtype="str")
    codes: list[int] = levels.get_indexer(pd.Index(named)).tolist()
    return pd.Categorical.from_codes(codes, levels)


def amount_bands(amounts: npt.NDArray[np.float64]) -> pd.Categorical[str]:
    """Four bands of about as many rows each, with round bounds, as ``1,200 < 9,800``.

    Parameters
    ----------
    amounts : ndarray of float64, shape (n_rows,)
        NaN where unknown.
    """
    known = amounts[~np.isnan(amounts)]
    if not known.size:
        return pd.Categorical.from_codes([-1] * len(amounts), pd.Index([], dtype="str"))
    cuts = np.quantile(known, np.arange(1, _BANDS) / _BANDS, method="inverted_cdf")
    # Two digits: a bound is nobody's amount.
    edges = sorted({float(f"{cut:.1e}") for cut in cuts.tolist()})
    names = [_band(low, high) for low, high in zip([None, *edges], [*edges, None], strict=True)]
    code = np.searchsorted(np.array(edges), amounts, side="right")
    return pd.Categorical.from_codes(np.where(np.isnan(amounts), -1, code), pd.Index(names, dtype="str"))


def _band(low: float | None, high: float | None) -> str:
    if low is None:
        return f"< {high:,.10g}"
    return f"{low:,.10g} +" if high is None else f"{low:,.10g} – {high:,.10g}"


def _age_bands(years: npt.NDArray[np.float64]) -> pd.Categorical[str]:
    names = [f"< {_AGES[0]}"]
    names += [f"{low} – {high - 1}" for low, high in pairwise(_AGES)]
    names.append(f"{_AGES[-1]} +")
    code = np.searchsorted(np.array(_AGES), years, side="right")
    return pd.Categorical.from_codes(np.where(np.isnan(years), -1, code), pd.Index(names, dtype="str"))
