"""The model: a classifier over LightGBM, calibration, evaluation, and its text bundle."""

from overdue_ml.model.bundle import ScoringModel, load_bundle, save_bundle
from overdue_ml.model.classifier import OverdueClassifier
from overdue_ml.model.evaluation import Evaluation, evaluate_model
from overdue_ml.model.points import compute_points
from overdue_ml.model.selection import DroppedFeature, FeatureSelector, SelectionReport

__all__ = [
    "DroppedFeature",
    "Evaluation",
    "FeatureSelector",
    "OverdueClassifier",
    "ScoringModel",
    "SelectionReport",
    "compute_points",
    "evaluate_model",
    "load_bundle",
    "save_bundle",
]
