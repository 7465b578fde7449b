"""The rules of the reminder policy that ask about one customer at a time."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from overdue_ml.config import RemindersConfig
from overdue_ml.reminders.calendar import ContactPlan
from overdue_ml.reminders.known import Known
from overdue_ml.reminders.scored import TIERS, Bools, Days, Ints, Scored


def find_rules(
    scored: Scored, known: Known, plan: ContactPlan, config: RemindersConfig, *, asks_contacts: bool
) -> Ints:
    """The first rule that holds for each customer, but for those of capacity and holdout.

    Parameters
    ----------
    scored : Scored
    known : Known
    plan : ContactPlan
    config : RemindersConfig
    asks_contacts : bool
        Whether earlier contacts are known, so that cooldown and caps can be asked about.

    Returns
    -------
    ndarray of int64, shape (n,)
        Place among ``config.rules``; -1 where none holds.
    """
    due = is_due(scored.due_on, scored, config) & (scored.due_amount > 0)
    holds = {
        "paid_already": is_paid(scored, known, config, due),
        # Written so that NaN is suppressed as well.
        "nothing_due": np.isnat(scored.due_on) | ~(scored.due_amount > 0),
        "not_due_within_lead_days": ~due,
        "tier_not_reminded": ~_in_tiers(scored, config.tiers),
        "below_min_probability": ~(scored.p_overdue >= config.min_probability),
        "below_min_amount": ~(scored.due_amount >= config.min_amount),
        "unknown_time_zone": ~plan.knows_zone,
        "no_contact_day": ~(plan.day <= scored.due_on),
        "no_channel": _has_no_channel(scored, config),
    }
    if asks_contacts:
        holds |= _contacted(known, plan.day, config)
    first = known.exclusion.copy()
    for place, rule in enumerate(config.rules):
        if rule in holds:
            first[(first < 0) & holds[rule]] = place
    return first


def is_due(day: Days, scored: Scored, config: RemindersConfig) -> Bools:
    """Whether a due date is one that this run reminds of.

    A list of lead days names days of reminder: so many before the due date. A run stands for those from its
    own day to the day before the next run, so that none falls between two runs.
    """
    if scored.as_of is None:
        return np.zeros(len(day), dtype=np.bool_)
    lead = (day - np.datetime64(scored.as_of, "D")).astype(np.int64)
    if isinstance(config.lead_days, int):
        reached = lead <= config.lead_days
    else:
        after = [lead - days for days in config.lead_days]
        reached = np.any([(a >= 0) & (a < config.every_days) for a in after], axis=0)
    return np.asarray(reached & ~np.isnat(day))


def is_paid(scored: Scored, known: Known, config: RemindersConfig, due: Bools) -> Bools:
    """Whether what the run would remind of has been paid.

    The scores name a later due date where one is open; the customer is reminded of that one if its time has
    come. An instalment that is settled is not due any more. A statement stays due however much was paid
    since, so it is paid if the payments cover it.
    """
    settled = is_due(known.paid_due, scored, config) & ~due
    return np.asarray(settled | (known.covered_due == scored.due_on))


def _in_tiers(scored: Scored, tiers: Collection[str]) -> Bools:
    return np.array([*(tier in tiers for tier in TIERS), False])[scored.tier]


def _contacted(known: Known, day: Days, config: RemindersConfig) -> dict[str, Bools]:
    """Cooldown and caps, on the day of the planned contact.

    A contact after that day is known only where an earlier run, by another calendar, has planned it. This
    one must then not stand too close before it.
    """
    contacts, cooldown = config.contacts, config.contacts.cooldown_days
    over = np.zeros(len(day), dtype=np.bool_)
    for cap in contacts.caps:
        over |= known.most_contacts(day, cap.days) + 1 > cap.contacts
    near = np.zeros(len(day), dtype=np.bool_)
    if cooldown:
        near = known.contacts_between(day + np.timedelta64(cooldown - 1, "D"), 2 * cooldown - 1) > 0
    return {"cooldown": near, "over_contact_cap": over}


def _has_no_channel(scored: Scored, config: RemindersConfig) -> Bools:
    if not config.channels:
        return np.zeros(len(scored), dtype=np.bool_)
    return ~_in_tiers(scored, [tier for rule in config.channels for tier in rule.tiers])
