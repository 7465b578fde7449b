"""Sound records: every way in gives the same tables, and the order of rows means nothing."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
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
