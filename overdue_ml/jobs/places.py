"""Where a scoring run is built, and how it takes its place: whole, beside older runs, never over one."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overdue_ml.disk import sync, sync_all
from overdue_ml.errors import ResourceError
from overdue_ml.jobs.output import refuse_file

MANIFEST = "manifest.json"
_RUN = re.compile(r"as_of=([0-9]{4}-[0-9]{2}-[0-9]{2})(?:\.run([1-9][0-9]{0,5}))?")
#: Characters of the run key in the name of a folder in which a run is built.
_KEY_LENGTH = 16


def runs_of(out: Path, as_of: str) -> list[Path]:
    """Folders of finished runs of a date, the first one first.

    The first is ``as_of=YYYY-MM-DD``; one of other records, another model or another config stands beside it
    as ``as_of=YYYY-MM-DD.run2`` and so on.
    """
    found = []
    for path in out.glob(f"as_of={as_of}*"):
        number = run_number(path, as_of)
        if number is not None and (path / MANIFEST).is_file():
            found.append((number, path))
    return [path for _, path in sorted(found)]


def run_number(folder: Path, as_of: str) -> int | None:
    """The how manieth run of its date a folder is; None if its name is no run's."""
    run = parse_run(folder.name)
    return run[1] if run is not None and run[0] == as_of else None


def parse_run(name: str) -> tuple[str, int] | None:
    """Date and number of the run that a folder of this name is; None if it is no run's."""
    found = _RUN.fullmatch(name)
    return (found[1], int(found[2] or 1)) if found else None


def finished_run(out: Path, as_of: str, run_key: str) -> tuple[Path, dict[str, Any]] | None:
    """The run with this key, if it stands there with every file as its manifest says."""
    for folder in runs_of(out, as_of):
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if manifest["run_key"] == run_key and is_whole(folder, manifest["files"]):
                return folder, manifest
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return None


def is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether every file has the SHA-256 that is said of it."""
    return all(
        (folder / name).is_file() and sha256_of(folder / name) == digest for name, digest in files.items()
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def building_folder(out: Path, as_of: str, run_key: str) -> Path:
    """Where a run is built; the same run always there, so that a restart finds what is done.

    Nothing in it has to outlast a loss of power before it is published: a part that is not as its checksum
    says is made again.
    """
    return out / f".as_of={as_of}.{run_key[:_KEY_LENGTH]}"


def unfinished(out: Path, as_of: str, run_key: str) -> list[Path]:
    """Folders in which other runs of the date were begun and not finished."""
    own = building_folder(out, as_of, run_key)
    return sorted(p for p in out.glob(f".as_of={as_of}.*") if p.is_dir() and p != own)


def check_out(out: Path) -> None:
    """Refuse a place of runs where a file stands.

    Parameters
    ----------
    out : Path

    Raises
    ------
    ConfigError
    ResourceError
        If the place cannot be looked at.
    """
    with written_to(out):
        refuse_file(out)


@contextmanager
def claimed(out: Path, as_of: str, run_key: str, waits: Callable[[], None] | None = None) -> Iterator[None]:
    """Let one process build a run at a time; another one of the same run waits here until it has ended.

    The system takes the claim back from a process that dies, however it dies; its file stays. Such files of
    runs of which nothing else is left are taken away. Beside what an unfinished run left its file stays too:
    where several machines share a folder without sharing locks, that run may be at work on another one.

    Parameters
    ----------
    out : Path
    as_of : str
        YYYY-MM-DD.
    run_key : str
    waits : callable, optional
        Called before this process waits for another one.

    Raises
    ------
    ResourceError
        If the place cannot be written.
    """
    path = out / f"{building_folder(out, as_of, run_key).name}.lock"
    was_there = out.exists()
    with written_to(out):
        handle = _locked(path, waits)
    try:
        _tidy_claims(out, path)
        yield
    finally:
        # Unlinked while it is held: whoever waits for it sees that and makes a new one. A file that stays
        # does no harm, and why the disk refuses was said already.
        with suppress(OSError):
            path.unlink()
        if not was_there:
            with suppress(OSError):
                # Nothing came of it; a folder that holds something stays.
                out.rmdir()
        os.close(handle)


def _locked(path: Path, waits: Callable[[], None] | None) -> int:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        except FileNotFoundError:
            # Another one took the empty folder away in this moment.
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waits is not None:
                waits()
            fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            if path.stat().st_ino == os.fstat(handle).st_ino:
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)


def _tidy_claims(out: Path, own: Path) -> None:
    """Take away claims that nobody holds, of runs of which nothing is there."""
    for path in out.glob(".as_of=*.lock"):
        if path == own or path.with_suffix("").exists():
            continue
        with suppress(OSError):
            handle = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # As at the end of a claim: held while it is unlinked, and it is this very file. Whoever has
                # opened it in the meantime finds out when it gets the lock.
                if path.stat().st_ino == os.fstat(handle).st_ino:
                    path.unlink()
            finally:
                os.close(handle)


@contextmanager
def written_to(place: Path) -> Iterator[None]:
    """Turn what a disk refuses into one clear error.

    Raises
    ------
    ResourceError
    """
    try:
        yield
    except OSError as error:
        raise ResourceError(
            f"the output cannot be written: {error.strerror or error}",
            where=str(place),
            next_step="free some space or choose another --out, then run again; what is finished is kept",
        ) from error


def publish(building: Path, out: Path, as_of: str) -> Path:
    """Give a finished folder the first name of its date that is free, in one step.

    Its files are on the disk before it has the name, and the name is when this returns: after a loss of power
    there is a whole run or none.

    Parameters
    ----------
    building : Path
        Whole, with its manifest.
    out : Path
    as_of : str
        YYYY-MM-DD.

    Returns
    -------
    Path
    """
    taken = [number for p in out.glob(f"as_of={as_of}*") if (number := run_number(p, as_of)) is not None]
    number = max(taken, default=0) + 1
    sync_all(building)
    while True:
        target = out / (f"as_of={as_of}" if number == 1 else f"as_of={as_of}.run{number}")
        try:
            # Fails where something stands, also where another run came first by a moment.
            if not target.exists():
                building.rename(target)
                break
        except OSError:
            if not target.exists():
                raise
        number += 1
    # The folder of runs itself may be new.
    for folder in (out, out.absolute().parent):
        sync(folder)
    return target
