"""Explanations: exact contributions and the reasons they add up to."""

from overdue_ml.explain.contributions import Contributions, check_ties_out, explain_scores
from overdue_ml.explain.reasons import sum_by_reason, top_reasons
from overdue_ml.explain.treeshap import TreeShap
from overdue_ml.explain.wording import Wording, check_wording, load_wording

__all__ = [
    "Contributions",
    "TreeShap",
    "Wording",
    "check_ties_out",
    "check_wording",
    "explain_scores",
    "load_wording",
    "sum_by_reason",
    "top_reasons",
]
