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
from overdue_ml.metrics.csi import compute_csi, count_features, csi_of_counts
from overdue_ml.metrics.fairness import compare_groups
from overdue_ml.metrics.intervals import Interval, bootstrap_interval, paired_difference
from overdue_ml.metrics.money import money_curve, money_table
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
from overdue_ml.metrics.rankings import compare_rankings
from overdue_ml.metrics.rules import SingleRule, find_best_rule
from overdue_ml.metrics.segments import OTHER, UNKNOWN, SmallGroups, evaluate_segments, pool_small
from overdue_ml.metrics.stability import (
    Reference,
    compute_psi,
    compute_psi_categorical,
    fit_reference,
    psi_from_counts,
    psi_status,
    stability_score,
)
from overdue_ml.metrics.summary import evaluate_scores
from overdue_ml.metrics.swap import MIN_SHOWN_ROWS, select_top, swap_set
from overdue_ml.metrics.trial import Difference, compare_arms, sample_ratio_p, standardised_difference

__all__ = [
    "DPD_BUCKETS",
    "MIN_SHOWN_ROWS",
    "OTHER",
    "UNKNOWN",
    "Difference",
    "Interval",
    "Recalibration",
    "Reference",
    "SingleRule",
    "SmallGroups",
    "aged_book",
    "bootstrap_interval",
    "calibration_slope_intercept",
    "calibration_table",
    "capture_curve",
    "capture_rate",
    "compare_arms",
    "compare_groups",
    "compare_rankings",
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
    "count_features",
    "csi_of_counts",
    "dpd_bucket",
    "evaluate_scores",
    "evaluate_segments",
    "expected_overdue_capture",
    "find_best_rule",
    "fit_reference",
    "money_curve",
    "money_table",
    "paired_difference",
    "pool_small",
    "psi_from_counts",
    "psi_status",
    "roll_rate_matrix",
    "sample_ratio_p",
    "select_top",
    "stability_score",
    "standardised_difference",
    "swap_set",
]
