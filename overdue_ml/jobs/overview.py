"""``overdue-ml overview``: what moves the scores of a whole book."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError
from overdue_ml.explain import (
    choose_background,
    compute_dependence,
    compute_importance,
    compute_interactions,
    compute_reason_importance,
    compute_segment_reasons,
    compute_swarm,
    load_wording,
    sum_by_reason,
)
from overdue_ml.features import FeatureBuilder, GivenFeatures, Registry, own_features_of, registry_with
from overdue_ml.features.chinese import meaning_in_chinese
from overdue_ml.jobs.background import read_background
from overdue_ml.jobs.cards import _scored_records
from overdue_ml.jobs.groups import groups_of, table_of
from overdue_ml.jobs.replay import model_of_run
from overdue_ml.jobs.runs import find_run, read_manifest, read_rows
from overdue_ml.records import Records
from overdue_ml.reports import Names, Overview, render_overview
from overdue_ml.reports.phrases import load_phrases

TIER = "tier"
_TIERS = ["high", "medium", "low"]


@dataclass(frozen=True)
class OverviewSettings:
    """What is looked at, and how much of it.

    Attributes
    ----------
    segments : sequence of str
        ``tier``, and columns of accounts or customers.
    sample : int
        Customers drawn by id; interactions are of the first ``pairs`` and dots of fewer.
    pairs : int
    top : int
        Features whose dependence is drawn.
    own : path, OwnFeatures or sequence of features, optional
        Features of your own that the model was trained with, or their file.
    wording : Path, optional
        A reason catalogue of your own.
    """

    segments: Sequence[str] = (TIER,)
    sample: int = 100_000
    pairs: int = 1000
    top: int = 6
    own: GivenFeatures | None = None
    wording: Path | None = None


@dataclass(frozen=True)
class OverviewResult:
    """The page that was written and what stands on it."""

    path: Path
    overview: Overview


@dataclass(frozen=True)
class _Book:
    """Customers drawn from a run, sorted by id."""

    manifest: Mapping[str, Any]
    records: Records
    registry: Registry
    contributions: pd.DataFrame
    features: pd.DataFrame
    n_book: int

    @property
    def reasons(self) -> dict[str, str]:
        """Reason of every feature, the user's own among them."""
        own = (self.manifest.get("own_features") or {}).get("features", [])
        return {f.name: f.reason for f in self.registry} | {f["name"]: f["reason"] for f in own}

    @property
    def is_complete(self) -> bool:
        """Whether the values of all features are there."""
        return set(self.contributions.columns) <= set(self.features.columns)


def run_overview(
    scores: Path,
    lang: str = "en",
    *,
    source: Path | Records | None = None,
    out: Path | None = None,
    models: Path | None = None,
    settings: OverviewSettings | None = None,
) -> OverviewResult:
    """Write the overview of a scoring run.

    Parameters
    ----------
    scores : Path
        A scoring run.
    lang : {'en', 'zh'}
    source : Path or Records, optional
        The records that were scored; by default where the run read them.
    out : Path, optional
        HTML file; by default ``overview_<lang>.html`` in the run's folder.
    models : Path, optional
        The models folder, for interactions; without it there are none.
    settings : OverviewSettings, optional

    Returns
    -------
    OverviewResult

    Raises
    ------
    ConfigError
        If the run, the language or a segment is unknown, or nobody was explained.
    RecordsError
        If the records are not those that were scored.
    ModelError
        If the model is not the one of the run.
    """
    settings, phrases = settings or OverviewSettings(), load_phrases(lang)
    words, folder = load_wording(lang, settings.wording), find_run(scores)
    book = _read_book(folder, source, settings.own, settings.sample)
    # Of the user's own features without their file there are contributions and no values.
    absent = [n for n in book.contributions.columns if n not in book.features.columns]
    values = book.features.assign(**dict.fromkeys(absent, pd.Series(float("nan"), index=book.features.index)))
    importance = compute_importance(book.contributions, values, book.reasons)
    known = importance.loc[~importance["feature"].isin(absent) & (importance["mean_abs"] > 0), "feature"]
    pairs = _interactions(book, models, settings.pairs)
    overview = Overview(
        len(book.contributions),
        book.n_book,
        compute_reason_importance(book.contributions, book.reasons),
        importance,
        compute_swarm(book.contributions, values),
        {
            str(name): compute_dependence(book.contributions, values, str(name))
            for name in known.head(settings.top)
        },
        pairs,
        min(settings.pairs, len(book.contributions)),
        _segments(book, folder, settings.segments),
    )
    own_meanings = (book.manifest.get("own_features") or {}).get("features", [])
    names = Names(
        {code: words.title(code) if code in words.reasons else code for code in set(book.reasons.values())},
        {f.name: meaning_in_chinese(f) if lang == "zh" else f.meaning for f in book.registry}
        | {f["name"]: f["meaning"] for f in own_meanings},
        {tier: words.tier(tier) for tier in _TIERS},
    )
    notes = [phrases.text("ov_note_own")] if absent else []
    background = read_background(folder)
    if background is not None:
        notes.append(phrases.text("ov_note_background", n=f"{len(background):,}"))
    page = render_overview(overview, names, _meta(book.manifest, lang), lang, notes)
    path = out or folder / f"overview_{lang}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return OverviewResult(path, overview)


def _read_book(folder: Path, source: Path | Records | None, own: GivenFeatures | None, n: int) -> _Book:
    manifest = read_manifest(folder)
    path = folder / "contributions.parquet"
    if not path.is_file():
        raise ConfigError(
            "nobody was explained in this run", where=str(folder), next_step="score with 'explain: all'"
        )
    table = pq.read_table(path, columns=["customer_id"], page_checksum_verification=True)
    ids = [str(i) for i in table.column("customer_id").to_pylist()]
    if not ids:
        raise ConfigError("nobody was explained in this run", where=str(path))
    contributions = read_rows(path, choose_background(ids, n)).drop(columns="base").sort_index().astype(float)
    attributes = manifest["settings"]["records"]["attributes"]
    given = None if own is None else own_features_of(manifest.get("own_features"), own)
    registry = registry_with(attributes, given, ranks=bool(manifest.get("ranks", False)))
    records = _scored_records(manifest, source)
    day = dt.date.fromisoformat(manifest["as_of"])
    keys = pd.DataFrame({"customer_id": contributions.index.astype("str"), "as_of_date": day})
    built = [name for name in contributions.columns if name in registry]
    features = FeatureBuilder(records, built, registry).fit(keys).transform(keys)
    features.index = contributions.index
    return _Book(manifest, records, registry, contributions, features, len(ids))


def _interactions(book: _Book, models: Path | None, n: int) -> pd.DataFrame | None:
    if models is None or not models.is_dir() or not book.is_complete:
        return None
    model = model_of_run(book.manifest, models).model
    chosen = choose_background([str(i) for i in book.features.index], n)
    return compute_interactions(model.classifier, book.features.loc[chosen, model.feature_names])


def _segments(book: _Book, folder: Path, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    by_reason = sum_by_reason(book.contributions, book.reasons)
    day = pd.Timestamp(book.manifest["as_of"])
    keys = pd.MultiIndex.from_arrays(
        [by_reason.index.astype("str"), [day] * len(by_reason)], names=["customer_id", "as_of_date"]
    )
    found = {}
    for name in dict.fromkeys(names):
        if name == TIER:
            tiers = read_rows(folder / "scores.parquet", by_reason.index, [TIER])[TIER].astype("str")
            order = pd.CategoricalDtype(_TIERS)
            groups = tiers.reindex(by_reason.index).astype(order)
        elif table_of(book.records, name) is not None:
            groups = pd.Series(groups_of(book.records, name, keys), index=by_reason.index)
        else:
            raise ConfigError(
                f"neither accounts nor customers have a column '{name[:80]}'",
                where="--segment",
                expected=f"'{TIER}', or a column of one of them",
            )
        found[name] = compute_segment_reasons(by_reason, groups)
    return found


def _meta(manifest: Mapping[str, Any], lang: str) -> dict[str, str]:
    phrases, model = load_phrases(lang), manifest["model"]
    return {
        phrases.text("ov_as_of"): str(manifest["as_of"]),
        phrases.text("model"): f"{model['name']}/{model['version']}",
        phrases.text("f_records_fingerprint"): str(manifest["records_fingerprint"])[:12],
        phrases.text("f_code_version"): str(manifest["code_version"]),
    }
