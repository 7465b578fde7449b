"""What instalments owe as of a day, added up by customer: a compiled loop over their states."""

from __future__ import annotations

import numba as nb

from overdue_ml.records.state_columns import ACCOUNT, DUE, DUE_DATE, FROM, PAID, SETTLED, UNTIL

#: What stands in each column of what a customer owes, and how many columns there are.
NEXT_DUE, DUE_ON_IT, EXPOSURE, OVERDUE, DPD, PAID_AHEAD, N_INSTALMENTS, N_COLUMNS = range(8)


@nb.njit(cache=True, nogil=True)
def add_up(states, order, day, customer_of, owed):  # type: ignore[no-untyped-def]
    """Add the states that hold on a day to what their customers owe.

    Parameters
    ----------
    states : ndarray of int64, shape (any, 15)
        As :meth:`overdue_ml.records.states.UnsettledAccounts.visit` shows them.
    order : ndarray of int64, shape (n_states,)
        The rows.
    day : int
        Since 1970-01-01.
    customer_of : ndarray of int64, shape (n_accounts,)
        The number of each account's customer, -1 where nobody knows them.
    owed : ndarray of int64, shape (n_customers, 7)
        Is added to; amounts in whole units, so exactly.
    """
    for i in range(len(order)):
        row = order[i]
        if states[row, FROM] > day or states[row, UNTIL] <= day:
            continue
        customer = customer_of[states[row, ACCOUNT]]
        if customer < 0:
            continue
        due_date, short = states[row, DUE_DATE], states[row, DUE] - states[row, PAID]
        owed[customer, N_INSTALMENTS] += 1
        owed[customer, EXPOSURE] += short
        if states[row, SETTLED] != 0:
            if states[row, DUE] > 0 and due_date > day:
                owed[customer, PAID_AHEAD] = min(owed[customer, PAID_AHEAD], due_date)
        elif due_date < day:
            owed[customer, OVERDUE] += short
            owed[customer, DPD] = max(owed[customer, DPD], day - due_date)
        elif due_date > day:
            if due_date < owed[customer, NEXT_DUE]:
                owed[customer, NEXT_DUE], owed[customer, DUE_ON_IT] = due_date, 0
            if due_date == owed[customer, NEXT_DUE]:
                owed[customer, DUE_ON_IT] += short
