"""States of instalments as plain numbers, block by block: what tables of histories are made of.

For code that goes through all states once and wants no table of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import ConfigError
from overdue_ml.records._ledger import Accounts, Int64Array, Rows, Terms
from overdue_ml.records._ledger_reading import Source, read_ledger
from overdue_ml.records._states import settle_blocks, terms_of
from overdue_ml.records.dates import AsOf
from overdue_ml.records.settlement import SettlementRules, rules_for

_T = TypeVar("_T")
#: Gets states and the rows that are those of a block; see :meth:`UnsettledAccounts.visit`.
StateVisitor = Callable[[Int64Array, Int64Array], _T]
#: Accounts of a block: its states fit into a processor's cache, and Python is called seldom enough.
_PER_BLOCK = 2_000


@dataclass(frozen=True)
class UnsettledAccounts:
    """Accounts whose instalments and payments stand ready to be settled.

    Attributes
    ----------
    accounts : Accounts
        By customer_id and account_id; a null customer comes last.
    rows : Rows
    terms : Terms
    """

    accounts: Accounts
    rows: Rows
    terms: Terms

    @property
    def customers(self) -> pa.Array:
        """Customer of each account."""
        return self.accounts.customers

    def visit(
        self,
        visitor: StateVisitor[_T],
        n_threads: int | None = None,
        accounts_per_block: int = _PER_BLOCK,
    ) -> list[_T]:
        """Settle the accounts in blocks and show a visitor the states of each.

        Parameters
        ----------
        visitor : callable
            Gets states, shape (any, 15), and the rows that are states of this block, by account,
            instalment number and first day; both are overwritten after the call. Columns are those of
            ``overdue_ml.records.state_columns``: the first is the position of the account. Several threads
            call it; a customer's accounts come in one call.
        n_threads : int, optional
            All cores by default.
        accounts_per_block : int, default 2,000

        Returns
        -------
        list
            What the visitor returned, in the order of accounts.
        """
        blocks = list(customer_ranges(self.customers, accounts_per_block))
        return settle_blocks(self.rows, self.terms, blocks, visitor, n_threads)


class StateReader(Protocol):
    """Whoever wants the states that somebody else has settled."""

    def read(self, unsettled: UnsettledAccounts) -> StateVisitor[None]:
        """What is to be shown the states of each block of these accounts."""


def read_unsettled(
    source: Source,
    rules: SettlementRules | None = None,
    *,
    as_of: AsOf | Sequence[AsOf] | None = None,
    wait_days: int = 0,
) -> UnsettledAccounts:
    """Read what settlement needs.

    Parameters
    ----------
    source, rules, as_of, wait_days
        As for :func:`overdue_ml.records.compute_histories`.

    Raises
    ------
    RecordsError
        If a table, a column or a value that settlement needs is missing.
    ConfigError
        If ``as_of`` is empty or ``wait_days`` is negative.
    """
    if not 0 <= wait_days <= 3660:
        raise ConfigError(f"wait_days is {wait_days}", expected="a number from 0 to 3660")
    rules = rules_for(source, rules)
    terms = terms_of(rules.tolerance_amount, rules.tolerance_ratio, as_of)
    accounts, rows = read_ledger(source, rules.posting_lag_days, wait_days, by_customer=True)
    return UnsettledAccounts(accounts, rows, terms)


def customer_ranges(customers: pa.Array, size: int) -> Iterator[range]:
    """Ranges of at least ``size`` accounts that end where a customer does; a null is nobody's customer.

    Parameters
    ----------
    customers : pyarrow.Array
        Customer of each account, sorted.
    size : int
    """
    changes = pc.fill_null(pc.not_equal(customers[1:], customers[:-1]), True)
    ends = np.append(np.flatnonzero(changes.to_numpy(zero_copy_only=False)) + 1, len(customers))
    first = 0
    while first < len(customers):
        stop = int(ends[min(int(np.searchsorted(ends, first + size)), len(ends) - 1)])
        yield range(first, stop)
        first = stop
    if not len(customers):
        yield range(0)
