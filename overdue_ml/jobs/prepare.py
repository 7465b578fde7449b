"""``overdue-ml prepare``: records validated once and put into buckets of customers."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow.compute as pc

from overdue_ml.config import BatchConfig, RecordsConfig
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.records import Bucketed, load_records, write_buckets


def run_prepare(
    source: Path,
    to: Path,
    config: RecordsConfig | None = None,
    n_buckets: int | None = None,
    progress: Progress | None = None,
) -> Bucketed:
    """Validate records and write them in buckets, each file with its SHA-256 in ``buckets.json``.

    Parameters
    ----------
    source : Path
    to : Path
        A new or empty folder.
    config : RecordsConfig, optional
    n_buckets : int, optional
        As many as make buckets of the default size of ``configs/batch.yaml`` otherwise.
    progress : Progress, optional

    Returns
    -------
    Bucketed

    Raises
    ------
    ConfigError
        If ``to`` cannot be used.
    RecordsError
        See :func:`overdue_ml.records.load_records`.
    """
    progress = progress or Silent()
    progress.stage("reading records")
    records = load_records(source, config)
    if n_buckets is None:
        n_customers = pc.count_distinct(records.tables["accounts"].column("customer_id")).as_py()
        n_buckets = max(1, math.ceil(n_customers / BatchConfig().customers_per_bucket))
    progress.stage(f"writing {n_buckets} bucket(s)")
    return write_buckets(records, to, n_buckets)


def prepare_text(done: Bucketed) -> str:
    """What was written, and what to do with it."""
    n = (done.prepared or {})["n_customers"]
    return (
        f"{n:,} customers in {done.n_buckets:,} bucket(s): {done.path}\n"
        f"Score them with: overdue-ml score --records {done.path} --as-of DATE --out DIR"
    )
