"""``overdue-ml promote``: give a registered version an alias, on the record."""

from __future__ import annotations

from pathlib import Path

from overdue_ml.tracking import open_store, promote


def run_promote(
    models: Path, version: str, alias: str, by: str, reason: str = "", name: str = "overdue"
) -> dict[str, str]:
    """Promote a version.

    Parameters
    ----------
    models : Path
        The models folder.
    version : str
    alias : {'champion', 'challenger'}
    by : str
        Who promotes.
    reason : str
        Evidence, in words.
    name : str
        Registered model.

    Returns
    -------
    dict
        The line of the promotion log.

    Raises
    ------
    ModelError
        If the version does not exist or cannot be verified.
    """
    return promote(open_store(models), name, version, alias, by, reason)
