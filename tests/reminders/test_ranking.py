import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RemindersConfig
from overdue_ml.reminders import RULES, rank_customers
from overdue_ml.reminders.ranking import REMINDER_COLUMNS

AS_OF = pd.Timestamp("2024-01-31")


def scores(**columns):
    """A scores table: 'due_in' days (None: nothing due), the rest as in scores.parquet."""
    n = len(next(iter(columns.values())))
    base = {
        "customer_id": [f"c{i}" for i in range(n)],
        "due_in": [5] * n,
        "due_amount": [100.0] * n,
        "p_overdue": [0.5] * n,
        "tier": ["high"] * n,
    } | columns
    table = pd.DataFrame(base)
    due_in = pd.to_timedelta(pd.Series(table.pop("due_in"), dtype="float64"), unit="D")
    amount = table["due_amount"].fillna(0.0)
    return table.assign(
        as_of_date=AS_OF,
        next_due_date=AS_OF + due_in,
        exposure_amount=10 * amount,
        expected_overdue_amount=columns.get("expected_overdue_amount", table["p_overdue"] * amount),
        log_odds=columns.get("log_odds", table["p_overdue"] * 4 - 2),
        **{f"reason_{i}_code": f"R{i}" for i in range(1, 5)},
    )


row = st.fixed_dictionaries(
    {
        "due_in": st.one_of(st.none(), st.integers(0, 30)),
        "due_amount": st.one_of(st.just(float("nan")), st.sampled_from([0.0, 50.0, 1000.0])),
        "p_overdue": st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0]),
        "tier": st.sampled_from(["high", "medium", "low"]),
    }
)
policy = st.builds(
    RemindersConfig,
    lead_days=st.integers(0, 30),
    min_probability=st.floats(0, 1),
    tiers=st.lists(st.sampled_from(["high", "medium", "low"]), max_size=3),
    capacity=st.one_of(st.none(), st.integers(0, 6)),
    rank_by=st.sampled_from(["expected_overdue_amount", "log_odds"]),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(row, min_size=1, max_size=12), policy)
def test_everybody_is_listed_or_suppressed_once(rows, config):
    table = scores(**{key: [r[key] for r in rows] for key in rows[0]})
    found = rank_customers(table, config)
    ids = [*found.reminders["customer_id"], *found.suppressed["customer_id"]]
    assert sorted(ids) == sorted(table["customer_id"])
    assert set(found.suppressed["rule"]) <= set(RULES)
    assert found.suppressed["customer_id"].is_monotonic_increasing
    assert found.reminders["reminder_rank"].tolist() == list(range(1, len(found.reminders) + 1))
    if config.capacity is not None:
        assert len(found.reminders) <= config.capacity
    # Everybody on the list meets the whole policy.
    listed = found.reminders
    assert (listed["due_amount"] > 0).all()
    assert ((listed["next_due_date"] - AS_OF).dt.days <= config.lead_days).all()
    assert (listed["p_overdue"] >= config.min_probability).all()
    assert listed["tier"].isin(config.tiers).all()


@settings(deadline=None, max_examples=30)
@given(st.lists(row, min_size=1, max_size=10), policy, st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(rows, config, random):
    table = scores(**{key: [r[key] for r in rows] for key in rows[0]})
    order = list(range(len(table)))
    random.shuffle(order)
    one, other = rank_customers(table, config), rank_customers(table.iloc[order], config)
    pd.testing.assert_frame_equal(one.reminders, other.reminders)
    pd.testing.assert_frame_equal(one.suppressed, other.suppressed)


def test_the_first_rule_that_holds_is_recorded():
    table = scores(
        customer_id=list("abcdef"),
        due_in=[None, 20, 5, 5, 5, 5],
        due_amount=[0.0, 100.0, 100.0, 100.0, 100.0, 100.0],
        tier=["low", "low", "low", "high", "high", "high"],
        p_overdue=[0.0, 0.0, 0.0, 0.0, 0.5, 0.4],
    )
    found = rank_customers(table, RemindersConfig(capacity=1))
    assert found.suppressed.to_numpy().tolist() == [
        ["a", RULES[0]], ["b", RULES[1]], ["c", RULES[2]], ["d", RULES[3]], ["f", RULES[4]],
    ]  # fmt: skip
    assert found.reminders["customer_id"].tolist() == ["e"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"due_amount": [0.0]}, "nothing_due"),
        ({"due_amount": [-5.0]}, "nothing_due"),
        ({"due_amount": [np.nan]}, "nothing_due"),
        ({"due_in": [15]}, "not_due_within_lead_days"),
        ({"p_overdue": [np.nextafter(0.1, 0.0)]}, "below_min_probability"),
        ({"p_overdue": [np.nan]}, "below_min_probability"),
        ({"due_in": [14]}, None),
        ({"p_overdue": [0.1]}, None),
    ],
)
def test_borders_of_the_policy(change, rule):
    found = rank_customers(scores(**change), RemindersConfig(lead_days=14, min_probability=0.1))
    assert found.suppressed["rule"].tolist() == ([] if rule is None else [rule])


@pytest.mark.parametrize("rank_by", ["expected_overdue_amount", "log_odds"])
def test_ties_go_by_id(rank_by):
    table = scores(customer_id=["c10", "c2", "c1"])
    found = rank_customers(table, RemindersConfig(rank_by=rank_by, capacity=2))
    assert found.reminders["customer_id"].tolist() == ["c1", "c10"]
    assert found.suppressed["customer_id"].tolist() == ["c2"]


def test_ranked_by_money_or_by_risk():
    table = scores(customer_id=["rich", "risky"], due_amount=[9000.0, 100.0], p_overdue=[0.2, 0.9])
    by_money = rank_customers(table, RemindersConfig(rank_by="expected_overdue_amount"))
    by_risk = rank_customers(table, RemindersConfig(rank_by="log_odds"))
    assert by_money.reminders["customer_id"].tolist() == ["rich", "risky"]
    assert by_risk.reminders["customer_id"].tolist() == ["risky", "rich"]


@pytest.mark.parametrize(("capacity", "listed"), [(0, 0), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_capacity(capacity, listed):
    found = rank_customers(scores(customer_id=["a", "b", "c"]), RemindersConfig(capacity=capacity))
    assert len(found.reminders) == listed
    assert found.suppressed["rule"].tolist() == ["over_capacity"] * (3 - listed)


def test_nobody_scored():
    found = rank_customers(scores(customer_id=["a"]).iloc[:0])
    assert len(found.reminders) == len(found.suppressed) == 0
    assert found.reminders.columns.tolist() == list(REMINDER_COLUMNS)
    assert found.suppressed.columns.tolist() == ["customer_id", "rule"]


def test_nothing_due_for_anybody():
    found = rank_customers(scores(due_in=[None] * 3, due_amount=[np.nan] * 3))
    assert found.suppressed["rule"].tolist() == ["nothing_due"] * 3
    assert len(found.reminders) == 0


def test_a_customer_scored_twice_is_not_lost():
    found = rank_customers(scores(customer_id=["a", "a"]))
    assert len(found.reminders) == 2


def test_input_is_left_alone():
    table = scores(customer_id=["b", "a"])
    before = table.copy(deep=True)
    rank_customers(table)
    pd.testing.assert_frame_equal(table, before)
