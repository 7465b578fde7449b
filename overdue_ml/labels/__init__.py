"""Labels: who went overdue, when that is final, and how rows are set aside."""

from overdue_ml.labels.compile import TRAINABLE, VERDICTS, label_customers, trainable
from overdue_ml.labels.splits import hash_share, split_by_customer, split_by_time, split_rows

__all__ = [
    "TRAINABLE",
    "VERDICTS",
    "hash_share",
    "label_customers",
    "split_by_customer",
    "split_by_time",
    "split_rows",
    "trainable",
]
