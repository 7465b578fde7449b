"""Scoring runs as they stand on disk: find one, read rows of it, and earlier runs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError
from overdue_ml.jobs.score import MANIFEST


def read_manifest(scores: Path) -> dict[str, Any]:
    """The manifest of a scoring run.

    Parameters
    ----------
    scores : Path
        ``<out>/as_of=YYYY-MM-DD``, or ``<out>`` where it holds one such folder only.

    Raises
    ------
    ConfigError
        If there is none, or several to choose from.
    """
    manifest: dict[str, Any] = json.loads((find_run(scores) / MANIFEST).read_text(encoding="utf-8"))
    return manifest


def find_run(scores: Path) -> Path:
    """The folder of a scoring run; see :func:`read_manifest`."""
    if (scores / MANIFEST).is_file():
        return scores
    runs = sorted(p.parent for p in scores.glob(f"as_of=*/{MANIFEST}"))
    if len(runs) == 1:
        return runs[0]
    raise ConfigError(
        f"{len(runs)} scoring runs stand there" if runs else "there is no scoring run",
        where=str(scores),
        next_step="name one folder as_of=YYYY-MM-DD that 'overdue-ml score' wrote",
    )


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
    wanted = None if columns is None else ["customer_id", *columns]
    table = pq.read_table(path, columns=wanted, page_checksum_verification=True)
    ids = pa.array(sorted(set(customer_ids)), table.schema.field("customer_id").type)
    kept = table.filter(pc.is_in(table.column("customer_id"), value_set=ids))
    frame: pd.DataFrame = kept.to_pandas().set_index("customer_id")
    return frame


def earlier_runs(folder: Path, manifest: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Runs of earlier dates in the same output folder, of a model of the same name, from the first on.

    A folder that cannot be read is no run.
    """
    if not folder.resolve().name.startswith("as_of="):
        return
    for path in sorted(folder.resolve().parent.glob(f"as_of=*/{MANIFEST}")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            is_earlier = found["as_of"] < manifest["as_of"]
            is_ours = found["model"]["name"] == manifest["model"]["name"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if is_earlier and is_ours:
            yield path.parent, found
