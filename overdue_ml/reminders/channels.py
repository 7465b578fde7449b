"""Which channel each customer is reminded through."""

from __future__ import annotations

import numpy as np

from overdue_ml.config import RemindersConfig
from overdue_ml.reminders.calendar import ContactPlan
from overdue_ml.reminders.capacity import Capacity, Kind, allocate
from overdue_ml.reminders.known import Known
from overdue_ml.reminders.scored import TIERS, Days, Ints, Scored


def assign_channels(
    best: Ints, scored: Scored, known: Known, plan: ContactPlan, config: RemindersConfig
) -> Ints:
    """Give customers channels, best first, as far as capacity goes.

    Who finds the preferred channel full is offered the next that fits, on the same day. No later day is
    tried: by then a new run knows who has paid. Of a day's room what earlier runs planned for that day is
    taken.

    Parameters
    ----------
    best : ndarray of int64, shape (k,)
        Rows of the scores, the best first; each has a planned contact and a channel that fits.
    scored : Scored
    known : Known
    plan : ContactPlan
    config : RemindersConfig

    Returns
    -------
    ndarray of int64, shape (k,)
        Place among ``config.channels``, 0 where the config names none; -1 beyond capacity.
    """
    days, day = np.unique(plan.day[best], return_inverse=True)
    limits = [rule.daily_capacity for rule in config.channels] or [None]
    shape = (len(days), len(TIERS), len(limits) + 1)
    wanted = np.stack([day, scored.tier[best], known.preferred[best] + 1])
    if not len(best):
        return np.empty(0, dtype=np.int64)
    different, kind_of = np.unique(np.ravel_multi_index(tuple(wanted), shape), return_inverse=True)
    found = zip(*(places.tolist() for places in np.unravel_index(different, shape)), strict=True)
    kinds = [Kind(on, _in_order(TIERS[tier], first - 1, config)) for on, tier, first in found]
    taken = _taken(known, days)
    return allocate(kind_of, kinds, Capacity(limits, config.daily_capacity, config.capacity, taken))


def _taken(known: Known, days: Days) -> dict[tuple[int, int], int]:
    """How many earlier runs planned, by channel and place of the day."""
    here = np.isin(known.taken_day, days)
    on = np.searchsorted(days, known.taken_day[here])
    pairs = np.stack([known.taken_channel[here], on], axis=1)
    different, n = np.unique(pairs, axis=0, return_counts=True)
    return {(int(c), int(d)): int(k) for (c, d), k in zip(different, n, strict=True)}


def _in_order(tier: str, preferred: int, config: RemindersConfig) -> tuple[int, ...]:
    """The channels that fit a tier, the preferred one first."""
    if not config.channels:
        return (0,)
    fitting = [c for c, rule in enumerate(config.channels) if tier in rule.tiers]
    return tuple(sorted(fitting, key=lambda c: c != preferred))
