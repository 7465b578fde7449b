"""The smallest set of events that brings a customer's estimate below a threshold, if there is one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.explain._whatif_words import say
from overdue_ml.explain.events import Event, standard_events
from overdue_ml.explain.whatif import Rescored, Rescorer, WhatIf
from overdue_ml.explain.wording import Wording
from overdue_ml.features import OwnFeatures
from overdue_ml.model import ScoringModel
from overdue_ml.records import Records

_MOST = 3


@dataclass(frozen=True)
class SmallestChange:
    """What came of a search.

    Attributes
    ----------
    threshold : float
    now : Rescored
        As of the as_of date, with the records as they stand.
    found : WhatIf or None
        The smallest set; of several of the same size the first in the order of the allowed events.
    lowest : WhatIf or None
        The set with the lowest probability among all that were tried; None if none could be.
    tried : pandas.DataFrame
        events, on, without, after: one row a set, in the order of the search; probabilities.
    max_size : int
    """

    threshold: float
    now: Rescored
    found: WhatIf | None
    lowest: WhatIf | None
    tried: pd.DataFrame
    max_size: int

    @property
    def already(self) -> bool:
        """Whether nothing is needed."""
        return self.now.p_overdue < self.threshold

    def sentences(
        self, wording: Wording, units: dict[str, str] | None = None, silent: Collection[str] = ()
    ) -> list[str]:
        """The answer in words; see :meth:`WhatIf.sentences`."""
        lang = wording.language
        if self.already:
            p, limit = wording.format_shares([self.now.p_overdue, self.threshold])
            return [say(lang, "already", p=p, threshold=limit)]
        if self.found is not None:
            found = (self.found.now, self.found.without, self.found.after)
            *_, limit = wording.format_shares([*(score.p_overdue for score in found), self.threshold])
            first = say(lang, "found", threshold=limit, events=self.found.clause(lang))
            return [first, *self.found.sentences(wording, units, silent, [self.threshold])]
        if self.lowest is None:
            return [say(lang, "none_possible", threshold=wording.format_number(self.threshold, "ratio"))]
        without, lowest, limit = wording.format_shares(
            [self.lowest.without.p_overdue, self.lowest.after.p_overdue, self.threshold]
        )
        key = "none_of_one" if len(self.tried) == 1 else "none"
        if self.lowest.after.p_overdue < self.threshold:
            # By then the days alone would do it, which is no merit of the events.
            key = "by_itself"
        return [
            say(
                lang, key, n=str(len(self.tried)), size=str(self.max_size), threshold=limit, p=lowest,
                without=without, date=wording.format_date(self.lowest.on), events=self.lowest.clause(lang),
            )
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "threshold": self.threshold,
            "already_below": self.already,
            "found": None if self.found is None else self.found.to_dict(),
            "lowest": None if self.lowest is None else self.lowest.to_dict(),
            "tried": [row | {"on": row["on"].isoformat()} for row in self.tried.to_dict("records")],
        }


def smallest_change(
    records: Records,
    customer_id: str,
    as_of: dt.date,
    model: ScoringModel,
    threshold: float,
    allowed: Sequence[Event] | None = None,
    own: OwnFeatures | None = None,
) -> SmallestChange:
    """Search the sets of up to three allowed events, smaller ones first.

    A set counts if the estimate after it is below the threshold and that of the same day without it is not:
    what the days do by themselves is no merit of the events. Only what can still happen is tried: no
    hypothetical event, none that would change a row of the past or of ``customers``, none with nothing to
    edit, and of a group of events at most one.

    Parameters
    ----------
    records, customer_id, as_of, model, own
        As for :func:`overdue_ml.explain.what_if`.
    threshold : float
        A probability, as the lower end of a tier.
    allowed : sequence of Event, optional
        The lesser first; :func:`overdue_ml.explain.events.standard_events` by default; at most 12.

    Returns
    -------
    SmallestChange

    Raises
    ------
    ConfigError
        If the threshold is not between 0 and 1, or an event is hypothetical or one of too many.
    """
    return search_smallest(Rescorer(records, customer_id, as_of, model, own), threshold, allowed)


def search_smallest(
    rescorer: Rescorer, threshold: float, allowed: Sequence[Event] | None = None
) -> SmallestChange:
    """The same where the customer's ledger stands ready.

    Parameters
    ----------
    rescorer : Rescorer
    threshold, allowed
        As for :func:`smallest_change`.

    Returns
    -------
    SmallestChange

    Raises
    ------
    ConfigError
        As :func:`smallest_change`.
    """
    if not 0 < threshold < 1:
        raise ConfigError(f"the threshold is {threshold}", expected="a probability between 0 and 1")
    events = list(standard_events() if allowed is None else allowed)
    for event in events:
        if event.hypothetical:
            raise ConfigError(
                f"'{event.name}' is nothing that a customer can do", next_step="ask for it by what_if"
            )
    if not 0 < len(events) <= 12:
        raise ConfigError(f"{len(events)} events are allowed", expected="1 to 12")
    return _search(rescorer, events, threshold)


def _search(rescorer: Rescorer, events: list[Event], threshold: float) -> SmallestChange:
    now = rescorer.as_it_stands(rescorer.as_of)
    rows: list[tuple[str, dt.date, float, float]] = []
    lowest: WhatIf | None = None
    possible: list[Event] = []
    for size in range(1, (_MOST if now.p_overdue >= threshold else 0) + 1):
        for chosen in combinations(events if size == 1 else possible, size):
            groups = [event.group for event in chosen if event.group]
            if len(groups) > len(set(groups)):
                continue
            made = rescorer.propose(chosen)
            if made is None:
                continue
            if size == 1:
                # Whoever can do nothing alone does nothing in company.
                possible += chosen
            after, without = made.after.p_overdue, made.without.p_overdue
            rows.append(("+".join(event.name for event in chosen), made.on, without, after))
            if lowest is None or after < lowest.after.p_overdue:
                lowest = made
            if after < threshold <= without:
                return SmallestChange(threshold, now, made, lowest, _tried(rows), _MOST)
    return SmallestChange(threshold, now, None, lowest, _tried(rows), _MOST)


def _tried(rows: list[tuple[str, dt.date, float, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["events", "on", "without", "after"])
