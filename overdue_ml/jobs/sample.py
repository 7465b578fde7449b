"""The rows of a training run: features and labels, which part is set aside, and the scores of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overdue_ml.config import TrainConfig
from overdue_ml.errors import ModelError
from overdue_ml.features import Registry, available_features, build_features
from overdue_ml.labels import label_customers, split_rows, trainable, verdicts_by_date
from overdue_ml.model import OverdueClassifier
from overdue_ml.records import Records

#: Below this a model is noise: a validator would stop here, so do we.
MIN_POSITIVES = 50


@dataclass(frozen=True)
class Sample:
    """Features and labels of the training and test rows; ``verdicts`` counts those of all rows by date."""

    features: pd.DataFrame
    labels: pd.DataFrame
    train: np.ndarray
    test: np.ndarray
    verdicts: pd.DataFrame


def draw_sample(records: Records, config: TrainConfig, registry: Registry) -> Sample:
    """Label the customers, set the test rows aside and build the features of both parts.

    Raises
    ------
    ModelError
        If a part has too few overdue rows, or a label belongs to a customer not known on its date.
    """
    labels = label_customers(records, config.as_of, config.labels)
    decided = trainable(labels)
    train, test = split_rows(decided, config.split)
    for part, rows in (("training", train), ("test", test)):
        positives = int(decided["is_overdue"][rows].sum())
        if positives < MIN_POSITIVES or positives == rows.sum():
            raise ModelError(
                f"the {part} part has {positives} overdue of {rows.sum()} rows",
                expected=f"at least {MIN_POSITIVES} overdue and some on time",
                next_step="give more as_of dates or customers, or another split",
            )
    dates = [d.date() for d in decided.index.get_level_values("as_of_date").unique()]
    features = build_features(records, dates, available_features(records, registry), registry=registry)
    absent = decided.index.difference(features.index)
    if len(absent):
        raise ModelError(
            f"{len(absent)} labelled customers are not known on their as_of date",
            where=f"table labels, first {absent[0][0]} {absent[0][1].date()}",
            next_step="remove these labels, or add the records known by then",
        )
    return Sample(
        features.loc[decided.index],
        decided,
        train,
        test,
        verdicts_by_date(labels),
    )


@dataclass(frozen=True)
class Scored:
    """Scores of the rows that were set aside, and of the training rows for comparison."""

    features: pd.DataFrame
    target: np.ndarray
    log_odds: np.ndarray
    p: np.ndarray
    train_p: np.ndarray

    @classmethod
    def of(cls, classifier: OverdueClassifier, sample: Sample, columns: list[str]) -> Scored:
        """Score both parts with a fitted model."""
        held_out = sample.features.loc[sample.test, columns]
        log_odds = classifier.decision_function(held_out)
        train = classifier.decision_function(sample.features.loc[sample.train, columns])
        return cls(
            features=held_out,
            target=sample.labels["is_overdue"][sample.test].to_numpy(),
            log_odds=log_odds,
            p=classifier.calibrator_.predict(log_odds),
            train_p=classifier.calibrator_.predict(train),
        )
