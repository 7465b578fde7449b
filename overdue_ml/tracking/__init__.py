"""Tracking: runs, registered versions, aliases, the promotion log. The only mlflow code."""

from overdue_ml.tracking.promotion import read_promotions
from overdue_ml.tracking.registry import RegisteredModel, load_model, promote
from overdue_ml.tracking.runs import RegisteredRun, TrainingRecord, log_run
from overdue_ml.tracking.store import Store, open_store

__all__ = [
    "RegisteredModel",
    "RegisteredRun",
    "Store",
    "TrainingRecord",
    "load_model",
    "log_run",
    "open_store",
    "promote",
    "read_promotions",
]
