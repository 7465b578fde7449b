"""The views of instalments: what settlement knew of each instalment, and when, as sorted arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.features.engine import Events, FloatArray, IntArray


class _States:
    """Columns of a table of states as NumPy arrays."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def numbers(self, name: str) -> FloatArray:
        """A column of numbers or flags; null is NaN."""
        column = self._table.column(name)
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())
        return np.asarray(column.to_numpy(), dtype=np.float64)

    def days(self, name: str) -> FloatArray:
        """A column of dates, in days since 1970-01-01; null is NaN."""
        return np.asarray(self._table.column(name).cast(pa.int32()).to_numpy(), dtype=np.float64)

    def whole_days(self, name: str) -> IntArray:
        """A column of dates without a null, in days since 1970-01-01."""
        return np.asarray(self._table.column(name).cast(pa.int32()).to_numpy(), dtype=np.int64)

    def settled_after(self) -> FloatArray:
        """Days from the due date to the settlement, negative if early; NaN while unsettled."""
        late = self.days("settled_on") - self.days("due_date")
        return np.asarray(np.where(self.numbers("is_settled") > 0, late, np.nan), dtype=np.float64)

    def technical_ratio(self) -> FloatArray:
        """Of the money received the share that was technical; NaN without any."""
        received = self.numbers("received_amount")
        none = np.full(len(received), np.nan)
        technical = self.numbers("technical_amount")
        return np.asarray(np.divide(technical, received, out=none, where=received > 0), dtype=np.float64)

    def due_month(self) -> IntArray:
        """Months from January 1970 to the month of the due date."""
        day = self.whole_days("due_date").astype("datetime64[D]")
        return day.astype("datetime64[M]").astype(np.int64)

    def due_month_day(self) -> FloatArray:
        """Day of the month of the due date, from 1."""
        day = self.whole_days("due_date").astype("datetime64[D]")
        return np.asarray((day - day.astype("datetime64[M]")).astype(np.float64) + 1.0, dtype=np.float64)

    def started(self) -> FloatArray:
        """1 where something is paid and something is still open."""
        is_started = (self.numbers("is_settled") == 0) & (self.numbers("paid_amount") > 0)
        return np.asarray(is_started, dtype=np.float64)


@dataclass(frozen=True)
class StateColumn:
    """A column of the views of instalments.

    Parameters
    ----------
    values : callable
        From the states to one number each.
    needs : frozenset of str
        ``table.column`` that it needs besides those that settlement cannot do without.
    ages : {0, 1, -1}
        Whether NaN stands for the days since the due date on the as_of date, or until it.
    """

    values: Callable[[_States], FloatArray]
    needs: frozenset[str] = frozenset()
    ages: int = 0


#: What settlement cannot do without.
STATE_NEEDS = frozenset({"instalments.due_date", "payments.paid_on"})

#: Views of instalments: those that have fallen due, those to come, and both.
STATE_VIEWS = ("instalments", "upcoming", "plan")

# Rounded, so that every machine has the same.
_SINES: FloatArray = np.sin(np.arange(12) * np.pi / 6).round(12)

#: Columns of the views of instalments.
STATE_COLUMNS: Mapping[str, StateColumn] = {
    "amount_due": StateColumn(lambda s: s.numbers("amount_due")),
    "paid_amount": StateColumn(lambda s: s.numbers("paid_amount")),
    "shortfall_amount": StateColumn(lambda s: s.numbers("shortfall_amount")),
    # Unsettled: the as_of date less the due date.
    "dpd": StateColumn(lambda s: np.maximum(s.settled_after(), 0.0), ages=1),
    "days_to_due": StateColumn(lambda s: np.full(len(s.numbers("amount_due")), np.nan), ages=-1),
    # 0 while unsettled, as in the facts.
    "days_early": StateColumn(lambda s: np.fmax(-s.settled_after(), 0.0)),
    "is_settled": StateColumn(lambda s: s.numbers("is_settled")),
    "unpaid": StateColumn(lambda s: 1.0 - s.numbers("is_settled")),
    "is_partial": StateColumn(_States.started),
    "n_payments": StateColumn(lambda s: s.numbers("n_payments")),
    "technical_ratio": StateColumn(_States.technical_ratio, frozenset({"payments.technical"})),
    "n_reversals": StateColumn(lambda s: s.numbers("n_reversals")),
    "is_first3": StateColumn(lambda s: np.asarray(s.numbers("instalment_no") <= 3, dtype=np.float64)),
    "due_month_day": StateColumn(_States.due_month_day),
    "due_month_sine": StateColumn(lambda s: _SINES[s.due_month() % 12]),
    "due_month_cosine": StateColumn(lambda s: _SINES[(s.due_month() + 3) % 12]),
}


def state_events(states: pa.Table, columns: list[str]) -> tuple[npt.NDArray[np.object_], Events]:
    """States of instalments as events of the pass.

    Parameters
    ----------
    states : pyarrow.Table
        As :func:`overdue_ml.records.iter_histories` gives them: sorted by customer_id, account_id,
        instalment_no and from_date.
    columns : list of str
        Of ``STATE_COLUMNS``.

    Returns
    -------
    customer_ids : ndarray of str, shape (n_customers,)
    events : Events
        Dated by due date; instalments due on one day in the order of their numbers.
    """
    found = _States(states)
    account = _runs(states.column("account_id"))
    account_first = np.flatnonzero(account)
    customer_first = np.flatnonzero(_runs(states.column("customer_id")))
    due, known, until = (found.whole_days(name) for name in ("due_date", "from_date", "until_date"))
    values = np.empty((states.num_rows, len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = STATE_COLUMNS[name].values(found)
    order = _order(np.cumsum(account), due, found.numbers("instalment_no").astype(np.int64), known)
    if order is not None:
        values, due, known, until = values[order], due[order], known[order], until[order]
    return states.column("customer_id").take(customer_first).to_numpy(), Events(
        columns=tuple(columns),
        values=values,
        event_day=due,
        known_day=known,
        until_day=until,
        account_start=np.append(account_first, states.num_rows).astype(np.int64),
        customer_start=np.append(np.searchsorted(account_first, customer_first), len(account_first)).astype(
            np.int64
        ),
        ageing={name: STATE_COLUMNS[name].ages for name in columns if STATE_COLUMNS[name].ages},
    )


def _runs(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a run of equal texts begins."""
    first = np.ones(len(column), dtype=np.bool_)
    if len(column) > 1:
        first[1:] = pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)).to_numpy()
    return first


def _order(account: IntArray, due: IntArray, number: IntArray, known: IntArray) -> IntArray | None:
    """Row order by account, due date, number and first day; None if the rows stand so already.

    Numbers nearly always follow due dates: only the accounts in which they do not are sorted.
    """
    same = account[1:] == account[:-1]
    falls = (due[1:] < due[:-1]) | (
        (due[1:] == due[:-1])
        & ((number[1:] < number[:-1]) | ((number[1:] == number[:-1]) & (known[1:] < known[:-1])))
    )
    unsorted = np.unique(account[1:][same & falls])
    if len(unsorted) == 0:
        return None
    order = np.arange(len(account))
    rows = np.flatnonzero(np.isin(account, unsorted))
    order[rows] = rows[np.lexsort((known[rows], number[rows], due[rows], account[rows]))]
    return order
