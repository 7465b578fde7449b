"""Dates as arguments: one reading of ``as_of`` for every stage."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from overdue_ml.errors import ConfigError

AsOf = str | dt.date
_ISO = re.compile(r"^\d{4}-\d{2}-\d{2}$")


def parse_date(value: AsOf, name: str = "as_of") -> dt.date:
    """A calendar date from a date or ``YYYY-MM-DD`` text; a clock time is cut off.

    Raises
    ------
    ConfigError
        If the text is not a date that exists.

    Examples
    --------
    >>> parse_date("2005-09-30")
    datetime.date(2005, 9, 30)
    """
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, dt.date):
        return value
    try:
        if not _ISO.match(value):
            raise ValueError
        return dt.date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ConfigError(
            f"'{value}' is not a date", where=name, expected="a day that exists, written YYYY-MM-DD"
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
