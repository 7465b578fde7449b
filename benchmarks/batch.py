"""Time and memory of a scoring run, from buckets of records to ranked reminders with reasons.

``run_score`` reads sorted buckets of the synthetic lender, as ``overdue-ml prepare`` writes them, and is held
against the least that any scoring must do, measured in the same run: a bare DuckDB scan of the same files and
a bare LightGBM ``predict`` on a matrix of features that is there already. Then the same at other sizes, with
other buckets and workers, and with reasons for all, for those on the list, or for nobody. Each measurement
has a process of its own. The CPU seconds and the memory are those of the process and its workers together.
All data are synthetic. Example: ``python benchmarks/batch.py --customers 100000 --sizes "" --sweep 0``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from results_page import write_section

HERE = Path(__file__).parent
AS_OF = dt.date(2023, 11, 30)
#: Month ends that the models learn from, and customers of theirs.
TRAINED_ON = ["2023-03-31", "2023-05-31", "2023-07-31", "2023-09-30"]
TRAINING_CUSTOMERS = 6000
MODELS = {
    "single": "300 trees of 31 leaves, 80 features",
    "bag": "the default: 5 x 400 trees of 8 leaves, every feature of the lender",
}
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of CPU, and MB at the most, over a process and its workers.

    ``own_mb`` is memory of their own; ``largest_mb`` what the largest of them had in it, mapped files too.
    """

    rows: int
    seconds: float
    cpu: float
    own_mb: float
    largest_mb: float


@dataclass(frozen=True)
class Work:
    """A scoring run to measure: the book, the model's folder, and how it is carried out."""

    book: Path
    model: Path
    explain: str = "all"
    workers: int = 1
    threads: int = CORES


class Watch(threading.Thread):
    """CPU and memory of this process and those that it started, while it works."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done = threading.Event()
        self._cpu: dict[int, float] = {}
        self.own_mb = self.largest_mb = 0.0

    def run(self) -> None:
        """Look every tenth of a second."""
        while not self._done.wait(0.1):
            self.look()

    def look(self) -> float:
        """Read what the system says of each process; seconds of CPU of all since they began."""
        own = 0.0
        for pid in _family(os.getpid()):
            try:
                rss, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
                used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            except (OSError, ValueError):
                continue  # it has ended
            page = os.sysconf("SC_PAGE_SIZE") / 1e6
            own += (int(rss) - int(shared)) * page
            self.largest_mb = max(self.largest_mb, int(rss) * page)
            self._cpu[pid] = sum(map(int, used)) / os.sysconf("SC_CLK_TCK")
        self.own_mb = max(self.own_mb, own)
        return sum(self._cpu.values())

    def stop(self) -> float:
        """End; what :meth:`look` gives."""
        self._done.set()
        self.join()
        return self.look()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:
            continue
        for child in found:
            yield from _family(int(child))


def measure(run: Callable[[], int]) -> Cost:
    """Run once; a call returns its rows."""
    watch = Watch()
    before = watch.look()
    watch.start()
    start = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - start
    cpu = watch.stop() - before
    return Cost(rows, seconds, cpu, watch.own_mb, watch.largest_mb)


def write_bucket(folder: Path, number: int, customers: np.ndarray) -> dict[str, Any]:
    """Draw the customers with these numbers, all of one bucket; what ``buckets.json`` says of them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from overdue_ml.config import RecordsConfig
    from overdue_ml.records import Records, simulate, write_buckets
    from overdue_ml.records.validate import ValidationReport

    # Each bucket has draws of its own, whose customers get the ids that belong here, in the same order.
    tables, ids = simulate(len(customers), seed=number), pa.array(ids_of(customers))
    del tables["truth"]
    for name, table in tables.items():
        for key in {"customer_id", "account_id", "payment_id"} & set(table.column_names):
            drawn = table[key].combine_chunks()
            place = pc.utf8_slice_codeunits(drawn, 3, 12).cast(pa.int64())
            own = pc.binary_join_element_wise(ids.take(place), pc.utf8_slice_codeunits(drawn, 12), "")
            table = table.set_column(table.column_names.index(key), key, own)
        tables[name] = table
    # Drawn tables have the types and the order of validated ones.
    config = RecordsConfig()
    records = Records(tables, {}, ValidationReport(config.max_rejected_share), config)
    alone = folder / f"alone-{number}"
    write_buckets(records, alone, 1)
    found: dict[str, Any] = json.loads((alone / "buckets.json").read_text())
    files = found["prepared"]["files"]
    moved = {name: name.replace("bucket=00000", f"bucket={number:05d}") for name in files}
    for name, target in moved.items():
        (folder / target).parent.mkdir(parents=True)
        (alone / name).rename(folder / target)
    shutil.rmtree(alone)
    found["prepared"]["files"] = {target: files[name] for name, target in moved.items()}
    return found


def ids_of(customers: np.ndarray) -> list[str]:
    """Ids of the customers with these numbers."""
    return [f"SYN{number:09d}" for number in customers]


@contextmanager
def book_of(place: Path, customers: int, n_buckets: int) -> Iterator[Path]:
    """A folder of prepared buckets, drawn one by one and removed in the end."""
    import pyarrow as pa

    from overdue_ml.records import bucket_of

    folder = Path(tempfile.mkdtemp(prefix="book-", dir=place))
    bucket = bucket_of(pa.array(ids_of(np.arange(customers))), n_buckets)
    with ProcessPoolExecutor(CORES, multiprocessing.get_context("spawn")) as pool:
        jobs = [
            pool.submit(write_bucket, folder, number, np.flatnonzero(bucket == number))
            for number in range(n_buckets)
        ]
        buckets = [job.result() for job in jobs]
    whole = buckets[0] | {"n_buckets": n_buckets}
    for other in buckets[1:]:
        whole["prepared"]["files"] |= other["prepared"]["files"]
        whole["prepared"]["n_customers"] += other["prepared"]["n_customers"]
    (folder / "buckets.json").write_text(json.dumps(whole))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def train(folder: Path) -> None:
    """Write the bundles of both models."""
    from overdue_ml import OverdueClassifier
    from overdue_ml.config import RecordsConfig, TrainConfig
    from overdue_ml.features import registry_with
    from overdue_ml.jobs.sample import draw_sample
    from overdue_ml.jobs.train import run_train
    from overdue_ml.model import save_bundle
    from overdue_ml.records import load_records, simulate

    tables = simulate(TRAINING_CUSTOMERS, seed=9999)
    del tables["truth"]
    records = load_records(tables)
    settings: dict[str, Any] = {
        "as_of": TRAINED_ON,
        "labels": {"source": "instalments", "grace_days": 3, "population": "pre_due"},
        "split": {"by": "time"},
        "evaluation": {"n_boot": 0},
    }
    config = TrainConfig.model_validate(settings)
    save_bundle(run_train(records, RecordsConfig(), config, None).model, folder / "bag")
    few = TrainConfig.model_validate(settings | {"selection": {"keep": 80}})
    model = run_train(records, RecordsConfig(), few, None).model
    sample = draw_sample(records, few, registry_with([], None, ranks=False))
    X = sample.features.loc[sample.train, model.feature_names]
    y = sample.labels["is_overdue"][sample.train].to_numpy().astype(int)
    rows = np.arange(len(X))
    # One fold that holds out no row of its own: one model on all rows.
    single = OverdueClassifier(n_estimators=300, num_leaves=31, learning_rate=0.05, cv=[(rows, rows[::5])])
    save_bundle(replace(model, classifier=single.fit(X, y)), folder / "single")


def run_scan(book: Path) -> Cost:
    """Read and hash every column of every file of a book."""
    import duckdb

    def scan() -> int:
        rows = 0
        with duckdb.connect() as con:
            con.execute("SET enable_progress_bar = false")
            for table in sorted(p.name for p in book.iterdir() if p.is_dir()):
                files = f"read_parquet('{book}/{table}/*/*.parquet', hive_partitioning = false)"
                names = [str(row[0]) for row in con.execute(f"DESCRIBE FROM {files}").fetchall()]
                hashes = ", ".join(f'bit_xor(hash("{name}"))' for name in names)
                rows += con.sql(f"SELECT count(*), {hashes} FROM {files}").fetchall()[0][0]
        return rows

    return measure(scan)


def run_predict(book: Path, model: Path, customers: int) -> Cost:
    """Bare LightGBM on the features of the first bucket, as often as it takes."""
    from overdue_ml.features import build_part, registry_with
    from overdue_ml.model import load_bundle
    from overdue_ml.records import open_buckets

    loaded = load_bundle(model)
    records = open_buckets(book).load(0)
    assert records is not None
    built = build_part(records, AS_OF, loaded.feature_names, registry_with([], None))
    assert built is not None
    X = np.resize(built.to_numpy(), (customers, built.shape[1]))
    del records, built

    def predict() -> int:
        for booster in loaded.classifier.boosters_:
            booster.predict(X, raw_score=True)
        return len(X)

    return measure(predict)


def run_batch(work: Work, out: Path) -> tuple[Cost, int]:
    """A whole scoring run; its cost, and how many customers are on the list."""
    from overdue_ml.config import BatchConfig, ScoreConfig
    from overdue_ml.jobs.score import ScoreSettings, run_score
    from overdue_ml.model import load_bundle
    from overdue_ml.tracking import RegisteredModel
    from overdue_ml.tracking.registry import sha256_of

    digest = sha256_of(work.model / "model.json")
    registered = RegisteredModel(
        load_bundle(work.model, digest), "overdue", "1", "champion", "benchmark", digest
    )
    settings = ScoreSettings(
        score=ScoreConfig(explain=work.explain),  # type: ignore[arg-type]
        batch=BatchConfig(workers=work.workers, threads=work.threads),
    )
    manifest: dict[str, Any] = {}

    def score() -> int:
        manifest.update(run_score(work.book, AS_OF, registered, out, settings).manifest)
        return int(manifest["n_customers"])

    cost = measure(score)
    return cost, int(manifest["n_reminders"])


def alone(job: Callable[..., Any], *words: object) -> Any:
    """Measure in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, *words).result()


def scored(work: Work, place: Path) -> tuple[Cost, int]:
    """Measure a run whose results are removed."""
    with tempfile.TemporaryDirectory(dir=place) as out:
        found: tuple[Cost, int] = alone(run_batch, work, Path(out))
        return found


def buckets_for(customers: int, size: int) -> int:
    """How many buckets of about so many customers."""
    return max(1, round(customers / size))


def ways() -> dict[str, tuple[int, int]]:
    """Workers and threads of each, by how a run is carried out."""
    alone = {f"this process, {CORES} threads": (1, CORES)}
    return alone if CORES == 1 else alone | {f"{CORES} processes of one thread": (CORES, 1)}


def compare(book: Path, models: Path, customers: int, place: Path) -> str:
    """Each model, carried out in each way, against scan and predict."""
    scan = alone(run_scan, book)
    lines = [
        f"{customers:,} customers, {scan.rows:,} rows in all tables; the bare scan took {scan.seconds:.2f} s "
        f"({scan.cpu:.2f} s of CPU). Reasons for all; memory is that of all processes together.",
        "",
        "| model | run in | `predict`, s (CPU) | run, s (CPU) | x scan and predict (CPU) "
        "| customers a second | on the list | memory, MB |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, title in MODELS.items():
        predict = alone(run_predict, book, models / name, customers)
        bare, bare_cpu = scan.seconds + predict.seconds, scan.cpu + predict.cpu
        for way, (workers, threads) in ways().items():
            run, listed = scored(Work(book, models / name, workers=workers, threads=threads), place)
            lines.append(
                f"| {title} | {way} | {predict.seconds:.2f} ({predict.cpu:.2f}) "
                f"| {run.seconds:.1f} ({run.cpu:.1f}) | {run.seconds / bare:.2f} ({run.cpu / bare_cpu:.2f}) "
                f"| {run.rows / run.seconds:,.0f} | {listed:,} | {run.own_mb:,.0f} |"
            )
            print(lines[-1], flush=True)
    return "\n".join(lines)


_HEAD = "| {} | s (CPU) | customers a second | µs of CPU a customer | memory, MB | largest process, MB |"
_RULE = "|---|---:|---:|---:|---:|---:|"


def row_of(title: str, run: Cost) -> str:
    """A line of a table."""
    line = (
        f"| {title} | {run.seconds:.1f} ({run.cpu:.1f}) | {run.rows / run.seconds:,.0f} "
        f"| {1e6 * run.cpu / run.rows:.1f} | {run.own_mb:,.0f} | {run.largest_mb:,.0f} |"
    )
    print(line, flush=True)
    return line


def grow(sizes: Sequence[int], models: Path, bucket: int, place: Path) -> str:
    """The same work for more and more customers."""
    lines, runs = [_HEAD.format("customers"), _RULE], []
    for size in sizes:
        with book_of(place, size, buckets_for(size, bucket)) as book:
            runs.append(scored(Work(book, models / "single"), place)[0])
        lines.append(row_of(f"{size:,}", runs[-1]))
    few, many = runs[0], runs[-1]
    lines += [
        "",
        f"{many.rows / few.rows:.1f} times the customers took {many.seconds / few.seconds:.1f} times the "
        f"time and {many.cpu / few.cpu:.1f} times the CPU.",
    ]
    return "\n".join(lines)


def sweep(customers: int, buckets: Sequence[int], usual: int, models: Path, place: Path) -> tuple[str, str]:
    """Buckets and workers; and, with buckets of the usual size, who gets reasons."""
    usual = min(buckets, key=lambda size: abs(size - usual))
    lines = [_HEAD.format("customers a bucket, workers"), _RULE]
    for size in sorted(buckets):
        with book_of(place, customers, buckets_for(customers, size)) as book:
            for workers in sorted({1, CORES}):
                work = Work(book, models / "single", workers=workers, threads=max(1, CORES // workers))
                title = f"{size:,}, {workers} of {work.threads} threads"
                lines.append(row_of(title, scored(work, place)[0]))
            if size != usual:
                continue
            told = [_HEAD.format("model, reasons for"), _RULE]
            for name in MODELS:
                for explain in ("all", "listed", "none"):
                    run = scored(Work(book, models / name, explain), place)[0]
                    told.append(row_of(f"{name}, {explain}", run))
    return "\n".join(lines), "\n".join(told)


def numbers(text: str) -> list[int]:
    """Whole numbers with commas between."""
    return [int(part) for part in text.split(",") if part.strip()]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000, help="of the comparison; 0 leaves it out")
    parser.add_argument("--bucket", type=int, default=50_000, help="customers a bucket")
    parser.add_argument("--sizes", default="100000,3000000", help="of the growing book")
    parser.add_argument(
        "--sweep", type=int, default=200_000, help="customers of the other tables; 0 leaves them out"
    )
    parser.add_argument("--sweep-buckets", default="12500,50000,100000", help="customers a bucket")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="where there is room"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    parser.add_argument("--date", type=dt.date.fromisoformat, help="of the run, for --write")
    args = parser.parse_args(argv)
    if args.write and args.date is None:
        parser.error("--write needs --date")
    sizes, buckets = numbers(args.sizes), numbers(args.sweep_buckets)
    started = time.perf_counter()
    parts = []
    with tempfile.TemporaryDirectory(prefix="overdue-ml-batch-", dir=args.folder) as name:
        place = Path(name)
        alone(train, place)
        if args.customers:
            with book_of(place, args.customers, buckets_for(args.customers, args.bucket)) as book:
                parts.append(compare(book, place, args.customers, place))
        if sizes:
            parts += ["### At other sizes", grow(sizes, place, args.bucket, place)]
        if args.sweep:
            by_bucket, by_reasons = sweep(args.sweep, buckets, args.bucket, place, place)
            parts += [f"### Buckets and workers, {args.sweep:,} customers", by_bucket]
            parts += [f"### Reasons, {args.sweep:,} customers", by_reasons]
    minutes = (time.perf_counter() - started) / 60
    head = [
        "## A scoring run, from buckets to reminders",
        f"{args.date or ''}, {CORES} cores, {minutes:.0f} minutes: `python benchmarks/batch.py "
        f'--customers {args.customers} --bucket {args.bucket} --sizes "{args.sizes}" --sweep {args.sweep} '
        f"--sweep-buckets {args.sweep_buckets}`".lstrip(", "),
    ]
    text = "\n\n".join([*head, *parts])
    print(f"\n{text}")
    if args.write:
        write_section(HERE / "RESULTS.md", "batch", text)


if __name__ == "__main__":
    main()
