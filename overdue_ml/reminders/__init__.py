"""Reminders: tiers, policy, ranking. Lists only: nothing is ever sent."""

from overdue_ml.reminders.alerts import WatchList, check_indicators, compute_watch_list
from overdue_ml.reminders.holdout import draw_holdout
from overdue_ml.reminders.inputs import ReminderInputs, collect_inputs
from overdue_ml.reminders.ladder import collect_past_due, suggest_treatment
from overdue_ml.reminders.listing import ARM_COLUMNS, REMINDER_COLUMNS, ReminderList
from overdue_ml.reminders.ranking import RULES, ask_alone, rank_customers
from overdue_ml.reminders.scored import NEEDED as SCORED_COLUMNS
from overdue_ml.reminders.tiers import assign_tiers
from overdue_ml.reminders.uplift import UpliftLimits, UpliftModel, cross_uplift, fit_uplift, room_of

__all__ = [
    "ARM_COLUMNS",
    "REMINDER_COLUMNS",
    "RULES",
    "SCORED_COLUMNS",
    "ReminderInputs",
    "ReminderList",
    "UpliftLimits",
    "UpliftModel",
    "WatchList",
    "ask_alone",
    "assign_tiers",
    "check_indicators",
    "collect_inputs",
    "collect_past_due",
    "compute_watch_list",
    "cross_uplift",
    "draw_holdout",
    "fit_uplift",
    "rank_customers",
    "room_of",
    "suggest_treatment",
]
