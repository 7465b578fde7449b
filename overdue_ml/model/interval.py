"""How well the probability is known at a score: a band around the overdue rate of rows that score alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_LEVEL_Z = 1.959963984540054  # 95 %
_LEAST_SIDE = 25
_POINTS = 201


@dataclass(frozen=True)
class ScoreBand:
    """Lower and upper ends at some scores, joined by straight lines; neither ever falls.

    Attributes
    ----------
    x, low, high : tuple of float
        Log-odds, and the ends there.
    """

    x: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def bounds(self, log_odds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper ends, each of shape (n_samples,)."""
        low, high = (np.interp(log_odds, self.x, ends) for ends in (self.low, self.high))
        return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"x": list(self.x), "low": list(self.low), "high": list(self.high)}

    @classmethod
    def from_dict(cls, data: Any) -> ScoreBand:
        """The band that :meth:`to_dict` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the data are no such band.
        """
        x, low, high = (tuple(float(v) for v in data[name]) for name in ("x", "low", "high"))
        if not x or not len(x) == len(low) == len(high):
            raise ValueError("a band needs as many ends as scores")
        for values in (x, low, high):
            if not np.isfinite(values).all() or (np.diff(values) < 0).any():
                raise ValueError("a band must be finite and never fall")
        if min(low) < 0 or max(high) > 1 or any(a > b for a, b in zip(low, high, strict=True)):
            raise ValueError("a band must lie between 0 and 1")
        return cls(x, low, high)


def fit_band(log_odds: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None) -> ScoreBand:
    """A 95 % band of the overdue rate given the score, on out-of-sample log-odds.

    At each of 201 scores stands the Wilson interval of the overdue rate of the ``n ** (2/3)`` rows that score
    nearest, as many above as below; fewer near both ends, but 25 on a side while there are. A rate that
    never falls with the score lies above every lower end to its left and below every upper end to its right,
    which narrows the band and keeps it from ever falling.

    Parameters
    ----------
    log_odds : ndarray of float64, shape (n_samples,)
    y : ndarray of {0, 1}, shape (n_samples,)
    sample_weight : ndarray of float64, shape (n_samples,), optional
        Rows count as many as the sum of weights, squared, over the sum of squared weights (Kish 1965).

    Returns
    -------
    ScoreBand

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.
    """
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    order = np.lexsort((weight, y, log_odds))
    order = order[weight[order] > 0]
    z, target, weight = np.asarray(log_odds)[order], np.asarray(y)[order], weight[order]
    n = len(z)
    centres = np.unique(np.linspace(0, n - 1, _POINTS).round().astype(np.intp))
    to_end = np.minimum(centres, n - 1 - centres)
    side = np.clip(to_end, _LEAST_SIDE, max(_LEAST_SIDE, round(n ** (2 / 3) / 2)))
    first, last = np.maximum(centres - side, 0), np.minimum(centres + side, n - 1)
    # A score that many rows share is one score: all of its rows count.
    first, last = np.searchsorted(z, z[first], "left"), np.searchsorted(z, z[last], "right")

    def total(values: FloatArray) -> FloatArray:
        sums = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray(sums[last] - sums[first], dtype=np.float64)

    rate = total(weight * target) / total(weight)
    low, high = _wilson(rate, total(weight) ** 2 / total(weight**2))
    low, high = np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]
    # Where the score ranks the wrong way round the ends change places.
    low, high = np.minimum(low, high), np.maximum(low, high)
    x, kept = np.unique(z[centres], return_index=True)
    return ScoreBand(tuple(x.tolist()), tuple(low[kept].tolist()), tuple(high[kept].tolist()))


def _wilson(rate: FloatArray, n: FloatArray) -> tuple[FloatArray, FloatArray]:
    rate = np.clip(rate, 0.0, 1.0)
    centre = rate + _LEVEL_Z**2 / (2 * n)
    spread = _LEVEL_Z * np.sqrt(rate * (1 - rate) / n + _LEVEL_Z**2 / (4 * n**2))
    scale = 1 + _LEVEL_Z**2 / n
    return np.clip((centre - spread) / scale, 0.0, 1.0), np.clip((centre + spread) / scale, 0.0, 1.0)
