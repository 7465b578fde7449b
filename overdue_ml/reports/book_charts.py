"""Charts of the aged book: overdue buckets by month, roll rates as a heat map, and vintage curves."""

from __future__ import annotations

import math

import pandas as pd
from markupsafe import Markup

from overdue_ml.metrics import DPD_BUCKETS
from overdue_ml.reports import svg
from overdue_ml.reports.phrases import Phrases
from overdue_ml.reports.svg import clean, number

_WIDE, _LEFT, _RIGHT = 812.0, 58.0, 12.0
_LATE = DPD_BUCKETS[1:]
#: So many vintages are told apart as lines; older ones are in the table.
MAX_VINTAGES = 12


def bucket_chart(ageing: pd.DataFrame, phrases: Phrases) -> Markup:
    """The share of the amount owed that is in each overdue bucket, month by month.

    Parameters
    ----------
    ageing : DataFrame
        As :class:`overdue_ml.monitoring.AgedBook` has it.
    phrases : Phrases
    """
    wide = ageing.pivot_table("amount_share", "as_of_date", "bucket", aggfunc="sum", observed=False)
    wide = wide.reindex(columns=list(_LATE), fill_value=0.0).fillna(0.0)
    top, height = 14.0, 150.0
    floor, step = top + height, (_WIDE - _LEFT - _RIGHT) / len(wide)
    bar = max(min(step - 4, 46.0), 0.5)
    ticks = svg.nice_ticks(0.0, max(float(wide.sum(axis=1).max()), 0.001), 4)
    parts = _grid(ticks, top, height)
    for i, (day, row) in enumerate(wide.iterrows()):
        x, y = _LEFT + step * (i + 0.5), floor
        for name in _LATE:
            tall = height * float(row[name]) / ticks[-1]
            y -= tall
            if tall:
                parts.append(svg.rect(x - bar / 2, y, bar, tall, f"b-{_LATE.index(name) + 1}"))
        if i % max(1, -(-len(wide) // 10)) == 0:
            parts.append(svg.text(x, floor + 14, clean(day, 10), anchor="middle"))
    x = _LEFT
    for i, name in enumerate(_LATE):
        words = phrases.text("book_days", bucket=name)
        parts.append(svg.rect(x, floor + 25, 10, 10, f"b-{i + 1}"))
        parts.append(svg.text(x + 15, floor + 34, words))
        x += 34 + svg.width_of(words)
    return svg.picture(_WIDE, floor + 44, phrases.text("book_x_buckets"), parts)


def roll_chart(rates: pd.DataFrame, phrases: Phrases) -> Markup:
    """Roll rates as shaded cells with their figures.

    Parameters
    ----------
    rates : DataFrame
        Rows before, columns after; see :meth:`overdue_ml.monitoring.AgedBook.roll_rates`.
    phrases : Phrases
    """
    left, top, cell, tall = 120.0, 40.0, 92.0, 26.0
    parts = [svg.text(left, 12, phrases.text("book_x_after"), "strong")]
    for j, name in enumerate(rates.columns):
        middle = left + cell * (j + 0.5)
        parts.append(svg.text(middle, top - 8, _bucket(str(name), phrases), anchor="middle"))
    for i, (before, row) in enumerate(rates.iterrows()):
        y = top + tall * i
        parts.append(svg.text(left - 10, y + 17, _bucket(str(before), phrases), "strong", "end"))
        for j, (after, share) in enumerate(row.items()):
            x = left + cell * j
            known = math.isfinite(share)
            worse = [str(c) for c in rates.columns].index(str(before)) < j and str(after) in DPD_BUCKETS
            kind = "adverse" if worse else "protective"
            parts.append(svg.rect(x + 1, y + 1, cell - 2, tall - 2, "blank"))
            if known and share > 0:
                parts.append(
                    svg.element(
                        "rect", x=x + 1, y=y + 1, width=cell - 2, height=tall - 2, class_=kind,
                        fill_opacity=0.1 + 0.5 * share,
                    )
                )  # fmt: skip
            shown = f"{100 * share:.1f} %" if known else "–"
            parts.append(svg.text(x + cell / 2, y + 17, shown, "strong", "middle"))
    width = left + cell * len(rates.columns) + 4
    return svg.picture(width, top + tall * len(rates) + 6, phrases.text("book_rolls"), parts)


def vintage_chart(vintages: pd.DataFrame, phrases: Phrases) -> Markup | None:
    """The share more than 30 days late against months on book, a line for each of the latest vintages.

    Parameters
    ----------
    vintages : DataFrame
        As :class:`overdue_ml.monitoring.AgedBook` has it.
    phrases : Phrases

    Returns
    -------
    Markup or None
        None where no vintage has two months.
    """
    sizes = vintages.groupby("vintage")["mob"].size()
    names = sorted(sizes[sizes > 1].index)[-MAX_VINTAGES:]
    shown = vintages[vintages["vintage"].isin(names)]
    if shown.empty:
        return None
    top, height, right = 14.0, 180.0, 70.0
    mobs = int(shown["mob"].min()), int(shown["mob"].max())
    ticks = svg.nice_ticks(0.0, max(float(shown["late_share"].max()), 0.001), 4)
    floor = top + height
    parts = _grid(ticks, top, height, right)

    def x(mob: float) -> float:
        return _LEFT + (_WIDE - _LEFT - right) * (mob - mobs[0]) / (mobs[1] - mobs[0])

    for mob in range(mobs[0], mobs[1] + 1, max(1, -(-(mobs[1] - mobs[0]) // 12))):
        parts.append(svg.text(x(mob), floor + 14, str(mob), anchor="middle"))
    parts.append(svg.text((_LEFT + _WIDE - right) / 2, floor + 30, phrases.text("c_mob"), anchor="middle"))
    labels: list[tuple[float, float]] = []
    for i, name in enumerate(names):
        own = shown[shown["vintage"] == name].sort_values("mob")
        points = [
            (x(mob), floor - height * share / ticks[-1])
            for mob, share in zip(own["mob"].tolist(), own["late_share"].tolist(), strict=True)
        ]
        steps = [f"{'L' if k else 'M'}{number(a)} {number(b)}" for k, (a, b) in enumerate(points)]
        # The latest are the darkest; in grey shades too they can be told apart.
        shade = 0.25 + 0.75 * (i + 1) / len(names)
        parts.append(svg.element("path", d=" ".join(steps), class_="curve thin", stroke_opacity=shade))
        end, y = points[-1]
        if all(abs(y - v) >= 11 or abs(end - u) > 44 for u, v in labels):
            parts.append(svg.text(end + 5, y + 4, str(name)))
            labels.append((end, y))
    return svg.picture(_WIDE, floor + 36, phrases.text("book_vintages"), parts)


def _grid(ticks: list[float], top: float, height: float, right: float = _RIGHT) -> list[Markup]:
    parts = []
    for tick in ticks:
        y = top + height * (1 - tick / ticks[-1])
        parts.append(svg.line(_LEFT, y, _WIDE - right, y, "grid" if tick else "zero"))
        parts.append(svg.text(_LEFT - 6, y + 4, f"{number(100 * tick)} %", anchor="end"))
    return parts


def _bucket(name: str, phrases: Phrases) -> str:
    return clean(phrases.word("v", name), 16)
