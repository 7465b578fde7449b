"""Names and values chosen to break SQL: they are kept, rejected by rule or refused by name."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.errors import RecordsError
from overdue_ml.records import load_records

NAMES = [
    'say "hi"',
    '"',
    "it's",
    "a;b",
    'x"; DROP TABLE accounts; --',
    "') --",
    "copy",
    "broken",
    "raw_x",
    "raw_account_id",
    "v_account_id",
    "x_0",
    "x_1",
    "checked",
    "select",
    "count(*)",
    "$1",
    "?",
    "{braces}",
    "100%",
    "two\nlines",
    "😀",
    "東京",
    "n" * 10_000,
]
VALUES = [
    "'; DROP TABLE accounts; --",
    '" OR 1=1',
    "\\",
    "%s",
    "a;b",
    "😀",
    "i" * 10_000,
    "two\nlines",
    "tab\t",
    "NULL",
    "None",
    "nan",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "e\u0301",
    "\u00e9",
]


def with_bad_row(lender, extra: dict[str, list[str]]) -> dict[str, pd.DataFrame]:
    frames = lender()
    frames["accounts"] = frames["accounts"].assign(**extra)
    frames["accounts"].loc[0, "customer_id"] = "nobody"
    return frames


@pytest.mark.parametrize("name", ["copy", 'say "hi"', "raw_account_id"])
def test_a_hostile_column_name_is_kept_with_its_values(lender, name):
    values = [f"value {i}" for i in range(5)]
    records = load_records(with_bad_row(lender, {name: values}), strict=False)
    assert records.rejected["accounts"].column(name).to_pylist() == ["value 0"]
    assert sorted(records.tables["accounts"].column(name).to_pylist()) == values[1:]
    with records.connect() as con:
        assert con.execute("SELECT count(*) FROM accounts").fetchall() == [(4,)]
    assert len(records.fingerprint) == 64


def test_all_hostile_names_at_once_and_through_csv(lender, via):
    extra = {name: [f"{i} {j}" for j in range(5)] for i, name in enumerate(NAMES)}
    records = via(with_bad_row(lender, extra))
    for name, values in extra.items():
        assert records.rejected["accounts"].column(name).to_pylist() == values[:1]
        assert sorted(records.tables["accounts"].column(name).to_pylist()) == values[1:]


@pytest.mark.parametrize("name", ["rule", "RULE", "Rule"])
def test_the_name_of_the_column_that_rejected_rows_get_is_refused(lender, via, name):
    with pytest.raises(RecordsError, match=f"'{name}' is the name of the column") as caught:
        via(with_bad_row(lender, {name: ["x"] * 5}))
    assert "table accounts" in str(caught.value)
    assert "another name" in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "part"),
    [
        (pd.DataFrame({"DPD": [1], "dpd": [2]}), "'dpd' stands twice (as 'DPD' too"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "'x' stands twice"),
        (pd.DataFrame({1: [1], "1": [2]}), "'1' stands twice"),
        (pd.DataFrame({"": [1]}), "a column has no name"),
        (pd.DataFrame({"a\0b": [1]}), "NUL byte in the column name 'a\\x00b'"),
    ],
)
def test_names_that_duckdb_would_alter_are_refused(lender, write_folder, tmp_path, frame, part):
    frames = lender()
    frames["statements"] = pd.concat([frames["statements"].iloc[:1].drop(columns="dpd"), frame], axis=1)
    with pytest.raises(RecordsError) as caught:
        load_records(frames, strict=False)
    assert part in str(caught.value)
    if frame.columns.is_unique and 1 not in frame.columns:
        with pytest.raises(RecordsError) as caught:
            load_records(write_folder(frames, tmp_path / "records", "parquet"), strict=False)
        assert part in str(caught.value)


def test_hostile_values_stay_whole_and_distinct(lender, via, broken):
    frames = lender()
    odd = frames["accounts"].iloc[[0] * len(VALUES)].assign(account_id=VALUES, branch=VALUES, product=VALUES)
    frames["accounts"] = pd.concat([frames["accounts"], odd], ignore_index=True)
    records = via(frames)
    assert records.rejected["accounts"].num_rows == 0
    rows = {row["account_id"]: row for row in records.tables["accounts"].to_pylist()}
    for value in VALUES:
        assert (rows[value]["branch"], rows[value]["product"]) == (value, value)


def test_hostile_keys_stay_whole_in_the_report_and_the_rejected_rows(lender, via):
    frames = lender()
    rows = frames["statements"].iloc[[0] * len(VALUES)].assign(account_id=VALUES)
    frames["statements"] = pd.concat([frames["statements"], rows], ignore_index=True)
    records = via(frames)
    assert sorted(records.rejected["statements"].column("account_id").to_pylist()) == sorted(VALUES)
    rule = next(r for r in records.report.rules if (r.table, r.rule) == ("statements", "account_id_unknown"))
    assert rule.rows_rejected == len(VALUES)
    assert all(key.removesuffix(" 2005-01-31") in VALUES for key in rule.first_keys)


def test_text_that_is_not_unicode_is_refused(lender):
    frames = lender()
    frames["accounts"]["branch"] = pd.Series(["\ud800", "b", "c", "d", "e"], dtype=object)
    with pytest.raises(RecordsError, match="'branch' holds characters that are not Unicode text"):
        load_records(frames)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(name=TEXT, values=st.lists(TEXT, min_size=5, max_size=5, unique=True))
@settings(max_examples=12, deadline=None)
def test_any_extra_column_is_kept_or_refused(lender, name, values):
    frames = with_bad_row(lender, {})
    taken = {column.casefold() for column in frames["accounts"].columns} | {"rule"}
    frames["accounts"][name] = values
    try:
        records = load_records(frames, strict=False)
    except RecordsError:
        assert "\0" in name or name.casefold() in taken
        return
    kept = records.tables["accounts"].column(name).to_pylist()
    assert sorted(kept + records.rejected["accounts"].column(name).to_pylist()) == sorted(values)
