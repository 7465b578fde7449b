"""The reminder list: every scored customer is on it, or is suppressed by one named rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overdue_ml.config import RemindersConfig
from overdue_ml.errors import OverdueMLError

#: Rules in the order in which they are asked; the first that holds is the one recorded.
RULES = (
    "nothing_due",
    "not_due_within_lead_days",
    "tier_not_reminded",
    "below_min_probability",
    "over_capacity",
)

REMINDER_COLUMNS = (
    "reminder_rank", "customer_id", "as_of_date", "next_due_date", "due_amount", "exposure_amount",
    "p_overdue", "expected_overdue_amount", "tier",
    "reason_1_code", "reason_2_code", "reason_3_code", "reason_4_code",
)  # fmt: skip


@dataclass(frozen=True)
class ReminderList:
    """Who is to be reminded, in order, and who is not, and why.

    Attributes
    ----------
    reminders : pandas.DataFrame
        ``REMINDER_COLUMNS``, best first.
    suppressed : pandas.DataFrame
        customer_id, rule; sorted by customer_id.
    """

    reminders: pd.DataFrame
    suppressed: pd.DataFrame


def rank_customers(scores: pd.DataFrame, config: RemindersConfig | None = None) -> ReminderList:
    """Apply the reminder policy to scored customers.

    Parameters
    ----------
    scores : pandas.DataFrame
        Columns of ``scores.parquet``, one row a customer.
    config : RemindersConfig, optional

    Returns
    -------
    ReminderList

    Raises
    ------
    OverdueMLError
        If reminders and suppressed customers do not add up to all scored customers.
    """
    config = config or RemindersConfig()
    lead = (pd.to_datetime(scores["next_due_date"]) - pd.to_datetime(scores["as_of_date"])).dt.days
    nothing_due = scores["next_due_date"].isna() | ~(scores["due_amount"] > 0)
    rule = np.select(
        [
            nothing_due,
            ~(lead <= config.lead_days),
            ~scores["tier"].isin(config.tiers),
            ~(scores["p_overdue"] >= config.min_probability),
        ],
        list(RULES[:4]),
        default="",
    )
    listed = scores[rule == ""].sort_values(
        [config.rank_by, "log_odds", "customer_id"], ascending=[False, False, True], kind="stable"
    )
    cut = listed.iloc[config.capacity :] if config.capacity is not None else listed.iloc[:0]
    listed = listed.iloc[: config.capacity] if config.capacity is not None else listed
    listed = listed.assign(reminder_rank=np.arange(1, len(listed) + 1, dtype=np.int64))
    suppressed = pd.concat(
        [
            scores.loc[rule != "", ["customer_id"]].assign(rule=rule[rule != ""]),
            cut[["customer_id"]].assign(rule="over_capacity"),
        ]
    ).sort_values("customer_id", kind="stable")
    if len(listed) + len(suppressed) != len(scores):
        raise OverdueMLError(
            f"{len(listed)} reminders and {len(suppressed)} suppressed are not {len(scores)} scored customers"
        )
    columns = [c for c in REMINDER_COLUMNS if c in listed.columns]
    return ReminderList(listed[columns].reset_index(drop=True), suppressed.reset_index(drop=True))
