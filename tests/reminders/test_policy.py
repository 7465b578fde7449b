"""Each rule at its border, and the order in which rules are asked."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import (
    ChannelRule,
    ContactCap,
    ContactsConfig,
    ExclusionRule,
    HoldoutConfig,
    HoursConfig,
    RemindersConfig,
)
from overdue_ml.config.reminders import POLICY_RULES
from overdue_ml.reminders import rank_customers

from .conftest import AS_OF, customers, inputs, listed, policies, rules, scores, tables_of


def rule_of(config=None, people=None, contacts=(), **columns):
    """The rule for one customer 'a'; None: reminded."""
    table = scores(customer_id=["a"], **{name: [value] for name, value in columns.items()})
    known = inputs([{"customer_id": "a"} | (people or {})], [("a", *c) for c in contacts])
    return rules(rank_customers(table, config, known)).get("a")


def test_the_first_rule_that_holds_is_recorded():
    """One customer for each rule, for whom all later ones hold as well, as far as they can."""
    config = RemindersConfig(
        lead_days=14,
        tiers=["high"],
        min_probability=0.2,
        min_amount=50,
        exclusions=[ExclusionRule(rule="opted_out", column="x"), ExclusionRule(rule="deceased", column="y")],
        technical_days=30,
        contacts=ContactsConfig(cooldown_days=4),
        channels=[ChannelRule(channel="sms", tiers=["medium"]), ChannelRule(channel="call", tiers=["low"])],
        capacity=0,
        hours=HoursConfig(holidays=["2024-02-01", "2024-02-02"]),  # so contacts are on 3 February
    )
    no_zone = {"timezone": "Mars/Olympus"}
    #  rule, (due_in, amount, tier, p), people
    cases = [
        ("opted_out", (None, 0.0, "low", 0.0), {"exclusion": "opted_out"} | no_zone),
        ("deceased", (None, 0.0, "low", 0.0), {"exclusion": "deceased"} | no_zone),
        ("technical", (None, 0.0, "low", 0.0), {"exclusion": "technical", "paid_due_date": "2024-02-05"}),
        ("paid_already", (None, 0.0, "low", 0.0), {"paid_due_date": "2024-02-05"} | no_zone),
        ("nothing_due", (20, 0.0, "low", 0.0), no_zone),
        ("not_due_within_lead_days", (15, 10.0, "low", 0.0), no_zone),
        ("tier_not_reminded", (1, 10.0, "low", 0.0), no_zone),
        ("below_min_probability", (1, 10.0, "high", 0.0), no_zone),
        ("below_min_amount", (1, 10.0, "high", 0.3), no_zone),
        ("unknown_time_zone", (1, 90.0, "high", 0.3), no_zone),
        ("no_contact_day", (2, 90.0, "high", 0.3), {}),
        ("cooldown", (3, 90.0, "high", 0.3), {}),
        ("over_contact_cap", (3, 90.0, "high", 0.3), {}),
        ("no_channel", (3, 90.0, "high", 0.3), {}),
    ]
    ids = [f"{i:02d}" for i in range(len(cases))]
    columns = zip(*(case[1] for case in cases), strict=True)
    table = scores(
        customer_id=ids, **dict(zip(("due_in", "due_amount", "tier", "p_overdue"), columns, strict=True))
    )
    people = [{"customer_id": i} | case[2] for i, case in zip(ids, cases, strict=True)]
    # Everybody before 'over_contact_cap' had a contact the day before, and everybody before 'no_channel'
    # seven in the week up to 3 February.
    contacts = [(i, "2024-01-31", 1) for i in ids[:12]] + [(i, "2024-01-28", 7) for i in ids[:13]]
    found = rules(rank_customers(table, config, inputs(people, contacts)))
    assert found == dict(zip(ids, [case[0] for case in cases], strict=True))
    # With a channel the last of them would be reminded, were there any capacity.
    open_to_all = config.model_copy(update={"channels": [ChannelRule(channel="sms")]})
    assert rules(rank_customers(table, open_to_all, inputs(people, contacts)))[ids[-1]] == "over_capacity"
    held = open_to_all.model_copy(
        update={"capacity": None, "holdout": HoldoutConfig(share=0.9, campaign="spring")}
    )
    # The hash of '6:spring:13' begins with 0xd141, which is 0.82 of the whole: held out.
    assert rules(rank_customers(table, held, inputs(people, contacts)))[ids[-1]] == "holdout"
    assert [case[0] for case in cases[3:]] + ["over_capacity", "holdout"] == list(POLICY_RULES)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"due_amount": 0.0}, "nothing_due"),
        ({"due_amount": -5.0}, "nothing_due"),
        ({"due_amount": np.nan}, "nothing_due"),
        ({"due_in": None}, "nothing_due"),
        ({"due_in": 15}, "not_due_within_lead_days"),
        ({"due_in": 14}, None),
        ({"tier": "low"}, "tier_not_reminded"),
        ({"tier": "unheard of"}, "tier_not_reminded"),
        ({"tier": None}, "tier_not_reminded"),
        ({"p_overdue": np.nextafter(0.1, 0.0)}, "below_min_probability"),
        ({"p_overdue": np.nan}, "below_min_probability"),
        ({"p_overdue": 0.1}, None),
        ({"due_amount": np.nextafter(50.0, 0.0)}, "below_min_amount"),
        ({"due_amount": 50.0}, None),
    ],
)
def test_borders_of_scores(change, rule):
    assert rule_of(RemindersConfig(lead_days=14, min_probability=0.1, min_amount=50), **change) == rule


@pytest.mark.parametrize(
    ("lead_days", "every_days", "due_in"),
    [
        ([7], 1, {7}),
        ([14, 7, 3, 1], 1, {14, 7, 3, 1}),
        ([0], 2, {1}),  # due tomorrow: a contact is possible on the day itself, and the run after is late
        # Weekly: 7 days before a due date in 7..13 days is today or in the next 6.
        ([7], 7, {7, 8, 9, 10, 11, 12, 13}),
        ([7, 1], 3, {7, 8, 9, 1, 2, 3}),
        ([7, 6], 3, {6, 7, 8, 9}),
        (7, 7, {1, 2, 3, 4, 5, 6, 7}),  # at most; the days between runs are of no account
    ],
)
def test_lead_days(lead_days, every_days, due_in):
    config = RemindersConfig(lead_days=lead_days, every_days=every_days)
    table = scores(due_in=list(range(22)))
    assert {int(i[1:]) for i in listed(rank_customers(table, config))} - {0} == due_in


@given(st.integers(1, 40), st.integers(1, 31), st.integers(0, 30))
def test_one_run_and_no_other_reminds_of_a_lead_day(lead_day, every_days, first_run):
    """Runs every so many days for two months before a due date."""
    config = RemindersConfig(lead_days=[lead_day], every_days=every_days, hours=HoursConfig(first_day=0))
    leads = [100 - day for day in range(first_run, 101, every_days)]
    found = rank_customers(scores(customer_id=[f"{d:03d}" for d in leads], due_in=leads), config)
    if 100 - lead_day >= first_run:
        [run] = map(int, listed(found))
        # It comes in time, and less than a whole interval early.
        assert 0 <= run - lead_day < every_days


@pytest.mark.parametrize(
    ("due_in", "people", "rule"),
    [
        # The instalment of 5 February is settled; the next one, of 5 March, is not to be reminded of yet.
        (34, {"paid_due_date": "2024-02-05"}, "paid_already"),
        # It was the last one.
        (None, {"paid_due_date": "2024-02-05"}, "paid_already"),
        # The one of another loan, on 10 February or on the same day, is still open.
        (10, {"paid_due_date": "2024-02-05"}, None),
        (5, {"paid_due_date": "2024-02-05"}, None),
        # Paid long ahead: nothing would have been reminded of.
        (None, {"paid_due_date": "2024-02-20"}, "nothing_due"),
        (50, {"paid_due_date": "2024-02-20"}, "not_due_within_lead_days"),
        # The statement that is due on 5 February has been paid since, or the one of another day was.
        (5, {"covered_due_date": "2024-02-05"}, "paid_already"),
        (4, {"covered_due_date": "2024-02-05"}, None),
        (None, {"covered_due_date": None}, "nothing_due"),
    ],
)
def test_paid_already(due_in, people, rule):
    amount = 0.0 if due_in is None else 100.0
    assert rule_of(RemindersConfig(lead_days=14), people, due_in=due_in, due_amount=amount) == rule


def test_exclusions_are_in_the_order_of_the_config():
    config = RemindersConfig(
        exclusions=[ExclusionRule(rule=name, column=name) for name in ("vip", "hardship", "vip")]
    )
    assert config.rules[:3] == ("vip", "hardship", "paid_already")
    assert rule_of(config, {"exclusion": "vip"}) == "vip"
    assert rule_of(config, {"exclusion": "hardship"}, due_in=None) == "hardship"


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../UTC", "/etc/passwd", "x" * 9999, "a\x00b", "Asia", "\n"]
)
def test_unknown_time_zones(name):
    assert rule_of(people={"timezone": name}) == "unknown_time_zone"


def test_the_zone_of_customers_without_one():
    table = scores(customer_id=["a", "b"])
    known = inputs([{"customer_id": "a", "timezone": "America/Sao_Paulo"}], timezone="Asia/Shanghai")

    def offsets(config=None, given_inputs=known):
        found = rank_customers(table, config, given_inputs).reminders.set_index("customer_id")
        return [found["send_after"][i][-6:] for i in "ab"]

    assert offsets() == ["-03:00", "+08:00"]
    berlin = RemindersConfig(hours=HoursConfig(timezone="Europe/Berlin"))
    assert offsets(berlin) == ["-03:00", "+01:00"]
    assert offsets(berlin, None) == ["+01:00", "+01:00"]
    assert offsets(None, None) == ["+00:00", "+00:00"]


@pytest.mark.parametrize(("due_in", "rule"), [(1, "no_contact_day"), (4, "no_contact_day"), (5, None)])
def test_the_first_contact_may_come_too_late(due_in, rule):
    # Wednesday 31 January; Thursday and Friday are holidays, then comes the weekend: Monday 5 February.
    hours = HoursConfig(weekdays=[1, 2, 3, 4, 5], holidays=["2024-02-01", "2024-02-02"])
    assert rule_of(RemindersConfig(hours=hours), due_in=due_in) == rule


def test_no_day_of_contact_at_all():
    wednesdays = [AS_OF.date() + dt.timedelta(days=7 * week) for week in range(60)]
    hours = HoursConfig(weekdays=[3], holidays=[day.isoformat() for day in wednesdays])
    assert rule_of(RemindersConfig(hours=hours)) == "no_contact_day"


@pytest.mark.parametrize(
    ("days", "contacts", "rule"),
    [
        (3, [("2024-01-29", 1)], None),  # 3 days before 1 February
        (3, [("2024-01-30", 1)], "cooldown"),
        (1, [("2024-01-31", 1)], None),
        (2, [("2024-01-31", 1)], "cooldown"),
        (2, [("2024-01-20", 1), ("2024-01-31", 1)], "cooldown"),
        (0, [("2024-01-31", 1)], None),
    ],
)
def test_cooldown(days, contacts, rule):
    assert rule_of(RemindersConfig(contacts=ContactsConfig(cooldown_days=days)), contacts=contacts) == rule


@pytest.mark.parametrize(
    ("caps", "contacts", "rule"),
    [
        # The defaults: 3 a day and 7 in 7 days, here from 26 January to 1 February.
        (None, [("2024-01-26", 3), ("2024-01-31", 3)], None),
        (None, [("2024-01-26", 4), ("2024-01-31", 3)], "over_contact_cap"),
        (None, [("2024-01-25", 4), ("2024-01-31", 3)], None),
        # A day of the past with too many contacts is past.
        (None, [("2024-01-31", 6)], None),
        ([(1, 0)], [], "over_contact_cap"),
        ([(1, 1)], [("2024-01-31", 9)], None),
        ([(2, 1)], [("2024-01-31", 1)], "over_contact_cap"),
        ([(2, 2), (9, 2)], [("2024-01-24", 1), ("2024-01-31", 1)], "over_contact_cap"),
        ([], [("2024-01-31", 999)], None),
    ],
)
def test_contact_caps(caps, contacts, rule):
    config = RemindersConfig()
    if caps is not None:
        named = [ContactCap(days=days, contacts=n) for days, n in caps]
        config = RemindersConfig(contacts=ContactsConfig(caps=named))
    assert rule_of(config, contacts=contacts) == rule


def test_contacts_are_counted_up_to_the_day_of_the_reminder():
    # With holidays the reminder is on 4 February, and its week begins on 29 January.
    hours = HoursConfig(holidays=["2024-02-01", "2024-02-02", "2024-02-03"])
    config = RemindersConfig(hours=hours)
    assert rule_of(config, contacts=[("2024-01-28", 9)]) is None
    assert rule_of(config, contacts=[("2024-01-29", 7)]) == "over_contact_cap"
    # On the as_of date itself the contacts of the day count.
    today = RemindersConfig(hours=HoursConfig(first_day=0))
    assert rule_of(today, contacts=[("2024-01-31", 2)]) is None
    assert rule_of(today, contacts=[("2024-01-31", 3)]) == "over_contact_cap"


def test_without_inputs_no_rule_asks_for_records():
    config = RemindersConfig(
        contacts=ContactsConfig(caps=[ContactCap(days=1, contacts=0)], cooldown_days=9),
        exclusions=[ExclusionRule(rule="opted_out", column="x")],
    )
    assert listed(rank_customers(scores(customer_id=["a"]), config)) == ["a"]
    assert rule_of(config) == "over_contact_cap"


@settings(max_examples=100)
@given(st.lists(customers, min_size=1, max_size=8), policies)
def test_nobody_is_contacted_too_often(rows, config):
    """Counted over every window of every cap that holds the planned contact."""
    table, known = tables_of(rows)
    found = rank_customers(table, config, known)
    for row in found.reminders.itertuples():
        mine = known.contacts[known.contacts["customer_id"] == row.customer_id]
        days = [d for d, n in zip(mine["contacted_on"], mine["n"], strict=True) for _ in range(n)]
        assert all((row.contact_on - d).days >= config.contacts.cooldown_days for d in days)
        for cap in config.contacts.caps:
            for back in range(cap.days):
                since = (row.contact_on - dt.timedelta(days=back)).date()
                until = since + dt.timedelta(days=cap.days - 1)
                within = sum(since <= d.date() <= until for d in [*days, row.contact_on])
                assert within <= cap.contacts
