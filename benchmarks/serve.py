"""Time of a page of ``overdue-ml serve`` on a large book, against a bare scan of the same file by DuckDB.

A scored book is drawn (no model is needed to list it), the page is started on a port of this machine, and
each kind of page is asked for over HTTP, one after another: first, middle and last page, filters, searches,
orders. The time is that of the whole answer, from the request to the last byte. The scan hashes every column,
since a plain count or maximum would be answered from the file's statistics. Example:
``python benchmarks/serve.py --customers 1000000``.
"""

from __future__ import annotations

import argparse
import http.client
import json
import resource
import statistics
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

AS_OF = "2024-01-31"
REASONS = ("INSTALMENT_DEPTH", "INCOME_BURDEN", "INCOME_STABILITY", "DEBT_ELSEWHERE", "INSTALMENT_OFTEN",
           "ACCOUNT_AGE", "NEXT_DUE", "PLAN_LEFT")  # fmt: skip
RULES = ("nothing_due", "not_due_within_lead_days", "tier_not_reminded", "below_min_probability")


def write_run(out: Path, n: int, seed: int) -> Path:
    """A scored book of so many customers, as ``overdue-ml score`` writes it."""
    folder = out / f"as_of={AS_OF}"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    ids = pa.array([f"SYN{i:09d}" for i in range(n)], pa.string())
    log_odds = rng.normal(-2.2, 1.2, n)
    p = 1 / (1 + np.exp(-log_odds))
    amount = np.round(rng.lognormal(6.5, 0.8, n), 2)
    due = rng.random(n) < 0.85
    days = np.datetime64(AS_OF) + rng.integers(1, 32, n).astype("timedelta64[D]")
    rank = np.empty(n, np.int64)
    rank[np.argsort(-log_odds, kind="stable")] = np.arange(1, n + 1)
    tier = np.select([(p >= 0.5) & (amount >= 1000), (p >= 0.2) & (amount >= 100)], ["high", "medium"], "low")
    columns = {
        "customer_id": ids,
        "as_of_date": pa.array(np.full(n, np.datetime64(AS_OF))),
        "p_overdue": p,
        "log_odds": log_odds,
        "points": 600 - 28.85 * log_odds,
        "tier": pa.array(tier),
        "rank": rank,
        "next_due_date": pa.array(days, mask=~due),
        "due_amount": np.where(due, amount, 0.0),
        "exposure_amount": amount * 8,
        "expected_overdue_amount": np.where(due, p * amount, 0.0),
    }
    for i in range(1, 5):
        columns[f"reason_{i}_code"] = pa.array(REASONS).take(rng.integers(0, len(REASONS), n))
        columns[f"reason_{i}_contribution"] = rng.exponential(0.4 / i, n) - 0.02
    listed = due & (tier != "low") & (days <= np.datetime64(AS_OF) + np.timedelta64(14, "D"))
    places = np.flatnonzero(listed)
    places = places[np.argsort(-(p * amount)[places], kind="stable")]
    reminders = {"reminder_rank": np.arange(1, len(places) + 1), "customer_id": ids.take(places)}
    rules = pa.array(RULES).take(rng.integers(0, len(RULES), n - len(places)))
    suppressed = {"customer_id": ids.filter(~listed), "rule": rules}
    tables = {"scores": columns, "reminders": reminders, "suppressed": suppressed}
    for name, table in tables.items():
        pq.write_table(
            pa.table(table), folder / f"{name}.parquet", compression="zstd", write_page_checksum=True
        )
    manifest = {
        "as_of": AS_OF,
        "run_key": "drawn",
        "n_customers": n,
        "model": {"name": "none", "version": "1"},
        "settings": {"records": {"attributes": [], "protected": []}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def pages(n: int) -> dict[str, dict[str, str]]:
    """What is asked for, by name."""
    last = str(10 * n)
    return {
        "first page": {},
        "middle page": {"page": str(n // 100)},
        "last page": {"page": last},
        "last page by expected amount": {"page": last, "sort": "expected"},
        "by due date, latest first": {"sort": "-due"},
        "tier medium": {"tier": "medium"},
        "tier low, last page": {"tier": "low", "page": last},
        "one reason, last page": {"reason": REASONS[1], "page": last, "sort": "expected"},
        "on the list, by expected amount": {"status": "listed", "sort": "expected"},
        "tier, reason, rule and due dates": {
            "tier": "low", "reason": REASONS[2], "status": RULES[0], "due_from": "2024-02-05",
            "due_to": "2024-02-20", "sort": "due", "page": last,
        },
        "id begins with (1 in 10)": {"q": "SYN0000"},
        "id begins with (10 customers)": {"q": f"SYN{n // 2:09d}"[:-1]},
        "id is exactly": {"q": f"SYN{n // 3:09d}", "match": "exact"},
        "nobody": {"q": "nobody", "match": "exact"},
        "200 rows a page": {"size": "200", "page": "100"},
    }  # fmt: skip


def ask(port: int, address: str) -> tuple[float, int]:
    """Seconds until the last byte of an answer, and its length."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", address)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{address}: {answer.status}")
    return time.perf_counter() - started, len(body)


def scan(path: Path, repeats: int) -> float:
    """Median seconds of DuckDB reading every column of the file."""
    names = pq.read_schema(path).names
    wanted = ", ".join(f'bit_xor(hash("{name}"))' for name in names)
    seconds = []
    for _ in range(repeats):
        with duckdb.connect() as con:
            started = time.perf_counter()
            con.execute(f"SELECT {wanted} FROM read_parquet(?)", [str(path)]).fetchall()
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def peak_mb() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(folder: Path, n: int, repeats: int) -> None:
    """Start the page and print what each kind of it costs."""
    import uvicorn

    from overdue_ml.server.book import Book
    from overdue_ml.server.run import Access, Address, prepare
    from overdue_ml.server.settings import ServeConfig, Sources

    bare = scan(folder / "scores.parquet", 5)
    before, started = peak_mb(), time.perf_counter()
    app = prepare(Sources(folder.parent), ServeConfig(), Address(), Access(log_folder=folder / "log"), {})
    loaded = time.perf_counter() - started
    after = peak_mb()
    settings = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", access_log=False, ws="none")
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(f"\n{n:,} customers; bare scan of scores.parquet by DuckDB: {1000 * bare:.0f} ms (median of 5)")
    print("\n| page | median ms | max ms | median / bare scan |\n|---|---|---|---|")
    for name, params in pages(n).items():
        address = f"/?{urlencode(params)}"
        ask(port, address)
        times = [ask(port, address)[0] for _ in range(repeats)]
        median = statistics.median(times)
        print(f"| {name} | {1000 * median:.0f} | {1000 * max(times):.0f} | {median / bare:.2f} |")
    seconds, size = ask(port, "/export.csv?sort=expected")
    print(f"| export of 100,000 rows ({size / 1e6:.1f} MB) | {1000 * seconds:.0f} | | {seconds / bare:.2f} |")
    server.should_exit = True
    thread.join()
    book = Book(folder, json.loads((folder / "manifest.json").read_text()))
    print(f"\nreading the list: {loaded:.1f} s")
    print(f"held: {book.nbytes / len(book):.0f} bytes a customer, {book.nbytes / 1e6:.0f} MB")
    print(f"peak of the process: {before:.0f} MB before the list was read, {after:.0f} MB after it,")
    print(f"{peak_mb():.0f} MB in the end, with an export and a second list")


def main() -> None:
    """Draw a book, or take one that was drawn, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=20, help="times that each page is asked for")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        # In a process of its own, so that drawing is no part of the peak.
        import multiprocessing

        job = multiprocessing.get_context("spawn").Process(
            target=write_run, args=(Path(root) / "out", args.customers, args.seed)
        )
        job.start()
        job.join()
        measure(Path(root) / "out" / f"as_of={AS_OF}", args.customers, args.repeats)


if __name__ == "__main__":
    main()
