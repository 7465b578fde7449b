"""What the tests of the batch share: settings, and what stands in a folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.config import BatchConfig, RemindersConfig, ScoreConfig
from overdue_ml.jobs.score import ScoreSettings


def settings(*, explain: str = "all", reminders: dict[str, Any] | None = None, **batch: Any) -> ScoreSettings:
    """Settings of a run; September's statements are due by the end of October."""
    return ScoreSettings(
        score=ScoreConfig(explain=explain),
        reminders=RemindersConfig(**{"lead_days": 31} | (reminders or {})),
        batch=BatchConfig(**batch),
    )


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below with the time of its last change, and what stands in it."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
        for p in sorted(folder.rglob("*"))
    }


def names(folder: Path) -> list[str]:
    """What stands directly in a folder."""
    return sorted(p.name for p in folder.iterdir())


def copy_records(records: Path, to: Path, **change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    """The records, with what a function makes of some tables."""
    shutil.copytree(records, to)
    for name, edit in change.items():
        edit(pd.read_csv(to / f"{name}.csv", dtype=str)).to_csv(to / f"{name}.csv", index=False)
    return to


def first_customers(records: Path, to: Path, n: int) -> Path:
    """The first customers of the records."""
    accounts = pd.read_csv(records / "accounts.csv", dtype=str).head(n)
    keep = {key: accounts[key] for key in ("customer_id", "account_id")}

    def kept(frame: pd.DataFrame) -> pd.DataFrame:
        key = "customer_id" if "customer_id" in frame else "account_id"
        return frame[frame[key].isin(keep[key])]

    return copy_records(records, to, accounts=kept, customers=kept, labels=kept, statements=kept)
