"""Histories of instalments: by hand, against the oracle on every day, and for what must not matter."""

import datetime as dt
import importlib.util
import itertools
import random
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records import (
    SettlementRules,
    _ledger_reading,
    _states,
    compute_facts,
    compute_histories,
    iter_histories,
    load_records,
)


def _helper(name):
    """A module beside the tests."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


oracle, made = _helper("settlement_oracle"), _helper("settlement_ledgers")
day, hand, merged, tables = made.day, made.hand, made.merged, made.tables
KEY = ["customer_id", "account_id", "instalment_no"]
STANDING = [
    "due_date", "amount_due", "paid_amount", "shortfall_amount", "is_settled", "settled_on",
    "n_payments", "n_reversals", "last_paid_on",
]  # fmt: skip
ALWAYS, NEVER = dt.date(1, 1, 1), dt.date(9999, 12, 31)
RULES = [(0, 0.0, 0.0), (2, 0.5, 0.0), (5, 1.0, 0.05)]
seeds = st.lists(st.integers(0, 2**32), min_size=1, max_size=4)
few = settings(max_examples=25, deadline=None)


def ledger_of(seeds):
    """Some accounts, two to a customer, in no order by name."""
    ledger = merged(
        made.random_ledger(random.Random(seed), f"a{seed % 7}-{i}") for i, seed in enumerate(seeds)
    )
    for i, row in enumerate(ledger["accounts"]):
        row["customer_id"] = f"c{i // 2}"
    return ledger


def told(ledger, *columns, no=1, rules=(0, 0.0, 0.0)):
    """The states of one instalment as ``[(from, until, columns)]``, dates as MM-DD."""

    def text(value):
        known = {ALWAYS: "always", NEVER: "never"}
        return known.get(value, f"{value:%m-%d}") if isinstance(value, dt.date) else value

    rows = compute_histories(tables(ledger), SettlementRules(*rules)).to_pylist()
    return [
        tuple(text(row[name]) for name in ("from_date", "until_date", *columns))
        for row in rows
        if row["instalment_no"] == no
    ]


def holding(states, as_of):
    """``{(account, no): state}`` as of a date; no key stands twice."""
    found = [row for row in states if row["from_date"] <= as_of < row["until_date"]]
    rows = {(row["account_id"], row["instalment_no"]): row for row in found}
    assert len(rows) == len(found)
    return rows


def check_as_of(states, ledger, as_of, rules):
    """The states that hold on a date are the oracle's facts."""
    facts = oracle.facts(*(ledger[name] for name in made.SCHEMAS), as_of, rules)
    got = holding(states, as_of)
    assert {(*key, as_of) for key in got} == set(facts)
    for key, row in got.items():
        want = facts[(*key, as_of)]
        assert {name: row[name] for name in STANDING} == {name: want[name] for name in STANDING}
        assert max(((row["settled_on"] or as_of) - row["due_date"]).days, 0) == want["dpd"]
        share = round(row["technical_amount"] * 10_000) / round(row["received_amount"] * 10_000 or 1)
        assert (share if row["received_amount"] else None) == want["technical_ratio"]


# By hand: one account, opened on 1 January.

ONE = [(1, "01-31", 100.0)]


def test_a_state_begins_when_it_is_known_and_ends_when_another_is():
    # 60 on time and 40 ten days late, of which the lender hears two days later.
    ledger = hand(ONE, [("01-31", 60.0), ("02-10", 40.0, None, "02-12")])
    assert told(ledger, "paid_amount", "settled_on", "n_payments", "last_paid_on") == [
        ("01-01", "01-31", 0, None, 0, None),
        ("01-31", "02-12", 60, None, 1, "01-31"),
        ("02-12", "never", 100, "02-10", 2, "02-10"),
    ]


def test_what_is_always_known_is_known_from_the_first_day():
    assert told(hand(ONE, [], opened=None), "paid_amount") == [("always", "never", 0)]


def test_what_changes_nothing_opens_no_state():
    # Settled on 20 January; the surplus, the same version again and money in and out on one day add nothing.
    ledger = hand(
        [*ONE, (1, "01-31", 100.0, "02-05")],
        [("01-20", 100.0), ("02-01", 30.0), ("02-03", 50.0), ("02-03", -50.0)],
    )
    assert told(ledger, "settled_on") == [("01-01", "01-20", None), ("01-20", "never", "01-20")]


def test_a_change_and_back_is_three_states():
    # In on the 20th; on 1 February the lender learns of a reversal of the same day, on the 2nd of its like.
    ledger = hand(ONE, [("01-20", 100.0), ("01-20", -100.0, None, "02-01"), ("01-20", 100.0, None, "02-02")])
    assert told(ledger, "paid_amount", "settled_on", "n_payments", "n_reversals")[1:] == [
        ("01-20", "02-01", 100, "01-20", 1, 0),
        ("02-01", "02-02", 0, None, 0, 0),
        ("02-02", "never", 100, "01-20", 1, 0),
    ]


def test_a_payment_told_late_is_put_in_its_place():
    # FIFO: 100 on 20 January were for 1, until a payment of the 10th turns up on 1 March: they were for 2.
    ledger = hand([*ONE, (2, "02-29", 100.0)], [("01-20", 100.0), ("01-10", 100.0, None, "03-01")])
    assert told(ledger, "settled_on")[1:] == [("01-20", "03-01", "01-20"), ("03-01", "never", "01-10")]
    assert told(ledger, "settled_on", no=2) == [("01-01", "03-01", None), ("03-01", "never", "01-20")]


def test_a_version_tells_the_whole_history_again():
    # On 10 March 2 moves before 1, and the money of 5 January was for it all along.
    ledger = hand([(1, "01-31", 100.0), (2, "02-29", 100.0), (2, "01-15", 80.0, "03-10")], [("01-05", 100.0)])
    assert told(ledger, "paid_amount")[1:] == [("01-05", "03-10", 100), ("03-10", "never", 20)]
    assert told(ledger, "due_date", "amount_due", "paid_amount", no=2) == [
        ("01-01", "03-10", "02-29", 100, 0),
        ("03-10", "never", "01-15", 80, 80),
    ]


def test_technical_money_is_counted_with_what_was_received():
    # 20 technical of 80 on the 25th: a quarter of the 70 that 1 takes. The reversal takes none of it away.
    ledger = hand(
        [*ONE, (2, "02-29", 100.0)],
        [
            ("01-20", 30.0),
            ("01-25", 20.0, None, None, True),
            ("01-25", 60.0, None, None, False),
            ("02-01", -80.0),
        ],
    )
    assert told(ledger, "paid_amount", "technical_amount", "received_amount", "n_reversals")[1:] == [
        ("01-20", "01-25", 30, 0, 30, 0),
        ("01-25", "02-01", 100, 17.5, 100, 0),
        ("02-01", "never", 30, 17.5, 100, 1),
    ]


def test_only_on_the_dates_asked_for():
    # Known on 1 January, 20 January and 12 February; looked at on 10 January, 31 January and 11 February.
    source = tables(hand(ONE, [("01-20", 60.0), ("02-10", 40.0, None, "02-12")]))
    states = compute_histories(source, as_of=[day("02-11"), day("01-10"), day("01-31")]).to_pylist()
    assert [(row["from_date"], row["until_date"], row["paid_amount"]) for row in states] == [
        (day("01-10"), day("01-31"), 0),
        (day("01-31"), NEVER, 60),
    ]


def test_waiting_lets_in_what_was_paid_and_posted_within_the_wait():
    # Paid on 31 January, posted 3 days later; and on 4 February, posted 9 days later.
    ledger = hand(ONE, [("01-31", 60.0, None, "02-03"), ("02-04", 40.0, None, "02-13")])
    states = compute_histories(tables(ledger), wait_days=5).to_pylist()
    assert [row["from_date"] for row in states] == [day("01-01"), day("01-31"), day("02-08")]
    assert [row["settled_on"] for row in states] == [None, None, day("02-04")]


# Generated ledgers.


@pytest.mark.parametrize("rules", RULES)
def test_every_day_is_the_oracles(rules):
    ledger = ledger_of(random.Random(str(rules)).sample(range(10**9), 40))
    states = compute_histories(tables(ledger), SettlementRules(*rules)).to_pylist()
    for n in range(-3, 115, 4):
        check_as_of(states, ledger, made.START + dt.timedelta(n), rules)


@few
@given(seeds, st.sampled_from(RULES), st.integers(-3, 115))
def test_any_day_is_the_oracles(seeds, rules, n):
    ledger = ledger_of(seeds)
    states = compute_histories(tables(ledger), SettlementRules(*rules)).to_pylist()
    check_as_of(states, ledger, made.START + dt.timedelta(n), rules)


@few
@given(seeds, st.integers(0, 20), st.integers(-3, 115))
def test_waiting_is_hearing_of_it_earlier(seeds, wait, n):
    ledger, as_of = ledger_of(seeds), made.START + dt.timedelta(n)
    states = compute_histories(tables(ledger), SettlementRules(3), wait_days=wait).to_pylist()
    earlier = [
        row | {"known_on": (row["known_on"] or row["paid_on"] + dt.timedelta(3)) - dt.timedelta(wait)}
        for row in ledger["payments"]
    ]
    check_as_of(states, ledger | {"payments": earlier}, as_of, (3, 0.0, 0.0))


def test_states_abut_differ_and_stand_in_order():
    ledger = ledger_of(random.Random(3).sample(range(10**9), 200))
    table = compute_histories(tables(ledger))
    rows = table.to_pylist()
    assert table.schema.names == [
        *KEY,
        "from_date",
        "until_date",
        *STANDING[:-1],
        *list(table.schema.names)[-3:],
    ]
    assert [tuple(row[name] for name in [*KEY, "from_date"]) for row in rows] == sorted(
        tuple(row[name] for name in [*KEY, "from_date"]) for row in rows
    )
    values = table.schema.names[5:]
    n_states = []
    for _, group in itertools.groupby(rows, lambda row: tuple(row[name] for name in KEY)):
        states = list(group)
        n_states.append(len(states))
        assert states[-1]["until_date"] == NEVER
        for one, other in itertools.pairwise(states):
            assert one["until_date"] == other["from_date"] > one["from_date"]
            assert [one[name] for name in values] != [other[name] for name in values]
    assert max(n_states) >= 8


@few
@given(seeds, st.lists(st.integers(-3, 115), min_size=1, max_size=5))
def test_dates_asked_for_are_the_full_history_on_these_dates(seeds, offsets):
    source, as_ofs = tables(ledger_of(seeds)), [made.START + dt.timedelta(n) for n in offsets]
    every, some = compute_histories(source).to_pylist(), compute_histories(source, as_of=as_ofs).to_pylist()
    assert {row["from_date"] for row in some} <= set(as_ofs)

    def values(rows, as_of):
        told = {key: dict(row) for key, row in holding(rows, as_of).items()}
        return {key: [row.pop("from_date"), row.pop("until_date"), row][2] for key, row in told.items()}

    assert all(values(some, as_of) == values(every, as_of) for as_of in as_ofs)


@few
@given(seeds, st.integers(-3, 115))
def test_what_is_known_later_only_ends_states(seeds, n):
    ledger, as_of = ledger_of(seeds), made.START + dt.timedelta(n)
    opened = {row["account_id"]: row["opened_on"] for row in ledger["accounts"]}
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
    expected = [
        row | {"until_date": row["until_date"] if row["until_date"] <= as_of else NEVER}
        for row in compute_histories(tables(ledger)).to_pylist()
        if row["from_date"] <= as_of
    ]
    assert compute_histories(tables(past)).to_pylist() == expected


# What must not matter: order, parts, chunks, threads, the form of the source.


def many(n=300, seed=4):
    """Tables of many accounts, two to a customer; customers and accounts are not in the same order."""
    ledger = ledger_of(random.Random(seed).sample(range(10**9), n))
    rng = random.Random(seed)
    ledger["accounts"] = rng.sample(ledger["accounts"], n)
    return tables(ledger)


def in_order(source):
    """The tables sorted by account."""
    return {name: table.sort_by("account_id") for name, table in source.items()}


def rechunked(table, size):
    """The same rows in chunks of ``size``, with an empty one."""
    pieces = [table.slice(i, size) for i in range(0, table.num_rows, size)]
    return pa.concat_tables([*pieces[:3], table.slice(0, 0), *pieces[3:]])


@few
@given(seeds, st.randoms(use_true_random=False))
def test_row_order_changes_no_byte(seeds, rng):
    ledger = ledger_of(seeds)
    shuffled = {name: rng.sample(rows, len(rows)) for name, rows in ledger.items()}
    expected = compute_histories(in_order(tables(ledger)))
    assert compute_histories(tables(shuffled)).equals(expected)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_sorted_rows_in_any_chunks_are_taken_as_they_stand(size):
    source = in_order(many())
    chunked = {name: rechunked(table, size) for name, table in source.items()}
    # The short cut is taken for these and not for those.
    assert _ledger_reading._runs(chunked["payments"]) is not None
    assert _ledger_reading._runs(many()["payments"]) is None
    assert compute_histories(chunked).equals(compute_histories(many()))


def test_payments_of_unknown_accounts_and_accounts_without_payments_are_passed_over():
    source = in_order(many(40))
    kept = pc.not_equal(source["instalments"]["account_id"], source["accounts"].sort_by("account_id")[0][3])
    fewer = source | {"instalments": source["instalments"].filter(kept)}
    without = source["accounts"]["account_id"][3]
    expected = compute_histories(source).filter(
        pc.not_equal(compute_histories(source)["account_id"], without)
    )
    assert expected.num_rows < compute_histories(source).num_rows
    assert compute_histories(fewer).equals(expected)
    shuffled = fewer | {"payments": source["payments"].sort_by("amount")}
    assert compute_histories(shuffled).equals(expected)
    bare = source | {"payments": source["payments"].slice(0, 0)}
    assert pc.sum(compute_histories(bare)["paid_amount"]).as_py() == 0


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_ids_of_other_text_types(kind):
    def cast(table):
        return table.set_column(0, "account_id", table["account_id"].cast(kind))

    source = in_order(many(60))
    other = {name: cast(table) for name, table in source.items()}
    got = compute_histories(other)
    assert got.set_column(1, "account_id", got["account_id"].cast(pa.string())).equals(
        compute_histories(source)
    )


@pytest.mark.parametrize(
    ("table", "column", "kind"),
    [
        ("instalments", "due_date", pa.timestamp("us")),
        ("instalments", "instalment_no", pa.int64()),
        ("payments", "amount", pa.decimal128(12, 2)),
        ("payments", "known_on", pa.timestamp("us")),
    ],
)
def test_sorted_columns_of_other_types(table, column, kind):
    source = in_order(many(60))
    at = source[table].column_names.index(column)
    other = source | {table: source[table].set_column(at, column, source[table][column].cast(kind))}
    assert compute_histories(other).equals(compute_histories(source))


def test_units_are_rounded_as_duckdb_rounds_them():
    from overdue_ml.records._settle_columns import to_units

    amounts = np.array([0.00005, -0.00005, 0.00004, 0.3, -0.3, 1e9 + 0.1, -2.67495, 0.49999999999999994e-4])
    with duckdb.connect() as con:
        con.register("t", pa.table({"amount": amounts}))
        expected = con.sql("SELECT CAST(round(amount * 10000) AS BIGINT) FROM t").fetchall()
    assert to_units(amounts).tolist() == [units for (units,) in expected]
    assert to_units(amounts)[:3].tolist() == [1, -1, 0]


def test_a_connection_gives_the_same_and_keeps_nothing():
    source = many(60)
    with duckdb.connect() as con:
        for name, rows in source.items():
            con.register("rows", rows)
            con.execute(f"CREATE TABLE {name} AS FROM rows")
        con.unregister("rows")
        before = con.sql("SHOW TABLES").fetchall()
        assert compute_histories(con).equals(compute_histories(source))
        assert con.sql("SHOW TABLES").fetchall() == before


@pytest.mark.parametrize("size", [1, 2, 7, 299, 1000])
def test_parts_are_the_whole_and_split_no_customer(size):
    source = many()
    parts = list(iter_histories(source, accounts_per_part=size))
    assert pa.concat_tables(parts).equals(compute_histories(source))
    owners = [set(part["customer_id"].to_pylist()) for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners))
    # A customer has at most two accounts, so a part ends at once or after one more.
    counts = [len(pc.unique(part["account_id"])) for part in parts]
    assert all(size <= count <= size + 1 for count in counts[:-1])
    assert len(parts) > 250 // (size + 1)


def test_accounts_without_a_customer_are_nobodys_and_come_last():
    source = many(20)
    customers = source["accounts"]["customer_id"].to_pylist()
    customers[4:12] = [None] * 8
    accounts = source["accounts"].set_column(1, "customer_id", pa.array(customers, pa.string()))
    table = compute_histories(source | {"accounts": accounts})
    named = [name is not None for name in table["customer_id"].to_pylist()]
    assert named == sorted(named, reverse=True)
    assert not all(named)
    bare = compute_histories(source | {"accounts": accounts.drop_columns(["customer_id"])})
    assert bare["customer_id"].type == pa.string()
    assert bare["customer_id"].null_count == bare.num_rows
    parts = list(iter_histories(source | {"accounts": accounts}, accounts_per_part=1))
    assert pa.concat_tables(parts).equals(table)
    assert len(parts) > 8


def test_threads_and_blocks_change_no_byte(monkeypatch):
    monkeypatch.setattr(_states, "_BLOCK", 7)
    accounts, rows = _ledger_reading.read_ledger(many(), 0, by_customer=True)
    terms = _states.terms_of(0.0, 0.0, None)

    def table(n_threads):
        def convert(states, order):
            return _states.histories_of(accounts, states, order)

        blocks = _states.settle_blocks(rows, terms, range(len(accounts.ids)), convert, n_threads)
        return pa.concat_tables(blocks)

    one = table(1)
    assert one.equals(table(2))
    assert one.equals(table(5))
    monkeypatch.setattr(_states, "_BLOCK", 1000)
    assert one.equals(table(1))


def test_no_rows_give_no_states():
    nothing = {name: schema.empty_table() for name, schema in made.SCHEMAS.items()}
    states = compute_histories(nothing)
    assert states.num_rows == 0
    assert states.schema == compute_histories(many(3)).schema
    assert compute_facts(nothing, "2024-02-29").schema == compute_facts(many(3), "2024-02-29").schema


def test_without_a_technical_column_nobody_knows_what_was_technical():
    source = many(20)
    bare = source | {"payments": source["payments"].drop_columns(["technical"])}
    states = compute_histories(bare)
    assert states["technical_amount"].null_count == states.num_rows > 0
    assert states["technical_amount"].type == pa.float64()


# Records, errors, imports.


def test_records_bring_their_own_rules():
    # Short by 0.40 of 100 and posted two days later.
    frames = {
        name: table.to_pandas()
        for name, table in tables(hand([(1, "01-31", 100.0)], [("01-31", 99.6)])).items()
    }
    frames["payments"] = frames["payments"].drop(columns=["known_on", "instalment_no", "technical"])
    frames["instalments"] = frames["instalments"].drop(columns=["known_on"])
    records = load_records(frames, RecordsConfig(posting_lag_days=2, tolerance_amount=0.5))
    states = compute_histories(records).to_pylist()
    assert [row["from_date"] for row in states] == [day("01-01"), day("02-02")]
    assert [row["is_settled"] for row in states] == [False, True]
    assert compute_facts(records, day("02-02"))["is_settled"].to_pylist() == [True]
    assert compute_facts(records, day("02-01"))["is_settled"].to_pylist() == [False]
    # Given rules count instead.
    assert compute_histories(records, SettlementRules())["is_settled"].to_pylist() == [False, False]


def test_the_facts_are_the_states_that_hold():
    source = many()
    as_of = day("03-20")
    facts = compute_facts(source, as_of, SettlementRules(1, 0.5))
    states = compute_histories(source, SettlementRules(1, 0.5)).to_pandas()
    states = states[(states.from_date <= as_of) & (as_of < states.until_date)]
    states = states.sort_values(["account_id", "instalment_no"], ignore_index=True)
    pd.testing.assert_frame_equal(states[STANDING], facts.to_pandas()[STANDING])
    assert np.isfinite(states["received_amount"]).all()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"wait_days": -1}, "wait_days"),
        ({"accounts_per_part": 0}, "accounts_per_part"),
        ({"as_of": []}, "no as_of date"),
    ],
)
def test_what_is_out_of_range_is_refused(wrong, match):
    with pytest.raises(ConfigError, match=match):
        iter_histories(many(3), **wrong)


@pytest.mark.parametrize(
    ("table", "column"), [("instalments", "due_date"), ("instalments", "amount_due"), ("payments", "paid_on")]
)
@pytest.mark.parametrize("order", [in_order, lambda source: source])
def test_a_missing_value_is_named(table, column, order):
    source = order(many(30))
    values = source[table][column].to_pylist()
    values[1] = None
    at = source[table].column_names.index(column)
    source[table] = source[table].set_column(at, column, pa.array(values, source[table][column].type))
    with pytest.raises(RecordsError, match=f"1 rows have no '{column}'"):
        compute_histories(source)


def test_an_amount_that_is_no_number_is_refused():
    source = in_order(many(30))
    amounts = source["payments"]["amount"].to_pylist()
    amounts[5] = float("nan")
    at = source["payments"].column_names.index("amount")
    source["payments"] = source["payments"].set_column(at, "amount", pa.array(amounts))
    # In the order of accounts rows are read as they stand, in that of customers by DuckDB.
    with pytest.raises(RecordsError, match="1 rows have no 'amount'"):
        compute_facts(source, "2024-03-01")
    with pytest.raises(RecordsError, match="1 rows have no 'amount'"):
        compute_histories(source)


def test_importing_the_records_compiles_nothing():
    code = "import sys, overdue_ml.records; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
