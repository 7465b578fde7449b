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
    available_features,
    build_features,
    own_features,
    registry_with,
)
from overdue_ml.jobs.audit import audit_notes, audit_training
from overdue_ml.jobs.output import write_json
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.labels import label_customers, split_rows, trainable, verdicts_by_date
from overdue_ml.metrics import Reference, fit_reference
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
from overdue_ml.reports import (
    plot_calibration,
    plot_capture,
    plot_reasons,
    plot_score_distribution,
    plot_verdicts,
    render_evaluation,
    save_figures,
)
from overdue_ml.tracking import RegisteredRun, TrainingRecord, log_run, open_store

#: Below this a model is noise: a validator would stop here, so do we.
MIN_POSITIVES = 50
_EXPLAINED_ROWS = 2000
#: What the page shows of each as_of date; evaluation.json has every metric.
_BY_DATE = ["as_of_date", "n", "overdue_rate", "mean_p", "auc", "ks", "brier", "ece"]
_HEADINGS = {"as_of_date": "as of", "overdue_rate": "overdue", "mean_p": "mean p"}


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


@dataclass(frozen=True)
class _Sample:
    """Features and labels of the training and test rows; ``verdicts`` counts those of all rows by date."""

    features: pd.DataFrame
    labels: pd.DataFrame
    train: np.ndarray
    test: np.ndarray
    verdicts: pd.DataFrame


def _sample(records: Records, config: TrainConfig, registry: Registry) -> _Sample:
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
    return _Sample(
        features.loc[decided.index],
        decided,
        train,
        test,
        verdicts_by_date(labels),
    )


def _select(sample: _Sample, config: SelectionConfig, seed: int) -> tuple[list[str], SelectionReport]:
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


def _fit(
    sample: _Sample, columns: list[str], directions: Mapping[str, int], config: TrainConfig
) -> OverdueClassifier:
    settings = config.model.model_dump()
    monotone = settings.pop("monotone")
    constraints = {name: d for name in columns if (d := directions[name])} if monotone else None
    classifier = OverdueClassifier(monotone_constraints=constraints, **settings)
    part = sample.labels[sample.train]
    return classifier.fit(
        sample.features.loc[sample.train, columns],
        part["is_overdue"].to_numpy().astype(int),
        groups=part.index.get_level_values("customer_id"),
        dates=part.index.get_level_values("as_of_date"),
    )


def _audit(
    records: Records, sample: _Sample, columns: list[str], config: TrainConfig, registry: Registry
) -> dict[str, Any]:
    target = sample.labels["is_overdue"][sample.train].to_numpy()
    features = sample.features.loc[sample.train, columns]
    return audit_training(records, features, target, config.audit, registry)


def _facts(records: Records, sample: _Sample, columns: list[str], config: TrainConfig) -> dict[str, Any]:
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
    registry = registry_with(records.config.attributes, own)
    sample = _sample(records, config, registry)
    columns, selection = _select(sample, config.selection, config.model.random_state)
    progress.stage("auditing the features for leakage")
    audit = _audit(records, sample, columns, config, registry)
    progress.stage(f"training on {int(sample.train.sum()):,} rows and {len(columns)} features")
    classifier = _fit(sample, columns, {f.name: f.direction for f in registry}, config)
    progress.stage("evaluating on rows that were set aside")
    scored = _Scored.of(classifier, sample, columns)
    evaluation = evaluate_model(
        scored.target, scored.p, scored.log_odds, scored.features.index, scored.train_p, config.evaluation
    )
    facts = _facts(records, sample, columns, config) | {
        "leakage_audit": audit,
        "selection": selection.to_dict(),
    }
    if own:
        facts["own_features"] = own.describe()
    configs = {
        "config": config.model_dump(mode="json"),
        "records_config": records.config.model_dump(mode="json"),
    }
    model = ScoringModel(
        classifier=classifier,
        feature_set_hash=registry.feature_set_hash(columns),
        reasons={name: registry[name].reason for name in columns},
        units={name: registry[name].unit for name in columns},
        references=_references(sample.features.loc[sample.train, columns], scored.train_p),
        meta=facts | configs,
    )
    importance = _importance(model, scored)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        bundle_hash = save_bundle(model, bundle)
        run = None
        if models is not None:
            progress.stage("recording the run and registering the model")
            files = _write_evidence(
                Path(folder), configs, evaluation, facts, importance, scored, sample.verdicts
            )
            run = _record(models, config, model, bundle, bundle_hash, evaluation, files)
    return TrainResult(model, bundle_hash, evaluation, importance, facts, run)


@dataclass(frozen=True)
class _Scored:
    """Scores of the rows that were set aside, and of the training rows for comparison."""

    features: pd.DataFrame
    target: np.ndarray
    log_odds: np.ndarray
    p: np.ndarray
    train_p: np.ndarray

    @classmethod
    def of(cls, classifier: OverdueClassifier, sample: _Sample, columns: list[str]) -> _Scored:
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


def _importance(model: ScoringModel, scored: _Scored) -> pd.Series:
    """Mean absolute contribution of each reason, log-odds, on the first rows that were set aside."""
    part = scored.features.iloc[:_EXPLAINED_ROWS]
    contributions = explain_scores(model.classifier, part, scored.log_odds[: len(part)])
    return sum_by_reason(contributions.values, model.reasons).abs().mean().sort_values(ascending=False)


def _references(features: pd.DataFrame, p: np.ndarray) -> dict[str, Reference]:
    found = {name: fit_reference(features[name]) for name in features.columns}
    return found | {"p_overdue": fit_reference(p)}


def _write_evidence(
    folder: Path,
    configs: Mapping[str, Any],
    evaluation: Evaluation,
    facts: Mapping[str, Any],
    importance: pd.Series,
    scored: _Scored,
    verdicts: pd.DataFrame,
) -> dict[str, Path]:
    """Config, evaluation, report and figures: aggregates only."""
    out = {name: folder / name for name in ("config", "evaluation", "figures")}
    for path in out.values():
        path.mkdir()
    write_json(configs, out["config"] / "config.json")
    write_json(evaluation.to_dict(), out["evaluation"] / "evaluation.json")
    write_json(facts, out["evaluation"] / "data_sheet.json")
    tables = {
        "metrics": evaluation.overall,
        "calibration": evaluation.calibration,
        "capture": evaluation.capture,
        "by as_of date": evaluation.by_date[_BY_DATE].rename(columns=_HEADINGS),
        "mean absolute contribution by reason (log-odds)": importance.rename("value")
        .rename_axis("reason_code")
        .reset_index(),
    }
    if len(verdicts) > 1:
        tables["verdicts"] = verdicts
    selection = facts["selection"]
    if selection["dropped"]:
        tables["features left out"] = pd.DataFrame(selection["dropped"]).rename(
            columns={"same_as": "same as"}
        )
    head = {"trained as of": ", ".join(facts["as_of"]), "tested as of": ", ".join(facts["test_as_of"])}
    sheet = {key.replace("_", " "): _in_words(value) for key, value in facts.items() if key != "selection"}
    notes = audit_notes(facts["leakage_audit"]) + [f"Not checked: {n}." for n in selection["not_checked"]]
    page = render_evaluation(tables, head, sheet, notes)
    (out["evaluation"] / "evaluation.html").write_text(page, encoding="utf-8")
    save_figures(
        {
            "calibration": plot_calibration(evaluation.calibration),
            "capture": plot_capture(evaluation.capture),
            "reasons": plot_reasons(importance),
            "scores": plot_score_distribution(scored.target, scored.p),
            "verdicts": plot_verdicts(verdicts),
        },
        out["figures"],
    )
    return out


def _in_words(value: object) -> str:
    """A fact as a person reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_in_words(item) for item in value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _record(
    models: Path,
    config: TrainConfig,
    model: ScoringModel,
    bundle: Path,
    bundle_hash: str,
    evaluation: Evaluation,
    files: dict[str, Path],
) -> RegisteredRun:
    facts = model.meta
    overall = evaluation.overall
    metrics = dict(zip(overall["metric"], overall["value"].astype(float), strict=True))
    metrics["score_psi"] = evaluation.score_psi
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
