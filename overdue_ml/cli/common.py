"""What the verbs share: the program, its options, progress and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="overdue-ml",
    help="Predict which borrowers will go overdue: records in, a ranked and explained list out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecordsArg = Annotated[
    Path,
    typer.Option("--records", help="Folder of <table>.parquet, .csv or parts, or a .duckdb file."),
]
RecordsConfigArg = Annotated[
    Path | None, typer.Option("--records-config", help="YAML as configs/records.yaml.")
]
ConfigArg = Annotated[Path | None, typer.Option("--config", help="YAML file of this verb's settings.")]
SetArg = Annotated[
    list[str] | None, typer.Option("--set", help="Override one setting: key=value. Repeatable.")
]
ModelsArg = Annotated[Path, typer.Option("--models", help="Folder of runs and registered models.")]
JsonArg = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
FeaturesModuleArg = Annotated[
    Path | None,
    typer.Option("--features-module", help="Python file with FEATURES = [...] of your own. It is run."),
]
ScoresArg = Annotated[Path, typer.Option("--scores", help="A scoring run: <out>/as_of=YYYY-MM-DD.")]
RunRecordsArg = Annotated[Path | None, typer.Option("--records", help="The run's records, if they moved.")]
LangArg = Annotated[str, typer.Option("--lang", help="en or zh.")]
NameArg = Annotated[str, typer.Option("--name", help="Registered model.")]
MODELS = Path("models")


class Stages:
    """Stages and bars on a terminal, one plain line a stage elsewhere; all on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def stage(self, name: str) -> None:
        """Say that a stage begins."""
        if self._quiet:
            return
        if sys.stderr.isatty():
            self._on_terminal(name)
        else:
            typer.echo(f"- {name}", err=True)

    def _on_terminal(self, name: str) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        if self._bar is None:
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bar.start()
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=None, note="")

    def advance(self, done: int, total: int, note: str = "") -> None:
        """Say how far the stage is.

        Where there is no terminal this takes a line for each tenth; steps with a note are long ones, of which
        fewer than ten have a line each.
        """
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total, note=note)
        elif not self._quiet and (note or total >= 10) and done * 10 // total > (done - 1) * 10 // total:
            typer.echo(f"  {done:,} of {total:,}{': ' if note else ''}{note}", err=True)

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress_on(as_json: bool) -> Iterator[Stages]:
    """Progress of one verb; silent where JSON is wanted."""
    console = Stages(quiet=as_json)
    try:
        yield console
    finally:
        console.close()


def print_json(data: Any) -> None:
    """Print one JSON object as people read it."""
    typer.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))
