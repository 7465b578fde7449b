"""Hours of contact when clocks change, days of contact, holidays."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import HoursConfig
from overdue_ml.reminders.calendar import find_zone, first_contact, window_of

D = dt.date.fromisoformat


def hours_of(day, zone, start="08:00", end="21:00"):
    found = window_of(D(day), zoneinfo.ZoneInfo(zone), HoursConfig(start=start, end=end))
    return None if found is None else (found.send_after, found.send_before)


@pytest.mark.parametrize(
    ("day", "zone", "start", "end", "after", "before"),
    [
        # Berlin puts clocks from 02:00 to 03:00 on 31 March 2024, and from 03:00 to 02:00 on 27 October.
        ("2024-03-30", "Europe/Berlin", "08:00", "21:00",
         "2024-03-30T08:00:00+01:00", "2024-03-30T21:00:00+01:00"),
        ("2024-03-31", "Europe/Berlin", "08:00", "21:00",
         "2024-03-31T08:00:00+02:00", "2024-03-31T21:00:00+02:00"),
        # 02:30 does not exist: the hours begin an hour later on the clock, and end an hour earlier.
        ("2024-03-31", "Europe/Berlin", "02:30", "21:00",
         "2024-03-31T03:30:00+02:00", "2024-03-31T21:00:00+02:00"),
        ("2024-03-31", "Europe/Berlin", "01:00", "02:30",
         "2024-03-31T01:00:00+01:00", "2024-03-31T01:30:00+01:00"),
        # 02:30 comes twice: they begin with the second and end with the first.
        ("2024-10-27", "Europe/Berlin", "02:30", "21:00",
         "2024-10-27T02:30:00+01:00", "2024-10-27T21:00:00+01:00"),
        ("2024-10-27", "Europe/Berlin", "01:00", "02:30",
         "2024-10-27T01:00:00+02:00", "2024-10-27T02:30:00+02:00"),
        ("2024-03-31", "Asia/Shanghai", "08:00", "21:00",
         "2024-03-31T08:00:00+08:00", "2024-03-31T21:00:00+08:00"),
        ("2024-07-01", "America/Sao_Paulo", "08:00", "24:00",
         "2024-07-01T08:00:00-03:00", "2024-07-02T00:00:00-03:00"),
        # Sao Paulo put clocks from midnight to 01:00 on 4 November 2018, and back on 18 February.
        ("2018-11-04", "America/Sao_Paulo", "00:00", "21:00",
         "2018-11-04T01:00:00-02:00", "2018-11-04T21:00:00-02:00"),
        ("2018-11-03", "America/Sao_Paulo", "08:00", "24:00",
         "2018-11-03T08:00:00-03:00", "2018-11-03T23:00:00-03:00"),
        # 23:30 came twice on 17 February, and the day had 25 hours.
        ("2018-02-17", "America/Sao_Paulo", "08:00", "23:30",
         "2018-02-17T08:00:00-02:00", "2018-02-17T23:30:00-02:00"),
        ("2018-02-17", "America/Sao_Paulo", "00:00", "24:00",
         "2018-02-17T00:00:00-02:00", "2018-02-18T00:00:00-03:00"),
        ("2024-02-01", "Asia/Kathmandu", "08:00", "21:00",
         "2024-02-01T08:00:00+05:45", "2024-02-01T21:00:00+05:45"),
    ],
)  # fmt: skip
def test_hours_on_the_customers_clock(day, zone, start, end, after, before):
    assert hours_of(day, zone, start, end) == (after, before)


def test_hours_that_a_day_does_not_have():
    # Between 02:00 and 03:00 nobody could be contacted on 31 March; Samoa left out all of 30 December 2011.
    assert hours_of("2024-03-31", "Europe/Berlin", "02:00", "03:00") is None
    assert hours_of("2011-12-30", "Pacific/Apia") is None
    assert hours_of("2011-12-29", "Pacific/Apia")[1] == "2011-12-29T21:00:00-10:00"


_zones = st.sampled_from(
    ["UTC", "Europe/Berlin", "Asia/Shanghai", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia",
     "America/St_Johns", "Africa/Casablanca"]
)  # fmt: skip
#: Days on which one of the zones changes its clocks, and any others.
_days = st.one_of(
    st.dates(D("2005-01-01"), D("2030-12-31")),
    st.sampled_from(
        ["2024-03-31", "2024-10-27", "2018-11-03", "2018-11-04", "2018-02-17", "2018-02-18", "2024-04-07",
         "2024-10-06", "2011-12-29", "2011-12-31", "2006-10-28", "2006-10-29"]
    ).map(D),
)  # fmt: skip
_minutes = st.integers(0, 24 * 60)


def _clock(minute):
    return f"{minute // 60:02d}:{minute % 60:02d}"


@settings(max_examples=300)
@given(_days, _zones, _minutes, _minutes)
def test_the_clock_never_shows_a_quiet_hour(day, name, one, other):
    if one == other:
        return
    start, end = min(one, other), max(one, other)
    zone = zoneinfo.ZoneInfo(name)
    found = window_of(day, zone, HoursConfig(start=_clock(start), end=_clock(end)))
    if found is None:
        return
    after, before = (dt.datetime.fromisoformat(t) for t in (found.send_after, found.send_before))
    assert after < before
    moment, step = after, dt.timedelta(minutes=7)
    while moment < before:
        local = moment.astimezone(dt.UTC).astimezone(zone)
        assert local.date() == day == found.day
        assert start <= local.hour * 60 + local.minute < end
        moment += step


@pytest.mark.parametrize(
    ("as_of", "change", "day"),
    [
        ("2024-01-31", {}, "2024-02-01"),
        ("2024-01-31", {"first_day": 0}, "2024-01-31"),
        ("2024-01-31", {"first_day": 31}, "2024-03-02"),
        # 2 February 2024 is a Friday.
        ("2024-02-02", {"weekdays": [1, 2, 3, 4, 5]}, "2024-02-05"),
        ("2024-02-02", {"weekdays": [1, 2, 3, 4, 5], "holidays": ["2024-02-05"]}, "2024-02-06"),
        ("2024-02-02", {"weekdays": [7]}, "2024-02-04"),
        ("2024-02-27", {"holidays": ["2024-02-28", "2024-02-29"]}, "2024-03-01"),
        ("2024-12-31", {"holidays": ["2025-01-01"]}, "2025-01-02"),
    ],
)
def test_the_first_day_of_contact(as_of, change, day):
    for zone in ("UTC", "Pacific/Kiritimati", "Pacific/Niue"):
        found = first_contact(D(as_of), zoneinfo.ZoneInfo(zone), HoursConfig(**change))
        assert found.day == D(day)
        assert found.send_after.startswith(day)


def test_a_day_without_its_hours_is_no_day_of_contact():
    apia = zoneinfo.ZoneInfo("Pacific/Apia")
    assert first_contact(D("2011-12-29"), apia, HoursConfig()).day == D("2011-12-31")
    night = HoursConfig(start="02:00", end="03:00")
    assert first_contact(D("2024-03-30"), zoneinfo.ZoneInfo("Europe/Berlin"), night).day == D("2024-04-01")


def test_a_calendar_without_days():
    sundays = [(D("2024-02-04") + dt.timedelta(days=7 * week)).isoformat() for week in range(60)]
    hours = HoursConfig(weekdays=[7], holidays=sundays)
    assert first_contact(D("2024-01-31"), zoneinfo.ZoneInfo("UTC"), hours) is None
    # The first Sunday that is not on the list is 30 March 2025, too far ahead.
    assert D(sundays[-1]) == D("2025-03-23")


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "x" * 10_000, "Asia", "a\x00b"])
def test_names_that_are_no_zone(name):
    assert find_zone(name) is None
    assert find_zone("Asia/Shanghai").key == "Asia/Shanghai"
