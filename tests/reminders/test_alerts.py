"""The watch list, worked out by hand: crossed and jumped, up and down, with and without a run before."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.config import AlertRule, RemindersConfig
from overdue_ml.errors import ConfigError
from overdue_ml.reminders import WatchList, compute_watch_list
from overdue_ml.reminders.alerts import WATCH_COLUMNS

MAY, JUNE = dt.date(2024, 5, 31), dt.date(2024, 6, 30)
CROSSED = AlertRule(kind="crossed", threshold=0.5, owner="risk")
JUMPED = AlertRule(kind="jumped", threshold=0.2, owner="collections")


def scores(as_of, p_overdue, **columns):
    """A scores table of customers with these probabilities."""
    n = len(p_overdue)
    table = {
        "customer_id": list(p_overdue),
        "as_of_date": [as_of] * n,
        "p_overdue": np.array(list(p_overdue.values()), dtype=np.float64),
        "tier": ["high"] * n,
        "reason_1_code": [f"R_{name}" for name in p_overdue],
    }
    return pd.DataFrame(table | columns)


def watch(now, before, *rules, **models):
    return compute_watch_list(now, before, RemindersConfig(alerts=list(rules)), **models)


def told(found):
    return [tuple(row) for row in found[["customer_id", "kind"]].to_numpy().tolist()]


def test_who_has_crossed_the_line_and_who_has_jumped():
    """Ann rose over the line and far; Ben was above before; Cat rose far below it; Dan a little over it."""
    before = scores(MAY, {"ANN": 0.3, "BEN": 0.6, "CAT": 0.1, "DAN": 0.45, "EVE": 0.9})
    now = scores(JUNE, {"ANN": 0.7, "BEN": 0.65, "CAT": 0.35, "DAN": 0.5, "EVE": 0.2})
    found = watch(now, before, CROSSED, JUMPED, model="overdue/2", earlier_model="overdue/2")
    # By rule, then the worst first. On the line is over it.
    assert told(found) == [("ANN", "crossed"), ("DAN", "crossed"), ("ANN", "jumped"), ("CAT", "jumped")]
    assert list(found) == list(WATCH_COLUMNS)
    assert found.iloc[1].to_dict() == {
        "customer_id": "DAN", "as_of_date": JUNE, "indicator": "p_overdue", "kind": "crossed", "value": 0.5,
        "earlier_value": 0.45, "earlier_as_of": MAY, "threshold": 0.5, "direction": "up", "owner": "risk",
        "tier": "high", "reason_1_code": "R_DAN", "model": "overdue/2", "earlier_model": "overdue/2",
    }  # fmt: skip
    assert found.iloc[2]["owner"] == "collections"


def test_downwards_is_the_mirror():
    now = scores(JUNE, dict.fromkeys("abcd", 0.5), points=[500, 520, 560, 499])
    before = scores(MAY, dict.fromkeys("abcd", 0.5), points=[520, 540, 600, 490])
    # a falls onto the line, d was below it; c falls by 40, a and b by 20 only.
    crossed = AlertRule(indicator="points", kind="crossed", threshold=500, owner="risk", direction="down")
    jumped = AlertRule(indicator="points", kind="jumped", threshold=40, owner="risk", direction="down")
    found = watch(now, before, crossed, jumped)
    assert told(found) == [("a", "crossed"), ("c", "jumped")]
    assert found["value"].tolist() == [500.0, 560.0]


def test_without_a_run_before_everybody_above_the_line_is_listed_and_nobody_has_jumped():
    found = watch(scores(JUNE, {"a": 0.5, "b": 0.49, "c": 0.8}), None, CROSSED, JUMPED)
    assert told(found) == [("c", "crossed"), ("a", "crossed")]
    assert found["earlier_value"].isna().all()
    assert found["earlier_as_of"].isna().all()
    assert (found["earlier_model"] == "").all()


def test_a_new_customer_had_not_reached_it_and_cannot_have_jumped():
    before = scores(MAY, {"old": 0.9, "gone": 0.9})
    found = watch(scores(JUNE, {"new": 0.9, "old": 0.9}), before, CROSSED, JUMPED)
    assert told(found) == [("new", "crossed")]
    # Not in that run: no date of it either.
    assert found["earlier_as_of"].isna().all()


def test_what_is_missing_reaches_nothing():
    before = scores(MAY, {"a": 0.1, "b": np.nan, "c": 0.2})
    found = watch(scores(JUNE, {"a": np.nan, "b": 0.9, "c": 0.9}), before, CROSSED, JUMPED)
    assert told(found) == [("b", "crossed"), ("c", "crossed"), ("c", "jumped")]


def test_a_change_is_what_it_says_and_not_what_floats_make_of_it():
    assert 0.7 - 0.5 < 0.2
    found = watch(scores(JUNE, {"a": 0.7}), scores(MAY, {"a": 0.5}), JUMPED)
    assert told(found) == [("a", "jumped")]


def test_equal_values_stand_by_id_whatever_the_order_of_the_rows():
    now = scores(JUNE, {"b": 0.6, "a": 0.6, "c": 0.9})
    assert told(watch(now, None, CROSSED)) == [("c", "crossed"), ("a", "crossed"), ("b", "crossed")]


def test_a_rule_that_stands_twice_is_one_rule():
    assert len(watch(scores(JUNE, {"a": 0.6}), None, CROSSED, CROSSED)) == 1
    other = CROSSED.model_copy(update={"owner": "branch"})
    assert watch(scores(JUNE, {"a": 0.6}), None, CROSSED, other)["owner"].tolist() == ["risk", "branch"]


@pytest.mark.parametrize("rules", [[], [CROSSED]])
def test_nobody(rules):
    found = watch(scores(JUNE, {"a": 0.1}), None, *rules)
    assert found.empty
    assert list(found) == list(WATCH_COLUMNS)


def test_an_indicator_that_the_run_before_did_not_have():
    rule = AlertRule(indicator="p_high", kind="crossed", threshold=0.5, owner="risk")
    found = watch(scores(JUNE, {"a": 0.3}, p_high=[0.6]), scores(MAY, {"a": 0.3}), rule)
    assert told(found) == [("a", "crossed")]


@pytest.mark.parametrize("indicator", ["tier", "nothing"])
def test_an_indicator_must_be_a_column_of_numbers(indicator):
    rule = AlertRule(indicator=indicator, kind="crossed", threshold=0.5, owner="risk")
    with pytest.raises(ConfigError, match=f"no column of numbers '{indicator}'.*expected one of p_overdue"):
        watch(scores(JUNE, {"a": 0.3}), None, rule)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0]), st.sampled_from([None, 0.0, 0.2, 0.4, 0.5, 0.9])
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["up", "down"]),
)
def test_nobody_is_listed_twice_by_a_rule_and_a_second_look_finds_no_crossing(pairs, direction):
    now = scores(JUNE, {f"c{i}": p for i, (p, _) in enumerate(pairs)})
    before = scores(MAY, {f"c{i}": p for i, (_, p) in enumerate(pairs) if p is not None})
    rules = [rule.model_copy(update={"direction": direction}) for rule in (CROSSED, JUMPED)]
    found = watch(now, before, *rules)
    assert not found.duplicated(["customer_id", "kind"]).any()
    # Held against itself nothing has moved.
    assert watch(now, now.assign(as_of_date=MAY), *rules).empty
    # Everybody who has reached the line has done so now or before.
    sign = 1 if direction == "up" else -1
    reached = {i for i, p in zip(now["customer_id"], now["p_overdue"], strict=True) if sign * p >= sign * 0.5}
    already = set(before.loc[sign * before["p_overdue"] >= sign * 0.5, "customer_id"])
    crossed = set(found.loc[found["kind"] == "crossed", "customer_id"])
    assert crossed == reached - already


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.sampled_from([None, 0.1, 0.6])),
        min_size=1,
        max_size=20,
    ),
    st.sets(st.integers(1, 19)),
)
def test_in_portions_it_is_that_of_all_at_once(values, cuts):
    """Also where a portion has nobody on the list, or nobody of the run before."""
    ids = [f"c{i:02}" for i in range(len(values))]
    now = scores(JUNE, dict(zip(ids, [p for p, _ in values], strict=True)))
    before = scores(MAY, {i: last for i, (_, last) in zip(ids, values, strict=True) if last is not None})
    never = AlertRule(kind="crossed", threshold=5.0, owner="risk")
    config = RemindersConfig(alerts=[CROSSED, JUMPED, never])
    portions, edges = WatchList(config, model="m/2", earlier_model="m/1"), sorted(cuts | {0, len(ids)})
    for start, end in pairwise(edges):
        here = ids[start:end]
        portions.add(now.iloc[start:end], before[before["customer_id"].isin(here)])
    whole = compute_watch_list(now, before, config, model="m/2", earlier_model="m/1")
    pd.testing.assert_frame_equal(portions.table(), whole)
