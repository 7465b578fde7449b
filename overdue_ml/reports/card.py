"""The customer card: one customer, one page an officer can read, print and explain."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

from overdue_ml.config import PointsConfig
from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.explain.speaking import CONTRADICTIONS
from overdue_ml.explain.wording import Wording
from overdue_ml.reports.card_instalments import (
    Instalment,
    Payment,
    instalment_section,
    plain_amount,
    short_name,
)
from overdue_ml.reports.card_past import PastScore, past_section
from overdue_ml.reports.card_people import Debt, Income, debt_section, income_section
from overdue_ml.reports.card_reasons import (
    ReasonLine,
    reason_groups,
    scale_rows,
    split_reasons,
    sum_rows,
    written_share,
)
from overdue_ml.reports.card_whatif import WhatIfCard, what_if_section
from overdue_ml.reports.charts import book_chart
from overdue_ml.reports.history import MAX_STATEMENTS, Statement, read_statements, statement_charts
from overdue_ml.reports.page import render_page
from overdue_ml.reports.svg import clean

_TOLERANCE = 1e-6
_LONG, _ID, _NAME = 600, 72, 80
_MODEL_KEYS = ("name", "version", "alias", "run_id", "trained_on", "feature_set_hash", "model_hash")
_AMOUNTS = ("due_amount", "exposure_amount", "expected_overdue_amount")


@dataclass(frozen=True)
class Card:
    """Everything the card of one customer shows.

    Parameters
    ----------
    customer_id : str
    as_of : date
    lang : str
        Language of the wording.
    p_overdue, log_odds, base_log_odds, points : float
    tier : str
    rank, n_customers : int
        1 is the riskiest.
    book_edges, book_counts : list
        Histogram of p_overdue over the whole book.
    next_due_date : date or None
    due_amount, exposure_amount, expected_overdue_amount : float or None
    reasons : list of ReasonLine
        All of them; with base_log_odds their contributions add up to log_odds.
    statements : DataFrame or list of Statement
        Statements known on the as_of date; of a table any of statement_date, due_date, balance_amount,
        paid_amount, credit_limit_amount, dpd, payment_behaviour.
    model : mapping of str to str
        Any of name, version, alias, run_id, trained_on, feature_set_hash, model_hash.
    notes : list of str
        On the data, shown as they are.
    p_low, p_high : float, optional
        How well the probability is known at this score.
    points_scale : PointsConfig, optional
        On which the points were computed; how they hang together with the probability is then told.
    silent : frozenset of str
        Reasons that count but are never told, as those with a protected attribute in them.
    instalments : list of Instalment
        As known on the as_of date, those to come among them.
    payments : list of Payment
        Known on the as_of date.
    incomes, debts : list, optional
        None where the records have no such table.
    past : list of PastScore
        What runs of earlier dates said.
    what_if : WhatIfCard, optional
        Without it the card does not speak of what if.
    """

    customer_id: str
    as_of: dt.date
    lang: str
    p_overdue: float
    log_odds: float
    base_log_odds: float
    points: float
    tier: str
    rank: int
    n_customers: int
    book_edges: list[float]
    book_counts: list[int]
    next_due_date: dt.date | None
    due_amount: float | None
    exposure_amount: float | None
    expected_overdue_amount: float | None
    reasons: list[ReasonLine]
    statements: pd.DataFrame | list[Statement]
    model: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    p_low: float | None = None
    p_high: float | None = None
    points_scale: PointsConfig | None = None
    silent: frozenset[str] = frozenset()
    instalments: list[Instalment] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    incomes: list[Income] | None = None
    debts: list[Debt] | None = None
    past: list[PastScore] = field(default_factory=list)
    what_if: WhatIfCard | None = None

    def told_reasons(self, wording: Wording | None = None) -> tuple[list[ReasonLine], list[ReasonLine]]:
        """The reasons that the card tells: those that raise the risk, and those that lower it.

        Parameters
        ----------
        wording : Wording, optional
            That of the card, where it says which reasons contradict each other.
        """
        pairs = CONTRADICTIONS if wording is None else wording.contradictions
        raises, lowers, _ = split_reasons(self.reasons, self.silent, pairs)
        return raises, lowers


def render_card(card: Card, wording: Wording) -> str:
    """Write the card of one customer as a self-contained HTML page.

    Parameters
    ----------
    card : Card
    wording : Wording
        In the language of the card.

    Returns
    -------
    str
        HTML without scripts or requests; the same card gives the same bytes.

    Raises
    ------
    ConfigError
        If the wording is in another language.
    ModelError
        If base and reasons do not add up to the log-odds, or the points are not those of the probability.
    ValueError
        If anything shown is dated after the as_of date, or the histogram is malformed.
    """
    _check(card, wording)
    statements = read_statements(card.statements)
    late = [s.statement_date for s in statements if s.statement_date and s.statement_date > card.as_of]
    if late:
        raise ValueError(f"A statement of {late[0]} was not known on {card.as_of}.")
    percent = written_share(card.p_overdue, wording)
    added = (round(100 * card.log_odds) - round(100 * card.base_log_odds)) / 100
    book = Markup("")
    if card.book_counts:
        book = book_chart(card.book_edges, card.book_counts, card.p_overdue, wording, percent)
    return render_page(
        "card.html",
        wording.language,
        t=wording.card,
        title=f"{wording.text('heading')} {clean(card.customer_id, _ID)}",
        customer_id=clean(card.customer_id, _ID),
        as_of=wording.text("as_of", date=wording.format_date(card.as_of)),
        tier_class=card.tier if card.tier in ("high", "medium", "low") else "other",
        tier=clean(wording.tier(card.tier), _NAME),
        percent=percent,
        in_words=_in_words(card.p_overdue, wording),
        interval=_interval(card, wording),
        book=book,
        place=_place(card, wording),
        figures=_figures(card, wording),
        reasons=reason_groups(card.reasons, card.silent, added, wording),
        sums=sum_rows(card.reasons, card.base_log_odds, card.log_odds, wording),
        scale=scale_rows(card.log_odds, card.p_overdue, card.points, card.points_scale, wording),
        history=_history(statements, wording),
        instalments=instalment_section(card.instalments, card.payments, card.as_of, wording),
        incomes=income_section(card.incomes, card.as_of, wording),
        debts=debt_section(card.debts, card.as_of, wording),
        past=past_section(card.past, _this_score(card), wording),
        what_if=what_if_section(card.what_if, card.as_of, wording),
        notes=[clean(note, _LONG) for note in card.notes] + [wording.text("note_accounts")],
        model=_model(card.model, wording),
    )


def _check(card: Card, wording: Wording) -> None:
    if card.lang != wording.language:
        raise ConfigError(f"the card is in '{card.lang}' but its wording in '{wording.language}'")
    total = math.fsum([card.base_log_odds, *(r.contribution for r in card.reasons)])
    if not abs(total - card.log_odds) <= _TOLERANCE * max(1.0, abs(card.log_odds)):
        raise ModelError(
            f"base and reasons add up to {total:.6f}, but the log-odds are {card.log_odds:.6f}",
            next_step="explain the customer again with the model that scored it",
        )
    if not 0.0 <= card.p_overdue <= 1.0:
        raise ModelError(f"the probability {card.p_overdue} is not between 0 and 1")


def _interval(card: Card, wording: Wording) -> str:
    if card.p_low is None or card.p_high is None:
        return ""
    if not 0.0 <= card.p_low <= card.p_overdue <= card.p_high <= 1.0:
        raise ModelError(f"the probability {card.p_overdue} is not in {card.p_low} to {card.p_high}")
    low, high = (written_share(p, wording) for p in (card.p_low, card.p_high))
    return wording.text("interval", low=low, high=high)


def _this_score(card: Card) -> PastScore:
    """The score of the card as the last of its line."""
    version, model_hash = card.model.get("version", ""), card.model.get("model_hash", "")
    return PastScore(
        card.as_of, card.p_overdue, card.tier, card.rank, card.n_customers, version, model_hash
    )  # fmt: skip


def frequency(p: float) -> tuple[str, int, int]:
    """Say a probability as ``a in b``.

    Parameters
    ----------
    p : float
        In [0, 1].

    Returns
    -------
    (str, int, int)
        'about', 'fewer' or 'more'; a; b. Simple fractions are preferred where they are off by little.

    Examples
    --------
    >>> frequency(0.334), frequency(0.0421), frequency(0.9999)
    (('about', 1, 3), ('about', 1, 24), ('more', 99, 100))
    """
    if p < 0.001:
        return "fewer", 1, 1000
    if p > 0.99:
        return "more", 99, 100
    if p < 0.095:
        b = 1 / p
        # Two significant digits: 1 in 24, 1 in 130.
        return "about", 1, round(b) if b < 99.5 else 10 * round(b / 10)
    if p > 0.9:
        return "about", round(100 * p), 100
    simple = [(1, 2), (1, 3), (2, 3), (1, 4), (3, 4), (1, 5), (4, 5), (1, 10), (3, 10), (7, 10), (9, 10)]
    others = [(1, 6), (1, 7), (1, 8), (1, 9), *((a, 20) for a in range(3, 19, 2)), (2, 5), (3, 5)]
    near = [(a, b) for a, b in simple if abs(a / b - p) <= 0.0125]
    a, b = min(near or [*simple, *others], key=lambda pair: abs(pair[0] / pair[1] - p))
    return "about", a, b


def _in_words(p: float, wording: Wording) -> str:
    kind, a, b = frequency(p)
    return wording.text(f"in_words_{kind}", a=str(a), b=wording.format_number(b, "count"))


def _place(card: Card, wording: Wording) -> str:
    rank = wording.format_number(card.rank, "count")
    n = wording.format_number(card.n_customers, "count")
    place = wording.text("book_rank", rank=rank, n=n)
    if not 1 <= card.rank < card.n_customers:
        return place
    # Cut, not rounded: nobody is above 100 % of a book they are in.
    tenths = 1000 * (card.n_customers - card.rank) // card.n_customers
    share = wording.units["ratio"].replace("{n}", f"{tenths / 10:g}")
    # The sign must not stand alone on the next line.
    return f"{place} · {wording.text('book_above', share=share.replace(' ', chr(0xA0)))}"


def _figures(card: Card, wording: Wording) -> list[tuple[str, str]]:
    amounts = [(wording.text(key), wording.format_number(getattr(card, key), "amount")) for key in _AMOUNTS]
    return [(wording.text("next_due_date"), wording.format_date(card.next_due_date)), *amounts]


@dataclass(frozen=True)
class _History:
    chart: Markup
    head: list[str]
    rows: list[list[str]]
    cut: str
    several: bool


def _history(statements: list[Statement], wording: Wording) -> _History | None:
    if not statements:
        return None
    shown = statements[-MAX_STATEMENTS:]
    several = len({s.account_id for s in statements}) > 1
    keys = ["statement_date", *(["account"] if several else [])]
    keys += ["due_date", "balance", "paid", "limit", "dpd", "behaviour"]
    cuts = []
    if len(shown) < len(statements):
        cuts.append(wording.text("history_cut", shown=str(len(shown)), n=str(len(statements))))
    charts, n_left_out = statement_charts(statements, wording)
    if n_left_out:
        n = len({s.account_id for s in statements})
        cuts.append(wording.text("accounts_cut", shown=str(n - n_left_out), n=str(n)))
    rows = [_history_row(s, wording) for s in reversed(shown)]
    if several:
        for row, s in zip(rows, reversed(shown), strict=True):
            row.insert(1, short_name(s.account_id))
    return _History(charts, [wording.text(key) for key in keys], rows, " ".join(cuts), several)


def _history_row(s: Statement, wording: Wording) -> list[str]:
    dates = ["–" if day is None else day.isoformat() for day in (s.statement_date, s.due_date)]
    amounts = [plain_amount(amount, wording) for amount in (s.balance, s.paid, s.limit)]
    dpd = "–" if s.dpd is None else wording.format_number(s.dpd, "count")
    behaviour = "–" if s.behaviour is None else clean(wording.behaviour(s.behaviour), _NAME)
    return [*dates, *amounts, dpd, behaviour]


def _model(model: Mapping[str, str], wording: Wording) -> list[tuple[str, str]]:
    """Known keys in a fixed order; hashes and run ids shortened."""
    lines = []
    for key in _MODEL_KEYS:
        if model.get(key):
            short = key.endswith("_hash") or key == "run_id"
            value = clean(model[key], _NAME)
            lines.append((wording.text(f"model_{key}"), value[:12] if short else value))
    return lines
