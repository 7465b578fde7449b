"""The one registry: every feature by name, its catalogue, and the hash that travels with a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator

import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.features.chinese import meaning_in_chinese, null_in_chinese
from overdue_ml.features.declare import (
    MAX_TERMS,
    VIEWS,
    AnyFeature,
    AttributeFeature,
    DerivedFeature,
    Feature,
    SqlFeature,
    check_name,
)
from overdue_ml.features.ranks import RankFeature

#: Tables whose rows as known on a date an SqlFeature can aggregate.
SQL_TABLES = ("accounts", "statements")
#: Raised when the computation itself changes, so that old models refuse new numbers.
ENGINE_VERSION = 1


class Registry:
    """Features by name, in the order in which they were declared."""

    def __init__(self, features: Iterable[AnyFeature] = ()) -> None:
        self._features: dict[str, AnyFeature] = {}
        for feature in features:
            self.register(feature)

    def register(self, feature: AnyFeature) -> None:
        """Add a feature.

        Raises
        ------
        ConfigError
            If the name is taken or against the grammar, a part of a derived feature is unknown, the
            pass cannot compute the measure, an aggregate reads a table it cannot, or what a rank ranks is
            unknown, a category or ranked itself.
        """
        name = check_name(feature.name)
        if name in self._features:
            raise ConfigError(f"the feature '{name}' is declared twice", next_step="choose another name")
        if isinstance(feature, Feature):
            _check_declared(name, feature)
        if isinstance(feature, SqlFeature) and feature.table not in SQL_TABLES:
            raise ConfigError(
                f"'{name}' reads the table '{feature.table}', of which known rows cannot be aggregated",
                expected=f"one of {', '.join(SQL_TABLES)}",
                next_step="declare a Feature of a view, or write a FunctionFeature",
            )
        if isinstance(feature, DerivedFeature):
            for part in (feature.left, feature.right):
                if part not in self._features:
                    raise ConfigError(f"'{name}' is derived from '{part}', which is not declared before it")
        if isinstance(feature, RankFeature):
            self._check_ranked(feature)
        self._features[name] = feature

    def _check_ranked(self, feature: RankFeature) -> None:
        if feature.source not in self._features:
            raise ConfigError(f"'{feature.name}' ranks '{feature.source}', which is not declared before it")
        parts = self.closure([feature.source])
        if any(isinstance(part, AttributeFeature | RankFeature) for part in parts):
            raise ConfigError(
                f"'{feature.name}' ranks '{feature.source}', which is a category or a rank",
                expected="a feature that is a number and is not made of ranks",
            )

    def __getitem__(self, name: str) -> AnyFeature:
        try:
            return self._features[name]
        except KeyError:
            raise ConfigError(
                f"there is no feature '{name}'", next_step="see overdue_ml.feature_catalogue() for all names"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._features

    def __iter__(self) -> Iterator[AnyFeature]:
        return iter(self._features.values())

    def __len__(self) -> int:
        return len(self._features)

    def closure(self, names: Iterable[str]) -> list[AnyFeature]:
        """The named features and what they are derived from or rank, parts first."""
        found: dict[str, AnyFeature] = {}

        def visit(name: str) -> None:
            feature = self[name]
            if isinstance(feature, DerivedFeature):
                visit(feature.left)
                visit(feature.right)
            elif isinstance(feature, RankFeature):
                visit(feature.source)
            found.setdefault(name, feature)

        for name in names:
            visit(name)
        return list(found.values())

    def feature_set_hash(self, names: Iterable[str]) -> str:
        """SHA-256 over the definitions that the named features depend on, in their order."""
        ordered = list(names)
        payload = {
            "engine": ENGINE_VERSION,
            "names": ordered,
            "definitions": {f.name: f.definition() for f in self.closure(ordered)},
        }
        return hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()

    def catalogue(self, lang: str = "en") -> pd.DataFrame:
        """One row a feature: name, family, unit, direction, reason_code, meaning, when_null.

        Parameters
        ----------
        lang : {'en', 'zh'}
            Language of ``meaning`` and ``when_null``; the texts of your own features stay as they are.

        Raises
        ------
        ConfigError
            If there are no words in that language.
        """
        if lang not in ("en", "zh"):
            raise ConfigError(f"there is no catalogue in '{lang}'", expected="'en' or 'zh'")
        chinese = lang == "zh"
        rows = [
            {
                "name": f.name,
                "family": f.family,
                "unit": f.unit,
                "direction": f.direction,
                "reason_code": f.reason,
                "meaning": meaning_in_chinese(f) if chinese else f.meaning,
                "when_null": null_in_chinese(f) if chinese else f.when_null,
            }
            for f in self
        ]
        return pd.DataFrame(rows)


def _check_declared(name: str, feature: Feature) -> None:
    measure = feature.measure
    if measure.view not in VIEWS:
        raise ConfigError(
            f"'{name}' reads the view '{measure.view}', which does not exist",
            expected=f"one of {', '.join(VIEWS)}",
        )
    if len(measure.terms) > MAX_TERMS:
        raise ConfigError(f"'{name}' has {len(measure.terms)} terms", expected=f"at most {MAX_TERMS}")
    if feature.view.ahead and feature.statistic in ("since", "slope"):
        raise ConfigError(f"'{name}' looks back, and the events of '{measure.view}' are still to come")
