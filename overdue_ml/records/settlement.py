"""Settlement: which instalment was paid when, as the lender knew it at the end of a day.

The rules, in words. T is the as_of date; every amount is counted in whole units of 1/10,000.

*What is known.* An instalment version is known from its ``known_on``, else from the account's
``opened_on``, else always. A payment is known from its ``known_on``, else from ``paid_on`` +
``posting_lag_days``, and never before ``paid_on``. Rows known after T do not exist as of T. Of each
instalment the version with the latest ``known_on`` up to T is in force (on a tie the later due date,
then the larger amount), for the whole history as told at T.

*Where the money is at the end of a day*, counting the known payments and reversals (negative amounts)
with ``paid_on`` up to that day, in whatever order they came:

1. Named. The net sum of the rows that name an instalment in force goes to it, up to its amount due.
2. Pool. Everything else is one pool: rows that name nothing or an instalment not in force, the named
   surplus over the amount due, and named sums below zero.
3. FIFO. A pool above zero fills what is still short, oldest first by (due_date, instalment_no),
   instalments not yet due included.
4. Claw-back. A pool below zero (a reversal that names nothing, or too much) takes from the newest
   named money first. So the sum over instalments never exceeds the net sum paid.

A reversal therefore needs no partner: it lowers the running sum from its own ``paid_on`` and, for the
lender, from its own ``known_on``. Within a day only the net sums count.

*Settled.* The tolerance is max(tolerance_amount, tolerance_ratio x amount_due). An instalment is settled
as of T if its shortfall at the end of T is within the tolerance; ``settled_on`` is the first day from
which on it stayed so. (If a covering payment was reversed and made good, the day it was made good.) An
instalment within the tolerance without any payment counts as settled on its due date. The tolerance
forgives lateness, not debt: the pool still fills small old shortfalls before newer instalments.

*How it is computed.* A compiled pass tells each account's story day by day of knowledge and keeps every state
of every instalment (:func:`~overdue_ml.records.histories.compute_histories`); facts as of T are the states
that hold at T. :func:`~overdue_ml.records.settlement_sql.settle` gives the same facts as a DuckDB query.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError
from overdue_ml.records._ledger import UNITS as UNITS
from overdue_ml.records._ledger import Int64Array
from overdue_ml.records._ledger_reading import Source, read_ledger
from overdue_ml.records._states import facts_of, settle_blocks, terms_of
from overdue_ml.records.dates import AsOf
from overdue_ml.records.load import Records


@dataclass(frozen=True)
class SettlementRules:
    """The three numbers of settlement.

    Parameters
    ----------
    posting_lag_days : int, default 0
        Days from ``paid_on`` until the lender knows of a payment without ``known_on``; not negative.
    tolerance_amount : float, default 0
        A shortfall up to this amount is none; not negative.
    tolerance_ratio : float, default 0
        A shortfall up to this share of the amount due is none; from 0 to 1.

    Raises
    ------
    ConfigError
        If a number is out of range.
    """

    posting_lag_days: int = 0
    tolerance_amount: float = 0.0
    tolerance_ratio: float = 0.0

    def __post_init__(self) -> None:
        limits = {"posting_lag_days": 3660.0, "tolerance_amount": math.inf, "tolerance_ratio": 1.0}
        for name, limit in limits.items():
            value = getattr(self, name)
            if not (0 <= value <= limit and math.isfinite(value)):
                raise ConfigError(f"{name} is {value!r}", expected=f"a finite number from 0 to {limit:g}")

    @classmethod
    def of(cls, config: RecordsConfig) -> SettlementRules:
        """The rules in the settings by which records are read."""
        return cls(config.posting_lag_days, config.tolerance_amount, config.tolerance_ratio)


def rules_for(source: Source, rules: SettlementRules | None) -> SettlementRules:
    """The given rules, else those of the records' settings, else all zero."""
    if rules is None and isinstance(source, Records):
        return SettlementRules.of(source.config)
    return rules or SettlementRules()


def compute_facts(
    source: Source,
    as_of: AsOf | Sequence[AsOf],
    rules: SettlementRules | None = None,
) -> pa.Table:
    """Facts of every instalment as known at the end of one or many dates.

    Parameters
    ----------
    source : Records, duckdb.DuckDBPyConnection or mapping of str to pyarrow.Table
        Where the three tables are.
    as_of : date, str or sequence of these
    rules : SettlementRules, optional
        Those of the records' own settings otherwise, or all zero where there are none.

    Returns
    -------
    pyarrow.Table
        The columns of :func:`~overdue_ml.records.settlement_sql.settle`, sorted by as_of_date, account_id,
        instalment_no: the same bytes for any order of the rows that came in.

    Raises
    ------
    RecordsError
        If a table, a column or a value that settlement needs is missing.
    ConfigError
        If there is no as_of date.

    Examples
    --------
    Paid in part on time and in full ten days late; as of the due date nobody knows the latter.

    >>> import datetime as dt
    >>> day = dt.date.fromisoformat
    >>> tables = {
    ...     "accounts": pa.table({"account_id": ["a"], "opened_on": [day("2024-01-01")]}),
    ...     "instalments": pa.table(
    ...         {
    ...             "account_id": ["a"],
    ...             "instalment_no": [1],
    ...             "due_date": [day("2024-02-29")],
    ...             "amount_due": [100.0],
    ...         }
    ...     ),
    ...     "payments": pa.table(
    ...         {
    ...             "account_id": ["a", "a"],
    ...             "paid_on": [day("2024-02-28"), day("2024-03-10")],
    ...             "amount": [60.0, 40.0],
    ...         }
    ...     ),
    ... }
    >>> facts = compute_facts(tables, ["2024-03-01", "2024-03-31"])
    >>> facts["shortfall_amount"].to_pylist(), facts["dpd"].to_pylist()
    ([40.0, 0.0], [1, 10])
    """
    rules = rules_for(source, rules)
    terms = terms_of(rules.tolerance_amount, rules.tolerance_ratio, as_of)
    accounts, rows = read_ledger(source, rules.posting_lag_days, by_customer=False)

    def convert(states: Int64Array, order: Int64Array) -> list[pa.Table]:
        return facts_of(accounts, states, order, terms.as_of_days)

    blocks = settle_blocks(rows, terms, range(len(accounts.ids)), convert)
    return pa.concat_tables([facts for by_date in zip(*blocks, strict=True) for facts in by_date])
