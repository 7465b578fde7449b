"""Charts as inline SVG: the book, the bars of the reasons, and the curves of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd
from markupsafe import Markup

from overdue_ml.explain.wording import Wording
from overdue_ml.reports import svg
from overdue_ml.reports.phrases import Phrases, load_phrases
from overdue_ml.reports.svg import number

_BAR_WIDTH, _BAR_HEIGHT = 200.0, 18.0


def book_chart(
    edges: Sequence[float], counts: Sequence[int], p: float, wording: Wording, percent: str
) -> Markup:
    """Histogram of the book with a marker at one customer.

    Parameters
    ----------
    edges : sequence of float, length n + 1
        Bounds of the bins on the probability, rising.
    counts : sequence of int, length n
        Customers in each bin.
    p : float
        Probability of this customer.
    wording : Wording
    percent : str
        The probability as it is written.

    Raises
    ------
    ValueError
        If there is not one edge more than counts, or the edges do not rise.
    """
    if len(edges) != len(counts) + 1 or any(b <= a for a, b in pairwise(edges)):
        raise ValueError("book_edges must rise and be one more than book_counts.")
    width, left, right, top, plot = 400.0, 12.0, 12.0, 22.0, 84.0
    low, high = min(edges[0], p), max(edges[-1], p)
    peak = max([*counts, 1])

    def x(value: float) -> float:
        return left + (width - left - right) * (value - low) / (high - low)

    base = top + plot
    parts = []
    for i, count in enumerate(counts):
        # A bin with a single customer still shows.
        height = max(plot * count / peak, 1.0) if count else 0.0
        inside = edges[i] <= p < edges[i + 1] or (i == len(counts) - 1 and p >= edges[-1])
        step = x(edges[i + 1]) - x(edges[i])
        kind = "bar here" if inside else "bar"
        parts.append(svg.rect(x(edges[i]) + 0.5, base - height, step - 1, height, kind))
    parts.append(svg.line(left, base, width - right, base, "zero"))
    for tick in svg.nice_ticks(low, high):
        if low <= tick <= high + 1e-9:
            anchor = "start" if x(tick) < left + 12 else ("end" if x(tick) > width - right - 12 else "middle")
            parts.append(svg.text(x(tick), base + 14, wording.format_number(tick, "ratio"), anchor=anchor))
    parts.append(svg.line(x(p), top - 4, x(p), base, "marker"))
    parts.append(svg.marker(x(p), top - 4, 4.5, "markerhead", "down"))
    anchor = "start" if x(p) < width / 3 else ("end" if x(p) > 2 * width / 3 else "middle")
    label = f"{wording.text('book_here')} {percent}"
    parts.append(svg.text(x(p), top - 12, label, "label strong", anchor))
    n = wording.format_number(float(sum(counts)), "count")
    return svg.picture(width, base + 20, wording.text("book_chart", n=n, p=percent), parts)


def reason_bar(contribution: float, largest: float, title: str) -> Markup:
    """Diverging bar: to the right and warm what raises the risk, to the left and cool what lowers it.

    Parameters
    ----------
    contribution : float
        In log-odds.
    largest : float
        Contribution of the longest bar, without sign.
    title : str
        What a screen reader says.
    """
    middle = _BAR_WIDTH / 2
    length = (middle - 8) * abs(contribution) / largest if largest > 0 else 0.0
    adverse = contribution > 0
    kind = "adverse" if adverse else "protective"
    tip = 5.0 if length > 6 else length
    direction = 1.0 if adverse else -1.0
    y, bottom = 2.0, _BAR_HEIGHT - 2.0
    end = middle + direction * length
    neck = end - direction * tip
    # The bar ends in an arrow head, so that its direction does not rest on colour alone.
    outline = [(middle, y), (neck, y), (end, _BAR_HEIGHT / 2), (neck, bottom), (middle, bottom)]
    parts = [svg.path(outline, kind, closed=True)] if length > 0 else []
    parts.append(svg.line(middle, 0, middle, _BAR_HEIGHT, "zero"))
    return svg.picture(_BAR_WIDTH, _BAR_HEIGHT, title, parts, "chart bars")


def calibration_chart(table: pd.DataFrame, phrases: Phrases | None = None) -> Markup:
    """Observed overdue rate against mean probability, with intervals.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`overdue_ml.metrics.calibration_table` gives it.
    phrases : Phrases, optional
        English ones by default.
    """
    words = phrases or load_phrases("en")
    top = float(max(table["mean_p"].max(), table["rate_high"].max(), 0.01))
    ticks = svg.nice_ticks(0.0, min(top, 1.0))
    square = Square(ticks, ticks)
    parts = square.axes(words.text("x_predicted"), words.text("x_observed"))
    parts.append(svg.path([square.at(0, 0), square.at(ticks[-1], ticks[-1])], "diagonal"))
    for row in table[["mean_p", "overdue_rate", "rate_low", "rate_high"]].to_numpy(dtype=float).tolist():
        mean, rate, low, high = row
        parts.append(svg.path([square.at(mean, low), square.at(mean, high)], "whisker"))
        x, y = square.at(mean, rate)
        parts.append(svg.element("circle", cx=x, cy=y, r=4, class_="dot"))
    return svg.picture(square.width, square.height, words.text("x_calibration"), parts)


def capture_chart(curve: pd.DataFrame, phrases: Phrases | None = None) -> Markup:
    """Share of overdue customers caught against the share of the book looked at.

    Parameters
    ----------
    curve : pandas.DataFrame
        As :func:`overdue_ml.metrics.capture_curve` gives it.
    phrases : Phrases, optional
        English ones by default.
    """
    words = phrases or load_phrases("en")
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    square = Square(ticks, ticks)
    parts = square.axes(words.text("x_book"), words.text("x_caught"))
    parts.append(svg.path([square.at(0, 0), square.at(1, 1)], "diagonal"))
    points = [(0.0, 0.0), *zip(curve["share"].tolist(), curve["captured"].tolist(), strict=True)]
    parts.append(svg.path([square.at(share, captured) for share, captured in points], "curve"))
    return svg.picture(square.width, square.height, words.text("x_capture"), parts)


class Square:
    """A plot with both axes from zero."""

    width, height = 400.0, 320.0
    left, right, top, bottom = 58.0, 22.0, 10.0, 44.0

    def __init__(self, x_ticks: list[float], y_ticks: list[float]) -> None:
        self.x_ticks, self.y_ticks = x_ticks, y_ticks

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Place in the picture."""
        across = (self.width - self.left - self.right) * x / self.x_ticks[-1]
        up = (self.height - self.top - self.bottom) * min(y / self.y_ticks[-1], 1.0)
        return self.left + across, self.height - self.bottom - up

    def axes(self, x_label: str, y_label: str) -> list[Markup]:
        """Grid, tick labels and axis labels."""
        base = self.height - self.bottom
        parts = []
        for tick in self.x_ticks:
            x, _ = self.at(tick, 0)
            parts.append(svg.text(x, base + 16, f"{number(100 * tick)} %", anchor="middle"))
        for tick in self.y_ticks:
            _, y = self.at(0, tick)
            parts.append(svg.line(self.left, y, self.width - self.right, y, "grid" if tick else "zero"))
            parts.append(svg.text(self.left - 6, y + 4, f"{number(100 * tick)} %", anchor="end"))
        parts.append(
            svg.text((self.left + self.width - self.right) / 2, self.height - 8, x_label, anchor="middle")
        )
        middle = (self.top + base) / 2
        spin = f"rotate(-90 12 {number(middle)})"
        parts.append(
            svg.element("text", y_label, x=12, y=middle, class_="label", text_anchor="middle", transform=spin)
        )
        return parts
