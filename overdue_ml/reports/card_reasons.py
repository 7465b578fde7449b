"""The reasons of a score as the card tells them, and how they add up to the probability and the points."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from overdue_ml.config import PointsConfig
from overdue_ml.errors import ModelError
from overdue_ml.explain.speaking import CONTRADICTIONS, Pairs, choose_reasons, round_to_total
from overdue_ml.explain.wording import Wording
from overdue_ml.model import compute_points
from overdue_ml.reports.charts import reason_bar
from overdue_ml.reports.svg import clean

_LONG, _NAME = 600, 80


@dataclass(frozen=True)
class ReasonLine:
    """One reason of a score, already in words.

    Parameters
    ----------
    code, title, sentence : str
    contribution : float
        In log-odds; above zero it raises the risk.
    """

    code: str
    title: str
    sentence: str
    contribution: float


def signed(hundredths: int) -> str:
    """Hundredths as a decimal that always shows its sign."""
    sign = "+" if hundredths > 0 else ("−" if hundredths < 0 else "")
    return f"{sign}{abs(hundredths) / 100:,.2f}"


@dataclass(frozen=True)
class _Row:
    title: str
    sentence: str
    value: str
    bar: Markup


@dataclass(frozen=True)
class ReasonGroups:
    """The rows of the reasons: raising, lowering, and all others as one."""

    raises: list[_Row]
    lowers: list[_Row]
    others: list[_Row]


def split_reasons(
    reasons: Sequence[ReasonLine], silent: Collection[str] = (), contradictions: Pairs = CONTRADICTIONS
) -> tuple[list[ReasonLine], list[ReasonLine], list[ReasonLine]]:
    """The reasons that are told as raising the risk, as lowering it, and the rest.

    Parameters
    ----------
    reasons : sequence of ReasonLine
    silent : collection of str
        Codes that are never told; see :func:`overdue_ml.explain.speaking.choose_reasons`.
    contradictions : frozenset of pairs
        Of reasons that are not told as raising and as lowering the risk on one page.
    """
    by_code = {r.code: r for r in reasons}
    values = {code: r.contribution for code, r in by_code.items()}
    raises, lowers = choose_reasons(values, silent, contradictions)
    told = {*raises, *lowers}
    ordered = sorted(reasons, key=lambda r: (-r.contribution, r.code))
    return (
        [by_code[code] for code in raises],
        [by_code[code] for code in lowers],
        [r for r in ordered if r.code not in told],
    )


def reason_groups(
    reasons: Sequence[ReasonLine], silent: Collection[str], added: float, wording: Wording
) -> ReasonGroups:
    """Rows with their bars; what is written adds up to what all reasons add to the base.

    Parameters
    ----------
    reasons : sequence of ReasonLine
    silent : collection of str
    added : float
        Log-odds less base, both as they are written.
    wording : Wording
    """
    raises, lowers, rest = split_reasons(reasons, silent, wording.contradictions)
    others = []
    if rest:
        total = math.fsum(r.contribution for r in rest)
        sentence = wording.text("others_sentence", n=str(len(rest)))
        others = [ReasonLine("", wording.text("others"), sentence, total)]
    lines = [*raises, *lowers, *others]
    largest = max((abs(r.contribution) for r in lines), default=0.0)
    hundredths = round_to_total([r.contribution for r in lines], added)
    rows = [_row(r, h, largest, wording) for r, h in zip(lines, hundredths, strict=True)]
    first, second = len(raises), len(raises) + len(lowers)
    return ReasonGroups(rows[:first], rows[first:second], rows[second:])


def _row(reason: ReasonLine, hundredths: int, largest: float, wording: Wording) -> _Row:
    title, value = clean(reason.title, _NAME), signed(hundredths)
    key = "bar_raises" if reason.contribution > 0 else "bar_lowers"
    bar = reason_bar(reason.contribution, largest, wording.text(key, title=title, value=value.lstrip("+−")))
    return _Row(title, clean(reason.sentence, _LONG), value, bar)


def sum_rows(
    reasons: Sequence[ReasonLine], base_log_odds: float, log_odds: float, wording: Wording
) -> list[tuple[str, str]]:
    """From the base over the reasons to the log-odds, the last row."""
    raises = math.fsum(r.contribution for r in reasons if r.contribution > 0)
    lowers = math.fsum(r.contribution for r in reasons if r.contribution <= 0)
    total, base = round(100 * log_odds), round(100 * base_log_odds)
    up, down = round_to_total([raises, lowers], (total - base) / 100)
    keys = ("sum_base", "sum_raises", "sum_lowers", "sum_log_odds")
    return [(wording.text(k), signed(v)) for k, v in zip(keys, (base, up, down, total), strict=True)]


def scale_rows(
    log_odds: float, p_overdue: float, points: float, scale: PointsConfig | None, wording: Wording
) -> list[tuple[str, str]]:
    """From the log-odds over the calibrated probability to the points, the last row.

    Parameters
    ----------
    log_odds, p_overdue, points : float
    scale : PointsConfig, optional
        Of the points; without it only their number is told.
    wording : Wording

    Raises
    ------
    ModelError
        If the points are not those of the probability on that scale.
    """
    before = 0.5 * (1.0 + math.tanh(log_odds / 2.0))
    rows = [
        (wording.text("sum_log_odds"), signed(round(100 * log_odds))),
        (wording.text("sum_raw"), written_share(before, wording)),
        (wording.text("sum_probability"), written_share(p_overdue, wording)),
    ]
    if scale is not None:
        expected = float(compute_points(np.array([p_overdue]), scale)[0])
        if not abs(expected - points) <= 1e-6 * max(1.0, abs(expected)):
            raise ModelError(
                f"the points are {points:.6f}, but on their scale the probability gives {expected:.6f}",
                next_step="score again: points and probability are not of one run",
            )
        if 0.0 < p_overdue < 1.0:
            odds = f"{(1.0 - p_overdue) / p_overdue:,.4g}"
            scales = {"base": f"{scale.base:g}", "odds": f"{scale.odds:g}", "pdo": f"{scale.pdo:g}"}
            rows.append((wording.text("sum_odds"), wording.text("sum_odds_value", odds=odds)))
            label = wording.text("sum_points_scale", **scales)
            return [*rows, (label, wording.format_number(round(points), "count"))]
    return [*rows, (wording.text("sum_points"), wording.format_number(round(points), "count"))]


def written_share(p: float, wording: Wording) -> str:
    """A probability in per cent with one decimal; never 0 or 100 unless it is exactly that."""
    number = f"{100 * p:.1f}"
    if 0 < p < 0.0005:
        number = "< 0.1"
    elif 0.9995 <= p < 1:
        number = "> 99.9"
    return wording.units["ratio"].replace("{n}", number)
