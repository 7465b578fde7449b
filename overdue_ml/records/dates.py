"""Dates as arguments: one reading of ``as_of`` for every stage."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from overdue_ml.errors import ConfigError

AsOf = str | dt.date
#: Days beyond these are slips of the pen; counted on from the last days of the calendar there is no date.
FIRST_DAY, LAST_DAY = dt.date(1900, 1, 1), dt.date(9000, 12, 31)
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def parse_date(value: AsOf, name: str = "as_of") -> dt.date:
    """A calendar date from a date or ``YYYY-MM-DD`` text; a clock time is cut off.

    Raises
    ------
    ConfigError
        If the text is not a date that exists, or the date lies outside of 1900 to 9000.

    Examples
    --------
    >>> parse_date("2005-09-30")
    datetime.date(2005, 9, 30)
    """
    day = value.date() if isinstance(value, dt.datetime) else value
    if not isinstance(day, dt.date):
        day = _read(day, name)
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigError(
            f"{day} is too far away", where=name, expected=f"a day from {FIRST_DAY} to {LAST_DAY}"
        )
    return day


def _read(text: str, name: str) -> dt.date:
    try:
        if not _ISO.match(text):
            raise ValueError
        return dt.date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ConfigError(
            f"'{text}' is not a date", where=name, expected="a day that exists, written YYYY-MM-DD"
        ) from None


def parse_dates(values: AsOf | Sequence[AsOf]) -> list[dt.date]:
    """One or many as_of dates, sorted, each once.

    Raises
    ------
    ConfigError
        If there is none, or one is not a date.
    """
    items = [values] if isinstance(values, str | dt.date) else list(values)
    if not items:
        raise ConfigError("no as_of date was given", expected="at least one date")
    return sorted({parse_date(item) for item in items})
