"""A scoring run while it is built: buckets into parts, parts into the tables of a run."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa

from overdue_ml.config import BatchConfig, RecordsConfig, RemindersConfig, ScoreConfig, config_hash
from overdue_ml.errors import NothingToScoreError, OverdueMLError
from overdue_ml.explain import build_explainer
from overdue_ml.features import (
    GivenFeatures,
    OwnFeatures,
    book_of_parts,
    ranks_of,
    registry_with,
)
from overdue_ml.jobs.assemble import refuse_rejected, rejected_tables, sum_drift, sum_unknown
from overdue_ml.jobs.assembly import Assembled, Assembly
from overdue_ml.jobs.background import draw_background, write_background
from overdue_ml.jobs.book import BookSource, InMemory, each_bucket
from overdue_ml.jobs.engines import needs_processes, run_tasks, threads_of
from overdue_ml.jobs.lists import facts_of_lists
from overdue_ml.jobs.output import write_json, write_parquet
from overdue_ml.jobs.parts import Among, PartWriter, looks_at_everybody
from overdue_ml.jobs.places import MANIFEST, sha256_of
from overdue_ml.jobs.planned import Planned
from overdue_ml.jobs.progress import Pace, Progress
from overdue_ml.jobs.runs import EarlierRun
from overdue_ml.model import ScoringModel, save_bundle
from overdue_ml.records import Bucketed, write_buckets
from overdue_ml.tracking import RegisteredModel

#: How long it took, which is no part of the result.
TIMINGS = "timings.json"


@dataclass(frozen=True)
class ScoreSettings:
    """The configs of a scoring run.

    ``own`` are the features of the user's own that the model was trained with, or their Python file;
    ``batch`` says how the work is done and changes no result.
    """

    score: ScoreConfig = field(default_factory=ScoreConfig)
    reminders: RemindersConfig = field(default_factory=RemindersConfig)
    records: RecordsConfig = field(default_factory=RecordsConfig)
    own: GivenFeatures | None = None
    batch: BatchConfig = field(default_factory=BatchConfig)


@dataclass
class Run:
    """One scoring run while it is built."""

    book: BookSource
    as_of: dt.date
    registered: RegisteredModel
    settings: ScoreSettings
    own: OwnFeatures | None
    identity: Mapping[str, Any]
    building: Path
    progress: Progress
    earlier: EarlierRun | None = None
    planned: Planned | None = None

    def build(self, source: str | None) -> dict[str, Any]:
        """Make ``whole/`` in the folder in which the run is built; its manifest."""
        started = time.perf_counter()
        parts = parts_folder(self.building, self.book.n_buckets)
        parts.mkdir(parents=True, exist_ok=True)
        buckets = list(range(self.book.n_buckets))
        writer = self._writer(parts)
        facts = self._carry_out(writer, buckets)
        refuse_rejected(facts, self.book.config.max_rejected_share)
        if not any(f["rows"] for f in facts):
            raise nobody_known_on(self.as_of)
        whole = self._new_whole()
        made = Assembly(
            parts, facts, self.as_of, (self.settings.score, self.settings.reminders),
            model_label(self.registered), self.earlier, at_once=self._may_use_threads(),
            planned=self.planned,
        ).write(whole, self.progress)  # fmt: skip
        if writer.among.background is not None:
            write_background(writer.among.background, whole)
        _write_rejected(whole, self._rejected(parts, buckets))
        manifest = dict(self.identity) | self._manifest(made, facts, source)
        manifest |= facts_of_lists(made.lists, made.inputs, self.settings.reminders)
        manifest["files"] = {
            name: made.digests.get(name) or sha256_of(whole / name) for name in _files_under(whole)
        }
        write_json(
            {
                "seconds": time.perf_counter() - started,
                "buckets": [[f["bucket"], f["rows"], f["seconds"], f["was_there"]] for f in facts],
            },
            whole / TIMINGS,
        )
        write_json(manifest, whole / MANIFEST)
        return manifest

    def _new_whole(self) -> Path:
        """An empty folder for what will be published."""
        whole = _fresh(self.building / "whole")
        whole.mkdir()
        return whole

    def _may_use_threads(self) -> bool:
        """Whether the config leaves this process more than one core when no bucket is left."""
        return self.settings.batch.workers > 1 or threads_of(self.settings.batch) > 1

    def tidy_up(self, *, keep_parts: bool) -> None:
        """After a failed attempt leave nothing but finished parts: no copy of records, no empty folder."""
        finished = keep_parts and any(self.building.glob("parts-*/*.json"))
        for path in (self.building / "model", self.building / "records") if finished else (self.building,):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def _at_once(self) -> int:
        """Buckets that this process scores at a time: while one waits for Python, another computes.

        A function of the user's own might not bear to be called twice at a time.
        """
        batch = self.settings.batch
        alone = needs_processes(batch) or looks_at_everybody(self.own) or self.book.n_buckets < 2
        return 1 if alone or threads_of(batch) < 2 else 2

    def _writer(self, parts: Path) -> PartWriter:
        """The task of a bucket, with all that it needs in this process or another."""
        batch, model = self.settings.batch, self.registered.model
        registry = registry_with(model.meta["attributes"], self.own, ranks=ranks_of(model.meta))
        buckets = range(self.book.n_buckets)
        ranks = book_of_parts(
            (records for _, records in each_bucket(self.book, buckets)),
            self.as_of, model.feature_names, registry, threads_of(batch),
        )  # fmt: skip
        book: BookSource = self.book
        given: ScoringModel | tuple[Path, str] = model
        whole = book.load_all() if looks_at_everybody(self.own) and not needs_processes(batch) else None
        among, score = Among(self.own, whole, ranks), self.settings.score
        if score.contributions.kind == "interventional" and score.explain != "none":
            everybody = replace(among, whole=book.load_all()) if looks_at_everybody(self.own) else among
            background = draw_background(book, self.as_of, model, score.contributions, everybody)
            among = replace(among, background=background)
        if needs_processes(batch):
            given = self.building / "model", save_bundle(model, _fresh(self.building / "model"))
            if isinstance(book, InMemory):
                book = write_buckets(book.records, _fresh(self.building / "records"), book.n_buckets)
        return PartWriter(
            book=book, as_of=self.as_of, model=given, score=score,
            reminders=self.settings.reminders, among=among, folder=parts,
            run_key=self.identity["run_key"], n_threads=threads_of(batch) // self._at_once,
            max_memory_mb=batch.max_memory_mb,
        )  # fmt: skip

    def _carry_out(self, task: PartWriter, buckets: Sequence[int]) -> list[dict[str, Any]]:
        self.progress.stage(f"scoring {len(buckets)} bucket(s)")
        found, pace = [], Pace(len(buckets))
        if self._at_once > 1:
            Thread(target=_warm_up, args=(task,), daemon=True).start()
        for facts in run_tasks(task, buckets, self.settings.batch, at_once=self._at_once):
            found.append(facts)
            said = pace.step(facts["rows"], facts["was_there"])
            self.progress.advance(len(found), len(buckets), said if len(buckets) > 1 else "")
        return sorted(found, key=lambda f: int(f["bucket"]))

    def _rejected(self, parts: Path, buckets: Sequence[int]) -> Mapping[str, pa.Table]:
        if isinstance(self.book, InMemory):
            return {name: table for name, table in self.book.records.rejected.items() if table.num_rows}
        if isinstance(self.book, Bucketed) and self.book.prepared is not None:
            return self.book.rejected
        return rejected_tables(parts, buckets)

    def _manifest(
        self, made: Assembled, facts: Sequence[Mapping[str, Any]], source: str | None
    ) -> dict[str, Any]:
        model, settings = self.registered.model, self.settings
        drift = sum_drift(facts, model.references)
        bases = [f["base"] for f in facts if "base" in f and made.n_explained]
        final_on = str(model.meta["labels_final_on"])
        manifest = made.facts | {
            "n_reminders": len(made.lists.reminders.reminders),
            # A model that learned from outcomes after the as_of date may know its own answers.
            "labels_final_on": final_on,
            "trained_on_later_outcomes": final_on > self.as_of.isoformat(),
            "records_source": source,
            "base_log_odds": bases[0] if bases else None,
            "n_explained": made.n_explained,
            "largest_explanation_gap": max((f["gap"] for f in facts if "gap" in f), default=0.0),
            "labels": model.meta["config"]["labels"],
            "ranks": ranks_of(model.meta),
            "unknown_categories": sum_unknown(facts),
            "drift": [[row.feature, row.psi, row.status] for row in drift.head(11).itertuples()],
            "settings": {
                "score": settings.score.model_dump(mode="json"),
                "reminders": settings.reminders.model_dump(mode="json"),
                "records": self.book.config.model_dump(mode="json"),
            },
        }
        if self.own:
            manifest["own_features"] = self.own.describe()
        return manifest


def _warm_up(task: PartWriter) -> None:
    """Build the explainer while the first buckets are read, which would wait for it together."""
    # What is wrong with the model the buckets say.
    with suppress(OverdueMLError):
        if isinstance(task.model, ScoringModel):
            build_explainer(task.model.classifier, task.among.background)


def parts_folder(building: Path, n_buckets: int) -> Path:
    """Where parts go: those of a book that was cut otherwise are others."""
    return building / f"parts-{n_buckets}"


def model_label(registered: RegisteredModel) -> str:
    """A registered model as a person names it: ``name/version``."""
    return f"{registered.name}/{registered.version}"


def identity_of(
    book: BookSource,
    as_of: dt.date,
    registered: RegisteredModel,
    settings: ScoreSettings,
    earlier: EarlierRun | None = None,
    planned: Planned | None = None,
) -> dict[str, Any]:
    """What the result depends on; two runs with the same key give the same bytes.

    The watch list stands in the run and depends on the scores of the run before, so those are part of the
    key: when an earlier date is scored again and comes out otherwise, a new run stands beside the old one
    instead of a watch list that nobody can explain. It is the bytes of those scores, not the key of that
    run, lest one change long ago give every later run another key. Without rules nothing depends on them.
    Contacts that earlier runs planned for later days are counted, and so they are part of the key as well,
    where there are any.
    """
    parts: dict[str, Any] = {}
    if settings.reminders.alerts:
        parts["watched"] = {
            "model": model_label(registered),
            "earlier": None if earlier is None else [earlier.as_of, earlier.model, earlier.scores_hash],
        }
    if planned is not None:
        parts["planned"] = planned.identity()
    parts |= {
        "as_of": as_of.isoformat(),
        "records_fingerprint": book.fingerprint,
        "model_hash": registered.bundle_hash,
        "feature_set_hash": registered.model.feature_set_hash,
        "config_hash": config_hash(settings.score, settings.reminders, book.config),
        "code_version": version("overdue_ml"),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return parts | {"run_key": key, "model": registered.card()}


def nobody_known_on(as_of: dt.date) -> NothingToScoreError:
    """The error of a date before the first record."""
    return NothingToScoreError(
        f"nothing is known of any customer on {as_of}",
        where="tables accounts, statements",
        next_step="choose an as_of date on or after the first record",
    )


def _fresh(folder: Path) -> Path:
    """A folder that is not there any more: what an interrupted attempt left is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _files_under(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def _write_rejected(folder: Path, rejected: Mapping[str, pa.Table]) -> None:
    if rejected:
        (folder / "rejected").mkdir()
        for name, table in rejected.items():
            write_parquet(table, folder / "rejected" / f"{name}.parquet")
