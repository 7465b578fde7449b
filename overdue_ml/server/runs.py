"""The scoring runs of an output folder, newest first, and their lists at hand."""

from __future__ import annotations

import datetime as dt
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overdue_ml.errors import ConfigError
from overdue_ml.jobs.places import MANIFEST
from overdue_ml.server.book import Book

_FOLDER = re.compile(r"^as_of=(\d{4}-\d{2}-\d{2})(?:\.run([1-9]\d{0,5}))?$")
_NEEDED = ("as_of", "n_customers", "settings", "model", "run_key")


@dataclass(frozen=True)
class Run:
    """One scoring run.

    Parameters
    ----------
    key : str
        ``YYYY-MM-DD``, or ``YYYY-MM-DD.run2`` of a later run of the date.
    number : int
        1 for the first run of the date.
    folder : Path
    manifest : mapping
    stamp : tuple
        Another one when the run was replaced.
    """

    key: str
    number: int
    folder: Path
    manifest: Mapping[str, Any]
    stamp: tuple[int, int, int]

    @property
    def as_of(self) -> dt.date:
        """The date of the run."""
        return dt.date.fromisoformat(self.manifest["as_of"])


class RunShelf:
    """The runs under an output folder; looked up anew on each request, so a new run is seen at once.

    Parameters
    ----------
    out : Path
    runs_in_memory : int
        Lists kept; the one that was not used for longest makes room.
    """

    def __init__(self, out: Path, runs_in_memory: int = 2) -> None:
        self._out, self._kept = out, runs_in_memory
        self._manifests: dict[Path, tuple[tuple[int, int, int], dict[str, Any] | None]] = {}
        self._books: OrderedDict[tuple[str, tuple[int, int, int]], Book] = OrderedDict()
        self._lock = threading.Lock()

    def runs(self) -> list[Run]:
        """All runs that can be read: the newest date first, and of a date the newest run first."""
        found = []
        for path in self._out.glob(f"as_of=*/{MANIFEST}"):
            match = _FOLDER.match(path.parent.name)
            run = self._run(path, match) if match else None
            if run is not None:
                found.append(run)
        return sorted(found, key=lambda run: (run.as_of, run.number), reverse=True)

    def find(self, key: str) -> Run | None:
        """A run by its key; the newest for an empty one; None if there is none."""
        return next((run for run in self.runs() if key in ("", run.key)), None)

    def book(self, run: Run) -> Book:
        """The list of a run, read once."""
        with self._lock:
            key = (run.key, run.stamp)
            book = self._books.get(key)
            if book is None:
                # Room is made before, not after: two lists too many could be one too many.
                while len(self._books) >= self._kept:
                    self._books.popitem(last=False)
                book = self._books[key] = self._read(run)
            self._books.move_to_end(key)
            return book

    def _read(self, run: Run) -> Book:
        book = Book(run.folder, run.manifest)
        if _stamp(run.folder / MANIFEST) != run.stamp:
            raise ConfigError(
                "the run was replaced while it was read", where=run.folder.name, next_step="ask again"
            )
        return book

    def _run(self, path: Path, match: re.Match[str]) -> Run | None:
        try:
            stamp = _stamp(path)
            known = self._manifests.get(path)
            if known is None or known[0] != stamp:
                known = self._manifests[path] = (stamp, _manifest(path))
        except OSError:
            return None
        if known[1] is None:
            return None
        key = path.parent.name.removeprefix("as_of=")
        return Run(key, int(match[2] or 1), path.parent, known[1], stamp)


def _manifest(path: Path) -> dict[str, Any] | None:
    """A manifest that is whole, or None."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        whole = isinstance(data, dict) and all(key in data for key in _NEEDED)
        dt.date.fromisoformat(data["as_of"])
    except (ValueError, KeyError, TypeError):
        return None
    return data if whole else None


def _stamp(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size
