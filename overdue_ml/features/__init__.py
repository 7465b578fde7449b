"""Features: declared, registered, built in one pass, and never from the future."""

from overdue_ml.features.audit import LeakageFinding, audit_leakage
from overdue_ml.features.build import available_features, build_features
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
from overdue_ml.features.function import FunctionFeature
from overdue_ml.features.registry import Registry
from overdue_ml.features.suspicious import SuspiciousFeature, flag_suspicious

__all__ = [
    "ALL",
    "AttributeFeature",
    "DerivedFeature",
    "Feature",
    "FunctionFeature",
    "LeakageFinding",
    "Measure",
    "Registry",
    "SqlFeature",
    "SuspiciousFeature",
    "Window",
    "audit_leakage",
    "available_features",
    "build_features",
    "days",
    "default_registry",
    "feature_catalogue",
    "flag_suspicious",
    "last",
]
