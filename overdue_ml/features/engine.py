"""One compiled pass over sorted events: all statistics of all windows, for all as_of dates of a customer.

Events stand sorted by customer, account and date. For each (customer, as_of) the pass collects the
events known by then, nearest to the as_of date first, evaluates each measure once on them, runs once through
its values for all windows (each window holds the beginning of the longer ones), and folds the accounts of the
customer together. Nothing outside a customer's own rows is read, so threads over customers change no bit.

What an event says may change as the lender learns more: then it stands as several rows, its *states*, each
of which holds from its ``known_day`` to the day before its ``until_day``. A value that grows by itself from
day to day, as the days past due of an unpaid instalment, is NaN in the array and filled in for each as_of.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numba as nb
import numpy as np

from overdue_ml.features.declare import Feature
from overdue_ml.features.program import FloatArray, IntArray, Program, compile_program

#: ``until_day`` of a state that nothing has replaced.
NEVER = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Events:
    """A view's events, sorted by customer, account and event date.

    Attributes
    ----------
    columns : tuple of str
    values : ndarray of float64, shape (n_events, n_columns)
    event_day, known_day, until_day : ndarray of int64, shape (n_events,)
        Days since 1970-01-01. A row holds for known_day <= as_of < until_day; of the states of one event no
        two hold on the same day.
    account_start : ndarray of int64, shape (n_accounts + 1,)
        First event of each account; the last entry is n_events.
    customer_start : ndarray of int64, shape (n_customers + 1,)
        First account of each customer; the last entry is n_accounts.
    ageing : mapping of str to {1, -1}
        Columns in which NaN means: the days since the event (1) or until it (-1) on the as_of date, never
        below 0.
    """

    columns: tuple[str, ...]
    values: FloatArray
    event_day: IntArray
    known_day: IntArray
    until_day: IntArray
    account_start: IntArray
    customer_start: IntArray
    ageing: Mapping[str, int] = field(default_factory=dict)


@nb.njit(cache=True, nogil=True)
def _gather(n, picked, values, event_day, ages, as_of, table):  # type: ignore[no-untyped-def]
    """Columns of the ``n`` collected events, as of the date, into ``table`` (columns first)."""
    for i in range(n):
        e = picked[i]
        for c in range(values.shape[1]):
            v = values[e, c]
            if ages[c] != 0 and np.isnan(v):
                v = max(ages[c] * (as_of - event_day[e]), 0)
            table[c, i] = v


@nb.njit(cache=True, nogil=True)
def _reach(m, n, extents, spans, groups):  # type: ignore[no-untyped-def]
    """How many of the nearest values of measure ``m`` anything reads."""
    reach = 0
    for g in range(spans[m, 0], spans[m, 1]):
        reach = max(reach, groups[g, 4])
        if groups[g, 5]:
            reach = max(reach, extents[groups[g, 1]])
    return min(n, reach)


@nb.njit(cache=True, nogil=True)
def _evaluate(m, n, reach, table, coef, col, lag, times, over, out):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Measure ``m`` on the nearest ``reach`` of the ``n`` collected events into ``out``, not yet compared.

    Plain loops over one thing at a time, which the compiler turns into vector instructions; and here as
    below no slices, whose reference counts threads would fight over.
    """
    for i in range(reach):
        out[i] = 0.0
    for j in range(coef.shape[1]):
        if col[m, j] < 0:
            break
        factor, c, k = coef[m, j], col[m, j], lag[m, j]
        for i in range(min(reach, n - k)):
            out[i] += factor * table[c, i + k]
        for i in range(max(n - k, 0), reach):
            out[i] = np.nan
    if times[m, 0] >= 0:
        c, k = times[m, 0], times[m, 1]
        for i in range(reach):
            out[i] = out[i] * table[c, i + k] if i + k < n else np.nan
    if over[m, 0] >= 0:
        c, k = over[m, 0], over[m, 1]
        for i in range(reach):
            divisor = table[c, i + k] if i + k < n else np.nan
            # Not above zero covers NaN: the comparison is false for it.
            out[i] = out[i] / divisor if divisor > 0.0 else np.nan


@nb.njit(cache=True, nogil=True)
def _compare(low, high, operator, bound, reach, out):  # type: ignore[no-untyped-def]
    """Clip the values of a measure, then make flags of them; null stays null."""
    if low > -np.inf or high < np.inf:
        for i in range(reach):
            if not np.isnan(out[i]):
                out[i] = min(max(out[i], low), high)
    if operator == 0:
        return
    for i in range(reach):
        v = out[i]
        if np.isnan(v):
            continue
        if operator == 1:
            hit = v > bound
        elif operator == 2:
            hit = v >= bound
        elif operator == 3:
            hit = v <= bound
        elif operator == 4:
            hit = v < bound
        else:
            hit = v == bound
        out[i] = 1.0 if hit else 0.0


@nb.njit(cache=True, nogil=True)
def _accumulate(m, series, by_extent, extents, runs, uses, acc):  # type: ignore[no-untyped-def]
    """One run through ``series``: the sums of each window that wants them, into its row of ``acc``."""
    n = i = 0
    total, low, high, oldest = 0.0, np.inf, -np.inf, np.nan
    for k in range(len(by_extent)):
        w = by_extent[k]
        if not runs[m, w]:
            continue
        while i < extents[w]:
            v = series[i]
            i += 1
            if not np.isnan(v):
                n += 1
                total += v
                low, high, oldest = min(low, v), max(high, v), v
        acc[w, 2] = n
        if n > 0:
            acc[w, 3], acc[w, 4], acc[w, 5], acc[w, 6] = total, total / n, high, low
            acc[w, 10], acc[w, 13] = acc[w, 4], oldest
        else:
            acc[w, 3] = acc[w, 4] = acc[w, 5] = acc[w, 6] = acc[w, 10] = acc[w, 13] = np.nan
    # Seldom asked for, and each would slow the loop above.
    if uses[m, 1]:
        _weigh(m, series, by_extent, extents, runs, acc)
    if uses[m, 2]:
        _spread(m, series, by_extent, extents, runs, acc)
    if uses[m, 3]:
        _trend(m, series, by_extent, extents, runs, acc)


@nb.njit(cache=True, nogil=True)
def _weigh(m, series, by_extent, extents, runs, acc):  # type: ignore[no-untyped-def]
    """The mean in which each value weighs half of the one before it."""
    i = 0
    weighted, weights, weight = 0.0, 0.0, 1.0
    for k in range(len(by_extent)):
        w = by_extent[k]
        if not runs[m, w]:
            continue
        while i < extents[w]:
            v = series[i]
            if not np.isnan(v):
                weighted += weight * v
                weights += weight
            weight *= 0.5
            i += 1
        acc[w, 9] = weighted / weights if weights > 0.0 else np.nan


@nb.njit(cache=True, nogil=True)
def _spread(m, series, by_extent, extents, runs, acc):  # type: ignore[no-untyped-def]
    """The standard deviation around the mean (Welford 1962), of two values or more."""
    n = i = 0
    mean = spread = 0.0
    for k in range(len(by_extent)):
        w = by_extent[k]
        if not runs[m, w]:
            continue
        while i < extents[w]:
            v = series[i]
            i += 1
            if not np.isnan(v):
                n += 1
                step = v - mean
                mean += step / n
                spread += step * (v - mean)
        acc[w, 7] = np.sqrt(spread / n) if n > 1 else np.nan


@nb.njit(cache=True, nogil=True)
def _trend(m, series, by_extent, extents, runs, acc):  # type: ignore[no-untyped-def]
    """The slope of a least-squares line through the values, the oldest first."""
    n = i = 0
    total = sx = sxx = sxy = 0.0
    for k in range(len(by_extent)):
        w = by_extent[k]
        if not runs[m, w]:
            continue
        while i < extents[w]:
            v = series[i]
            if not np.isnan(v):
                n += 1
                total += v
                sx -= i
                sxx += i * i
                sxy -= i * v
            i += 1
        width = n * sxx - sx * sx
        acc[w, 8] = (n * sxy - sx * total) / width if n > 1 and width > 0.0 else np.nan


@nb.njit(cache=True, nogil=True)
def _count_hits(m, series, reach, extents, spans, groups, picked, event_day, as_of, acc):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Streak and days since the latest hit: both end at the first value that decides them."""
    run = 0
    while run < reach and series[run] > 0.0:
        run += 1
    hit = 0
    while hit < reach and not series[hit] > 0.0:
        hit += 1
    for g in range(spans[m, 0], spans[m, 1]):
        w = groups[g, 1]
        acc[w, 11] = min(run, extents[w]) if extents[w] > 0 else np.nan
        acc[w, 12] = as_of - event_day[picked[hit]] if hit < extents[w] else np.nan


@nb.njit(cache=True, nogil=True)
def _fold(folded, counts, column, value, rollup):  # type: ignore[no-untyped-def]
    """Fold one account's value into the customer's."""
    if np.isnan(value):
        return
    if counts[column] == 0:
        folded[column] = value
    elif rollup == 0:
        folded[column] = max(folded[column], value)
    elif rollup == 1:
        folded[column] = min(folded[column], value)
    else:
        folded[column] += value
    counts[column] += 1


@nb.njit(cache=True, nogil=True)
def _fold_measure(m, n, series, acc, spans, groups, features, folded, counts):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Fold the features of one measure, read from ``series`` and ``acc``."""
    for g in range(spans[m, 0], spans[m, 1]):
        w = groups[g, 1]
        for f in range(groups[g, 2], groups[g, 3]):
            value = acc[w, features[f, 1]]
            # 'last' is a lag of zero; both read the series, the others an accumulator.
            if features[f, 1] <= 1:
                value = series[features[f, 2]] if features[f, 2] < n else np.nan
            _fold(folded, counts, features[f, 0], value, features[f, 3])


@nb.njit(cache=True, nogil=True)
def _collect(start, stop, event_day, known_day, until_day, as_of, side, picked):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Positions of an account's events that hold on ``as_of``, nearest first.

    Returns their number and whether the account has any event that holds, on whichever side.
    """
    middle, later = (start, stop) if side != 0 else (stop, stop)
    while middle < later:
        half = (middle + later) // 2
        if event_day[half] <= as_of:
            middle = half + 1
        else:
            later = half
    n = 0
    if side == 2:
        for e in range(middle, stop):
            if known_day[e] <= as_of < until_day[e]:
                picked[n] = e
                n += 1
    else:
        for e in range(middle - 1, start - 1, -1):
            if known_day[e] <= as_of < until_day[e]:
                picked[n] = e
                n += 1
    if n > 0 or side == 0:
        return n, n > 0
    for e in range(start, stop):
        if known_day[e] <= as_of < until_day[e]:
            return n, True
    return n, False


@nb.njit(cache=True, nogil=True)
def _measure_windows(n, picked, event_day, as_of, side, windows, extents, by_extent):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """How many of the nearest events each window holds, and the windows from the shortest to the longest."""
    for w in range(windows.shape[0]):
        if windows[w, 0] == 0:
            extents[w] = min(n, windows[w, 1])
        elif windows[w, 0] == 2:
            extents[w] = n
        else:
            # One day is the as_of date itself; in a view of what is ahead, the day after it.
            k = 0
            if side == 2:
                while k < n and event_day[picked[k]] <= as_of + windows[w, 1]:
                    k += 1
            else:
                while k < n and event_day[picked[k]] > as_of - windows[w, 1]:
                    k += 1
            extents[w] = k
        k = w
        while k > 0 and extents[by_extent[k - 1]] > extents[w]:
            by_extent[k] = by_extent[k - 1]
            k -= 1
        by_extent[k] = w


@nb.njit(cache=True, nogil=True)
def _pass(  # type: ignore[no-untyped-def]  # noqa: PLR0913
    first, stop, values, event_day, known_day, until_day, account_start, customer_start, ages, side,
    key_start, key_day, coef, col, lag, times, over, clip, op, bound, uses, windows, runs, spans,
    groups, features, places, out,
):  # fmt: skip
    """Customers ``first`` to ``stop``: every key, account, measure and window."""
    longest = 0
    for a in range(customer_start[first], customer_start[stop]):
        longest = max(longest, account_start[a + 1] - account_start[a])
    picked = np.empty(longest, dtype=np.int64)
    table = np.empty((values.shape[1], longest))
    series = np.empty(longest)
    acc = np.full((windows.shape[0], 14), np.nan)
    extents = np.empty(windows.shape[0], dtype=np.int64)
    by_extent = np.empty(windows.shape[0], dtype=np.int64)
    counts = np.empty(out.shape[0], dtype=np.int64)
    folded = np.empty(out.shape[0])
    for c in range(first, stop):
        for row in range(key_start[c], key_start[c + 1]):
            as_of = key_day[row]
            counts[:] = 0
            folded[:] = np.nan
            for a in range(customer_start[c], customer_start[c + 1]):
                n, is_known = _collect(
                    account_start[a], account_start[a + 1], event_day, known_day, until_day, as_of, side,
                    picked,
                )  # fmt: skip
                if not is_known:
                    # Not even a count of 0: whether the account stands here at all hangs on its future.
                    continue
                _gather(n, picked, values, event_day, ages, as_of, table)
                _measure_windows(n, picked, event_day, as_of, side, windows, extents, by_extent)
                for m in range(uses.shape[0]):
                    reach = _reach(m, n, extents, spans, groups)
                    _evaluate(m, n, reach, table, coef, col, lag, times, over, series)
                    _compare(clip[m, 0], clip[m, 1], op[m], bound[m], reach, series)
                    if uses[m, 0]:
                        _accumulate(m, series, by_extent, extents, runs, uses, acc)
                    if uses[m, 4]:
                        _count_hits(m, series, reach, extents, spans, groups, picked, event_day, as_of, acc)
                    _fold_measure(m, n, series, acc, spans, groups, features, folded, counts)
            for f in range(features.shape[0]):
                column = features[f, 0]
                if features[f, 3] == 3 and counts[column] > 1:
                    folded[column] /= counts[column]
                out[column, places[row]] = folded[column]


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
        All of one view, which the events belong to.
    key_start : ndarray of int64, shape (n_customers + 1,)
        First key of each customer.
    key_day : ndarray of int64, shape (n_keys,)
        as_of in days since 1970-01-01.
    n_threads : int, optional
        Threads over customers; all cores by default. The result does not depend on it.

    Returns
    -------
    ndarray of float64, shape (n_keys, n_features)
        NaN where a feature is null. Each column stands together in memory.
    """
    program = compile_program(features, events.columns)
    out = np.full((len(features), len(key_day)), np.nan)
    into = out, np.arange(len(key_day))
    n_customers = len(events.customer_start) - 1
    threads = max(1, min(n_threads or os.cpu_count() or 1, n_customers))
    edges = np.linspace(0, n_customers, threads + 1).astype(np.int64)

    def run(part: int) -> None:
        run_program(program, events, range(edges[part], edges[part + 1]), (key_start, key_day), into)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return out.T


def run_program(
    program: Program,
    events: Events,
    customers: range,
    keys: tuple[IntArray, IntArray],
    into: tuple[FloatArray, IntArray],
) -> None:
    """Compute features for some of the customers, in this thread.

    Parameters
    ----------
    program : Program
    events : Events
    customers : range
    keys : tuple of ndarray of int64
        First key of each customer, and the as_of day of each key.
    into : tuple of ndarray of float64, shape (n_features, n_rows), and ndarray of int64, shape (n_keys,)
        Where to write, one row a feature, and the place of each key in it.
    """
    ages = np.array([events.ageing.get(column, 0) for column in events.columns], dtype=np.int64)
    _pass(
        customers.start, customers.stop, events.values, events.event_day, events.known_day,
        events.until_day, events.account_start, events.customer_start, ages, program.side, *keys,
        program.term_coef, program.term_col, program.term_lag, program.times, program.over,
        program.clip, program.where_op, program.where_value, program.uses, program.windows,
        program.runs, program.spans, program.groups, program.features, into[1], into[0],
    )  # fmt: skip
