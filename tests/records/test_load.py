"""Sound records: every way in gives the same tables, and the order of rows means nothing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records import load_records


@pytest.fixture
def sources(lender, write_folder, write_database, tmp_path):
    frames = lender()
    return {
        "frames": frames,
        "arrow": {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in frames.items()},
        "csv": write_folder(frames, tmp_path / "csv", "csv"),
        "parquet": write_folder(frames, tmp_path / "parquet", "parquet"),
        "text path": str(tmp_path / "parquet"),
        "duckdb": write_database(frames, tmp_path / "lender.duckdb"),
    }


def test_every_source_gives_the_same_records(sources, lender):
    loaded = {name: load_records(source) for name, source in sources.items()}
    reference = loaded["frames"]
    assert {name: table.num_rows for name, table in reference.tables.items()} == {
        name: len(frame) for name, frame in lender().items()
    }
    for name, records in loaded.items():
        assert records.report.passed, name
        assert {r.rows_rejected for r in records.report.rules} == {0}, name
        assert records.fingerprint == reference.fingerprint, name
        for table, expected in reference.tables.items():
            assert records.tables[table].to_pylist() == expected.to_pylist(), (name, table)


def test_accepted_tables_are_typed_by_the_contract_and_sorted_by_key(lender):
    records = load_records(lender())
    schema = records.tables["statements"].schema
    assert [str(schema.field(n).type) for n in ("account_id", "statement_date", "balance_amount", "dpd")] == [
        "string",
        "date32[day]",
        "double",
        "int32",
    ]
    assert str(records.tables["labels"].schema.field("is_overdue").type) == "bool"
    keys = [(r["account_id"], r["statement_date"]) for r in records.tables["statements"].to_pylist()]
    assert keys == sorted(keys)


@pytest.fixture
def ledger():
    """Typed as the contract has it and in its order: nothing needs to be converted, sorted or rejected."""
    day = dt.date(2024, 2, 5)
    return {
        "accounts": pa.table(
            {
                "account_id": ["a", "b"],
                "customer_id": ["c", "c"],
                "opened_on": pa.array([dt.date(2024, 1, 1)] * 2, pa.date32()),
            }
        ),
        "instalments": pa.table(
            {
                "account_id": ["a", "a", "a", "b"],
                "instalment_no": pa.array([1, 2, 2, 1], pa.int32()),
                "due_date": pa.array([day, dt.date(2024, 4, 5), dt.date(2024, 3, 5), day], pa.date32()),
                "amount_due": [10.0, 10.0, 10.0, 7.0],
                "known_on": pa.array([None, day, None, None], pa.date32()),
            }
        ),
        "payments": pa.table(
            {
                "payment_id": ["9", "8", "", "p"],
                "account_id": ["a", "a", "b", "b"],
                "paid_on": pa.array([day, dt.date(2024, 3, 5), day, day], pa.date32()),
                "amount": [10.0, 9.0, -7.0, 7.0],
                "note": ["x", None, "y", "z"],
            }
        ),
    }


def test_payments_stand_by_account_and_day_and_instalments_by_version(ledger):
    records = load_records(ledger)
    payments = [(r["account_id"], r["amount"]) for r in records.tables["payments"].to_pylist()]
    # Within a day by payment_id, those without one last.
    assert payments == [("a", 10.0), ("a", 9.0), ("b", 7.0), ("b", -7.0)]
    versions = [(r["account_id"], r["due_date"].month) for r in records.tables["instalments"].to_pylist()]
    # The version of 5 February for April stands before the one known from the opening on for March.
    assert versions == [("a", 2), ("a", 4), ("a", 3), ("b", 2)]


@pytest.mark.parametrize("bad", [None, 0, 3], ids=["all sound", "first broken", "last broken"])
@pytest.mark.parametrize("blank", ["", "q"])
@pytest.mark.parametrize("wide", [False, True], ids=["contract's types", "int64"])
def test_rows_in_order_out_of_order_and_as_text_are_the_same_records(ledger, tmp_path, bad, blank, wide):
    """Each goes another way: taken as it stands, copied, sorted, or read from text."""
    payments = ledger["payments"].to_pylist()
    payments[2]["payment_id"] = blank
    if bad is not None:
        payments[bad]["amount"] = float("inf")
    ledger["payments"] = pa.Table.from_pylist(payments, ledger["payments"].schema)
    if wide:
        numbers = ledger["instalments"].column("instalment_no").cast(pa.int64())
        ledger["instalments"] = ledger["instalments"].set_column(1, "instalment_no", numbers)
    backwards = {name: table.take(list(range(table.num_rows))[::-1]) for name, table in ledger.items()}
    for folder, tables in (("plain", ledger), ("backwards", backwards)):
        (tmp_path / folder).mkdir()
        for name, table in tables.items():
            pq.write_table(table, tmp_path / folder / f"{name}.parquet")
    (tmp_path / "text").mkdir()
    for name, table in backwards.items():
        table.to_pandas().to_csv(tmp_path / "text" / f"{name}.csv", index=False)
    sources = [tmp_path / "plain", tmp_path / "backwards", tmp_path / "text", ledger, backwards]
    first, *others = [load_records(source, strict=False) for source in sources]
    assert first.tables["payments"].num_rows == (4 if bad is None else 3)
    for records in others:
        assert records.fingerprint == first.fingerprint
        assert records.report == first.report
        for name in ledger:
            assert records.tables[name].equals(first.tables[name])
            assert records.rejected[name].column("rule").equals(first.rejected[name].column("rule"))


def test_what_is_done_to_a_frame_after_loading_does_not_reach_the_records(ledger):
    amounts = np.array([10.0, 9.0, -7.0, 7.0])
    ledger["payments"] = ledger["payments"].set_column(3, "amount", pa.array(amounts))
    ledger["payments"] = ledger["payments"].drop_columns("payment_id")
    records = load_records(ledger)
    before = records.fingerprint
    amounts[:] = 0.0
    assert records.fingerprint == before


def test_values_arrive_as_they_were(lender, via):
    records = via(lender())
    accounts = {row["account_id"]: row for row in records.tables["accounts"].to_pylist()}
    assert set(accounts) == {"007", "7", "A-1", "NA", "123456789012345678"}
    assert accounts["007"]["opened_on"] == dt.date(2004, 2, 29)
    assert accounts["7"] == {
        "account_id": "7",
        "customer_id": "c1",
        "opened_on": None,
        "product": "NA",
        "closed_on": None,
        "credit_limit_amount": 0.0,
        "term_months": 12,
        "branch": "south",
    }
    assert accounts["A-1"]["branch"] == "=1+1"
    assert records.tables["statements"].column("dpd").null_count == 1


def test_extra_columns_are_kept_also_on_rejected_rows(lender, via):
    frames = lender()
    frames["accounts"].loc[0, "closed_on"] = dt.date(1999, 1, 1)
    records = via(frames)
    assert records.tables["accounts"].column("branch").to_pylist() == ["東", "south", "=1+1", None]
    assert records.rejected["accounts"].column("branch").to_pylist() == ["north"]


def test_only_accounts_and_statements_are_needed_and_only_their_starred_columns():
    records = load_records(
        {
            "accounts": pd.DataFrame({"account_id": ["a"], "customer_id": ["c"], "opened_on": [None]}),
            "statements": pd.DataFrame({"account_id": ["a"], "statement_date": ["2005-01-31"]}),
        }
    )
    assert "customers" not in records
    assert "labels" not in records
    assert records.columns("customers") == []
    assert records.columns("statements") == ["account_id", "statement_date"]
    with pytest.raises(RecordsError, match="no table 'labels'; expected one of accounts, statements"):
        records.frame("labels")


def test_frame_and_connect_show_the_accepted_rows(lender):
    records = load_records(lender())
    assert records.frame("customers")["customer_id"].tolist() == ["NA", "c1", "c2"]
    with records.connect() as con:
        assert con.execute("SELECT count(*), max(dpd) FROM statements").fetchall() == [(10, 90)]


def test_an_attribute_must_be_a_column_of_customers(lender):
    load_records(lender(), RecordsConfig(attributes=["education"]))
    with pytest.raises(RecordsError, match="attribute 'job' is not a column of customers") as caught:
        load_records(lender(), RecordsConfig(attributes=["education", "job"]))
    assert caught.value.exit_code == 3


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_the_order_of_rows_changes_nothing(lender, seed):
    rng = np.random.default_rng(seed)
    frames = lender()
    # Rows to be rejected as well: two that share a key, and an exact copy.
    frames["customers"] = pd.concat(
        [
            frames["customers"],
            pd.DataFrame({"customer_id": ["c9", "c9", "c1"], "education": ["x", "y", "high"]}),
        ]
    )
    shuffled = {name: frame.iloc[rng.permutation(len(frame))] for name, frame in frames.items()}
    plain, other = load_records(frames, strict=False), load_records(shuffled, strict=False)
    assert plain.fingerprint == other.fingerprint
    assert plain.report == other.report
    for name in frames:
        assert plain.tables[name].to_pylist() == other.tables[name].to_pylist()
        assert plain.rejected[name].to_pylist() == other.rejected[name].to_pylist()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("statements", "dpd", 2),
        ("statements", "balance_amount", -200.25),
        ("statements", "payment_behaviour", None),
        ("accounts", "opened_on", dt.date(2004, 3, 1)),
        ("accounts", "branch", "nort"),
        ("labels", "is_overdue", False),
        ("customers", "education", "hig"),
    ],
)
def test_the_fingerprint_sees_every_cell(lender, table, column, value):
    frames = lender()
    before = load_records(frames).fingerprint
    frames[table].loc[0, column] = value
    assert load_records(frames).fingerprint != before


def test_the_fingerprint_sees_where_one_text_ends(lender):
    prints = set()
    for texts in (["ab", "c", ""], ["a", "bc", ""], ["abc", "", ""], [None, "abc", ""]):
        frames = lender()
        frames["customers"]["education"] = texts
        prints.add(load_records(frames).fingerprint)
    assert len(prints) == 4


def test_the_fingerprint_does_not_see_chunks_nor_what_stands_under_a_null(lender):
    records = load_records(lender())
    # "ZZ" under a null that is no longer looked at.
    hidden = pa.array(["high", "ZZ", "NA", "more"])
    hidden = pa.Array.from_buffers(
        pa.string(), 4, [pa.py_buffer(bytes([0b1101])), *hidden.buffers()[1:]], null_count=1
    ).slice(0, 3)
    plain = pa.array(["high", None, "NA"])
    layouts = [[plain], [hidden], [plain.slice(0, 1), plain.slice(1)], [hidden.slice(0, 2), plain.slice(2)]]
    layouts.append([plain.slice(0, 0), plain.cast(pa.string())])
    prints = set()
    for chunks in layouts:
        table = pa.table(
            {"education": pa.chunked_array(chunks), "known": pa.chunked_array([[True, None, False]])}
        )
        prints.add(replace(records, tables={"customers": table}).fingerprint)
    assert len(prints) == 1
    table = pa.table({"education": pa.array(["high", "ZZ", "NA"]), "known": [True, None, False]})
    assert replace(records, tables={"customers": table}).fingerprint not in prints


@pytest.mark.parametrize(
    "values",
    [
        [[1, 2], [3], []],
        [{"a": 1}, {"a": 2}, None],
        [b"\xff", b"a", None],
        pd.to_timedelta([1, 2, 3], unit="D"),
        pd.Categorical(["x", "y", "x"]),
        [1j, 2j, 3j],
        [[1, "a"], [2], 3],
    ],
    ids=["lists", "structs", "bytes", "durations", "category", "complex", "mixed"],
)
def test_an_extra_column_of_any_type_passes_and_counts_in_the_fingerprint(lender, values):
    prints = []
    for order in (slice(None), slice(None, None, -1)):
        frames = lender()
        frames["customers"]["odd"] = pd.Series(list(values)[order], dtype=getattr(values, "dtype", object))
        records = load_records(frames)
        assert records.tables["customers"].column("odd").length() == 3
        prints.append(records.fingerprint)
    assert prints[0] != prints[1] or list(values) == list(values)[::-1]
