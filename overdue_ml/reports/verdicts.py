"""The overdue rate by month and the verdicts behind it: which rows train, which do not, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from overdue_ml.errors import ConfigError
from overdue_ml.reports import svg
from overdue_ml.reports.phrases import Phrases, load_phrases
from overdue_ml.reports.svg import clean, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_RATE = "overdue_rate"
#: Verdicts from the bottom of a bar to its top, and their colours; the same in page.css.
VERDICT_COLOURS = {
    "overdue": "#b4521b",
    "on_time": "#2e75a6",
    "technical": "#7b6ba8",
    "already_overdue": "#8a3d12",
    "nothing_due": "#9aa6b1",
    "immature": "#dbe1e7",
}
_OTHER, _INK = "#5a6876", "#1b2733"


def verdicts_by_month(by_date: pd.DataFrame) -> pd.DataFrame:
    """Sum the verdicts of the as_of dates of each month.

    Parameters
    ----------
    by_date : pandas.DataFrame
        As :func:`overdue_ml.labels.verdicts_by_date` gives it: indexed by as_of_date, one column of counts
        a verdict, and overdue_rate.

    Returns
    -------
    pandas.DataFrame
        Indexed by month, ``YYYY-MM``: the counts, and overdue_rate, the share of the decided (overdue or
        on_time) that were overdue; null where none was decided.

    Raises
    ------
    ConfigError
        If there is no date, or a column is no count.
    """
    counts = by_date.drop(columns=_RATE, errors="ignore")
    if counts.empty or not {"overdue", "on_time"} <= set(counts) or (counts.to_numpy() < 0).any():
        raise ConfigError("there are no verdicts to draw", expected="the table of verdicts_by_date")
    months = pd.DatetimeIndex(counts.index).strftime("%Y-%m")
    found = counts.groupby(months.rename("month")).sum()
    decided = found["overdue"] + found["on_time"]
    found[_RATE] = (found["overdue"] / decided).where(decided > 0).astype("float64")
    return found


def plot_verdicts(by_date: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the overdue rate of each month over the verdicts of its customers.

    Parameters
    ----------
    by_date : pandas.DataFrame
        As :func:`overdue_ml.labels.verdicts_by_date` gives it.
    ax : matplotlib.axes.Axes, optional
        A new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
        With the counts; the rate stands on a second axis on the right.

    Raises
    ------
    ConfigError
        If there is nothing to draw.
    """
    from overdue_ml.reports.figures import new_axes

    months = verdicts_by_month(by_date)
    axes = new_axes(ax)
    place = np.arange(len(months))
    base = np.zeros(len(months))
    for name in _stacked(months):
        height = months[name].to_numpy(dtype=float)
        colour = VERDICT_COLOURS.get(name, _OTHER)
        axes.bar(place, height, 0.8, bottom=base, color=colour, label=name.replace("_", " "))
        base += height
    rate = axes.twinx()
    percent, final = 100 * months[_RATE].to_numpy(), _final(months)
    rate.plot(place, percent, color=_INK, linewidth=1.5)
    rate.plot(place[final], percent[final], "o", color=_INK, markersize=4)
    rate.plot(place[~final], percent[~final], "o", color=_INK, markerfacecolor="white", markersize=5)
    rate.set(ylabel="overdue, % of decided (line; hollow: not final)", ylim=(0, None))
    rate.spines[["top"]].set_visible(False)
    shown = place[:: max(1, -(-len(place) // 12))]
    axes.set_xticks(shown, [months.index[i] for i in shown], rotation=45, ha="right")
    axes.set(xlabel="month of the as_of date", ylabel="customers", title="Verdicts and overdue rate by month")
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.32))
    axes.spines[["top"]].set_visible(False)
    return axes


def verdict_chart(by_date: pd.DataFrame, phrases: Phrases | None = None) -> Markup:
    """The same as an inline picture: the rate above, the share of each verdict below.

    Parameters
    ----------
    by_date : pandas.DataFrame
        As :func:`overdue_ml.labels.verdicts_by_date` gives it.
    phrases : Phrases, optional
        English ones by default.

    Raises
    ------
    ConfigError
        If there is nothing to draw.
    """
    months, language = verdicts_by_month(by_date), phrases or load_phrases("en")
    width, left, right, top, upper, gap, lower = 812.0, 58.0, 12.0, 16.0, 110.0, 22.0, 120.0
    step = (width - left - right) / len(months)
    bar = max(min(step - 2, 46.0), 0.5)
    rates = months[_RATE].to_numpy(dtype=float)
    ticks = svg.nice_ticks(0.0, max(float(np.nanmax(rates)) if np.isfinite(rates).any() else 0.01, 0.01), 3)
    base, floor = top + upper, top + upper + gap + lower

    def middle(i: int) -> float:
        return left + step * (i + 0.5)

    final = _final(months)
    words = language.text("x_decided" if final.all() else "x_decided_open")
    parts = [svg.text(left, top - 5, words)]
    for tick in ticks:
        y = base - upper * tick / ticks[-1]
        parts.append(svg.line(left, y, width - right, y, "grid" if tick else "zero"))
        parts.append(svg.text(left - 6, y + 4, f"{number(100 * tick)} %", anchor="end"))
    there = [i for i, rate in enumerate(rates) if np.isfinite(rate)]
    points = [(middle(i), base - upper * rates[i] / ticks[-1]) for i in there]
    if len(points) > 1:
        parts.append(svg.path(points, "curve"))
    for i, (x, y) in zip(there, points, strict=True):
        parts.append(svg.element("circle", cx=x, cy=y, r=3.5, class_="dot" if final[i] else "dot open"))
    parts.append(svg.text(left, base + gap - 6, language.text("x_all_verdicts")))
    for i, (month, row) in enumerate(months.drop(columns=_RATE).iterrows()):
        y, total = floor, float(row.sum())
        for name in _stacked(months):
            height = lower * float(row[name]) / total if total else 0.0
            y -= height
            if height:
                parts.append(svg.rect(middle(i) - bar / 2, y, bar, height, f"v-{_kind(name)}"))
        if i % max(1, -(-len(months) // 14)) == 0:
            parts.append(svg.text(middle(i), floor + 14, clean(month, 7), anchor="middle"))
    for tick in (0.0, 0.5, 1.0):
        y = floor - lower * tick
        parts.append(svg.text(left - 6, y + 4, f"{number(100 * tick)} %", anchor="end"))
    parts += _legend(_stacked(months), left, floor + 34, language)
    return svg.picture(width, floor + 44, language.text("x_verdicts"), parts)


def _stacked(months: pd.DataFrame) -> list[str]:
    """Verdicts that occur, in the order of the stack; unknown ones on top."""
    names = [name for name in months.columns if name != _RATE and months[name].sum() > 0]
    known = [name for name in VERDICT_COLOURS if name in names]
    return known + [name for name in names if name not in VERDICT_COLOURS]


def _final(months: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Months of which no label is open: while some are, an overdue is often decided before an on_time."""
    open_rows = months["immature"] if "immature" in months else pd.Series(0, index=months.index)
    return np.asarray(open_rows.to_numpy() == 0)


def _kind(name: str) -> str:
    return name if name in VERDICT_COLOURS else "other"


def _legend(names: list[str], x: float, y: float, phrases: Phrases) -> list[Markup]:
    parts = []
    for name in names:
        words = clean(phrases.word("v", name).replace("_", " "), 24)
        parts.append(svg.rect(x, y - 9, 10, 10, f"v-{_kind(name)}"))
        parts.append(svg.text(x + 15, y, words))
        x += 34 + svg.width_of(words)
    return parts
