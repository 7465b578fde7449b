"""One bucket of a batch: from its records to a part of the results, in any process on any machine.

A part is complete when ``<bucket>.json`` stands there, which holds the SHA-256 of its tables and everything
that is summed over buckets. A restart takes it as it is.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import sys
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from overdue_ml.config import RemindersConfig, ScoreConfig
from overdue_ml.errors import ConfigError, ResourceError
from overdue_ml.explain import (
    Contributions,
    build_explainer,
    check_ties_out,
    explain_features,
    score_features,
    sum_by_reason,
    top_reasons,
)
from overdue_ml.features import (
    Beside,
    FunctionFeature,
    OwnFeatures,
    RankBook,
    build_part,
    ranks_of,
    registry_with,
)
from overdue_ml.jobs.book import BookSource
from overdue_ml.jobs.inputs import input_tables
from overdue_ml.jobs.places import is_whole, sha256_of
from overdue_ml.jobs.silent import silent_of
from overdue_ml.model import ScoringModel, compute_points, load_bundle, predict_further
from overdue_ml.monitoring import count_book
from overdue_ml.records import Bucketed, InstalmentDues, Records, compute_next_due
from overdue_ml.reminders import assign_tiers

#: Tables of a part, each in Arrow's own format: read back in place, without unpacking.
SCORES, CONTRIBUTIONS, INPUTS = "scores", "contributions", "inputs"


@dataclass(frozen=True)
class Scored:
    """Customers of one part of a book, all sorted by customer_id.

    Attributes
    ----------
    scores : pandas.DataFrame
        Columns of ``scores.parquet`` but for the rank.
    features : pandas.DataFrame
        Indexed by customer_id.
    contributions : Contributions or None
        None where they were not asked for.
    dues : pandas.DataFrame
        What :func:`overdue_ml.records.compute_next_due` gave for the records.
    """

    scores: pd.DataFrame
    features: pd.DataFrame
    contributions: Contributions | None
    dues: pd.DataFrame


@dataclass(frozen=True)
class Among:
    """What a customer's features may need beside the customer's own records.

    Attributes
    ----------
    own : OwnFeatures or None
        Features of the user's own that the model was trained with.
    whole : Records or None
        Everybody, where such a feature may look at them.
    ranks : RankBook or None
        The values of everybody, where the model has ranks.
    background : pandas.DataFrame or None
        Features of those whom contributions are taken against, where they are interventional.
    """

    own: OwnFeatures | None = None
    whole: Records | None = None
    ranks: RankBook | None = None
    background: pd.DataFrame | None = None


def score_records(
    records: Records,
    as_of: dt.date,
    model: ScoringModel,
    config: ScoreConfig,
    *,
    among: Among | None = None,
    n_threads: int | None = None,
    progress: Any = None,
) -> Scored | None:
    """Score and explain every customer of some records that is known on ``as_of``.

    No value of a customer depends on who else is among the records.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    model : ScoringModel
    config : ScoreConfig
    among : Among, optional
        What is needed beside the records.
    n_threads : int, optional
    progress : callable, optional
        Called with (rows done, rows in all) while contributions are computed.

    Returns
    -------
    Scored or None
        None if nobody is known.
    """
    among = among or Among()
    registry = registry_with(model.meta["attributes"], among.own, ranks=ranks_of(model.meta))
    owed = InstalmentDues(as_of)
    built = build_part(
        records, as_of, model.feature_names, registry,
        beside=Beside(among.whole, among.ranks, owed), n_threads=n_threads,
    )  # fmt: skip
    if built is None:
        return None
    features = built.droplevel("as_of_date")
    contributions, reasons = None, no_reasons(len(features), config.reasons)
    if config.explain == "none":
        log_odds = score_features(model.classifier, features, n_threads)
    elif config.contributions.kind == "interventional" and among.background is None:
        raise ConfigError("interventional contributions need a background", expected="Among(background=...)")
    else:
        explainer = build_explainer(model.classifier, among.background)
        log_odds, contributions = explain_features(model.classifier, features, progress, explainer, n_threads)
        reasons = _reasons(contributions, model, config, silent_of(records.config))
    dues = compute_next_due(records, as_of, instalments=owed, n_threads=n_threads)
    scores = _scores(dues, as_of, features, log_odds, model, config).assign(**reasons)
    return Scored(scores, features, contributions, dues)


def no_reasons(n: int, reasons: int) -> dict[str, Any]:
    """Columns of reasons without one."""
    empty = top_reasons(pd.DataFrame(index=pd.RangeIndex(n)), reasons)
    return {str(name): empty[name].to_numpy() for name in empty.columns}


def _reasons(
    contributions: Contributions, model: ScoringModel, config: ScoreConfig, silent: Collection[str]
) -> dict[str, Any]:
    found = top_reasons(sum_by_reason(contributions.values, model.reasons), config.reasons, silent)
    return {str(name): found[name].array for name in found.columns}


def _scores(
    dues: pd.DataFrame,
    as_of: dt.date,
    features: pd.DataFrame,
    log_odds: np.ndarray,
    model: ScoringModel,
    config: ScoreConfig,
) -> pd.DataFrame:
    p = model.classifier.calibrator_.predict(log_odds)
    due = dues.reindex(features.index)
    due_amount = due["due_amount"].fillna(0.0).to_numpy()
    return pd.DataFrame(
        {
            "customer_id": features.index.astype("str"),
            "as_of_date": as_of,
            "p_overdue": p,
            **_interval(model, log_odds),
            **{f"p_overdue_dpd{d}": v for d, v in predict_further(model.further, features, p).items()},
            "log_odds": log_odds,
            "points": compute_points(p, config.points),
            "tier": assign_tiers(p, due_amount, config.tiers),
            "next_due_date": due["next_due_date"].to_numpy(),
            "due_amount": due_amount,
            "exposure_amount": due["exposure_amount"].fillna(0.0).to_numpy(),
            "expected_overdue_amount": p * due_amount,
        }
    )


def _interval(model: ScoringModel, log_odds: np.ndarray) -> dict[str, np.ndarray]:
    """Columns p_low and p_high; none of a model from before there were intervals."""
    if model.classifier.interval_ is None:
        return {}
    low, high = model.classifier.interval_of_log_odds(log_odds).T
    return {"p_low": low, "p_high": high}


@lru_cache(maxsize=2)
def _loaded(bundle: Path, bundle_hash: str) -> ScoringModel:
    """The model of a process, loaded and verified once."""
    return load_bundle(bundle, bundle_hash)


@dataclass(frozen=True)
class PartWriter:
    """Scores a bucket and writes its part; can be sent to another process.

    Attributes
    ----------
    book : BookSource
    as_of : datetime.date
    model : ScoringModel or (Path, str)
        The model, or where its bundle stands and its hash.
    score, reminders : ScoreConfig, RemindersConfig
    among : Among
    folder : Path
        Where parts go.
    run_key : str
    n_threads : int or None
    max_memory_mb : int or None
    """

    book: BookSource
    as_of: dt.date
    model: ScoringModel | tuple[Path, str]
    score: ScoreConfig
    reminders: RemindersConfig
    among: Among
    folder: Path
    run_key: str
    n_threads: int | None = None
    max_memory_mb: int | None = None

    def __call__(self, bucket: int) -> dict[str, Any]:
        """Write the part of a bucket, unless it stands there already.

        Returns
        -------
        dict
            What ``<bucket>.json`` says, and ``seconds`` and ``was_there``, which it does not.
        """
        start = time.perf_counter()
        facts = read_part(self.folder, bucket, self.run_key)
        was_there = facts is not None
        if facts is None:
            facts = self._write(bucket)
            peak_mb = _peak_mb()
            if self.max_memory_mb is not None and peak_mb > self.max_memory_mb:
                raise ResourceError(
                    f"a process needed {peak_mb:,} MB",
                    where=f"bucket {bucket}",
                    expected=f"at most max_memory_mb: {self.max_memory_mb:,}",
                    next_step="take smaller buckets, or allow more; finished buckets are kept",
                )
        return facts | {"seconds": time.perf_counter() - start, "was_there": was_there}

    def _write(self, bucket: int) -> dict[str, Any]:
        model = self.model if isinstance(self.model, ScoringModel) else _loaded(*self.model)
        # A function of the user's own may read what nothing here does.
        records = self.book.load(bucket, unread=looks_at_everybody(self.among.own))
        facts: dict[str, Any] = {"run_key": self.run_key, "bucket": bucket, "rows": 0, "files": {}}
        if records is None:
            return self._done(bucket, facts)
        among = self.among
        if among.whole is None and looks_at_everybody(among.own):
            among = replace(among, whole=self.book.load_all())
        scored = score_records(records, self.as_of, model, self.score, among=among, n_threads=self.n_threads)
        tables = {f"rejected.{name}": table for name, table in records.rejected.items() if table.num_rows}
        if isinstance(self.book, Bucketed) and self.book.prepared is None:
            # Validated here for the first time: whether too much was rejected is judged over all buckets.
            facts["validated"] = records.report.to_dict()
        else:
            tables = {}
        if scored is not None:
            facts |= _facts_of_scores(scored, model)
            tables[SCORES] = score_table(scored.scores)
            if scored.contributions is not None:
                tables[CONTRIBUTIONS] = contribution_table(scored.contributions)
            ids = scored.scores["customer_id"]
            told, facts[INPUTS] = input_tables(records, ids, scored.dues, self.as_of, self.reminders)
            tables |= {f"{INPUTS}.{name}": table for name, table in told.items()}
        for name, table in tables.items():
            path = self.folder / f"{bucket:05d}.{name}.arrow"
            _write_arrow(table, path)
            facts["files"][path.name] = sha256_of(path)
        return self._done(bucket, facts)

    def _done(self, bucket: int, facts: dict[str, Any]) -> dict[str, Any]:
        """Say that the part is complete: from here on a restart takes it as it is."""
        with _in_place(self.folder / f"{bucket:05d}.json") as unfinished:
            unfinished.write_text(json.dumps(facts, sort_keys=True, allow_nan=False), encoding="utf-8")
        return facts


def looks_at_everybody(own: OwnFeatures | None) -> bool:
    """Whether a feature of the user's own may look at other customers."""
    return own is not None and any(isinstance(feature, FunctionFeature) for feature in own.features)


def read_part(folder: Path, bucket: int, run_key: str) -> dict[str, Any] | None:
    """What is known of a part that is complete and of this run; None if there is none."""
    try:
        facts = json.loads((folder / f"{bucket:05d}.json").read_text(encoding="utf-8"))
        if (facts["run_key"], facts["bucket"]) == (run_key, bucket) and is_whole(folder, facts["files"]):
            return dict(facts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    return None


def open_part(folder: Path, bucket: int, table: str) -> pa.Table | None:
    """A table of a part, mapped into memory; None if the part has none."""
    path = folder / f"{bucket:05d}.{table}.arrow"
    if not path.is_file():
        return None
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def score_table(scores: pd.DataFrame) -> pa.Table:
    """Scores as Arrow has them; days are days, of which pandas makes moments."""
    table = pa.Table.from_pandas(scores, preserve_index=False)
    place = table.column_names.index("next_due_date")
    return table.set_column(place, "next_due_date", table.column(place).cast(pa.date32()))


def contribution_table(contributions: Contributions) -> pa.Table:
    """Contributions with their customer_id before and the base behind them."""
    values = contributions.values
    columns: dict[str, Any] = {"customer_id": pa.array(values.index.astype("str"), pa.string())}
    columns |= {str(name): pa.array(values[name].to_numpy()) for name in values.columns}
    return pa.table(columns | {"base": pa.array(np.full(len(values), contributions.base))})


def _write_arrow(table: pa.Table, path: Path) -> None:
    with (
        _in_place(path) as unfinished,
        pa.OSFile(str(unfinished), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as writer,
    ):
        writer.write_table(table)


@contextmanager
def _in_place(path: Path) -> Iterator[Path]:
    """A name of this process's own, which becomes ``path`` at the end.

    Processes outlive the run that started them when it is killed: one may still write a part that the next
    attempt has finished and is reading.
    """
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _facts_of_scores(scored: Scored, model: ScoringModel) -> dict[str, Any]:
    scores, found = scored.scores, scored.contributions
    counts = count_book(scored.features, scores["p_overdue"].to_numpy(), model.references)
    facts: dict[str, Any] = {
        "rows": len(scores),
        "counts": {name: [int(n) for n in count] for name, count in counts.items()},
        "unknown_categories": model.classifier.count_unknown_categories(scored.features),
    }
    if found is not None:
        gap = check_ties_out(found.values.to_numpy(), found.base, scores["log_odds"].to_numpy())
        facts |= {"base": found.base, "gap": gap}
    return facts


def _peak_mb() -> int:
    """Most memory that this process has used, in MB; the system counts in KiB on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024 if sys.platform == "darwin" else 1024)
