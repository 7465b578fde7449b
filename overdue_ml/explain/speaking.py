"""Which reasons of a score are told: the strongest, at most a few, and none that contradict each other."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

MAX_ADVERSE, MAX_PROTECTIVE = 4, 3
#: Below this a contribution would be written 0.00.
VISIBLE = 0.005

Pairs = frozenset[frozenset[str]]

#: Reasons that speak of the same facts. Told as raising and as lowering the risk on one page, the two would
#: contradict each other to a reader; the stronger is told, the weaker is added to the others.
CONTRADICTIONS: Pairs = frozenset(
    frozenset(pair)
    for pair in (
        ("LATE_DEPTH", "LATE_OFTEN"),
        ("LATE_OFTEN", "PAYMENT_STATUS"),
        ("PAID_LITTLE", "UNPAID_BALANCE"),
        ("INSTALMENT_DEPTH", "INSTALMENT_OFTEN"),
        ("INSTALMENT_DEPTH", "INSTALMENT_UNPAID"),
        ("INSTALMENT_OFTEN", "LOANS_TOGETHER"),
        ("INSTALMENT_UNPAID", "LOANS_TOGETHER"),
        ("NEXT_DUE", "PLAN_LEFT"),
        ("INCOME_LEVEL", "INCOME_BURDEN"),
        ("DEBT_ELSEWHERE", "UTILISATION_ELSEWHERE"),
    )
)


def choose_reasons(
    contributions: Mapping[str, float],
    silent: Collection[str] = (),
    contradictions: Pairs = CONTRADICTIONS,
) -> tuple[list[str], list[str]]:
    """The reasons to tell, from the strongest contribution on.

    Parameters
    ----------
    contributions : mapping of str to float
        In log-odds by reason code, of features that were scored.
    silent : collection of str
        Reasons that are never told, as those with a protected attribute in them.
    contradictions : frozenset of pairs
        Those of the package by default; a catalogue of one's own may name others.

    Returns
    -------
    raises, lowers : list of str
        At most four and three, the strongest first. Of two that contradict each other only the stronger;
        neither where both weigh too little to be written.

    Examples
    --------
    >>> choose_reasons({"LATE_DEPTH": 0.8, "LATE_OFTEN": -0.2, "ACCOUNT_AGE": -0.1})
    (['LATE_DEPTH'], ['ACCOUNT_AGE'])
    """
    raises: list[str] = []
    lowers: list[str] = []
    # By code where two weigh the same, so that the choice is the same on every run.
    for code, value in sorted(contributions.items(), key=lambda item: (-abs(item[1]), item[0])):
        if not abs(value) >= VISIBLE or code in silent:
            continue
        same, other = (raises, lowers) if value > 0 else (lowers, raises)
        if any(frozenset((code, told)) in contradictions for told in other):
            continue
        if len(same) < (MAX_ADVERSE if value > 0 else MAX_PROTECTIVE):
            same.append(code)
    return raises, lowers


def round_to_total(values: Sequence[float], total: float) -> list[int]:
    """Round to hundredths such that what is shown adds up to the rounded total.

    The values with the largest remainders are rounded up, so each is off by less than one hundredth.

    Examples
    --------
    >>> round_to_total([0.333, 0.333, 0.334], 1.0)
    [33, 33, 34]
    """
    floors = [math.floor(100 * value) for value in values]
    short = round(100 * total) - sum(floors)
    order = sorted(range(len(values)), key=lambda i: (floors[i] - 100 * values[i], i))
    for i in order[: max(short, 0)]:
        floors[i] += 1
    return floors
