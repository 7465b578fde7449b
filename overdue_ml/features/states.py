"""The views of instalments: what settlement knew of each instalment, and when, as sorted arrays.

A block of accounts is settled, turned into events and read by the pass at once, in one thread, while it is in
the processor's cache; no table of states is ever made.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np

from overdue_ml.features.declare import Feature
from overdue_ml.features.engine import Events, run_program
from overdue_ml.features.keys import Keys
from overdue_ml.features.program import FloatArray, IntArray, Program, compile_program
from overdue_ml.records import Records, read_unsettled
from overdue_ml.records.state_columns import (
    ACCOUNT,
    DUE,
    DUE_DATE,
    FROM,
    N_PAYMENTS,
    N_REVERSALS,
    NUMBER,
    PAID,
    RECEIVED,
    SETTLED,
    SETTLED_ON,
    TECHNICAL,
    UNITS,
    UNTIL,
)
from overdue_ml.records.states import StateReader

# What a column of the views holds: codes of the compiled ``_value``.
_AMOUNT_DUE, _PAID_AMOUNT, _SHORTFALL, _DPD, _DAYS_TO_DUE, _DAYS_EARLY, _IS_SETTLED, _UNPAID = range(8)
_IS_PARTIAL, _PAYMENTS, _TECHNICAL_RATIO, _REVERSALS, _IS_FIRST3, _MONTH_DAY, _SINE, _COSINE = range(8, 16)


@dataclass(frozen=True)
class StateColumn:
    """A column of the views of instalments.

    Parameters
    ----------
    code : int
        By which the compiled code knows it.
    needs : frozenset of str
        ``table.column`` that it needs besides those that settlement cannot do without.
    ages : {0, 1, -1}
        Whether NaN stands for the days since the due date on the as_of date, or until it.
    """

    code: int
    needs: frozenset[str] = frozenset()
    ages: int = 0


#: What settlement cannot do without.
STATE_NEEDS = frozenset({"instalments.due_date", "payments.paid_on"})

#: Views of instalments: those that have fallen due, those to come, and both.
STATE_VIEWS = ("instalments", "upcoming", "plan")

#: Columns of the views of instalments.
STATE_COLUMNS: Mapping[str, StateColumn] = {
    "amount_due": StateColumn(_AMOUNT_DUE),
    "paid_amount": StateColumn(_PAID_AMOUNT),
    "shortfall_amount": StateColumn(_SHORTFALL),
    # Unsettled: the as_of date less the due date.
    "dpd": StateColumn(_DPD, ages=1),
    "days_to_due": StateColumn(_DAYS_TO_DUE, ages=-1),
    # 0 while unsettled, as in the facts.
    "days_early": StateColumn(_DAYS_EARLY),
    "is_settled": StateColumn(_IS_SETTLED),
    "unpaid": StateColumn(_UNPAID),
    # Something is paid and something is still open.
    "is_partial": StateColumn(_IS_PARTIAL),
    "n_payments": StateColumn(_PAYMENTS),
    # Of the money received the share that was technical; NaN without any.
    "technical_ratio": StateColumn(_TECHNICAL_RATIO, frozenset({"payments.technical"})),
    "n_reversals": StateColumn(_REVERSALS),
    "is_first3": StateColumn(_IS_FIRST3),
    "due_month_day": StateColumn(_MONTH_DAY),
    "due_month_sine": StateColumn(_SINE),
    "due_month_cosine": StateColumn(_COSINE),
}

# Rounded, so that every machine has the same.
_SINES: FloatArray = np.sin(np.arange(12) * np.pi / 6).round(12)


@nb.njit(cache=True, nogil=True)
def _month_and_day(day):  # type: ignore[no-untyped-def]
    """Month, 0 to 11, and day of the month of a day since 1970-01-01.

    Hinnant, chrono-compatible low-level date algorithms, ``civil_from_days``.
    """
    shifted = day + 719_468
    of_era = shifted - shifted // 146_097 * 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    # Months counted from March: February, and with it the leap day, comes last.
    month = (5 * of_year + 2) // 153
    return (month + 2) % 12, of_year - (153 * month + 2) // 5 + 1


@nb.njit(cache=True, nogil=True)
def _days_value(code, states, row):  # type: ignore[no-untyped-def]
    """The columns that are dates or days."""
    due_date, settled = states[row, DUE_DATE], states[row, SETTLED] != 0
    if code == _DPD:
        return float(max(states[row, SETTLED_ON] - due_date, 0)) if settled else np.nan
    if code == _DAYS_TO_DUE:
        return np.nan
    if code == _DAYS_EARLY:
        return float(max(due_date - states[row, SETTLED_ON], 0)) if settled else 0.0
    month, day = _month_and_day(due_date)
    if code == _MONTH_DAY:
        return float(day)
    return _SINES[month if code == _SINE else (month + 3) % 12]


@nb.njit(cache=True, nogil=True)
def _value(code, states, row):  # type: ignore[no-untyped-def]
    """A column of the state in a row."""
    if code == _AMOUNT_DUE:
        return states[row, DUE] / UNITS
    if code == _PAID_AMOUNT:
        return states[row, PAID] / UNITS
    if code == _SHORTFALL:
        return (states[row, DUE] - states[row, PAID]) / UNITS
    if code == _IS_SETTLED:
        return float(states[row, SETTLED])
    if code == _UNPAID:
        return 1.0 - states[row, SETTLED]
    if code == _IS_PARTIAL:
        return 1.0 if states[row, SETTLED] == 0 and states[row, PAID] > 0 else 0.0
    if code == _PAYMENTS:
        return float(states[row, N_PAYMENTS])
    if code == _REVERSALS:
        return float(states[row, N_REVERSALS])
    if code == _IS_FIRST3:
        return 1.0 if states[row, NUMBER] <= 3 else 0.0
    if code == _TECHNICAL_RATIO:
        # In amounts, as the tables of histories have them, so that the quotient has the same bits.
        received = states[row, RECEIVED] / UNITS
        return states[row, TECHNICAL] / UNITS / received if received > 0.0 else np.nan
    return _days_value(code, states, row)


@nb.njit(cache=True, nogil=True)
def _fill_column(code, states, order, column):  # type: ignore[no-untyped-def]
    """A column of the states in some rows; a loop of its own for each that nearly every model reads."""
    n = len(order)
    if code == _AMOUNT_DUE:
        for i in range(n):
            column[i] = states[order[i], DUE] / UNITS
    elif code == _PAID_AMOUNT:
        for i in range(n):
            column[i] = states[order[i], PAID] / UNITS
    elif code == _SHORTFALL:
        for i in range(n):
            column[i] = (states[order[i], DUE] - states[order[i], PAID]) / UNITS
    elif code == _IS_SETTLED:
        for i in range(n):
            column[i] = float(states[order[i], SETTLED])
    elif code == _DPD:
        for i in range(n):
            row = order[i]
            late = float(max(states[row, SETTLED_ON] - states[row, DUE_DATE], 0))
            column[i] = late if states[row, SETTLED] != 0 else np.nan
    else:
        for i in range(n):
            column[i] = _value(code, states, order[i])


@nb.njit(cache=True, nogil=True)
def _is_later(states, one, other):  # type: ignore[no-untyped-def]
    """Whether a state stands after another of its account: by due date, number and first day."""
    if states[one, DUE_DATE] != states[other, DUE_DATE]:
        return states[one, DUE_DATE] > states[other, DUE_DATE]
    if states[one, NUMBER] != states[other, NUMBER]:
        return states[one, NUMBER] > states[other, NUMBER]
    return states[one, FROM] > states[other, FROM]


@nb.njit(cache=True, nogil=True)
def _sort_account(states, order, first, last):  # type: ignore[no-untyped-def]
    """Shell sort of an account's rows; numbers nearly always follow due dates, and then there is no work."""
    gap = 1
    for i in range(first + 1, last):
        if _is_later(states, order[i - 1], order[i]):
            while gap < (last - first) // 3:
                gap = 3 * gap + 1
            break
        if i == last - 1:
            return
    while gap > 0:
        for i in range(first + gap, last):
            j = i
            while j >= first + gap and _is_later(states, order[j - gap], order[j]):
                order[j], order[j - gap] = order[j - gap], order[j]
                j -= gap
        gap //= 3


@nb.njit(cache=True, nogil=True)
def _fill_events(states, order, place, codes, values, days, starts):  # type: ignore[no-untyped-def]
    """Put the states of the accounts with a place in the order of the pass.

    ``days`` gets event, first and last day; ``starts`` the first event of each account, the first account of
    each customer and the place of each customer. Returns how many there are of events, accounts, customers.
    """
    n = n_accounts = n_customers = first = 0
    while first < len(order):
        account = states[order[first], ACCOUNT]
        last = first + 1
        while last < len(order) and states[order[last], ACCOUNT] == account:
            last += 1
        if place[account] >= 0:
            _sort_account(states, order, first, last)
            if n_customers == 0 or starts[2, n_customers - 1] != place[account]:
                starts[1, n_customers], starts[2, n_customers] = n_accounts, place[account]
                n_customers += 1
            starts[0, n_accounts] = n
            n_accounts += 1
            for i in range(first, last):
                row = order[i]
                # What is kept moves up: no row before this one is needed any more.
                order[n] = row
                days[0, n], days[1, n] = states[row, DUE_DATE], states[row, FROM]
                days[2, n] = states[row, UNTIL]
                n += 1
        first = last
    starts[0, n_accounts], starts[1, n_customers] = n, n_accounts
    for c in range(len(codes)):
        _fill_column(codes[c], states, order[:n], values[:n, c])
    return n, n_accounts, n_customers


class _Buffers(threading.local):
    """Memory of each thread: fresh memory for each block costs more than filling it."""

    def __init__(self) -> None:
        self.values: FloatArray = np.empty((0, 0))
        self.days: IntArray = np.empty((3, 0), dtype=np.int64)
        self.starts: IntArray = np.empty((3, 0), dtype=np.int64)

    def grow(self, n: int, n_columns: int) -> None:
        """Room for so many events, and one more start."""
        if n > len(self.values) or self.values.shape[1] != n_columns:
            n += n // 2
            self.values = np.empty((n, n_columns))
            self.days = np.empty((3, n), dtype=np.int64)
            self.starts = np.empty((3, n + 1), dtype=np.int64)


class EventReader:
    """Turns the states of a block of accounts into events of the pass.

    Parameters
    ----------
    columns : sequence of str
        Of ``STATE_COLUMNS``.
    place : ndarray of int64, shape (n_accounts,)
        A number for the customer of each account; accounts with one below zero are left out.
    """

    def __init__(self, columns: Sequence[str], place: IntArray) -> None:
        self._columns = tuple(columns)
        self._codes = np.array([STATE_COLUMNS[name].code for name in columns], dtype=np.int64)
        self._ageing = {n: STATE_COLUMNS[n].ages for n in columns if STATE_COLUMNS[n].ages}
        self._place = place
        self._buffers = _Buffers()

    def read(self, states: IntArray, order: IntArray) -> tuple[IntArray, Events]:
        """Read a block.

        Parameters
        ----------
        states : ndarray of int64, shape (any, 15)
            As :meth:`overdue_ml.records.states.UnsettledAccounts.visit` shows them.
        order : ndarray of int64, shape (n_states,)
            The rows; they are sorted in place.

        Returns
        -------
        customers : ndarray of int64, shape (n_customers,)
            The number of each customer.
        events : Events
            Dated by due date; instalments due on one day in the order of their numbers. Good until the
            next call in the same thread.
        """
        own = self._buffers
        own.grow(len(order), len(self._columns))
        n, n_accounts, n_customers = _fill_events(
            states, order, self._place, self._codes, own.values, own.days, own.starts
        )
        return own.starts[2, :n_customers], Events(
            columns=self._columns,
            values=own.values[:n],
            event_day=own.days[0, :n],
            known_day=own.days[1, :n],
            until_day=own.days[2, :n],
            account_start=own.starts[0, : n_accounts + 1],
            customer_start=own.starts[1, : n_customers + 1],
            ageing=self._ageing,
        )


def state_columns(
    records: Records,
    keys: Keys,
    features: Sequence[Feature],
    n_threads: int | None = None,
    reader: StateReader | None = None,
) -> dict[str, FloatArray]:
    """Features of the views of instalments, one value a key.

    Parameters
    ----------
    records : Records
    keys : Keys
    features : sequence of Feature
        Not empty.
    n_threads : int, optional
        The result does not depend on it.
    reader : StateReader, optional
        Is shown the same states, of all accounts.
    """
    columns = sorted(set().union(*(f.columns for f in features)))
    views = [here for view in STATE_VIEWS if (here := [f for f in features if f.measure.view == view])]
    found = [np.full((len(here), len(keys.day)), np.nan) for here in views]
    programs: list[Program] = [compile_program(here, columns) for here in views]
    dates = [day.item() for day in np.unique(keys.day).astype("datetime64[D]")]
    unsettled = read_unsettled(records, as_of=dates)
    event_reader = EventReader(columns, keys.places_of(unsettled.customers))
    show = None if reader is None else reader.read(unsettled)

    def visit(states: IntArray, order: IntArray) -> None:
        if show is not None:
            # First: reading the events sorts the rows in place.
            show(states, order)
        customers, events = event_reader.read(states, order)
        rows, start = keys.rows_of(customers)
        for program, out in zip(programs, found, strict=True):
            run_program(program, events, range(len(customers)), (start, keys.day[rows]), (out, rows))

    unsettled.visit(visit, n_threads)
    return {
        f.name: column
        for here, matrix in zip(views, found, strict=True)
        for f, column in zip(here, matrix, strict=True)
    }
