"""The customer card: one customer, one page an officer can read, print and explain."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from markupsafe import Markup

from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.explain.wording import Wording
from overdue_ml.reports.charts import book_chart, reason_bar
from overdue_ml.reports.history import MAX_STATEMENTS, Statement, read_statements, statement_chart
from overdue_ml.reports.page import render_page
from overdue_ml.reports.svg import clean

MAX_ADVERSE, MAX_PROTECTIVE = 4, 3
_TOLERANCE = 1e-6
# Below this a contribution would be written 0.00.
_VISIBLE = 0.005
_LONG, _ID, _NAME = 600, 72, 80
_MODEL_KEYS = ("name", "version", "alias", "run_id", "trained_on", "feature_set_hash", "model_hash")
_AMOUNTS = ("due_amount", "exposure_amount", "expected_overdue_amount")


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
    statements : DataFrame
        Statements known on the as_of date; any of statement_date, due_date, balance_amount, paid_amount,
        credit_limit_amount, dpd, payment_behaviour.
    model : mapping of str to str
        Any of name, version, alias, run_id, trained_on, feature_set_hash, model_hash.
    notes : list of str
        On the data, shown as they are.
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
    statements: pd.DataFrame
    model: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


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
        If base and reasons do not add up to the log-odds.
    ValueError
        If a statement is dated after the as_of date, or the histogram is malformed.
    """
    _check(card, wording)
    statements = read_statements(card.statements)
    late = [s.statement_date for s in statements if s.statement_date and s.statement_date > card.as_of]
    if late:
        raise ValueError(f"A statement of {late[0]} was not known on {card.as_of}.")
    percent = wording.units["ratio"].replace("{n}", _percent(card.p_overdue))
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
        book=book,
        place=_place(card, wording),
        figures=_figures(card, wording),
        reasons=_reason_groups(card, wording),
        sums=_sums(card, wording, percent),
        history=_history(statements, wording),
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


def _percent(p: float) -> str:
    """Per cent with one decimal; never 0 or 100 unless it is exactly that."""
    if 0 < p < 0.0005:
        return "< 0.1"
    return "> 99.9" if 0.9995 <= p < 1 else f"{100 * p:.1f}"


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


def signed(hundredths: int) -> str:
    """Hundredths as a decimal that always shows its sign."""
    sign = "+" if hundredths > 0 else ("−" if hundredths < 0 else "")
    return f"{sign}{abs(hundredths) / 100:,.2f}"


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


@dataclass(frozen=True)
class _Row:
    title: str
    sentence: str
    value: str
    bar: Markup


@dataclass(frozen=True)
class _Reasons:
    raises: list[_Row]
    lowers: list[_Row]
    others: list[_Row]


def _reason_groups(card: Card, wording: Wording) -> _Reasons:
    ordered = sorted(card.reasons, key=lambda r: (-r.contribution, r.code))
    raises = [r for r in ordered if r.contribution >= _VISIBLE][:MAX_ADVERSE]
    lowers = [r for r in reversed(ordered) if r.contribution <= -_VISIBLE][:MAX_PROTECTIVE]
    shown = {r.code for r in (*raises, *lowers)}
    rest = [r for r in ordered if r.code not in shown]
    others = []
    if rest:
        total = math.fsum(r.contribution for r in rest)
        sentence = wording.text("others_sentence", n=str(len(rest)))
        others = [ReasonLine("", wording.text("others"), sentence, total)]
    lines = [*raises, *lowers, *others]
    largest = max((abs(r.contribution) for r in lines), default=0.0)
    shown_total = (round(100 * card.log_odds) - round(100 * card.base_log_odds)) / 100
    hundredths = round_to_total([r.contribution for r in lines], shown_total)
    rows = [_row(r, h, largest, wording) for r, h in zip(lines, hundredths, strict=True)]
    first, second = len(raises), len(raises) + len(lowers)
    return _Reasons(rows[:first], rows[first:second], rows[second:])


def _row(reason: ReasonLine, hundredths: int, largest: float, wording: Wording) -> _Row:
    title, value = clean(reason.title, _NAME), signed(hundredths)
    key = "bar_raises" if reason.contribution > 0 else "bar_lowers"
    bar = reason_bar(reason.contribution, largest, wording.text(key, title=title, value=value.lstrip("+−")))
    return _Row(title, clean(reason.sentence, _LONG), value, bar)


def _sums(card: Card, wording: Wording, percent: str) -> dict[str, list[tuple[str, str]]]:
    """From the base over the reasons to log-odds, probability and points."""
    raises = math.fsum(r.contribution for r in card.reasons if r.contribution > 0)
    lowers = math.fsum(r.contribution for r in card.reasons if r.contribution <= 0)
    total = round(100 * card.log_odds)
    base = round(100 * card.base_log_odds)
    up, down = round_to_total([raises, lowers], (total - base) / 100)
    keys = ("sum_base", "sum_raises", "sum_lowers")
    added = [(wording.text(k), signed(v)) for k, v in zip(keys, (base, up, down), strict=True)]
    result = [
        (wording.text("sum_log_odds"), signed(total)),
        (wording.text("sum_probability"), percent),
        (wording.text("sum_points"), wording.format_number(round(card.points), "count")),
    ]
    return {"added": added, "result": result}


@dataclass(frozen=True)
class _History:
    chart: Markup
    head: list[str]
    rows: list[list[str]]
    cut: str


def _history(statements: list[Statement], wording: Wording) -> _History | None:
    if not statements:
        return None
    shown = statements[-MAX_STATEMENTS:]
    head = [
        wording.text(key)
        for key in ("statement_date", "due_date", "balance", "paid", "limit", "dpd", "behaviour")
    ]
    cut = ""
    if len(shown) < len(statements):
        cut = wording.text("history_cut", shown=str(len(shown)), n=str(len(statements)))
    rows = [_history_row(s, wording) for s in reversed(shown)]
    return _History(statement_chart(shown, wording), head, rows, cut)


def _history_row(s: Statement, wording: Wording) -> list[str]:
    dates = ["–" if day is None else day.isoformat() for day in (s.statement_date, s.due_date)]
    # Amounts without their unit: the column would only repeat it.
    template = wording.units["amount"]
    amounts = []
    for amount in (s.balance, s.paid, s.limit):
        shown = wording.format_number(amount, "amount")
        before, _, after = template.partition("{n}")
        amounts.append("–" if amount is None else shown.removeprefix(before).removesuffix(after))
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
