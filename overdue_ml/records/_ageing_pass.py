"""Every account on every day that is asked for, filled from the states of its instalments."""

from __future__ import annotations

import numba as nb

from overdue_ml.records.state_columns import (
    ACCOUNT,
    DUE,
    DUE_DATE,
    FROM,
    NONE,
    NUMBER,
    PAID,
    SETTLED,
    SETTLED_ON,
    UNTIL,
)


@nb.njit(cache=True, nogil=True)
def age_states(states, order, days, dpd, amounts, first):  # type: ignore[no-untyped-def]
    """Fill what the accounts of a block owe, and how late they are.

    Parameters
    ----------
    states : ndarray of int64, shape (any, 15)
        As :meth:`overdue_ml.records.states.UnsettledAccounts.visit` shows them.
    order : ndarray of int64, shape (n_states,)
    days : ndarray of int32, shape (n_days,)
        Ascending, since 1970-01-01.
    dpd : ndarray of int32, shape (n_accounts, n_days)
        Worst days past due; untouched where nothing is unsettled.
    amounts : ndarray of int64, shape (2, n_accounts, n_days)
        All that instalments are short by, and that of those past due; in units.
    first : ndarray of int32, shape (3, n_accounts)
        Due date, number and days late of the first instalment, as of the last day.
    """
    last = len(days) - 1
    for row in order:
        state = states[row]
        account, due_date, short = state[ACCOUNT], state[DUE_DATE], state[DUE] - state[PAID]
        for j in range(len(days)):
            day = days[j]
            if day < state[FROM] or day >= state[UNTIL]:
                continue
            late = max(day - due_date, 0)
            amounts[0, account, j] += short
            if not state[SETTLED]:
                dpd[account, j] = max(dpd[account, j], late)
                if late > 0:
                    amounts[1, account, j] += short
            if j == last and (
                first[0, account] == NONE
                or due_date < first[0, account]
                or (due_date == first[0, account] and state[NUMBER] < first[1, account])
            ):
                first[0, account], first[1, account] = due_date, state[NUMBER]
                first[2, account] = max(state[SETTLED_ON] - due_date, 0) if state[SETTLED] else late
