"""Time and memory of the repayment features, against a bare scan, SQL, Polars and pandas.

One as_of date over the synthetic lender (``overdue_ml.simulate_to``), each way in a process of its own, and a
training panel of month ends. The features of the peers start from settled facts, which our pass gives them,
and once from the records with settlement in SQL; ours start from the records. Values are compared, all of
them. Everything is synthetic. Example: ``python benchmarks/features.py --customers 1000000``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
from feature_peers import pandas_of, polars_of, sql_of

from overdue_ml.features import Feature, available_features, build_features, default_registry
from overdue_ml.records import Records, compute_facts, load_records, settle, simulate_to

AS_OF = dt.date(2023, 11, 30)
TABLES = ("customers", "accounts", "instalments", "payments")


@dataclass(frozen=True)
class Result:
    """Seconds on the clock and of CPU of the best of two runs, and the peak memory of the process."""

    rows: int
    seconds: float
    cpu: float
    peak_mb: float


def chosen(records: Records) -> list[Feature]:
    """Every default feature of the instalments that have fallen due."""
    names = set(available_features(records))
    declared = [f for f in default_registry() if isinstance(f, Feature) and f.name in names]
    return [f for f in declared if f.measure.view == "instalments"]


def read(folder: Path) -> Records:
    """The tables that the features need, of a folder that may hold more."""
    with duckdb.connect() as con:
        con.execute("SET enable_progress_bar = false")
        return load_records(
            {name: con.sql(f"FROM '{folder}/{name}/*.parquet'").to_arrow_table() for name in TABLES}
        )


def best(run: Callable[[], int], times: int = 2) -> Result:
    """Run a few times and keep the fastest."""
    found = []
    for _ in range(times):
        start, cpu = time.perf_counter(), time.process_time()
        rows = run()
        found.append((time.perf_counter() - start, time.process_time() - cpu, rows))
    seconds, cpu, rows = min(found)
    return Result(rows, seconds, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def run_scan(folder: Path) -> Result:
    """Read every column of instalments and payments once, from Arrow tables in memory."""
    records = read(folder)

    def scan() -> int:
        with records.connect() as con:
            for name in ("instalments", "payments"):
                hashes = ", ".join(f"bit_xor(hash({column}))" for column in records.columns(name))
                con.sql(f"SELECT {hashes} FROM {name}").fetchall()
        return sum(records.tables[name].num_rows for name in ("instalments", "payments"))

    return best(scan, 3)


def run_ours(folder: Path) -> Result:
    """Settlement and features by the compiled pass, from the records."""
    records = read(folder)
    names = [f.name for f in chosen(records)]
    # What numba compiles is kept on disk: the first call of a machine is not part of the time.
    few = {name: records.tables[name].slice(0, 200) for name in TABLES}
    build_features(load_records(few, strict=False), AS_OF, names)
    return best(lambda: len(build_features(records, AS_OF, names)))


def run_panel(folder: Path, dates: int) -> Result:
    """The same features for many month ends at once."""
    records = read(folder)
    names = [f.name for f in chosen(records)]
    points = [day.date() for day in pd.date_range(end=AS_OF, periods=dates, freq="ME")]
    build_features(records, AS_OF, names)
    return best(lambda: len(build_features(records, points, names)), 1)


def compare(theirs: pd.DataFrame, ours: pd.DataFrame, way: str) -> None:
    """Stop where another way gives other values: then its time says nothing."""
    same = ours.loc[theirs.index]
    for name in ours.columns:
        mine, other = same[name].to_numpy(), theirs[name].to_numpy(dtype=float)
        if not np.allclose(mine, other, rtol=1e-9, atol=1e-9, equal_nan=True):
            raise SystemExit(f"{way} gives other values of {name}: the comparison is void")


def reference(records: Records) -> pd.DataFrame:
    """Our values, by customer."""
    return build_features(records, AS_OF, [f.name for f in chosen(records)]).droplevel("as_of_date")


def run_sql(folder: Path, from_records: bool) -> Result:
    """DuckDB windows, over facts that are settled already or with settlement in SQL first."""
    records = read(folder)
    query = sql_of(chosen(records))
    with records.connect() as con:
        if from_records:

            def windows() -> int:
                facts = settle(con, AS_OF)
                facts.create_view("facts", replace=True)
                return int(con.sql(query).to_arrow_table().num_rows)

            result = best(windows, 1)
        else:
            con.register("facts", compute_facts(records, AS_OF))
            result = best(lambda: con.sql(query).to_arrow_table().num_rows)
        compare(con.sql(query).df().set_index("customer_id"), reference(records), "SQL")
    return result


def run_polars(folder: Path) -> Result:
    """Polars, streaming, over facts that are settled already."""
    import polars as pl

    records = read(folder)
    facts = pl.from_arrow(compute_facts(records, AS_OF)).lazy()
    accounts = pl.from_arrow(records.tables["accounts"].select(["account_id", "customer_id"])).lazy()
    query = polars_of(chosen(records), facts, accounts)
    result = best(lambda: len(query.collect(engine="streaming")))
    theirs = query.collect(engine="streaming").to_pandas().set_index("customer_id")
    compare(theirs, reference(records), "Polars")
    return result


def run_pandas(folder: Path) -> Result:
    """Sorting and grouping by pandas, over facts that are settled already."""
    records = read(folder)
    features, facts = chosen(records), compute_facts(records, AS_OF).to_pandas()
    owner = records.frame("accounts").set_index("account_id")["customer_id"]
    found: list[pd.DataFrame] = []

    def grouped() -> int:
        found[:] = [pandas_of(features, facts, owner, pd.Timestamp(AS_OF))]
        return len(found[0])

    result = best(grouped, 1)
    compare(found[0], reference(records), "pandas")
    return result


def alone(job: Callable[..., Result], *words: object) -> Result:
    """Measure in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, *words).result()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every way and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--dates", type=int, default=12, help="month ends of the panel")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        small, full = Path(name) / "small", Path(name) / "full"
        tenth = max(args.customers // 10, 1)
        simulate_to(small, tenth, part_customers=100_000)
        simulate_to(full, args.customers, part_customers=100_000)
        print(f"{len(chosen(read(small)))} features as of {AS_OF}")
        scan, ours_small = alone(run_scan, full), alone(run_ours, small)
        ours, settled = alone(run_ours, full), alone(run_sql, small, True)
        sql, by_pandas = alone(run_sql, full, False), alone(run_pandas, small)
        by_polars = alone(run_polars, full) if importlib.util.find_spec("polars") else None
        panel_small, panel = alone(run_panel, small, args.dates), alone(run_panel, small, 2 * args.dates)
    for way, found, factor in (
        (f"bare scan of {scan.rows:,} rows", scan, 1),
        ("overdue_ml, from the records", ours, 1),
        ("DuckDB, from the records, a tenth x 10", settled, 10),
        ("DuckDB windows, from facts", sql, 1),
        ("Polars streaming, from facts", by_polars, 1),
        ("pandas, from facts, a tenth x 10", by_pandas, 10),
    ):
        if found is None:
            print(f"{way:<40} not installed")
            continue
        seconds, cpu = factor * found.seconds, factor * found.cpu
        print(
            f"{way:<40} {seconds:8.2f} s {cpu:8.2f} s of CPU, {seconds / scan.seconds:7.1f} x scan, "
            f"{seconds / ours.seconds:6.1f} x ours, peak {found.peak_mb:,.0f} MB"
        )
    print(f"ten times the customers took {ours.seconds / ours_small.seconds:.1f} times the time")
    for dates, found in ((args.dates, panel_small), (2 * args.dates, panel)):
        print(
            f"panel of {dates} dates, {tenth:,} customers: {found.rows:,} rows in {found.seconds:.1f} s "
            f"({found.cpu:.1f} s of CPU), {found.rows / found.seconds:,.0f} rows a second, "
            f"peak {found.peak_mb:,.0f} MB"
        )


if __name__ == "__main__":
    main()
