"""Settings from YAML, with the rules of version 1.2 where version 1.1 surprises.

``yes`` and ``on`` stay text, ``030`` is not 24, and a key that stands twice is an error instead of a silent
last-one-wins.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from overdue_ml.errors import ConfigError

_Model = TypeVar("_Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars and no repeated keys."""


_RESOLVERS: list[tuple[str, re.Pattern[str], str]] = [
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"),
    ("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), "-+0123456789"),
    (
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
        "-+0123456789.",
    ),
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), "~nN\0"),
]
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_tag, _pattern, list(_first) + ([""] if "\0" in _first else []))


def _mapping_without_repeats(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | bool | None):
            raise yaml.constructor.ConstructorError(
                None, None, "a key is not plain text", key_node.start_mark
            )
        if key in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key '{key}' stands twice", key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_repeats)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping; see the module docstring for the dialect.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the config cannot be read: {error}", where=str(path), next_step="give an existing UTF-8 file"
        ) from error
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """Parse YAML text to a mapping; an empty document is an empty mapping."""
    try:
        # A SafeLoader with fewer implicit types: nothing but plain data can come out.
        data = yaml.load(text, Loader=_Loader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: `!!int x`
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", where=where) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(
            "the config is not a mapping", where=where, expected="'key: value' lines at the top level"
        )
    return data


def build_config(model: type[_Model], data: dict[str, Any] | None = None, *, where: str = "config") -> _Model:
    """Validate a mapping against a settings model.

    Raises
    ------
    ConfigError
        Naming each key that is unknown, of the wrong type or out of range; for an unknown one the keys that
        are known in its place.
    """
    try:
        return model.model_validate(data or {})
    except ValidationError as error:
        faults = []
        allowed: dict[str, str] = {}
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
            if item["type"] == "extra_forbidden":
                faults.append(f"{key}: unknown key")
                *parents, _ = item["loc"]
                place = f" in {'.'.join(str(part) for part in parents)}" if parents else ""
                allowed[place] = f"allowed keys{place} are {', '.join(_fields_at(model, parents))}"
            else:
                faults.append(f"{key}: {item['msg']}, not {_short(item.get('input'))}")
        raise ConfigError(
            f"{len(faults)} setting(s) cannot be used: {'; '.join(faults)}",
            where=where,
            next_step="; ".join(allowed.values()) or None,
        ) from None


def check_config(model: type[_Model], config: _Model | None) -> _Model:
    """The settings that were handed over, or the defaults for None.

    Raises
    ------
    ConfigError
        If they are anything else, as a plain dict.
    """
    if config is None:
        return model()
    if not isinstance(config, model):
        raise ConfigError(
            f"the config is a {type(config).__name__}",
            expected=f"a {model.__name__}",
            next_step=f"make one of a dict with {model.__name__}(**settings)",
        )
    return config


def _fields_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    """The keys of the settings that stand at a place within a model's."""
    kind: Any = model
    for part in place:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(part)].annotation
        elif get_origin(kind) is Annotated:  # one of several models, by a word in one of its fields
            kind = next(each for each in get_args(get_args(kind)[0]) if _says(each, part))
        else:  # a list or a mapping, of which `part` is an item
            kind = get_args(kind)[-1]
        if type(None) in get_args(kind):
            kind = next(each for each in get_args(kind) if each is not type(None))
    return list(kind.model_fields)


def _says(model: type[BaseModel], word: str | int) -> bool:
    return any(word in get_args(field.annotation) for field in model.model_fields.values())


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def load_config(model: type[_Model], path: Path | None = None, overrides: list[str] | None = None) -> _Model:
    """Settings from a YAML file and ``key=value`` overrides, on top of the defaults.

    Parameters
    ----------
    model : type
        One of the settings models of this package.
    path : Path, optional
        YAML file; without it the defaults hold.
    overrides : list of str, optional
        ``a.b=value`` items; the value is read as YAML.

    Returns
    -------
    config
        An instance of ``model``.

    Raises
    ------
    ConfigError
        If the file or an override cannot be used.

    Examples
    --------
    >>> from overdue_ml.config import TrainConfig
    >>> load_config(TrainConfig, overrides=["model.num_leaves=15"]).model.num_leaves
    15
    """
    data = read_yaml(path) if path is not None else {}
    for item in overrides or []:
        key, equals, raw = item.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"'{item}' is not an override", expected="key=value, as model.num_leaves=15")
        value = parse_yaml(f"value: {raw}", where=f"--set {key}")["value"]
        node = data
        *parents, leaf = key.strip().split(".")
        for part in parents:
            child = node.setdefault(part, {})
            if not isinstance(child, dict):
                raise ConfigError(f"'{part}' in '{key}' is not a group of settings", where="--set")
            node = child
        node[leaf] = value
    return build_config(model, data, where=str(path) if path else "--set")


def config_hash(*configs: BaseModel) -> str:
    """SHA-256 of the settings as canonical JSON: 64 hexadecimal digits."""
    payload = [[type(c).__name__, c.model_dump(mode="json")] for c in configs]
    return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
