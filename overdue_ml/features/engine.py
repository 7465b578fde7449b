"""One compiled pass over sorted events: all statistics of all windows, for all as_of dates of a customer.

Events stand sorted by customer, account and date. For each (customer, as_of) the pass collects the
events known by then, newest first, evaluates each measure once on them, fills the accumulators of each
window, and folds the accounts of the customer together. Nothing outside a customer's own rows is
read, so threads over customers change no bit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from overdue_ml.features.declare import MAX_TERMS, Feature, Measure, Window

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_STATISTICS = (
    "last", "lag", "count", "sum", "mean", "max", "min", "std", "slope", "wmean", "share", "streak", "since",
    "first",
)  # fmt: skip
_ROLLUPS = ("max", "min", "sum", "mean")
_OPERATORS = ("", ">", ">=", "<=", "<", "==")
_WINDOW_KINDS = ("events", "days", "all")


@dataclass(frozen=True)
class Events:
    """A view's events, sorted by customer, account and event date.

    Attributes
    ----------
    columns : tuple of str
    values : ndarray of float64, shape (n_events, n_columns)
    event_day, known_day : ndarray of int64, shape (n_events,)
        Days since 1970-01-01.
    account_start : ndarray of int64, shape (n_accounts + 1,)
        First event of each account; the last entry is n_events.
    customer_start : ndarray of int64, shape (n_customers + 1,)
        First account of each customer; the last entry is n_accounts.
    """

    columns: tuple[str, ...]
    values: FloatArray
    event_day: IntArray
    known_day: IntArray
    account_start: IntArray
    customer_start: IntArray


@dataclass(frozen=True)
class _Program:
    """Declared features as arrays for the compiled pass."""

    term_coef: FloatArray
    term_col: IntArray
    term_lag: IntArray
    over: IntArray
    clip: FloatArray
    where_op: IntArray
    where_value: FloatArray
    windows: IntArray
    groups: IntArray
    features: IntArray


def _measure_arrays(measures: Sequence[Measure], columns: tuple[str, ...]) -> dict[str, Any]:
    n = len(measures)
    coef = np.zeros((n, MAX_TERMS))
    col = np.full((n, MAX_TERMS), -1, dtype=np.int64)
    lag = np.zeros((n, MAX_TERMS), dtype=np.int64)
    over = np.full((n, 2), -1, dtype=np.int64)
    clip = np.tile(np.array([-np.inf, np.inf]), (n, 1))
    where_op = np.zeros(n, dtype=np.int64)
    where_value = np.zeros(n)
    for i, measure in enumerate(measures):
        for j, (c, column, steps) in enumerate(measure.terms):
            coef[i, j], col[i, j], lag[i, j] = c, columns.index(column), steps
        if measure.over:
            over[i] = columns.index(measure.over[0]), measure.over[1]
        if measure.clip:
            clip[i] = measure.clip
        if measure.where:
            where_op[i], where_value[i] = _OPERATORS.index(measure.where[0]), measure.where[1]
    return {
        "term_coef": coef, "term_col": col, "term_lag": lag, "over": over, "clip": clip,
        "where_op": where_op, "where_value": where_value,
    }  # fmt: skip


def _compile(features: Sequence[Feature], columns: tuple[str, ...]) -> _Program:
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
            groups.append([*pair, len(rows), len(rows)])
        rows.append([i, _STATISTICS.index(f.statistic), f.lag, _ROLLUPS.index(f.combine)])
        groups[-1][3] = len(rows)
    return _Program(
        windows=np.array([[_WINDOW_KINDS.index(w.kind), w.size] for w in windows], dtype=np.int64),
        groups=np.array(groups, dtype=np.int64),
        features=np.array(rows, dtype=np.int64),
        **_measure_arrays(measures, columns),
    )


@nb.njit(cache=True, nogil=True)
def _evaluate(m, n, picked, values, coef, col, lag, over, clip, op, bound, out):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Measure ``m`` on the ``n`` collected events, newest first, into ``out``."""
    for i in range(n):
        total = 0.0
        for j in range(coef.shape[1]):
            if col[m, j] < 0:
                break
            k = i + lag[m, j]
            if k >= n:
                total = np.nan
                break
            total += coef[m, j] * values[picked[k], col[m, j]]
        if over[m, 0] >= 0 and not np.isnan(total):
            k = i + over[m, 1]
            divisor = values[picked[k], over[m, 0]] if k < n else np.nan
            # Not above zero covers NaN: the comparison is false for it.
            total = total / divisor if divisor > 0.0 else np.nan
        if not np.isnan(total):
            total = min(max(total, clip[m, 0]), clip[m, 1])
            if op[m] == 1:
                total = 1.0 if total > bound[m] else 0.0
            elif op[m] == 2:
                total = 1.0 if total >= bound[m] else 0.0
            elif op[m] == 3:
                total = 1.0 if total <= bound[m] else 0.0
            elif op[m] == 4:
                total = 1.0 if total < bound[m] else 0.0
            elif op[m] == 5:
                total = 1.0 if total == bound[m] else 0.0
        out[i] = total


@nb.njit(cache=True, nogil=True)
def _accumulate(series, extent, picked, event_day, as_of, acc):  # type: ignore[no-untyped-def]
    """Fill ``acc`` with every statistic of the newest ``extent`` values."""
    n = 0
    total = weighted = weights = mean = spread = 0.0
    low, high, oldest, since = np.inf, -np.inf, np.nan, np.nan
    sx = sxx = sxy = 0.0
    streak, running, weight = 0.0, True, 1.0
    for i in range(extent):
        v = series[i]
        hit = v > 0.0
        running = running and hit
        if running:
            streak += 1.0
        if not np.isnan(v):
            n += 1
            total += v
            weighted += weight * v
            weights += weight
            step = v - mean
            mean += step / n
            spread += step * (v - mean)
            low, high, oldest = min(low, v), max(high, v), v
            sx -= i
            sxx += i * i
            sxy -= i * v
            if hit and np.isnan(since):
                since = as_of - event_day[picked[i]]
        weight *= 0.5
    acc[:] = np.nan
    acc[2], acc[11], acc[12] = n, streak, since
    if extent == 0:
        acc[11] = np.nan
    if n > 0:
        acc[3], acc[4], acc[5], acc[6] = total, total / n, high, low
        acc[9], acc[10], acc[13] = weighted / weights, total / n, oldest
    if n > 1:
        acc[7] = np.sqrt(spread / n)
        width = n * sxx - sx * sx
        if width > 0.0:
            acc[8] = (n * sxy - sx * total) / width


@nb.njit(cache=True, nogil=True)
def _fold(out, counts, row, column, value, rollup):  # type: ignore[no-untyped-def]
    """Fold one account's value into the customer's."""
    if np.isnan(value):
        return
    if counts[column] == 0:
        out[row, column] = value
    elif rollup == 0:
        out[row, column] = max(out[row, column], value)
    elif rollup == 1:
        out[row, column] = min(out[row, column], value)
    else:
        out[row, column] += value
    counts[column] += 1


@nb.njit(cache=True, nogil=True)
def _collect(start, stop, known_day, as_of, picked):  # type: ignore[no-untyped-def]
    """Positions of an account's events known by ``as_of``, newest first; returns their number."""
    n = 0
    for e in range(stop - 1, start - 1, -1):
        if known_day[e] <= as_of:
            picked[n] = e
            n += 1
    return n


@nb.njit(cache=True, nogil=True)
def _measure_windows(n, picked, event_day, as_of, windows, extents):  # type: ignore[no-untyped-def]
    """How many of the newest events each window holds."""
    for w in range(windows.shape[0]):
        if windows[w, 0] == 0:
            extents[w] = min(n, windows[w, 1])
        elif windows[w, 0] == 2:
            extents[w] = n
        else:
            k = 0
            while k < n and event_day[picked[k]] > as_of - windows[w, 1]:
                k += 1
            extents[w] = k


@nb.njit(cache=True, nogil=True)
def _pass(  # type: ignore[no-untyped-def]  # noqa: PLR0913
    first, stop, values, event_day, known_day, account_start, customer_start, key_start, key_day,
    coef, col, lag, over, clip, op, bound, windows, groups, features, out,
):  # fmt: skip
    """Customers ``first`` to ``stop``: every key, account, measure and window."""
    longest = 0
    for a in range(customer_start[first], customer_start[stop]):
        longest = max(longest, account_start[a + 1] - account_start[a])
    picked = np.empty(longest, dtype=np.int64)
    series = np.empty(longest)
    acc = np.empty(14)
    extents = np.empty(windows.shape[0], dtype=np.int64)
    counts = np.empty(out.shape[1], dtype=np.int64)
    for c in range(first, stop):
        for row in range(key_start[c], key_start[c + 1]):
            as_of = key_day[row]
            counts[:] = 0
            for a in range(customer_start[c], customer_start[c + 1]):
                n = _collect(account_start[a], account_start[a + 1], known_day, as_of, picked)
                if n == 0:
                    # Not even a count of 0: whether the account stands here at all hangs on its future.
                    continue
                _measure_windows(n, picked, event_day, as_of, windows, extents)
                current = -1
                for g in range(groups.shape[0]):
                    if groups[g, 0] != current:
                        current = groups[g, 0]
                        _evaluate(current, n, picked, values, coef, col, lag, over, clip, op, bound, series)
                    _accumulate(series, extents[groups[g, 1]], picked, event_day, as_of, acc)
                    for f in range(groups[g, 2], groups[g, 3]):
                        lagged = features[f, 2]
                        # 'last' is a lag of zero; both read the series, the others an accumulator.
                        value = acc[features[f, 1]]
                        if features[f, 1] <= 1:
                            value = series[lagged] if lagged < n else np.nan
                        _fold(out, counts, row, features[f, 0], value, features[f, 3])
            for f in range(features.shape[0]):
                if features[f, 3] == 3 and counts[features[f, 0]] > 1:
                    out[row, features[f, 0]] /= counts[features[f, 0]]


def run_pass(
    events: Events,
    features: Sequence[Feature],
    key_start: IntArray,
    key_day: IntArray,
    n_threads: int | None = None,
) -> FloatArray:
    """Compute declared features for given customers and as_of days.

    Parameters
    ----------
    events : Events
    features : sequence of Feature
        All of the events' view.
    key_start : ndarray of int64, shape (n_customers + 1,)
        First key of each customer.
    key_day : ndarray of int64, shape (n_keys,)
        as_of in days since 1970-01-01.
    n_threads : int, optional
        Threads over customers; all cores by default. The result does not depend on it.

    Returns
    -------
    ndarray of float64, shape (n_keys, n_features)
        NaN where a feature is null.
    """
    program = _compile(features, events.columns)
    out = np.full((len(key_day), len(features)), np.nan)
    n_customers = len(events.customer_start) - 1
    threads = max(1, min(n_threads or os.cpu_count() or 1, n_customers))
    edges = np.linspace(0, n_customers, threads + 1).astype(np.int64)

    def run(part: int) -> None:
        _pass(
            edges[part], edges[part + 1], events.values, events.event_day, events.known_day,
            events.account_start, events.customer_start, key_start, key_day,
            program.term_coef, program.term_col, program.term_lag, program.over, program.clip,
            program.where_op, program.where_value, program.windows, program.groups, program.features, out,
        )  # fmt: skip

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return out
