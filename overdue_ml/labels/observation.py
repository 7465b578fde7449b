"""Observation points: the as_of dates of training, by the calendar or by the due dates in the records."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator
from typing import Literal, get_args

from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records import Records
from overdue_ml.records.dates import AsOf, parse_date
from overdue_ml.records.facts import known_on_sql

Every = Literal["day", "week", "month_start", "month_end"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def observation_points(
    start: AsOf, end: AsOf, every: Every = "month_end", weekday: Weekday | None = None
) -> list[dt.date]:
    """As_of dates at a steady beat, from ``start`` to ``end``, both included.

    Parameters
    ----------
    start, end : date or str
        The first and the last day that may be a point; they need not be points themselves.
    every : {'day', 'week', 'month_start', 'month_end'}, default 'month_end'
        Month ends follow the calendar: 29 February in a leap year.
    weekday : str, optional
        Name of the day for ``every='week'``; that of ``start`` by default.

    Returns
    -------
    list of datetime.date
        Sorted, each once; empty if no point lies between.

    Raises
    ------
    ConfigError
        If a date or a name cannot be used, ``end`` is before ``start``, or ``weekday`` is given with
        another beat.

    Examples
    --------
    >>> [str(day) for day in observation_points("2024-01-15", "2024-03-31")]
    ['2024-01-31', '2024-02-29', '2024-03-31']
    """
    first, last = parse_date(start, "start"), parse_date(end, "end")
    if last < first:
        raise ConfigError(f"the last observation day {last} is before the first, {first}", where="end")
    if every not in get_args(Every):
        raise ConfigError(f"'{every}' is not a beat", where="every", expected=" or ".join(get_args(Every)))
    if weekday is not None and weekday not in get_args(Weekday):
        raise ConfigError(
            f"'{weekday}' is not a day of the week", where="weekday", expected=" or ".join(get_args(Weekday))
        )
    if weekday is not None and every != "week":
        raise ConfigError(
            f"a weekday was given with every='{every}'", where="weekday", expected="it with every='week' only"
        )
    if every in ("month_start", "month_end"):
        return [day for day in _months(first, last, at_end=every == "month_end") if first <= day <= last]
    step = 7 if every == "week" else 1
    skipped = 0 if weekday is None else (get_args(Weekday).index(weekday) - first.weekday()) % 7
    return [first + dt.timedelta(days=n) for n in range(skipped, (last - first).days + 1, step)]


def _months(first: dt.date, last: dt.date, *, at_end: bool) -> Iterator[dt.date]:
    for month in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        year, number = divmod(month, 12)
        day = calendar.monthrange(year, number + 1)[1] if at_end else 1
        yield dt.date(year, number + 1, day)


def before_due_dates(records: Records, days_before: int) -> list[dt.date]:
    """The days that lie ``days_before`` days before a due date of a statement or an instalment.

    Parameters
    ----------
    records : Records
    days_before : int
        At least 1: on its due date an amount is no longer ahead.

    Returns
    -------
    list of datetime.date
        Sorted, each once; only days from the first to the last on which a statement or a payment became
        known. Statements without a due date give none.

    Raises
    ------
    ConfigError
        If ``days_before`` is below 1.
    RecordsError
        If the records have no due dates.
    """
    if days_before < 1:
        raise ConfigError(f"{days_before} days before a due date", where="days_before", expected="at least 1")
    tables = [name for name in ("statements", "instalments") if "due_date" in records.columns(name)]
    if not tables:
        raise RecordsError(
            "the column 'due_date' is missing", where="table statements or instalments", next_step="add it"
        )
    due = " UNION ".join(f"SELECT due_date FROM {name}" for name in tables)
    known = " UNION ALL ".join(
        f"SELECT {known_on_sql(records, name, date)} AS day FROM {name}"
        for name, date in (("statements", "statement_date"), ("payments", "paid_on"))
        if name in records
    )
    with records.connect() as con:
        rows = con.execute(
            f"""
            WITH reach AS (SELECT min(day) AS first_day, max(day) AS last_day FROM ({known}))
            SELECT DISTINCT due_date - CAST($days AS INTEGER) AS day FROM ({due}) CROSS JOIN reach
            WHERE due_date - CAST($days AS INTEGER) BETWEEN first_day AND last_day ORDER BY day
            """,
            {"days": days_before},
        ).fetchall()
    return [day for (day,) in rows]
