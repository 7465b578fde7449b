"""``overdue-ml score``: every customer ranked and explained for one as_of date."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from overdue_ml.config import RecordsConfig, RemindersConfig, ScoreConfig, config_hash
from overdue_ml.errors import ConfigError, FeatureMismatchError
from overdue_ml.explain import Contributions, check_ties_out, explain_scores, sum_by_reason, top_reasons
from overdue_ml.features import (
    GivenFeatures,
    OwnFeatures,
    build_features,
    own_features_of,
    ranks_of,
    registry_with,
)
from overdue_ml.jobs.output import whole_folder, write_csv, write_json, write_parquet
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.model import ScoringModel, compute_points, predict_further
from overdue_ml.monitoring import compute_drift
from overdue_ml.records import Records, compute_next_due, load_records
from overdue_ml.reminders import ReminderList, assign_tiers, rank_customers
from overdue_ml.tracking import RegisteredModel

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ScoreSettings:
    """The configs of a scoring run.

    ``own`` are the features of the user's own that the model was trained with, or their Python file.
    """

    score: ScoreConfig = field(default_factory=ScoreConfig)
    reminders: RemindersConfig = field(default_factory=RemindersConfig)
    records: RecordsConfig = field(default_factory=RecordsConfig)
    own: GivenFeatures | None = None


@dataclass(frozen=True)
class ScoreResult:
    """What a scoring run wrote.

    Attributes
    ----------
    folder : Path
        ``<out>/as_of=YYYY-MM-DD``.
    manifest : mapping
    already_done : bool
        The same run stood there already and nothing was written.
    """

    folder: Path
    manifest: Mapping[str, Any]
    already_done: bool = False


def check_feature_set(model: ScoringModel, attributes: list[str], own: OwnFeatures | None = None) -> None:
    """Refuse a model whose features are computed otherwise today than when it was trained.

    Raises
    ------
    FeatureMismatchError
        If a feature is unknown or any definition changed.
    """
    registry = registry_with(attributes, own, ranks=ranks_of(model.meta))
    unknown = [name for name in model.feature_names if name not in registry]
    if unknown:
        raise FeatureMismatchError(
            f"the model needs {len(unknown)} feature(s) that are not built here, first '{unknown[0]}'",
            next_step="score with the version that trained it, or train again",
        )
    if registry.feature_set_hash(model.feature_names) != model.feature_set_hash:
        raise FeatureMismatchError(
            "the model was trained on other feature definitions than this version builds",
            expected=f"feature set {model.feature_set_hash[:12]}",
            next_step="score with the version that trained it, or train again",
        )


def score_book(
    records: Records,
    as_of: dt.date,
    model: ScoringModel,
    config: ScoreConfig,
    progress: Progress,
    own: OwnFeatures | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, Contributions]:
    """Scores, features and contributions of every customer known on ``as_of``.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    model : ScoringModel
    config : ScoreConfig
    progress : Progress
    own : OwnFeatures, optional
        Those that the model was trained with.

    Returns
    -------
    scores : pandas.DataFrame
        Columns of DESIGN's ``scores.parquet``, sorted by customer_id.
    features : pandas.DataFrame
        Indexed by customer_id.
    contributions : Contributions
    """
    check_feature_set(model, list(model.meta["attributes"]), own)
    progress.stage("building features")
    registry = registry_with(model.meta["attributes"], own, ranks=ranks_of(model.meta))
    features = build_features(records, as_of, model.feature_names, registry=registry).droplevel("as_of_date")
    progress.stage(f"scoring {len(features):,} customers")
    log_odds = model.classifier.decision_function(features)
    p = model.classifier.calibrator_.predict(log_odds)
    progress.stage("explaining every score")
    contributions = explain_scores(model.classifier, features, log_odds, progress.advance)
    reasons = top_reasons(sum_by_reason(contributions.values, model.reasons), config.reasons)
    due = compute_next_due(records, as_of).reindex(features.index)
    due_amount = due["due_amount"].fillna(0.0).to_numpy()
    # Ties in log-odds go to the smaller id: the index is sorted and the sort is stable.
    rank = np.empty(len(features), dtype=np.int64)
    rank[np.argsort(-log_odds, kind="stable")] = np.arange(1, len(features) + 1)
    scores = pd.DataFrame(
        {
            "customer_id": features.index.astype("str"),
            "as_of_date": as_of,
            "p_overdue": p,
            **_interval(model, log_odds),
            **{f"p_overdue_dpd{d}": v for d, v in predict_further(model.further, features, p).items()},
            "log_odds": log_odds,
            "points": compute_points(p, config.points),
            "tier": assign_tiers(p, due_amount, config.tiers),
            "rank": rank,
            "next_due_date": pd.to_datetime(due["next_due_date"]).dt.date.to_numpy(),
            "due_amount": due_amount,
            "exposure_amount": due["exposure_amount"].fillna(0.0).to_numpy(),
            "expected_overdue_amount": p * due_amount,
        }
    )
    return pd.concat([scores, reasons.reset_index(drop=True)], axis=1), features, contributions


def _interval(model: ScoringModel, log_odds: np.ndarray) -> dict[str, np.ndarray]:
    """Columns p_low and p_high; none of a model from before there were intervals."""
    if model.classifier.interval_ is None:
        return {}
    low, high = model.classifier.interval_of_log_odds(log_odds).T
    return {"p_low": low, "p_high": high}


def run_score(
    source: Path | Records,
    as_of: dt.date,
    registered: RegisteredModel,
    out: Path,
    settings: ScoreSettings | None = None,
    *,
    replace: bool = False,
    progress: Progress | None = None,
) -> ScoreResult:
    """Score a book and write ``<out>/as_of=<date>/`` as a whole.

    Parameters
    ----------
    source : Path or Records
    as_of : datetime.date
    registered : RegisteredModel
    out : Path
    settings : ScoreSettings, optional
    replace : bool
        Take the place of an older run of the same date with other inputs.
    progress : Progress, optional

    Returns
    -------
    ScoreResult

    Raises
    ------
    ConfigError
        If another run of the date stands there and ``replace`` is false.
    FeatureMismatchError, ModelError, NothingToScoreError, RecordsError
        See the stages.
    """
    progress, settings = progress or Silent(), settings or ScoreSettings()
    model = registered.model
    # Before anything that an older run may have finished already: a changed feature must not pass for it.
    own = own_features_of(model.meta.get("own_features"), settings.own)
    check_feature_set(model, list(model.meta["attributes"]), own)
    progress.stage("reading records")
    records = source if isinstance(source, Records) else load_records(source, settings.records)
    target = out / f"as_of={as_of.isoformat()}"
    identity = _identity(records, as_of, registered, settings)
    done = _finished(target, identity["run_key"])
    if done is not None:
        return ScoreResult(target, done, already_done=True)
    if target.exists() and not replace:
        raise ConfigError(
            "another run of this date stands there (other records, model or config)",
            where=str(target),
            next_step="choose another --out, or give --replace to take its place",
        )
    scores, features, contributions = score_book(records, as_of, model, settings.score, progress, own)
    reminders = rank_customers(scores, settings.reminders)
    drift = compute_drift(features, scores["p_overdue"].to_numpy(), model.references)
    manifest = identity | _facts(scores, reminders, model, as_of)
    manifest |= {
        "records_source": str(source) if isinstance(source, Path) else None,
        "base_log_odds": contributions.base,
        "largest_explanation_gap": check_ties_out(
            contributions.values.to_numpy(), contributions.base, scores["log_odds"].to_numpy()
        ),
        "labels": model.meta["config"]["labels"],
        "ranks": ranks_of(model.meta),
        "unknown_categories": model.classifier.count_unknown_categories(features),
        "drift": [[row.feature, row.psi, row.status] for row in drift.head(11).itertuples()],
        "settings": {
            "score": settings.score.model_dump(mode="json"),
            "reminders": settings.reminders.model_dump(mode="json"),
            "records": records.config.model_dump(mode="json"),
        },
    }
    if own:
        manifest["own_features"] = own.describe()
    progress.stage("writing")
    with whole_folder(target) as folder:
        _write(folder, scores, contributions, reminders, records)
        write_json(manifest, folder / MANIFEST)
    return ScoreResult(target, manifest)


def _identity(
    records: Records, as_of: dt.date, registered: RegisteredModel, settings: ScoreSettings
) -> dict[str, Any]:
    """What the result depends on; two runs with the same key give the same bytes."""
    parts = {
        "as_of": as_of.isoformat(),
        "records_fingerprint": records.fingerprint,
        "model_hash": registered.bundle_hash,
        "feature_set_hash": registered.model.feature_set_hash,
        "config_hash": config_hash(settings.score, settings.reminders, records.config),
        "code_version": version("overdue_ml"),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return parts | {"run_key": key, "model": registered.card()}


def _finished(target: Path, run_key: str) -> dict[str, Any] | None:
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("run_key") == run_key else None


def _facts(
    scores: pd.DataFrame, reminders: ReminderList, model: ScoringModel, as_of: dt.date
) -> dict[str, Any]:
    edges = np.linspace(0.0, 1.0, 51)
    counts, _ = np.histogram(scores["p_overdue"], bins=edges)
    final_on = str(model.meta["labels_final_on"])
    return {
        "n_customers": len(scores),
        "tiers": {str(k): int(v) for k, v in scores["tier"].value_counts().sort_index().items()},
        "n_reminders": len(reminders.reminders),
        "suppressed": {
            str(k): int(v) for k, v in reminders.suppressed["rule"].value_counts().sort_index().items()
        },
        "expected_overdue_amount": float(scores["expected_overdue_amount"].sum()),
        "mean_p_overdue": float(scores["p_overdue"].mean()),
        "book_edges": [float(e) for e in edges],
        "book_counts": [int(c) for c in counts],
        # A model that learned from outcomes after the as_of date may know its own answers.
        "labels_final_on": final_on,
        "trained_on_later_outcomes": final_on > as_of.isoformat(),
    }


def _write(
    folder: Path,
    scores: pd.DataFrame,
    contributions: Contributions,
    reminders: ReminderList,
    records: Records,
) -> None:
    write_parquet(scores, folder / "scores.parquet")
    values = contributions.values
    wide = pd.concat(
        [pd.Series(values.index.astype("str"), name="customer_id"), values.reset_index(drop=True)], axis=1
    )
    write_parquet(wide.assign(base=contributions.base), folder / "contributions.parquet")
    write_parquet(reminders.reminders, folder / "reminders.parquet")
    write_csv(reminders.reminders, folder / "reminders.csv")
    write_parquet(reminders.suppressed, folder / "suppressed.parquet")
    broken = {name: table for name, table in records.rejected.items() if table.num_rows}
    if broken:
        (folder / "rejected").mkdir()
        for name, table in broken.items():
            write_parquet(table, folder / "rejected" / f"{name}.parquet")
