"""A scored book made by hand on a synthetic lender, hostile ids planted, and a client of the page."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from overdue_ml.config import RecordsConfig, RemindersConfig, ScoreConfig
from overdue_ml.explain import sum_by_reason, top_reasons
from overdue_ml.features import available_features, default_registry
from overdue_ml.jobs.output import write_json, write_parquet
from overdue_ml.model import compute_points
from overdue_ml.records import compute_next_due, load_records, simulate
from overdue_ml.reminders import assign_tiers, rank_customers
from overdue_ml.server.run import Access, Address, prepare
from overdue_ml.server.settings import ServeConfig, Sources

AS_OF = dt.date(2022, 8, 31)
N_CUSTOMERS = 120
#: Ids as somebody with bad intentions, or a bad export, would choose them.
HOSTILE = (
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "😀" * 2500,
    "%2F",
    "a&b=c#d?e;f+g h",
    "客户甲",
    "two\nlines",
    "../card?customer=SYN000000001",
    "{{ 7 * 7 }}",
)


def hostile_tables(n_customers=N_CUSTOMERS):
    """The tables of a synthetic lender whose first customers got other ids."""
    tables = simulate(n_customers, seed=5, months=8)
    ids = tables["customers"].column("customer_id").to_pylist()
    names = dict(zip(ids, HOSTILE, strict=False))
    found = {}
    for name, table in tables.items():
        if name in ("truth", "contacts"):
            continue
        frame = table.to_pandas()
        if "customer_id" in frame:
            frame["customer_id"] = frame["customer_id"].map(lambda i: names.get(i, i)).astype("str")
        found[name] = frame
    return found


def write_run(folder, records, source, as_of=AS_OF, seed=1, run_key="first", **changes):
    """Scores that no model gave: contributions are drawn, everything else follows from them."""
    registry = default_registry()
    by_reason = {}
    for name in sorted(available_features(records, registry)):
        by_reason.setdefault(registry[name].reason, name)
    names = [by_reason[code] for code in sorted(by_reason)][:9]
    ids = sorted(set(records.tables["accounts"].column("customer_id").to_pylist()))
    draws = np.random.default_rng(seed).normal(0, 0.7, (len(ids), len(names)))
    values = pd.DataFrame(draws, index=pd.Index(ids, name="customer_id"), columns=names)
    base = -1.2
    log_odds = base + values.sum(axis=1).to_numpy()
    p = 1 / (1 + np.exp(-log_odds))
    due = compute_next_due(records, as_of).reindex(ids)
    amount = due["due_amount"].fillna(0.0).to_numpy()
    config = ScoreConfig()
    rank = np.empty(len(ids), np.int64)
    rank[np.argsort(-log_odds, kind="stable")] = np.arange(1, len(ids) + 1)
    scores = pd.DataFrame(
        {
            "customer_id": pd.array(ids, dtype="str"),
            "as_of_date": as_of,
            "p_overdue": p,
            "log_odds": log_odds,
            "points": compute_points(p, config.points),
            "tier": assign_tiers(p, amount, config.tiers),
            "rank": rank,
            "next_due_date": pd.to_datetime(due["next_due_date"]).dt.date.to_numpy(),
            "due_amount": amount,
            "exposure_amount": due["exposure_amount"].fillna(0.0).to_numpy(),
            "expected_overdue_amount": p * amount,
        }
    )
    reasons = {name: registry[name].reason for name in names}
    told = top_reasons(sum_by_reason(values, reasons), 4).reset_index(drop=True)
    # As runs of before told what lowers a score where nothing more raises it.
    free = told["reason_4_code"].isna() & ~told.filter(like="_code").eq("DEBT_ELSEWHERE").any(axis=1)
    told.loc[free, ["reason_4_code", "reason_4_contribution"]] = ["DEBT_ELSEWHERE", -0.1]
    scores = pd.concat([scores, told], axis=1)
    listed = rank_customers(scores, RemindersConfig(min_probability=0.15))
    folder.mkdir(parents=True)
    write_parquet(scores, folder / "scores.parquet")
    write_parquet(values.reset_index().assign(base=base), folder / "contributions.parquet")
    write_parquet(listed.reminders, folder / "reminders.parquet")
    write_parquet(listed.suppressed, folder / "suppressed.parquet")
    counts, edges = np.histogram(p, bins=np.linspace(0, 1, 51))
    manifest = {
        "as_of": as_of.isoformat(),
        "run_key": run_key,
        "records_fingerprint": records.fingerprint,
        "records_source": str(source),
        "model": {"name": "overdue", "version": "3", "model_hash": "0" * 64},
        "n_customers": len(ids),
        "book_edges": edges.tolist(),
        "book_counts": counts.tolist(),
        "labels_final_on": "2022-07-31",
        "trained_on_later_outcomes": False,
        "settings": {
            "score": config.model_dump(mode="json"),
            "reminders": RemindersConfig().model_dump(mode="json"),
            "records": RecordsConfig().model_dump(mode="json"),
        },
    }
    write_json(manifest | changes, folder / "manifest.json")
    return scores


@dataclass(frozen=True)
class Lender:
    """Where records and runs are, and the scores of the newest run."""

    out: Path
    source: Path
    records: object
    scores: pd.DataFrame


@pytest.fixture(scope="session")
def lender(tmp_path_factory):
    """Three runs: the newest date twice, and one a month earlier."""
    root = tmp_path_factory.mktemp("served")
    source, out = root / "records", root / "out"
    source.mkdir()
    for name, frame in hostile_tables().items():
        frame.to_parquet(source / f"{name}.parquet", index=False)
    records = load_records(source)
    write_run(out / "as_of=2022-07-31", records, source, dt.date(2022, 7, 31), seed=3)
    write_run(out / "as_of=2022-08-31", records, source, seed=2)
    scores = write_run(out / "as_of=2022-08-31.run2", records, source, seed=1, run_key="second")
    # Neither is a run: half a manifest, and a folder in which one is being built.
    (out / "as_of=2022-09-30").mkdir()
    (out / "as_of=2022-09-30" / "manifest.json").write_text("{", encoding="utf-8")
    (out / ".as_of=2022-10-31.x").mkdir()
    return Lender(out, source, records, scores)


class Client:
    """Asks an ASGI application without a socket."""

    def __init__(self, app, host="127.0.0.1:8080"):
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url=f"http://{host}", follow_redirects=False
        )

    def ask(self, method, url, **options):
        return asyncio.run(self._client.request(method, url, **options))

    def get(self, url, **options):
        return self.ask("GET", url, **options)


@pytest.fixture
def site(lender, tmp_path):
    """Start the page over the lender's runs; options override what a user would give."""

    def start(*, config=None, host="127.0.0.1", environment=None, token_file=None, user="local", **sources):
        chosen = Sources(**({"out": lender.out} | sources))
        access = Access(token_file, tmp_path / "log", user)
        return prepare(chosen, config or ServeConfig(), Address(host), access, environment or {})

    return start


@pytest.fixture
def log_lines(tmp_path):
    """The access log of the site as it stands."""

    def read():
        path = tmp_path / "log" / "access.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return read


@pytest.fixture
def client(site):
    """A client of the page on loopback."""
    return Client(site())


@pytest.fixture(scope="session")
def client_of():
    """The class of clients, for tests that start the page otherwise."""
    return Client
