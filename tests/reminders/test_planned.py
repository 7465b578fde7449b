"""Contacts that earlier runs planned for later days: they count as contacts, and take room."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import ChannelRule, ContactCap, ContactsConfig, HoursConfig, RemindersConfig
from overdue_ml.reminders import ReminderInputs, ask_alone, rank_customers

from .conftest import AS_OF, inputs, listed, rules, scores

FEBRUARY = dt.date(2024, 2, 1)


def planned(*rows):
    """Rows are (customer, day of 2024, channel)."""
    days = [dt.date.fromisoformat(f"2024-{day}") for _, day, _ in rows]
    return pd.DataFrame(
        {
            "customer_id": pd.Series([r[0] for r in rows], dtype="str"),
            "contact_on": days,
            "channel": pd.Series([r[2] for r in rows], dtype="str"),
        }
    )


def rule_of(config, *days, contacts=()):
    """The rule for 'a', whose contacts were planned for these days; None: reminded."""
    known = inputs(
        [],
        [("a", day, n) for day, n in contacts],
        planned=planned(*[("a", day, None) for day in days], ("z", "02-01", None)),
    )
    return rules(rank_customers(scores(customer_id=["a"]), config, known)).get("a")


@pytest.mark.parametrize(
    ("cooldown", "days", "rule"),
    [
        # The reminder is on 1 February; as on the contacts of the past, so many days must lie between.
        (1, ["02-01"], "cooldown"),
        (0, ["02-01"], None),
        # Another calendar planned a later day: the reminder must not stand too close before it either.
        (3, ["02-03"], "cooldown"),
        (2, ["02-03"], None),
        (3, ["02-04"], None),
        # What was planned for days up to the as_of date, 31 January, is history.
        (3, ["01-30", "01-31"], None),
    ],
)
def test_cooldown(cooldown, days, rule):
    assert rule_of(RemindersConfig(contacts=ContactsConfig(cooldown_days=cooldown)), *days) == rule


@pytest.mark.parametrize(
    ("caps", "contacts", "days", "rule"),
    [
        ([(1, 1)], [], ["02-01"], "over_contact_cap"),
        ([(1, 2)], [], ["02-01"], None),
        ([(1, 2)], [], ["02-01", "02-01"], "over_contact_cap"),
        ([(1, 1)], [], ["02-02"], None),
        ([(2, 1)], [], ["02-02"], "over_contact_cap"),
        ([(2, 1)], [], ["02-03"], None),
        # 31 January, 1 and 2 February stand in one window of three days, but not in one of two.
        ([(3, 2)], [("2024-01-31", 1)], ["02-02"], "over_contact_cap"),
        ([(2, 2)], [("2024-01-31", 1)], ["02-02"], None),
        # Two windows of four days hold the reminder and two contacts each, none all four.
        ([(4, 2)], [("2024-01-30", 1), ("2024-01-31", 1)], [], "over_contact_cap"),
        ([(4, 3)], [("2024-01-29", 1), ("2024-01-30", 1)], ["02-03", "02-04"], None),
        ([(1, 1)], [], ["01-31"], None),
    ],
)
def test_caps(caps, contacts, days, rule):
    named = [ContactCap(days=length, contacts=n) for length, n in caps]
    assert rule_of(RemindersConfig(contacts=ContactsConfig(caps=named)), *days, contacts=contacts) == rule


@settings(max_examples=150)
@given(
    contacts=st.dictionaries(st.integers(0, 7), st.integers(1, 3), max_size=4),
    ahead=st.lists(st.integers(-2, 9), max_size=5),
    caps=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5)), max_size=3),
    cooldown=st.integers(0, 5),
    first_day=st.integers(0, 4),
)
def test_as_counted_over_every_window(contacts, ahead, caps, cooldown, first_day):
    """Every window of every cap that holds the reminder, one after another."""
    named = [ContactCap(days=length, contacts=n) for length, n in caps]
    config = RemindersConfig(
        contacts=ContactsConfig(caps=named, cooldown_days=cooldown), hours=HoursConfig(first_day=first_day)
    )
    today = AS_OF.date()
    past = [(today - dt.timedelta(days=back), n) for back, n in contacts.items()]
    later = [today + dt.timedelta(days=n) for n in ahead]
    found = rule_of(config, *[f"{day:%m-%d}" for day in later], contacts=past)
    days = [day for day, n in past for _ in range(n)] + [day for day in later if day > today]
    on = today + dt.timedelta(days=first_day)
    near = any(abs((day - on).days) < cooldown for day in days)
    full = False
    for length, most in caps:
        for back in range(length):
            since = on - dt.timedelta(days=back)
            window = [since + dt.timedelta(days=i) for i in range(length)]
            full |= sum(day in window for day in [*days, on]) > most
    # A contact on the as_of date itself may be one of the past: nothing else is asked of these customers.
    assert found == ("cooldown" if near else "over_contact_cap" if full else None)


def test_room_is_taken_by_channel_and_day_whoever_it_is_for():
    config = RemindersConfig(
        contacts=ContactsConfig(caps=[]),
        daily_capacity=7,
        channels=[
            ChannelRule(channel="sms", daily_capacity=3),
            ChannelRule(channel="call", daily_capacity=4),
        ],
    )
    ids = [f"c{i}" for i in range(9)]
    table = scores(customer_id=ids, p_overdue=[0.9 - 0.05 * i for i in range(9)])

    def channels(*rows):
        found = rank_customers(table, config, inputs(planned=planned(*rows))).reminders
        return found["channel"].tolist()

    assert channels() == ["sms"] * 3 + ["call"] * 4
    # Two messages of strangers are planned for the day: one is left, then calls.
    strangers = [("x", "02-01", "sms"), ("y", "02-01", "SMS")]
    assert channels(*strangers) == ["sms"] + ["call"] * 4
    # Letters are none of the channels; they take of the day's seven all the same.
    letters = [
        (name, "02-01", word) for name, word in zip("opqr", ["letter", "letter", None, None], strict=True)
    ]
    assert channels(*letters) == ["sms"] * 3
    assert channels(*strangers, *letters) == ["sms"]
    # More than there is room for leave none, and other days are of no account.
    assert channels(*strangers * 4) == []
    assert (
        channels(*strangers, *[(n, d, "sms") for n in "st" for d in ("01-31", "02-02")])
        == ["sms"] + ["call"] * 4
    )


def test_without_channels_the_day_alone_has_room():
    config = RemindersConfig(daily_capacity=2)
    known = inputs(planned=planned(("x", "02-01", "sms"), ("y", "02-02", None)))
    found = rank_customers(scores(customer_id=["a", "b"], p_overdue=[0.5, 0.6]), config, known)
    assert listed(found) == ["b"]
    assert rules(found) == {"a": "over_capacity"}


def test_the_reminders_of_a_run_can_be_given_as_they_are():
    """Whatever kinds of columns a notebook has at hand."""
    config = RemindersConfig(contacts=ContactsConfig(cooldown_days=1), capacity=1)
    table = scores(customer_id=["a", "b"], p_overdue=[0.5, 0.6])
    first = rank_customers(table, config).reminders
    assert listed(rank_customers(table, config, inputs(planned=first))) == ["a"]
    as_dates = first.assign(contact_on=first["contact_on"].dt.date)
    assert listed(rank_customers(table, config, inputs(planned=as_dates))) == ["a"]
    assert first["contact_on"].dt.date.tolist() == [FEBRUARY]


def test_parts_hold_their_own():
    one = inputs(planned=planned(("a", "02-01", "sms")))
    two = inputs(planned=planned(("b", "02-01", None), ("b", "02-02", None)))
    both = ReminderInputs.concat([one, inputs(), two])
    assert both.planned["customer_id"].tolist() == ["a", "b", "b"]
    config = RemindersConfig(contacts=ContactsConfig(caps=[ContactCap(days=2, contacts=2)]))
    table = scores(customer_id=["a", "b", "c"])
    place = config.rules.index("over_contact_cap")
    np.testing.assert_array_equal(ask_alone(table, config, both), [-1, place, -1])
