"""``overdue-ml promote``, ``champion`` and ``rollback``: who is champion, on the record and behind gates."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.tracking import Champion, Gate, Policy, champion_on, open_store, promote


def run_promote(
    models: Path,
    version: str,
    alias: str,
    by: str,
    reason: str = "",
    name: str = "overdue",
    policy: Policy | None = None,
) -> dict[str, Any]:
    """Promote a version.

    Parameters
    ----------
    models : Path
        The models folder.
    version : str
    alias : {'champion', 'challenger'}
        A champion must pass the gates; of a challenger they are recorded only.
    by : str
        Who promotes.
    reason : str
        Evidence, in words.
    name : str
        Registered model.
    policy : Policy, optional
        The gates, and why a failed one is overridden; the default gates otherwise.

    Returns
    -------
    dict
        The line of the promotion log; ``gates`` holds the outcome of each.

    Raises
    ------
    ConfigError
        If an override is given without words.
    ModelError
        If the version does not exist, cannot be verified or does not pass.
    """
    policy = policy or Policy()
    if policy.override and not policy.override.strip():
        raise ConfigError("an override needs a reason in words", where="--override")
    return promote(open_store(models), name, version, alias, by, reason, policy)


def promotion_text(line: Mapping[str, Any]) -> str:
    """What was promoted, and what the gates said."""
    before = f" (before: {line['from_version']})" if line["from_version"] else ""
    parts = [f"{line['model']} version {line['version']} is now {line['alias']}{before}, by {line['by']}."]
    gates = [Gate(**gate) for gate in line["gates"]] if isinstance(line.get("gates"), list) else []
    parts += [f"  {'passed' if gate.passed else 'FAILED'}  {gate.sentence()}" for gate in gates]
    if "override" in line:
        parts.append(f"  override: {line['override']}")
    if "set_aside" in line:
        parts.append(
            "Note: a line of the promotion log that was cut off by a kill is in promotions.torn now."
        )
    return "\n".join(parts)


def run_champion(models: Path, day: dt.date, name: str = "overdue", timezone: str = "UTC") -> Champion:
    """Which version was champion at the end of a day.

    Parameters
    ----------
    models : Path
        The models folder; the log in it is read, the registry is not asked.
    day : datetime.date
    name : str
        Registered model.
    timezone : str
        IANA zone in which the day ends.

    Raises
    ------
    ModelError
        If there was none, or the log was changed.
    """
    found = champion_on(models, day, name, timezone)
    if found is None:
        raise ModelError(
            f"'{name}' had no champion on {day}",
            where=f"{models.name}/promotions.jsonl",
            next_step="check --models, --name and the day",
        )
    return found


def champion_text(champion: Champion, day: dt.date) -> str:
    """The version, since when, by whom and why."""
    line = champion.line
    kind = str(line.get("kind", "promotion"))
    parts = [
        f"{champion.name} version {champion.version} was champion on {day}, since {champion.since} "
        f"({kind} by {line['by']}{': ' + line['reason'] if line.get('reason') else ''}).",
        f"Model hash {line.get('bundle_hash', 'not recorded')}, run {line.get('run_id', 'not recorded')}.",
    ]
    return "\n".join([*parts, *(f"Note: {note}." for note in champion.notes)])
