"""Features: declared, registered, built in one pass, and never from the future."""

from overdue_ml.features.audit import LeakageFinding, audit_leakage
from overdue_ml.features.build import Beside, available_features, book_of_parts, build_features, build_part
from overdue_ml.features.catalogue import default_registry, feature_catalogue
from overdue_ml.features.declare import (
    ALL,
    AttributeFeature,
    DerivedFeature,
    Feature,
    Measure,
    SqlFeature,
    Window,
    days,
    last,
)
from overdue_ml.features.folder import FeatureFolder, open_features, read_features
from overdue_ml.features.function import FunctionFeature
from overdue_ml.features.own import (
    GivenFeatures,
    OwnFeatures,
    load_own_features,
    own_features,
    own_features_of,
    ranks_of,
    registry_with,
)
from overdue_ml.features.ranks import Book as RankBook
from overdue_ml.features.ranks import RankFeature
from overdue_ml.features.registry import Registry
from overdue_ml.features.suspicious import SuspiciousFeature, flag_suspicious
from overdue_ml.features.transformer import FeatureBuilder

__all__ = [
    "ALL",
    "AttributeFeature",
    "Beside",
    "DerivedFeature",
    "Feature",
    "FeatureBuilder",
    "FeatureFolder",
    "FunctionFeature",
    "GivenFeatures",
    "LeakageFinding",
    "Measure",
    "OwnFeatures",
    "RankBook",
    "RankFeature",
    "Registry",
    "SqlFeature",
    "SuspiciousFeature",
    "Window",
    "audit_leakage",
    "available_features",
    "book_of_parts",
    "build_features",
    "build_part",
    "days",
    "default_registry",
    "feature_catalogue",
    "flag_suspicious",
    "last",
    "load_own_features",
    "open_features",
    "own_features",
    "own_features_of",
    "ranks_of",
    "read_features",
    "registry_with",
]
