"""Declared features as arrays, in the form in which the compiled pass reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from overdue_ml.features.declare import MAX_TERMS, VIEWS, Feature, Measure, Window

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_STATISTICS = (
    "last", "lag", "count", "sum", "mean", "max", "min", "std", "slope", "wmean", "share", "streak", "since",
    "first",
)  # fmt: skip
_ROLLUPS = ("max", "min", "sum", "mean")
_OPERATORS = ("", ">", ">=", "<=", "<", "==")
_WINDOW_KINDS = ("events", "days", "all")
_SIDES = ("known", "past", "ahead")
#: Statistics that need what others do not: a run through the window, weights, a spread, a trend.
_USES = (
    frozenset(_STATISTICS) - {"last", "lag", "streak", "since"},
    frozenset({"wmean"}), frozenset({"std"}), frozenset({"slope"}), frozenset({"streak", "since"}),
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """Declared features as arrays for the compiled pass; see :func:`compile_program`."""

    side: int
    term_coef: FloatArray
    term_col: IntArray
    term_lag: IntArray
    times: IntArray
    over: IntArray
    clip: FloatArray
    where_op: IntArray
    where_value: FloatArray
    uses: npt.NDArray[np.bool_]
    windows: IntArray
    runs: npt.NDArray[np.bool_]
    spans: IntArray
    groups: IntArray
    features: IntArray


def _measure_arrays(measures: Sequence[Measure], columns: Sequence[str]) -> dict[str, Any]:
    n = len(measures)
    coef = np.zeros((n, MAX_TERMS))
    col = np.full((n, MAX_TERMS), -1, dtype=np.int64)
    lag = np.zeros((n, MAX_TERMS), dtype=np.int64)
    times = np.full((n, 2), -1, dtype=np.int64)
    over = np.full((n, 2), -1, dtype=np.int64)
    clip = np.tile(np.array([-np.inf, np.inf]), (n, 1))
    where_op = np.zeros(n, dtype=np.int64)
    where_value = np.zeros(n)
    for i, measure in enumerate(measures):
        for j, (c, column, steps) in enumerate(measure.terms):
            coef[i, j], col[i, j], lag[i, j] = c, columns.index(column), steps
        if measure.times:
            times[i] = columns.index(measure.times[0]), measure.times[1]
        if measure.over:
            over[i] = columns.index(measure.over[0]), measure.over[1]
        if measure.clip:
            clip[i] = measure.clip
        if measure.where:
            where_op[i], where_value[i] = _OPERATORS.index(measure.where[0]), measure.where[1]
    return {
        "term_coef": coef, "term_col": col, "term_lag": lag, "times": times, "over": over, "clip": clip,
        "where_op": where_op, "where_value": where_value,
    }  # fmt: skip


def compile_program(features: Sequence[Feature], columns: Sequence[str]) -> Program:
    """Arrays that tell the pass what to compute.

    Parameters
    ----------
    features : sequence of Feature
        All of one view; not empty.
    columns : sequence of str
        Of the events.
    """
    measures: list[Measure] = list(dict.fromkeys(f.measure for f in features))
    windows: list[Window] = list(dict.fromkeys(f.window for f in features))
    order = sorted(
        range(len(features)),
        key=lambda i: (measures.index(features[i].measure), windows.index(features[i].window)),
    )
    rows: list[list[int]] = []
    groups: list[list[int]] = []
    for i in order:
        f = features[i]
        pair = (measures.index(f.measure), windows.index(f.window))
        if not groups or (groups[-1][0], groups[-1][1]) != pair:
            # Features from where to where, values that lags read, whether any statistic reads the window.
            groups.append([*pair, len(rows), len(rows), 0, 0])
        rows.append([i, _STATISTICS.index(f.statistic), f.lag, _ROLLUPS.index(f.combine)])
        groups[-1][3] = len(rows)
        if f.statistic in ("last", "lag"):
            groups[-1][4] = max(groups[-1][4], f.lag + 1)
        else:
            groups[-1][5] = 1
    uses = np.zeros((len(measures), len(_USES)), dtype=np.bool_)
    runs = np.zeros((len(measures), len(windows)), dtype=np.bool_)
    for m, w, first, stop, *_ in groups:
        statistics = {_STATISTICS[rows[r][1]] for r in range(first, stop)}
        uses[m] |= [bool(statistics & named) for named in _USES]
        runs[m, w] = bool(statistics & _USES[0])
    return Program(
        side=_SIDES.index(VIEWS[features[0].measure.view].side),
        uses=uses,
        runs=runs,
        spans=np.searchsorted([g[0] for g in groups], [[m, m + 1] for m in range(len(measures))]),
        windows=np.array([[_WINDOW_KINDS.index(w.kind), w.size] for w in windows], dtype=np.int64),
        groups=np.array(groups, dtype=np.int64),
        features=np.array(rows, dtype=np.int64),
        **_measure_arrays(measures, columns),
    )
