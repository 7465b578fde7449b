"""Charts of the overview of a book: importance, single customers, dependence, and groups side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from markupsafe import Markup

from overdue_ml.reports import svg
from overdue_ml.reports.phrases import Phrases
from overdue_ml.reports.svg import clean, number

_WIDE, _ROW = 812.0, 22.0
_LABEL = 46
#: Colours of a value's place among the others, from the least on.
_SHADES = 5
_GAP = 0.6
_APART = {"missing": "ov_missing", "other": "ov_other"}


def bar_chart(rows: Sequence[tuple[str, float, str]], title: str) -> Markup:
    """A bar for each row, with its figure and a word behind it.

    Parameters
    ----------
    rows : sequence of (label, value, word)
        Values in log-odds, not below zero.
    title : str
    """
    left, right, words = 300.0, 60.0, max([svg.width_of(word) for *_, word in rows], default=0.0)
    right += words + 16
    top = max([value for _, value, _ in rows], default=0.0) or 1.0
    parts = []
    for i, (label, value, word) in enumerate(rows):
        y = i * _ROW + 3
        end = left + (_WIDE - left - right) * value / top
        parts.append(svg.text(left - 8, y + 12, clean(label, _LABEL), anchor="end"))
        parts.append(svg.rect(left, y, max(end - left, 0.5), 14, "bar"))
        parts.append(svg.text(end + 6, y + 11, f"{value:.3f}", "label strong"))
        parts.append(svg.text(_WIDE - 4, y + 11, clean(word), anchor="end"))
    floor = len(rows) * _ROW + 2
    parts.append(svg.line(left, 0, left, floor, "zero"))
    return svg.picture(_WIDE, floor + 4, title, parts)


def swarm_chart(swarm: pd.DataFrame, phrases: Phrases) -> Markup:
    """Single customers as dots, a line of them for each feature, shaded by the place of the value.

    Parameters
    ----------
    swarm : DataFrame
        As :func:`overdue_ml.explain.compute_swarm` gives it.
    phrases : Phrases
    """
    left, right, row, top = 300.0, 16.0, 34.0, 24.0
    names = list(dict.fromkeys(swarm["feature"]))
    ends = float(swarm["contribution"].min()), float(swarm["contribution"].max())
    ticks = svg.nice_ticks(min(ends[0], 0.0), max(ends[1], 0.0), 6)
    floor = top + len(names) * row

    def x(value: float) -> float:
        return left + (_WIDE - left - right) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = _legend(phrases, left)
    for tick in ticks:
        parts.append(svg.line(x(tick), top, x(tick), floor, "zero" if abs(tick) < 1e-12 else "grid"))
        parts.append(svg.text(x(tick), floor + 14, _signed(tick), anchor="middle"))
    for i, name in enumerate(names):
        middle = top + (i + 0.5) * row
        parts.append(svg.text(left - 8, middle + 4, clean(name, _LABEL), anchor="end"))
        own = swarm.loc[swarm["feature"] == name, ["contribution", "place", "lane"]].to_numpy(dtype=float)
        for value, place, lane in own.tolist():
            shade = "p-none" if math.isnan(place) else f"p-{min(int(place * _SHADES), _SHADES - 1)}"
            y = middle + lane * (row / 2 - 4)
            parts.append(svg.element("circle", cx=x(value), cy=y, r=2.2, class_=f"bee {shade}"))
    parts.append(svg.text((left + _WIDE - right) / 2, floor + 30, phrases.text("ov_x"), anchor="middle"))
    return svg.picture(_WIDE, floor + 36, phrases.text("ov_swarm"), parts)


def _legend(phrases: Phrases, left: float) -> list[Markup]:
    """What the shades mean."""
    x, parts = left, []
    shown = {"p-0": "ov_low", "p-2": "ov_middle", "p-4": "ov_high", "p-none": "ov_no_place"}
    for shade, key in shown.items():
        parts.append(svg.element("circle", cx=x + 4, cy=8, r=4, class_=f"bee {shade}"))
        words = phrases.text(key)
        parts.append(svg.text(x + 12, 12, words))
        x += 30 + svg.width_of(words)
    return parts


def dependence_chart(table: pd.DataFrame, name: str, phrases: Phrases) -> Markup:
    """Contribution against the value: mean and the middle 80 % of customers; below, how many they are.

    Parameters
    ----------
    table : DataFrame
        As :func:`overdue_ml.explain.compute_dependence` gives it.
    name : str
        Of the feature.
    phrases : Phrases
    """
    width, height, left, right, top, dense = 400.0, 268.0, 52.0, 10.0, 8.0, 30.0
    floor = height - 62.0
    ends = table[["low_10", "high_90", "mean"]].to_numpy(dtype=float)
    ticks = svg.nice_ticks(min(float(ends.min()), 0.0), max(float(ends.max()), 0.0), 4)
    # What is missing or put together stands apart.
    apart = table["kind"].isin(list(_APART)).cumsum().to_numpy() * _GAP
    step = (width - left - right) / (len(table) + float(apart[-1]))
    middles = [left + (i + 0.5 + gap) * step for i, gap in enumerate(apart.tolist())]

    def y(value: float) -> float:
        return top + (floor - dense - top) * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))

    parts = []
    for tick in ticks:
        kind = "zero" if abs(tick) < 1e-12 else "grid"
        parts.append(svg.line(left, y(tick), width - right, y(tick), kind))
        parts.append(svg.text(left - 6, y(tick) + 4, _signed(tick), anchor="end"))
    figures = table[["low_10", "high_90", "mean", "share"]].to_numpy(dtype=float).tolist()
    line = [(x, y(f[2])) for x, f, k in zip(middles, figures, table["kind"], strict=True) if k == "number"]
    most = max(figure[3] for figure in figures)
    for x, (low, high, _, share) in zip(middles, figures, strict=True):
        parts.append(svg.line(x, y(low), x, y(high), "whisker"))
        tall = max((dense - 8) * share / most, 0.5)
        parts.append(svg.rect(x - 0.4 * step, floor - tall, 0.8 * step, tall, "bar"))
    if len(line) > 1:
        parts.append(svg.path(line, "curve"))
    for x, (_, _, mean, _) in zip(middles, figures, strict=True):
        parts.append(svg.element("circle", cx=x, cy=y(mean), r=3, class_="dot"))
    parts += _value_labels(table, middles, floor, phrases)
    return svg.picture(width, height, phrases.text("ov_dependence_of", feature=clean(name, _LABEL)), parts)


def _value_labels(table: pd.DataFrame, middles: list[float], floor: float, phrases: Phrases) -> list[Markup]:
    """As many as there is room for, slanted; always what is missing."""
    every = max(1, -(-len(table) // 10))
    parts = []
    for i, (x, row) in enumerate(zip(middles, table.to_dict("records"), strict=True)):
        kind = str(row["kind"])
        if kind == "number":
            words = _short(row["low"]) if row["low"] == row["high"] else f"{_short(row['low'])}…"
        elif kind == "category":
            words = clean(row["label"], 10)
        else:
            words = phrases.text(_APART[kind])
        if i % every and kind not in _APART:
            continue
        spin = f"rotate(-35 {number(x)} {number(floor + 14)})"
        parts.append(
            svg.element(
                "text", words, x=x + 4, y=floor + 14, class_="label", text_anchor="end", transform=spin
            )
        )
    return parts


def segment_chart(
    table: pd.DataFrame, titles: Sequence[tuple[str, str]], title: str, groups: Mapping[str, str]
) -> Markup:
    """A grid of reasons and groups, each cell the difference to the book, the warmer the riskier.

    Parameters
    ----------
    table : DataFrame
        As :func:`overdue_ml.explain.compute_segment_reasons` gives it.
    titles : sequence of (reason_code, title)
        Rows, from the first on.
    title : str
    groups : mapping of str to str
        What groups are called; the others stand as they are.
    """
    left, row, head = 230.0, 24.0, 36.0
    names = list(dict.fromkeys(table["segment"]))
    step = min((_WIDE - left) / len(names), 130.0)
    cells = table.set_index(["reason_code", "segment"])["difference"].to_dict()
    counts = table.drop_duplicates("segment").set_index("segment")["n"].to_dict()
    most = max((abs(float(cells[code, g])) for code, _ in titles for g in names), default=0.0) or 1.0
    parts = []
    for j, group in enumerate(names):
        x = left + (j + 0.5) * step
        parts.append(
            svg.text(
                x, 12, clean(groups.get(group, group), max(int(step / 8.5), 4)), "label strong", "middle"
            )
        )
        parts.append(svg.text(x, 27, f"n = {int(counts[group]):,}", anchor="middle"))
    for i, (code, words) in enumerate(titles):
        y = head + i * row
        parts.append(svg.text(left - 8, y + 16, clean(words, 40), anchor="end"))
        for j, group in enumerate(names):
            value = float(cells[code, group])
            parts.append(
                svg.element(
                    "rect", x=left + j * step + 1, y=y + 1, width=step - 2, height=row - 2,
                    class_="adverse" if value > 0 else "protective", fill_opacity=0.6 * abs(value) / most,
                )
            )  # fmt: skip
            parts.append(svg.text(left + (j + 0.5) * step, y + 16, f"{value:+.2f}", "label strong", "middle"))
    return svg.picture(_WIDE, head + len(titles) * row + 4, title, parts)


def _signed(value: float) -> str:
    return "0" if abs(value) < 1e-12 else f"{value:+.3g}"


def _short(value: float) -> str:
    """A value of any size in few characters."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= bound:
            return f"{value / bound:.3g}{unit}"
    return f"{value:.3g}"
