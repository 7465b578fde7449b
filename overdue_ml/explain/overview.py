"""Global views: what moves the scores of a book, from contributions that are there already.

Every function takes contributions of some customers and gives a table; the order of the customers changes
nothing. ``plot_*`` in :mod:`overdue_ml.reports` draw them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.errors import ModelError
from overdue_ml.explain.contributions import choose_background
from overdue_ml.explain.reasons import sum_by_reason

FloatArray = npt.NDArray[np.float64]

_BINS = 20
# Across the width of a swarm: dots nearer than that are put beside each other.
_LANES = 80


def compute_importance(
    contributions: pd.DataFrame, features: pd.DataFrame, reasons: Mapping[str, str]
) -> pd.DataFrame:
    """How much each feature moves scores, and in which direction.

    Parameters
    ----------
    contributions : pandas.DataFrame, shape (n_samples, n_features)
        In log-odds, as :attr:`overdue_ml.explain.Contributions.values`.
    features : pandas.DataFrame, shape (n_samples, n_features)
        The values, with the same index and at least the same columns.
    reasons : mapping of str to str
        Feature name to reason code.

    Returns
    -------
    pandas.DataFrame
        feature, reason_code, mean_abs (mean size of the contribution in log-odds), share (of all features'
        mean sizes), mean, raises (share of customers whose score it raises) and direction: the rank
        correlation of value and contribution from -1, more lowers the risk, to 1, more raises it; NaN for
        categories and where nothing varies. The largest mean_abs first.

    Raises
    ------
    ModelError
        If there are no rows, or features and contributions do not fit.
    """
    values, given = _checked(contributions, features)
    size = np.abs(values).mean(axis=0)
    found = pd.DataFrame(
        {
            "feature": contributions.columns.astype("str"),
            "reason_code": [reasons[str(name)] for name in contributions.columns],
            "mean_abs": size,
            "share": size / max(float(size.sum()), np.finfo(float).tiny),
            "mean": values.mean(axis=0),
            "raises": (values > 0).mean(axis=0),
            "direction": [_direction(given[n], values[:, i]) for i, n in enumerate(contributions.columns)],
        }
    )
    return found.sort_values(["mean_abs", "feature"], ascending=[False, True], ignore_index=True)


def compute_reason_importance(contributions: pd.DataFrame, reasons: Mapping[str, str]) -> pd.DataFrame:
    """How much each reason moves scores.

    Parameters
    ----------
    contributions : pandas.DataFrame, shape (n_samples, n_features)
    reasons : mapping of str to str
        Feature name to reason code.

    Returns
    -------
    pandas.DataFrame
        reason_code, n_features, mean_abs (of the sum over the reason's features), share, mean and raises;
        the largest mean_abs first.

    Raises
    ------
    ModelError
        If there are no rows.
    """
    values, _ = _checked(contributions, contributions)
    wide = sum_by_reason(pd.DataFrame(values, columns=contributions.columns), reasons)
    size = wide.abs().mean()
    counts = pd.Series([reasons[str(name)] for name in contributions.columns]).value_counts()
    found = pd.DataFrame(
        {
            "reason_code": wide.columns.astype("str"),
            "n_features": [int(counts[code]) for code in wide.columns],
            "mean_abs": size.to_numpy(),
            "share": size.to_numpy() / max(float(size.sum()), np.finfo(float).tiny),
            "mean": wide.mean().to_numpy(),
            "raises": (wide > 0).mean().to_numpy(),
        }
    )
    return found.sort_values(["mean_abs", "reason_code"], ascending=[False, True], ignore_index=True)


def compute_dependence(
    contributions: pd.DataFrame, features: pd.DataFrame, feature: str, bins: int = _BINS
) -> pd.DataFrame:
    """Contribution of one feature against its value, and how many customers have it.

    Parameters
    ----------
    contributions, features : pandas.DataFrame, shape (n_samples, n_features)
    feature : str
    bins : int
        Of numbers, about as many customers in each; numbers of so few values, or fewer, stand each alone.
        Of more categories the rarest are put together.

    Returns
    -------
    pandas.DataFrame
        kind ('number', 'category', 'other' or 'missing'), label (of a category), low and high (the least
        and the largest number in the bin), n, share, mean, and the 10th, 50th and 90th percentile of the
        contribution as low_10, median and high_90. Numbers rise, categories begin with the highest mean,
        what is missing comes last.

    Raises
    ------
    ModelError
        If there are no rows, or there is no such feature.
    """
    if feature not in contributions or feature not in features:
        raise ModelError(f"there is no contribution or no value of a feature '{feature}'")
    values, given = _checked(contributions[[feature]], features)
    own, cells = values[:, 0], given[feature]
    missing = cells.isna().to_numpy()
    rows: list[dict[str, Any]] = []
    if _is_number(cells):
        known = cells[~missing].to_numpy(dtype=np.float64)
        of_known = own[~missing]
        for low, high in _intervals(known, bins):
            inside = (known >= low) & (known <= high)
            rows.append({"kind": "number", "low": low, "high": high} | _spread(of_known[inside]))
    else:
        names = cells.astype("str").to_numpy(dtype=object)
        counts = pd.Series(names[~missing]).value_counts()
        kept = sorted(counts.index, key=lambda name: (-counts[name], str(name)))
        kept = kept if len(kept) <= bins else kept[: bins - 1]
        for name in kept:
            rows.append({"kind": "category", "label": str(name)} | _spread(own[~missing & (names == name)]))
        rows.sort(key=lambda row: (-row["mean"], row["label"]))
        rest = ~missing & ~np.isin(names, kept)
        if rest.any():
            rows.append({"kind": "other"} | _spread(own[rest]))
    if missing.any():
        rows.append({"kind": "missing"} | _spread(own[missing]))
    columns = ["kind", "label", "low", "high", "n", "share", "mean", "low_10", "median", "high_90"]
    found = pd.DataFrame(rows)
    return found.assign(share=found["n"] / len(own)).reindex(columns=columns)


def compute_swarm(
    contributions: pd.DataFrame, features: pd.DataFrame, top: int = 12, points: int = 300
) -> pd.DataFrame:
    """Single customers as dots for the features that move scores most: a bee swarm.

    Parameters
    ----------
    contributions, features : pandas.DataFrame, shape (n_samples, n_features)
    top : int
        Features.
    points : int
        Customers, drawn by their index.

    Returns
    -------
    pandas.DataFrame
        feature, contribution in log-odds, place (of the value among those of the customers drawn, from 0
        the least to 1 the largest; NaN for categories and what is missing) and lane from -1 to 1, which
        keeps dots apart. The feature with the largest mean size of contributions first; no customer is named.

    Raises
    ------
    ModelError
        If there are no rows, or features and contributions do not fit.
    """
    values, given = _checked(contributions, features)
    size = np.abs(values).mean(axis=0)
    order = sorted(range(len(size)), key=lambda i: (-size[i], str(contributions.columns[i])))[:top]
    ids = [str(i) for i in given.index]
    chosen = np.isin(np.array(ids, dtype=object), choose_background(sorted(set(ids)), points))
    drawn, cells = values[chosen], given[chosen]
    width = float(np.ptp(drawn[:, order])) or 1.0
    parts = []
    for i in order:
        column = cells[contributions.columns[i]]
        parts.append(
            pd.DataFrame(
                {
                    "feature": str(contributions.columns[i]),
                    "contribution": drawn[:, i],
                    "place": _places(column) if _is_number(column) else np.nan,
                    "lane": _lanes(drawn[:, i], width),
                }
            )
        )
    found = pd.concat(parts, ignore_index=True)
    return found.assign(lane=found["lane"] / max(float(found["lane"].abs().max()), 1.0))


def compute_segment_reasons(by_reason: pd.DataFrame, segments: pd.Series[Any]) -> pd.DataFrame:
    """What sets groups of customers apart: mean contribution of each reason, against the whole book.

    Parameters
    ----------
    by_reason : pandas.DataFrame, shape (n_samples, n_reasons)
        As :func:`overdue_ml.explain.sum_by_reason` gives it.
    segments : pandas.Series, shape (n_samples,)
        The group of each customer, by the same index; customers without one count for the book only.

    Returns
    -------
    pandas.DataFrame
        segment, n, reason_code, mean and difference (to the mean of the book), in log-odds; groups in the
        order of their names, or of a category's levels, and reasons by their code.

    Raises
    ------
    ModelError
        If there are no rows.
    """
    values, given = _checked(by_reason, by_reason.assign(segment=segments.reindex(by_reason.index)))
    codes, levels = _levels(given["segment"])
    whole = values.mean(axis=0)
    parts = []
    for number, level in enumerate(levels):
        inside = codes == number
        if inside.any():
            mean = values[inside].mean(axis=0)
            parts.append(
                pd.DataFrame(
                    {
                        "segment": level,
                        "n": int(inside.sum()),
                        "reason_code": by_reason.columns.astype("str"),
                        "mean": mean,
                        "difference": mean - whole,
                    }
                )
            )
    columns = ["segment", "n", "reason_code", "mean", "difference"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def _checked(contributions: pd.DataFrame, features: pd.DataFrame) -> tuple[FloatArray, pd.DataFrame]:
    """Contributions and features sorted by customer, so that sums have the same last bits in any order."""
    if not len(contributions):
        raise ModelError("nobody was explained", expected="contributions of at least one customer")
    if not contributions.index.equals(features.index) or not set(contributions) <= set(features):
        raise ModelError(
            "features and contributions are not of the same customers and columns",
            next_step="take the features that were explained",
        )
    order = contributions.index.argsort()
    return contributions.to_numpy(dtype=np.float64)[order], features.iloc[order]


def _levels(segments: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], list[str]]:
    if isinstance(segments.dtype, pd.CategoricalDtype):
        levels = [str(level) for level in segments.cat.categories]
        return np.asarray(segments.cat.codes, dtype=np.int64), levels
    codes, names = pd.factorize(segments.astype("str").where(segments.notna()), sort=True)
    return np.asarray(codes, dtype=np.int64), [str(name) for name in names]


def _is_number(cells: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(cells.dtype)


def _direction(cells: pd.Series[Any], own: FloatArray) -> float:
    if not _is_number(cells):
        return float("nan")
    known = cells.notna().to_numpy()
    if not known.any():
        return float("nan")
    places, of_own = (pd.Series(v[known]).rank().to_numpy() for v in (cells.to_numpy(dtype=float), own))
    places, of_own = places - places.mean(), of_own - of_own.mean()
    scale = float(np.sqrt((places**2).sum() * (of_own**2).sum()))
    return float((places * of_own).sum()) / scale if scale > 0 else float("nan")


def _intervals(known: FloatArray, bins: int) -> list[tuple[float, float]]:
    """Least and largest number of each bin."""
    distinct = np.unique(known)
    if len(distinct) <= bins:
        return [(v, v) for v in distinct.tolist()]
    cuts = np.unique(np.quantile(known, np.arange(1, bins + 1) / bins, method="inverted_cdf"))
    firsts = np.r_[0, np.searchsorted(distinct, cuts[:-1], side="right")]
    lasts = np.searchsorted(distinct, cuts, side="right") - 1
    return [(float(distinct[a]), float(distinct[b])) for a, b in zip(firsts, lasts, strict=True)]


def _spread(own: FloatArray) -> dict[str, float]:
    low, middle, high = np.quantile(own, [0.1, 0.5, 0.9])
    return {
        "n": len(own), "mean": float(own.mean()),
        "low_10": float(low), "median": float(middle), "high_90": float(high),
    }  # fmt: skip


def _places(cells: pd.Series[Any]) -> FloatArray:
    """From 0, the least, to 1, the largest; equal values share a place."""
    ranks = cells.astype("float64").rank().to_numpy(dtype=np.float64)
    top = int(np.isfinite(ranks).sum())
    return np.where(np.isnan(ranks), np.nan, (ranks - 1.0) / (top - 1.0) if top > 1 else 0.5)


def _lanes(own: FloatArray, width: float) -> FloatArray:
    """Whole numbers that keep dots of about the same contribution apart, as far as there are many."""
    bins = np.floor((own - own.min()) / width * _LANES).astype(np.int64)
    lanes = np.zeros(len(own))
    for number in np.unique(bins):
        inside = np.flatnonzero(bins == number)
        step = np.arange(len(inside)) + 1
        # 0, 1, -1, 2, -2 and so on, from the least contribution on.
        lanes[inside[np.argsort(own[inside], kind="stable")]] = step // 2 * np.where(step % 2, -1.0, 1.0)
    return lanes
