"""Predict which borrowers will go overdue: records in, a ranked and explained list out.

Everything public stands here and is imported on first use, so that ``import overdue_ml`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overdue_ml.config import LabelsConfig as LabelsConfig
    from overdue_ml.config import RecordsConfig as RecordsConfig
    from overdue_ml.config import RemindersConfig as RemindersConfig
    from overdue_ml.config import ScoreConfig as ScoreConfig
    from overdue_ml.config import TrainConfig as TrainConfig
    from overdue_ml.config import load_config as load_config
    from overdue_ml.errors import OverdueMLError as OverdueMLError
    from overdue_ml.explain import TreeShap as TreeShap
    from overdue_ml.explain import compute_dependence as compute_dependence
    from overdue_ml.explain import compute_importance as compute_importance
    from overdue_ml.explain import compute_interactions as compute_interactions
    from overdue_ml.explain import compute_reason_importance as compute_reason_importance
    from overdue_ml.explain import compute_segment_reasons as compute_segment_reasons
    from overdue_ml.explain import compute_swarm as compute_swarm
    from overdue_ml.explain import explain_scores as explain_scores
    from overdue_ml.explain import load_events as load_events
    from overdue_ml.explain import score_change as score_change
    from overdue_ml.explain import smallest_change as smallest_change
    from overdue_ml.explain import sum_by_reason as sum_by_reason
    from overdue_ml.explain import top_reasons as top_reasons
    from overdue_ml.explain import what_if as what_if
    from overdue_ml.features import FeatureBuilder as FeatureBuilder
    from overdue_ml.features import FunctionFeature as FunctionFeature
    from overdue_ml.features import SqlFeature as SqlFeature
    from overdue_ml.features import audit_leakage as audit_leakage
    from overdue_ml.features import build_features as build_features
    from overdue_ml.features import feature_catalogue as feature_catalogue
    from overdue_ml.features import flag_suspicious as flag_suspicious
    from overdue_ml.features import read_features as read_features
    from overdue_ml.labels import TimeSeriesPanelSplit as TimeSeriesPanelSplit
    from overdue_ml.labels import label_customers as label_customers
    from overdue_ml.labels import maturity as maturity
    from overdue_ml.labels import observation_points as observation_points
    from overdue_ml.labels import sensitivity_grid as sensitivity_grid
    from overdue_ml.labels import split_by_customer as split_by_customer
    from overdue_ml.labels import split_by_time as split_by_time
    from overdue_ml.labels import verdicts_by_date as verdicts_by_date
    from overdue_ml.metrics import evaluate_scores as evaluate_scores
    from overdue_ml.model import FeatureSelector as FeatureSelector
    from overdue_ml.model import OverdueClassifier as OverdueClassifier
    from overdue_ml.model import tune as tune
    from overdue_ml.monitoring import AgedBook as AgedBook
    from overdue_ml.monitoring import Campaign as Campaign
    from overdue_ml.monitoring import compute_book as compute_book
    from overdue_ml.monitoring import estimate_campaign as estimate_campaign
    from overdue_ml.records import Records as Records
    from overdue_ml.records import SettlementRules as SettlementRules
    from overdue_ml.records import compute_facts as compute_facts
    from overdue_ml.records import compute_histories as compute_histories
    from overdue_ml.records import load_records as load_records
    from overdue_ml.records import simulate as simulate
    from overdue_ml.records import simulate_to as simulate_to
    from overdue_ml.reminders import collect_inputs as collect_inputs
    from overdue_ml.reminders import fit_uplift as fit_uplift
    from overdue_ml.reminders import rank_customers as rank_customers
    from overdue_ml.reports import plot_dependence as plot_dependence
    from overdue_ml.reports import plot_importance as plot_importance
    from overdue_ml.reports import plot_interactions as plot_interactions
    from overdue_ml.reports import plot_segment_reasons as plot_segment_reasons
    from overdue_ml.reports import plot_swarm as plot_swarm
    from overdue_ml.reports import plot_verdicts as plot_verdicts

__version__ = "0.1.0"

_HOME = {
    "AgedBook": "monitoring",
    "Campaign": "monitoring",
    "FeatureBuilder": "features",
    "FeatureSelector": "model",
    "FunctionFeature": "features",
    "LabelsConfig": "config",
    "OverdueClassifier": "model",
    "OverdueMLError": "errors",
    "Records": "records",
    "RecordsConfig": "config",
    "RemindersConfig": "config",
    "ScoreConfig": "config",
    "SettlementRules": "records",
    "SqlFeature": "features",
    "TimeSeriesPanelSplit": "labels",
    "TrainConfig": "config",
    "TreeShap": "explain",
    "audit_leakage": "features",
    "build_features": "features",
    "collect_inputs": "reminders",
    "compute_book": "monitoring",
    "compute_dependence": "explain",
    "compute_facts": "records",
    "compute_histories": "records",
    "compute_importance": "explain",
    "compute_interactions": "explain",
    "compute_reason_importance": "explain",
    "compute_segment_reasons": "explain",
    "compute_swarm": "explain",
    "estimate_campaign": "monitoring",
    "evaluate_scores": "metrics",
    "explain_scores": "explain",
    "feature_catalogue": "features",
    "fit_uplift": "reminders",
    "flag_suspicious": "features",
    "label_customers": "labels",
    "load_config": "config",
    "load_events": "explain",
    "load_records": "records",
    "maturity": "labels",
    "observation_points": "labels",
    "plot_dependence": "reports",
    "plot_importance": "reports",
    "plot_interactions": "reports",
    "plot_segment_reasons": "reports",
    "plot_swarm": "reports",
    "plot_verdicts": "reports",
    "rank_customers": "reminders",
    "read_features": "features",
    "score_change": "explain",
    "sensitivity_grid": "labels",
    "simulate": "records",
    "simulate_to": "records",
    "smallest_change": "explain",
    "split_by_customer": "labels",
    "split_by_time": "labels",
    "sum_by_reason": "explain",
    "top_reasons": "explain",
    "tune": "model",
    "verdicts_by_date": "labels",
    "what_if": "explain",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'overdue_ml' has no attribute '{name}'")
    return getattr(import_module(f"overdue_ml.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
