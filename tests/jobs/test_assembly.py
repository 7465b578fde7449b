"""The tables of a run in blocks: those of everybody at once, in bytes, and in memory that does not grow."""

from __future__ import annotations

import datetime as dt
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import AlertRule, ChannelRule, HoldoutConfig, RemindersConfig, ScoreConfig
from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.assemble import keep_reasons, rank_scores
from overdue_ml.jobs.assembly import Assembled, Assembly
from overdue_ml.jobs.output import write_parquet
from overdue_ml.jobs.parts import _write_arrow
from overdue_ml.jobs.progress import Silent
from overdue_ml.jobs.runs import EarlierRun
from overdue_ml.reminders import ReminderInputs, compute_watch_list, rank_customers, suggest_treatment

AS_OF = dt.date(2024, 1, 31)
PARTS = 4


def book(n: int, seed: int) -> dict[str, pd.DataFrame]:
    """Scores and what the policy asks about, of customers in order; a fifth is due within the lead days."""
    rng = np.random.default_rng(seed)
    ids = pd.Series([f"c{i:07}" for i in range(n)], dtype="str")
    p = np.round(rng.beta(1, 4, n), 3)
    amount = np.round(rng.exponential(500, n), 2)
    due = [AS_OF + dt.timedelta(days=int(d)) if d < 60 else None for d in rng.integers(1, 80, n)]
    scores = pd.DataFrame(
        {
            "customer_id": ids,
            "as_of_date": AS_OF,
            "p_overdue": p,
            "log_odds": np.round(np.log((p + 0.01) / (1.01 - p)), 2),
            "tier": pd.Series(rng.choice(["high", "medium", "low"], n, p=[0.1, 0.2, 0.7]), dtype="str"),
            "next_due_date": pd.Series(due, dtype="object"),
            "due_amount": amount,
            "exposure_amount": 3 * amount,
            "expected_overdue_amount": p * amount,
            "reason_1_code": pd.Series(rng.choice(["LATE", "INCOME"], n), dtype="str"),
            "reason_1_contribution": rng.normal(size=n),
        }
    )
    told = rng.random(n) < 0.2
    day = lambda share: pd.Series(  # noqa: E731
        np.where(rng.random(told.sum()) < share, np.datetime64("2024-02-05", "s"), np.datetime64("NaT", "s"))
    )
    people = pd.DataFrame(
        {
            "customer_id": ids[told].reset_index(drop=True),
            "exclusion": pd.Series(rng.choice(["opt_out", None], told.sum()), dtype="str"),
            "paid_due_date": day(0.2),
            "covered_due_date": day(0.1),
            "timezone": pd.Series(rng.choice(["Asia/Tokyo", "nowhere", None], told.sum()), dtype="str"),
            "channel": pd.Series(rng.choice(["sms", None], told.sum()), dtype="str"),
        }
    )
    called = rng.random(n) < 0.1
    contacts = pd.DataFrame(
        {
            "customer_id": ids[called].reset_index(drop=True),
            "contacted_on": np.full(called.sum(), np.datetime64("2024-01-30", "s")),
            "n": rng.integers(1, 9, called.sum()),
        }
    )
    late = rng.random(n) < 0.1
    past_due = pd.DataFrame(
        {
            "customer_id": ids[late].reset_index(drop=True),
            "dpd": rng.integers(1, 100, late.sum()),
            "overdue_amount": amount[late],
        }
    )
    contributions = pd.DataFrame({"customer_id": ids, "a": rng.normal(size=n), "b": rng.normal(size=n)})
    return {"scores": scores, "contributions": contributions, "inputs.people": people,
            "inputs.contacts": contacts, "inputs.past_due": past_due}  # fmt: skip


FACTS = {"timezone": "UTC", "has_contacts": True, "unclear": {"opt_out": 1}}


def write_parts(
    tables: dict[str, pd.DataFrame], bucket: np.ndarray, folder: Path, n_parts: int = PARTS
) -> list[dict[str, Any]]:
    """Parts of customers by bucket; their facts, also of a bucket in which nobody is known."""
    folder.mkdir()
    bucket_of = pd.Series(bucket, tables["scores"]["customer_id"])
    facts = []
    for number in range(n_parts):
        rows = int((bucket == number).sum())
        facts.append({"bucket": number, "rows": rows, **({"inputs": FACTS} if rows else {})})
        for name, frame in tables.items() if rows else ():
            mine = frame[bucket_of[frame["customer_id"]].to_numpy() == number]
            _write_arrow(
                pa.Table.from_pandas(mine, preserve_index=False), folder / f"{number:05d}.{name}.arrow"
            )
    return facts


def policy_of(**settings) -> RemindersConfig:
    """With the one exclusion that the made-up people have."""
    told = {"rule": "opt_out", "table": "customers", "column": "opt_out"}
    return RemindersConfig(exclusions=[told], **settings)


POLICIES = {
    "default": policy_of(),
    "much": policy_of(
        lead_days=40, tiers=["high", "medium", "low"], min_probability=0.0, capacity=30,
        channels=[ChannelRule(channel="sms", daily_capacity=20), ChannelRule(channel="email")],
        holdout=HoldoutConfig(campaign="spring", share=0.3), rank_by="log_odds",
        alerts=[AlertRule(kind="crossed", threshold=0.4, owner="q"),
                AlertRule(kind="jumped", threshold=0.1, owner="r"),
                AlertRule(kind="crossed", indicator="due_amount", threshold=9e9, owner="r")],
    ),
    "nobody": policy_of(capacity=0, alerts=[]),
}  # fmt: skip


def run(parts: Path, facts, policy, explain="all", earlier=None, *, at_once=True) -> tuple[Path, Assembled]:
    whole = parts.parent / f"whole-{explain}-{at_once}"
    whole.mkdir()
    config = ScoreConfig(explain=explain)
    made = Assembly(parts, facts, AS_OF, (config, policy), "m/2", earlier, at_once=at_once)
    return whole, made.write(whole, Silent())


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 120), seed=st.integers(0, 99), cut=st.integers(0, 9),
    name=st.sampled_from(sorted(POLICIES)),
    explain=st.sampled_from(["all", "listed"]), rows=st.integers(1, 40), at_once=st.booleans(),
)  # fmt: skip
def test_in_blocks_everything_is_as_from_everybody_at_once(n, seed, cut, name, explain, rows, at_once):
    tables, policy = book(n, seed), POLICIES[name]
    before = book(150, seed + 1)["scores"].iloc[::2]
    bucket = np.random.default_rng(cut).integers(0, PARTS, n)
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place)
        (folder / "before").mkdir()
        write_parquet(before, folder / "before" / "scores.parquet")
        earlier = EarlierRun(folder / "before", "2023-12-31", "m/1", "x")
        facts = write_parts(tables, bucket, folder / "parts")
        # Row groups of the tables of everybody are as large as ever.
        for where in ("assembly.BLOCK_ROWS", "assemble.BLOCK_ROWS", "order.RANGE_ROWS"):
            patch.setattr(f"overdue_ml.jobs.{where}", rows)
        patch.setattr("overdue_ml.jobs.runs._BATCH", rows)
        whole, made = run(folder / "parts", facts, policy, explain, earlier, at_once=at_once)

        # As it was done when everybody stood in memory.
        ranked = rank_scores(pa.Table.from_pandas(tables["scores"], preserve_index=False))
        frame = ranked.to_pandas()
        inputs = ReminderInputs(AS_OF, tables["inputs.people"], tables["inputs.contacts"], **FACTS)
        found = rank_customers(frame, policy, inputs)
        explained = tables["contributions"]
        if explain == "listed":
            listed = frame["customer_id"].isin(found.reminders["customer_id"]).to_numpy()
            ranked, explained = keep_reasons(ranked, pa.array(listed)), explained[listed]
            frame = ranked.to_pandas()
        write_parquet(ranked, folder / "scores.parquet")
        write_parquet(found.suppressed, folder / "suppressed.parquet")
        for table in ("scores", "suppressed"):
            assert (whole / f"{table}.parquet").read_bytes() == (folder / f"{table}.parquet").read_bytes()
        if len(explained):
            assert (
                pq.read_table(whole / "contributions.parquet")
                .to_pandas()
                .equals(explained.reset_index(drop=True))
            )
        assert (whole / "contributions.parquet").exists() == bool(len(explained))
        assert made.n_explained == len(explained)
        watch = compute_watch_list(frame, before, policy, model="m/2", earlier_model="m/1")
        told = frame[["customer_id", "as_of_date", "tier", "reason_1_code"]]
        treatment = suggest_treatment(tables["inputs.past_due"].merge(told, on="customer_id"), policy)
        pd.testing.assert_frame_equal(made.lists.reminders.reminders, found.reminders)
        pd.testing.assert_frame_equal(made.lists.reminders.arms, found.arms)
        pd.testing.assert_frame_equal(made.lists.watch, watch)
        pd.testing.assert_frame_equal(made.lists.treatment, treatment)
        assert made.facts["expected_overdue_amount"] == float(frame["expected_overdue_amount"].sum())
        assert made.facts["mean_p_overdue"] == float(frame["p_overdue"].mean())
        assert made.facts["tiers"] == frame["tier"].value_counts().sort_index().to_dict()
        assert made.facts["suppressed"] == found.suppressed["rule"].value_counts().sort_index().to_dict()
        assert (
            made.facts["book_counts"] == np.histogram(frame["p_overdue"], np.linspace(0, 1, 51))[0].tolist()
        )
        assert made.inputs.unclear == {"opt_out": int((np.bincount(bucket, minlength=PARTS) > 0).sum())}
        assert sorted(p.name for p in folder.iterdir() if not p.name.startswith("whole")) == [
            "before", "parts", "scores.parquet", "suppressed.parquet",
        ]  # fmt: skip


def peaks(n: int, place: Path) -> tuple[float, float]:
    """Most memory of Arrow and of Python, in MB, while the tables of n customers are put together."""
    tables = book(n, 1)
    tables["inputs.past_due"] = tables["inputs.past_due"].iloc[:20]
    facts = write_parts(tables, np.arange(n) % (n // 5000), place / "parts", n // 5000)
    outer = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(outer)
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        run(place / "parts", facts, policy_of(lead_days=1, tiers=["high"], alerts=[]))
        return pool.max_memory() / 1e6, tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(outer)


def test_memory_does_not_grow_with_the_customers(tmp_path, monkeypatch):
    """Scores of 90,000 customers are 10 MB as Arrow and more as pandas; few of them are on any list."""
    for where, rows in (("assembly.BLOCK_ROWS", 2500), ("assemble.BLOCK_ROWS", 2500),
                        ("assemble.GROUP_ROWS", 5000), ("assembly.GROUP_ROWS", 5000),
                        ("order.RANGE_ROWS", 5000), ("order._PIECE", 1 << 16)):  # fmt: skip
        monkeypatch.setattr(f"overdue_ml.jobs.{where}", rows)
    (tmp_path / "few").mkdir(), (tmp_path / "many").mkdir()
    few, many = peaks(30_000, tmp_path / "few"), peaks(90_000, tmp_path / "many")
    # What little grows is the names of parts, and the few who are on a list.
    assert max(few) < 3
    assert many[0] < few[0] + 0.2
    assert many[1] < few[1] + 0.5


class TestFaults:
    @pytest.mark.parametrize("explain", ["all", "listed"])
    @pytest.mark.parametrize("at_once", [True, False])
    def test_contributions_that_cannot_be_written_fail_the_run(self, tmp_path, monkeypatch, explain, at_once):
        facts = write_parts(book(300, 1), np.arange(300) % PARTS, tmp_path / "parts")

        def full(*_args) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("overdue_ml.jobs.assembly.write_contributions", full)
        with pytest.raises(OSError, match="No space left on device"):
            run(tmp_path / "parts", facts, policy_of(), explain, at_once=at_once)

    def test_contributions_are_given_up_when_anything_else_fails(self, tmp_path, monkeypatch):
        facts = write_parts(book(300, 1), np.arange(300) % PARTS, tmp_path / "parts")
        ended = []

        def slow(merged, path, stopped) -> None:
            while not stopped():
                pass
            ended.append(path.name)

        monkeypatch.setattr("overdue_ml.jobs.assembly.write_contributions", slow)
        monkeypatch.setattr("overdue_ml.jobs.assembly.find_ranks", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path / "parts", facts, policy_of())
        assert ended == ["contributions.parquet"]

    def test_customers_that_stand_nowhere_are_noticed(self, tmp_path, monkeypatch):
        facts = write_parts(book(300, 1), np.arange(300) % PARTS, tmp_path / "parts")
        monkeypatch.setattr("overdue_ml.jobs.assembly._count", lambda _words: {"nothing_due": 3})
        with pytest.raises(OverdueMLError, match=r"\d+ reminders and 3 suppressed are not 300 customers"):
            run(tmp_path / "parts", facts, policy_of())
