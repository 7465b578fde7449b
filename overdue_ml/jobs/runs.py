"""Scoring runs as they stand on disk: find one, read rows of it, and earlier runs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.config import RecordsConfig, build_config
from overdue_ml.errors import ConfigError, OverdueMLError, RecordsError
from overdue_ml.jobs.book import InMemory, open_book
from overdue_ml.jobs.places import MANIFEST, is_whole, parse_run
from overdue_ml.records import Bucketed, Records

_BATCH = 65_536
_SCORES = "scores.parquet"


@dataclass(frozen=True)
class EarlierRun:
    """A finished run of an earlier date.

    Attributes
    ----------
    folder : Path
    as_of : str
        YYYY-MM-DD.
    model : str
        ``name/version``.
    scores_hash : str
        SHA-256 of its ``scores.parquet``.
    """

    folder: Path
    as_of: str
    model: str
    scores_hash: str

    def read_scores(self, columns: Iterable[str]) -> EarlierScores:
        """Some columns of its scores, to be read on and on; those that it does not have are left out.

        Raises
        ------
        OverdueMLError
            If the file cannot be read any more.
        """
        return EarlierScores(self.folder, columns)


class EarlierScores:
    """Scores of a run before, read in the order of customer_id, their pages checked.

    Parameters
    ----------
    folder : Path
    columns : iterable of str
        customer_id among them.

    Raises
    ------
    OverdueMLError
        If the file cannot be read, or is not in order.
    """

    def __init__(self, folder: Path, columns: Iterable[str]) -> None:
        self._folder = folder
        try:
            file = pq.ParquetFile(folder / _SCORES, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable() from error
        present = set(file.schema_arrow.names)
        wanted = [name for name in dict.fromkeys(columns) if name in present]
        self._batches = file.iter_batches(_BATCH, columns=wanted)
        self._ahead: pa.Table = file.schema_arrow.empty_table().select(wanted)

    def up_to(self, customer_id: str) -> pd.DataFrame:
        """Rows of customers up to and with this one who have not been read yet.

        Raises
        ------
        OverdueMLError
            See the class.
        """
        found = [self._ahead]
        while not found[-1].num_rows or found[-1].column("customer_id")[-1].as_py() <= customer_id:
            try:
                batch = next(self._batches, None)
            except (OSError, pa.ArrowException) as error:
                raise self._unreadable() from error
            if batch is None:
                break
            found.append(pa.Table.from_batches([batch]))
        rows = pa.concat_tables(found)
        ids = rows.column("customer_id").combine_chunks()
        if pc.any(pc.greater_equal(ids[:-1], ids[1:])).as_py():
            raise self._unreadable()
        here = pc.sum(pc.less_equal(ids, customer_id)).as_py() or 0
        self._ahead = rows.slice(here)
        frame: pd.DataFrame = rows.slice(0, here).to_pandas()
        return frame

    def _unreadable(self) -> OverdueMLError:
        return OverdueMLError(
            "the scores of the run before cannot be read",
            where=str(self._folder),
            next_step="run again: a run that is not whole is passed over",
        )


def read_manifest(scores: Path) -> dict[str, Any]:
    """The manifest of a scoring run.

    Parameters
    ----------
    scores : Path
        ``<out>/as_of=YYYY-MM-DD``, or ``<out>`` where it holds runs of one date only; of several runs of the
        date, ``as_of=YYYY-MM-DD.run2`` and so on, the last one counts.

    Raises
    ------
    ConfigError
        If there is none, or several dates to choose from.
    """
    manifest: dict[str, Any] = json.loads((find_run(scores) / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def find_run(scores: Path) -> Path:
    """The folder of a scoring run; see :func:`read_manifest`."""
    if (scores / MANIFEST).is_file():
        return scores
    runs = _runs_under(scores)
    dates = sorted({day for day, _, _ in runs})
    if len(dates) == 1:
        return runs[-1][2]
    raise ConfigError(
        f"scoring runs of {len(dates)} dates stand there" if runs else "there is no scoring run",
        where=str(scores),
        next_step="name one folder as_of=YYYY-MM-DD that 'overdue-ml score' wrote",
    )


def _runs_under(out: Path) -> list[tuple[str, int, Path]]:
    """Date, number and folder of every finished run, by date and number."""
    found = []
    for path in out.glob(f"as_of=*/{MANIFEST}"):
        run = parse_run(path.parent.name)
        if run is not None:
            found.append((*run, path.parent))
    return sorted(found)


def book_of_run(manifest: Mapping[str, Any], source: Path | Records | None) -> InMemory | Bucketed:
    """The records of a scoring run, to be read as they were for it.

    Parameters
    ----------
    manifest : mapping
    source : Path or Records, optional
        By default where the run read them.

    Raises
    ------
    ConfigError
        If nothing says where they are.
    RecordsError
        If they cannot be read.
    """
    if source is None:
        if not manifest.get("records_source"):
            raise ConfigError("the run does not say where its records are", next_step="give --records")
        source = Path(str(manifest["records_source"]))
        if not source.exists():
            raise RecordsError(
                "the records of the run are not where it read them",
                where=str(source),
                next_step="give them with --records, or run this where it was scored",
            )
    return open_book(source, build_config(RecordsConfig, manifest["settings"]["records"], where=MANIFEST))


def scored_book(manifest: Mapping[str, Any], source: Path | Records | None) -> InMemory | Bucketed:
    """As :func:`book_of_run`, and it is the very book that was scored.

    Raises
    ------
    ConfigError, RecordsError
        Also if the records are others.
    """
    book = book_of_run(manifest, source)
    if book.fingerprint != manifest["records_fingerprint"]:
        raise RecordsError(
            "the records are not those that were scored",
            expected=f"fingerprint {manifest['records_fingerprint'][:12]}, found {book.fingerprint[:12]}",
            next_step="score again, or give the old records with --records",
        )
    return book


def read_explained(folder: Path, customer_ids: Iterable[str]) -> pd.DataFrame:
    """Contributions of some scored customers, with the column ``base``.

    Returns
    -------
    pandas.DataFrame
        Indexed by customer_id.

    Raises
    ------
    ConfigError
        If one of them was not explained.
    """
    path, ids = folder / "contributions.parquet", list(customer_ids)
    rows = read_rows(path, ids) if path.is_file() else pd.DataFrame()
    for customer_id in ids:
        if customer_id not in rows.index:
            raise ConfigError(
                f"customer '{customer_id[:80]}' was scored in this run, but not explained",
                where=folder.name,
                expected="'explain: all', or 'listed' and a customer on the reminder list",
                next_step="score the date again with --explain all",
            )
    return rows


def read_row(path: Path, customer_id: str) -> pd.Series:
    """The row of one customer in a table of a scoring run, its pages checked."""
    table = pq.read_table(path, page_checksum_verification=True)
    found = table.filter(pc.equal(table.column("customer_id"), customer_id)).to_pandas()
    if found.empty:
        raise ConfigError(
            f"customer '{customer_id[:80]}' was not scored in this run",
            where=path.name,
            next_step="check the id character by character; leading zeros count",
        )
    row: pd.Series = found.iloc[0]
    return row


def read_rows(path: Path, customer_ids: Iterable[str], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Rows of some customers in a table of a scoring run, its pages checked.

    Parameters
    ----------
    path : Path
    customer_ids : iterable of str
    columns : sequence of str, optional
        Beside customer_id; all by default.

    Returns
    -------
    pandas.DataFrame
        Indexed by customer_id; a customer who was not scored has no row.
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        schema = file.schema_arrow
        wanted = schema.names if columns is None else ["customer_id", *columns]
        ids = pa.array(sorted(set(customer_ids)), schema.field("customer_id").type)
        parts = [schema.empty_table().select(wanted)]
        # Ids first: of a large book all but a few groups of rows need not be unpacked.
        for group in range(file.num_row_groups):
            here = file.read_row_group(group, columns=["customer_id"]).column("customer_id")
            if pc.any(pc.is_in(here, value_set=ids)).as_py():
                for batch in file.iter_batches(_BATCH, row_groups=[group], columns=wanted):
                    table = pa.Table.from_batches([batch])
                    parts.append(table.filter(pc.is_in(table.column("customer_id"), value_set=ids)))
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas().set_index("customer_id")
    return frame


def earlier_runs(folder: Path, manifest: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Runs of earlier dates in the same output folder, of a model of the same name, by date and number.

    A folder that cannot be read is no run.
    """
    if not folder.resolve().name.startswith("as_of="):
        return
    for _, _, path in _runs_under(folder.resolve().parent):
        try:
            found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            is_earlier = found["as_of"] < manifest["as_of"]
            is_ours = found["model"]["name"] == manifest["model"]["name"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_earlier and is_ours:
            yield path, found


def newest_earlier(out: Path, as_of: str, model_name: str) -> EarlierRun | None:
    """The run before a date: of the newest earlier date, of several the one that was finished last.

    A run whose scores are not as its manifest says is passed over.

    Parameters
    ----------
    out : Path
    as_of : str
        YYYY-MM-DD.
    model_name : str
        Of the registered model; its version may be another one.
    """
    here = {"as_of": as_of, "model": {"name": model_name}}
    for folder, manifest in reversed(list(earlier_runs(out / f"as_of={as_of}", here))):
        digest, model = manifest.get("files", {}).get(_SCORES), manifest["model"]
        if digest and is_whole(folder, {_SCORES: digest}):
            label = f"{model['name']}/{model.get('version', '')}"
            return EarlierRun(folder, str(manifest["as_of"]), label, digest)
    return None
