"""What a job says while it works; the command line decides how it looks."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of each stage as it starts, and of how far a long one is."""

    def stage(self, name: str) -> None:
        """A stage begins."""
        ...

    def advance(self, done: int, total: int) -> None:
        """``done`` of ``total`` steps of the stage are done."""
        ...


class Silent:
    """Says nothing: the default in notebooks and tests."""

    def stage(self, name: str) -> None:
        """Ignore it."""

    def advance(self, done: int, total: int) -> None:
        """Ignore it."""
