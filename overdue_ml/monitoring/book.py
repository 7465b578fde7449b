"""The aged book: buckets, growth, roll rates, cures, vintages and first-payment default, as known on a date.

All figures count accounts and what they owe. Every month end is told as it was known at its own end, so that
a payment that became known later changes no month before.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import ConfigError, NothingToScoreError
from overdue_ml.monitoring._book_tables import (
    N_BUCKETS,
    BookTables,
    bucket_codes,
    compute_cures,
    in_order,
)
from overdue_ml.records import Records
from overdue_ml.records.ageing import Ageing, compute_ageing
from overdue_ml.records.dates import AsOf, parse_date

#: Groups of accounts without a value, and of all values beyond the largest.
NO_VALUE, OTHER = "(unknown)", "(other)"
_MAX_GROUPS = 30


@dataclass(frozen=True)
class AgedBook:
    """Tables of the book of a date; shares are of accounts unless they are named after an amount.

    Attributes
    ----------
    as_of : date
    ageing : DataFrame
        as_of_date, bucket, accounts, amount, arrears_amount, count_share, amount_share, and accounts_growth
        and amount_growth against the month end before. The date itself and earlier month ends; the bucket
        ``unknown`` stands only where an account is in it, and arrears are missing where those of an account
        of the bucket are not known.
    totals : DataFrame
        as_of_date, accounts, amount, overdue_accounts, overdue_amount (1 day late and more),
        late_accounts, late_amount (more than 30 days), the shares of both in the book, amount_growth and
        late_amount_growth against the month end before, and amount_growth_12m.
    rolls : DataFrame
        from_date, to_date, before, after, accounts, amount (owed before), and the shares of both in those of
        the bucket before. Between two month ends; ``left`` are those in the book no more.
    cures : DataFrame
        to_date, bucket (``all`` for 1 day late and more), accounts, cured (current or all paid at the next
        month end), cure_rate, low, high (95 %).
    vintages : DataFrame
        vintage (month of opening), mob (months since), accounts, late_accounts (more than 30 days late at
        that month end), late_share, ever_share (at that or an earlier month end; missing where the first
        month end that is shown is later than the opening).
    first_payment : DataFrame
        month (of the first due date), accounts (of which it can be told), defaults, rate, low, high (95 %).
        Of a first due that statements tell, those of ``fpd_days`` and 32 days after it say whether it was
        missed; where none of them says it, the account is left out.
    groups : DataFrame
        column, group, bucket, accounts, amount, count_share, amount_share, on the date.
    group_rates : DataFrame
        column, group, accounts, amount, late_share, late_amount_share, cure_rate, first_payment_rate.
    fpd_days : int
        A first due that is later than this is a default.
    """

    as_of: dt.date
    ageing: pd.DataFrame
    totals: pd.DataFrame
    rolls: pd.DataFrame
    cures: pd.DataFrame
    vintages: pd.DataFrame
    first_payment: pd.DataFrame
    groups: pd.DataFrame
    group_rates: pd.DataFrame
    fpd_days: int

    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        names = (
            "ageing", "totals", "rolls", "cures", "vintages", "first_payment", "groups", "group_rates",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def roll_rates(self, weight: str = "accounts") -> pd.DataFrame:
        """Shares of each bucket that are in each bucket a month later, over all month ends that are shown.

        Parameters
        ----------
        weight : {'accounts', 'amount'}

        Returns
        -------
        DataFrame
            Rows: bucket before; columns: bucket after and ``left``; a row sums to 1, or is missing
            where nothing was in the bucket.

        Raises
        ------
        ConfigError
            If the weight is neither.
        """
        if weight not in ("accounts", "amount"):
            raise ConfigError(f"'{weight}' is no weight", expected="accounts or amount")
        wide = self.rolls.pivot_table(weight, "before", "after", aggfunc="sum", observed=False, sort=False)
        wide = wide.reindex(index=in_order(wide.index), columns=in_order(wide.columns))
        return wide.div(wide.sum(axis=1).where(lambda total: total > 0), axis=0)


def compute_book(
    records: Records,
    as_of: AsOf,
    *,
    months: int = 12,
    by: Sequence[str] | None = None,
    fpd_days: int = 30,
) -> AgedBook:
    """Age the book of a date and of the month ends before.

    Parameters
    ----------
    records : Records
        With statements, or instalments and payments. What became known later is not looked at.
    as_of : date or str
    months : int, default 12
        Month ends before the date, 1 to 120; those before the first account are left out.
    by : sequence of str, optional
        Columns of ``accounts`` or ``customers`` by which the book of the date is split; by default
        ``product`` where accounts have it.
    fpd_days : int, default 30
        A first due paid later than this, or not at all for longer, is a first-payment default.

    Returns
    -------
    AgedBook

    Raises
    ------
    ConfigError
        If a column is not there, or a number is out of range.
    NothingToScoreError
        If no account was in the book on the date.
    RecordsError
        If there are neither statements nor instalments with payments.
    """
    day = parse_date(as_of)
    if not 1 <= months <= 120:
        raise ConfigError(f"the number of months is {months}", expected="1 to 120")
    if not 1 <= fpd_days <= 3660:
        raise ConfigError(f"the days of a first-payment default are {fpd_days}", expected="1 to 3660")
    columns = _columns(records, by)
    found = compute_ageing(records, [*month_ends(day, months), day], fpd_days=fpd_days)
    codes = bucket_codes(found)
    if not (codes[:, -1] <= N_BUCKETS).any():
        raise NothingToScoreError(
            f"no account was in the book on {day}", next_step="choose a later date, or check the records"
        )
    first = int(np.argmax((codes <= N_BUCKETS).any(axis=0)))
    book = BookTables(found, codes, first, fpd_days)
    groups = [(name, *_groups_of(records, found, name)) for name in columns]
    ageing = book.ageing()
    rolls = book.rolls()
    return AgedBook(
        day,
        ageing,
        book.totals(),
        rolls,
        compute_cures(rolls),
        book.vintages(),
        book.first_payment(),
        pd.concat([book.of_groups(*group) for group in groups] or [book.of_groups("", [], None)]),
        pd.concat([book.group_rates(*group) for group in groups] or [book.group_rates("", [], None)]),
        fpd_days,
    )


def month_ends(as_of: dt.date, months: int) -> list[dt.date]:
    """The ends of the months before a date, the latest last; none before the calendar's first.

    Examples
    --------
    >>> [str(day) for day in month_ends(dt.date(2024, 3, 31), 2)]
    ['2024-01-31', '2024-02-29']
    """
    found, day = [], as_of
    # On a month end itself the month before is the latest that is earlier.
    for _ in range(months):
        first = day.replace(day=1)
        if first == dt.date.min:
            break
        day = first - dt.timedelta(days=1)
        found.append(day)
    return found[::-1]


def _columns(records: Records, by: Sequence[str] | None) -> list[str]:
    if by is None:
        return ["product"] if "product" in records.columns("accounts") else []
    known = {
        name: set(records.columns(name)) - {"customer_id", "account_id"}
        for name in ("accounts", "customers")
        if name in records
    }
    for name in by:
        if not any(name in columns for columns in known.values()):
            raise ConfigError(
                f"there is no column '{name}' to split the book by",
                where="accounts or customers",
                expected=f"one of {', '.join(sorted(set().union(*known.values())))}",
            )
    return list(dict.fromkeys(by))


def _groups_of(records: Records, found: Ageing, column: str) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of groups, the largest first, and the group of each account."""
    if column in records.columns("accounts"):
        values = records.tables["accounts"].sort_by("account_id").column(column)
    else:
        customers = records.tables["customers"]
        ids = customers.column("customer_id")
        place = pc.index_in(found.customer_id.cast(ids.type), value_set=ids)
        values = customers.column(column).take(place)
    text = pc.fill_null(values.cast(pa.string()), NO_VALUE).combine_chunks()
    encoded = text.dictionary_encode()
    names = [str(name) for name in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy().astype(np.int64)
    count = np.bincount(codes, minlength=len(names))
    order = sorted(range(len(names)), key=lambda i: (names[i] == NO_VALUE, -int(count[i]), names[i]))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    shown = [names[i] for i in order]
    if len(shown) > _MAX_GROUPS:
        rank, shown = np.minimum(rank, _MAX_GROUPS - 1), [*shown[: _MAX_GROUPS - 1], OTHER]
    return shown, rank[codes]
