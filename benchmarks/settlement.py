"""Time and memory of settlement, as a ratio to a bare DuckDB scan of the same columns in the same process.

Measured are the facts as of some dates and the full histories, in parts. A tenth of the ledger comes first:
linear means that the full size takes ten times as long. Every measurement has a process of its own, so that
its peak memory is its own; the Arrow tables it reads are part of that. All data are synthetic. Example:
``python benchmarks/settlement.py --accounts 20000 --dates 24``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from overdue_ml.records import SettlementRules, compute_facts, iter_histories

LAST_AS_OF = dt.date(2023, 12, 31)
# By a hash of the ids: every account is told the same story at any size.
_ACCOUNTS = """
    SELECT printf('account-%08d', i) AS account_id, DATE '2022-01-01' AS opened_on,
        CASE WHEN hash(i) % 1000 < {mixed} THEN 'mixed' WHEN hash(i, 1) % 3 = 0 THEN 'named' ELSE 'fifo' END
            AS habit
    FROM range({accounts}) t(i)"""
_INSTALMENTS = """
    SELECT account_id, CAST(no + 1 AS INTEGER) AS instalment_no,
        last_day(DATE '2022-01-31' + CAST(no * 365 // 12 AS INTEGER)) AS due_date, 100.0::DOUBLE AS amount_due
    FROM habits, range({instalments}) t(no)"""
# One in 20 instalments is never paid, one in 20 in part; a mixed account names half of its payments, one
# in 20 of which bounces after a week, and overpays now and then.
_PAYMENTS = """
    WITH drawn AS (
        SELECT i.*, h.habit, hash(i.account_id, i.instalment_no) AS h
        FROM instalments i JOIN habits h USING (account_id)
    ),
    paid AS (
        SELECT account_id, due_date + CAST(h % 25 AS INTEGER) - 15 AS paid_on, h,
            CASE WHEN h // 25 % 20 = 1 THEN 40.0 WHEN habit = 'mixed' AND h // 500 % 20 = 1 THEN 150.0
                ELSE 100.0 END::DOUBLE AS amount,
            CASE WHEN habit = 'named' OR habit = 'mixed' AND h // 10000 % 2 = 0 THEN instalment_no END
                AS instalment_no,
            habit
        FROM drawn WHERE h // 25 % 20 <> 0
    )
    SELECT account_id, paid_on, amount, instalment_no FROM paid
    UNION ALL
    SELECT account_id, paid_on + 7, -amount, instalment_no FROM paid
    WHERE habit = 'mixed' AND h // 20000 % 20 = 0"""


TABLES = ("accounts", "instalments", "payments")


@dataclass(frozen=True)
class Job:
    """What one process measures: ``facts`` or ``histories`` of the ledger in a folder."""

    folder: Path
    kind: str
    dates: tuple[dt.date, ...]


@dataclass(frozen=True)
class Result:
    """Rows in and out, seconds on the clock and of CPU, and the peak memory of the process.

    The CPU seconds, summed over threads, bear a busy machine better than the time on the clock.
    """

    rows_in: int
    rows_out: int
    scan_seconds: float
    scan_cpu: float
    seconds: float
    cpu: float
    tables_mb: float
    peak_mb: float


def write_ledger(folder: Path, accounts: int, instalments: int, mixed: float, shuffled: bool) -> None:
    """Write synthetic accounts, instalments and payments as Parquet.

    They stand sorted by account as ``load_records`` leaves them, or in no order.
    """
    with duckdb.connect() as con:
        habits = _ACCOUNTS.format(accounts=accounts, mixed=round(mixed * 1000))
        con.execute("SET enable_progress_bar = false")
        con.execute(f"CREATE TABLE habits AS {habits}")
        con.execute(f"CREATE TABLE instalments AS {_INSTALMENTS.format(instalments=instalments)}")
        order = "hash(rowid)" if shuffled else "account_id"
        queries = {
            "accounts": f"SELECT account_id, opened_on FROM habits ORDER BY {order}",
            "instalments": f"FROM instalments ORDER BY {order}, instalment_no",
            "payments": f"FROM ({_PAYMENTS}) ORDER BY {'hash(account_id, paid_on), ' if shuffled else ''}ALL",
        }
        for name, query in queries.items():
            con.execute(f"COPY ({query}) TO '{folder}/{name}.parquet' (FORMAT parquet)")


def scan(tables: dict[str, pa.Table]) -> tuple[float, float]:
    """Seconds, on the clock and of CPU, to read every column of the three tables once."""
    with duckdb.connect() as con:
        for name, table in tables.items():
            con.register(name, table)
        start, cpu = time.perf_counter(), time.process_time()
        for name, table in tables.items():
            hashes = ", ".join(f"bit_xor(hash({column}))" for column in table.column_names)
            con.sql(f"SELECT {hashes} FROM {name}").fetchall()
        return time.perf_counter() - start, time.process_time() - cpu


def settle_once(tables: dict[str, pa.Table], kind: str, dates: Sequence[dt.date]) -> int:
    """Settle; returns the number of rows. Of histories only one part at a time is held."""
    rules = SettlementRules(posting_lag_days=1, tolerance_amount=0.5)
    if kind == "facts":
        return int(compute_facts(tables, dates, rules).num_rows)
    return sum(part.num_rows for part in iter_histories(tables, rules, accounts_per_part=20_000))


def measure(job: Job) -> Result:
    """Scan and settle, the best of three each, and read the high-water mark of memory."""
    tables = {name: pq.read_table(job.folder / f"{name}.parquet") for name in TABLES}
    # The first call on a machine compiles, later ones load what was compiled: not part of the time.
    settle_once({name: table.slice(0, 100) for name, table in tables.items()}, job.kind, job.dates)
    scans = [scan(tables) for _ in range(4)][1:]
    runs = []
    for _ in range(3):
        start, cpu = time.perf_counter(), time.process_time()
        rows_out = settle_once(tables, job.kind, job.dates)
        runs.append((time.perf_counter() - start, time.process_time() - cpu))
    return Result(
        sum(table.num_rows for table in tables.values()),
        rows_out,
        min(seconds for seconds, _ in scans),
        min(cpu for _, cpu in scans),
        min(seconds for seconds, _ in runs),
        min(cpu for _, cpu in runs),
        sum(table.nbytes for table in tables.values()) / 2**20,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def month_ends(count: int) -> tuple[dt.date, ...]:
    """The last ``count`` month ends up to the last as_of date."""
    ends, end = [], LAST_AS_OF
    for _ in range(count):
        ends.append(end)
        end = end.replace(day=1) - dt.timedelta(1)
    return tuple(ends[::-1])


def describe(accounts: int, kind: str, r: Result) -> str:
    """One measurement in a line."""
    return (
        f"{accounts:>9,} accounts, {r.rows_in:>11,} rows in, {r.rows_out:>11,} {kind} out: "
        f"scan {r.scan_seconds:.3f} s ({r.scan_cpu:.2f} s of CPU), settlement {r.seconds:.2f} s "
        f"({r.cpu:.2f} s of CPU), ratio {r.seconds / r.scan_seconds:.1f} ({r.cpu / r.scan_cpu:.1f} of CPU), "
        f"peak {r.peak_mb:,.0f} MB, of which tables {r.tables_mb:,.0f} MB"
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Run the two sizes and print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--instalments", type=int, default=24, help="for each account")
    parser.add_argument("--dates", type=int, default=1, help="month ends of the facts, up to 2023-12-31")
    parser.add_argument("--mixed", type=float, default=0.1, help="share of accounts that mix names and FIFO")
    parser.add_argument("--shuffled", action="store_true", help="rows in no order")
    args = parser.parse_args(argv)
    results: dict[str, list[Result]] = {"facts": [], "histories": []}
    spawn = multiprocessing.get_context("spawn")
    for accounts in (max(args.accounts // 10, 1), args.accounts):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
                ledger = (folder, accounts, args.instalments, args.mixed, args.shuffled)
                pool.submit(write_ledger, *ledger).result()
                for kind, found in results.items():
                    found.append(pool.submit(measure, Job(folder, kind, month_ends(args.dates))).result())
                    print(describe(accounts, kind, found[-1]), flush=True)
    for kind, (small, full) in results.items():
        print(
            f"{kind}: {full.rows_in / small.rows_in:.1f} times the rows took "
            f"{full.seconds / small.seconds:.1f} times the time, {full.cpu / small.cpu:.1f} times the CPU"
        )


if __name__ == "__main__":
    main()
