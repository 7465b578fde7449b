"""What the tests of the batch share: settings, and what stands in a folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from overdue_ml.config import BatchConfig, RemindersConfig, ScoreConfig
from overdue_ml.jobs.score import ScoreSettings


def settings(*, explain: str = "all", reminders: dict[str, Any] | None = None, **batch: Any) -> ScoreSettings:
    """Settings of a run; September's statements are due by the end of October."""
    return ScoreSettings(
        score=ScoreConfig(explain=explain),
        reminders=RemindersConfig(**{"lead_days": 31} | (reminders or {})),
        batch=BatchConfig(**batch),
    )


def with_score(given: ScoreSettings, **changes: Any) -> ScoreSettings:
    """The same with other settings of the scores."""
    return dataclasses.replace(given, score=given.score.model_copy(update=changes))


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below with the time of its last change, and what stands in it."""
    return {
        str(p.relative_to(folder)): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"")
        for p in sorted(folder.rglob("*"))
    }


def names(folder: Path) -> list[str]:
    """What stands directly in a folder."""
    return sorted(p.name for p in folder.iterdir())
