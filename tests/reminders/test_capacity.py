"""Who finds room: by hand, and against a plain loop over customers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import ChannelRule, HoursConfig, RemindersConfig
from overdue_ml.reminders import rank_customers
from overdue_ml.reminders.capacity import Capacity, Kind, allocate

from .conftest import customers, inputs, listed, policies, rules, scores, tables_of


def one_by_one(kind_of, kinds, capacity):
    """The same, a customer at a time."""
    by_channel, by_day, in_all, found = {}, {}, 0, []
    for kind in (kinds[k] for k in kind_of):
        way = -1
        for channel in kind.channels:
            limit = capacity.channels[channel]
            if (
                (limit is None or by_channel.get((channel, kind.day), 0) < limit)
                and (capacity.day is None or by_day.get(kind.day, 0) < capacity.day)
                and (capacity.whole is None or in_all < capacity.whole)
            ):
                way = channel
                by_channel[channel, kind.day] = by_channel.get((channel, kind.day), 0) + 1
                by_day[kind.day] = by_day.get(kind.day, 0) + 1
                in_all += 1
                break
        found.append(way)
    return found


_limit = st.one_of(st.none(), st.integers(0, 5))


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.permutations([0, 1, 2]), st.integers(0, 3)), min_size=1, max_size=5
    ),
    st.lists(st.integers(0, 4), max_size=30),
    st.lists(_limit, min_size=3, max_size=3),
    _limit,
    st.one_of(st.none(), st.integers(0, 12)),
)
def test_in_strides_as_one_by_one(kinds, wanted, channels, day, whole):
    kinds = [Kind(on, tuple(order[:n])) for on, order, n in kinds]
    kind_of = [k % len(kinds) for k in wanted]
    capacity = Capacity(channels, day, whole)
    found = allocate(np.array(kind_of, dtype=np.int64), kinds, capacity)
    assert found.tolist() == one_by_one(kind_of, kinds, capacity)


@pytest.mark.parametrize(("capacity", "n"), [(0, 0), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_capacity_of_the_list(capacity, n):
    for name in ("capacity", "daily_capacity"):
        found = rank_customers(scores(customer_id=["a", "b", "c"]), RemindersConfig(**{name: capacity}))
        assert len(found.reminders) == n
        assert found.suppressed["rule"].tolist() == ["over_capacity"] * (3 - n)


def channels_of(found):
    return dict(zip(found.reminders["customer_id"], found.reminders["channel"], strict=True))


def test_the_preferred_channel_the_next_that_fits_or_none():
    """Best first: a, b, c, d, e. Messages take one, mails one, calls any number but for high tiers only."""
    config = RemindersConfig(
        tiers=["high", "medium"],
        channels=[
            ChannelRule(channel="sms", daily_capacity=1),
            ChannelRule(channel="email", daily_capacity=1),
            ChannelRule(channel="call", tiers=["high"]),
        ],
        channel_column="prefers",
    )
    table = scores(
        customer_id=list("abcde"), p_overdue=[0.9, 0.8, 0.7, 0.6, 0.5],
        tier=["medium", "medium", "high", "medium", "high"],
    )  # fmt: skip
    known = inputs(
        [
            {"customer_id": "a", "channel": " Email "},
            {"customer_id": "b", "channel": "email"},  # full: the first of the order that is not
            {"customer_id": "c", "channel": "email"},  # both are full
            {"customer_id": "d", "channel": "call"},  # not for medium tiers, and all else is full
            {"customer_id": "e", "channel": "pigeon"},  # as if none were preferred
        ]
    )
    found = rank_customers(table, config, known)
    assert channels_of(found) == {"a": "email", "b": "sms", "c": "call", "e": "call"}
    assert rules(found) == {"d": "over_capacity"}
    # Without what they prefer the order of the config decides.
    assert channels_of(rank_customers(table, config)) == {"a": "sms", "b": "email", "c": "call", "e": "call"}


def test_a_channel_has_room_on_each_day():
    # On 1 February Sao Paulo and Shanghai have the same day, so one message in all; but Samoa once left out
    # a day, so that customers there are contacted on another one than those elsewhere.
    config = RemindersConfig(channels=[ChannelRule(channel="sms", daily_capacity=1)], hours=HoursConfig())
    ids = ["a", "b", "c", "d"]
    table = scores(customer_id=ids).assign(
        as_of_date=pd.Timestamp("2011-12-29"), next_due_date=pd.Timestamp("2012-01-05")
    )
    zones = ["Asia/Shanghai", "America/Sao_Paulo", "Pacific/Apia", "Pacific/Apia"]
    known = inputs(
        [{"customer_id": i, "timezone": zone} for i, zone in zip(ids, zones, strict=True)],
        as_of=pd.Timestamp("2011-12-29").date(),
    )
    found = rank_customers(table, config, known)
    assert found.reminders[["customer_id", "send_after"]].to_numpy().tolist() == [
        ["a", "2011-12-30T08:00:00+08:00"],
        ["c", "2011-12-31T08:00:00+14:00"],
    ]
    assert rules(found) == {"b": "over_capacity", "d": "over_capacity"}
    both = config.model_copy(update={"daily_capacity": 1, "channels": []})
    assert listed(rank_customers(table, both, known)) == ["a", "c"]
    # Nobody is put off to a later day, though 31 December has room for b.
    assert listed(rank_customers(table.iloc[:2], config, known)) == ["a"]


def test_who_finds_no_room_takes_none():
    # b can be called only, and calls are full; c and d take the two messages that are left.
    config = RemindersConfig(
        capacity=3,
        tiers=["high", "medium"],
        channels=[
            ChannelRule(channel="sms", tiers=["medium"]),
            ChannelRule(channel="call", tiers=["high"], daily_capacity=1),
        ],
    )
    table = scores(customer_id=list("abcde"), p_overdue=[0.9, 0.8, 0.7, 0.6, 0.5],
                   tier=["high", "high", "medium", "medium", "medium"])  # fmt: skip
    found = rank_customers(table, config)
    assert channels_of(found) == {"a": "call", "c": "sms", "d": "sms"}
    assert rules(found) == {"b": "over_capacity", "e": "over_capacity"}


@settings(max_examples=150)
@given(st.lists(customers, min_size=1, max_size=12), policies)
def test_capacity_is_never_exceeded(rows, config):
    table, known = tables_of(rows)
    found = rank_customers(table, config, known)
    # Those held out have taken their places too.
    seen = pd.concat([found.reminders, found.arms[found.arms["arm"] == "holdout"]])[["channel", "contact_on"]]
    if config.capacity is not None:
        assert len(seen) <= config.capacity
    if config.daily_capacity is not None:
        assert seen["contact_on"].astype("str").value_counts().max() <= config.daily_capacity or seen.empty
    for rule in config.channels:
        mine = seen[seen["channel"] == rule.channel]
        if rule.daily_capacity is not None and len(mine):
            assert mine["contact_on"].astype("str").value_counts().max() <= rule.daily_capacity
    tiers = {rule.channel: rule.tiers for rule in config.channels}
    for row in found.reminders.itertuples():
        assert pd.isna(row.channel) if not tiers else row.tier in tiers[row.channel]
    # Nobody is turned away while there is room for everybody.
    if config.capacity is config.daily_capacity is None and not any(
        rule.daily_capacity is not None for rule in config.channels
    ):
        assert "over_capacity" not in set(found.suppressed["rule"])
