"""Explanations: exact contributions, the reasons they add up to, what if, and what changed a score."""

from overdue_ml.explain.change import ScoreChange, Scores, score_change, split_change
from overdue_ml.explain.contributions import (
    Contributions,
    build_explainer,
    check_ties_out,
    choose_background,
    explain_features,
    explain_scores,
    score_features,
)
from overdue_ml.explain.event_file import load_events
from overdue_ml.explain.events import (
    Edit,
    Event,
    event_named,
    income_falls,
    ledger_event,
    pay_arrears,
    pay_next_dues,
    pay_next_statements,
    standard_events,
)
from overdue_ml.explain.interactions import compute_interactions, interaction_values
from overdue_ml.explain.overview import (
    compute_dependence,
    compute_importance,
    compute_reason_importance,
    compute_segment_reasons,
    compute_swarm,
)
from overdue_ml.explain.reasons import sum_by_reason, top_reasons
from overdue_ml.explain.smallest import SmallestChange, smallest_change
from overdue_ml.explain.treeshap import TreeShap
from overdue_ml.explain.whatif import Rescorer, WhatIf, model_registry, what_if
from overdue_ml.explain.wording import Wording, check_wording, load_wording

__all__ = [
    "Contributions",
    "Edit",
    "Event",
    "Rescorer",
    "ScoreChange",
    "Scores",
    "SmallestChange",
    "TreeShap",
    "WhatIf",
    "Wording",
    "build_explainer",
    "check_ties_out",
    "check_wording",
    "choose_background",
    "compute_dependence",
    "compute_importance",
    "compute_interactions",
    "compute_reason_importance",
    "compute_segment_reasons",
    "compute_swarm",
    "event_named",
    "explain_features",
    "explain_scores",
    "income_falls",
    "interaction_values",
    "ledger_event",
    "load_events",
    "load_wording",
    "model_registry",
    "pay_arrears",
    "pay_next_dues",
    "pay_next_statements",
    "score_change",
    "score_features",
    "smallest_change",
    "split_change",
    "standard_events",
    "sum_by_reason",
    "top_reasons",
    "what_if",
]
