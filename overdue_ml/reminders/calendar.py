"""When a customer may be contacted: days of contact, holidays, and hours on the customer's own clock."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overdue_ml.config import HoursConfig
from overdue_ml.reminders.scored import Bools, Days, Ints

#: A calendar without a day of contact in so many days has none.
_FARTHEST = 366


@dataclass(frozen=True)
class ContactWindow:
    """A day of contact with its hours, as ISO 8601 with the offset of the zone on that day.

    Attributes
    ----------
    day : datetime.date
    send_after, send_before : str
        First moment, and the first that is too late.
    """

    day: dt.date
    send_after: str
    send_before: str


def find_zone(name: str) -> zoneinfo.ZoneInfo | None:
    """The time zone of that name, if there is one."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def window_of(day: dt.date, zone: zoneinfo.ZoneInfo, hours: HoursConfig) -> ContactWindow | None:
    """The hours of contact of one day; None where its clock never shows them.

    When clocks are put forward or back a time may not exist, or come twice. The hours then begin with the
    later moment and end with the earlier one, so that the clock never shows a quiet hour within them.

    Parameters
    ----------
    day : datetime.date
    zone : zoneinfo.ZoneInfo
    hours : HoursConfig

    Examples
    --------
    >>> window_of(dt.date(2024, 7, 1), zoneinfo.ZoneInfo("Europe/Berlin"), HoursConfig()).send_after
    '2024-07-01T08:00:00+02:00'
    """
    start = max(_moments(day, hours.start, zone))
    end = min(_moments(day, hours.end, zone))
    # A day that a zone leaves out (by crossing the date line) is shown by no clock.
    if start >= end or start.astimezone(zone).date() != day:
        return None
    return ContactWindow(day, start.astimezone(zone).isoformat(), end.astimezone(zone).isoformat())


def _moments(day: dt.date, hour: str, zone: zoneinfo.ZoneInfo) -> list[dt.datetime]:
    """The moments, in UTC, that a clock time may mean."""
    if hour == "24:00":
        day, hour = day + dt.timedelta(days=1), "00:00"
    local = dt.datetime.combine(day, dt.time.fromisoformat(hour), tzinfo=zone)
    return [local.replace(fold=fold).astimezone(dt.UTC) for fold in (0, 1)]


def first_contact(as_of: dt.date, zone: zoneinfo.ZoneInfo, hours: HoursConfig) -> ContactWindow | None:
    """The first possible contact after an as_of date; None if there is none within a year.

    Parameters
    ----------
    as_of : datetime.date
    zone : zoneinfo.ZoneInfo
    hours : HoursConfig
    """
    weekdays, holidays = set(hours.weekdays), set(hours.holidays)
    for ahead in range(hours.first_day, hours.first_day + _FARTHEST):
        day = as_of + dt.timedelta(days=ahead)
        if day.isoweekday() in weekdays and day.isoformat() not in holidays:
            window = window_of(day, zone, hours)
            if window is not None:
                return window
    return None


@dataclass(frozen=True)
class ContactPlan:
    """The planned contact of each customer: the first that is possible.

    Attributes
    ----------
    knows_zone : ndarray of bool, shape (n,)
        Whether the customer's time zone exists.
    day : ndarray of datetime64[D], shape (n,)
        NaT where no contact is possible.
    window : ndarray of int64, shape (n,)
        Place in ``windows``, -1 where no contact is possible.
    windows : list of ContactWindow
    """

    knows_zone: Bools
    day: Days
    window: Ints
    windows: list[ContactWindow]


def plan_contacts(
    as_of: dt.date | None, zone: Ints, zones: Sequence[str], default: str, hours: HoursConfig
) -> ContactPlan:
    """Find the first possible contact of each customer, once for each different time zone.

    Parameters
    ----------
    as_of : datetime.date or None
        None where there are no customers.
    zone : ndarray of int64, shape (n,)
        Place in ``zones``, -1 for a customer without a zone of the customer's own.
    zones : sequence of str
    default : str
        Name of the zone of customers without one.
    hours : HoursConfig
    """
    # The last place stands for -1.
    found = [find_zone(name) for name in (*zones, default)]
    first = [first_contact(as_of, place, hours) if as_of and place else None for place in found]
    windows = [window for window in first if window is not None]
    days = np.array([None if window is None else window.day for window in first], dtype="datetime64[D]")
    has_window = np.array([window is not None for window in first])
    places = np.where(has_window, np.cumsum(has_window) - 1, -1)
    knows = np.array([place is not None for place in found])
    return ContactPlan(knows[zone], days[zone], places[zone], windows)
