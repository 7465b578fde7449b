"""The model: a classifier over LightGBM, calibration, evaluation, and its text bundle."""

from overdue_ml.model.bundle import ScoringModel, load_bundle, save_bundle
from overdue_ml.model.calibration_choice import CalibrationChoice, choose_calibrator
from overdue_ml.model.challenger import LogisticChallenger, ScorecardChallenger
from overdue_ml.model.classifier import OverdueClassifier
from overdue_ml.model.comparison import CHALLENGERS, compare_challenger
from overdue_ml.model.costs import constraint_cost
from overdue_ml.model.evaluation import Evaluation, evaluate_model
from overdue_ml.model.folds import grouped_folds
from overdue_ml.model.further import predict_further
from overdue_ml.model.points import compute_points
from overdue_ml.model.recency import recency_weights
from overdue_ml.model.rows import Rows
from overdue_ml.model.selection import DroppedFeature, FeatureSelector, SelectionReport
from overdue_ml.model.tuning import TuningResult, TuningStudy, tune

__all__ = [
    "CHALLENGERS",
    "CalibrationChoice",
    "DroppedFeature",
    "Evaluation",
    "FeatureSelector",
    "LogisticChallenger",
    "OverdueClassifier",
    "Rows",
    "ScorecardChallenger",
    "ScoringModel",
    "SelectionReport",
    "TuningResult",
    "TuningStudy",
    "choose_calibrator",
    "compare_challenger",
    "compute_points",
    "constraint_cost",
    "evaluate_model",
    "grouped_folds",
    "load_bundle",
    "predict_further",
    "recency_weights",
    "save_bundle",
    "tune",
]
