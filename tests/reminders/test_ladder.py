"""Who is past due, by how much, and the rung that is suggested: by hand, and against ageing as an oracle."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overdue_ml.config import LadderRule, RemindersConfig
from overdue_ml.records import bucket_of, compute_next_due, keep_customers, load_records, simulate
from overdue_ml.records.ageing import compute_ageing
from overdue_ml.reminders import collect_past_due, suggest_treatment
from overdue_ml.reminders.ladder import NO_RUNG, TREATMENT_COLUMNS

JUNE = dt.date(2024, 6, 30)


def past_due(*rows):
    """Customers a, b, ... with (dpd, overdue amount, tier)."""
    return pd.DataFrame(
        {
            "customer_id": [chr(ord("a") + i) for i in range(len(rows))],
            "as_of_date": [JUNE] * len(rows),
            "dpd": [row[0] for row in rows],
            "overdue_amount": [row[1] for row in rows],
            "tier": [row[2] for row in rows],
            "reason_1_code": [f"R{i}" for i in range(len(rows))],
        }
    )


def rungs(*rows, ladder=None):
    config = RemindersConfig() if ladder is None else RemindersConfig(ladder=ladder)
    found = suggest_treatment(past_due(*rows), config)
    return dict(zip(found["customer_id"], found["rung"], strict=True))


def test_the_shipped_ladder():
    assert rungs(
        (91, 1000.0, "low"),
        # Too little for the lawyer, so the rung below.
        (200, 999.99, "low"),
        (90, 5000.0, "high"),
        (60, 10.0, "high"),
        (60, 10.0, "medium"),
        (8, 10.0, "medium"),
        (8, 10.0, "low"),
        (1, 0.01, "high"),
    ) == {
        "a": "legal_review", "b": "restructuring_offer", "c": "restructuring_offer", "d": "senior_call",
        "e": "call", "f": "call", "g": "message", "h": "message",
    }  # fmt: skip


def test_the_first_rule_that_fits_even_if_a_later_one_is_stricter():
    ladder = [LadderRule(rung="message", tiers=["low"]), LadderRule(rung="call", min_dpd=31)]
    assert rungs((60, 1.0, "low"), (60, 1.0, "high"), ladder=ladder) == {"a": "message", "b": "call"}


def test_the_word_for_no_rung_is_no_rungs_name():
    with pytest.raises(ValueError, match="'none' stands for customers whom no rung fits"):
        LadderRule(rung=NO_RUNG)


_rules = st.builds(
    LadderRule,
    rung=st.sampled_from(["message", "call"]),
    min_dpd=st.integers(1, 3),
    tiers=st.lists(st.sampled_from(["high", "low"]), min_size=1, unique=True),
    min_amount=st.sampled_from([0.0, 1.0, 2.0]),
)


@given(st.lists(_rules, min_size=1, max_size=4))
def test_a_ladder_is_refused_if_and_only_if_a_rung_is_never_reached(ladder):
    """Every customer there can be, by days, amount and tier, takes the first rule that fits."""
    ladder = [rule.model_copy(update={"rung": f"{i} {rule.rung}"}) for i, rule in enumerate(ladder)]
    everybody = past_due(*((d, a, t) for d in (1, 2, 3) for a in (0.0, 1.0, 2.0) for t in ("high", "low")))
    config = RemindersConfig(ladder=[]).model_copy(update={"ladder": ladder})
    reached = set(suggest_treatment(everybody, config)["rung"]) - {NO_RUNG}
    if reached == {rule.rung for rule in ladder}:
        assert RemindersConfig(ladder=ladder).ladder == ladder
    else:
        with pytest.raises(ValueError, match="nobody reaches the rung"):
            RemindersConfig(ladder=ladder)


def test_where_no_rule_fits_the_customer_is_still_there():
    ladder = [LadderRule(rung="call", tiers=["high"], min_dpd=5, min_amount=10.0)]
    rows = [(5, 10.0, "high"), (4, 10.0, "high"), (5, 9.0, "high"), (5, 10.0, "low")]
    assert rungs(*rows, ladder=ladder) == {"a": "call", "b": "none", "c": "none", "d": "none"}
    assert set(rungs(*rows, ladder=[]).values()) == {"none"}


def test_an_amount_that_nobody_knows_reaches_no_amount():
    ladder = [LadderRule(rung="legal", min_amount=1.0), LadderRule(rung="call")]
    assert rungs((99, np.nan, "high"), ladder=ladder) == {"a": "call"}


def test_longest_first_then_the_largest_then_by_id():
    found = suggest_treatment(
        past_due((10, 5.0, "low"), (30, 1.0, "low"), (10, 7.0, "low"), (10, 5.0, "high")).iloc[::-1]
    )
    assert found["customer_id"].tolist() == ["b", "c", "a", "d"]
    assert list(found) == list(TREATMENT_COLUMNS)
    assert suggest_treatment(past_due()).empty


@given(
    st.lists(
        st.tuples(
            st.integers(1, 120), st.sampled_from([0.5, 1000.0]), st.sampled_from(["high", "medium", "low"])
        ),
        max_size=8,
    )
)
def test_everybody_stands_there_once_with_the_rule_that_a_loop_finds(rows):
    def first_fit(dpd, amount, tier):
        for rule in RemindersConfig().ladder:
            if dpd >= rule.min_dpd and amount >= rule.min_amount and tier in rule.tiers:
                return rule.rung
        return "none"

    expected = {chr(ord("a") + i): first_fit(*row) for i, row in enumerate(rows)}
    assert rungs(*rows) == expected


def test_statements_say_who_is_late(five):
    def late(as_of):
        found = collect_past_due(five.records, dt.date.fromisoformat(as_of))
        return [tuple(row) for row in found.to_numpy().tolist()]

    # Ann's minimum; Ben's second account was closed without a rest.
    assert late("2024-06-30") == [("ANN", 30, 90.0)]
    # Of Ben's two accounts the worse days, and the minimum of the late one alone.
    assert late("2024-03-31") == [("ANN", 30, 60.0), ("BEN", 30, 45.0)]
    # Dan's statement does not say how late he is: not on the list.
    assert late("2024-05-31") == []


def test_who_owes_nothing_any_more_is_not_past_due(five):
    statements = five.frames["statements"].copy()
    last = statements["account_id"].eq("A1") & statements["balance_amount"].eq(900)
    statements.loc[last, ["balance_amount", "minimum_due_amount"]] = [0.0, 0.0]
    assert collect_past_due(load_records(five.frames | {"statements": statements}), JUNE).empty


def test_records_without_amounts_still_say_who_is_late(five):
    statements = five.frames["statements"].drop(columns=["balance_amount", "minimum_due_amount"])
    found = collect_past_due(load_records(five.frames | {"statements": statements}), JUNE)
    assert found["customer_id"].tolist() == ["ANN"]
    assert found["overdue_amount"].isna().all()


@pytest.fixture(scope="module")
def lender():
    tables = simulate(400, seed=4, months=8)
    return load_records({name: table for name, table in tables.items() if name != "truth"})


def test_instalments_agree_with_ageing(lender):
    """Another pass over the ledger, by account: the worst days and the sum of the arrears."""
    for as_of in (dt.date(2022, 5, 31), dt.date(2022, 8, 31)):
        aged = compute_ageing(lender, as_of)
        accounts = pd.DataFrame(
            {
                "customer_id": aged.customer_id.to_pandas(),
                "dpd": aged.dpd[:, 0],
                "overdue_amount": aged.arrears_amount[:, 0],
            }
        )
        late = accounts[accounts["dpd"] > 0].groupby("customer_id", as_index=False).agg(
            {"dpd": "max", "overdue_amount": "sum"}
        )  # fmt: skip
        found = collect_past_due(lender, as_of)
        assert 5 < len(found) < 200
        pd.testing.assert_frame_equal(found, late, check_dtype=False, rtol=1e-9)


def test_bucket_by_bucket_it_is_the_same(lender):
    as_of = dt.date(2022, 8, 31)
    ids = lender.tables["accounts"].column("customer_id").unique()
    buckets = bucket_of(ids, 5)
    parts = []
    for number in range(5):
        here = [i for i, b in zip(ids.to_pylist(), buckets.tolist(), strict=True) if b == number]
        part = keep_customers(lender, here)
        parts.append(collect_past_due(part, as_of, dues=compute_next_due(part, as_of)))
    together = pd.concat(parts).sort_values("customer_id", ignore_index=True)
    pd.testing.assert_frame_equal(together, collect_past_due(lender, as_of))
