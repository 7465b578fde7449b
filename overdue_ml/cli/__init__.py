"""The command line: each verb parses its arguments, calls one job and prints what came of it."""

from __future__ import annotations

import sys

import typer

# Importing a module of verbs puts them on the program, in the order in which `--help` lists them.
# isort: off
from overdue_ml.cli import records, models, book, report, customers, server  # noqa: F401

# isort: on
from overdue_ml.cli.common import app
from overdue_ml.errors import OverdueMLError

__all__ = ["app", "main", "run"]


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
        typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except SystemExit as leave:
        # Typer ends every command so: 0 when it is done, 2 for words it does not understand.
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)
    return 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
