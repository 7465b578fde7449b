"""Records: table contracts, loading, rejected rows."""

from overdue_ml.records.facts import compute_next_due
from overdue_ml.records.load import Records, load_records
from overdue_ml.records.validate import RuleResult, TableResult, ValidationReport

__all__ = [
    "Records",
    "RuleResult",
    "TableResult",
    "ValidationReport",
    "compute_next_due",
    "load_records",
]
