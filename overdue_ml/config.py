"""Typed settings: one pydantic model for each YAML file in ``configs/``; unknown keys are errors.

YAML is read by the rules of version 1.2 where version 1.1 surprises: ``yes`` and ``on`` stay text,
``030`` is not 24, and a key that stands twice is an error instead of a silent last-one-wins.
"""

from __future__ import annotations

import hashlib
import json
import re
import zoneinfo
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from overdue_ml.errors import ConfigError


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
    )


class ColumnMapping(_Settings):
    """Where the cells of one column come from, and how they are read.

    Parameters
    ----------
    column : str
        The column's name in the source.
    values : mapping of str to str, optional
        Their words to ours; other cells stay as they are. An empty text means unknown.
    scale : float, optional
        Numbers are multiplied by this, as 0.01 for cents.
    date_format : str, optional
        How days are written there, as ``%d/%m/%Y``; a cell written otherwise is rejected.
    """

    column: str = Field(min_length=1)
    values: dict[str, str] = {}
    scale: float | None = None
    date_format: str | None = None

    @field_validator("values", mode="before")
    @classmethod
    def _words(cls, values: object) -> object:
        # YAML reads `1: true` as a number and a boolean; cells are text.
        return {_word(k): _word(v) for k, v in values.items()} if isinstance(values, dict) else values

    @field_validator("scale")
    @classmethod
    def _scale_is_not_zero(cls, scale: float | None) -> float | None:
        if scale == 0:
            raise ValueError("a scale of 0 would wipe out every amount")
        return scale

    @field_validator("date_format")
    @classmethod
    def _format_names_a_day(cls, text: str | None) -> str | None:
        if text is None:
            return None
        marks = re.findall(r"%-?(.)", text)
        named = [sum(mark in group for mark in marks) for group in ("d", "mbB", "yY")]
        if named != [1, 1, 1] or set(marks) - set("dmbByYHIMSfp"):
            raise ValueError("needs day, month and year once each and no time zone, as '%d/%m/%Y'")
        return text


def _word(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


class TableMapping(_Settings):
    """Where one table comes from: the source's name for it, and the columns that are named otherwise.

    Parameters
    ----------
    source : str, optional
        Name of the file (without its ending), folder of parts or table; the contract's name otherwise.
    columns : mapping of str to ColumnMapping
        Keyed by the contract's column; a plain text is the column's name in the source.
    """

    source: str | None = Field(default=None, min_length=1)
    columns: dict[str, ColumnMapping] = {}

    @field_validator("columns", mode="before")
    @classmethod
    def _plain_names(cls, columns: object) -> object:
        if not isinstance(columns, dict):
            return columns
        return {name: {"column": c} if isinstance(c, str) else c for name, c in columns.items()}


class RecordsConfig(_Settings):
    """``configs/records.yaml``: how records are read and when a job stops.

    Parameters
    ----------
    timezone : str
        IANA zone in which timestamps are cut to days.
    max_rejected_share : float
        A table of which a larger share of rows is rejected stops the job.
    csv_delimiter, csv_encoding : str
        Declared, never guessed.
    protected : list of str
        Columns of ``customers`` that never become features.
    attributes : list of str
        Columns of ``customers`` that become categorical features.
    max_age_days : int
        A table whose newest event is older than this on a date that is asked for gets a warning.
    mapping : mapping of str to TableMapping
        Tables and columns that stand in the source under other names or in another form. Declared,
        never guessed; ``overdue-ml validate --suggest`` proposes one.
    """

    timezone: str = "UTC"
    max_rejected_share: float = Field(default=0.001, ge=0.0, le=1.0)
    csv_delimiter: str = Field(default=",", min_length=1, max_length=1)
    csv_encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    protected: list[str] = [
        "sex",
        "gender",
        "marriage",
        "marital_status",
        "birth_date",
        "age",
        "age_years",
        "religion",
        "ethnicity",
        "nationality",
    ]
    attributes: list[str] = []
    max_age_days: int = Field(default=45, ge=0, le=36525)
    mapping: dict[str, TableMapping] = {}

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("not an IANA time zone, as 'UTC' or 'Asia/Shanghai'") from None
        return name

    @model_validator(mode="after")
    def _attributes_are_not_protected(self) -> Self:
        both = sorted(set(self.attributes) & set(self.protected))
        if both:
            raise ValueError(
                f"{', '.join(both)} stands under both 'attributes' and 'protected'; "
                "take it out of 'protected' to say so on the record"
            )
        return self


class LabelsConfig(_Settings):
    """What counts as overdue, from which source, and for whom.

    Parameters
    ----------
    source : {'labels', 'next_statement'}
        The ``labels`` table, or the days past due of the first statement after the as_of date.
    horizon_days : int
        How far after the as_of date the deciding statement may lie.
    overdue_dpd : int
        Days past due from which on a customer counts as overdue.
    population : {'all', 'pre_due'}
        Everyone, or only customers without days past due on the as_of date.
    """

    source: Literal["labels", "next_statement"] = "labels"
    horizon_days: int = Field(default=31, ge=1, le=366)
    overdue_dpd: int = Field(default=1, ge=1, le=360)
    population: Literal["all", "pre_due"] = "all"


class SplitConfig(_Settings):
    """How the evaluation part is set aside.

    Parameters
    ----------
    by : {'customer', 'time'}
        Customers drawn by a hash of their id, or the last as_of dates.
    test_share : float
        Share of customers (``by='customer'``).
    test_dates : int
        Number of last as_of dates (``by='time'``).
    salt : str
        Part of the hash, so that another draw is one word away.
    """

    by: Literal["customer", "time"] = "customer"
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    test_dates: int = Field(default=1, ge=1)
    salt: str = "overdue_ml"


class ModelConfig(_Settings):
    """Arguments of :class:`overdue_ml.OverdueClassifier`; see there.

    ``monotone`` holds every feature to the direction that the registry gives it.
    """

    n_estimators: int = Field(default=400, ge=1)
    learning_rate: float = Field(default=0.03, gt=0.0, le=1.0)
    num_leaves: int = Field(default=8, ge=2)
    max_depth: int = Field(default=8, ge=1, le=30)
    min_child_samples: int = Field(default=50, ge=1)
    reg_lambda: float = Field(default=10.0, ge=0.0)
    colsample_bytree: float = Field(default=0.15, gt=0.0, le=1.0)
    subsample: float = Field(default=0.7, gt=0.0, le=1.0)
    max_bin: int = Field(default=63, ge=2, le=65535)
    monotone: bool = False
    calibration: Literal["platt", "beta", "isotonic", "none"] = "platt"
    cv: int = Field(default=5, ge=2)
    early_stopping_rounds: int | None = Field(default=None, ge=1)
    random_state: int = 0


class EvaluationConfig(_Settings):
    """Bootstrap resamples and the shares at which capture and lift are read."""

    n_boot: int = Field(default=200, ge=0)
    level: float = Field(default=0.95, gt=0.0, lt=1.0)
    top: list[float] = [0.05, 0.1, 0.2]


class TrainConfig(_Settings):
    """``configs/train.yaml``: everything a training run depends on besides the records."""

    as_of: list[str] | None = None
    labels: LabelsConfig = LabelsConfig()
    split: SplitConfig = SplitConfig()
    model: ModelConfig = ModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    experiment: str = "overdue"
    registered_model: str = "overdue"


class TierRule(_Settings):
    """A customer is in ``tier`` from this probability AND this due amount on."""

    tier: Literal["high", "medium", "low"]
    min_probability: float = Field(ge=0.0, le=1.0)
    min_amount: float = Field(ge=0.0)


class PointsConfig(_Settings):
    """Scorecard scale: ``base`` points at ``odds`` to 1 on time, ``pdo`` points double the odds."""

    base: float = 600.0
    odds: float = Field(default=50.0, gt=0.0)
    pdo: float = Field(default=20.0, gt=0.0)


class ScoreConfig(_Settings):
    """``configs/score.yaml``: tiers, points and how many reasons are written."""

    tiers: list[TierRule] = [
        TierRule(tier="high", min_probability=0.5, min_amount=1000.0),
        TierRule(tier="medium", min_probability=0.2, min_amount=100.0),
        TierRule(tier="low", min_probability=0.0, min_amount=0.0),
    ]
    points: PointsConfig = PointsConfig()
    reasons: int = Field(default=4, ge=1, le=4)

    @model_validator(mode="after")
    def _last_tier_takes_everybody(self) -> Self:
        last = self.tiers[-1] if self.tiers else None
        if last is None or last.min_probability > 0 or last.min_amount > 0:
            raise ValueError("the last tier must take everybody: min_probability 0 and min_amount 0")
        return self


class RemindersConfig(_Settings):
    """``configs/reminders.yaml``: who is put on the reminder list, and how many.

    Parameters
    ----------
    lead_days : int
        Only dues at most this many days after the as_of date.
    min_probability : float
        Customers below are suppressed.
    tiers : list of str
        Tiers that are reminded.
    capacity : int or None
        The list is cut after this many customers; None for no limit.
    rank_by : {'expected_overdue_amount', 'log_odds'}
        Order of the list.
    """

    lead_days: int = Field(default=14, ge=0, le=366)
    min_probability: float = Field(default=0.1, ge=0.0, le=1.0)
    tiers: list[Literal["high", "medium", "low"]] = ["high", "medium"]
    capacity: int | None = Field(default=None, ge=0)
    rank_by: Literal["expected_overdue_amount", "log_odds"] = "expected_overdue_amount"


_Model = TypeVar("_Model", bound=_Settings)

CONFIG_FILES: dict[str, type[_Settings]] = {
    "records.yaml": RecordsConfig,
    "train.yaml": TrainConfig,
    "score.yaml": ScoreConfig,
    "reminders.yaml": RemindersConfig,
}


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
        Naming each key that is unknown, of the wrong type or out of range.
    """
    try:
        return model.model_validate(data or {})
    except ValidationError as error:
        faults = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
            if item["type"] == "extra_forbidden":
                faults.append(f"{key}: unknown key")
            else:
                faults.append(f"{key}: {item['msg']}, not {_short(item.get('input'))}")
        raise ConfigError(
            f"{len(faults)} setting(s) cannot be used: {'; '.join(faults)}",
            where=where,
            next_step=f"allowed keys are {', '.join(model.model_fields)}",
        ) from None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def load_config(model: type[_Model], path: Path | None = None, overrides: list[str] | None = None) -> _Model:
    """Settings from a YAML file and ``key=value`` overrides, on top of the defaults.

    Parameters
    ----------
    model : type
        One of the settings models of this module.
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
