"""Venn-Abers calibration: two probabilities for each score, one of which is calibrated.

The inductive Venn-Abers predictor (IVAP) adds the row to be predicted to the rows of the calibration, once
as on time and once as overdue, fits isotonic regression each time, and reads both at the row's score. Nothing
is fitted at prediction: both are step functions of the score, found in one sweep over the calibration rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class VennAbersCalibrator:
    """Steps of p0 and p1; the probability is ``p1 / (1 - p0 + p1)``.

    Attributes
    ----------
    x0, p0 : tuple of float
        p0 of a score is that of the largest ``x0`` not above it, and 0 below all of them.
    x1, p1 : tuple of float
        p1 of a score is that of the smallest ``x1`` not below it, and 1 above all of them.
    """

    x0: tuple[float, ...]
    p0: tuple[float, ...]
    x1: tuple[float, ...]
    p1: tuple[float, ...]
    kind: ClassVar[str] = "venn_abers"

    def bounds(self, log_odds: FloatArray) -> tuple[FloatArray, FloatArray]:
        """p0 and p1, each of shape (n_samples,)."""
        low = np.array([0.0, *self.p0])[np.searchsorted(self.x0, log_odds, side="right")]
        high = np.array([*self.p1, 1.0])[np.searchsorted(self.x1, log_odds, side="left")]
        return low, high

    def predict(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, shape (n_samples,)."""
        low, high = self.bounds(log_odds)
        return np.asarray(high / (1.0 - low + high), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        steps = {"x0": self.x0, "p0": self.p0, "x1": self.x1, "p1": self.p1}
        return {"kind": self.kind} | {name: list(values) for name, values in steps.items()}

    @classmethod
    def from_dict(cls, data: Any) -> VennAbersCalibrator:
        """The calibrator that :meth:`to_dict` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the data are not such steps.
        """
        x0, p0, x1, p1 = (tuple(float(v) for v in data[name]) for name in ("x0", "p0", "x1", "p1"))
        if len(x0) != len(p0) or len(x1) != len(p1):
            raise ValueError("steps and their probabilities differ in number")
        for values in (x0, p0, x1, p1):
            if not np.isfinite(values).all() or (np.diff(values) < 0).any():
                raise ValueError("steps must be finite and never fall")
        if min((*p0, *p1), default=0.0) < 0 or max((*p0, *p1), default=0.0) > 1:
            raise ValueError("probabilities must lie between 0 and 1")
        return cls(x0, p0, x1, p1)


def fit_venn_abers(
    log_odds: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None
) -> VennAbersCalibrator:
    """Fit the inductive Venn-Abers predictor on out-of-sample log-odds.

    Parameters
    ----------
    log_odds : ndarray of float64, shape (n_samples,)
    y : ndarray of {0, 1}, shape (n_samples,)
    sample_weight : ndarray of float64, shape (n_samples,), optional
        How many rows each row counts for; the row to be predicted counts for one.

    Returns
    -------
    VennAbersCalibrator

    References
    ----------
    Vovk & Petej (2014), Venn-Abers predictors, UAI; Vovk, Petej & Fedorova (2015), Large-scale probabilistic
    predictors with and without guarantees of validity, NIPS.
    """
    weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    kept = weight > 0
    scores, codes = np.unique(log_odds[kept], return_inverse=True)
    total = np.bincount(codes, weight[kept], len(scores)).astype(np.float64)
    overdue = np.bincount(codes, weight[kept] * y[kept], len(scores)).astype(np.float64)
    high = _upper(total, overdue)
    # An on-time row among scores that fall is an overdue row among scores that rise, labels exchanged.
    low = 1.0 - _upper(total[::-1], (total - overdue)[::-1])[::-1]
    first = np.flatnonzero(np.diff(low, prepend=-1.0))
    last = np.flatnonzero(np.diff(high, append=2.0))
    return VennAbersCalibrator(
        tuple(scores[first].tolist()), tuple(low[first].tolist()),
        tuple(scores[last].tolist()), tuple(high[last].tolist()),
    )  # fmt: skip


def _upper(weight: FloatArray, overdue: FloatArray) -> FloatArray:
    """Isotonic regression at each score, an overdue row added to that score.

    With P the cumulative sums (rows, overdue rows) and P_0 the origin, the answer at score i is the slope of
    the tangent from below to P_0 ... P_{i-1} on its left and to P_i ... P_k, moved by (1, 1), on its right.
    From one score to the next the left side gains P_i and the right side loses it. The tangent stays, unless
    the new point lies below it; then it starts from that point and touches the right side further right, so
    that one sweep over the hull of the right side answers all scores.
    """
    n = len(weight)
    x = np.concatenate([[0.0], np.cumsum(weight)]).tolist()
    y = np.concatenate([[0.0], np.cumsum(overdue)]).tolist()
    following = _hulls(x, y)
    found = np.empty(n)
    touch, slope, corner = 1, 0.0, 0
    for i in range(1, n + 1):
        # P_{i-1} against the tangent through the corner.
        if i == 1 or y[i - 1] < y[corner] + slope * (x[i - 1] - x[corner]):
            corner, touch = i - 1, max(touch, i)
            slope = _slope(x, y, corner, touch)
            while touch < n and (further := _slope(x, y, corner, following[touch])) <= slope:
                touch, slope = following[touch], further
        found[i - 1] = slope
    # Rounding only: slopes of exact counts never fall and stay within 0 and 1.
    return np.clip(np.maximum.accumulate(found), 0.0, 1.0)


def _slope(x: list[float], y: list[float], a: int, b: int) -> float:
    """From P_a to P_b moved by (1, 1)."""
    return (y[b] + 1.0 - y[a]) / (x[b] + 1.0 - x[a])


def _hulls(x: list[float], y: list[float]) -> list[int]:
    """For each point the next one on the lower hull of it and all points to its right."""
    n = len(x) - 1
    following = [n] * (n + 1)
    for i in range(n - 1, -1, -1):
        b = i + 1
        while b < n:
            c = following[b]
            # b stays on the hull only if it lies below the line from i to c.
            if (y[b] - y[i]) * (x[c] - x[b]) < (y[c] - y[b]) * (x[b] - x[i]):
                break
            b = c
        following[i] = b
    return following
