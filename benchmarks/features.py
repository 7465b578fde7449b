"""Time and memory of the repayment features, against a bare scan and the same features in SQL and pandas.

One as_of date over the synthetic lender (``overdue_ml.simulate_to``), each way in a process of its own, and a
training panel of month ends. The features of the peers start from settled facts, which our pass gives them;
ours start from the records. Their values are compared with ours, all of them. Everything is synthetic.
Example: ``python benchmarks/features.py --customers 1000000``.
"""

from __future__ import annotations

import argparse
import datetime as dt
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

from overdue_ml.features import Feature, build_features, default_registry
from overdue_ml.records import Records, compute_facts, load_records, simulate_to

AS_OF = dt.date(2023, 11, 30)
TABLES = ("customers", "accounts", "instalments", "payments")
_MEASURES = {"dpd": ("mean", "max"), "early_days": ("mean",), "late": ("share",)}
_WINDOWS = ("last3", "last6", "last12", "90d", "180d", "360d")
_VALUES = {"dpd": "dpd", "early_days": "days_early", "late": "(dpd > 0)::INTEGER"}


@dataclass(frozen=True)
class Result:
    """Seconds on the clock and of CPU of the best of two runs, and the peak memory of the process."""

    rows: int
    seconds: float
    cpu: float
    peak_mb: float


def chosen() -> list[Feature]:
    """The declared features that all ways compute."""
    wanted = {
        f"repay_instalment_{measure}_{statistic}_{window}"
        for measure, statistics in _MEASURES.items()
        for statistic in statistics
        for window in _WINDOWS
    }
    return [f for f in default_registry() if isinstance(f, Feature) and f.name in wanted]


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
    records, names = read(folder), [f.name for f in chosen()]
    # What numba compiles is kept on disk: the first call of a machine is not part of the time.
    few = {name: records.tables[name].slice(0, 200) for name in TABLES}
    build_features(load_records(few, strict=False), AS_OF, names)
    return best(lambda: len(build_features(records, AS_OF, names)))


def run_panel(folder: Path, dates: int) -> Result:
    """The same features for many month ends at once."""
    records, names = read(folder), [f.name for f in chosen()]
    points = [day.date() for day in pd.date_range(end=AS_OF, periods=dates, freq="ME")]
    build_features(records, AS_OF, names)
    return best(lambda: len(build_features(records, points, names)), 1)


def sql_of(features: Sequence[Feature]) -> str:
    """The features over the settled facts of one date, by account with windows, then by customer."""
    cells, rollups = [], []
    for feature in features:
        measure = feature.measure.name.removeprefix("instalment_")
        window = feature.window
        inside = (
            f"k <= {window.size}" if window.kind == "events" else f"due_date > as_of_date - {window.size}"
        )
        function = "max" if feature.statistic == "max" else "avg"
        cells.append(f"{function}({_VALUES[measure]}) FILTER (WHERE {inside}) AS {feature.name}")
        rollups.append(f"{feature.combine}({feature.name})::DOUBLE AS {feature.name}")
    return f"""
        WITH due AS (
            SELECT *, row_number() OVER (
                PARTITION BY account_id ORDER BY due_date DESC, instalment_no DESC) AS k
            FROM facts WHERE due_date <= as_of_date
        ),
        by_account AS (SELECT account_id, {", ".join(cells)} FROM due GROUP BY account_id)
        SELECT customer_id, {", ".join(rollups)}
        FROM by_account JOIN accounts USING (account_id) GROUP BY customer_id ORDER BY customer_id"""


def run_sql(folder: Path) -> Result:
    """DuckDB windows over facts that are settled already; values are compared with ours, all of them."""
    records, features = read(folder), chosen()
    facts = compute_facts(records, AS_OF)
    with records.connect() as con:
        con.register("facts", facts)
        result = best(lambda: con.sql(sql_of(features)).to_arrow_table().num_rows)
        theirs = con.sql(sql_of(features)).df().set_index("customer_id")
    ours = build_features(records, AS_OF, [f.name for f in features]).droplevel("as_of_date")
    if not np.allclose(ours.loc[theirs.index], theirs[list(ours)], rtol=0, atol=1e-9, equal_nan=True):
        raise SystemExit("SQL gives other values: the comparison is void")
    return result


def run_pandas(folder: Path) -> Result:
    """Sorting and grouping by pandas, over facts that are settled already."""
    records, features = read(folder), chosen()
    facts = compute_facts(records, AS_OF).to_pandas()
    owner = records.frame("accounts").set_index("account_id")["customer_id"]
    facts["late"], facts["early_days"] = (facts["dpd"] > 0).astype(float), facts["days_early"]
    facts["age"] = (pd.Timestamp(AS_OF) - pd.to_datetime(facts["due_date"])).dt.days

    def grouped() -> int:
        due = facts[facts["age"] >= 0].sort_values(["account_id", "due_date", "instalment_no"])
        place = due.groupby("account_id").cumcount(ascending=False)
        columns = {}
        for feature in features:
            window = feature.window
            inside = place < window.size if window.kind == "events" else due["age"] < window.size
            values = due[feature.measure.name.removeprefix("instalment_")].where(inside)
            groups = values.groupby(due["account_id"])
            columns[feature.name] = groups.max() if feature.statistic == "max" else groups.mean()
        by_account = pd.DataFrame(columns)
        rollups = {f.name: f.combine for f in features}
        return len(by_account.groupby(owner.reindex(by_account.index)).agg(rollups))

    return best(grouped, 1)


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
    print(f"{len(chosen())} features as of {AS_OF}")
    with tempfile.TemporaryDirectory() as name:
        small, full = Path(name) / "small", Path(name) / "full"
        tenth = max(args.customers // 10, 1)
        simulate_to(small, tenth, part_customers=100_000)
        simulate_to(full, args.customers, part_customers=100_000)
        scan, ours_small = alone(run_scan, full), alone(run_ours, small)
        ours, sql = alone(run_ours, full), alone(run_sql, full)
        by_pandas = alone(run_pandas, small)
        panel_small, panel = alone(run_panel, small, args.dates), alone(run_panel, small, 2 * args.dates)
    for way, found, factor in (
        (f"bare scan of {scan.rows:,} rows", scan, 1),
        ("overdue_ml, from the records", ours, 1),
        ("DuckDB windows, from facts", sql, 1),
        ("pandas, from facts, a tenth times ten", by_pandas, 10),
    ):
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
