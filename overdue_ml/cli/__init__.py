"""The command line: each verb parses its arguments, calls one job and prints what came of it."""

from __future__ import annotations

import errno
import sys

import typer

# Importing a module of verbs puts them on the program, in the order in which `--help` lists them.
# isort: off
from overdue_ml.cli import records, models, book, report, customers, server  # noqa: F401

# isort: on
from overdue_ml.cli.common import app
from overdue_ml.errors import OverdueMLError, ResourceError

__all__ = ["app", "main", "run"]

#: What a disk refuses; an OSError of another kind, as of a network, is a bug if it comes as far as here.
_DISK = {
    errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.EIO, errno.EISDIR, errno.ELOOP, errno.EMFILE,
    errno.ENAMETOOLONG, errno.ENFILE, errno.ENOENT, errno.ENOSPC, errno.ENOTDIR, errno.ENOTEMPTY, errno.EPERM,
    errno.EROFS, errno.ESTALE,
}  # fmt: skip

_MEND = "mend that, then run again; what was finished before is untouched"


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code; every foreseen error is one sentence on standard error.

    Parameters
    ----------
    arguments : list of str, optional
        Words after the program's name; those of the process by default.
    """
    try:
        app(arguments)
    except OverdueMLError as error:
        return _told(error)
    except SystemExit as leave:
        # Typer ends every command so: 0 when it is done, 2 for words it does not understand.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    except Exception as error:
        refused = _refusal(error)
        if refused is None:
            raise
        return _told(refused)
    return 0


def _refusal(error: Exception) -> ResourceError | None:
    """What the machine refused, in the words of whichever library met it; None for a bug."""
    # It is loaded already if it is what was refused.
    duckdb = sys.modules.get("duckdb")
    if isinstance(error, OSError):
        # pyarrow gives some of them without a number.
        if error.errno not in _DISK and not isinstance(error, FileNotFoundError | PermissionError):
            return None
        return ResourceError(
            f"a file or folder cannot be used: {error.strerror or f'{type(error).__name__}: {error}'}",
            where=None if error.filename is None else str(error.filename),
            next_step=_MEND,
        )
    if duckdb is not None and isinstance(error, duckdb.IOException):
        return ResourceError(f"a file or folder cannot be used: {_first_line(error)}", next_step=_MEND)
    # DuckDB's is also for a disk too small for what memory does not hold.
    if isinstance(error, MemoryError) or (
        duckdb is not None and isinstance(error, duckdb.OutOfMemoryException)
    ):
        return ResourceError(
            f"memory does not suffice: {_first_line(error)}",
            expected="more of it, or fewer customers at a time (smaller buckets, fewer workers)",
            next_step=_MEND,
        )
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")


def _told(error: OverdueMLError) -> int:
    typer.echo(f"error: {error}", err=True)
    return error.exit_code


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
