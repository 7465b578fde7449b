"""Tables of the evaluation page: figures as a person reads them, in the words of its language."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from overdue_ml.metrics import OTHER, UNKNOWN
from overdue_ml.reports.phrases import Phrases
from overdue_ml.reports.svg import clean

CELL, VALUE, ROWS = 120, 2000, 500
_GROUPS = {OTHER: "group_other", UNKNOWN: "group_unknown", "(several)": "group_several"}

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Cells as they are shown; each with its kind, ``text`` or empty for figures."""

    heading: str
    head: list[tuple[str, str]]
    rows: list[list[tuple[str, str]]]
    cut: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page: words, then charts with their headings, then tables.

    Parameters
    ----------
    heading : str
    words : sequence of str
    charts : sequence of (str, Markup)
    tables : sequence of Table
    pair : bool
        Charts stand side by side.
    bullets : bool
        Words are a list.
    """

    heading: str
    words: Sequence[str] = ()
    charts: Sequence[tuple[str, Markup]] = ()
    tables: Sequence[Table] = ()
    pair: bool = False
    bullets: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, its kind and what it shows of a row."""

    heading: str
    show: Callable[[Row], str]
    kind: str = ""


def build_table(heading: str, frame: pd.DataFrame, columns: Sequence[Column]) -> Table:
    """Show each row of a frame by the columns."""
    records: list[Row] = [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    return Table(
        heading,
        [(column.kind, column.heading) for column in columns],
        [[(column.kind, clean(column.show(row), 300)) for column in columns] for row in records],
    )


def percent(value: float) -> str:
    """A share as per cent with one decimal; unknown as a dash."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "–"


def figure(value: float, digits: int = 3) -> str:
    """A number with its decimals; unknown as a dash."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def whole(value: float) -> str:
    """A count or an amount without decimals; unknown as a dash."""
    return f"{value:,.0f}" if math.isfinite(value) else "–"


def within(shown: str, low: float, high: float, show: Callable[[float], str]) -> str:
    """A figure with its interval in brackets, where there is one."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return shown
    ends = [show(end).removesuffix(" %") for end in (low, high)]
    return f"{shown} ({ends[0]} – {ends[1]})"


def group_name(name: str, phrases: Phrases) -> str:
    """The name of a group; those that we made in words."""
    return phrases.text(_GROUPS[name]) if name in _GROUPS else clean(name, 40)


def plain_table(name: str, table: pd.DataFrame, phrases: Phrases) -> Table:
    """A table of any columns as it stands.

    Parameters
    ----------
    name : str
        The heading, and under ``s_`` or ``t_`` a text of the catalogue.
    table : DataFrame
    phrases : Phrases
    """
    named = table.reset_index() if table.index.name else table
    kinds = ["" if pd.api.types.is_numeric_dtype(dtype) else "text" for dtype in named.dtypes]
    titles = [phrases.word("c", str(column)) for column in named.columns]
    head = [(kind, clean(title, CELL)) for kind, title in zip(kinds, titles, strict=True)]
    rows = [
        [(kind, cell(value)) for kind, value in zip(kinds, row, strict=True)]
        for row in named.head(ROWS).itertuples(index=False, name=None)
    ]
    cut = phrases.text("first_rows", shown=str(ROWS), n=f"{len(named):,}") if len(named) > ROWS else ""
    stem, colon, part = name.partition(": ")
    known = next((phrases.texts[key] for key in (f"s_{stem}", f"t_{stem}") if key in phrases.texts), "")
    heading = (
        f"{known}{colon}{clean(part, CELL)}" if known else clean(name.replace("_", " ").capitalize(), CELL)
    )
    return Table(heading, head, rows, cut)


def cell(value: object) -> str:
    """Any value as a person reads it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–" if value is None or value is pd.NaT or value is pd.NA else clean(value, CELL)
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) >= 2:
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.3g}"
    return str(value) if isinstance(value, int) else f"{value:,.4f}"
