"""The book that a batch scores, bucket by bucket: records in memory, or in a folder of buckets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RecordsConfig
from overdue_ml.records import (
    Bucketed,
    Records,
    bucket_of,
    is_bucketed,
    keep_customers,
    load_records,
    open_buckets,
)


class BookSource(Protocol):
    """Records that come in buckets of whole customers."""

    @property
    def n_buckets(self) -> int:
        """Numbered from 0."""
        ...

    @property
    def fingerprint(self) -> str:
        """Of the input: 64 hexadecimal digits."""
        ...

    @property
    def config(self) -> RecordsConfig:
        """How the records were read."""
        ...

    def load(self, bucket: int, *, unread: bool = True) -> Records | None:
        """One bucket, with or without the columns that nothing is computed with; None if nobody is in it."""
        ...

    def load_all(self) -> Records:
        """Everybody at once."""
        ...


@dataclass(frozen=True)
class InMemory:
    """Records that stand in memory, taken apart as they are scored.

    Attributes
    ----------
    records : Records
    n_buckets : int
    """

    records: Records
    n_buckets: int

    @cached_property
    def fingerprint(self) -> str:
        """See :attr:`overdue_ml.records.Records.fingerprint`."""
        return self.records.fingerprint

    @property
    def config(self) -> RecordsConfig:
        """How the records were read."""
        return self.records.config

    @cached_property
    def _buckets(self) -> tuple[pa.Array, np.ndarray]:
        ids = pc.unique(self.records.tables["accounts"].column("customer_id")).drop_null()
        return ids, bucket_of(ids, self.n_buckets)

    def load(self, bucket: int, *, unread: bool = True) -> Records | None:  # noqa: ARG002
        """One bucket; None where nobody is in it."""
        if self.n_buckets == 1:
            return self.records
        ids, buckets = self._buckets
        here = ids.take(np.flatnonzero(buckets == bucket))
        return keep_customers(self.records, here.to_pylist()) if len(here) else None

    def load_all(self) -> Records:
        """Everybody at once."""
        return self.records


def open_book(
    source: Path | Records, config: RecordsConfig, customers_per_bucket: int | None = None
) -> InMemory | Bucketed:
    """The book of a source.

    Parameters
    ----------
    source : Path or Records
        A folder of buckets is read a bucket at a time, anything else at once.
    config : RecordsConfig
    customers_per_bucket : int, optional
        Of records that are not in buckets; by default they are one.
    """
    if isinstance(source, Path) and is_bucketed(source):
        # Absolute: another process may have another working directory.
        return open_buckets(source.absolute(), config)
    records = source if isinstance(source, Records) else load_records(source, config)
    if customers_per_bucket is None:
        return InMemory(records, 1)
    n_customers = pc.count_distinct(records.tables["accounts"].column("customer_id")).as_py()
    return InMemory(records, max(1, math.ceil(n_customers / customers_per_bucket)))


def records_of(book: InMemory | Bucketed, customer_ids: Iterable[str] | None) -> Records:
    """Records of some customers, maybe with others of their buckets.

    Parameters
    ----------
    book : InMemory or Bucketed
    customer_ids : iterable of str, or None
        None for everybody; of a book in buckets no more is read than is needed.
    """
    if customer_ids is None or not isinstance(book, Bucketed):
        return book.load_all()
    ids = pa.array(sorted(set(customer_ids)), pa.string())
    return book.load_some(sorted({int(b) for b in bucket_of(ids, book.n_buckets)}) or [0])


def each_bucket(book: BookSource, buckets: Sequence[int]) -> Iterator[tuple[int, Records]]:
    """Buckets with somebody in them, one after another."""
    for number in buckets:
        records = book.load(number)
        if records is not None:
            yield number, records
