"""Labels: who went overdue, when that is final, and how rows are set aside."""

from overdue_ml.labels.compile import TRAINABLE, VERDICTS, label_customers, trainable
from overdue_ml.labels.degrees import Degree, judge_degrees, label_degrees
from overdue_ml.labels.instalments import compute_unpaid
from overdue_ml.labels.maturity import final_from, maturity, verdicts_by_date
from overdue_ml.labels.observation import before_due_dates, observation_points
from overdue_ml.labels.sensitivity import sensitivity_grid
from overdue_ml.labels.splits import hash_share, split_by_customer, split_by_time, split_rows
from overdue_ml.labels.splitters import TimeSeriesPanelSplit, purged_by_maturity

__all__ = [
    "TRAINABLE",
    "VERDICTS",
    "Degree",
    "TimeSeriesPanelSplit",
    "before_due_dates",
    "compute_unpaid",
    "final_from",
    "hash_share",
    "judge_degrees",
    "label_customers",
    "label_degrees",
    "maturity",
    "observation_points",
    "purged_by_maturity",
    "sensitivity_grid",
    "split_by_customer",
    "split_by_time",
    "split_rows",
    "trainable",
    "verdicts_by_date",
]
