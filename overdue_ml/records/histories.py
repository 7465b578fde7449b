"""Histories of instalments: every state, with the dates as of which it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from overdue_ml.errors import ConfigError
from overdue_ml.records._ledger import Int64Array
from overdue_ml.records._ledger_reading import Source
from overdue_ml.records._states import histories_of, settle_blocks
from overdue_ml.records.dates import AsOf
from overdue_ml.records.settlement import SettlementRules
from overdue_ml.records.states import UnsettledAccounts, customer_ranges, read_unsettled


def compute_histories(
    source: Source,
    rules: SettlementRules | None = None,
    *,
    as_of: AsOf | Sequence[AsOf] | None = None,
    wait_days: int = 0,
) -> pa.Table:
    """Every state of every instalment, as it became known.

    Parameters
    ----------
    source : Records, duckdb.DuckDBPyConnection or mapping of str to pyarrow.Table
        Where the three tables are.
    rules : SettlementRules, optional
        Those of the records' own settings otherwise, or all zero where there are none.
    as_of : date, str or sequence of these, optional
        Look at what is known on these dates only: states change on no other, and what is known after the
        last is left out. Every day otherwise.
    wait_days : int, default 0
        Count a payment as known so many days earlier, but never before ``paid_on``: what was paid by a
        day and posts within the wait. For judging outcomes, never for describing the past.

    Returns
    -------
    pyarrow.Table
        One row a state, sorted by customer_id, account_id, instalment_no, from_date; two consecutive
        states differ in something. The facts as of T are the rows with from_date <= T < until_date.

        - customer_id (null where accounts have none), account_id, instalment_no;
        - from_date, until_date: 0001-01-01 if always known, 9999-12-31 while it holds;
        - due_date, amount_due: of the version in force;
        - paid_amount, shortfall_amount: they add up to amount_due;
        - is_settled, settled_on: null until settled;
        - n_payments, n_reversals: days on which its paid amount rose, and fell;
        - technical_amount, received_amount: the sum of those rises, and what of it came on technical rows
          (null where payments do not say);
        - last_paid_on: the last day on which its paid amount rose.

        Its dpd as of T is (settled_on, else T) - due_date, never below 0.

    Raises
    ------
    RecordsError
        If a table, a column or a value that settlement needs is missing.
    ConfigError
        If ``as_of`` is empty or ``wait_days`` is negative.

    Examples
    --------
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
    ...     "payments": pa.table({"account_id": ["a"], "paid_on": [day("2024-03-10")], "amount": [100.0]}),
    ... }
    >>> states = compute_histories(tables)
    >>> [f"{day:%d %B}" for day in states["from_date"].to_pylist()], states["is_settled"].to_pylist()
    (['01 January', '10 March'], [False, True])
    """
    return pa.concat_tables(iter_histories(source, rules, as_of=as_of, wait_days=wait_days))


def iter_histories(
    source: Source,
    rules: SettlementRules | None = None,
    *,
    as_of: AsOf | Sequence[AsOf] | None = None,
    wait_days: int = 0,
    accounts_per_part: int = 100_000,
) -> Iterator[pa.Table]:
    """:func:`compute_histories` in consecutive parts, for ledgers whose states do not fit in memory.

    Parameters
    ----------
    source, rules, as_of, wait_days
        As for :func:`compute_histories`.
    accounts_per_part : int, default 100,000
        About so many accounts a part; a part ends only where a customer does.

    Yields
    ------
    pyarrow.Table
        Put together in order they are the table of :func:`compute_histories`.

    Raises
    ------
    RecordsError, ConfigError
        As :func:`compute_histories`; also if ``accounts_per_part`` is not above zero.
    """
    if accounts_per_part < 1:
        raise ConfigError(f"accounts_per_part is {accounts_per_part}", expected="at least 1")
    return _parts(read_unsettled(source, rules, as_of=as_of, wait_days=wait_days), accounts_per_part)


def _parts(unsettled: UnsettledAccounts, accounts_per_part: int) -> Iterator[pa.Table]:
    accounts = unsettled.accounts

    def convert(states: Int64Array, order: Int64Array) -> pa.Table:
        return histories_of(accounts, states, order)

    for part in customer_ranges(accounts.customers, accounts_per_part):
        yield pa.concat_tables(settle_blocks(unsettled.rows, unsettled.terms, part, convert))
