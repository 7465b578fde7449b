"""Time and memory of loading with validation, as a ratio to a bare DuckDB scan of the same columns.

Loading reads the Parquet files, holds their page checksums, checks every rule and leaves the tables typed
and sorted in memory; the scan reads the same files and hashes every column. A tenth of the customers is
loaded first: linear means that the full size takes ten times as long. Each size has a process of its own,
so that its peak of memory is its own. All data are synthetic.
Example: ``python benchmarks/validation.py --customers 100000``.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from overdue_ml.config import RecordsConfig
from overdue_ml.records import Records, load_records, simulate_to

LEDGER = ("customers", "accounts", "instalments", "payments")
EVERY_TABLE = (*LEDGER, "incomes", "borrowings", "contacts")


@dataclass(frozen=True)
class Result:
    """What one size took: rows in, bytes out, seconds, and peaks of the process's memory.

    The CPU seconds, summed over threads, bear a busy machine better than the time on the clock.
    """

    customers: int
    rows: dict[str, int]
    tables_mb: float
    scan_seconds: float
    scan_cpu: float
    load_seconds: float
    load_cpu: float
    fingerprint_cpu: float
    start_mb: float
    peak_mb: float


def peak_mb() -> float:
    """The high-water mark of this process's memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and of the processor."""
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - cpu


def scan(folder: Path) -> None:
    """Read every column of every table once, without keeping any."""
    with duckdb.connect() as con:
        for table in sorted(path.name for path in folder.iterdir()):
            files = f"read_parquet('{folder / table}/*.parquet')"
            names = [str(row[0]) for row in con.execute(f"DESCRIBE FROM {files}").fetchall()]
            hashes = ", ".join(f'bit_xor(hash("{name}"))' for name in names)
            con.sql(f"SELECT {hashes} FROM {files}").fetchall()


def measure(folder: Path, customers: int) -> Result:
    """Load and validate, then scan, so that the scan finds the files as warm as loading did."""
    loaded: list[Records] = []
    start_mb = peak_mb()
    scan(folder)
    load_seconds, load_cpu = timed(lambda: loaded.append(load_records(folder, RecordsConfig())))
    peak = peak_mb()
    records = loaded[0]
    fingerprint_cpu = timed(lambda: records.fingerprint)[1]
    scan_seconds, scan_cpu = min(timed(lambda: scan(folder)) for _ in range(3))
    rows = {name: table.num_rows for name, table in records.tables.items()}
    size = sum(table.nbytes for table in records.tables.values()) / 2**20
    return Result(
        customers,
        rows,
        size,
        scan_seconds,
        scan_cpu,
        load_seconds,
        load_cpu,
        fingerprint_cpu,
        start_mb,
        peak,
    )


def in_own_process(*arguments: object) -> str:
    """What this file prints in a fresh interpreter: a child of a large process begins with its peak."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_ledger(folder: Path, customers: int, tables: Sequence[str]) -> None:
    """Write a synthetic lender and take away the tables that are not asked for."""
    for name in simulate_to(folder, customers):
        if name not in tables:
            for part in (folder / name).iterdir():
                part.unlink()
            (folder / name).rmdir()


def main(argv: Sequence[str] | None = None) -> None:
    """Make the two sizes, run each by itself and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000, help="2.4 instalments each per month of 24")
    parser.add_argument("--all-tables", action="store_true", help="incomes, borrowings and contacts as well")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.make is not None:
        make_ledger(args.make, args.customers, EVERY_TABLE if args.all_tables else LEDGER)
        return
    if args.measure is not None:
        print(json.dumps(asdict(measure(args.measure, args.customers))))
        return
    results = []
    for customers in (max(args.customers // 10, 1), args.customers):
        with tempfile.TemporaryDirectory(prefix="overdue-ml-benchmark-") as scratch:
            everything = ["--all-tables"] if args.all_tables else []
            in_own_process("--make", scratch, "--customers", customers, *everything)
            r = Result(**json.loads(in_own_process("--measure", scratch, "--customers", customers)))
        results.append(r)
        print(
            f"{customers:>9,} customers, {sum(r.rows.values()):>11,} rows "
            f"({r.rows['instalments']:,} instalments, {r.rows['payments']:,} payments): "
            f"scan {r.scan_seconds:.2f} s ({r.scan_cpu:.2f} s of CPU), "
            f"loading {r.load_seconds:.2f} s ({r.load_cpu:.2f} s of CPU), "
            f"ratio {r.load_seconds / r.scan_seconds:.1f} ({r.load_cpu / r.scan_cpu:.1f} of CPU), "
            f"fingerprint {r.fingerprint_cpu:.2f} s of CPU; "
            f"peak {r.peak_mb:,.0f} MB, of which tables {r.tables_mb:,.0f} MB, imports {r.start_mb:,.0f} MB",
            flush=True,
        )
    small, full = results
    print(
        f"{sum(full.rows.values()) / sum(small.rows.values()):.1f} times the rows took "
        f"{full.load_seconds / small.load_seconds:.1f} times the time, "
        f"{full.load_cpu / small.load_cpu:.1f} times the CPU"
    )


if __name__ == "__main__":
    main()
