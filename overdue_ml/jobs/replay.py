"""``overdue-ml replay``: one score of a finished run once more, from the records as they were known then."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.config import RemindersConfig, ScoreConfig, build_config, config_hash
from overdue_ml.errors import ConfigError, ModelError, NothingToScoreError
from overdue_ml.explain.contributions import TOLERANCE
from overdue_ml.features import (
    GivenFeatures,
    OwnFeatures,
    RankFeature,
    own_features_of,
    ranks_of,
    registry_with,
)
from overdue_ml.features.future import forget_after
from overdue_ml.jobs.background import read_background
from overdue_ml.jobs.book import BookSource, records_of
from overdue_ml.jobs.parts import looks_at_everybody
from overdue_ml.jobs.progress import Silent
from overdue_ml.jobs.runs import book_of_run, find_run, read_explained, read_manifest, read_row
from overdue_ml.jobs.score import score_book
from overdue_ml.model import ScoringModel
from overdue_ml.records import Records
from overdue_ml.records.select import keep_customers
from overdue_ml.tracking import RegisteredModel, load_model, open_store

SAME, RECORDS_DIFFER, MODEL_DIFFERS = 0, 3, 4
#: What a score is made of, as in scores.parquet, without the rank and the reasons.
_OWN = ["p_overdue", "log_odds", "points", "tier"]
_OWN += ["next_due_date", "due_amount", "exposure_amount", "expected_overdue_amount"]
_IDENTITY = ["as_of", "records_fingerprint", "model_hash", "feature_set_hash", "config_hash", "code_version"]
_NO_RANK = "the rank is not replayed: it needs the whole book"


@dataclass(frozen=True)
class Difference:
    """Something that was one thing then and is another now.

    Attributes
    ----------
    what : {'model', 'records', 'config', 'code', 'score', 'contribution'}
    name : str
    then, now : Any
        Plain values; None where there is none.
    """

    what: str
    name: str
    then: Any
    now: Any


@dataclass(frozen=True)
class ReplayResult:
    """What came of a replay.

    Attributes
    ----------
    customer_id : str
    as_of : datetime.date
    exit_code : {0, 3, 4}
        0: the same score; 3: another, for the records are others; 4: another, for the model or the code is.
    row : mapping
        The score as the run has it.
    differences : list of Difference
        Of the score and of what it depends on; where the score is the same, of the latter only.
    notes : list of str
    """

    customer_id: str
    as_of: dt.date
    exit_code: int
    row: Mapping[str, Any]
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_replay(
    run: Path,
    customer_id: str,
    as_of: dt.date,
    source: Path | Records,
    models: Path,
    own: GivenFeatures | None = None,
) -> ReplayResult:
    """Score one customer of a finished run again, with its model and settings, and compare.

    Everything that became known after the as_of date is dropped first, so that records that have grown
    since give the same score. A model with ranks is replayed on the whole book.

    Parameters
    ----------
    run : Path
        ``<out>/as_of=YYYY-MM-DD``.
    customer_id : str
    as_of : datetime.date
        That of the run.
    source : Path or Records
    models : Path
        The models folder.
    own : path, OwnFeatures or sequence of features, optional
        Features of your own that the model was trained with.

    Returns
    -------
    ReplayResult
        The probability, the log-odds, points, tier, amounts and reason codes must be the same to the last
        bit; contributions may differ by what explanations are checked to (1e-9).

    Raises
    ------
    ConfigError
        If there is no such run or customer, the run is of another date, or its manifest was changed.
    ModelError
        If the model cannot be loaded or is not the one of the run.
    RecordsError
        If the records cannot be read.
    """
    folder = find_run(run)
    manifest = read_manifest(folder)
    _check_manifest(manifest, as_of)
    then = read_row(folder / "scores.parquet", customer_id)
    # A run need not have explained everybody.
    explained = pd.notna(then.get("reason_1_code"))
    parts = read_explained(folder, [customer_id]).iloc[0] if explained else None
    registered = model_of_run(manifest, models)
    model = registered.model
    used = own_features_of(model.meta.get("own_features"), own)
    book = book_of_run(manifest, source)
    score = build_config(ScoreConfig, manifest["settings"]["score"])
    causes = _causes(manifest, book, score)
    whole = needs_whole_book(model, used)
    records = records_of(book, None if whole else [customer_id])
    known = forget_after(records if whole else keep_customers(records, [customer_id]), as_of)
    try:
        scores, features, contributions = score_book(
            known, as_of, model, score, Silent(), used, read_background(folder)
        )
    except NothingToScoreError:
        scores = None
    if scores is None or not (scores["customer_id"] == customer_id).any():
        found = [Difference("records", f"customer {customer_id}", "known", "not known on that day")]
    else:
        found = _compare(then, explained, scores[scores["customer_id"] == customer_id].iloc[0])
        if found and parts is not None:
            now = contributions.values[contributions.values.index == customer_id].iloc[0].astype(float)
            values = features[features.index == customer_id].iloc[0]
            found += _contributions(parts.drop("base").astype(float), now, values)
    notes = [_NO_RANK]
    notes += _notes(found, causes)
    return ReplayResult(customer_id, as_of, _exit_code(found, causes), dict(then), [*causes, *found], notes)


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    # A run without a watch list looks back to none, and few find anything planned for later days.
    names = [*_IDENTITY, *(name for name in ("watched", "planned") if name in manifest)]
    return {name: manifest[name] for name in names}


def _check_manifest(manifest: Mapping[str, Any], as_of: dt.date) -> None:
    try:
        parts = _identity(manifest)
        key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        whole = key == manifest["run_key"] and {"score", "reminders", "records"} <= set(manifest["settings"])
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise ConfigError(
            "the manifest of the run was changed: its run key does not fit",
            where="manifest.json",
            next_step="restore the run's folder",
        )
    if manifest["as_of"] != as_of.isoformat():
        raise ConfigError(
            f"the run is of {manifest['as_of']}, not of {as_of}", where="--as-of", next_step="name its day"
        )


def model_of_run(manifest: Mapping[str, Any], models: Path) -> RegisteredModel:
    """The very version that scored, by its hash and not by its name alone.

    Raises
    ------
    ModelError
        If it cannot be loaded or is another by now.
    """
    card = manifest["model"]
    registered = load_model(open_store(models), f"{card['name']}/{card['version']}")
    if registered.bundle_hash != manifest["model_hash"]:
        raise ModelError(
            f"version {card['version']} of '{card['name']}' here is not the model that scored",
            expected=f"bundle {manifest['model_hash'][:12]}, found {registered.bundle_hash[:12]}",
            next_step="give the models folder of that time with --models",
        )
    return registered


def _causes(manifest: Mapping[str, Any], book: BookSource, score: ScoreConfig) -> list[Difference]:
    """What a score depends on and is not as it was; the model is checked before."""
    reminders = build_config(RemindersConfig, manifest["settings"]["reminders"])
    found = [
        ("records", "fingerprint of all records", manifest["records_fingerprint"], book.fingerprint),
        (
            "config",
            "hash of the settings",
            manifest["config_hash"],
            config_hash(score, reminders, book.config),
        ),
        ("code", "version of overdue_ml", manifest["code_version"], version("overdue_ml")),
    ]
    return [Difference(what, name, then, now) for what, name, then, now in found if then != now]


def needs_whole_book(model: ScoringModel, own: OwnFeatures | None) -> bool:
    """Whether a customer's score needs the records of others."""
    if looks_at_everybody(own):
        return True
    registry = registry_with(list(model.meta["attributes"]), own, ranks=ranks_of(model.meta))
    return any(name in registry and isinstance(registry[name], RankFeature) for name in model.feature_names)


def _plain(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _compare(then: pd.Series, explained: bool, now: pd.Series) -> list[Difference]:
    """Equal to the last bit; contributions of reasons, if there were any, within what they are checked to."""
    found = []
    for name in _OWN:
        before, after = _plain(then[name]), _plain(now[name])
        if before != after:
            found.append(Difference("score", name, before, after))
    if not explained:
        return found
    places = sorted(int(name.split("_")[1]) for name in then.index if name.endswith("_contribution"))
    for place in places:
        code, part = f"reason_{place}_code", f"reason_{place}_contribution"
        if code not in now.index:
            continue
        one, other = _plain(then[part]), _plain(now[part])
        near = one == other or (None not in (one, other) and abs(one - other) <= TOLERANCE)
        if not near:
            found.append(Difference("score", part, one, other))
        # Two reasons of the same weight may stand in either order.
        if then[code] != now[code] and not near:
            found.append(Difference("score", code, _plain(then[code]), _plain(now[code])))
    return found


def _contributions(then: pd.Series, now: pd.Series, values: pd.Series) -> list[Difference]:
    """Features that added something else, the largest change first; a run keeps no values of features."""
    change = (then.reindex(now.index) - now).abs()
    moved = change[~(change <= TOLERANCE)].sort_values(ascending=False, kind="stable")
    return [
        Difference(
            "contribution", f"{name} (now {_said(_plain(values[name]))})", float(then[name]), float(now[name])
        )
        for name in moved.index
    ]


def _exit_code(found: list[Difference], causes: list[Difference]) -> int:
    if not found:
        return SAME
    kinds = {cause.what for cause in causes} | {item.what for item in found}
    # With the very same records it is the code that computes otherwise.
    return RECORDS_DIFFER if "records" in kinds else MODEL_DIFFERS


def _notes(found: list[Difference], causes: list[Difference]) -> list[str]:
    kinds = {cause.what for cause in causes}
    if not found:
        if "records" in kinds:
            return ["the records are others by now, but not in what this score was made of"]
        return []
    if not kinds and not any(item.what == "records" for item in found):
        return ["model, records, settings and version are the same: the code or a library computes otherwise"]
    if "records" in kinds and "code" in kinds:
        return ["records and code are both others: which of them it is cannot be told from the run"]
    return []


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def replay_text(result: ReplayResult) -> str:
    """The verdict, then what differs."""
    row = result.row
    verdict = {
        SAME: "the same score",
        RECORDS_DIFFER: "another score: the records are not what they were",
        MODEL_DIFFERS: "another score: the model or the code is not what it was",
    }[result.exit_code]
    lines = [
        f"{result.customer_id} as of {result.as_of}: {verdict}.",
        f"In the run: p {row['p_overdue']:.6f}, log-odds {row['log_odds']:.6f}, points {row['points']:.2f}, "
        f"tier {row['tier']}.",
    ]
    lines += [f"  {d.what}: {d.name}: then {_said(d.then)}, now {_said(d.now)}" for d in result.differences]
    return "\n".join([*lines, *(f"Note: {note}." for note in result.notes)])


def replay_json(result: ReplayResult) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "customer_id": result.customer_id,
        "as_of": result.as_of.isoformat(),
        "same": result.exit_code == SAME,
        "exit_code": result.exit_code,
        "differences": [vars(item) for item in result.differences],
        "notes": result.notes,
    }
