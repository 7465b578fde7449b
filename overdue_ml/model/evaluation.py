"""Evaluation of a fitted model on rows it did not see: overall, by as_of date, calibration, capture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.config import EvaluationConfig
from overdue_ml.metrics import (
    calibration_table,
    capture_curve,
    compute_psi,
    evaluate_scores,
    stability_score,
)

FloatArray = npt.NDArray[np.float64]
_BY_DATE = ["auc", "gini", "ks", "average_precision", "brier", "log_loss", "ece"]


@dataclass(frozen=True)
class Evaluation:
    """The honest picture of a score.

    Attributes
    ----------
    overall : pandas.DataFrame
        metric, value, low, high.
    by_date : pandas.DataFrame
        One row an as_of date: n, overdue_rate, mean_p and the metrics; null where a date has one class.
    calibration : pandas.DataFrame
        See :func:`overdue_ml.metrics.calibration_table`.
    capture : pandas.DataFrame
        See :func:`overdue_ml.metrics.capture_curve`.
    score_psi : float
        Of p_overdue, evaluation rows against training rows (out of fold is not needed: no label is used).
    stability : float or None
        See :func:`overdue_ml.metrics.stability_score`; None with fewer than two dates.
    """

    overall: pd.DataFrame
    by_date: pd.DataFrame
    calibration: pd.DataFrame
    capture: pd.DataFrame
    score_psi: float
    stability: float | None

    def value(self, metric: str) -> float:
        """One number of the overall table."""
        values = dict(zip(self.overall["metric"], self.overall["value"], strict=True))
        return float(values[metric])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; NaN becomes null."""
        tables = {name: getattr(self, name) for name in ("overall", "by_date", "calibration", "capture")}
        plain = {
            name: table.astype(object).where(table.notna(), None).to_dict("records")
            for name, table in tables.items()
        }
        return plain | {"score_psi": self.score_psi, "stability": self.stability}


def evaluate_model(
    y: npt.NDArray[Any],
    p: FloatArray,
    log_odds: FloatArray,
    keys: pd.Index[Any],
    train_p: FloatArray,
    config: EvaluationConfig | None = None,
) -> Evaluation:
    """Evaluate probabilities and log-odds on rows that no part of the model saw.

    Parameters
    ----------
    y : ndarray of bool or {0, 1}, shape (n,)
    p, log_odds : ndarray of float64, shape (n,)
    keys : pandas.MultiIndex
        (customer_id, as_of_date) of each row; the bootstrap draws customers.
    train_p : ndarray of float64
        Probabilities of the training rows, for the population stability index.
    config : EvaluationConfig, optional

    Raises
    ------
    ValueError
        If ``y`` holds one class only.
    """
    config = config or EvaluationConfig()
    target = np.asarray(y, dtype=np.int64)
    overall = evaluate_scores(
        target, p, log_odds, groups=keys.get_level_values("customer_id"), top=config.top, n_boot=config.n_boot
    )
    by_date = _by_date(target, p, log_odds, keys)
    ginis = by_date["gini"].dropna().to_numpy()
    return Evaluation(
        overall=overall,
        by_date=by_date,
        calibration=calibration_table(target, p),
        capture=capture_curve(target, log_odds),
        score_psi=float(compute_psi(train_p, p)),
        stability=float(stability_score(ginis)) if len(ginis) > 1 else None,
    )


def _by_date(
    y: npt.NDArray[np.int64], p: FloatArray, log_odds: FloatArray, keys: pd.Index[Any]
) -> pd.DataFrame:
    dates = keys.get_level_values("as_of_date")
    rows = []
    for date in dates.unique().sort_values():
        here = np.asarray(dates == date)
        row: dict[str, Any] = {
            "as_of_date": date.date().isoformat(),
            "n": int(here.sum()),
            "overdue_rate": float(y[here].mean()),
            "mean_p": float(p[here].mean()),
        }
        if 0 < y[here].sum() < here.sum():
            table = evaluate_scores(y[here], p[here], log_odds[here]).set_index("metric")["value"]
            row |= {metric: float(table[metric]) for metric in _BY_DATE}
        else:
            row |= dict.fromkeys(_BY_DATE, np.nan)
        rows.append(row)
    return pd.DataFrame(rows)
