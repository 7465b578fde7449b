"""Time and memory of settlement, as a ratio to a bare DuckDB scan of the same columns in the same run.

A tenth of the ledger is settled first: linear means that the full size takes ten times as long. All data
are synthetic. Example: ``python benchmarks/settlement.py --accounts 20000 --dates 24``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from overdue_ml.records.settlement import SettlementRules, compute_facts

LAST_AS_OF = dt.date(2023, 12, 31)
# By a hash of the ids: every account is told the same story at any size.
_ACCOUNTS = """
    SELECT 'account-' || i AS account_id, DATE '2022-01-01' AS opened_on,
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


@dataclass(frozen=True)
class Result:
    """What one size took: rows in and out, seconds, and the peak memory of the process so far.

    The CPU seconds, summed over threads, bear a busy machine better than the time on the clock.
    """

    rows_in: int
    rows_out: int
    scan_seconds: float
    settle_seconds: float
    cpu_seconds: float
    peak_mb: float


def make_ledger(accounts: int, instalments: int, mixed_share: float) -> dict[str, pa.Table]:
    """Synthetic accounts, instalments and payments as Arrow tables, payments in no order."""
    with duckdb.connect() as con:
        habits = _ACCOUNTS.format(accounts=accounts, mixed=round(mixed_share * 1000))
        con.execute(f"CREATE TABLE habits AS {habits}")
        con.execute(f"CREATE TABLE instalments AS {_INSTALMENTS.format(instalments=instalments)}")
        queries = {
            "accounts": "SELECT account_id, opened_on FROM habits",
            "instalments": "FROM instalments",
            "payments": f"FROM ({_PAYMENTS}) ORDER BY hash(account_id, paid_on)",
        }
        return {name: con.sql(query).to_arrow_table() for name, query in queries.items()}


def scan(tables: dict[str, pa.Table]) -> float:
    """Seconds to read every column of the three tables once."""
    with duckdb.connect() as con:
        for name, table in tables.items():
            con.register(name, table)
        start = time.perf_counter()
        for name, table in tables.items():
            hashes = ", ".join(f"bit_xor(hash({column}))" for column in table.column_names)
            con.sql(f"SELECT {hashes} FROM {name}").fetchall()
        return time.perf_counter() - start


def measure(tables: dict[str, pa.Table], dates: Sequence[dt.date]) -> Result:
    """Scan, settle, and read the high-water mark of memory."""
    scan(tables)
    scan_seconds = min(scan(tables) for _ in range(3))
    start, cpu = time.perf_counter(), time.process_time()
    facts = compute_facts(tables, dates, SettlementRules(posting_lag_days=1, tolerance_amount=0.5))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = sum(table.num_rows for table in tables.values())
    return Result(rows, facts.num_rows, scan_seconds, seconds, cpu, peak)


def month_ends(count: int) -> list[dt.date]:
    """The last ``count`` month ends up to the last as_of date."""
    ends, end = [], LAST_AS_OF
    for _ in range(count):
        ends.append(end)
        end = end.replace(day=1) - dt.timedelta(1)
    return ends[::-1]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the two sizes and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--instalments", type=int, default=24, help="for each account")
    parser.add_argument("--dates", type=int, default=1, help="month ends, the last is 2023-12-31")
    parser.add_argument("--mixed", type=float, default=0.1, help="share of accounts without a short cut")
    args = parser.parse_args(argv)
    results = []
    for accounts in (max(args.accounts // 10, 1), args.accounts):
        tables = make_ledger(accounts, args.instalments, args.mixed)
        r = measure(tables, month_ends(args.dates))
        results.append(r)
        print(
            f"{accounts:>9,} accounts, {r.rows_in:>11,} rows in, {r.rows_out:>11,} facts out: "
            f"scan {r.scan_seconds:.3f} s, settlement {r.settle_seconds:.2f} s "
            f"({r.cpu_seconds:.2f} s of CPU), ratio {r.settle_seconds / r.scan_seconds:.0f}, "
            f"peak {r.peak_mb:,.0f} MB"
        )
    small, full = results
    print(
        f"{full.rows_in / small.rows_in:.1f} times the rows took "
        f"{full.settle_seconds / small.settle_seconds:.1f} times the time, "
        f"{full.cpu_seconds / small.cpu_seconds:.1f} times the CPU"
    )


if __name__ == "__main__":
    main()
