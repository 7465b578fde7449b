"""How far today's data and performance are from yesterday's: PSI, CSI and the stability score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overdue_ml.metrics._checks import (
    FloatArray,
    as_vector,
    as_vector_with_gaps,
    check_at_least,
    check_lengths,
)

WATCH_PSI = 0.1
SHIFTED_PSI = 0.25

# An empty bin would make the logarithm infinite. One row in ten thousand is below what a sample can show.
SHARE_FLOOR = 1e-4

# A level rarer than this is merged with the unseen: a stored reference must not carry a value that points at
# a few customers, nor one entry per customer when someone hands in an identifier.
MIN_LEVEL_ROWS = 5
MIN_LEVEL_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class Reference:
    """The distribution of one variable at training time, small enough to store beside the model.

    It keeps quantile edges or level names and shares, never a row.

    Attributes
    ----------
    kind : {'numeric', 'categorical'}
        Which of `edges` and `levels` is used.
    edges : tuple of float
        Inner bin edges, rising; bin i holds ``edges[i - 1] < value <= edges[i]``.
    levels : tuple of str
        Known levels, sorted.
    shares : tuple of float
        Share of all rows in each bin (``len(edges) + 1``) or level (``len(levels) + 1``, the last for every
        other).
    missing_share : float
        Share of all rows without a value. `shares` and it sum to 1.
    n_rows : int
        Rows the reference was made from.

    Raises
    ------
    ValueError
        If the parts do not fit together.
    """

    kind: Literal["numeric", "categorical"]
    edges: tuple[float, ...]
    levels: tuple[str, ...]
    shares: tuple[float, ...]
    missing_share: float
    n_rows: int

    def __post_init__(self) -> None:
        if self.kind not in ("numeric", "categorical"):
            raise ValueError(f"kind must be 'numeric' or 'categorical', got {self.kind!r}.")
        bounds = self.edges if self.kind == "numeric" else self.levels
        if len(self.shares) != len(bounds) + 1:
            raise ValueError(f"shares must have {len(bounds) + 1} entries, got {len(self.shares)}.")
        if any(not low < high for low, high in zip(self.edges, self.edges[1:], strict=False)):
            raise ValueError("edges must be rising.")
        total = sum(self.shares) + self.missing_share
        if min(*self.shares, self.missing_share, 0.0) < 0 or not abs(total - 1) < 1e-6:
            raise ValueError(f"shares and missing_share must not be negative and sum to 1, got {total!r}.")

    def psi(self, values: ArrayLike | pd.Series[Any]) -> float:
        """Compute the population stability index of `values`, shape (n,), against this reference.

        Raises
        ------
        ValueError
            If `values` is empty, or not numeric where the reference is.

        Examples
        --------
        >>> reference = fit_reference([1.0, 2.0, 3.0, 4.0], n_bins=2)
        >>> reference.psi([1.0, 2.0, 3.0, 4.0])
        0.0
        """
        return self.psi_of_counts(self.count(values))

    def count(self, values: ArrayLike | pd.Series[Any]) -> FloatArray:
        """Count rows per bin or level, the missing last; counts of parts of a book add up.

        Parameters
        ----------
        values : array-like of shape (n,)

        Returns
        -------
        ndarray of float64, shape (n_bins + 1,)

        Raises
        ------
        ValueError
            If `values` is empty, or not numeric where the reference is.
        """
        if self.kind == "numeric":
            return _numeric_shares(_numbers(values, "values"), np.array(self.edges))[0]
        return _level_shares(_as_levels(values), self.levels)[0]

    def psi_of_counts(self, counts: FloatArray) -> float:
        """Compute the population stability index of rows that were counted by :meth:`count`."""
        return _psi(np.array([*self.shares, self.missing_share]), counts / counts.sum())

    def to_dict(self) -> dict[str, Any]:
        """Return a dict that `json.dumps` takes and `from_dict` reads."""
        return {name: list(part) if isinstance(part, tuple) else part for name, part in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Reference:
        """Rebuild a reference from `to_dict`.

        Raises
        ------
        ValueError
            If a key is missing or unknown, or the parts do not fit together.
        """
        expected = set(cls.__dataclass_fields__)
        if set(content) != expected:
            raise ValueError(
                f"A stored Reference must have the keys {sorted(expected)}, got {sorted(content)}."
            )
        return cls(
            kind=content["kind"],
            edges=tuple(float(edge) for edge in content["edges"]),
            levels=tuple(str(level) for level in content["levels"]),
            shares=tuple(float(share) for share in content["shares"]),
            missing_share=float(content["missing_share"]),
            n_rows=int(content["n_rows"]),
        )


def fit_reference(
    values: ArrayLike | pd.Series[Any], n_bins: int = 10, categorical: bool | None = None
) -> Reference:
    """Summarise a variable so that later values can be compared with it.

    Parameters
    ----------
    values : array-like of shape (n,)
        Numbers (NaN = missing) or labels. Infinity is refused.
    n_bins : int, default=10
        Quantile bins aimed at for numbers; ties may leave fewer.
    categorical : bool, optional
        Treat `values` as labels; by default everything that is not a number or boolean is one. Levels with
        fewer than 5 rows, or under 0.5 % of them, are merged into one bin with levels never seen.

    Returns
    -------
    Reference
        Bins or levels with their shares.

    Raises
    ------
    ValueError
        If `values` is empty, dates or has infinity, or `n_bins` is below 2.

    Examples
    --------
    >>> fit_reference([1.0, 2.0, 3.0, 4.0, None], n_bins=2)  # doctest: +NORMALIZE_WHITESPACE
    Reference(kind='numeric', edges=(2.5,), levels=(), shares=(0.4, 0.4), missing_share=0.2, n_rows=5)
    """
    bins = check_at_least(n_bins, 2, "n_bins")
    series = _as_series(values, "values")
    if categorical is None:
        categorical = not _is_numeric(series)
    if categorical:
        labels = _as_levels(series)
        count = labels.value_counts()
        kept = count[(count >= MIN_LEVEL_ROWS) & (count >= MIN_LEVEL_SHARE * len(labels))]
        levels = tuple(sorted(kept.index))
        _, shares = _level_shares(labels, levels)
        edges: tuple[float, ...] = ()
    else:
        vector = _numbers(series, "values")
        levels, edges = (), _quantile_edges(vector[~np.isnan(vector)], bins)
        _, shares = _numeric_shares(vector, np.array(edges))
    return Reference(
        kind="categorical" if categorical else "numeric",
        edges=edges,
        levels=levels,
        shares=tuple(shares[:-1].tolist()),
        missing_share=float(shares[-1]),
        n_rows=len(series),
    )


def compute_psi(expected: ArrayLike, actual: ArrayLike, n_bins: int = 10) -> float:
    """Compute the population stability index of numbers: ``sum((a - e) * ln(a / e))`` over bins.

    Bins are quantiles of `expected`; missing values are a bin of their own; an empty bin counts as 1e-4.

    Parameters
    ----------
    expected : array-like of shape (n,)
        Numbers at the earlier date, NaN = missing.
    actual : array-like of shape (m,)
        Numbers at the later date, NaN = missing.
    n_bins : int, default=10
        Quantile bins aimed at; ties may leave fewer.

    Returns
    -------
    float
        0 when nothing moved; under 0.1 stable, from 0.25 shifted by common usage.

    Raises
    ------
    ValueError
        If an input is empty, not numeric or has infinity, or `n_bins` is below 2.

    References
    ----------
    Siddiqi (2017), Intelligent Credit Scoring, 2nd ed., Wiley; the symmetric divergence of Jeffreys (1946).

    Examples
    --------
    >>> round(compute_psi([1, 2, 3, 4], [1, 3, 4, 5], n_bins=2), 4)  # shares 1/2, 1/2 become 1/4, 3/4
    0.2747
    """
    reference = fit_reference(_numbers(expected, "expected"), n_bins, categorical=False)
    return reference.psi(_numbers(actual, "actual"))


def compute_psi_categorical(expected: ArrayLike, actual: ArrayLike) -> float:
    """Compute the population stability index of labels, one bin per level of either input, missing included.

    Parameters
    ----------
    expected : array-like of shape (n,)
        Labels at the earlier date.
    actual : array-like of shape (m,)
        Labels at the later date.

    Returns
    -------
    float
        0 when nothing moved.

    Raises
    ------
    ValueError
        If an input is empty.

    Examples
    --------
    >>> round(compute_psi_categorical(["a", "a", "b", "b"], ["a", "b", "b", "b"]), 4)
    0.2747
    """
    before, after = _as_levels(expected, "expected"), _as_levels(actual, "actual")
    levels = tuple(sorted(set(before.dropna()) | set(after.dropna())))
    counts = [_level_shares(labels, levels)[0] for labels in (before, after)]
    return psi_from_counts(counts[0], counts[1])


def psi_from_counts(expected: ArrayLike, actual: ArrayLike) -> float:
    """Compute the population stability index of two rows of counts (or shares) over the same bins.

    Parameters
    ----------
    expected, actual : array-like of shape (n_bins,)
        Counts per bin, not negative; each is divided by its sum.

    Returns
    -------
    float
        0 when the shares agree; the same when the two are exchanged.

    Raises
    ------
    ValueError
        If the lengths differ, a count is negative or all are zero.

    References
    ----------
    Siddiqi (2017), Intelligent Credit Scoring, 2nd ed., Wiley.

    Examples
    --------
    >>> round(psi_from_counts([2, 2], [1, 3]), 4)
    0.2747
    """
    before, after = as_vector(expected, "expected"), as_vector(actual, "actual")
    check_lengths(("expected", "actual"), (before.size, after.size))
    for name, count in (("expected", before), ("actual", after)):
        if (count < 0).any() or not count.any():
            raise ValueError(f"{name} must hold counts that are not negative and not all zero.")
    return _psi(before / before.sum(), after / after.sum())


def psi_status(psi: float) -> Literal["stable", "watch", "shifted"]:
    """Name a PSI: stable below 0.1, watch below 0.25, else shifted.

    Raises
    ------
    ValueError
        If `psi` is NaN or negative.

    Examples
    --------
    >>> psi_status(0.1)
    'watch'
    """
    if not psi >= 0:
        raise ValueError(f"psi must be a number of at least 0, got {psi!r}.")
    if psi < WATCH_PSI:
        return "stable"
    return "watch" if psi < SHIFTED_PSI else "shifted"


def stability_score(gini_by_period: ArrayLike) -> float:
    """Mean Gini over periods, less a penalty for falling and for wobbling.

    ``mean(gini) + 88 * min(0, slope) - 0.5 * std(residuals)`` with the least-squares line over periods
    0 .. n-1 and the population standard deviation.

    Parameters
    ----------
    gini_by_period : array-like of shape (n_periods,)
        One Gini a period (week or month), oldest first; at least two. The weight of 88 was set for weekly
        periods: over months the same yearly fall costs about four times as much.

    Returns
    -------
    float
        At most the mean Gini.

    Raises
    ------
    ValueError
        If there are fewer than two periods, or a value is NaN or outside [-1, 1].

    References
    ----------
    Home Credit - Credit Risk Model Stability, Kaggle competition (2024), evaluation page.

    Examples
    --------
    >>> round(stability_score([0.60, 0.59, 0.58]), 4)  # 0.59 - 88 * 0.01
    -0.29
    """
    gini = as_vector(gini_by_period, "gini_by_period")
    if gini.size < 2:
        raise ValueError("gini_by_period must hold at least 2 periods: a slope needs two points.")
    if (np.abs(gini) > 1).any():
        raise ValueError("gini_by_period must lie in [-1, 1].")
    period = np.arange(gini.size) - (gini.size - 1) / 2
    slope = float(period @ gini / (period @ period))
    residual = gini - gini.mean() - slope * period
    return float(gini.mean() + 88 * min(0.0, slope) - 0.5 * residual.std())


def _psi(expected: FloatArray, actual: FloatArray) -> float:
    e, a = np.maximum(expected, SHARE_FLOOR), np.maximum(actual, SHARE_FLOOR)
    return float(np.sum((a - e) * np.log(a / e)))


def _quantile_edges(values: FloatArray, n_bins: int) -> tuple[float, ...]:
    if values.size == 0:
        return ()
    inner = np.unique(np.quantile(values, np.arange(1, n_bins) / n_bins))
    if inner[0] == values.min():
        # Many rows sit on the minimum (often 0): give them their own bin, or a move below it would go unseen.
        inner = np.concatenate(([np.nextafter(inner[0], -np.inf)], inner))
    return tuple(float(edge) for edge in inner)


def _numeric_shares(values: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Count rows per bin, the missing last; return counts and shares."""
    # Bins are few: so many comparisons of all rows take a tenth of the time of a search for each row.
    up_to = [np.count_nonzero(values <= edge) for edge in edges]
    n_missing = np.count_nonzero(np.isnan(values))
    count: FloatArray = np.diff([0, *up_to, values.size - n_missing, values.size]).astype(np.float64)
    return count, count / values.size


def _level_shares(labels: pd.Series[Any], levels: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """Count rows per level, then all other levels, then the missing; return counts and shares."""
    known = labels.value_counts().reindex(list(levels), fill_value=0).tolist()
    missing = int(labels.isna().sum())
    count: FloatArray = np.array([*known, len(labels) - sum(known) - missing, missing], dtype=np.float64)
    return count, count / len(labels)


def _as_series(values: ArrayLike | pd.Series[Any], name: str) -> pd.Series[Any]:
    if isinstance(values, (list, tuple, pd.Series, pd.Categorical)):
        series: pd.Series[Any] = pd.Series(values)
    else:
        array = np.asarray(values)
        if array.ndim != 1:
            raise ValueError(f"{name} should be a 1d array, got an array of shape {array.shape} instead.")
        series = pd.Series(array)
    if series.empty:
        raise ValueError(f"Found array with 0 sample(s) in {name} while a minimum of 1 is required.")
    if series.dtype.kind in "mM":
        raise ValueError(f"{name} holds dates or durations; turn them into numbers first.")
    return series.infer_objects()


def _is_numeric(series: pd.Series[Any]) -> bool:
    # A Categorical of numbers says of itself that it is a label; an all-missing column can hold no level.
    if isinstance(series.dtype, pd.CategoricalDtype):
        return False
    return pd.api.types.is_numeric_dtype(series.dtype) or bool(series.isna().all())


def _numbers(values: ArrayLike | pd.Series[Any], name: str) -> FloatArray:
    series = _as_series(values, name)
    if not _is_numeric(series):
        raise ValueError(f"{name} must hold numbers, got {series.dtype}.")
    return as_vector_with_gaps(series.to_numpy(dtype=np.float64, na_value=np.nan), name)


def _as_levels(values: ArrayLike | pd.Series[Any], name: str = "values") -> pd.Series[Any]:
    """Return labels as strings; a whole float reads like the integer, since a gap turns 1 into 1.0."""
    series = _as_series(values, name)
    names = {
        value: str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        for value in series.dropna().unique()
    }
    return series.astype(object).map(names)
