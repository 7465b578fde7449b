"""``overdue-ml rollback``: back to the champion of before, on the record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overdue_ml.errors import ConfigError
from overdue_ml.tracking import open_store, roll_back


def run_rollback(models: Path, by: str, reason: str, name: str = "overdue") -> dict[str, Any]:
    """Make the version champion again that was it before the present one.

    A second rollback goes further back: what was rolled back is left out until it is promoted again.

    Parameters
    ----------
    models : Path
        The models folder.
    by, reason : str
        Who, and why.
    name : str
        Registered model.

    Returns
    -------
    dict
        The line of the promotion log.

    Raises
    ------
    ConfigError
        If nobody or no reason is named.
    ModelError
        If there is nothing to go back to, or it cannot be verified.
    """
    for option, text in (("--by", by), ("--reason", reason)):
        if not text.strip():
            raise ConfigError("a rollback is on the record with a name and a reason", where=option)
    return roll_back(open_store(models), name, by, reason)


def rollback_text(line: Mapping[str, Any]) -> str:
    """Which version is champion again."""
    return (
        f"{line['model']} version {line['version']} is champion again, instead of version "
        f"{line['from_version']}, by {line['by']}: {line['reason']}"
    )
