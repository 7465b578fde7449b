"""Pages and figures: the customer card, the evaluation of a run, a validation, and plots for notebooks.

Everything is written from data that other layers computed; nothing here scores or decides.
"""

from overdue_ml.reports.book import render_book
from overdue_ml.reports.campaign import render_campaign
from overdue_ml.reports.card import Card, render_card
from overdue_ml.reports.card_instalments import Instalment, Payment
from overdue_ml.reports.card_past import PastScore
from overdue_ml.reports.card_people import Debt, Income
from overdue_ml.reports.card_reasons import ReasonLine
from overdue_ml.reports.card_whatif import Scenario, WhatIfCard
from overdue_ml.reports.evaluation import render_evaluation
from overdue_ml.reports.figures import (
    plot_calibration,
    plot_capture,
    plot_reasons,
    plot_score_distribution,
    save_figures,
)
from overdue_ml.reports.history import Statement
from overdue_ml.reports.overview import Names, Overview, render_overview
from overdue_ml.reports.overview_figures import (
    plot_dependence,
    plot_importance,
    plot_interactions,
    plot_segment_reasons,
    plot_swarm,
)
from overdue_ml.reports.validation import render_validation
from overdue_ml.reports.verdicts import plot_verdicts

__all__ = [
    "Card",
    "Debt",
    "Income",
    "Instalment",
    "Names",
    "Overview",
    "PastScore",
    "Payment",
    "ReasonLine",
    "Scenario",
    "Statement",
    "WhatIfCard",
    "plot_calibration",
    "plot_capture",
    "plot_dependence",
    "plot_importance",
    "plot_interactions",
    "plot_reasons",
    "plot_score_distribution",
    "plot_segment_reasons",
    "plot_swarm",
    "plot_verdicts",
    "render_book",
    "render_campaign",
    "render_card",
    "render_evaluation",
    "render_overview",
    "render_validation",
    "save_figures",
]
