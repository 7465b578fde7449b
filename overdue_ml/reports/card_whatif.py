"""What the score of a customer would be if something happened, as a table of the card."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from overdue_ml.errors import ModelError
from overdue_ml.explain.wording import Wording
from overdue_ml.reports.card_reasons import signed, written_share
from overdue_ml.reports.svg import clean

MAX_SCENARIOS = 5
_MOVES = 2
_CLAUSE, _NAME, _LONG = 160, 60, 400


@dataclass(frozen=True)
class Scenario:
    """One event, or a set of them, and what the model makes of the ledger with and without it.

    Parameters
    ----------
    clause : str
        What happens, in the language of the card, as it ends the words "if ...".
    on : date
        The day as of which both estimates are.
    p_without, p_after : float
    tier_without, tier_after : str
    moves : sequence of (str, float)
        Titles of the reasons that move and by how much, in log-odds, the largest first.
    """

    clause: str
    on: dt.date
    p_without: float
    p_after: float
    tier_without: str
    tier_after: str
    moves: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class WhatIfCard:
    """What the card shows of what if.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Those that are possible for the customer.
    smallest : str
        Which smallest set of events brings the customer below the tier, or that none does.
    absent : str
        Instead of everything else: why nothing could be asked.
    """

    scenarios: Sequence[Scenario] = ()
    smallest: str = ""
    absent: str = ""


@dataclass(frozen=True)
class WhatIfSection:
    """Words and cells as they are shown."""

    head: list[str]
    rows: list[list[str]]
    words: list[str]
    notes: list[str]


def what_if_section(what_if: WhatIfCard | None, as_of: dt.date, wording: Wording) -> WhatIfSection | None:
    """The table of scenarios and what there is to say of it; None where nothing was asked.

    Parameters
    ----------
    what_if : WhatIfCard or None
    as_of : date
    wording : Wording

    Raises
    ------
    ValueError
        If a scenario is of a day before the as_of date.
    ModelError
        If an estimate is not between 0 and 1.
    """
    if what_if is None:
        return None
    if what_if.absent:
        return WhatIfSection([], [], [clean(what_if.absent, _LONG)], [])
    early = [s.on for s in what_if.scenarios if s.on < as_of]
    if early:
        raise ValueError(f"A what-if of {min(early)} is before {as_of}.")
    shown = list(what_if.scenarios)[:MAX_SCENARIOS]
    keys = ("event", "on", "without", "after", "tier", "reasons")
    words = [clean(what_if.smallest, _LONG)] if what_if.smallest else []
    if not shown:
        return WhatIfSection([], [], [wording.text("what_if_none"), *words], [])
    head = [wording.text(f"what_if_{key}") for key in keys]
    return WhatIfSection(head, [_row(s, wording) for s in shown], words, [wording.text("what_if_note")])


def _row(s: Scenario, wording: Wording) -> list[str]:
    for p in (s.p_without, s.p_after):
        if not 0.0 <= p <= 1.0:
            raise ModelError(f"the probability {p} is not between 0 and 1")
    tiers = [clean(wording.tier(tier), _NAME) for tier in (s.tier_without, s.tier_after)]
    moves = [f"{clean(title, _NAME)} {signed(round(100 * change))}" for title, change in s.moves[:_MOVES]]
    return [
        clean(s.clause, _CLAUSE),
        s.on.isoformat(),
        written_share(s.p_without, wording),
        written_share(s.p_after, wording),
        tiers[1] if tiers[0] == tiers[1] else " → ".join(tiers),
        " · ".join(moves) or "–",
    ]
