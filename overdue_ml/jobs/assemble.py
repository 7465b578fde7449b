"""From the parts of all buckets to the tables of a run, in the order of customer_id.

However the book was cut into buckets, the bytes are the same. Scores stand in memory at once, some hundred
bytes a customer; contributions, which are many times as many, go through in blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.parts import open_part
from overdue_ml.metrics import Reference
from overdue_ml.monitoring import drift_of_counts
from overdue_ml.records import RuleResult, TableResult, ValidationReport

#: Rows of contributions that stand in memory together, and of a row group of their file.
BLOCK_ROWS = 1 << 17

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Merged:
    """Rows of all parts of one kind, and how they come into the order of customer_id.

    Attributes
    ----------
    parts : sequence of pyarrow.Table
        Each sorted by customer_id.
    order : ndarray of int64, shape (n_rows,)
        Row of the concatenated parts that stands at each place.
    """

    parts: Sequence[pa.Table]
    order: Int64Array

    @classmethod
    def of(cls, parts: Sequence[pa.Table]) -> Merged:
        """Find the order.

        Raises
        ------
        OverdueMLError
            If a customer stands in two parts.
        """
        if len(parts) < 2:
            return cls(parts, np.arange(parts[0].num_rows if parts else 0))
        ids = pa.chunked_array([chunk for part in parts for chunk in part.column("customer_id").chunks])
        order = np.asarray(pc.sort_indices(ids).to_numpy(), dtype=np.int64)
        sorted_ids = ids.take(pa.array(order))
        if pc.any(pc.equal(sorted_ids[1:], sorted_ids[:-1])).as_py():
            raise OverdueMLError(
                "a customer was scored in two buckets", where="parts", next_step="report this"
            )
        return cls(parts, order)

    def only(self, customer_ids: pa.Array) -> Merged:
        """The rows of these customers."""
        ids = pa.chunked_array([chunk for part in self.parts for chunk in part.column("customer_id").chunks])
        kept = pc.is_in(ids.take(pa.array(self.order)), value_set=customer_ids)
        return Merged(self.parts, self.order[kept.to_numpy()])

    def table(self) -> pa.Table:
        """All rows in order."""
        whole = pa.concat_tables(self.parts)
        # Column by column: of what is put together for it only one stands in memory at a time.
        in_order = len(self.parts) == 1 and len(self.order) == whole.num_rows
        return whole if in_order else whole.take(pa.array(self.order))

    def blocks(self, rows: int = BLOCK_ROWS) -> Iterable[pa.Table]:
        """Rows in order, so many at a time; those of a part stand there in the same order."""
        first = np.cumsum([0, *(part.num_rows for part in self.parts)])
        for start in range(0, len(self.order), rows):
            here = self.order[start : start + rows]
            part_of = np.searchsorted(first, here, side="right") - 1
            pieces, place, before = [], np.empty(len(here), dtype=np.int64), 0
            for number in np.unique(part_of):
                mine = np.flatnonzero(part_of == number)
                local = here[mine] - first[number]
                low, n = local[0], local[-1] + 1 - local[0]
                piece = self.parts[number].slice(low, n)
                pieces.append(piece if n == len(local) else piece.take(pa.array(local - low)))
                place[mine] = np.arange(before, before + len(local))
                before += len(local)
            block = pa.concat_tables(pieces)
            yield block if len(pieces) == 1 else block.combine_chunks().take(pa.array(place))


class _PartFiles(Sequence[pa.Table]):
    """Parts that are mapped anew whenever one is asked for, so that what was read of it goes with it."""

    def __init__(self, folder: Path, buckets: Sequence[int], table: str) -> None:
        self._folder, self._table = folder, table
        found = ((bucket, open_part(folder, bucket, table)) for bucket in buckets)
        self._buckets = [bucket for bucket, part in found if part is not None and part.num_rows]

    def __len__(self) -> int:
        return len(self._buckets)

    def __getitem__(self, number: Any) -> Any:
        return open_part(self._folder, self._buckets[number], self._table)


def merge(folder: Path, buckets: Sequence[int], table: str) -> Merged:
    """The parts of one kind; see :class:`Merged`."""
    return Merged.of(_PartFiles(folder, buckets, table))


def rank_scores(scores: pa.Table) -> pa.Table:
    """Scores with their rank by log-odds, 1 for the riskiest; ties go to the smaller id.

    Parameters
    ----------
    scores : pyarrow.Table
        Sorted by customer_id.
    """
    log_odds = scores.column("log_odds").to_numpy()
    rank = np.empty(len(log_odds), dtype=np.int64)
    rank[np.argsort(-log_odds, kind="stable")] = np.arange(1, len(log_odds) + 1)
    return scores.add_column(scores.column_names.index("tier") + 1, "rank", pa.array(rank))


def keep_reasons(scores: pa.Table, customer_ids: pa.Array) -> pa.Table:
    """Scores without the reasons of all others than these customers."""
    kept = pc.is_in(scores.column("customer_id"), value_set=customer_ids)
    for place, field in enumerate(scores.schema):
        if field.name.startswith("reason_"):
            values = pc.if_else(kept, scores.column(place), pa.scalar(None, field.type))
            scores = scores.set_column(place, field, values)
    return scores


def write_contributions(merged: Merged, path: Path) -> None:
    """Write contributions block by block; equal rows give equal bytes, however they were in parts."""
    if not len(merged.order):
        return
    schema = merged.parts[0].schema.remove_metadata()
    with pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=False, write_page_checksum=True
    ) as writer:
        for block in merged.blocks(BLOCK_ROWS):
            writer.write_table(block, row_group_size=BLOCK_ROWS)


def part_tables(folder: Path, buckets: Sequence[int], prefix: str) -> list[dict[str, pa.Table]]:
    """Of each bucket the tables whose names begin with ``<prefix>.``, without it."""
    found = []
    for bucket in buckets:
        start = f"{bucket:05d}.{prefix}."
        names = [p.name.removeprefix(start).removesuffix(".arrow") for p in sorted(folder.glob(f"{start}*"))]
        tables = {name: open_part(folder, bucket, f"{prefix}.{name}") for name in names}
        if tables:
            found.append({name: table for name, table in tables.items() if table is not None})
    return found


def rejected_tables(folder: Path, buckets: Sequence[int]) -> dict[str, pa.Table]:
    """Rows that were rejected while buckets were read, by table."""
    found: dict[str, list[pa.Table]] = {}
    for tables in part_tables(folder, buckets, "rejected"):
        for name, table in tables.items():
            found.setdefault(name, []).append(table)
    return {name: pa.concat_tables(tables, promote_options="default") for name, tables in found.items()}


def refuse_rejected(facts: Sequence[Mapping[str, Any]], max_rejected_share: float) -> None:
    """Stop if too many rows of a table were rejected over all buckets together.

    Raises
    ------
    RecordsError
    """
    validated = [f["validated"] for f in facts if "validated" in f]
    rows, broken = Counter[tuple[str, str]](), Counter[tuple[str, str, str]]()
    keys: dict[tuple[str, str, str], list[str]] = {}
    for report in validated:
        for table in report["tables"]:
            rows.update({(table["table"], kind): table[kind] for kind in ("rows", "accepted", "rejected")})
        for rule in report["rules"]:
            if rule["rows_rejected"]:
                which = (rule["table"], rule["rule"], rule["meaning"])
                broken[which] += rule["rows_rejected"]
                keys.setdefault(which, []).extend(rule["first_keys"])
    names = sorted({table for table, _ in rows})
    ValidationReport(
        max_rejected_share,
        [TableResult(n, rows[n, "rows"], rows[n, "accepted"], rows[n, "rejected"]) for n in names],
        [
            RuleResult(t, r, m, rows[t, "rows"], n, tuple(keys[t, r, m][:5]))
            for (t, r, m), n in broken.items()
        ],
    ).raise_if_failed()


def sum_drift(facts: Sequence[Mapping[str, Any]], references: Mapping[str, Reference]) -> pd.DataFrame:
    """Drift of the whole book from the counts of its parts."""
    counted = [f["counts"] for f in facts if "counts" in f]
    total = {name: np.sum([c[name] for c in counted], axis=0).astype(np.float64) for name in references}
    return drift_of_counts(total, references)


def sum_unknown(facts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Customers whose category the model does not know, by feature."""
    total = Counter[str]()
    for f in facts:
        total.update(f.get("unknown_categories", {}))
    return dict(sorted(total.items()))
