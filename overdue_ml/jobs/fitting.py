"""Fitting inside a training run: tuning first, then the model, then what it is to be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overdue_ml.config import ModelConfig, TrainConfig
from overdue_ml.features import Registry
from overdue_ml.jobs.progress import Progress
from overdue_ml.jobs.sample import Sample
from overdue_ml.jobs.tune import run_tuning
from overdue_ml.model import (
    CHALLENGERS,
    OverdueClassifier,
    Rows,
    compare_challenger,
    constraint_cost,
    recency_weights,
)


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier and how it came about.

    Attributes
    ----------
    classifier : OverdueClassifier
    settings : ModelConfig
        Those of the config, or what tuning made of them.
    facts : dict
        ``tuning`` and ``calibration_choice`` where the config asks for them.
    """

    classifier: OverdueClassifier
    settings: ModelConfig
    facts: dict[str, Any]


def fit_model(
    sample: Sample,
    columns: list[str],
    registry: Registry,
    config: TrainConfig,
    models: Path | None,
    progress: Progress,
) -> Fitted:
    """Tune if asked, and fit on the training rows.

    Parameters
    ----------
    sample : Sample
    columns : list of str
        Features to train on.
    registry : Registry
        For the directions of features.
    config : TrainConfig
    models : Path or None
        The models folder, where trials are kept.
    progress : Progress

    Returns
    -------
    Fitted

    Raises
    ------
    ModelError
        If the rows cannot carry what is asked for, or a library of an extra is missing.
    """
    rows = _rows(sample, sample.train, columns, config.model)
    constraints = _constraints(columns, registry) if config.model.monotone else None
    settings, facts = config.model, dict[str, Any]()
    if config.tuning.wanted:
        limit = (
            f"{config.tuning.trials} trials" if config.tuning.trials else f"{config.tuning.minutes} minutes"
        )
        progress.stage(f"tuning: at most {limit}")
        tuned, facts["tuning"] = run_tuning(
            _classifier(settings, constraints),
            rows.features,
            sample.labels[sample.train],
            rows.weight,
            config.tuning,
            models,
            progress,
        )
        settings = settings.model_copy(update=dict(tuned.parameters))
    progress.stage(f"training on {len(rows.target):,} rows and {len(columns)} features")
    classifier = _classifier(settings, constraints)
    classifier.fit(rows.features, rows.target, rows.weight, groups=rows.groups, dates=rows.dates)
    if classifier.calibration_choice_ is not None:
        facts["calibration_choice"] = classifier.calibration_choice_.to_dict()
    return Fitted(classifier, settings, facts)


def compare_model(
    fitted: Fitted,
    sample: Sample,
    columns: list[str],
    registry: Registry,
    config: TrainConfig,
    progress: Progress,
) -> dict[str, Any]:
    """What the config asks the fitted model to be compared with: facts ``challenger``, ``constraint_cost``.

    Parameters
    ----------
    fitted : Fitted
    sample, columns, registry, config, progress
        As for :func:`fit_model`.

    Raises
    ------
    ModelError
        If a library of an extra is missing.
    """
    facts: dict[str, Any] = {}
    if config.challenger == "none" and not config.model.monotone_cost:
        return facts
    train, test = (_rows(sample, part, columns, config.model) for part in (sample.train, sample.test))
    n_boot = config.evaluation.n_boot
    if config.challenger != "none":
        progress.stage(f"comparing with a {config.challenger} model")
        challenger = CHALLENGERS[config.challenger]()
        facts["challenger"] = {"kind": config.challenger} | compare_challenger(
            challenger, fitted.classifier, train, test, n_boot
        )
    if config.model.monotone_cost:
        progress.stage("measuring what directions cost")
        families = {name: registry[name].family for name in columns}
        constraints = _constraints(columns, registry)
        facts["constraint_cost"] = constraint_cost(
            fitted.classifier, constraints, families, train, test, n_boot, progress.advance
        )
    return facts


def _constraints(columns: list[str], registry: Registry) -> dict[str, int]:
    return {name: registry[name].direction for name in columns if registry[name].direction}


def new_classifier(settings: ModelConfig, columns: list[str], registry: Registry) -> OverdueClassifier:
    """A classifier as the settings have it, not fitted yet."""
    return _classifier(settings, _constraints(columns, registry) if settings.monotone else None)


def _classifier(settings: ModelConfig, constraints: dict[str, int] | None) -> OverdueClassifier:
    own = settings.model_dump(exclude={"monotone", "monotone_cost", "recency_half_life_days"})
    return OverdueClassifier(monotone_constraints=constraints, **own)


def _rows(sample: Sample, part: np.ndarray, columns: list[str], settings: ModelConfig) -> Rows:
    labels = sample.labels[part]
    dates = labels.index.get_level_values("as_of_date")
    half_life = settings.recency_half_life_days
    return Rows(
        features=sample.features.loc[part, columns],
        target=labels["is_overdue"].to_numpy().astype(np.int64),
        groups=labels.index.get_level_values("customer_id"),
        dates=dates,
        weight=None if half_life is None else recency_weights(dates, half_life),
    )
