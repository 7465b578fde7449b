"""Observation points against a day-by-day oracle, and the days before due dates by hand and by oracle."""

import datetime as dt

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.labels import before_due_dates, observation_points
from overdue_ml.records import load_records

WEEK = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
ONE_DAY = dt.timedelta(days=1)


def text(days):
    return [str(day) for day in days]


@pytest.mark.parametrize(
    ("start", "end", "options", "expected"),
    [
        ("2024-01-31", "2024-03-31", {}, ["2024-01-31", "2024-02-29", "2024-03-31"]),
        ("2023-02-01", "2023-03-30", {}, ["2023-02-28"]),
        ("2023-12-01", "2024-01-31", {}, ["2023-12-31", "2024-01-31"]),
        ("1900-02-01", "1900-02-28", {}, ["1900-02-28"]),
        ("2024-02-01", "2024-02-28", {}, []),
        ("2023-12-01", "2024-01-01", {"every": "month_start"}, ["2023-12-01", "2024-01-01"]),
        ("2023-12-02", "2023-12-31", {"every": "month_start"}, []),
        ("2024-02-28", "2024-03-01", {"every": "day"}, ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2024-02-29", "2024-02-29", {"every": "day"}, ["2024-02-29"]),
        # 1 February 2024 is a Thursday.
        ("2024-02-01", "2024-02-15", {"every": "week"}, ["2024-02-01", "2024-02-08", "2024-02-15"]),
        (
            "2024-02-01",
            "2024-02-18",
            {"every": "week", "weekday": "sunday"},
            ["2024-02-04", "2024-02-11", "2024-02-18"],
        ),
        (
            "2024-02-01",
            "2024-02-14",
            {"every": "week", "weekday": "wednesday"},
            ["2024-02-07", "2024-02-14"],
        ),
    ],
)
def test_points_by_hand(start, end, options, expected):
    assert text(observation_points(start, end, **options)) == expected


IS_POINT = {
    "day": lambda day: True,
    "month_start": lambda day: day.day == 1,
    "month_end": lambda day: (day + ONE_DAY).month != day.month,
}


@settings(max_examples=60, deadline=None)
@given(
    start=st.dates(dt.date(1970, 1, 1), dt.date(2099, 1, 1)),
    length=st.integers(0, 800),
    every=st.sampled_from(["day", "week", "month_start", "month_end"]),
    weekday=st.sampled_from([None, *WEEK]),
)
@example(dt.date(2000, 2, 29), 0, "month_end", None)
@example(dt.date(2024, 12, 31), 1, "month_end", None)
def test_points_are_the_days_that_a_walk_through_the_calendar_finds(start, length, every, weekday):
    end = start + length * ONE_DAY
    weekday = weekday if every == "week" else None
    asked = WEEK[start.weekday()] if weekday is None else weekday
    is_point = IS_POINT.get(every, lambda day: WEEK[day.weekday()] == asked)
    walked, day = [], start
    while day <= end:
        walked += [day] if is_point(day) else []
        day += ONE_DAY
    assert observation_points(start, end, every, weekday) == walked
    # Text and dates are the same argument.
    assert observation_points(str(start), str(end), every, weekday) == walked


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2024-03-01", "2024-02-29"), "the last observation day 2024-02-29 is before the first"),
        (("2024-02-30", "2024-03-01"), r"'2024-02-30' is not a date \[start\]"),
        (("2024-02-01", "tomorrow"), r"'tomorrow' is not a date \[end\]"),
        (("2024-01-01", "2024-03-01", "month"), "'month' is not a beat.*day or week or month_start or month"),
        (("2024-01-01", "2024-03-01", "week", "Sun"), "'Sun' is not a day of the week.*monday or"),
        (("2024-01-01", "2024-03-01", "month_end", "sunday"), "weekday was given with every='month_end'"),
    ],
)
def test_points_that_cannot_be(arguments, message):
    with pytest.raises(ConfigError, match=message):
        observation_points(*arguments)


def test_before_due_dates_by_hand(five):
    # Due dates: the 20th of February to July, 10 May and 4 June. Known from 31 January to 15 July.
    assert text(before_due_dates(five.records, 5)) == [
        "2024-02-15", "2024-03-15", "2024-04-15", "2024-05-05", "2024-05-15", "2024-05-30", "2024-06-15",
        "2024-07-15",
    ]  # fmt: skip
    # 20 February less 20 days is the first known day; 21 is before it. 20 July less 4 is after the last.
    assert text(before_due_dates(five.records, 20))[0] == "2024-01-31"
    assert text(before_due_dates(five.records, 21))[0] == "2024-02-28"
    assert text(before_due_dates(five.records, 4))[-1] == "2024-06-16"


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_before_due_dates_against_plain_python(ledgers, data):
    records = data.draw(ledgers.ledger())
    days_before = data.draw(st.integers(1, 45))
    rows = records.tables["statements"].to_pylist()
    known = [row["known_on"] or row["statement_date"] for row in rows]
    dues = {row["due_date"] - days_before * ONE_DAY for row in rows if row["due_date"]}
    expected = sorted(day for day in dues if min(known) <= day <= max(known))
    assert before_due_dates(records, days_before) == expected


def test_before_due_dates_that_cannot_be(five):
    with pytest.raises(ConfigError, match=r"0 days before a due date.*at least 1"):
        before_due_dates(five.records, 0)
    frames = five.frames | {"statements": five.frames["statements"].drop(columns="due_date")}
    with pytest.raises(RecordsError, match=r"'due_date' is missing \[table statements or instalments\]"):
        before_due_dates(load_records(frames), 3)
