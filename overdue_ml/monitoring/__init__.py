"""Monitoring: drift against training, and realised performance."""

from overdue_ml.monitoring.book import AgedBook, compute_book
from overdue_ml.monitoring.drift import compute_drift, count_book, drift_of_counts
from overdue_ml.monitoring.realised import compute_realised

__all__ = ["AgedBook", "compute_book", "compute_drift", "compute_realised", "count_book", "drift_of_counts"]
