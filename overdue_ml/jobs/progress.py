"""What a job says while it works; the command line decides how it looks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Told of each stage as it starts, and of how far a long one is."""

    def stage(self, name: str) -> None:
        """A stage begins."""
        ...

    def advance(self, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` steps of the stage are done; the note says more of it."""
        ...


class Silent:
    """Says nothing: the default in notebooks and tests."""

    def stage(self, name: str) -> None:
        """Ignore it."""

    def advance(self, done: int, total: int, note: str = "") -> None:
        """Ignore it."""


class Pace:
    """Throughput of a stage, and the time that it will still take at this pace.

    Parameters
    ----------
    total : int
        Steps of the stage.
    clock : callable
        Seconds. Where it is put back there is nothing to tell.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock, self._start = total, clock, clock()
        self._done = self._made = self._customers = self._made_customers = 0

    def step(self, customers: int, was_there: bool) -> str:
        """Note one step more.

        Parameters
        ----------
        customers : int
            Of the step.
        was_there : bool
            It took no time, as it was made before.

        Returns
        -------
        str
            As ``"1,200 customers, 400 a second, 12 s left"``.
        """
        self._done += 1
        self._customers += customers
        if not was_there:
            self._made += 1
            self._made_customers += customers
        said = [f"{self._customers:,} customers"]
        seconds = self._clock() - self._start
        if self._made and seconds > 0:
            said.append(f"{self._made_customers / seconds:,.0f} a second")
            left = self._total - self._done
            if left > 0:
                said.append(f"{_duration(seconds / self._made * left)} left")
        return ", ".join(said)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
