"""Calibrators from log-odds to probability, small enough to be written down as JSON.

All are monotone, so that ranking by log-odds and by probability never disagree beyond ties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from overdue_ml.errors import ModelError
from overdue_ml.model.venn_abers import VennAbersCalibrator, fit_venn_abers

#: Every kind, the simplest first.
KINDS = ("none", "platt", "beta", "isotonic", "venn_abers")

FloatArray = npt.NDArray[np.float64]


class Calibrator(Protocol):
    """What a calibrator can do."""

    kind: ClassVar[str]

    def predict(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, shape (n_samples,)."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        ...


def sigmoid(x: FloatArray) -> FloatArray:
    """Logistic function without overflow for any finite argument."""
    from scipy.special import expit

    return np.asarray(expit(x), dtype=np.float64)


@dataclass(frozen=True)
class IdentityCalibrator:
    """The logistic function of the raw log-odds."""

    kind: ClassVar[str] = "none"

    def predict(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, shape (n_samples,)."""
        return sigmoid(log_odds)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class PlattCalibrator:
    """``sigmoid(slope * log_odds + intercept)`` (Platt 1999)."""

    slope: float
    intercept: float
    kind: ClassVar[str] = "platt"

    def predict(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, shape (n_samples,)."""
        return sigmoid(self.slope * log_odds + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True)
class BetaCalibrator:
    """``sigmoid(a ln p - b ln(1 - p) + c)`` with p the raw probability (Kull et al. 2017)."""

    a: float
    b: float
    c: float
    kind: ClassVar[str] = "beta"

    def predict(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, shape (n_samples,)."""
        return sigmoid(_beta_terms(log_odds) @ np.array([self.a, self.b]) + self.c)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": self.kind, "a": self.a, "b": self.b, "c": self.c}


@dataclass(frozen=True)
class IsotonicCalibrator:
    """Monotone steps joined by straight lines (Zadrozny & Elkan 2002)."""

    x: tuple[float, ...]
    y: tuple[float, ...]
    kind: ClassVar[str] = "isotonic"

    def predict(self, log_odds: FloatArray) -> FloatArray:
        """Probabilities, shape (n_samples,)."""
        return np.asarray(np.interp(log_odds, self.x, self.y), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"kind": self.kind, "x": list(self.x), "y": list(self.y)}


def _beta_terms(log_odds: FloatArray) -> FloatArray:
    # ln p = -ln(1 + e^-z) and -ln(1 - p) = ln(1 + e^z), both exact for large |z|.
    return np.column_stack([-np.logaddexp(0.0, -log_odds), np.logaddexp(0.0, log_odds)])


def _logistic_fit(
    terms: FloatArray, y: FloatArray, weight: FloatArray | None, lower: list[float]
) -> FloatArray:
    """Weighted maximum likelihood of a small logistic model with lower bounds on its slopes."""
    from scipy.optimize import minimize

    weight = np.ones(len(y)) if weight is None else weight / weight.mean()
    design = np.column_stack([terms, np.ones(len(y))])

    def loss(beta: FloatArray) -> tuple[float, FloatArray]:
        z = design @ beta
        value = float(weight @ (np.logaddexp(0.0, z) - y * z))
        return value / len(y), design.T @ (weight * (sigmoid(z) - y)) / len(y)

    start = np.array([*np.ones(terms.shape[1]), 0.0])
    bounds = [*((low, None) for low in lower), (None, None)]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-10}
    )
    return np.asarray(found.x, dtype=np.float64)


def fit_calibrator(
    kind: str, log_odds: FloatArray, y: FloatArray, sample_weight: FloatArray | None = None
) -> Calibrator:
    """Fit a calibrator on out-of-sample log-odds.

    Parameters
    ----------
    kind : {'platt', 'beta', 'isotonic', 'venn_abers', 'none'}
    log_odds : ndarray of float64, shape (n_samples,)
        Of a model that did not see these rows.
    y : ndarray of {0, 1}, shape (n_samples,)
    sample_weight : ndarray of float64, shape (n_samples,), optional

    Returns
    -------
    Calibrator

    Raises
    ------
    ValueError
        If ``kind`` is not one of the five.

    References
    ----------
    Platt (1999), Probabilistic outputs for support vector machines; Kull, Silva Filho & Flach (2017),
    Beta calibration, AISTATS; Zadrozny & Elkan (2002), KDD.
    """
    y = np.asarray(y, dtype=np.float64)
    if kind == "none":
        return IdentityCalibrator()
    if kind == "platt":
        # Platt's targets, drawn in from 0 and 1 by one observation each, keep a separable sample finite.
        positives = float(y.sum())
        negatives = len(y) - positives
        target = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        slope, intercept = _logistic_fit(log_odds[:, None], target, sample_weight, [1e-6])
        return PlattCalibrator(float(slope), float(intercept))
    if kind == "beta":
        a, b, c = _logistic_fit(_beta_terms(log_odds), y, sample_weight, [1e-6, 1e-6])
        return BetaCalibrator(float(a), float(b), float(c))
    if kind == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        fitted.fit(log_odds, y, sample_weight=sample_weight)
        return IsotonicCalibrator(
            tuple(float(v) for v in fitted.X_thresholds_), tuple(float(v) for v in fitted.y_thresholds_)
        )
    if kind == "venn_abers":
        return fit_venn_abers(log_odds, y, sample_weight)
    raise ValueError(f"calibration must be one of {KINDS}, got {kind!r}")


def calibrator_from_dict(data: Mapping[str, Any]) -> Calibrator:
    """The calibrator that :meth:`to_dict` wrote.

    Raises
    ------
    ModelError
        If the data describe no calibrator.
    """
    try:
        kind = data["kind"]
        if kind == "none":
            return IdentityCalibrator()
        if kind == "platt":
            return PlattCalibrator(float(data["slope"]), float(data["intercept"]))
        if kind == "beta":
            return BetaCalibrator(float(data["a"]), float(data["b"]), float(data["c"]))
        if kind == "isotonic":
            return IsotonicCalibrator(tuple(float(v) for v in data["x"]), tuple(float(v) for v in data["y"]))
        if kind == "venn_abers":
            return VennAbersCalibrator.from_dict(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the calibrator cannot be read: {error}", where="model.json") from error
    raise ModelError(f"the calibrator kind {kind!r} is unknown", where="model.json")
