"""The list as a whole: everybody once, the order, what is refused."""

import datetime as dt
import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from overdue_ml.config import ChannelRule, HoldoutConfig, RemindersConfig
from overdue_ml.errors import ConfigError, OverdueMLError
from overdue_ml.reminders import ARM_COLUMNS, REMINDER_COLUMNS, RULES, ask_alone, rank_customers

from .conftest import AS_OF, customers, inputs, listed, policies, rules, scores, tables_of

#: Ids as somebody with bad intentions, or a bad export, would choose them.
HOSTILE = [
    "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "../../etc/passwd", "x" * 10_000, "😀", "客户甲",
    "two\nlines", "nan", "None", "", " ", "0", "00", "\x00", "a\x00b",
]  # fmt: skip


def equal(one, other):
    """Whether two lists are the same, table by table."""
    for name in ("reminders", "suppressed", "arms"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name))


@settings(max_examples=150)
@given(st.lists(customers, min_size=1, max_size=12), policies, st.booleans())
def test_everybody_is_listed_or_suppressed_once(rows, config, with_inputs):
    table, known = tables_of(rows)
    found = rank_customers(table, config, known if with_inputs else None)
    ids = [*listed(found), *found.suppressed["customer_id"]]
    assert sorted(ids) == sorted(table["customer_id"])
    assert set(found.suppressed["rule"]) <= set(config.rules) <= set(RULES)
    assert found.suppressed["customer_id"].is_monotonic_increasing
    assert found.reminders["reminder_rank"].tolist() == list(range(1, len(found.reminders) + 1))
    assert found.reminders.columns.tolist() == list(REMINDER_COLUMNS)
    assert found.arms.columns.tolist() == list(ARM_COLUMNS)
    # Everybody on the list meets what can be seen in the list.
    seen = found.reminders
    assert (seen["due_amount"] >= max(config.min_amount, 0.01)).all()
    assert (seen["p_overdue"] >= config.min_probability).all()
    assert seen["tier"].isin(config.tiers).all()
    assert (seen["contact_on"] <= seen["next_due_date"]).all()
    assert (seen["contact_on"] >= AS_OF + pd.Timedelta(days=config.hours.first_day)).all()
    assert set(seen["contact_on"].dt.isocalendar().day) <= set(config.hours.weekdays)
    assert not set(seen["contact_on"].dt.strftime("%Y-%m-%d")) & set(config.hours.holidays)
    if isinstance(config.lead_days, int):
        assert ((seen["next_due_date"] - AS_OF).dt.days <= config.lead_days).all()


@settings(max_examples=100)
@given(st.lists(customers, min_size=1, max_size=10), policies, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, config, random):
    table, known = tables_of(rows)
    order = list(range(len(table)))
    random.shuffle(order)
    mixed = inputs()
    mixed = type(mixed)(known.as_of, known.people.iloc[order], known.contacts.sample(frac=1, random_state=1))
    equal(rank_customers(table, config, known), rank_customers(table.iloc[order], config, mixed))


@settings(max_examples=60)
@given(st.lists(customers, min_size=2, max_size=8), policies)
def test_who_is_suppressed_by_a_rule_of_their_own_does_not_hang_on_others(rows, config):
    table, known = tables_of(rows)
    together = rules(rank_customers(table, config, known))
    for i in range(len(table)):
        alone = rules(rank_customers(table.iloc[[i]], config, known)).get(f"c{i}")
        if alone not in (None, "over_capacity", "holdout"):
            assert together[f"c{i}"] == alone


@pytest.mark.parametrize("rank_by", ["expected_overdue_amount", "p_overdue", "log_odds", "expected_benefit"])
def test_ties_go_by_log_odds_then_by_id(rank_by):
    table = scores(customer_id=["c10", "c2", "c1"])
    config = RemindersConfig(rank_by=rank_by, capacity=2, benefits={"high": 0.1, "medium": 0.1})
    found = rank_customers(table, config)
    assert listed(found) == ["c1", "c10"]
    assert rules(found) == {"c2": "over_capacity"}
    if rank_by != "log_odds":
        safer = table.assign(log_odds=[0.0, 0.0, -1.0])
        assert listed(rank_customers(safer, config)) == ["c10", "c2"]


def test_ranked_by_money_by_risk_or_by_benefit():
    # Expected: 1800 and 90. A reminder takes 0.01 x 9000 = 90 off the one and 0.95 x 100 = 95 off the other.
    table = scores(customer_id=["rich", "risky"], due_amount=[9000.0, 100.0], p_overdue=[0.2, 0.9],
                   tier=["medium", "high"])  # fmt: skip
    benefits = {"medium": 0.01, "high": 0.95}
    for rank_by, first in {
        "expected_overdue_amount": "rich", "p_overdue": "risky", "log_odds": "risky",
        "expected_benefit": "risky",
    }.items():  # fmt: skip
        found = rank_customers(table, RemindersConfig(rank_by=rank_by, benefits=benefits))
        assert listed(found)[0] == first, rank_by


def test_a_column_of_benefits_goes_before_those_of_tiers():
    table = scores(customer_id=["a", "b", "c"]).assign(benefit=[0.1, np.nan, 0.2])
    config = RemindersConfig(rank_by="expected_benefit", benefits={"high": 0.5, "medium": 0.5})
    # What is not known of b puts b last.
    assert listed(rank_customers(table, config)) == ["c", "a", "b"]


def test_a_benefit_may_be_a_harm():
    table = scores(customer_id=["a", "b"]).assign(benefit=[-0.1, 0.0])
    assert listed(rank_customers(table, RemindersConfig(rank_by="expected_benefit"))) == ["b", "a"]


def test_unknown_benefits_are_refused():
    config = RemindersConfig(rank_by="expected_benefit", benefits={"high": 0.1})
    with pytest.raises(ConfigError, match="what a reminder does for the tier 'medium' is not known"):
        rank_customers(scores(customer_id=["a"]), config)
    # Of a tier that is never reminded nobody needs to know it.
    high = config.model_copy(update={"tiers": ["high"]})
    assert listed(rank_customers(scores(customer_id=["a"]), high)) == ["a"]


def test_unknown_amounts_stand_last():
    table = scores(customer_id=["a", "b"], expected_overdue_amount=[np.nan, 1.0])
    assert listed(rank_customers(table)) == ["b", "a"]


def test_nobody_scored():
    config = RemindersConfig(holdout=HoldoutConfig(share=0.5, campaign="spring"))
    for table, known in ((scores(customer_id=["a"]).iloc[:0], None), (scores(customer_id=[]), inputs())):
        found = rank_customers(table, config, known)
        assert len(found.reminders) == len(found.suppressed) == len(found.arms) == 0
        assert found.reminders.columns.tolist() == list(REMINDER_COLUMNS)
        assert found.suppressed.columns.tolist() == ["customer_id", "rule"]
        assert found.arms.columns.tolist() == list(ARM_COLUMNS)


def test_nothing_due_for_anybody():
    found = rank_customers(scores(due_in=[None] * 3, due_amount=[np.nan] * 3))
    assert found.suppressed["rule"].tolist() == ["nothing_due"] * 3
    assert len(found.reminders) == 0


def test_one_customer():
    found = rank_customers(scores(customer_id=["a"]), None, inputs(timezone="Europe/Berlin"))
    row = found.reminders.iloc[0]
    assert (row["customer_id"], row["reminder_rank"]) == ("a", 1)
    assert row["contact_on"] == pd.Timestamp("2024-02-01")
    assert row["send_after"] == "2024-02-01T08:00:00+01:00"
    assert row["send_before"] == "2024-02-01T21:00:00+01:00"
    assert pd.isna(row["channel"])
    assert pd.isna(row["arm"])
    assert len(found.suppressed) == len(found.arms) == 0


def test_a_customer_scored_twice_is_refused():
    with pytest.raises(OverdueMLError, match="1 rows repeat a customer") as error:
        rank_customers(scores(customer_id=["secret-7", "b", "secret-7"]))
    assert "secret" not in str(error.value)
    with pytest.raises(OverdueMLError, match="and 1 have none"):
        rank_customers(scores(customer_id=["a", None]))


def test_scores_of_two_dates_or_none_are_refused():
    table = scores(customer_id=["a", "b"])
    for later in (AS_OF + pd.Timedelta(days=1), pd.NaT):
        with pytest.raises(ConfigError, match="several as_of dates"):
            rank_customers(table.assign(as_of_date=[AS_OF, later]))


@pytest.mark.parametrize("column", ["customer_id", "next_due_date", "tier", "expected_overdue_amount"])
def test_a_missing_column_is_named(column):
    with pytest.raises(ConfigError, match=f"no column '{column}'"):
        rank_customers(scores(customer_id=["a"]).drop(columns=column))


def test_reasons_may_be_missing():
    table = scores(customer_id=["a"]).drop(columns=[f"reason_{i}_code" for i in range(1, 5)])
    found = rank_customers(table).reminders
    assert found.columns.tolist() == [c for c in REMINDER_COLUMNS if not c.startswith("reason_")]


def test_inputs_of_another_date_or_config_are_refused():
    table = scores(customer_id=["a"])
    with pytest.raises(ConfigError, match="inputs are of 2024-01-30, the scores of 2024-01-31"):
        rank_customers(table, None, inputs(as_of=dt.date(2024, 1, 30)))
    told = inputs([{"customer_id": "a", "exclusion": "hardship"}])
    with pytest.raises(ConfigError, match="a rule 'hardship' that the config does not have"):
        rank_customers(table, None, told)
    with pytest.raises(ConfigError, match="a rule 'cooldown'"):
        rank_customers(table, None, inputs([{"customer_id": "a", "exclusion": "cooldown"}]))


def test_inputs_of_customers_who_are_not_scored_are_passed_over():
    known = inputs([{"customer_id": "z", "timezone": "Mars/Olympus"}], [("z", "2024-01-31", 99)])
    equal(rank_customers(scores(customer_id=["a"]), None, known),
          rank_customers(scores(customer_id=["a"]), None, inputs()))  # fmt: skip


def test_hostile_ids_stay_whole_and_apart():
    table = scores(customer_id=HOSTILE, p_overdue=[0.5] * len(HOSTILE))
    config = RemindersConfig(
        capacity=len(HOSTILE) - 2,
        channels=[ChannelRule(channel="=sms")],
        holdout=HoldoutConfig(share=0.5, campaign="<b>\n:'"),
    )
    known = inputs([{"customer_id": i, "channel": "<none>", "timezone": "UTC"} for i in HOSTILE])
    found = rank_customers(table, config, known)
    assert sorted([*listed(found), *found.suppressed["customer_id"]]) == sorted(HOSTILE)
    assert found.arms["customer_id"].tolist() == sorted(found.arms["customer_id"])
    # Ties go by id, so the last two have no place.
    assert [i for i, rule in rules(found).items() if rule == "over_capacity"] == sorted(HOSTILE)[-2:]
    # 6 bytes of campaign, by the rule as it is written down.
    share = {
        i: int(hashlib.sha256(f"6:<b>\n:':{i}".encode()).hexdigest()[:16], 16) / 2**64
        for i in found.arms["customer_id"]
    }
    assert set(found.arms.loc[found.arms["arm"] == "holdout", "customer_id"]) == {
        i for i, place in share.items() if place < 0.5
    }


def test_dates_may_be_of_any_kind():
    table = scores(customer_id=["a", "b"], due_in=[5, None])
    config = RemindersConfig(holdout=HoldoutConfig(share=0.5, campaign="spring"))
    plain = rank_customers(table, config)
    for change in (lambda d: d.dt.date, lambda d: d.dt.strftime("%Y-%m-%d")):
        names = ("as_of_date", "next_due_date")
        other = rank_customers(table.assign(**{name: change(table[name]) for name in names}), config)
        pd.testing.assert_frame_equal(other.suppressed, plain.suppressed)
        pd.testing.assert_frame_equal(other.arms, plain.arms)
        assert other.reminders["contact_on"].tolist() == [dt.date(2024, 2, 1)] * len(other.reminders)


def test_input_is_left_alone():
    table = scores(customer_id=["b", "a"])
    known = inputs([{"customer_id": "a", "channel": "sms"}], [("a", "2024-01-31", 1)])
    before = [frame.copy(deep=True) for frame in (table, known.people, known.contacts)]
    rank_customers(table, RemindersConfig(channels=[ChannelRule(channel="sms")]), known)
    for frame, was in zip((table, known.people, known.contacts), before, strict=True):
        pd.testing.assert_frame_equal(frame, was)


@settings(max_examples=30)
@given(st.lists(customers, min_size=1, max_size=8), policies)
def test_more_capacity_never_takes_anybody_off_the_list(rows, config):
    assume(config.capacity is not None)
    table, known = tables_of(rows)
    wider = config.model_copy(update={"capacity": config.capacity + 1})
    assert set(listed(rank_customers(table, config, known))) <= set(
        listed(rank_customers(table, wider, known))
    )


@settings(max_examples=60)
@given(st.lists(customers, min_size=1, max_size=8), policies)
def test_whom_a_rule_leaves_out_alone_is_of_no_account_for_all_others(rows, config):
    """The policy in two steps: first each customer alone, then those together for whom no rule holds."""
    table, known = tables_of(rows)
    whole, first = rank_customers(table, config, known), ask_alone(table, config, known)
    left = table[first < 0].reset_index(drop=True)
    second = rank_customers(left, config, known)
    alone = {i: config.rules[rule] for i, rule in zip(table["customer_id"], first, strict=True) if rule >= 0}
    assert not set(alone.values()) & {"over_capacity", "holdout"}
    assert alone | rules(second) == rules(whole)
    assert set(rules(second).values()) <= {"over_capacity", "holdout"}
    pd.testing.assert_frame_equal(second.reminders, whole.reminders)
    pd.testing.assert_frame_equal(second.arms, whole.arms)
