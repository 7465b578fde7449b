"""Tuning inside a training run: folds in the order of time, on the training rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from overdue_ml.config import TuningConfig
from overdue_ml.jobs.progress import Progress
from overdue_ml.labels.splitters import purged_by_maturity
from overdue_ml.model import OverdueClassifier, TuningResult, TuningStudy, grouped_folds, tune

Fold = tuple[np.ndarray, np.ndarray]
#: The file of the trials in the models folder.
DATABASE = "tuning.db"
#: Fewer overdue rows than this on one side of a fold in time say nothing.
_MIN_POSITIVES = 20


def tuning_folds(labels: pd.DataFrame, n_folds: int, seed: int) -> tuple[list[Fold], str]:
    """Folds over the training rows.

    Parameters
    ----------
    labels : pandas.DataFrame
        Of the training rows, from :func:`overdue_ml.labels.label_customers`.
    n_folds : int
        The last as_of dates are held out one by one, each from the dates whose labels were all final by
        then. Where fewer than two dates can be, so many folds of customers instead.
    seed : int
        Of the folds of customers.

    Returns
    -------
    folds : list of (train, held out) positions
    scheme : {'time', 'customer'}
    """
    target = labels["is_overdue"].to_numpy().astype(int)
    dates = labels.index.get_level_values("as_of_date")
    folds = []
    for date in dates.unique().sort_values()[-n_folds:]:
        train = np.flatnonzero(purged_by_maturity(labels, date.date(), whole_dates=True))
        held_out = np.flatnonzero(np.asarray(dates == date))
        if all(_MIN_POSITIVES <= target[part].sum() < len(part) for part in (train, held_out)):
            folds.append((train, held_out))
    if len(folds) > 1:
        return folds, "time"
    customers = pd.factorize(labels.index.get_level_values("customer_id"))[0]
    return grouped_folds(target, customers, n_folds, seed), "customer"


def run_tuning(
    classifier: OverdueClassifier,
    features: pd.DataFrame,
    labels: pd.DataFrame,
    sample_weight: np.ndarray | None,
    config: TuningConfig,
    models: Path | None,
    progress: Progress,
) -> tuple[TuningResult, dict[str, Any]]:
    """Tune on the training rows.

    Parameters
    ----------
    classifier : OverdueClassifier
        Settings to begin with.
    features, labels : pandas.DataFrame
        Of the training rows.
    sample_weight : ndarray of float64, shape (n_rows,), optional
    config : TuningConfig
    models : Path or None
        The models folder, which keeps the trials; with None they are kept in memory.
    progress : Progress

    Returns
    -------
    result : TuningResult
    facts : dict
        The same as plain data, with the scheme of the folds.

    Raises
    ------
    ModelError
        See :func:`overdue_ml.model.tune`.
    """
    folds, scheme = tuning_folds(labels, config.folds, classifier.random_state or 0)
    study = TuningStudy(config, None if models is None else models / DATABASE, progress.advance)
    result = tune(
        classifier,
        features,
        labels["is_overdue"].to_numpy().astype(int),
        folds,
        dates=labels.index.get_level_values("as_of_date"),
        sample_weight=sample_weight,
        study=study,
    )
    return result, {"scheme": scheme} | result.to_dict()
