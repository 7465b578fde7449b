"""Settlement: by hand rule by rule, against the oracle, and for what must not matter."""

import datetime as dt
import importlib.util
import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records._ledger_reading import present_columns
from overdue_ml.records.settlement import SettlementRules, compute_facts
from overdue_ml.records.settlement_sql import _settlement_sql, settle


def _helper(name):
    """A module beside the tests."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


oracle, made = _helper("settlement_oracle"), _helper("settlement_ledgers")
SCHEMAS, START, day, tables, by_key = made.SCHEMAS, made.START, made.day, made.tables, made.by_key
hand, random_ledger, merged = made.hand, made.random_ledger, made.merged


def by_query(source, as_of, rules=None):
    """The facts by the SQL of ``settle``, in the order of ``compute_facts``."""
    with duckdb.connect() as con:
        for name, table in source.items():
            con.register(name, table)
        return settle(con, as_of, rules).order("as_of_date, account_id, instalment_no").to_arrow_table()


def expected(ledger, dates, rules=(0, 0.0, 0.0)):
    """The oracle's answer for several dates."""
    return {
        key: row
        for as_of in dates
        for key, row in oracle.facts(*(ledger[name] for name in SCHEMAS), as_of, rules).items()
    }


def told(ledger, as_of, *columns, rules=(0, 0.0, 0.0)):
    """``{no: columns}`` as of a day, dates as MM-DD; the oracle must say the same."""
    rows = by_key(compute_facts(tables(ledger), day(as_of), SettlementRules(*rules)))
    assert rows == expected(ledger, [day(as_of)], rules)

    def text(value):
        return f"{value:%m-%d}" if isinstance(value, dt.date) else value

    return {no: tuple(text(row[name]) for name in columns) for (_, no, _), row in rows.items()}


THREE = [(1, "01-31", 100.0), (2, "02-29", 100.0), (3, "03-31", 100.0)]


def test_what_is_unpaid_ages_and_what_was_paid_does_not():
    ledger = hand(THREE, [("02-05", 100.0)])
    # 1 paid 5 days late for ever; 2 is due on 29 February: 1 day late on 1 March; 3 is not due yet.
    assert told(ledger, "03-01", "settled_on", "dpd") == {1: ("02-05", 5), 2: (None, 1), 3: (None, 0)}
    # The day before the payment nobody knows of it: 4 days late and counting.
    assert told(ledger, "02-04", "settled_on", "dpd")[1] == (None, 4)
    assert told(ledger, "01-31", "settled_on", "dpd")[1] == (None, 0)


def test_unnamed_money_fills_the_oldest_first_and_carries_forward():
    # 250 on 10 February: 1 and 2 in full (2 is 19 days early), 3 half.
    ledger = hand(THREE, [("02-10", 250.0)])
    assert told(ledger, "02-10", "paid_amount", "settled_on", "dpd", "days_early") == {
        1: (100, "02-10", 10, 0),
        2: (100, "02-10", 0, 19),
        3: (50, None, 0, 0),
    }


def test_the_oldest_is_by_due_date_then_by_number():
    ledger = hand([(1, "03-31", 100.0), (3, "01-31", 100.0), (2, "01-31", 100.0)], [("01-10", 150.0)])
    assert told(ledger, "01-10", "paid_amount") == {2: (100,), 3: (50,), 1: (0,)}


def test_named_money_pays_what_it_names_and_its_surplus_carries_forward():
    # 2 gets its 100; the 30 over go to 1, the oldest short.
    ledger = hand(THREE, [("02-10", 130.0, 2)])
    assert told(ledger, "02-10", "paid_amount", "settled_on") == {
        1: (30, None),
        2: (100, "02-10"),
        3: (0, None),
    }
    # A later unnamed 70 completes 1, not 3.
    ledger["payments"] += hand([], [("02-12", 70.0)])["payments"]
    assert told(ledger, "02-12", "settled_on")[1] == ("02-12",)


def test_a_name_that_is_not_in_force_is_no_name():
    ledger = hand(THREE, [("01-05", 40.0, 9)])
    assert told(ledger, "01-05", "paid_amount")[1] == (40,)


def test_a_reversal_counts_from_the_day_it_is_known():
    # Paid on the 20th; bounced with value of the same day, which the bank tells on 10 February.
    ledger = hand(THREE[:1], [("01-20", 100.0), ("01-20", -100.0, None, "02-10")])
    assert told(ledger, "02-09", "settled_on", "dpd", "days_early")[1] == ("01-20", 0, 11)
    assert told(ledger, "02-10", "settled_on", "dpd", "days_early", "paid_amount")[1] == (None, 10, 0, 0)


def test_made_good_after_a_reversal_counts_from_then():
    # In on the 20th, out on 3 February, in again on the 8th: settled 8 days late, in two payments.
    ledger = hand(THREE[:1], [("01-20", 100.0, 1), ("02-03", -100.0, 1), ("02-08", 100.0, 1)])
    got = told(ledger, "03-01", "settled_on", "dpd", "n_payments", "n_reversals", "last_paid_on")
    assert got[1] == ("02-08", 8, 2, 1, "02-08")


def test_a_fifo_reversal_takes_the_newest_money_back():
    # 1 and 2 paid; 100 taken back on 5 March: 1 stays as it was, 2 is short again.
    ledger = hand(THREE, [("01-31", 100.0), ("02-29", 100.0), ("03-05", -100.0)])
    assert told(ledger, "03-10", "settled_on", "dpd")[1] == ("01-31", 0)
    assert told(ledger, "03-10", "settled_on", "dpd")[2] == (None, 10)


def test_a_reversal_without_a_name_takes_named_money_newest_first():
    # 1 and 3 were paid by name; 120 go back: all of 3, then 20 of 1.
    ledger = hand(THREE, [("01-31", 100.0, 1), ("01-31", 100.0, 3), ("02-05", -120.0)])
    assert told(ledger, "02-05", "paid_amount") == {1: (80,), 2: (0,), 3: (0,)}


def test_a_named_reversal_of_fifo_money_comes_out_of_the_pool():
    # 200 filled 1 and 2. The reversal names 1, which got nothing by name: 100 are left, for the oldest.
    ledger = hand(THREE, [("01-31", 200.0), ("02-05", -100.0, 1)])
    assert told(ledger, "02-05", "paid_amount") == {1: (100,), 2: (0,), 3: (0,)}


def test_a_named_reversal_takes_back_what_it_named_and_leaves_the_pool():
    # 50 for 1 and, by name, 100 for 3, which go back on 5 February.
    ledger = hand(THREE, [("01-31", 50.0), ("02-01", 100.0, 3), ("02-05", -100.0, 3)])
    assert told(ledger, "02-04", "paid_amount") == {1: (50,), 2: (0,), 3: (100,)}
    assert told(ledger, "02-05", "paid_amount") == {1: (50,), 2: (0,), 3: (0,)}


def test_fifo_starts_anew_after_named_money_came_and_went():
    # 150 for 1 and 2; 100 for 3 by name; then both go back, and 50 come in: for 1, though 2 was next before.
    ledger = hand(
        THREE,
        [("01-10", 150.0), ("01-12", 100.0, 3), ("01-14", -100.0, 3), ("01-14", -150.0), ("01-20", 50.0)],
    )
    assert told(ledger, "01-13", "paid_amount") == {1: (100,), 2: (50,), 3: (100,)}
    assert told(ledger, "01-20", "paid_amount") == {1: (50,), 2: (0,), 3: (0,)}


def test_money_of_one_day_is_netted_in_any_order():
    ledger = hand(THREE, [("01-31", -100.0), ("01-31", 100.0), ("01-31", 60.0), ("01-31", 40.0)])
    assert told(ledger, "01-31", "settled_on", "n_payments", "n_reversals")[1] == ("01-31", 1, 0)


@pytest.mark.parametrize(
    ("rules", "settled"),
    [((0, 0.0, 0.0), None), ((0, 0.49, 0.0), None), ((0, 0.5, 0.0), "01-20"), ((0, 0.1, 0.005), "01-20")],
)
def test_the_tolerance_is_the_larger_of_amount_and_ratio(rules, settled):
    # Short by 0.50 of 100.
    assert told(hand(THREE, [("01-20", 99.5)]), "01-31", "settled_on", rules=rules)[1] == (settled,)


def test_the_tolerance_forgives_lateness_and_not_debt():
    # Twice 99.50: the second fills the 0.50 first, so 2 is short by 1.00.
    ledger = hand(THREE, [("01-20", 99.5), ("02-20", 99.5)])
    got = told(ledger, "02-29", "settled_on", "shortfall_amount", rules=(0, 0.5, 0.0))
    assert got == {1: ("01-20", 0), 2: (None, 1), 3: (None, 100)}


def test_tenths_add_up():
    ledger = hand([(1, "01-31", 0.3)], [("01-20", 0.1), ("01-21", 0.2)])
    assert told(ledger, "01-31", "paid_amount", "shortfall_amount", "settled_on")[1] == (0.3, 0.0, "01-21")


def test_nothing_due_is_settled_on_its_due_date():
    ledger = hand([(1, "01-31", 0.0), (2, "02-29", 0.4)], [])
    got = told(ledger, "01-15", "is_settled", "settled_on", "dpd", "days_early", rules=(0, 0.5, 0.0))
    assert got == {1: (True, "01-31", 0, 0), 2: (True, "02-29", 0, 0)}


def test_a_version_counts_from_the_day_it_is_known_for_the_whole_history():
    # On 10 March 2 moves from 29 February to 31 March and shrinks to 80: paid 80 on 5 March.
    ledger = hand(
        [(1, "01-31", 0.0), (2, "02-29", 100.0), (2, "03-31", 80.0, "03-10")],
        [("03-05", 80.0)],
    )
    assert told(ledger, "03-09", "due_date", "amount_due", "settled_on", "dpd")[2] == ("02-29", 100, None, 9)
    got = told(ledger, "03-10", "due_date", "amount_due", "settled_on", "dpd", "days_early")
    assert got[2] == ("03-31", 80, "03-05", 0, 26)


def test_instalments_exist_from_the_opening_of_the_account_or_always():
    assert not told(hand(THREE, [], opened="01-10"), "01-09", "dpd")
    assert len(told(hand(THREE, [], opened="01-10"), "01-10", "dpd")) == 3
    assert len(told(hand(THREE, [], opened=None), "01-01", "dpd")) == 3


def test_a_payment_is_known_after_the_posting_lag_and_counts_from_its_day():
    # Paid 2 days late, posted 3 days after that.
    ledger = hand(THREE[:1], [("02-02", 100.0)])
    assert told(ledger, "02-04", "settled_on", "dpd", rules=(3, 0.0, 0.0))[1] == (None, 4)
    assert told(ledger, "02-05", "settled_on", "dpd", rules=(3, 0.0, 0.0))[1] == ("02-02", 2)


def test_an_announced_payment_is_no_payment_before_its_day():
    ledger = hand(THREE[:1], [("02-02", 100.0, None, "01-15")])
    assert told(ledger, "02-01", "paid_amount")[1] == (0,)
    assert told(ledger, "02-02", "paid_amount")[1] == (100,)


def test_technical_ratio_is_of_the_money_received():
    # 30 ordinary, then a day with 20 technical and 60 ordinary, of which 1 takes 70: 17.5 of its 100.
    ledger = hand(
        THREE,
        [("01-20", 30.0), ("01-25", 20.0, None, None, True), ("01-25", 60.0, None, None, False)],
    )
    assert told(ledger, "01-31", "technical_ratio", "n_payments") == {
        1: (0.175, 2),
        2: (0.25, 1),
        3: (None, 0),
    }


# Generated ledgers.


def test_the_generated_ledgers_hold_every_case():
    ledger = merged(random_ledger(random.Random(i), f"a{i:04d}") for i in range(300))
    rows = compute_facts(tables(ledger), [day("03-05"), day("04-10")], SettlementRules()).to_pylist()
    cases = {
        "late": lambda f: f["is_settled"] and f["dpd"] > 0,
        "early": lambda f: f["days_early"] > 0,
        "unpaid and late": lambda f: not f["is_settled"] and f["dpd"] > 0,
        "in part": lambda f: 0 < f["shortfall_amount"] < f["amount_due"],
        "made good": lambda f: f["is_settled"] and f["n_reversals"] > 0,
        "taken back": lambda f: not f["is_settled"] and f["n_reversals"] > 0,
        "in several payments": lambda f: f["is_settled"] and f["n_payments"] > 1,
        "partly technical": lambda f: 0 < (f["technical_ratio"] or 0) < 1,
        "on 29 February": lambda f: f["settled_on"] == dt.date(2024, 2, 29),
        "nothing due": lambda f: f["amount_due"] == 0,
    }
    counts = {name: sum(map(case, rows)) for name, case in cases.items()}
    assert min(counts.values()) >= 10, counts
    with duckdb.connect() as con:
        for name, table in tables(ledger).items():
            con.register(name, table)
        query = _settlement_sql(present_columns(con), [day("03-05"), day("04-10")], SettlementRules())
        before_facts = query[: query.index(",\nsettled AS (")]
        kinds = dict(con.sql(before_facts + " SELECT kind, count(*) FROM kinds GROUP BY kind").fetchall())
        runs = con.sql(before_facts + " SELECT count(*) FROM runs WHERE run_seen > run_from").fetchall()[0][0]
    assert min(kinds["fifo"], kinds["named"], kinds["grid"], runs) >= 10, (kinds, runs)


RULES = [(0, 0.0, 0.0), (2, 0.5, 0.0), (1, 0.0, 0.01), (5, 1.0, 0.05)]
ledgers = st.builds(
    lambda seeds: merged(random_ledger(random.Random(seed), f"a{i}") for i, seed in enumerate(seeds)),
    st.lists(st.integers(0, 2**32), min_size=1, max_size=3),
)
dates = st.lists(
    st.integers(-5, 110).map(lambda n: START + dt.timedelta(n)), min_size=1, max_size=4, unique=True
)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("rules", RULES)
def test_agrees_with_the_oracle_on_many_accounts(rules):
    rng = random.Random(str(rules))
    ledger = merged(random_ledger(rng, f"a{i:04d}") for i in range(150))
    as_ofs = sorted(START + dt.timedelta(rng.randint(-5, 110)) for _ in range(6))
    facts = compute_facts(tables(ledger), as_ofs, SettlementRules(*rules))
    assert facts.equals(by_query(tables(ledger), as_ofs, SettlementRules(*rules)))
    got = by_key(facts)
    for name in {row["account_id"] for row in ledger["accounts"]}:
        own = {table: [row for row in rows if row["account_id"] == name] for table, rows in ledger.items()}
        assert {k: v for k, v in got.items() if k[0] == name} == expected(own, set(as_ofs), rules)


@few
@given(ledgers, dates, st.sampled_from(RULES))
def test_agrees_with_the_oracle(ledger, as_ofs, rules):
    got = by_key(compute_facts(tables(ledger), as_ofs, SettlementRules(*rules)))
    assert got == expected(ledger, as_ofs, rules)


@few
@given(ledgers, dates, st.randoms(use_true_random=False))
def test_row_order_changes_no_byte(ledger, as_ofs, rng):
    shuffled = {name: rng.sample(rows, len(rows)) for name, rows in ledger.items()}
    assert compute_facts(tables(ledger), as_ofs).equals(compute_facts(tables(shuffled), as_ofs[::-1]))


@few
@given(ledgers, dates)
def test_what_is_known_later_changes_nothing(ledger, as_ofs):
    # Truncation: without the rows known after T, the facts as of T are the same.
    as_of, opened = min(as_ofs), {row["account_id"]: row["opened_on"] for row in ledger["accounts"]}
    past = ledger | {
        "instalments": [
            row
            for row in ledger["instalments"]
            if (row["known_on"] or opened[row["account_id"]] or dt.date.min) <= as_of
        ],
        "payments": [
            row
            for row in ledger["payments"]
            if max(row["known_on"] or row["paid_on"], row["paid_on"]) <= as_of
        ],
    }
    every = by_key(compute_facts(tables(ledger), as_ofs))
    assert by_key(compute_facts(tables(past), as_of)) == {k: v for k, v in every.items() if k[2] == as_of}


@few
@given(ledgers, dates, st.integers(0, 9), st.integers(1, 20))
def test_paying_later_never_lowers_dpd(ledger, as_ofs, which, days):
    payments = [dict(row) for row in ledger["payments"]]
    if not payments:
        return
    row = payments[which % len(payments)]
    if row["amount"] < 0:
        return
    before = by_key(compute_facts(tables(ledger), as_ofs))
    row["paid_on"] += dt.timedelta(days)
    after = by_key(compute_facts(tables(ledger | {"payments": payments}), as_ofs))
    assert all(after[key]["dpd"] >= before[key]["dpd"] for key in before)


@few
@given(ledgers, dates, st.integers(0, 9), st.integers(1, 20_000))
def test_paying_more_never_raises_a_shortfall(ledger, as_ofs, which, cents):
    payments = [dict(row) for row in ledger["payments"]]
    if not payments:
        return
    before = by_key(compute_facts(tables(ledger), as_ofs))
    payments[which % len(payments)]["amount"] += cents / 100
    after = by_key(compute_facts(tables(ledger | {"payments": payments}), as_ofs))
    assert all(after[key]["shortfall_amount"] <= before[key]["shortfall_amount"] for key in before)
    assert all(after[key]["dpd"] <= before[key]["dpd"] for key in before)


@few
@given(ledgers, dates)
def test_no_more_is_allocated_than_was_paid(ledger, as_ofs):
    facts = by_key(compute_facts(tables(ledger), as_ofs))
    for as_of in as_ofs:
        for account in {row["account_id"] for row in ledger["accounts"]}:
            known = oracle.known_payments(ledger["payments"], as_of, 0)
            net = sum(row["amount"] for row in known if row["account_id"] == account)
            paid = sum(row["paid_amount"] for key, row in facts.items() if key[::2] == (account, as_of))
            assert paid <= max(net, 0) + 1e-6
    assert all(0 <= row["paid_amount"] <= row["amount_due"] for row in facts.values())


def test_the_short_cuts_give_what_the_grid_gives():
    rng = random.Random(5)
    ledger = merged(random_ledger(rng, f"a{i:05d}") for i in range(1500))
    as_ofs = [START + dt.timedelta(n) for n in range(0, 110, 10)]
    with duckdb.connect() as con:
        for name, table in tables(ledger).items():
            con.register(name, table)
        by_grid = con.sql(_settlement_sql(present_columns(con), as_ofs, SettlementRules(), grid_only=True))
        got = by_grid.order("as_of_date, account_id, instalment_no").to_arrow_table()
    assert got.equals(by_query(tables(ledger), as_ofs))
    assert got.equals(compute_facts(tables(ledger), as_ofs))


def test_long_accounts_agree_with_the_query():
    # Hundreds of rows, told out of order, with numbers far apart: what short accounts never sort or search.
    rng = random.Random(8)
    ledger = merged(made.long_ledger(rng, f"a{i}") for i in range(6))
    as_ofs = [START + dt.timedelta(n) for n in range(0, 500, 45)]
    rules = SettlementRules(2, 0.5, 0.01)
    facts = compute_facts(tables(ledger), as_ofs, rules)
    assert facts.num_rows > 3000
    assert facts.equals(by_query(tables(ledger), as_ofs, rules))


def test_many_dates_at_once_are_the_dates_one_by_one():
    rng = random.Random(6)
    source = tables(merged(random_ledger(rng, f"a{i:05d}") for i in range(600)))
    as_ofs = [START + dt.timedelta(n) for n in range(0, 110, 10)]
    one_by_one = pa.concat_tables([compute_facts(source, as_of) for as_of in as_ofs])
    assert compute_facts(source, as_ofs).equals(one_by_one.combine_chunks())


def test_threads_change_no_byte():
    source = tables(merged(random_ledger(random.Random(i), f"a{i:05d}") for i in range(1000)))
    answers = []
    for threads in (1, 2):
        with duckdb.connect(config={"threads": threads}) as con:
            for name, table in source.items():
                con.register(name, table)
            answers.append(compute_facts(con, [day("03-15"), day("04-15")]))
    assert answers[0].equals(answers[1])


# Forms of input.


def test_optional_columns_may_be_absent():
    full = tables(hand(THREE, [("02-10", 250.0), ("02-10", 20.0)]))
    bare = {
        "accounts": full["accounts"].drop_columns(["customer_id"]),
        "instalments": full["instalments"].drop_columns(["known_on"]),
        "payments": full["payments"].drop_columns(["instalment_no", "known_on", "technical"]),
    }
    expected_facts = compute_facts(full, day("03-01")).to_pylist()
    got = compute_facts(bare, day("03-01")).to_pylist()
    assert {row["technical_ratio"] for row in got} == {None}
    assert [row | {"technical_ratio": 0} for row in got] == [
        row | {"technical_ratio": 0} for row in expected_facts
    ]


def test_settle_is_lazy_and_leaves_nothing_behind():
    with duckdb.connect() as con:
        for name, table in tables(hand(THREE, [("02-10", 250.0)])).items():
            con.register(name, table)
        before = con.sql("SHOW TABLES").fetchall()
        late = settle(con, day("03-01")).filter("dpd > 0").project("instalment_no")
        assert late.fetchall() == [(1,)]
        assert con.sql("SHOW TABLES").fetchall() == before


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_missing_table_is_named(name):
    source = tables(hand(THREE, []))
    del source[name]
    with pytest.raises(RecordsError, match=f"no table '{name}'"):
        compute_facts(source, day("03-01"))


def test_a_missing_column_is_named():
    source = tables(hand(THREE, []))
    source["payments"] = source["payments"].drop_columns(["amount"])
    with pytest.raises(RecordsError, match=r"'amount' is missing.*payments"):
        compute_facts(source, day("03-01"))


def test_no_date_is_an_error():
    with pytest.raises(ConfigError, match="no as_of date"):
        compute_facts(tables(hand(THREE, [])), [])


@pytest.mark.parametrize(
    "wrong", [{"posting_lag_days": -1}, {"tolerance_amount": float("nan")}, {"tolerance_ratio": 1.5}]
)
def test_rules_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SettlementRules(**wrong)
