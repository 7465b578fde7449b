"""The promotion log: one JSON line for each promotion, chained by hash, only ever appended to."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from overdue_ml.errors import ModelError

_FIRST = "0" * 64


def _digest(line: Mapping[str, str]) -> str:
    body = {k: v for k, v in line.items() if k != "hash"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_promotions(path: Path) -> list[dict[str, str]]:
    """All promotions, oldest first, with the chain checked.

    Raises
    ------
    ModelError
        If a line was changed, removed or put in between.
    """
    if not path.is_file():
        return []
    lines: list[dict[str, str]] = []
    previous = _FIRST
    # Lines of bytes end at line feeds only; lines of text would also end at signs such as U+2028.
    for number, raw in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            line = json.loads(raw)
            intact = line["previous"] == previous and line["hash"] == _digest(line)
        except (ValueError, KeyError, TypeError):
            intact = False
        if not intact:
            raise ModelError(
                "the promotion log was changed by hand: its chain of hashes is broken",
                where=f"{path.name}, line {number}",
                next_step="restore it from a backup; aliases in the registry are untouched",
            )
        previous = line["hash"]
        lines.append(line)
    return lines


def append_promotion(path: Path, entry: Mapping[str, str]) -> dict[str, str]:
    """Append one promotion and return the line as written.

    Parameters
    ----------
    path : Path
    entry : mapping of str to str

    Raises
    ------
    ModelError
        If the log's chain is broken.
    """
    with path.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        lines = read_promotions(path)
        line = dict(entry) | {"previous": lines[-1]["hash"] if lines else _FIRST}
        line["hash"] = _digest(line)
        handle.write(json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    return line
