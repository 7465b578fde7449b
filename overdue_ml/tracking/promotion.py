"""The promotion log: one JSON line for each move of an alias, chained by hash, only ever appended to.

Kinds of lines: ``promotion``, ``rollback``, and ``noticed``, which says that an alias was found where the log
did not have it: it was moved by other means, or a process was killed between the alias and the log. Lines of
before there were kinds are promotions.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from overdue_ml.disk import sync
from overdue_ml.errors import ConfigError, ModelError

LOG = "promotions.jsonl"
#: Where the remains of lines go that were cut off by a kill.
TORN = "promotions.torn"
PROMOTION, ROLLBACK, NOTICED = "promotion", "rollback", "noticed"
_FIRST = "0" * 64
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Line = dict[str, Any]


@dataclass(frozen=True)
class PromotionLog:
    """What stands in a promotion log.

    Attributes
    ----------
    lines : list of dict
        Oldest first, their chain checked.
    torn : bytes
        The remains of a last line that was being written when its process was killed; empty as a rule.
    ended : bool
        Whether the last whole line has its line feed.
    """

    lines: list[Line]
    torn: bytes = b""
    ended: bool = True


@dataclass(frozen=True)
class Champion:
    """Which version was champion at the end of a day, and how that is known.

    Attributes
    ----------
    name, version : str
    since : datetime.date
        Day on which it became champion, in the time zone that was asked for.
    line : mapping
        The line of the log that made it champion.
    notes : list of str
        Why the log may not be the whole truth; empty as a rule.
    """

    name: str
    version: str
    since: dt.date
    line: Mapping[str, Any]
    notes: list[str]


def _digest(line: Mapping[str, Any]) -> str:
    body = {k: v for k, v in line.items() if k != "hash"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_log(path: Path) -> PromotionLog:
    """The whole log, with the chain checked; a last line cut off by a kill is told from a changed one.

    Raises
    ------
    ModelError
        If a line was changed, removed or put in between.
    """
    if not path.is_file():
        return PromotionLog([])
    # Lines of bytes end at line feeds only; lines of text would also end at signs such as U+2028.
    *whole, rest = path.read_bytes().split(b"\n")
    lines: list[Line] = []
    for raw in whole:
        lines.append(_checked(raw, lines, path))
    if rest and _parses(rest):
        # No part of a JSON object is one: this line is whole and lacks its line feed only.
        return PromotionLog([*lines, _checked(rest, lines, path)], ended=False)
    return PromotionLog(lines, rest)


def _parses(raw: bytes) -> bool:
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _checked(raw: bytes, before: Sequence[Line], path: Path) -> Line:
    try:
        line: Line = json.loads(raw)
        previous = before[-1]["hash"] if before else _FIRST
        intact = line["previous"] == previous and line["hash"] == _digest(line)
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise ModelError(
            "the promotion log was changed by hand: its chain of hashes is broken",
            where=f"{path.name}, line {len(before) + 1}",
            next_step="restore it from a backup; aliases in the registry are untouched",
        )
    return line


def read_promotions(path: Path) -> list[Line]:
    """All lines, oldest first, with the chain checked; see :func:`read_log`."""
    return read_log(path).lines


def append_promotion(path: Path, entry: Mapping[str, Any]) -> Line:
    """Append one line and return it as written.

    The remains of a line that was cut off by a kill are moved to ``promotions.torn`` first, and the new line
    carries their SHA-256 as ``set_aside``.

    Parameters
    ----------
    path : Path
    entry : mapping of str to value
        Plain data.

    Raises
    ------
    ModelError
        If the log's chain is broken, or the line could not be written; then nothing of it stands there.
    """
    try:
        with path.open("ab") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            log = read_log(path)
            line = dict(entry) | {"previous": log.lines[-1]["hash"] if log.lines else _FIRST}
            if log.torn:
                line["set_aside"] = _set_aside(path, log.torn)
            line["hash"] = _digest(line)
            text = json.dumps(line, sort_keys=True, ensure_ascii=False).encode() + b"\n"
            if not log.lines:
                # Its name is new; the line after it, so that one that cannot be kept is never written.
                sync(path.parent)
            _write_whole(handle, text if log.ended else b"\n" + text)
    except OSError as error:
        raise ModelError(
            f"the promotion log cannot be written: {error.strerror or error}",
            where=path.name,
            next_step="make room or give write access, then promote again",
        ) from error
    return line


def _write_whole(handle: IO[bytes], data: bytes) -> None:
    """All of the bytes on the disk, or none of them."""
    size = os.fstat(handle.fileno()).st_size
    try:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    except BaseException:
        os.ftruncate(handle.fileno(), size)
        raise


def _set_aside(path: Path, torn: bytes) -> str:
    with path.with_name(TORN).open("ab") as aside:
        _write_whole(aside, torn + b"\n")
    sync(path.parent)
    os.truncate(path, path.stat().st_size - len(torn))
    return hashlib.sha256(torn).hexdigest()


def moves(lines: Sequence[Line], name: str, alias: str = "champion") -> Iterator[tuple[int, Line]]:
    """The moves of one alias, oldest first, each with its time in milliseconds since 1970.

    A clock that was set back moves no line before an earlier one.
    """
    time = 0
    for line in lines:
        time = max(time, int(line.get("registry_time_ms", 0)))
        if line.get("model") == name and line.get("alias") == alias:
            yield time, line


def standing(lines: Sequence[Line], name: str, alias: str = "champion") -> str:
    """The version on which an alias stands by the log; empty if on none."""
    versions = [str(line["version"]) for _, line in moves(lines, name, alias)]
    return versions[-1] if versions else ""


def champions(lines: Sequence[Line], name: str) -> list[str]:
    """The champions that can be gone back to, in the order in which they came, the present one last.

    A promotion puts its version on top. A rollback takes the top off, so that the next one goes further back
    and never to and fro. An alias that was found on a version of before counts as a rollback to it.
    """
    stack: list[str] = []
    for _, line in moves(lines, name):
        version, kind = str(line["version"]), line.get("kind", PROMOTION)
        if kind == ROLLBACK and len(stack) > 1:
            stack.pop()
        if kind == NOTICED and version in stack:
            while stack[-1] != version:
                stack.pop()
        elif version and (not stack or stack[-1] != version):
            stack.append(version)
    return stack


def champion_on(models: Path, day: dt.date, name: str = "overdue", timezone: str = "UTC") -> Champion | None:
    """Which version was champion at the end of a day, by the promotion log.

    Parameters
    ----------
    models : Path
        The models folder.
    day : datetime.date
    name : str
        Registered model.
    timezone : str
        IANA zone in which the day ends.

    Returns
    -------
    Champion or None
        None if there was none.

    Raises
    ------
    ConfigError
        If there is no such time zone.
    ModelError
        If the log's chain is broken.
    """
    try:
        zone = zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"'{timezone}' is no time zone", expected="an IANA name, as Asia/Shanghai"
        ) from None
    log = read_log(models / LOG)
    found = [(_day(time, zone), line) for time, line in moves(log.lines, name)]
    until = [(when, line) for when, line in found if when <= day]
    if not until:
        return None
    # The day on which it came to stand there: promoting the champion again changes nothing.
    since, line = until[-1]
    for when, earlier in reversed(until[:-1]):
        if earlier["version"] != line["version"]:
            break
        since, line = when, earlier
    if not line["version"]:
        return None
    return Champion(name, str(line["version"]), since, line, _doubts(log, until[-1][1], found[len(until) :]))


def _day(time_ms: int, zone: zoneinfo.ZoneInfo) -> dt.date:
    return (_EPOCH + dt.timedelta(milliseconds=time_ms)).astimezone(zone).date()


def _doubts(log: PromotionLog, line: Line, later: Sequence[tuple[dt.date, Line]]) -> list[str]:
    notes = []
    if "kind" not in line:
        notes.append("an old line: its time is that of the version's last change in the registry")
    if later and later[0][1].get("kind") == NOTICED:
        found = later[0][1]
        where = f"on version {found['version']}" if found["version"] else "on no version"
        notes.append(
            f"on {later[0][0]} the alias was found {where}: it had moved at some time before, off the record"
        )
    if log.torn:
        notes.append("the last line of the log was cut off while it was written; the next move sets it aside")
    return notes
