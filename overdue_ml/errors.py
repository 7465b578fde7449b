"""Every exception of the package, under one base class.

Each class carries the exit code that the command line returns for it, so that a verb never has to
translate: ``0`` done, ``1`` a bug, ``2`` usage or config, ``3`` the records are bad, ``4`` model or
registry, ``5`` nothing to score, ``6`` the machine refuses: disk, memory or a process.
"""

from __future__ import annotations

from typing import ClassVar


class OverdueMLError(Exception):
    """Base class: one sentence that says what, where, what was expected and the next step.

    Parameters
    ----------
    what : str
        What is wrong, without a final full stop.
    where : str, optional
        Table, column, file, and the first keys concerned.
    expected : str, optional
        What would have been accepted.
    next_step : str, optional
        What to do now.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        next_step: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.next_step = next_step
        super().__init__(self._sentence())

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes by parts; the default would hand the finished sentence back as `what`."""
        return _rebuild, (type(self), self.what, self.where, self.expected, self.next_step)

    def _sentence(self) -> str:
        parts = [self.what]
        if self.where:
            parts.append(f" [{self.where}]")
        if self.expected:
            parts.append(f"; expected {self.expected}")
        if self.next_step:
            parts.append(f"; {self.next_step}")
        return "".join(parts) + "."


def _rebuild(
    kind: type[OverdueMLError], what: str, where: str | None, expected: str | None, next_step: str | None
) -> OverdueMLError:
    return kind(what, where=where, expected=expected, next_step=next_step)


class ConfigError(OverdueMLError):
    """A config file, an override or an argument that cannot be used."""

    exit_code = 2


class RecordsError(OverdueMLError):
    """Records that cannot be read, or of which too many rows were rejected."""

    exit_code = 3


class CampaignError(RecordsError):
    """Arms of a campaign from which nothing can be concluded: immature, unbalanced or too small."""


class ModelError(OverdueMLError):
    """A model that cannot be trained, registered, verified or loaded."""

    exit_code = 4


class FeatureMismatchError(ModelError):
    """A model trained on other features than those this version builds."""


class NothingToScoreError(OverdueMLError):
    """No customer is known on the as_of date."""

    exit_code = 5


class ResourceError(OverdueMLError):
    """A machine that refuses what a run needs: room on a disk, access to a folder, memory, a process.

    Nothing is wrong with records, settings or code: the same command goes on when that is mended.
    """

    exit_code = 6
