"""The lot: stable, apart from everything else, and drawn among those who would have been reminded."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import ChannelRule, HoldoutConfig, RemindersConfig
from overdue_ml.reminders import ARM_COLUMNS, draw_holdout, rank_customers

from .conftest import AS_OF, customers, inputs, listed, policies, rules, scores, tables_of

#: `printf '6:spring:c1' | sha256sum` begins with 0xa0f2, and that is 0.629 of 0x10000; and so on.
PLACE = {"c1": 0.629, "c2": 0.767, "c3": 0.902, "c4": 0.339, "c5": 0.868, "c6": 0.768, "c7": 0.135,
         "c8": 0.280, "c11": 0.060}  # fmt: skip
SPRING = HoldoutConfig(share=0.35, campaign="spring")
HELD = {"c4", "c7", "c8", "c11"}


def test_the_lot_by_hand():
    ids = list(PLACE)
    for share in (0.05, 0.1, 0.2, 0.35, 0.65, 0.9):
        assert draw_holdout(ids, "spring", share).tolist() == [place < share for place in PLACE.values()]
    assert {i for i, held in zip(ids, draw_holdout(ids, "spring", 0.35), strict=True) if held} == HELD
    assert not draw_holdout(ids, "spring", 0.0).any()
    assert draw_holdout([], "spring", 0.5).tolist() == []


@given(
    st.lists(st.text(max_size=20), unique=True, max_size=20),
    st.text(min_size=1, max_size=20),
    st.floats(0, 0.9),
)
def test_nobody_else_matters(ids, campaign, share):
    together = draw_holdout(ids, campaign, share).tolist()
    assert together == [draw_holdout([i], campaign, share)[0] for i in ids]
    # A larger share keeps everybody who was held out.
    assert not (np.array(together, dtype=bool) & ~draw_holdout(ids, campaign, 0.9)).any()


def test_campaign_and_customer_do_not_run_into_each_other():
    ids = [f"c{i}" for i in range(64)]
    one = draw_holdout([f"b:{i}" for i in ids], "a", 0.5)
    other = draw_holdout(ids, "a:b", 0.5)
    assert (one != other).any()


def test_share_and_independence_of_campaigns():
    ids = [f"SYN{i:09d}" for i in range(40_000)]
    spring, autumn = (draw_holdout(ids, name, 0.2) for name in ("spring", "autumn"))
    # Standard errors are 0.002 for a share of 0.2 and 0.001 for one of 0.04; five of them.
    assert abs(spring.mean() - 0.2) < 0.01
    assert abs((spring & autumn).mean() - 0.04) < 0.005


def test_held_out_are_drawn_from_those_who_would_have_been_reminded():
    """Twelve customers, the best first, and eight places."""
    ids = [f"c{i}" for i in range(1, 13)]
    table = scores(customer_id=ids, p_overdue=[0.9 - 0.05 * i for i in range(12)])
    config = RemindersConfig(capacity=8, holdout=SPRING)
    found = rank_customers(table, config)
    # c1 to c8 have places; c4, c7 and c8 are held out, and their places stay empty. c11 would be held out
    # too, but never had a place.
    assert listed(found) == ["c1", "c2", "c3", "c5", "c6"]
    assert rules(found) == dict.fromkeys(["c4", "c7", "c8"], "holdout") | dict.fromkeys(
        ["c9", "c10", "c11", "c12"], "over_capacity"
    )
    assert found.reminders["reminder_rank"].tolist() == [1, 2, 3, 4, 5]
    assert found.reminders["arm"].tolist() == ["treated"] * 5
    assert found.arms["customer_id"].tolist() == ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"]
    assert found.arms["arm"].tolist() == [
        "treated", "treated", "treated", "holdout", "treated", "treated", "holdout", "holdout",
    ]  # fmt: skip


def test_the_table_of_arms():
    table = scores(customer_id=["c5", "c4"], due_in=[5, 9], tier=["high", "medium"], due_amount=[70.0, 90.0])
    config = RemindersConfig(holdout=SPRING, channels=[ChannelRule(channel="sms")])
    arms = rank_customers(table, config).arms
    january, february = dt.date(2024, 1, 31), dt.date(2024, 2, 1)
    assert arms.to_numpy().tolist() == [
        ["c4", january, "spring", "holdout", "medium", dt.date(2024, 2, 9), 90.0, 0.5, "sms", february],
        ["c5", january, "spring", "treated", "high", dt.date(2024, 2, 5), 70.0, 0.5, "sms", february],
    ]
    assert arms.columns.tolist() == list(ARM_COLUMNS)


def test_the_table_of_arms_has_the_same_kinds_whoever_is_there():
    table = scores(customer_id=["c4", "c5"])
    dates = table.assign(**{n: table[n].dt.date for n in ("as_of_date", "next_due_date")})
    off = RemindersConfig()
    without = HoldoutConfig(share=0.0, campaign="spring")
    found = [
        rank_customers(table, RemindersConfig(holdout=SPRING)),
        rank_customers(dates, RemindersConfig(holdout=SPRING, channels=[ChannelRule(channel="sms")])),
        rank_customers(table, off),
        rank_customers(dates.iloc[:0], off),
        rank_customers(table, RemindersConfig(holdout=without)),
    ]
    assert [len(f.arms) for f in found] == [2, 2, 0, 0, 0]
    kinds = {str(pa.Schema.from_pandas(f.arms, preserve_index=False).remove_metadata()) for f in found}
    assert len(kinds) == 1
    assert "contact_on: date32[day]" in kinds.pop()
    for f in found[2:]:
        assert f.reminders["arm"].isna().all()


def test_a_holdout_without_a_campaign_is_refused():
    with pytest.raises(ValueError, match="name of its 'campaign'"):
        HoldoutConfig(share=0.1)


@settings(max_examples=100)
@given(st.lists(customers, min_size=1, max_size=12), policies)
def test_arms_are_those_who_would_have_been_reminded(rows, config):
    table, known = tables_of(rows)
    found = rank_customers(table, config, known)
    off = config.model_copy(update={"holdout": HoldoutConfig()})
    without = rank_customers(table, off, known)
    if config.holdout.share == 0:
        assert found.arms.empty
        return
    assert found.arms["customer_id"].tolist() == sorted(listed(without))
    held = draw_holdout(found.arms["customer_id"], config.holdout.campaign, config.holdout.share)
    assert found.arms["arm"].tolist() == ["holdout" if h else "treated" for h in held]
    # Nothing but the lot tells the list from the one without a holdout.
    out = set(found.arms.loc[held, "customer_id"])
    assert listed(found) == [i for i in listed(without) if i not in out]
    assert {i for i, rule in rules(found).items() if rule == "holdout"} == out
    left = [c for c in without.reminders if c not in ("reminder_rank", "arm")]
    kept = without.reminders.loc[~without.reminders["customer_id"].isin(out), left].reset_index(drop=True)
    pd.testing.assert_frame_equal(found.reminders[left], kept)


def test_an_arm_stays_the_same_from_run_to_run():
    """The same customers a day later, others among them, with other scores."""
    config = RemindersConfig(holdout=SPRING)
    first = rank_customers(scores(customer_id=list(PLACE)), config)
    later = scores(customer_id=["new", *reversed(PLACE)], p_overdue=np.linspace(0.2, 0.9, 10))
    later["as_of_date"] = AS_OF + pd.Timedelta(days=1)
    second = rank_customers(later, config, inputs(as_of=dt.date(2024, 2, 1)))
    arms = [f.arms.set_index("customer_id")["arm"] for f in (first, second)]
    assert {i for i, arm in arms[0].items() if arm == "holdout"} == HELD
    pd.testing.assert_series_equal(arms[1].drop("new"), arms[0])
