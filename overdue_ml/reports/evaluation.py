"""The page of a training run: how well it ranks, whether its probabilities hold, on which data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.reports.charts import calibration_chart, capture_chart
from overdue_ml.reports.page import render_page
from overdue_ml.reports.svg import clean
from overdue_ml.reports.verdicts import verdict_chart

_CELL, _VALUE, _ROWS = 120, 2000, 500
#: Parts of an evaluation that have a place of their own on the page.
_DRAWN = {"calibration": calibration_chart, "capture": capture_chart}
_HEADINGS = {"metrics": "Metrics", "parts": "By part"}
_METRICS = {
    "auc": "AUC",
    "gini": "Gini",
    "ks": "KS",
    "average_precision": "Average precision",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Expected calibration error",
}


def render_evaluation(
    evaluation: Mapping[str, pd.DataFrame],
    meta: Mapping[str, str],
    data_sheet: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    title: str = "Evaluation",
) -> str:
    """Write the evaluation of a training run as a self-contained HTML page.

    Parameters
    ----------
    evaluation : mapping of str to DataFrame
        ``metrics`` (as :func:`overdue_ml.metrics.evaluate_scores` gives it) is needed; ``calibration``
        and ``capture`` (as ``calibration_table`` and ``capture_curve`` give them) are drawn, and so is
        ``verdicts`` (as :func:`overdue_ml.labels.verdicts_by_date`); ``parts`` and any other table are
        shown as they are, under their name.
    meta : mapping of str to str
        Model, run, dates: the head of the page.
    data_sheet : mapping of str to str, optional
        What the data are and where they come from.
    notes : sequence of str
    title : str

    Returns
    -------
    str
        HTML without scripts or requests; the same input gives the same bytes.

    Raises
    ------
    ConfigError
        If there is no table of metrics.
    """
    if "metrics" not in evaluation:
        raise ConfigError("the evaluation has no 'metrics'", expected="the table of evaluate_scores")
    charts = [
        (name.capitalize(), draw(evaluation[name]))
        for name, draw in _DRAWN.items()
        if name in evaluation and len(evaluation[name])
    ]
    own = ("metrics", "verdicts", *_DRAWN)
    order = [name for name in ("parts", *evaluation) if name in evaluation and name not in own]
    return render_page(
        "evaluation.html",
        "en",
        title=clean(title),
        meta=_pairs(meta),
        metrics=_metrics(evaluation["metrics"]),
        charts=charts,
        verdicts=verdict_chart(evaluation["verdicts"]) if "verdicts" in evaluation else None,
        tables=[_table(name, evaluation[name]) for name in dict.fromkeys(order)],
        data_sheet=_pairs(data_sheet or {}),
        notes=[clean(note, _VALUE) for note in notes],
    )


@dataclass(frozen=True)
class _Table:
    heading: str
    head: list[tuple[str, str]]
    rows: list[list[tuple[str, str]]]
    cut: str


def _metrics(table: pd.DataFrame) -> _Table:
    """Names for people, and the interval in one column."""
    has_interval = {"low", "high"} <= set(table.columns) and bool(table[["low", "high"]].notna().any().any())
    head = [("text", "Metric"), ("", "Value")] + ([("", "95 % interval")] if has_interval else [])
    rows = []
    for row in table.to_dict("records"):
        cells = [("text", _metric_name(str(row["metric"]))), ("", _cell(row["value"]))]
        if has_interval:
            cells.append(("", f"{_cell(row['low'])} to {_cell(row['high'])}"))
        rows.append(cells)
    return _Table(_HEADINGS["metrics"], head, rows, "")


def _metric_name(name: str) -> str:
    stem, at, share = name.rpartition("_at_")
    if at:
        return clean(f"{stem.replace('_', ' ').capitalize()}, riskiest {share} %")
    return _METRICS.get(name, clean(name.replace("_", " ").capitalize()))


def _table(name: str, table: pd.DataFrame) -> _Table:
    named = table.reset_index() if table.index.name else table
    numeric = [pd.api.types.is_numeric_dtype(dtype) for dtype in named.dtypes]
    kinds = ["" if flag else "text" for flag in numeric]
    head = [(kind, clean(column, _CELL)) for kind, column in zip(kinds, named.columns, strict=True)]
    shown = named.head(_ROWS)
    rows = [
        [(kind, _cell(value)) for kind, value in zip(kinds, row, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    cut = f"The first {_ROWS} of {len(named):,} rows." if len(named) > _ROWS else ""
    heading = _HEADINGS.get(name, clean(name.replace("_", " ").capitalize(), _CELL))
    return _Table(heading, head, rows, cut)


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–" if value is None or value is pd.NaT or value is pd.NA else clean(value, _CELL)
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) >= 2:
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.3g}"
    return str(value) if isinstance(value, int) else f"{value:,.4f}"


def _pairs(values: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(clean(key, _CELL), clean(value, _VALUE)) for key, value in values.items()]
