"""Reminders: tiers, policy, ranking. Lists only: nothing is ever sent."""

from overdue_ml.reminders.ranking import RULES, ReminderList, rank_customers
from overdue_ml.reminders.tiers import assign_tiers

__all__ = ["RULES", "ReminderList", "assign_tiers", "rank_customers"]
