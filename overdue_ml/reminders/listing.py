"""The tables of a reminder list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa

from overdue_ml.config import RemindersConfig
from overdue_ml.reminders.calendar import ContactPlan
from overdue_ml.reminders.scored import Bools, Ints, Scored, days_of

REMINDER_COLUMNS = (
    "reminder_rank", "customer_id", "as_of_date", "next_due_date", "due_amount", "exposure_amount",
    "p_overdue", "expected_overdue_amount", "tier",
    "reason_1_code", "reason_2_code", "reason_3_code", "reason_4_code",
    "channel", "contact_on", "send_after", "send_before", "arm",
)  # fmt: skip

ARM_COLUMNS = (
    "customer_id", "as_of_date", "campaign", "arm", "tier", "next_due_date", "due_amount", "p_overdue",
    "channel", "contact_on",
)  # fmt: skip

#: Words of the column ``arm``, as in the table ``contacts``.
TREATED: Final = "treated"
HOLDOUT: Final = "holdout"

_DATE = pd.ArrowDtype(pa.date32())


@dataclass(frozen=True)
class ReminderList:
    """Who is to be reminded, in order, and who is not, and why.

    Attributes
    ----------
    reminders : pandas.DataFrame
        ``REMINDER_COLUMNS``, best first. contact_on is the day of the planned contact; send_after and
        send_before its hours on the customer's clock, in ISO 8601 with the offset; channel is null where the
        config names none; arm is 'treated' where a share is held out, else null.
    suppressed : pandas.DataFrame
        customer_id, rule; sorted by customer_id.
    arms : pandas.DataFrame
        ``ARM_COLUMNS``, sorted by customer_id: everybody who is treated or held out; nobody where the
        config holds no share out.
    """

    reminders: pd.DataFrame
    suppressed: pd.DataFrame
    arms: pd.DataFrame


def list_chosen(
    scores: pd.DataFrame, best: Ints, channel: Ints, plan: ContactPlan, config: RemindersConfig
) -> pd.DataFrame:
    """Scores of those who are reminded or held out, best first, with their planned contacts.

    Parameters
    ----------
    scores : pandas.DataFrame
    best : ndarray of int64, shape (k,)
        Rows of the scores.
    channel : ndarray of int64, shape (k,)
        Place among ``config.channels``.
    plan : ContactPlan
    config : RemindersConfig
    """
    window = plan.window[best]
    contact_on = pd.Series(pa.array(plan.day[best], pa.date32()), dtype=_DATE)
    if pd.api.types.is_datetime64_dtype(scores["next_due_date"].dtype):
        # Dates of one table are of one kind, so that they can be compared.
        contact_on = contact_on.astype(scores["next_due_date"].dtype)
    asked = {*REMINDER_COLUMNS, *ARM_COLUMNS}
    chosen = scores[[c for c in scores.columns if c in asked]].iloc[best].reset_index(drop=True)
    return chosen.assign(
        channel=_words([rule.channel for rule in config.channels] or [None], channel),
        contact_on=contact_on,
        send_after=_words([w.send_after for w in plan.windows], window),
        send_before=_words([w.send_before for w in plan.windows], window),
    )


def reminders_of(chosen: pd.DataFrame, held: Bools, config: RemindersConfig) -> pd.DataFrame:
    """The table ``reminders``: those who are not held out, numbered."""
    treated = chosen[~held].reset_index(drop=True)
    arm = TREATED if config.holdout.share > 0 else None
    numbered = treated.assign(
        reminder_rank=np.arange(1, len(treated) + 1, dtype=np.int64), arm=_same(arm, len(treated))
    )
    return numbered[[c for c in REMINDER_COLUMNS if c in numbered.columns]]


def suppressed_of(scores: pd.DataFrame, scored: Scored, rule: Ints, config: RemindersConfig) -> pd.DataFrame:
    """The table ``suppressed``: ``rule`` holds a place among ``config.rules``, -1 for those who are not."""
    rows = scored.by_id[rule[scored.by_id] >= 0]
    ids = scores["customer_id"].iloc[rows].reset_index(drop=True)
    return pd.DataFrame({"customer_id": ids, "rule": _words(config.rules, rule[rows])})


def arms_of(chosen: pd.DataFrame, held: Bools, by_id: Ints, config: RemindersConfig) -> pd.DataFrame:
    """The table ``arms``; its columns are of the same kinds whoever stands in it.

    ``by_id`` are the rows of ``chosen`` in the order of customer_id.
    """
    if config.holdout.share == 0:
        by_id = by_id[:0]
    chosen, held = chosen.iloc[by_id].reset_index(drop=True), held[by_id]
    dates = {
        name: pd.Series(pa.array(days_of(chosen[name]), pa.date32()), dtype=_DATE)
        for name in ("as_of_date", "next_due_date", "contact_on")
    }
    words = {name: chosen[name].astype("str") for name in ("customer_id", "tier")}
    told = chosen.assign(
        campaign=_same(config.holdout.campaign, len(chosen)),
        arm=_words([TREATED, HOLDOUT], held.astype(np.int64)),
        **dates,
        **words,
    )
    return told[list(ARM_COLUMNS)]


def _words(words: Sequence[str | None], places: Ints) -> pd.Series:
    return pd.Series(pa.array(words, pa.large_string()).take(pa.array(places)), dtype="str")


def _same(word: str | None, n: int) -> pd.Series:
    return _words([word], np.zeros(n, dtype=np.int64))
