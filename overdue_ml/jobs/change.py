"""``overdue-ml change``: why scores differ between two runs, for one customer and for the book."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError, ModelError, RecordsError
from overdue_ml.explain import (
    ScoreChange,
    Scores,
    Wording,
    check_ties_out,
    explain_scores,
    split_change,
    sum_by_reason,
)
from overdue_ml.features import FeatureBuilder, GivenFeatures, own_features_of, ranks_of, registry_with
from overdue_ml.jobs.background import is_interventional
from overdue_ml.jobs.replay import model_of_run
from overdue_ml.jobs.runs import book_of_run, find_run, read_explained, read_manifest, read_rows
from overdue_ml.jobs.score import check_feature_set
from overdue_ml.jobs.silent import silent_reasons
from overdue_ml.jobs.text import table_text
from overdue_ml.records import Records


@dataclass(frozen=True)
class ChangeResult:
    """Parts of the change between two runs.

    Attributes
    ----------
    change : ScoreChange
        Of the customers who stand in both.
    table : pandas.DataFrame
        Of one customer or of the book by tier of then; see :class:`overdue_ml.explain.ScoreChange`.
    then, now : mapping
        The manifests.
    customer_id : str or None
    left, joined : int
        Customers of the first run only, and of the second only; of the book.
    """

    change: ScoreChange
    table: pd.DataFrame
    then: Mapping[str, Any]
    now: Mapping[str, Any]
    customer_id: str | None
    left: int = 0
    joined: int = 0


def run_change(
    before: Path,
    after: Path,
    customer_id: str | None = None,
    *,
    models: Path | None = None,
    source: Path | Records | None = None,
    own: GivenFeatures | None = None,
) -> ChangeResult:
    """Split the change of scores between two runs into data, model and calibration.

    With one model, or with one date and the same records, the runs' own contributions say all. Where both
    differ, the model of the first run is asked about the features of the second, built anew from its records.

    Parameters
    ----------
    before, after : Path
        Two scoring runs.
    customer_id : str, optional
        One customer; the book by default.
    models : Path, optional
        The models folder; needed only where both differ.
    source : Path or Records, optional
        The records of the second run; by default where it read them.
    own : path, OwnFeatures or sequence of features, optional
        Features of your own that the model of the first run was trained with.

    Returns
    -------
    ChangeResult

    Raises
    ------
    ConfigError
        If a run or the customer is unknown, or features of one model mean something else in the second run.
    ModelError
        If the model of the first run is needed and cannot be loaded, or contributions do not add up.
    RecordsError
        If the records are not those of the second run.
    """
    folders = find_run(before), find_run(after)
    then, now = (read_manifest(folder) for folder in folders)
    same_model = then["model_hash"] == now["model_hash"]
    if same_model and then["feature_set_hash"] != now["feature_set_hash"]:
        raise ConfigError(
            "the features of the two runs mean different things, and the model is the same",
            expected=f"feature set {then['feature_set_hash'][:12]}, found {now['feature_set_hash'][:12]}",
            next_step="score one of the dates again",
        )
    if is_interventional(then) != is_interventional(now):
        raise ConfigError(
            "contributions are taken against a background in one of the runs only",
            expected="the same 'contributions' in the config of both",
            next_step="score one of the dates again",
        )
    first, tiers = _scores(folders[0], then, customer_id)
    last, _ = _scores(folders[1], now, customer_id)
    both = first.log_odds.index.intersection(last.log_odds.index).sort_values()
    if not len(both):
        raise ConfigError(
            "nobody was scored in both runs" if customer_id is None
            else f"customer '{customer_id[:80]}' was not scored in both runs",
            next_step="check the id character by character; leading zeros count",
        )  # fmt: skip
    left, joined = len(first.log_odds) - len(both), len(last.log_odds) - len(both)
    first, last = _of(first, both), _of(last, both)
    if same_model:
        between = last.by_reason
    elif _same_features(then, now):
        between = first.by_reason
    else:
        between = _between(then, now, list(both), models, source, own)
    change = split_change(first, between, last)
    table = change.book(tiers) if customer_id is None else change.customer(customer_id)
    return ChangeResult(change, table, then, now, customer_id, left, joined)


def _scores(folder: Path, manifest: Mapping[str, Any], customer_id: str | None) -> tuple[Scores, pd.Series]:
    """What a run wrote, summed by reason and checked to add up; and the tiers."""
    kept = ["p_overdue", "log_odds", "tier"]
    if customer_id is not None:
        scores = read_rows(folder / "scores.parquet", [customer_id], kept)
        parts = read_explained(folder, scores.index)
    else:
        scores = _whole(folder / "scores.parquet", ["customer_id", *kept])
        path = folder / "contributions.parquet"
        parts = _whole(path) if path.is_file() else pd.DataFrame()
        if len(parts) < len(scores):
            raise ConfigError(
                f"{len(scores) - len(parts):,} of {len(scores):,} customers were not explained in a run",
                where=folder.name,
                next_step="score the date again with --explain all, or ask for one customer",
            )
    parts = parts.loc[scores.index]
    base = float(parts["base"].iloc[0]) if len(parts) else 0.0
    values = parts.drop(columns="base").astype(float)
    check_ties_out(values.to_numpy(), base, scores["log_odds"].to_numpy())
    reasons = _reasons(manifest)
    unknown = [name for name in values.columns if name not in reasons]
    if unknown:
        raise ModelError(
            f"{len(unknown)} feature(s) of a run have no reason here, first '{unknown[0]}'",
            next_step="compare with the version of the package that scored it",
        )
    by_reason = sum_by_reason(values, reasons)
    return Scores(by_reason, base, scores["log_odds"], scores["p_overdue"]), scores["tier"]


def _whole(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(path, columns=columns, page_checksum_verification=True).to_pandas()
    return frame.set_index("customer_id")


def _reasons(manifest: Mapping[str, Any]) -> dict[str, str]:
    attributes = manifest["settings"]["records"]["attributes"]
    registry = registry_with(attributes, None, ranks=bool(manifest.get("ranks", False)))
    described = manifest.get("own_features")
    own = {f["name"]: f["reason"] for f in described["features"]} if described else {}
    return {f.name: f.reason for f in registry} | own


def _of(scores: Scores, index: pd.Index) -> Scores:
    return Scores(
        scores.by_reason.loc[index], scores.base, scores.log_odds.loc[index], scores.p_overdue.loc[index]
    )


def _same_features(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    same = ["as_of", "records_fingerprint", "code_version"]
    return (
        all(then[name] == now[name] for name in same)
        and then["settings"]["records"] == now["settings"]["records"]
    )


def _between(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    customer_ids: list[str],
    models: Path | None,
    source: Path | Records | None,
    own: GivenFeatures | None,
) -> pd.DataFrame:
    """Contributions by reason of the model of then on the features of now."""
    if is_interventional(then):
        raise ConfigError(
            "model and data are both others, and contributions are taken against a background",
            expected="path-dependent contributions, to tell apart what model and data did",
            next_step="score both with 'contributions: {kind: path_dependent}'",
        )
    if models is None:
        raise ConfigError(
            "model and data are both others, so the model of the first run is needed",
            next_step="give --models",
        )
    model = model_of_run(then, models).model
    used = own_features_of(model.meta.get("own_features"), own)
    attributes = list(model.meta["attributes"])
    check_feature_set(model, attributes, used)
    registry = registry_with(attributes, used, ranks=ranks_of(model.meta))
    records = _records(now, source)
    keys = pd.DataFrame({"customer_id": customer_ids, "as_of_date": dt.date.fromisoformat(now["as_of"])})
    features = FeatureBuilder(records, model.feature_names, registry).fit(keys).transform(keys)
    features.index = pd.Index(customer_ids, name="customer_id")
    log_odds = model.classifier.decision_function(features)
    return sum_by_reason(explain_scores(model.classifier, features, log_odds).values, model.reasons)


def _records(now: Mapping[str, Any], source: Path | Records | None) -> Records:
    if source is None and not now.get("records_source"):
        raise ConfigError("the second run does not say where its records are", next_step="give --records")
    book = book_of_run(now, source)
    if book.fingerprint != now["records_fingerprint"]:
        raise RecordsError(
            "the records are not those of the second run",
            expected=f"fingerprint {now['records_fingerprint'][:12]}, found {book.fingerprint[:12]}",
            next_step="give the records that were scored with --records",
        )
    return book.load_all()


def change_text(result: ChangeResult, wording: Wording) -> str:
    """The parts as a person reads them: sentences of one customer, or a table of the book."""
    if result.customer_id is not None:
        then, now = (_called(manifest, wording) for manifest in (result.then, result.now))
        silent = silent_reasons(result.then, result.now)
        return "\n".join(result.change.sentences(result.customer_id, wording, then, now, silent))
    wide = result.table.copy()
    wide["what"] = [
        wording.title(code) if code in wording.reasons else code or part
        for part, code in zip(wide["part"], wide["reason_code"], strict=True)
    ]
    everybody = wide[(wide["tier"] == "all") & (wide["change"].abs() >= 0.0005)]
    order = everybody["change"].abs().sort_values(ascending=False, kind="stable").index
    rows = [
        [str(row["part"]), str(row["what"]), f"{row['change']:+.3f}"]
        for row in everybody.loc[order].to_dict("records")
    ]
    change = result.change
    head = (
        f"{len(change.total):,} customers in both runs ({result.left:,} left, {result.joined:,} new): mean "
        f"probability {change.p_then.mean():.4f} to {change.p_now.mean():.4f}, mean calibrated log-odds "
        f"{change.total.mean():+.4f}."
    )
    return "\n".join([head, table_text(rows, ["part", "reason", "log-odds"], {2})])


def _called(manifest: Mapping[str, Any], wording: Wording) -> str:
    model = manifest["model"]
    day = wording.format_date(dt.date.fromisoformat(manifest["as_of"]))
    return f"{day}{', ' if wording.language == 'en' else ' '}{model['name']}/{model['version']}"


def change_json(result: ChangeResult) -> dict[str, Any]:
    """The same as plain data, with all tiers."""
    change = result.change
    runs = {
        name: {key: manifest[key] for key in ("as_of", "model_hash", "records_fingerprint")}
        for name, manifest in (("from", result.then), ("to", result.now))
    }
    return runs | {
        "customer_id": result.customer_id,
        "n_customers": len(change.total),
        "left": result.left,
        "joined": result.joined,
        "p_then": float(change.p_then.mean()),
        "p_now": float(change.p_now.mean()),
        "change": float(change.total.mean()),
        "parts": result.table.to_dict("records"),
    }
