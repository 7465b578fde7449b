"""Reasons that count in a score and are never told: those with a protected attribute in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from overdue_ml.config import RecordsConfig
from overdue_ml.features import registry_with

_ATTRIBUTE = "attr_"


def silent_reasons(*manifests: Mapping[str, Any]) -> frozenset[str]:
    """Codes of the reasons with a protected attribute in them, also with one that a config let in.

    Parameters
    ----------
    *manifests : mapping
        Of scoring runs.

    Returns
    -------
    frozenset of str
    """
    found: set[str] = set()
    for manifest in manifests:
        settings = manifest["settings"]["records"]
        found |= _reasons_of(settings["attributes"], settings["protected"])
    return frozenset(found)


def silent_of(config: RecordsConfig) -> frozenset[str]:
    """The same while a run is made, of the records that are scored."""
    return frozenset(_reasons_of(config.attributes, config.protected))


def _reasons_of(attributes: Iterable[str], protected: Iterable[str]) -> set[str]:
    # Taking one out of `protected` lets the model have it; it is protected all the same.
    let_in = sorted({*attributes} & {*RecordsConfig().protected, *protected})
    if not let_in:
        return set()
    registry = registry_with(let_in, None)
    return {registry[_ATTRIBUTE + name].reason for name in let_in}
