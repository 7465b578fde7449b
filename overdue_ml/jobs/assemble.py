"""From the parts of all buckets to the tables of a run, in the order of customer_id.

However the book was cut into buckets, the bytes are the same. Tables go through in blocks, so that memory
does not grow with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.order import InFiles, InMemory, Int64Array, find_order, find_ranks
from overdue_ml.jobs.parts import open_part
from overdue_ml.metrics import Reference
from overdue_ml.monitoring import drift_of_counts
from overdue_ml.records import RuleResult, TableResult, ValidationReport

#: Rows of contributions that stand in memory together, and of a row group of their file.
BLOCK_ROWS = 1 << 17

#: Rows of a row group of every other table, as pyarrow writes one by default.
GROUP_ROWS = 1 << 20


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
    def of(cls, parts: Sequence[pa.Table], room: InFiles | InMemory | None = None) -> Merged:
        """Find the order; see :func:`overdue_ml.jobs.order.find_order`."""
        return cls(parts, find_order(parts, room or InMemory()))

    def like(self, parts: Sequence[pa.Table]) -> Merged:
        """Other parts with rows of the same customers, in the same order.

        Raises
        ------
        OverdueMLError
            If they are of others.
        """
        same = len(parts) == len(self.parts) and all(
            one.column("customer_id").cast(pa.large_string())
            == other.column("customer_id").cast(pa.large_string())
            for one, other in zip(self.parts, parts, strict=True)
        )
        if not same:
            raise OverdueMLError(
                "the tables of a part are of different customers", where="parts", next_step="report this"
            )
        return Merged(parts, self.order)

    def blocks(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Rows in order, so many at a time."""
        first = np.cumsum([0, *(part.num_rows for part in self.parts)])
        for start in range(0, len(self.order), rows):
            yield self._rows(np.asarray(self.order[start : start + rows]), first, columns)

    def _rows(self, rows: Int64Array, first: Int64Array, columns: Sequence[str] | None) -> pa.Table:
        """Rows of the concatenated parts; those of a part stand there in the same order."""
        part_of = (np.searchsorted(first, rows, side="right") - 1).astype(np.int32)
        by_part = np.argsort(part_of, kind="stable")
        numbers, begins = np.unique(part_of[by_part], return_index=True)
        pieces = []
        for number, mine in zip(numbers, np.split(by_part, begins[1:]), strict=True):
            local = rows[mine] - first[number]
            low, n = local[0], local[-1] + 1 - local[0]
            part = self.parts[number] if columns is None else self.parts[number].select(columns)
            piece = part.slice(low, n)
            pieces.append(piece if n == len(local) else piece.take(pa.array(local - low)))
        block = pa.concat_tables(pieces)
        if len(pieces) == 1:
            return block
        place = np.empty(len(rows), dtype=np.int64)
        place[by_part] = np.arange(len(rows))
        # Column by column: what is put together for one is in the cache still when it comes into order.
        places = pa.array(place)
        columns_in_order = [column.combine_chunks().take(places) for column in block.columns]
        return pa.table(columns_in_order, schema=block.schema)


class PartFiles(Sequence[pa.Table]):
    """Parts that are mapped anew whenever one is asked for, so that what was read of it goes with it.

    Attributes
    ----------
    buckets : list of int
        Those that have rows.
    """

    def __init__(self, folder: Path, buckets: Sequence[int], table: str) -> None:
        self._folder, self._table = folder, table
        self.buckets, schemas = [], []
        for bucket in buckets:
            part = open_part(folder, bucket, table)
            if part is not None and part.num_rows:
                self.buckets.append(bucket)
                schemas.append(part.schema)
        self._schema = _common(schemas)

    def __len__(self) -> int:
        return len(self.buckets)

    def __getitem__(self, number: Any) -> Any:
        part = open_part(self._folder, self.buckets[number], self._table)
        return part if part is None or part.schema.equals(self._schema) else part.cast(self._schema)


def _common(schemas: Sequence[pa.Schema]) -> pa.Schema | None:
    """The schema of all parts; a column that holds nothing in a part may be of another type there."""
    if all(schema.equals(schemas[0]) for schema in schemas):
        return schemas[0] if schemas else None
    types = {field.name: [schema.field(field.name).type for schema in schemas] for field in schemas[0]}
    # A day that no customer of a part has is no day there, but a moment or nothing.
    known = {
        name: max(found, key=lambda kind: (not pa.types.is_null(kind), not pa.types.is_timestamp(kind)))
        for name, found in types.items()
    }
    return pa.schema(list(known.items()), schemas[0].metadata)


def rank_scores(scores: pa.Table) -> pa.Table:
    """Scores with their rank by log-odds, 1 for the riskiest; ties go to the smaller id.

    Parameters
    ----------
    scores : pyarrow.Table
        Sorted by customer_id.
    """
    return with_rank(scores, find_ranks(scores.column("log_odds").to_numpy(), InMemory()))


def with_rank(scores: pa.Table, rank: Int64Array) -> pa.Table:
    """Scores with these ranks."""
    return scores.add_column(scores.column_names.index("tier") + 1, "rank", pa.array(rank))


def keep_reasons(scores: pa.Table, kept: pa.Array) -> pa.Table:
    """Scores without the reasons of all others than those for whom ``kept`` is true."""
    for place, field in enumerate(scores.schema):
        if field.name.startswith("reason_"):
            values = pc.if_else(kept, scores.column(place), pa.scalar(None, field.type))
            scores = scores.set_column(place, field, values)
    return scores


def write_contributions(merged: Merged, path: Path, stopped: Callable[[], bool] = lambda: False) -> None:
    """Write contributions block by block; equal rows give equal bytes, however they were in parts.

    Parameters
    ----------
    merged : Merged
    path : Path
        Nobody gives no file.
    stopped : callable, optional
        Asked before each block whether anybody still wants them.
    """
    if not len(merged.order):
        return
    schema = merged.parts[0].schema.remove_metadata()
    # Nearly every number differs from every other: there is little to pack, and what packs them better is not
    # read by engines of lakehouses that are a few years old. Bounds of numbers help nobody find a customer.
    with pq.ParquetWriter(
        path, schema, compression="snappy", use_dictionary=False,
        write_statistics=["customer_id"], write_page_checksum=True,
    ) as writer:  # fmt: skip
        # From a hundred parts and more a block has so few rows of each that to look there costs more than to
        # read, so that several are taken at a time.
        for block in merged.blocks(BLOCK_ROWS * min(4, 1 + len(merged.parts) // 50)):
            if stopped():
                return
            writer.write_table(block, row_group_size=BLOCK_ROWS)
            # Before the next is put together.
            del block


class RowGroups:
    """A Parquet file that takes rows in portions of any size; its bytes are those of ``write_parquet``.

    Parameters
    ----------
    path : Path
    schema : pyarrow.Schema
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(
            path, schema.remove_metadata(), compression="zstd", write_page_checksum=True
        )
        self._waiting: list[pa.Table] = []
        self._written = False

    def add(self, rows: pa.Table) -> None:
        """Take rows; whole groups of them are written."""
        self._waiting.append(rows)
        while sum(table.num_rows for table in self._waiting) >= GROUP_ROWS:
            found = pa.concat_tables(self._waiting)
            self._write(found.slice(0, GROUP_ROWS))
            rest = found.slice(GROUP_ROWS)
            self._waiting = [rest] if rest.num_rows else []

    def _write(self, group: pa.Table) -> None:
        # Where pages end depends on where chunks do.
        self._writer.write_table(group.combine_chunks(), row_group_size=GROUP_ROWS)
        self._written = True

    def __enter__(self) -> RowGroups:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and (self._waiting or not self._written):
            found = self._waiting or [self._writer.schema.empty_table()]
            self._write(pa.concat_tables(found))
        self._writer.close()


def part_tables(folder: Path, buckets: Sequence[int], prefix: str) -> Iterator[dict[str, pa.Table]]:
    """Of each bucket the tables whose names begin with ``<prefix>.``, without it."""
    names: dict[int, list[str]] = {}
    for path in sorted(folder.glob(f"*.{prefix}.*.arrow")):
        bucket, _, name = path.name.removesuffix(".arrow").partition(f".{prefix}.")
        names.setdefault(int(bucket), []).append(name)
    for number in buckets:
        tables = {name: open_part(folder, number, f"{prefix}.{name}") for name in names.get(number, [])}
        if tables:
            yield {name: table for name, table in tables.items() if table is not None}


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
