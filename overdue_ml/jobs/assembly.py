"""The tables of a run from its parts, in blocks: memory grows with the lists, hardly with customers."""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RemindersConfig, ScoreConfig
from overdue_ml.disk import sync
from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.assemble import (
    GROUP_ROWS,
    Merged,
    PartFiles,
    RowGroups,
    keep_reasons,
    with_rank,
    write_contributions,
)
from overdue_ml.jobs.decide import Decided, decide
from overdue_ml.jobs.lists import Lists, write_lists
from overdue_ml.jobs.order import Float64Array, InFiles, Int64Array, find_ranks
from overdue_ml.jobs.parts import CONTRIBUTIONS, SCORES
from overdue_ml.jobs.places import sha256_of
from overdue_ml.jobs.planned import Planned
from overdue_ml.jobs.progress import Progress
from overdue_ml.jobs.runs import EarlierRun
from overdue_ml.reminders import ReminderInputs, WatchList, suggest_treatment

#: Rows of scores that stand in memory together as pandas has them, beside those of a row group.
BLOCK_ROWS = 1 << 17

#: Between these the manifest counts customers by p_overdue.
EDGES = np.linspace(0.0, 1.0, 51)

_CONTRIBUTIONS = "contributions.parquet"
_SUPPRESSED = pa.schema([("customer_id", pa.large_string()), ("rule", pa.large_string())])
_TOLD = ["customer_id", "as_of_date", "tier", "reason_1_code"]


#: A task that runs beside others, and asks now and then whether anybody still wants it.
_Task = Callable[[Callable[[], bool]], dict[str, str]]
_Result = Callable[[], dict[str, str]]
_Beside = Callable[[_Task], _Result]


@dataclass
class Tally:
    """Counts and sums of the customers of a run, as their scores go by in the order of customer_id.

    Attributes
    ----------
    p_overdue, expected : ndarray of float64, shape (n,)
        Kept whole: a sum over portions would depend on where they end.
    tiers, rules : Counter
        Customers by tier, and those who are not on the list by rule.
    counts : ndarray of int64
        Customers between the edges of p_overdue.
    """

    p_overdue: Float64Array
    expected: Float64Array
    tiers: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    counts: Int64Array = field(default_factory=lambda: np.zeros(len(EDGES) - 1, dtype=np.int64))
    n: int = 0

    def add(self, scores: pa.Table, rules: Mapping[str, int]) -> None:
        """Count some customers and those of them whom each rule leaves out."""
        here = slice(self.n, self.n + scores.num_rows)
        self.p_overdue[here] = scores.column("p_overdue").to_numpy()
        self.expected[here] = scores.column("expected_overdue_amount").to_numpy()
        self.counts += np.histogram(self.p_overdue[here], bins=EDGES)[0]
        self.tiers.update(_count(scores.column("tier")))
        self.rules.update(rules)
        self.n = here.stop

    def facts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "n_customers": self.n,
            "tiers": dict(sorted(self.tiers.items())),
            "suppressed": dict(sorted(self.rules.items())),
            "expected_overdue_amount": float(np.sum(self.expected)),
            "mean_p_overdue": float(np.sum(self.p_overdue) / self.n),
            "book_edges": [float(e) for e in EDGES],
            "book_counts": [int(c) for c in self.counts],
        }


@dataclass(frozen=True)
class Assembled:
    """What stands in a run's folder after :meth:`Assembly.write`.

    Attributes
    ----------
    lists : Lists
        Written as well.
    inputs : ReminderInputs
        See :class:`overdue_ml.jobs.decide.Decided`.
    facts : dict
        Counts and sums of the customers, for the manifest.
    n_explained : int
    digests : dict of str to str
        SHA-256 of files that are known already.
    """

    lists: Lists
    inputs: ReminderInputs
    facts: dict[str, Any]
    n_explained: int
    digests: dict[str, str]


@dataclass(frozen=True)
class Assembly:
    """What the tables of a run are made of.

    Attributes
    ----------
    parts : Path
        Their folder. Files without a name, for what has a place for every customer, lie beside it.
    facts : sequence of mapping
        What the JSON files of the parts say, in the order of buckets.
    as_of : datetime.date
    settings : (ScoreConfig, RemindersConfig)
    model : str
        ``name/version``.
    earlier : EarlierRun or None
        The run before.
    at_once : bool
        Whether contributions may be written beside everything else.
    planned : Planned or None
        What earlier runs planned for days after ``as_of``.
    """

    parts: Path
    facts: Sequence[Mapping[str, Any]]
    as_of: dt.date
    settings: tuple[ScoreConfig, RemindersConfig]
    model: str
    earlier: EarlierRun | None = None
    at_once: bool = True
    planned: Planned | None = None

    def write(self, whole: Path, progress: Progress) -> Assembled:
        """Write scores, who is suppressed, contributions, and the lists.

        Parameters
        ----------
        whole : Path
            The folder, which is there.
        progress : Progress

        Raises
        ------
        ConfigError, OverdueMLError
        """
        score, config = self.settings
        room = InFiles(self.parts.parent)
        buckets = [f["bucket"] for f in self.facts if f["rows"]]
        progress.stage(f"ranking {sum(f['rows'] for f in self.facts):,} customers")
        merged = Merged.of(PartFiles(self.parts, buckets, SCORES), room)
        explained = self._explained(merged, buckets)
        with _beside(self.at_once) as beside:
            if score.explain != "listed":
                digests = beside(partial(_write_hashed, explained, whole / _CONTRIBUTIONS))
            planned = None if self.planned is None else self.planned.frame()
            decided = decide(self.parts, self.facts, self.as_of, config, room, planned)
            if score.explain == "listed":
                rows = [o[decided.rule[o] < 0] for o in _pieces(explained.order)]
                explained = replace(explained, order=np.concatenate(rows))
                digests = beside(partial(_write_hashed, explained, whole / _CONTRIBUTIONS))
            ranks = find_ranks(_log_odds(merged, room), room)
            progress.stage("writing")
            lists, facts, written = self._write_scores(whole, merged, ranks, decided, room, beside)
            write_lists(whole, lists, config, self.as_of)
            return Assembled(lists, decided.inputs, facts, len(explained.order), digests() | written())

    def _explained(self, merged: Merged, buckets: Sequence[int]) -> Merged:
        """Contributions in the same order; none where there are none."""
        parts = PartFiles(self.parts, buckets, CONTRIBUTIONS)
        return merged.like(parts) if len(parts) else Merged(parts, np.empty(0, dtype=np.int64))

    def _write_scores(
        self, whole: Path, merged: Merged, ranks: Int64Array, decided: Decided, room: InFiles, beside: _Beside
    ) -> tuple[Lists, dict[str, Any], _Result]:
        """Let all scores go by once: into their file, and into everything that is made of them.

        The last rows may still be on their way into the file until the result is asked for.
        """
        score, config = self.settings
        n = len(merged.order)
        tally = Tally(room.zeros(n, np.float64), room.zeros(n, np.float64))
        watch, told = _Watch(self.earlier, config, self.model), []
        schema = with_rank(merged.parts[0].slice(0, 0), ranks[:0]).schema
        with ExitStack() as files:
            scores = files.enter_context(RowGroups(whole / "scores.parquet", schema))
            suppressed = files.enter_context(RowGroups(whole / "suppressed.parquet", _SUPPRESSED))
            for group in merged.blocks(GROUP_ROWS):
                here = slice(tally.n, tally.n + group.num_rows)
                rows = merged.order[here]
                rule, ranked = decided.rule[rows], with_rank(group, ranks[here])
                if score.explain == "listed":
                    ranked = keep_reasons(ranked, pa.array(rule < 0))
                scores.add(ranked)
                left_out = _left_out(ranked, rule, config.rules)
                suppressed.add(left_out)
                tally.add(ranked, _count(left_out.column("rule")))
                for start in range(0, ranked.num_rows, BLOCK_ROWS):
                    watch.add(ranked.slice(start, BLOCK_ROWS))
                told.append(ranked.select(_TOLD).filter(pa.array(decided.is_late[rows])))
                # Before the next is put together.
                del group, ranked
            written = beside(partial(_close, files.pop_all()))
        if len(decided.reminders.reminders) + tally.rules.total() != tally.n:
            raise OverdueMLError(
                f"{len(decided.reminders.reminders)} reminders and {tally.rules.total()} suppressed are not "
                f"{tally.n} customers"
            )
        late = decided.past_due.merge(pa.concat_tables(told).to_pandas(), on="customer_id")
        lists = Lists(decided.reminders, watch.table(), suggest_treatment(late, config))
        return lists, tally.facts(), written


class _Watch:
    """The watch list as scores go by, and those of the run before with them."""

    def __init__(self, earlier: EarlierRun | None, config: RemindersConfig, model: str) -> None:
        wanted = ["customer_id", "as_of_date", *(rule.indicator for rule in config.alerts)]
        self._columns = [*_TOLD, *wanted]
        self._before = None if earlier is None else earlier.read_scores(wanted)
        before = "" if earlier is None else earlier.model
        self._list = WatchList(config, model=model, earlier_model=before)

    def add(self, scores: pa.Table) -> None:
        """Look at some customers."""
        if self._list.rules:
            last = scores.column("customer_id")[-1].as_py()
            before = None if self._before is None else self._before.up_to(last)
            frame = scores.select([n for n in scores.column_names if n in self._columns]).to_pandas()
            self._list.add(frame, before)

    def table(self) -> pd.DataFrame:
        """Who is on the list."""
        return self._list.table()


def _pieces(order: Int64Array) -> list[Int64Array]:
    return [order[start : start + GROUP_ROWS] for start in range(0, len(order) or 1, GROUP_ROWS)]


def _log_odds(merged: Merged, room: InFiles) -> Float64Array:
    """Log-odds in the order of customer_id."""
    by_part, in_order = (room.zeros(len(merged.order), np.float64) for _ in range(2))
    start = 0
    for part in merged.parts:
        by_part[start : start + part.num_rows] = part.column("log_odds").to_numpy()
        start += part.num_rows
    for start in range(0, len(in_order), GROUP_ROWS):
        here = slice(start, start + GROUP_ROWS)
        in_order[here] = by_part[merged.order[here]]
    return in_order


def _left_out(scores: pa.Table, rule: npt.NDArray[np.int16], rules: Sequence[str]) -> pa.Table:
    """Rows of the table ``suppressed``."""
    ids = scores.column("customer_id").filter(pa.array(rule >= 0)).cast(pa.large_string())
    words = pa.array(rules, pa.large_string()).take(pa.array(rule[rule >= 0]))
    return pa.table([ids, words], schema=_SUPPRESSED)


def _count(words: pa.ChunkedArray) -> dict[str, int]:
    return {str(v["values"]): int(v["counts"]) for v in pc.value_counts(words).to_pylist()}


def _write_hashed(merged: Merged, path: Path, stopped: Callable[[], bool]) -> dict[str, str]:
    write_contributions(merged, path, stopped)
    if not path.is_file():
        return {}
    digest = sha256_of(path)
    # By far the largest file, which would be waited for in the end.
    sync(path)
    return {path.name: digest}


def _close(files: ExitStack, _stopped: Callable[[], bool]) -> dict[str, str]:
    files.close()
    return {}


@contextmanager
def _beside(at_once: bool) -> Iterator[_Beside]:
    """What starts a task in a thread of its own, or does it on the spot; the task ends before the block does.

    A task that fails says so to whoever asks for its result.
    """
    stopped = threading.Event()

    def on_the_spot(task: _Task) -> _Result:
        found = task(stopped.is_set)
        return lambda: found

    if not at_once:
        yield on_the_spot
        return
    with ThreadPoolExecutor(1) as pool:
        try:
            yield lambda task: pool.submit(task, stopped.is_set).result
        finally:
            # Where all went well the result was waited for.
            stopped.set()
