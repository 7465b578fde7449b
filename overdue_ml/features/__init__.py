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
from overdue_ml.features.registry import Registry

__all__ = [
    "ALL",
    "AttributeFeature",
    "DerivedFeature",
    "Feature",
    "LeakageFinding",
    "Measure",
    "Registry",
    "SqlFeature",
    "Window",
    "audit_leakage",
    "available_features",
    "build_features",
    "days",
    "default_registry",
    "feature_catalogue",
    "last",
]
