"""Records: table contracts, loading, rejected rows, settlement, the synthetic lender."""

from overdue_ml.records.buckets import Bucketed, bucket_of, is_bucketed, open_buckets, write_buckets
from overdue_ml.records.dues import InstalmentDues, compute_next_due
from overdue_ml.records.histories import compute_histories, iter_histories
from overdue_ml.records.load import Records, load_records
from overdue_ml.records.remarks import Remark, find_remarks
from overdue_ml.records.select import keep_customers
from overdue_ml.records.settlement import SettlementRules, compute_facts
from overdue_ml.records.settlement_sql import settle
from overdue_ml.records.simulate import simulate, simulate_to
from overdue_ml.records.states import read_unsettled
from overdue_ml.records.suggest import suggest_mapping
from overdue_ml.records.validate import FreshnessResult, RuleResult, TableResult, ValidationReport

__all__ = [
    "Bucketed",
    "FreshnessResult",
    "InstalmentDues",
    "Records",
    "Remark",
    "RuleResult",
    "SettlementRules",
    "TableResult",
    "ValidationReport",
    "bucket_of",
    "compute_facts",
    "compute_histories",
    "compute_next_due",
    "find_remarks",
    "is_bucketed",
    "iter_histories",
    "keep_customers",
    "load_records",
    "open_buckets",
    "read_unsettled",
    "settle",
    "simulate",
    "simulate_to",
    "suggest_mapping",
    "write_buckets",
]
