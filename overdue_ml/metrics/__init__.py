"""Arrays in, numbers out: how well a score ranks, whether its probabilities hold, how stable it is.

The lowest layer of the package: it knows neither records nor models and imports only numpy and pandas.
"""

from overdue_ml.metrics.calibration import (
    Recalibration,
    calibration_slope_intercept,
    calibration_table,
    compute_brier,
    compute_ece,
    compute_log_loss,
)
from overdue_ml.metrics.intervals import Interval, bootstrap_interval, paired_difference
from overdue_ml.metrics.portfolio import (
    DPD_BUCKETS,
    aged_book,
    dpd_bucket,
    expected_overdue_capture,
    roll_rate_matrix,
)
from overdue_ml.metrics.ranking import (
    capture_curve,
    capture_rate,
    compute_auc,
    compute_average_precision,
    compute_gini,
    compute_ks,
    compute_lift,
)
from overdue_ml.metrics.stability import (
    Reference,
    compute_csi,
    compute_psi,
    compute_psi_categorical,
    fit_reference,
    psi_from_counts,
    psi_status,
    stability_score,
)
from overdue_ml.metrics.summary import evaluate_scores

__all__ = [
    "DPD_BUCKETS",
    "Interval",
    "Recalibration",
    "Reference",
    "aged_book",
    "bootstrap_interval",
    "calibration_slope_intercept",
    "calibration_table",
    "capture_curve",
    "capture_rate",
    "compute_auc",
    "compute_average_precision",
    "compute_brier",
    "compute_csi",
    "compute_ece",
    "compute_gini",
    "compute_ks",
    "compute_lift",
    "compute_log_loss",
    "compute_psi",
    "compute_psi_categorical",
    "dpd_bucket",
    "evaluate_scores",
    "expected_overdue_capture",
    "fit_reference",
    "paired_difference",
    "psi_from_counts",
    "psi_status",
    "roll_rate_matrix",
    "stability_score",
]
