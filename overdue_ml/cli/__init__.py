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
    except OSError as error:
        # pyarrow gives some of them without a number.
        if error.errno not in _DISK and not isinstance(error, FileNotFoundError | PermissionError):
            raise
        return _told(
            ResourceError(
                f"a file or folder cannot be used: {error.strerror or f'{type(error).__name__}: {error}'}",
                where=None if error.filename is None else str(error.filename),
                next_step="mend that, then run again; what was finished before is untouched",
            )
        )
    except SystemExit as leave:
        # Typer ends every command so: 0 when it is done, 2 for words it does not understand.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def _told(error: OverdueMLError) -> int:
    typer.echo(f"error: {error}", err=True)
    return error.exit_code


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
