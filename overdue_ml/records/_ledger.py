"""The rows that settlement reads, as arrays grouped by account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: Amounts are whole multiples of 1/UNITS.
UNITS = 10_000

#: Days since 1970-01-01 of 0001-01-01 and 9999-12-31, and the stand-in for no date or no number.
ALWAYS, NEVER, NONE = -719_162, 2_932_896, -(2**31)

Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]


class Ledger(NamedTuple):
    """The rows of many accounts; dates in days since 1970-01-01, amounts in units.

    The rows of account ``a`` are ``version_rows[version_first[a]:version_last[a]]``; if ``version_rows`` is
    empty the range itself. The same for payments.
    """

    opened: Int32Array
    version_first: Int64Array
    version_last: Int64Array
    version_rows: Int32Array
    number: Int32Array
    due_date: Int32Array
    due: Int64Array
    version_known: Int32Array
    payment_first: Int64Array
    payment_last: Int64Array
    payment_rows: Int32Array
    paid_on: Int32Array
    amount: Int64Array
    named: Int32Array
    payment_known: Int32Array
    technical: npt.NDArray[np.uint8]

    def frozen(self) -> Ledger:
        """The same arrays, all read-only: the pass would be compiled again for each mixture of kinds."""
        views: list[npt.NDArray[Any]] = [values.view() for values in self]
        for values in views:
            values.flags.writeable = False
        return Ledger(*views)


class Terms(NamedTuple):
    """Tolerances, and the days on which knowledge is looked at (ascending; none: every day)."""

    tolerance: int
    ratio: float
    as_of_days: Int32Array


@dataclass(frozen=True)
class Accounts:
    """The accounts that have instalments, in order.

    Attributes
    ----------
    ids, customers : pyarrow.Array
    has_technical : bool
        Whether payments say which are technical.
    """

    ids: pa.Array
    customers: pa.Array
    has_technical: bool


class Rows(Protocol):
    """The rows of all accounts, which hands out those of a block of accounts."""

    def part(self, first: int, stop: int) -> tuple[Ledger, int]:
        """A ledger that has the accounts ``first`` to ``stop``, and the account that is its number 0."""


@dataclass(frozen=True)
class GatheredRows:
    """All rows in memory as one ledger."""

    ledger: Ledger

    def part(self, first: int, stop: int) -> tuple[Ledger, int]:  # noqa: ARG002
        """The whole ledger: the pass reads of it what it needs."""
        return self.ledger, 0
