"""One compiled pass over accounts: every state of every instalment, in the order in which it became known.

An account's versions and payments are told day by day of knowledge. Payments with a later ``paid_on`` than
any told before only append to its history; a changed version, or a payment among days already told,
settles it again from the start. Then each instalment that stands otherwise than before closes its open
state and opens a new one. Nothing outside an account's own rows is read, amounts are integers and rows
are sorted here, so neither threads nor the order of rows change a bit.

Allocation has two short cuts. While nothing counts as named, only instalments between the old and the new
running total can move. While all money is named and fits, only those named today can.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from overdue_ml.records._ledger import NEVER, NONE
from overdue_ml.records._settle_columns import round_up
from overdue_ml.records.state_columns import (
    DUE,
    DUE_DATE,
    FROM,
    LAST,
    N_COLUMNS,
    N_PAYMENTS,
    N_REVERSALS,
    NUMBER,
    PAID,
    RECEIVED,
    SETTLED,
    SETTLED_ON,
    SLOT,
    TECHNICAL,
    UNTIL,
)  # fmt: skip

# A slot is an instalment of the account, counted by number. The queue holds those in force by (due date,
# number): their columns of a state, and what is enough to settle, the sum due before, the sum named.
_ENOUGH, _BEFORE, _NAMED, _N_QUEUE = range(N_COLUMNS, N_COLUMNS + 4)

# Running values of an account: the sum paid, the sum that counts as named, the first instalment that FIFO
# money has not filled (-1: not known), and the first and last queue rows touched since the last telling;
# and, for all accounts of a block, the number of slots in those before.
_LEVEL, _NAMED_TOTAL, _CURSOR, _LOW, _HIGH, _BASE, _N_RUN = range(7)

# Columns of a version and of a payment, both sorted by these.
_V_KNOWN, _V_DUE_DATE, _V_DUE, _V_SLOT, _V_SEEN, _N_VERSION = range(6)
_P_KNOWN, _P_PAID_ON, _P_AMOUNT, _P_SLOT, _P_SEEN, _P_TECHNICAL, _N_PAYMENT = range(7)


@nb.njit(cache=True, nogil=True, inline="always")
def _clip(value, high):  # type: ignore[no-untyped-def]
    return min(max(value, 0), high)


@nb.njit(cache=True, nogil=True)
def _is_later(rows, i, j):  # type: ignore[no-untyped-def]
    for c in range(3):
        if rows[i, c] != rows[j, c]:
            return rows[i, c] > rows[j, c]
    return False


@nb.njit(cache=True, nogil=True)
def _sort(rows, n):  # type: ignore[no-untyped-def]
    """Shell sort by the first three columns; rows that tie in them count the same in any order."""
    done = True
    for i in range(1, n):
        if _is_later(rows, i - 1, i):
            done = False
            break
    if done:
        return
    gap = 1
    while gap < n // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, n):
            j = i
            while j >= gap and _is_later(rows, j - gap, j):
                for c in range(rows.shape[1]):
                    rows[j, c], rows[j - gap, c] = rows[j - gap, c], rows[j, c]
                j -= gap
        gap //= 3


@nb.njit(cache=True, nogil=True)
def _slot_of(numbers, n, number):  # type: ignore[no-untyped-def]
    """Place of an instalment number among the sorted ones, or -1."""
    guess = number - numbers[0]
    if 0 <= guess < n and numbers[guess] == number:
        return guess
    slot = np.searchsorted(numbers[:n], number)
    return slot if slot < n and numbers[slot] == number else -1


@nb.njit(cache=True, nogil=True)
def _seen(known, as_of_days):  # type: ignore[no-untyped-def]
    """The first day on which what is known from ``known`` is looked at."""
    if len(as_of_days) == 0:
        return known
    # With one date, or in the past of them all, there is nothing to search.
    if known <= as_of_days[0]:
        return np.int64(as_of_days[0])
    i = np.searchsorted(as_of_days, known)
    return np.int64(as_of_days[i]) if i < len(as_of_days) else NEVER


@nb.njit(cache=True, nogil=True)
def _load_versions(ledger, terms, a, versions, numbers):  # type: ignore[no-untyped-def]
    """Sort an account's versions and its instalment numbers; returns how many there are of each."""
    first, last = ledger.version_first[a], ledger.version_last[a]
    n = last - first
    for i in range(n):
        row = ledger.version_rows[first + i] if len(ledger.version_rows) else first + i
        known = ledger.version_known[row]
        if known == NONE:
            known = ledger.opened[a]
        versions[i, _V_KNOWN] = known
        versions[i, _V_DUE_DATE] = ledger.due_date[row]
        versions[i, _V_DUE] = ledger.due[row]
        versions[i, _V_SLOT] = ledger.number[row]
        versions[i, _V_SEEN] = _seen(known, terms.as_of_days)
        numbers[i] = ledger.number[row]
    _sort(versions, n)
    for i in range(1, n):
        if numbers[i] < numbers[i - 1]:
            numbers[:n].sort()
            break
    n_slots = 0
    for i in range(n):
        if n_slots == 0 or numbers[i] != numbers[n_slots - 1]:
            numbers[n_slots] = numbers[i]
            n_slots += 1
    for i in range(n):
        versions[i, _V_SLOT] = _slot_of(numbers, n_slots, versions[i, _V_SLOT])
    return n, n_slots


@nb.njit(cache=True, nogil=True)
def _load_payments(ledger, terms, a, payments, numbers, n_slots):  # type: ignore[no-untyped-def]
    """Sort an account's payments; returns how many there are."""
    first, last = ledger.payment_first[a], ledger.payment_last[a]
    n = last - first
    for i in range(n):
        row = ledger.payment_rows[first + i] if len(ledger.payment_rows) else first + i
        named = ledger.named[row]
        payments[i, _P_KNOWN] = ledger.payment_known[row]
        payments[i, _P_PAID_ON] = ledger.paid_on[row]
        payments[i, _P_AMOUNT] = ledger.amount[row]
        payments[i, _P_SLOT] = -1 if named == NONE else _slot_of(numbers, n_slots, named)
        payments[i, _P_SEEN] = _seen(ledger.payment_known[row], terms.as_of_days)
        payments[i, _P_TECHNICAL] = ledger.technical[row]
    _sort(payments, n)
    return n


@nb.njit(cache=True, nogil=True)
def _arrange(slots, numbers, n_slots, place, queue, run, terms):  # type: ignore[no-untyped-def]
    """Line up the instalments in force with nothing paid; returns how many there are.

    ``slots`` holds due date and amount of each slot in force, ``place`` gets its row of the queue.
    """
    n = 0
    for k in range(n_slots):
        place[k] = -1
        if slots[k, 0] == NONE:
            continue
        p = n
        # Slots come by number, so equal due dates stay in that order.
        while p > 0 and queue[p - 1, DUE_DATE] > slots[k, 0]:
            queue[p, SLOT], queue[p, DUE_DATE] = queue[p - 1, SLOT], queue[p - 1, DUE_DATE]
            p -= 1
        queue[p, SLOT], queue[p, DUE_DATE] = run[_BASE] + k, slots[k, 0]
        n += 1
    before = 0
    for p in range(n):
        k = queue[p, SLOT] - run[_BASE]
        due = slots[k, 1]
        enough = due - max(terms.tolerance, round_up(due * terms.ratio))
        place[k] = p
        for c in range(PAID, _N_QUEUE):
            queue[p, c] = 0
        queue[p, NUMBER] = numbers[k]
        queue[p, DUE], queue[p, _ENOUGH], queue[p, _BEFORE] = due, enough, before
        queue[p, SETTLED] = 1 if enough <= 0 else 0
        queue[p, SETTLED_ON] = queue[p, DUE_DATE] if enough <= 0 else NONE
        queue[p, LAST] = NONE
        before += due
    run[_LEVEL], run[_NAMED_TOTAL], run[_CURSOR], run[_LOW], run[_HIGH] = 0, 0, -1, 0, n - 1
    return n


@nb.njit(cache=True, nogil=True)
def _move(queue, run, p, paid, day, received, technical):  # type: ignore[no-untyped-def]
    """Put an instalment's paid amount at ``paid`` on a day that received so much, so much of it technical."""
    before = queue[p, PAID]
    change = paid - before
    if change == 0:
        return
    if change > 0:
        queue[p, N_PAYMENTS] += 1
        queue[p, RECEIVED] += change
        queue[p, LAST] = day
        if technical > 0:
            queue[p, TECHNICAL] += round_up(float(change) * float(technical) / float(received))
    else:
        queue[p, N_REVERSALS] += 1
    if paid < queue[p, _ENOUGH]:
        queue[p, SETTLED], queue[p, SETTLED_ON] = 0, NONE
    elif before < queue[p, _ENOUGH]:
        queue[p, SETTLED], queue[p, SETTLED_ON] = 1, day
    queue[p, PAID] = paid
    run[_LOW], run[_HIGH] = min(run[_LOW], p), max(run[_HIGH], p)


@nb.njit(cache=True, nogil=True)
def _spread(queue, n, run, day, received, technical):  # type: ignore[no-untyped-def]
    """The rules for every instalment: claw-back from the newest named money, then FIFO."""
    level = run[_LEVEL]
    pool = level - run[_NAMED_TOTAL]
    named_before = 0
    for p in range(n):
        due = queue[p, DUE]
        named = _clip(queue[p, _NAMED], due)
        short_before = queue[p, _BEFORE] - named_before
        paid = _clip(level - named_before, named) + _clip(pool - short_before, due - named)
        _move(queue, run, p, paid, day, received, technical)
        named_before += named


@nb.njit(cache=True, nogil=True)
def _fill(queue, n, run, was, day, received, technical):  # type: ignore[no-untyped-def]
    """FIFO alone: move only what lies between the old running total and the new one."""
    level, p = run[_LEVEL], run[_CURSOR]
    if p < 0:
        p = 0
        while p < n and queue[p, _BEFORE] + queue[p, DUE] <= was:
            p += 1
    if level > was:
        while p < n and queue[p, _BEFORE] < level:
            _move(queue, run, p, _clip(level - queue[p, _BEFORE], queue[p, DUE]), day, received, technical)
            if queue[p, _BEFORE] + queue[p, DUE] > level:
                break
            p += 1
    else:
        p = min(p, n - 1)
        while p >= 0 and queue[p, _BEFORE] + queue[p, DUE] > level:
            _move(queue, run, p, _clip(level - queue[p, _BEFORE], queue[p, DUE]), day, received, technical)
            p -= 1
        p += 1
    run[_CURSOR] = p


@nb.njit(cache=True, nogil=True)
def _pay_day(payments, order, first, last, place, queue, n, run):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Count the payments ``order[first:last]``, all of one day, and move the instalments they reach."""
    day = payments[order[first], _P_PAID_ON]
    level, named_total = run[_LEVEL], run[_NAMED_TOTAL]
    received = technical = 0
    for i in range(first, last):
        row = order[i]
        amount, k = payments[row, _P_AMOUNT], payments[row, _P_SLOT]
        run[_LEVEL] += amount
        if amount > 0:
            received += amount
            technical += amount * payments[row, _P_TECHNICAL]
        if k >= 0 and place[k] >= 0:
            p = place[k]
            run[_NAMED_TOTAL] -= _clip(queue[p, _NAMED], queue[p, DUE])
            queue[p, _NAMED] += amount
            run[_NAMED_TOTAL] += _clip(queue[p, _NAMED], queue[p, DUE])
    if level == named_total and run[_LEVEL] == run[_NAMED_TOTAL]:
        for i in range(first, last):
            k = payments[order[i], _P_SLOT]
            if k >= 0 and place[k] >= 0:
                p = place[k]
                _move(queue, run, p, _clip(queue[p, _NAMED], queue[p, DUE]), day, received, technical)
    elif named_total == 0 and run[_NAMED_TOTAL] == 0:
        _fill(queue, n, run, level, day, received, technical)
    else:
        _spread(queue, n, run, day, received, technical)
        run[_CURSOR] = -1


@nb.njit(cache=True, nogil=True)
def _pay(payments, order, first, last, place, queue, n, run):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Count the payments ``order[first:last]`` day by day."""
    while first < last:
        day, end = payments[order[first], _P_PAID_ON], first + 1
        while end < last and payments[order[end], _P_PAID_ON] == day:
            end += 1
        _pay_day(payments, order, first, end, place, queue, n, run)
        first = end


@nb.njit(cache=True, nogil=True)
def _tell(queue, run, open_rows, seen, out, n_out):  # type: ignore[no-untyped-def]
    """Close the open states that no longer hold and append their successors; returns the rows of ``out``."""
    for p in range(run[_LOW], run[_HIGH] + 1):
        k = queue[p, SLOT] - run[_BASE]
        row = open_rows[k]
        if row >= 0:
            same = True
            for c in range(DUE_DATE, N_COLUMNS):
                if out[row, c] != queue[p, c]:
                    same = False
                    break
            if same:
                continue
            out[row, UNTIL] = seen
        for c in range(N_COLUMNS):
            out[n_out, c] = queue[p, c]
        out[n_out, FROM], out[n_out, UNTIL] = seen, NEVER
        open_rows[k] = n_out
        n_out += 1
    return n_out


@nb.njit(cache=True, nogil=True)
def _grow(rows, n):  # type: ignore[no-untyped-def]
    """Room for at least ``n`` rows."""
    if n <= len(rows):
        return rows
    larger = np.empty((2 * n, rows.shape[1]), rows.dtype)
    larger[: len(rows)] = rows
    return larger


@nb.njit(cache=True, nogil=True)
def _revise(versions, v, seen, slots):  # type: ignore[no-untyped-def]
    """Put the versions first seen on a day in force; returns the next one and whether anything changed."""
    changed = False
    while v < len(versions) and versions[v, _V_SEEN] == seen:
        k = versions[v, _V_SLOT]
        if slots[k, 0] != versions[v, _V_DUE_DATE] or slots[k, 1] != versions[v, _V_DUE]:
            slots[k, 0], slots[k, 1] = versions[v, _V_DUE_DATE], versions[v, _V_DUE]
            changed = True
        v += 1
    return v, changed


@nb.njit(cache=True, nogil=True)
def _receive(payments, j, seen, order):  # type: ignore[no-untyped-def]
    """Put the payments first seen on a day in order of payment; whether one falls on a day already told."""
    inserted, last_told = False, payments[order[j - 1], _P_PAID_ON] if j > 0 else NONE
    while j < len(payments) and payments[j, _P_SEEN] == seen:
        day = payments[j, _P_PAID_ON]
        i = j
        while i > 0 and payments[order[i - 1], _P_PAID_ON] > day:
            order[i] = order[i - 1]
            i -= 1
        order[i] = j
        inserted |= day <= last_told
        j += 1
    return j, inserted


@nb.njit(cache=True, nogil=True)
def _settle_account(versions, payments, numbers, scratch, terms, out, n_out):  # type: ignore[no-untyped-def]
    """Append all states of one account to ``out``, as they were told; returns it and its rows."""
    slots, place, queue, open_rows, order, run = scratch
    n_slots = len(numbers)
    slots[:n_slots, 0] = NONE
    open_rows[:n_slots] = -1
    place[:n_slots] = -1
    run[:_BASE] = 0
    v = j = n = 0
    while v < len(versions) or j < len(payments):
        seen = versions[v, _V_SEEN] if v < len(versions) else np.int64(NEVER)
        if j < len(payments):
            seen = min(seen, payments[j, _P_SEEN])
        if seen >= NEVER:
            break
        first = j
        v, revised = _revise(versions, v, seen, slots)
        j, inserted = _receive(payments, j, seen, order)
        run[_LOW], run[_HIGH] = n, -1
        if revised or inserted:
            n = _arrange(slots, numbers, n_slots, place, queue, run, terms)
            first = 0
        _pay(payments, order, first, j, place, queue, n, run)
        out = _grow(out, n_out + n)
        n_out = _tell(queue, run, open_rows, seen, out, n_out)
    return out, n_out


@nb.njit(cache=True, nogil=True)
def _order(out, n_out, accounts, n_slots):  # type: ignore[no-untyped-def]
    """The rows of ``out`` by slot and then as they were told; puts accounts in the place of slots."""
    place = np.zeros(n_slots + 1, np.int64)
    for row in range(n_out):
        place[out[row, SLOT] + 1] += 1
    for k in range(n_slots):
        place[k + 1] += place[k]
    order = np.empty(n_out, np.int64)
    for row in range(n_out):
        k = out[row, SLOT]
        order[place[k]] = row
        place[k] += 1
        out[row, SLOT] = accounts[k]
    return order


@nb.njit(cache=True, nogil=True)
def settle_accounts(ledger, terms, block, out):  # type: ignore[no-untyped-def]
    """All states of a block of accounts.

    Parameters
    ----------
    ledger : Ledger
    terms : Terms
    block : tuple of int
        The first account, the one after the last, and the account that is number 0 in the ledger.
    out : ndarray of int64, shape (any, 14)
        A buffer, to be handed in again: what it holds is overwritten, and it grows as needed.

    Returns
    -------
    out : ndarray of int64
        The buffer, with the states: account, instalment number, first day, first day no longer, due date,
        amount due, paid amount, settled (0 or 1), settled on, payments, reversals, technical and received
        amount, last paid on.
    order : ndarray of int64, shape (n_states,)
        Their rows in the buffer by account, instalment number and first day.
    """
    first, stop, offset = block[0] - block[2], block[1] - block[2], block[2]
    most_versions = most_payments = n_versions = 0
    for a in range(first, stop):
        n_versions += ledger.version_last[a] - ledger.version_first[a]
        most_versions = max(most_versions, ledger.version_last[a] - ledger.version_first[a])
        most_payments = max(most_payments, ledger.payment_last[a] - ledger.payment_first[a])
    accounts = np.empty(n_versions, np.int64)
    versions = np.empty((most_versions, _N_VERSION), np.int64)
    payments = np.empty((most_payments, _N_PAYMENT), np.int64)
    numbers = np.empty(most_versions, np.int64)
    run = np.zeros(_N_RUN, np.int64)
    scratch = (
        np.empty((most_versions, 2), np.int64), np.empty(most_versions, np.int64),
        np.empty((most_versions, _N_QUEUE), np.int64), np.empty(most_versions, np.int64),
        np.empty(most_payments, np.int64), run,
    )  # fmt: skip
    n_out = 0
    for a in range(first, stop):
        n, n_slots = _load_versions(ledger, terms, a, versions, numbers)
        m = _load_payments(ledger, terms, a, payments, numbers, n_slots)
        out, n_out = _settle_account(
            versions[:n], payments[:m], numbers[:n_slots], scratch, terms, out, n_out
        )
        for _ in range(n_slots):
            accounts[run[_BASE]] = a + offset
            run[_BASE] += 1
    return out, _order(out, n_out, accounts, run[_BASE])


@nb.njit(cache=True, nogil=True)
def group_rows(account, edges, rows):  # type: ignore[no-untyped-def]
    """List the rows by account: those of account ``a`` go to ``rows[edges[a]:edges[a + 1]]``.

    Parameters
    ----------
    account : ndarray of int32, shape (n_rows,)
    edges : ndarray of int64, shape (n_accounts + 1,)
        Running count of the rows of each account.
    rows : ndarray of int32, shape (n_rows,)
        Is filled.
    """
    place = edges[:-1].copy()
    for row in range(len(account)):
        a = account[row]
        rows[place[a]] = row
        place[a] += 1
