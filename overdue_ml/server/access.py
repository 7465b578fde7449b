"""Who may see the page, and the log of who opened what."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import ipaddress
import json
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from overdue_ml.errors import ConfigError, ResourceError

TOKEN_VARIABLE = "OVERDUE_ML_TOKEN"  # noqa: S105
MIN_TOKEN = 16
LOG = "access.jsonl"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MAX_SESSIONS, _MAX_NAME = 1000, 80


def is_loopback(host: str) -> bool:
    """Whether a host can be reached from this machine only.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("bank.example")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True)
class Tokens:
    """The tokens that open the page, by their SHA-256; none at all on loopback by default.

    Parameters
    ----------
    by_digest : mapping of bytes to str
        To each token the name that it stands for; an empty name lets the officer state one.
    """

    by_digest: Mapping[bytes, str]

    @classmethod
    def read(cls, path: Path | None, environment: Mapping[str, str]) -> Tokens:
        """Tokens of a file, else of the variable ``OVERDUE_ML_TOKEN``, else none.

        Parameters
        ----------
        path : Path, optional
            One line a token: ``NAME:TOKEN``, or a token alone, whose users state their names themselves.
            Lines that begin with ``#`` are comments.
        environment : mapping of str to str

        Raises
        ------
        ConfigError
            If the file cannot be read, holds no token, or one is shorter than 16 characters.
        """
        if path is None:
            lines, where = [environment.get(TOKEN_VARIABLE, "")], TOKEN_VARIABLE
        else:
            where = str(path)
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the token file cannot be read: {error}", where=where) from error
        found: dict[bytes, str] = {}
        for line in (line.strip() for line in lines):
            if not line or line.startswith("#"):
                continue
            name, colon, token = line.partition(":")
            name, token = (name.strip(), token.strip()) if colon else ("", line)
            if len(token) < MIN_TOKEN:
                raise ConfigError(
                    f"a token has {len(token)} characters",
                    where=where,
                    expected=f"at least {MIN_TOKEN}",
                    next_step='make one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
                )
            found[_digest(token)] = name[:_MAX_NAME]
        if path is not None and not found:
            raise ConfigError("the token file holds no token", where=where, expected="NAME:TOKEN on a line")
        return cls(found)

    def __bool__(self) -> bool:
        """Whether a token is needed at all."""
        return bool(self.by_digest)

    def owner(self, token: str) -> str | None:
        """The name that a token stands for, or None of a wrong one; in a time that says nothing."""
        given, found = _digest(token), None
        for digest, name in self.by_digest.items():
            # Every digest is compared, and each in constant time.
            if hmac.compare_digest(given, digest):
                found = name
        return found


class Sessions:
    """Logins at hand: the cookie holds a random number, never the token.

    Parameters
    ----------
    hours : float
        After which a login ends.
    """

    def __init__(self, hours: float) -> None:
        self._seconds = hours * 3600
        self._lock = threading.Lock()
        self._open: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def begin(self, user: str) -> str:
        """Begin a login and return what its cookie holds."""
        value = secrets.token_urlsafe(32)
        with self._lock:
            self._open[_digest(value)] = (user, time.monotonic() + self._seconds)
            while len(self._open) > _MAX_SESSIONS:
                self._open.popitem(last=False)
        return value

    def user(self, value: str) -> str | None:
        """Whose login a cookie belongs to; None if there is none, or if it has ended."""
        with self._lock:
            found = self._open.get(_digest(value))
            if found is None:
                return None
            if time.monotonic() > found[1]:
                del self._open[_digest(value)]
                return None
            return found[0]

    def end(self, value: str) -> None:
        """End a login."""
        with self._lock:
            self._open.pop(_digest(value), None)


class AccessLog:
    """One JSON line for each login, card and export; only ever appended to.

    Nothing is shown that could not be written down first.

    Parameters
    ----------
    folder : Path
        Made if it is missing; the log in it is ``access.jsonl``, readable by its owner alone.

    Raises
    ------
    ResourceError
        If it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._append(b"")
        except OSError as error:
            raise self._failed(error) from error

    def write(self, user: str, event: str, **facts: object) -> None:
        """Append one line.

        Parameters
        ----------
        user : str
        event : {'login', 'login_refused', 'logout', 'card', 'export'}
        **facts
            Plain data.

        Raises
        ------
        ResourceError
            If it cannot be written.
        """
        # The clock says when somebody looked; it has no part in anything that is computed.
        at = _EPOCH + dt.timedelta(microseconds=time.time_ns() // 1000)
        line = {"at": at.isoformat(timespec="milliseconds"), "user": user, "event": event} | facts
        try:
            # Escapes only: a hostile id cannot end the line.
            self._append(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def _append(self, line: bytes) -> None:
        with self._lock:
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(file).st_size
                if line and size and os.pread(file, 1, size - 1) != b"\n":
                    # The remains of a line that a full disk or a kill cut off stay on a line of their own.
                    line = b"\n" + line
                if os.write(file, line) != len(line):
                    raise OSError("the disk is full")
                os.fsync(file)
            finally:
                os.close(file)

    def _failed(self, error: OSError) -> ResourceError:
        return ResourceError(
            f"the access log cannot be written: {error.strerror or error}",
            where=str(self.path),
            next_step="give a folder that can be written with --access-log",
        )
