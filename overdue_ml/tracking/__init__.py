"""Tracking: runs, registered versions, aliases, the promotion log. The only mlflow code."""

from overdue_ml.tracking.aliases import Policy, promote, roll_back
from overdue_ml.tracking.gates import Gate, check_gates
from overdue_ml.tracking.promotion import Champion, champion_on, read_promotions
from overdue_ml.tracking.registry import RegisteredModel, copy_bundle, load_model
from overdue_ml.tracking.runs import RegisteredRun, TrainingRecord, log_run
from overdue_ml.tracking.store import Store, open_store

__all__ = [
    "Champion",
    "Gate",
    "Policy",
    "RegisteredModel",
    "RegisteredRun",
    "Store",
    "TrainingRecord",
    "champion_on",
    "check_gates",
    "copy_bundle",
    "load_model",
    "log_run",
    "open_store",
    "promote",
    "read_promotions",
    "roll_back",
]
