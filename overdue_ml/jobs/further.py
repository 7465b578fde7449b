"""Further degrees of lateness in a training run: a model for each, for those who reached the one before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from overdue_ml.config import TrainConfig
from overdue_ml.errors import ModelError
from overdue_ml.features import Registry
from overdue_ml.jobs.fitting import Fitted, new_classifier
from overdue_ml.jobs.progress import Progress
from overdue_ml.jobs.sample import MIN_POSITIVES, Sample, Scored
from overdue_ml.labels import Degree, judge_degrees, label_degrees
from overdue_ml.metrics import compute_auc, compute_brier, compute_ece
from overdue_ml.model import OverdueClassifier, predict_further, recency_weights
from overdue_ml.records import Records


def fit_further(
    records: Records,
    sample: Sample,
    columns: list[str],
    registry: Registry,
    config: TrainConfig,
    fitted: Fitted,
    progress: Progress,
) -> dict[int, OverdueClassifier]:
    """Fit a classifier for each degree of ``config.labels.further_dpd``.

    It learns, on training rows that reached the degree before, who reaches this one. The product of the
    probabilities falls from degree to degree by construction.

    Parameters
    ----------
    records, sample, columns, registry, config, fitted, progress
        Of the training run.

    Returns
    -------
    dict of int to OverdueClassifier

    Raises
    ------
    ModelError
        If too few rows reached a degree, or fell short of it, to learn from.
    """
    found: dict[int, OverdueClassifier] = {}
    if not config.labels.further_dpd:
        return found
    train = sample.labels[sample.train]
    features = sample.features.loc[sample.train, columns]
    for dpd, degree in _degrees(records, train, config, _first_test(sample, config)).items():
        rows, reached = degree.asked, degree.overdue[degree.asked].astype(np.int64)
        _check_counts(dpd, reached)
        progress.stage(f"training for {dpd} days past due on {rows.sum():,} rows")
        index = train.index[rows]
        dates, half_life = index.get_level_values("as_of_date"), fitted.settings.recency_half_life_days
        weight = None if half_life is None else recency_weights(dates, half_life)
        classifier = new_classifier(fitted.settings, columns, registry)
        groups = index.get_level_values("customer_id")
        found[dpd] = classifier.fit(features[rows], reached, weight, groups=groups, dates=dates)
    return found


def judge_further(
    records: Records,
    sample: Sample,
    scored: Scored,
    further: dict[int, OverdueClassifier],
    config: TrainConfig,
) -> dict[str, Any]:
    """How good the probabilities are on the rows that were set aside.

    Parameters
    ----------
    records, sample, scored, config
        Of the training run.
    further : dict of int to OverdueClassifier
        From :func:`fit_further`.

    Returns
    -------
    dict
        ``further_degrees``, by days past due: rows, overdue, and where both classes occur overdue_rate,
        mean_p, auc, brier, ece.
    """
    if not further:
        return {}
    found = {}
    probabilities = predict_further(further, scored.features, scored.p)
    for dpd, degree in _degrees(records, sample.labels[sample.test], config, None).items():
        y, p = degree.overdue[degree.judged].astype(np.int64), probabilities[dpd][degree.judged]
        figures: dict[str, Any] = {"rows": len(y), "overdue": int(y.sum())}
        if 0 < y.sum() < len(y):
            figures |= {
                "overdue_rate": float(y.mean()),
                "mean_p": float(p.mean()),
                "auc": float(compute_auc(y, p)),
                "brier": float(compute_brier(y, p)),
                "ece": float(compute_ece(y, p)),
            }
        found[str(dpd)] = figures
    return {"further_degrees": found}


def _degrees(
    records: Records, labels: pd.DataFrame, config: TrainConfig, by: pd.Timestamp | None
) -> dict[int, Degree]:
    dates = [d.date() for d in labels.index.get_level_values("as_of_date").unique()]
    return judge_degrees(labels, label_degrees(records, dates, config.labels), by)


def _first_test(sample: Sample, config: TrainConfig) -> pd.Timestamp | None:
    """The day by which labels must be final to be learned from, where the split is by time."""
    if config.split.by != "time":
        return None
    return pd.Timestamp(sample.labels[sample.test].index.get_level_values("as_of_date").min())


def _check_counts(dpd: int, reached: np.ndarray) -> None:
    positives, negatives = int(reached.sum()), int(len(reached) - reached.sum())
    if min(positives, negatives) < MIN_POSITIVES:
        raise ModelError(
            f"{positives} training rows reached {dpd} days past due and {negatives} only the degree before",
            where="train config, labels.further_dpd",
            expected=f"at least {MIN_POSITIVES} of each",
            next_step="give more as_of dates or customers, or leave this degree out",
        )
