r"""A synthetic lender of any size whose true probability of an overdue instalment is known.

Always call it synthetic: every id begins with ``SYN``.

**The event.** For customer i and the month end T before month m: at least one instalment due in
(T, T + 31 days] is still short at the end of its due date + ``grace_days``, for no cause of the bank's. Due
days are 5, 10, 15, 20 and 22, so that each running loan has exactly one such instalment, and any horizon from
28 to 31 days means the same. A shortfall is at least a fifth of the instalment, so any ``tolerance_ratio``
below 0.2 agrees.

**The equations.** Loan a of customer i is late in month m with probability sigmoid(s), independently of other
loans and months given s and whether the customer was reminded (R = 1):

.. math::

    s_{a,m} = b_0 &+ u_i + b_1 D_i + b_2 B_i + b_3 (U_i - 0.4) + b_4 X_i + b_5 (G_a / 30 - 0.5) \\
              &+ b_6 L_a + b_7 H_i + b_8 O_a + b_9 A_a + \delta R_i F_i

- ``u`` ~ N(0, latent_std), the hidden effect of the customer, and ``F``, forgetful, two customers in five,
  stand in no table. All others are known at T from the tables:
- ``D`` = log((E + 1) / (income of the last month + 1)) within [-0.5, 1.5], where ``E`` is the exponential
  mean (weight 0.2, begun with the first) of the incomes before that;
- ``B`` = log((own dues in m + monthly dues elsewhere + 1) / (0.3 E + 1)) within [-1.5, 1.5];
- ``U`` balance over limit (0.4 without debts) and ``X`` = 1 if any days past due, both in the last report on
  debts elsewhere;
- ``G`` days from the usual payday to the due day, 0 to 29; 15 for irregular incomes;
- ``L`` = 1 if the loan's last instalment was late; ``H`` the exponential mean (weight 0.25) over the months
  of "any loan late"; ``O`` = 1 if a late instalment of the loan was not known to be settled at T;
- ``A`` instalments of the loan that have fallen due, at most 12.

Income is level x noise x (1 - depth of a shock); shocks come with 1.2 % and go with 20 % a month. The
coefficients are ``Coefficients`` in ``overdue_ml.records._lender``.

**Reminders.** Customers with a first instalment in m, or with H > 0.05, are eligible; a coin sends half of
them (``arm`` treated; the others holdout) a reminder on day 1 or 2 of month m, which adds delta = -1 to s
for the forgetful, whatever its ``outcome``. At T the coin has not been thrown.

**The truth.** With q(r) = 1 - prod over the loans of (1 - sigmoid(s | R = r)): ``p_if_reminded`` = q(1),
``p_if_not_reminded`` = q(0), ``p_overdue`` = (q(0) + q(1)) / 2 if eligible, else q(0). It knows what is
hidden, so no model can be expected to rank better.

**Drift.** From the first of a month on, b_0 rises by 0.5 and b_3 doubles; the draws stay the same. Without
drift the rate still rises in the first months, while histories build up.

**Payments.** If not late: on the due day, up to 7 days early, or within the grace days; 3 in 100 in two
parts; 1 in 100 paid, returned (a negative row, known a day later) and paid again in time; 4 in 1,000 late
for a technical cause. If late: 1 to 100 days beyond the grace, 3 in 10 after a part in time. No money for
month m comes before its day 3.

Loans are named (each payment names its instalment) or unnamed; in an unnamed one each instalment is settled
before the next one's first money, so that paying the oldest first gives the same. A restructured loan has a
second version of its remaining instalments, in number half as many again, known on the 26th of a month and in
force from the next month on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError
from overdue_ml.records._lender import Calendar, Coefficients, draw_block
from overdue_ml.records._lender_tables import OWNER, block_tables
from overdue_ml.records.dates import AsOf, parse_date

#: Customers drawn together from one generator: customer numbers k * BLOCK ... (k + 1) * BLOCK - 1.
BLOCK = 2_000
_MOST = 10**9


class LenderOptions(TypedDict, total=False):
    """The options of :func:`simulate`, for :func:`simulate_to`."""

    seed: int
    start: AsOf
    months: int
    grace_days: int
    drift: bool | AsOf


def simulate(
    n_customers: int,
    *,
    seed: int = 0,
    start: AsOf = "2022-01-01",
    months: int = 24,
    grace_days: int = 3,
    drift: bool | AsOf = False,
) -> dict[str, pa.Table]:
    """Draw the tables of a synthetic lender.

    The records of a customer depend on the options and the customer's number alone: the tables of fewer
    customers are the beginning of the tables of more.

    Parameters
    ----------
    n_customers : int
        From 1; customer ids are ``SYN000000000``, ``SYN000000001``, ...
    seed : int, default 0
    start : date or str, default '2022-01-01'
        First of a month. Loans are opened from the month before on.
    months : int, default 24
        Months with payments, 3 to 600; nothing known later than their end is in the tables, except
        instalments that fall due later by a plan known before.
    grace_days : int, default 3
        Days after the due date on which a payment is not late, 0 to 3. Label with the same number.
    drift : bool or date, default False
        The first of the month from which the process differs; True is two thirds of the months on.

    Returns
    -------
    dict of str to pyarrow.Table
        customers, accounts, instalments, payments, incomes, borrowings, contacts, each sorted by key and
        with the columns of its contract (``annual_rate`` as a fraction), and ``truth``: customer_id,
        as_of_date (month ends, from the day before ``start`` to the last day), p_overdue, log_odds,
        p_if_reminded, p_if_not_reminded, for customers with something due in the next month.

    Raises
    ------
    ConfigError
        If an argument is out of its range.

    Examples
    --------
    >>> tables = simulate(100, seed=7, months=6)
    >>> tables["customers"].num_rows, tables["truth"].column_names[:3]
    (100, ['customer_id', 'as_of_date', 'p_overdue'])
    """
    calendar = _calendar(start, months, grace_days, drift)
    _check_range("n_customers", n_customers, 1, _MOST)
    return _concatenated(_blocks(0, n_customers, seed, calendar))


def simulate_to(
    folder: str | Path, n_customers: int, *, part_customers: int = 50_000, **options: Unpack[LenderOptions]
) -> dict[str, int]:
    """Write the tables of :func:`simulate` as ``<table>/part-00000.parquet``, ... in bounded memory.

    One part holds ``part_customers`` customers in every table. Files have page checksums and get their
    name when they are whole.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    n_customers : int
    part_customers : int, default 50,000
        A multiple of ``BLOCK``; memory grows with it (450 MB in all for 50,000 customers, 24 months).
    **options
        ``seed``, ``start``, ``months``, ``grace_days``, ``drift`` as in :func:`simulate`.

    Returns
    -------
    dict of str to int
        Rows written to each table.

    Raises
    ------
    ConfigError
        If an argument is out of its range, or a table's folder already holds files.
    """
    calendar = _calendar(
        options.get("start", "2022-01-01"),
        options.get("months", 24),
        options.get("grace_days", 3),
        options.get("drift", False),
    )
    _check_range("n_customers", n_customers, 1, _MOST)
    if part_customers < BLOCK or part_customers % BLOCK:
        raise ConfigError(
            f"part_customers is {part_customers}", where="simulate_to", expected=f"a multiple of {BLOCK}"
        )
    homes = {name: Path(folder) / name for name in OWNER}
    for home in homes.values():
        home.mkdir(parents=True, exist_ok=True)
        if any(home.iterdir()):
            raise ConfigError(
                "the folder already holds files", where=str(home), next_step="empty it or name another one"
            )
    rows = dict.fromkeys(OWNER, 0)
    for part, first in enumerate(range(0, n_customers, part_customers)):
        stop = min(first + part_customers, n_customers)
        tables = _concatenated(_blocks(first, stop, options.get("seed", 0), calendar))
        # Taken out one by one: what is written must not stand beside the next part in memory.
        while tables:
            name, table = tables.popitem()
            _write_part(table, homes[name] / f"part-{part:05d}.parquet")
            rows[name] += table.num_rows
            del table
    return rows


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}", where="simulate", expected=f"{low} to {high}")


def _month_number(value: AsOf, name: str) -> int:
    day = parse_date(value, name)
    if day.day != 1:
        raise ConfigError(f"'{day}' is not the first of a month", where=name)
    return (day.year - 1970) * 12 + day.month - 1


def _calendar(start: AsOf, months: int, grace_days: int, drift: bool | AsOf) -> Calendar:
    _check_range("months", months, 3, 600)
    _check_range("grace_days", grace_days, 0, 3)
    first = _month_number(start, "start")
    if isinstance(drift, str | dt.date):
        drift_month: int | None = _month_number(drift, "drift") - first
    else:
        drift_month = 2 * months // 3 if drift else None
    return Calendar(first, months, grace_days, drift_month)


def _blocks(first: int, stop: int, seed: int, calendar: Calendar) -> Iterator[dict[str, pa.Table]]:
    """Tables of the customers ``first`` (the beginning of a block) to ``stop`` - 1, block by block."""
    _check_range("seed", seed, 0, 2**63 - 1)
    coefficients = Coefficients()
    for number in range(first // BLOCK, -(-stop // BLOCK)):
        source = np.random.SeedSequence(seed, spawn_key=(number,))
        rng = np.random.Generator(np.random.Philox(source))
        begin = number * BLOCK
        # Always whole blocks, cut afterwards: a draw may not depend on how many customers are wanted.
        block = draw_block(rng, BLOCK, calendar, coefficients)
        tables = block_tables(rng, block, begin)
        if stop < begin + BLOCK:
            end = f"SYN{stop:09d}"
            tables = {name: table.filter(pc.less(table[OWNER[name]], end)) for name, table in tables.items()}
        yield tables


def _concatenated(blocks: Iterator[dict[str, pa.Table]]) -> dict[str, pa.Table]:
    chunks: dict[str, list[pa.Table]] = {name: [] for name in OWNER}
    for tables in blocks:
        for name, table in tables.items():
            chunks[name].append(table)
    return {name: pa.concat_tables(parts) for name, parts in chunks.items()}


def _write_part(table: pa.Table, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.tmp")
    words = [field.name for field in table.schema if not pa.types.is_floating(field.type)]
    pq.write_table(
        table,
        unfinished,
        compression="zstd",
        compression_level=1,
        use_dictionary=[name for name in words if name != "payment_id"],
        write_page_checksum=True,
    )
    unfinished.replace(path)
