"""``overdue-ml score``: every customer ranked and explained for one as_of date."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.config import RemindersConfig, ScoreConfig
from overdue_ml.errors import FeatureMismatchError, NothingToScoreError
from overdue_ml.explain import Contributions
from overdue_ml.features import OwnFeatures, book_of_parts, own_features_of, ranks_of, registry_with
from overdue_ml.features.build import epoch_days
from overdue_ml.features.views import known_customers
from overdue_ml.jobs.assemble import rank_scores
from overdue_ml.jobs.background import draw_background
from overdue_ml.jobs.batch import Run, identity_of, nobody_known_on, parts_folder
from overdue_ml.jobs.batch import ScoreSettings as ScoreSettings
from overdue_ml.jobs.book import InMemory, each_bucket, open_book
from overdue_ml.jobs.lists import check_lists
from overdue_ml.jobs.parts import Among, read_part, score_records, score_table
from overdue_ml.jobs.places import MANIFEST as MANIFEST
from overdue_ml.jobs.places import (
    building_folder,
    check_out,
    claimed,
    finished_run,
    publish,
    runs_of,
    unfinished,
    written_to,
)
from overdue_ml.jobs.planned import Planned, planned_before
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.jobs.runs import EarlierRun, newest_earlier
from overdue_ml.model import ScoringModel
from overdue_ml.records import Bucketed, Records
from overdue_ml.records.dates import parse_date
from overdue_ml.reminders.eligibility import check_columns, names_columns
from overdue_ml.tracking import RegisteredModel


@dataclass(frozen=True)
class ScoreResult:
    """What a scoring run wrote.

    Attributes
    ----------
    folder : Path
        ``<out>/as_of=YYYY-MM-DD``, or ``.run2`` and so on behind it where others stood there before.
    manifest : mapping
    already_done : bool
        The same run stood there already and nothing was written.
    """

    folder: Path
    manifest: Mapping[str, Any]
    already_done: bool = False


@dataclass(frozen=True)
class ScorePlan:
    """What a scoring run would do.

    Attributes
    ----------
    run_key : str
    done : Path or None
        Where it stands already.
    beside : list of Path
        Finished runs of the date with other records, another model or another config.
    n_buckets : int
    n_ready : int
        Buckets that an earlier attempt at this run has finished.
    left_over : list of Path
        Folders of other runs of the date that were begun and not finished.
    """

    run_key: str
    done: Path | None
    beside: list[Path]
    n_buckets: int
    n_ready: int
    left_over: list[Path]


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
    background: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, Contributions]:
    """Scores, features and contributions of every customer known on ``as_of``, in memory.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    model : ScoringModel
    config : ScoreConfig
    progress : Progress
    own : OwnFeatures, optional
        Those that the model was trained with.
    background : pandas.DataFrame, optional
        Of interventional contributions; drawn from the records by default.

    Returns
    -------
    scores : pandas.DataFrame
        Columns of DESIGN's ``scores.parquet``, sorted by customer_id.
    features : pandas.DataFrame
        Indexed by customer_id.
    contributions : Contributions

    Raises
    ------
    NothingToScoreError
        If nobody is known on the date.
    """
    check_feature_set(model, list(model.meta["attributes"]), own)
    progress.stage("scoring and explaining")
    registry = registry_with(model.meta["attributes"], own, ranks=ranks_of(model.meta))
    among = Among(own, records, book_of_parts([records], as_of, model.feature_names, registry))
    config = config.model_copy(update={"explain": "all"})
    if config.contributions.kind == "interventional" and background is None:
        background = draw_background(InMemory(records, 1), as_of, model, config.contributions, among)
    among = replace(among, background=background)
    scored = score_records(records, as_of, model, config, among=among, progress=progress.advance)
    if scored is None or scored.contributions is None:
        raise nobody_known_on(as_of)
    ranked = rank_scores(score_table(scored.scores)).to_pandas()
    return ranked, scored.features, scored.contributions


def plan_score(
    source: Path | Records,
    as_of: dt.date,
    registered: RegisteredModel,
    out: Path,
    settings: ScoreSettings | None = None,
) -> ScorePlan:
    """Say what :func:`run_score` would do with the same arguments; writes nothing.

    Raises
    ------
    ConfigError, FeatureMismatchError, NothingToScoreError, RecordsError
        What that would raise, as far as it can be told without scoring anybody.
    """
    settings, as_of = settings or ScoreSettings(), parse_date(as_of)
    own_of(registered.model, settings)
    check_out(out)
    book = open_book(source, settings.records, settings.batch.customers_per_bucket)
    before = earlier_of(out, as_of, registered, settings)
    day, key = as_of.isoformat(), identity_of(book, as_of, registered, settings, *before)["run_key"]
    done = finished_run(out, day, key)
    folder = parts_folder(building_folder(out, day, key), book.n_buckets)
    ready = [part for b in range(book.n_buckets) if (part := read_part(folder, b, key)) is not None]
    if done is None:
        check_named_columns(book, settings.reminders)
        if not any(part["rows"] for part in ready):
            check_known(book, as_of)
    return ScorePlan(
        key, done[0] if done else None, runs_of(out, day), book.n_buckets, len(ready),
        unfinished(out, day, key),
    )  # fmt: skip


def own_of(model: ScoringModel, settings: ScoreSettings) -> OwnFeatures | None:
    """The user's own features that a model needs, after its features and the settings are checked."""
    own = own_features_of(model.meta.get("own_features"), settings.own)
    check_feature_set(model, list(model.meta["attributes"]), own)
    check_lists(settings.reminders, model, settings.score)
    return own


def check_named_columns(book: InMemory | Bucketed, config: RemindersConfig) -> None:
    """Refuse a reminder policy that names columns which the records do not have.

    A book in buckets has the same columns in each: the first with somebody in it is asked.

    Raises
    ------
    ConfigError, RecordsError
    """
    if names_columns(config):
        for records in _pieces(book):
            check_columns(records, config)
            break


def check_known(book: InMemory | Bucketed, as_of: dt.date) -> None:
    """Refuse a date on which nobody is known; buckets are read up to the first that knows somebody.

    Raises
    ------
    NothingToScoreError, RecordsError
    """
    day = epoch_days([as_of])
    if not any(len(known_customers(records, day).day) for records in _pieces(book)):
        raise nobody_known_on(as_of)


def _pieces(book: InMemory | Bucketed) -> Iterator[Records]:
    """The records as they lie: what is in memory is not taken apart."""
    if isinstance(book, InMemory):
        yield book.records
    else:
        yield from (records for _, records in each_bucket(book, range(book.n_buckets)))


def earlier_of(
    out: Path, as_of: dt.date, registered: RegisteredModel, settings: ScoreSettings
) -> tuple[EarlierRun | None, Planned | None]:
    """The run that the watch list looks back to, and contacts that earlier runs planned for later days.

    None where there are none, or nothing asks for them.
    """
    watched, policy = None, settings.reminders
    if policy.alerts:
        watched = newest_earlier(out, as_of.isoformat(), registered.name)
    return watched, planned_before(out, as_of, registered.name, policy)


def run_score(
    source: Path | Records,
    as_of: dt.date,
    registered: RegisteredModel,
    out: Path,
    settings: ScoreSettings | None = None,
    *,
    progress: Progress | None = None,
) -> ScoreResult:
    """Score a book bucket by bucket and write ``<out>/as_of=<date>/`` as a whole.

    A run that was interrupted goes on where it stopped; of two at once the second waits and finds it done.
    A run with other records, another model or another config stands beside the first, never over it.

    Parameters
    ----------
    source : Path or Records
        Records, or a folder of buckets (see :func:`overdue_ml.records.write_buckets`).
    as_of : datetime.date
    registered : RegisteredModel
    out : Path
    settings : ScoreSettings, optional
    progress : Progress, optional

    Returns
    -------
    ScoreResult

    Raises
    ------
    ConfigError, FeatureMismatchError, ModelError, NothingToScoreError, RecordsError
        See the stages.
    ResourceError
        If the place cannot be written, or processes were lost.
    """
    progress, settings, as_of = progress or Silent(), settings or ScoreSettings(), parse_date(as_of)
    check_out(out)
    # Before anything that an older run may have finished already: a changed feature must not pass for it.
    own = own_of(registered.model, settings)
    progress.stage("reading records")
    book = open_book(source, settings.records, settings.batch.customers_per_bucket)
    before = earlier_of(out, as_of, registered, settings)
    identity = identity_of(book, as_of, registered, settings, *before)
    day, key = as_of.isoformat(), identity["run_key"]
    with claimed(out, day, key, lambda: progress.stage("waiting for another process with the same run")):
        done = finished_run(out, day, key)
        # Absolute: another process may have another working directory.
        building = building_folder(out.absolute(), day, key)
        if done is not None:
            # Of a process that was killed between publishing and tidying up.
            shutil.rmtree(building, ignore_errors=True)
            return ScoreResult(*done, already_done=True)
        check_named_columns(book, settings.reminders)
        with written_to(out):
            run = Run(book, as_of, registered, settings, own, identity, building, progress, *before)
            try:
                manifest = run.build(str(source) if isinstance(source, Path) else None)
            except BaseException as error:
                run.tidy_up(keep_parts=not isinstance(error, NothingToScoreError))
                raise
            target = publish(run.building / "whole", out, day)
            shutil.rmtree(run.building, ignore_errors=True)
    return ScoreResult(target, manifest)
