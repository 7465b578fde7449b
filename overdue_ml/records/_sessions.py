"""Connections for queries alone, to one database of the process in memory.

Opening a database takes about 10 ms, which a bucket of a batch or a card pays several times; a connection to
one that is open takes less than 1. What a query registers, sets or makes as temporary is its connection's
own; nothing else may be made here.
"""

from __future__ import annotations

import atexit
import os

import duckdb

# By process: one that was forked has none of the threads of its parent's database.
_OPEN: dict[int, duckdb.DuckDBPyConnection] = {}


def open_session() -> duckdb.DuckDBPyConnection:
    """A connection of its own to the database of this process."""
    process = os.getpid()
    found = _OPEN.get(process)
    if found is not None:
        try:
            session = found.cursor()
            session.execute("SELECT 1").fetchall()
            return session
        except duckdb.Error:
            # Closed, or of no use any more after an error of its own.
            _OPEN.pop(process, None)
    return _OPEN.setdefault(process, duckdb.connect()).cursor()


@atexit.register
def _close() -> None:
    """While the interpreter is whole: later its library would complain of connections that nobody closed."""
    found = _OPEN.pop(os.getpid(), None)
    if found is not None:
        found.close()
