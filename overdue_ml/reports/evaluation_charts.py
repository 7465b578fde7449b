"""Charts of the evaluation page: figures with intervals by group, drift, dates, and money caught."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from overdue_ml.reports import svg
from overdue_ml.reports.charts import Square
from overdue_ml.reports.phrases import Phrases
from overdue_ml.reports.svg import clean, number

_WIDE, _ROW = 812.0, 22.0
#: Bounds of PSI at which a feature is watched, and shifted.
_WATCH, _SHIFTED = 0.1, 0.25
_LABEL = 40

Dots = Sequence[tuple[str, float, float, float]]


def dot_chart(rows: Dots, title: str, *, percent: bool) -> Markup:
    """A dot and its interval for each group.

    Parameters
    ----------
    rows : sequence of (label, value, low, high)
        The ends may be NaN.
    title : str
    percent : bool
        Figures are shares.
    """
    width, left, right = _WIDE, 170.0, 70.0
    ends = [end for _, *figures in rows for end in figures if math.isfinite(end)]
    ticks = svg.nice_ticks(min(ends), max(ends), 5)
    floor = len(rows) * _ROW + 4

    def x(value: float) -> float:
        return left + (width - left - right) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = []
    for tick in ticks:
        parts.append(svg.line(x(tick), 0, x(tick), floor, "grid"))
        parts.append(svg.text(x(tick), floor + 14, _figure(tick, percent=percent), anchor="middle"))
    for i, (label, value, low, high) in enumerate(rows):
        y = (i + 0.5) * _ROW + 2
        parts.append(svg.text(left - 10, y + 4, clean(label, 24), "strong", "end"))
        if math.isfinite(low) and math.isfinite(high):
            parts.append(svg.line(x(low), y, x(high), y, "whisker"))
        parts.append(svg.element("circle", cx=x(value), cy=y, r=4, class_="dot"))
        shown = f"{100 * value:.1f} %" if percent else f"{value:.3f}"
        parts.append(svg.text(width - right + 10, y + 4, shown))
    return svg.picture(width, floor + 20, title, parts)


def shift_chart(shift: pd.DataFrame, title: str) -> Markup:
    """Bars of the population stability index, with the bounds of watch and shifted.

    Parameters
    ----------
    shift : DataFrame
        feature, psi.
    title : str
    """
    width, left, right = _WIDE, 290.0, 60.0
    floor = len(shift) * _ROW + 4
    top = max(float(shift["psi"].max()), _SHIFTED) * 1.02

    def x(value: float) -> float:
        return left + (width - left - right) * value / top

    parts = []
    for i, (name, psi) in enumerate(zip(shift["feature"], shift["psi"].tolist(), strict=True)):
        y = i * _ROW + 5
        kind = "adverse" if psi >= _SHIFTED else "bar"
        parts.append(svg.text(left - 8, y + 12, clean(name, _LABEL), anchor="end"))
        parts.append(svg.rect(left, y, max(x(psi) - left, 0.5), 14, kind))
        parts.append(svg.text(x(psi) + 6, y + 11, f"{psi:.3f}"))
    parts.append(svg.line(left, 0, left, floor, "zero"))
    for bound in (_WATCH, _SHIFTED):
        parts.append(svg.line(x(bound), 0, x(bound), floor, "limit"))
        # Beside a very large index the bounds are too near each other for two labels.
        if bound == _SHIFTED or x(_SHIFTED) - x(_WATCH) > _LABEL:
            parts.append(svg.text(x(bound), floor + 14, number(bound), anchor="middle"))
    return svg.picture(width, floor + 20, title, parts)


def time_chart(by_date: pd.DataFrame, phrases: Phrases) -> Markup:
    """AUC of each date above, overdue rate and mean probability below.

    Parameters
    ----------
    by_date : DataFrame
        as_of_date, auc, overdue_rate, mean_p; two rows or more, figures may be NaN.
    phrases : Phrases
    """
    width, left, right, upper, gap = _WIDE, 58.0, 16.0, 110.0, 44.0
    dates = [str(day) for day in by_date["as_of_date"]]
    step = (width - left - right) / len(dates)
    panels = (
        (18.0, phrases.text("c_auc"), {"auc": "curve"}),
        (18.0 + upper + gap, phrases.text("x_time_rate"), {"mean_p": "curve", "overdue_rate": "dot"}),
    )
    parts: list[Markup] = []
    for top, words, drawn in panels:
        figures = by_date[list(drawn)].to_numpy(dtype=float)
        known = figures[~pd.isna(figures)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        ticks = svg.nice_ticks(low, high, 3)
        span = ticks[-1] - ticks[0]
        parts.append(svg.text(left, top - 6, words))
        for tick in ticks:
            y = top + upper * (1 - (tick - ticks[0]) / span)
            parts.append(svg.line(left, y, width - right, y, "grid"))
            label = f"{tick:.4g}" if "auc" in drawn else f"{number(100 * tick)} %"
            parts.append(svg.text(left - 6, y + 4, label, anchor="end"))
        for column, kind in drawn.items():
            points = [
                (left + step * (i + 0.5), top + upper * (1 - (value - ticks[0]) / span))
                for i, value in enumerate(by_date[column].astype(float).tolist())
                if math.isfinite(value)
            ]
            if kind == "curve" and len(points) > 1:
                parts.append(svg.path(points, "curve"))
            if kind == "dot" or "auc" in drawn:
                parts += [svg.element("circle", cx=x, cy=y, r=3.5, class_="dot") for x, y in points]
    bottom = 18.0 + 2 * upper + gap
    for i in range(0, len(dates), max(1, -(-len(dates) // 10))):
        parts.append(svg.text(left + step * (i + 0.5), bottom + 16, clean(dates[i], 10), anchor="middle"))
    return svg.picture(width, bottom + 22, phrases.text("x_time"), parts)


def money_chart(curves: Mapping[str, pd.DataFrame], phrases: Phrases) -> Markup:
    """Share of the overdue money caught against the share of the book, for each order.

    Parameters
    ----------
    curves : mapping of str to DataFrame
        share, captured; see :func:`overdue_ml.metrics.money_curve`.
    phrases : Phrases
    """
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    square = Square(ticks, ticks)
    parts = square.axes(phrases.text("x_book"), phrases.text("x_money"))
    parts.append(svg.path([square.at(0, 0), square.at(1, 1)], "diagonal"))
    x, y = square.at(1, 0)
    y -= 16.0 * len(curves) + 2
    for name, curve in curves.items():
        kind = f"curve k-{name}"
        points = [(0.0, 0.0), *zip(curve["share"].tolist(), curve["captured"].tolist(), strict=True)]
        parts.append(svg.path([square.at(share, captured) for share, captured in points], kind))
        parts.append(svg.path([(x - 26, y), (x - 4, y)], kind))
        parts.append(svg.text(x - 32, y + 4, phrases.word("r", name), anchor="end"))
        y += 16.0
    return svg.picture(square.width, square.height, phrases.text("x_money"), parts)


def _figure(value: float, *, percent: bool) -> str:
    return f"{number(100 * value)} %" if percent else f"{value:.3g}"
