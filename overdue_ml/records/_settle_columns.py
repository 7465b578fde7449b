"""The columns of states, filled by compiled loops: numpy would go over all rows once for each of them."""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from overdue_ml.records.state_columns import (
    DUE,
    DUE_DATE,
    FROM,
    LAST,
    N_PAYMENTS,
    N_REVERSALS,
    NONE,
    NUMBER,
    PAID,
    RECEIVED,
    SETTLED,
    SETTLED_ON,
    SLOT,
    TECHNICAL,
    UNITS,
    UNTIL,
)


@nb.njit(cache=True, nogil=True)
def round_up(value):  # type: ignore[no-untyped-def]
    """The nearest whole number of a value not below zero, halves up.

    Parameters
    ----------
    value : float

    Returns
    -------
    int
    """
    whole = math.floor(value)
    return np.int64(whole) + (1 if value - whole >= 0.5 else 0)


@nb.njit(cache=True, nogil=True)
def to_units(amounts):  # type: ignore[no-untyped-def]
    """Amounts in units of 1/10,000, halves away from zero as DuckDB rounds them.

    Parameters
    ----------
    amounts : ndarray of float64, shape (n,)

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    out = np.empty(len(amounts), np.int64)
    for i in range(len(amounts)):
        scaled = amounts[i] * UNITS
        out[i] = round_up(scaled) if scaled >= 0.0 else -round_up(-scaled)
    return out


@nb.njit(cache=True, nogil=True)
def fill_columns(states, rows, integers, amounts, bits):  # type: ignore[no-untyped-def]
    """Fill the columns of some states: each state is read once for all of them.

    Parameters
    ----------
    states : ndarray of int64, shape (n_states, 14)
    rows : ndarray of int64, shape (n,)
    integers : tuple of ndarray of int32, shape (n,)
        Account, number, first day, first day no longer, due date, settled on, payments, reversals, last
        paid on.
    amounts : tuple of ndarray of float64, shape (n,)
        Due, paid, shortfall, technical, received.
    bits : tuple of ndarray of uint8, zeros of shape (n / 8 rounded up,)
        Settled, ever paid; the lowest bit first.
    """
    for i in range(len(rows)):
        row = rows[i]
        integers[0][i] = states[row, SLOT]
        integers[1][i] = states[row, NUMBER]
        integers[2][i] = states[row, FROM]
        integers[3][i] = states[row, UNTIL]
        integers[4][i] = states[row, DUE_DATE]
        integers[5][i] = states[row, SETTLED_ON]
        integers[6][i] = states[row, N_PAYMENTS]
        integers[7][i] = states[row, N_REVERSALS]
        integers[8][i] = states[row, LAST]
        due, paid = states[row, DUE], states[row, PAID]
        amounts[0][i] = due / UNITS
        amounts[1][i] = paid / UNITS
        amounts[2][i] = (due - paid) / UNITS
        amounts[3][i] = states[row, TECHNICAL] / UNITS
        amounts[4][i] = states[row, RECEIVED] / UNITS
        if states[row, SETTLED]:
            bits[0][i // 8] |= np.uint8(1 << (i % 8))
        if states[row, LAST] != NONE:
            bits[1][i // 8] |= np.uint8(1 << (i % 8))


@nb.njit(cache=True, nogil=True)
def fill_facts(states, rows, day, integers, ratio):  # type: ignore[no-untyped-def]
    """Fill what facts as of a day add.

    Parameters
    ----------
    states : ndarray of int64, shape (n_states, 14)
    rows : ndarray of int64, shape (n,)
    day : int
    integers : tuple of ndarray of int32, shape (n,)
        The day, days past due, days early.
    ratio : ndarray of float64, shape (n,)
        Share of the received money that was technical; 0 where nothing was received.
    """
    for i in range(len(rows)):
        row = rows[i]
        end, early = day, 0
        if states[row, SETTLED]:
            end = states[row, SETTLED_ON]
            early = max(states[row, DUE_DATE] - end, 0)
        integers[0][i] = day
        integers[1][i] = max(end - states[row, DUE_DATE], 0)
        integers[2][i] = early
        ratio[i] = 0.0
        if states[row, RECEIVED] > 0:
            ratio[i] = states[row, TECHNICAL] / states[row, RECEIVED]
