"""Reasons that count in a score and are never told: those with a protected attribute in them."""

from __future__ import annotations

from collections.abc import Mapping
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
        # Taking one out of `protected` lets the model have it; it is protected all the same.
        protected = {*RecordsConfig().protected, *settings["protected"]}
        let_in = [name for name in settings["attributes"] if name in protected]
        if let_in:
            registry = registry_with(let_in, None)
            found |= {registry[_ATTRIBUTE + name].reason for name in let_in}
    return frozenset(found)
