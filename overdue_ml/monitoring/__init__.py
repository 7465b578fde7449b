"""Monitoring: drift against training, realised performance, the aged book, and what reminders did."""

from overdue_ml.monitoring.book import AgedBook, compute_book
from overdue_ml.monitoring.campaign import (
    Campaign,
    CampaignEffect,
    CampaignLimits,
    campaign_rows,
    estimate_campaign,
)
from overdue_ml.monitoring.drift import compute_drift, count_book, drift_of_counts
from overdue_ml.monitoring.realised import compute_realised

__all__ = [
    "AgedBook",
    "Campaign",
    "CampaignEffect",
    "CampaignLimits",
    "campaign_rows",
    "compute_book",
    "compute_drift",
    "compute_realised",
    "count_book",
    "drift_of_counts",
    "estimate_campaign",
]
