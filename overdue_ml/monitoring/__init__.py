"""Monitoring: drift against training, and realised performance."""

from overdue_ml.monitoring.drift import compute_drift
from overdue_ml.monitoring.realised import compute_realised

__all__ = ["compute_drift", "compute_realised"]
