"""``overdue-ml train``: records to a registered, evaluated model."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from overdue_ml.config import RecordsConfig, SelectionConfig, TrainConfig, config_hash
from overdue_ml.errors import ModelError
from overdue_ml.explain import explain_scores, sum_by_reason
from overdue_ml.features import (
    GivenFeatures,
    Registry,
    own_features,
    registry_with,
)
from overdue_ml.jobs.assessment import Trained
from overdue_ml.jobs.audit import audit_training
from overdue_ml.jobs.evidence import write_evidence
from overdue_ml.jobs.fitting import compare_model, fit_model
from overdue_ml.jobs.further import fit_further, judge_further
from overdue_ml.jobs.output import write_json
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.jobs.sample import Sample, Scored, draw_sample
from overdue_ml.metrics import Reference, evaluate_scores, fit_reference
from overdue_ml.model import (
    Evaluation,
    FeatureSelector,
    OverdueClassifier,
    ScoringModel,
    SelectionReport,
    evaluate_model,
    save_bundle,
)
from overdue_ml.records import Records, load_records
from overdue_ml.tracking import RegisteredRun, TrainingRecord, log_run, open_store

_EXPLAINED_ROWS = 2000


@dataclass(frozen=True)
class TrainResult:
    """What came of a training run.

    Attributes
    ----------
    model : ScoringModel
    bundle_hash : str
    evaluation : Evaluation
        On the rows that were set aside.
    importance : pandas.Series
        Mean absolute contribution of each reason code, log-odds, on rows that were set aside.
    facts : mapping of str to value
        Counts, dates, fingerprints: the data sheet.
    run : RegisteredRun or None
        None where nothing was tracked.
    """

    model: ScoringModel
    bundle_hash: str
    evaluation: Evaluation
    importance: pd.Series
    facts: Mapping[str, Any]
    run: RegisteredRun | None


def _select(sample: Sample, config: SelectionConfig, seed: int) -> tuple[list[str], SelectionReport]:
    """The columns to train on, chosen on the training rows alone."""
    part = sample.labels[sample.train]
    selector = FeatureSelector(**config.model_dump(), random_state=seed).fit(
        sample.features[sample.train],
        part["is_overdue"].to_numpy().astype(int),
        dates=part.index.get_level_values("as_of_date"),
    )
    columns = [str(name) for name in selector.get_feature_names_out()]
    if not columns:
        raise ModelError(
            f"no feature is left of {len(selector.support_)}",
            where=f"train config, selection: {config.model_dump(mode='json')}",
            next_step="give records that vary between customers, or wider limits",
        )
    return columns, selector.report_


def _audit(
    records: Records, sample: Sample, columns: list[str], config: TrainConfig, registry: Registry
) -> dict[str, Any]:
    target = sample.labels["is_overdue"][sample.train].to_numpy()
    features = sample.features.loc[sample.train, columns]
    return audit_training(records, features, target, config.audit, registry)


def _facts(records: Records, sample: Sample, columns: list[str], config: TrainConfig) -> dict[str, Any]:
    dates = sample.labels.index.get_level_values("as_of_date")
    train_dates = sorted({d.date().isoformat() for d in dates[sample.train]})
    part = sample.labels[sample.train]
    return {
        "as_of": train_dates,
        "test_as_of": sorted({d.date().isoformat() for d in dates[sample.test]}),
        "labels_final_on": part["matured_on"].max().date().isoformat(),
        "label_source": config.labels.source,
        "train_rows": int(sample.train.sum()),
        "test_rows": int(sample.test.sum()),
        "train_overdue": int(part["is_overdue"].sum()),
        "test_overdue": int(sample.labels["is_overdue"][sample.test].sum()),
        "verdicts": _verdict_counts(sample.verdicts),
        "rejected_rows": {t.table: t.rejected for t in records.report.tables},
        "n_features": len(columns),
        "dropped_features": sorted(set(sample.features.columns) - set(columns)),
        "attributes": list(records.config.attributes),
        "records_fingerprint": records.fingerprint,
        "config_hash": config_hash(config, records.config),
        "code_version": version("overdue_ml"),
    }


def _verdict_counts(by_date: pd.DataFrame) -> dict[str, int]:
    """Rows by verdict over all dates, verdicts that occur only."""
    totals = by_date.drop(columns="overdue_rate").sum()
    return {name: int(totals[name]) for name in sorted(totals.index) if totals[name]}


def run_train(
    source: Path | Records,
    records_config: RecordsConfig,
    config: TrainConfig,
    models: Path | None,
    progress: Progress | None = None,
    own: GivenFeatures | None = None,
) -> TrainResult:
    """Train, evaluate on rows that were set aside, and register.

    Parameters
    ----------
    source : Path or Records
    records_config : RecordsConfig
    config : TrainConfig
    models : Path or None
        The models folder; with None nothing is tracked or registered.
    progress : Progress, optional
    own : path, OwnFeatures or sequence of features, optional
        Features of your own, or the Python file that declares them as ``FEATURES``; it is run.

    Returns
    -------
    TrainResult

    Raises
    ------
    ConfigError
        If the features of your own cannot be used.
    RecordsError
        If the records or labels cannot be used.
    ModelError
        If there are too few overdue rows, a feature leaks, or the store cannot be used.
    """
    progress = progress or Silent()
    own = own_features(own)
    progress.stage("reading records")
    records = source if isinstance(source, Records) else load_records(source, records_config)
    progress.stage("building features and labels")
    registry = registry_with(records.config.attributes, own, ranks=config.features.ranks)
    sample = draw_sample(records, config, registry)
    columns, selection = _select(sample, config.selection, config.model.random_state)
    progress.stage("auditing the features for leakage")
    audit = _audit(records, sample, columns, config, registry)
    fitted = fit_model(sample, columns, registry, config, models, progress)
    further = fit_further(records, sample, columns, registry, config, fitted, progress)
    progress.stage("evaluating on rows that were set aside")
    scored = Scored.of(fitted.classifier, sample, columns)
    evaluation = evaluate_model(
        scored.target, scored.p, scored.log_odds, scored.features.index, scored.train_p, config.evaluation
    )
    facts = _facts(records, sample, columns, config) | {
        "leakage_audit": audit,
        "selection": selection.to_dict(),
    }
    facts |= fitted.facts | compare_model(fitted, sample, columns, registry, config, progress)
    facts |= judge_further(records, sample, scored, further, config)
    if own:
        facts["own_features"] = own.describe()
    configs = {
        "config": config.model_dump(mode="json"),
        "records_config": records.config.model_dump(mode="json"),
    }
    references = _references(sample.features.loc[sample.train, columns], scored.train_p)
    model = _scoring_model(fitted.classifier, further, registry, references, facts | configs)
    importance = _importance(model, scored)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        bundle_hash = save_bundle(model, bundle)
        run = None
        if models is not None:
            progress.stage("recording the run and registering the model")
            trained = Trained(records, sample, scored, registry, model, evaluation, importance, config)
            files = write_evidence(Path(folder), trained, models)
            if "tuning" in facts:
                write_json(facts["tuning"], files["evaluation"] / "tuning.json")
            metrics = _metrics(evaluation, sample, scored)
            used = config.model_copy(update={"model": fitted.settings})
            run = _record(models, used, model, bundle, bundle_hash, metrics, files)
    return TrainResult(model, bundle_hash, evaluation, importance, facts, run)


def _scoring_model(
    classifier: OverdueClassifier,
    further: Mapping[int, OverdueClassifier],
    registry: Registry,
    references: Mapping[str, Reference],
    meta: Mapping[str, Any],
) -> ScoringModel:
    columns = [str(name) for name in classifier.feature_names_in_]
    return ScoringModel(
        classifier=classifier,
        feature_set_hash=registry.feature_set_hash(columns),
        reasons={name: registry[name].reason for name in columns},
        units={name: registry[name].unit for name in columns},
        references=references,
        meta=meta,
        further=further,
    )


def _importance(model: ScoringModel, scored: Scored) -> pd.Series:
    """Mean absolute contribution of each reason, log-odds, on the first rows that were set aside."""
    part = scored.features.iloc[:_EXPLAINED_ROWS]
    contributions = explain_scores(model.classifier, part, scored.log_odds[: len(part)])
    return sum_by_reason(contributions.values, model.reasons).abs().mean().sort_values(ascending=False)


def _references(features: pd.DataFrame, p: np.ndarray) -> dict[str, Reference]:
    found = {name: fit_reference(features[name]) for name in features.columns}
    return found | {"p_overdue": fit_reference(p)}


def _metrics(evaluation: Evaluation, sample: Sample, scored: Scored) -> dict[str, float]:
    """By split: ``test_`` and, of the rows fitted on, ``train_``; without a prefix those of the test."""
    overall = evaluation.overall
    test = dict(zip(overall["metric"], overall["value"].astype(float), strict=True))
    fitted = evaluate_scores(sample.labels["is_overdue"][sample.train].to_numpy().astype(int), scored.train_p)
    train = dict(zip(fitted["metric"], fitted["value"].astype(float), strict=True))
    by_split = {f"{part}_{k}": v for part, m in (("test", test), ("train", train)) for k, v in m.items()}
    return test | by_split | {"score_psi": evaluation.score_psi}


def _record(
    models: Path,
    config: TrainConfig,
    model: ScoringModel,
    bundle: Path,
    bundle_hash: str,
    metrics: dict[str, float],
    files: dict[str, Path],
) -> RegisteredRun:
    facts = model.meta
    params = {f"model.{k}": v for k, v in config.model.model_dump().items()}
    params |= {
        "labels.source": config.labels.source,
        "split.by": config.split.by,
        "n_features": facts["n_features"],
    }
    names = model.feature_names
    record = TrainingRecord(
        bundle=bundle,
        bundle_hash=bundle_hash,
        features=names,
        categorical=[names[i] for i in model.classifier.categories_],
        params=params,
        metrics=metrics,
        tags={
            "records_fingerprint": facts["records_fingerprint"],
            "feature_set_hash": model.feature_set_hash,
            "config_hash": facts["config_hash"],
            "code_version": facts["code_version"],
        },
        files=files,
    )
    return log_run(open_store(models), record, config.experiment, config.registered_model)
