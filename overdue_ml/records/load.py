"""``load_records``: the one door through which a lender's tables come in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RecordsConfig, check_config
from overdue_ml.errors import RecordsError
from overdue_ml.records._ledger import Int64Array
from overdue_ml.records._sessions import open_session
from overdue_ml.records.known import account_known_days
from overdue_ml.records.mapping import drop_raw_view, quote_text
from overdue_ml.records.sources import check_source, stage_tables
from overdue_ml.records.validate import ValidationReport, ordered_tables, validate_table

#: Makes a folder one of buckets; see :mod:`overdue_ml.records.buckets`.
BUCKETS = "buckets.json"
#: For what DuckDB has to sort or look up, beside the tables themselves; it goes to disk beyond.
_WORKING_MEMORY = "1GB"


@dataclass(frozen=True)
class Records:
    """Validated tables of one lender.

    Attributes
    ----------
    tables : mapping of str to pyarrow.Table
        Accepted rows, typed by the contract and sorted by key, or by all columns where there is none;
        payments by account and day.
    rejected : mapping of str to pyarrow.Table
        Rejected rows as they came, mapped columns under the contract's names, with the ``rule`` each
        broke.
    report : ValidationReport
    config : RecordsConfig
        The settings they were read with.
    """

    tables: Mapping[str, pa.Table]
    rejected: Mapping[str, pa.Table]
    report: ValidationReport
    config: RecordsConfig

    def __contains__(self, name: str) -> bool:
        return name in self.tables

    def __repr__(self) -> str:
        # Sizes only: what prints a pipeline or logs its parameters must not print customers.
        sizes = ", ".join(f"{name}: {table.num_rows:,} rows" for name, table in self.tables.items())
        return f"Records({sizes})"

    def __deepcopy__(self, memo: dict[int, object]) -> Records:
        # Nothing here is ever changed, and scikit-learn copies the parameters of a pipeline at each fold.
        return self

    @cached_property
    def account_known_days(self) -> Int64Array:
        """See :func:`overdue_ml.records.known.account_known_days`; who is known is asked more than once."""
        return account_known_days(self)

    def columns(self, name: str) -> list[str]:
        """Column names of a table, or an empty list if it is absent."""
        return list(self.tables[name].column_names) if name in self.tables else []

    def frame(self, name: str) -> pd.DataFrame:
        """A table as a pandas DataFrame.

        Raises
        ------
        RecordsError
            If the records have no such table.
        """
        if name not in self.tables:
            raise RecordsError(
                f"the records have no table '{name}'", expected=f"one of {', '.join(self.tables)}"
            )
        frame: pd.DataFrame = self.tables[name].to_pandas()
        return frame

    def connect(self) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB connection in which every table stands under its name."""
        return self._registered(duckdb.connect())

    def session(self) -> duckdb.DuckDBPyConnection:
        """As :meth:`connect` and ten times as quick to open, for queries alone.

        The database is one of the process: what is made there and is not temporary stays.
        """
        return self._registered(open_session())

    def _registered(self, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        for name, table in self.tables.items():
            con.register(name, table)
        return con

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all accepted rows, 64 hexadecimal digits; the same for any row order."""
        digest = hashlib.sha256()
        for name in sorted(self.tables):
            digest.update(f"{name}:{self.tables[name].num_rows}".encode())
            for column in sorted(self.tables[name].column_names):
                digest.update(column.encode())
                _hash_column(digest, self.tables[name].column(column))
        return digest.hexdigest()


def _hash_column(digest: hashlib._Hash, column: pa.ChunkedArray) -> None:
    """Add nulls, then values, each as one run of bytes through all chunks: where they end is of no account.

    Arrow leaves the bytes under a null undefined, so nulls are hashed apart and filled.
    """
    for chunk in column.chunks:
        digest.update(_bytes(chunk.is_null().cast(pa.int8())))
    kind = column.type
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_date32(kind):
        column = column.cast(pa.int32())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        text = column if pa.types.is_string(kind) else _as_text(column)
        for chunk in text.chunks:
            digest.update(_bytes(pc.fill_null(pc.binary_length(chunk).cast(pa.int64()), 0)))
        for chunk in text.chunks:
            digest.update(_text_bytes(chunk))
        return
    for chunk in column.chunks:
        digest.update(_bytes(pc.fill_null(chunk, 0)))


def _bytes(values: pa.Array) -> memoryview:
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).data


def _text_bytes(texts: pa.Array) -> pa.Buffer:
    """All texts of an array behind one another, without what may stand under its nulls."""
    texts = texts.drop_null() if texts.null_count else texts
    _, offsets, data = texts.buffers()
    if len(texts) == 0 or data is None:
        return pa.py_buffer(b"")
    width = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    bounds = np.frombuffer(offsets, dtype=width)[[texts.offset, texts.offset + len(texts)]]
    return data.slice(int(bounds[0]), int(bounds[1] - bounds[0]))


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.large_string())
    except pa.ArrowException:  # lists, structs, bytes: only extra columns can be of such a type
        return pa.chunked_array([pa.array([repr(v) for v in column.to_pylist()], pa.large_string())])


def load_records(
    source: str | Path | Mapping[str, pd.DataFrame | pa.Table],
    config: RecordsConfig | None = None,
    *,
    strict: bool = True,
) -> Records:
    """Load and validate a lender's tables.

    Parameters
    ----------
    source : path or mapping
        A folder with one ``<table>.parquet``, ``<table>.csv`` or folder of parts
        (``<table>/part-*.parquet`` or ``.csv``) each, a DuckDB file, or a mapping of table names to
        DataFrames or Arrow tables. Needed are accounts, and statements or instalments with payments.
    config : RecordsConfig, optional
        How to read them; the defaults otherwise.
    strict : bool, default True
        Stop when a table has more rejected rows than ``config.max_rejected_share``. With False the
        report says so and the accepted rows are returned.

    Returns
    -------
    Records

    Raises
    ------
    ConfigError
        If the config is no RecordsConfig, or its mapping speaks of tables or columns that no contract has.
    RecordsError
        If the source is of another kind, a file is missing or damaged, a column is missing or of an
        unusable type, a table is empty, or too many rows were rejected.

    Examples
    --------
    >>> import datetime as dt, pandas as pd
    >>> accounts = pd.DataFrame({"account_id": ["a"], "customer_id": ["c"], "opened_on": ["2024-01-05"]})
    >>> statements = pd.DataFrame({"account_id": ["a"], "statement_date": ["2024-02-29"], "dpd": [0]})
    >>> records = load_records({"accounts": accounts, "statements": statements})
    >>> records.report.passed, records.tables["statements"].num_rows
    (True, 1)
    """
    config = check_config(RecordsConfig, config)
    source = check_source(source)
    if isinstance(source, Path) and (source / BUCKETS).is_file():
        raise RecordsError(
            "the records are in buckets, which are read for scoring and what follows from it only",
            where=str(source),
            next_step="give the records that they were made from",
        )
    records = _load(source, config)
    if strict:
        records.report.raise_if_failed()
    return records


def load_part(tables: Mapping[str, pa.Table], config: RecordsConfig) -> Records:
    """Validate the records of a part of a lender's customers: here a table may be without rows.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
    config : RecordsConfig

    Returns
    -------
    Records
        Also where more rows are rejected than the config allows; the report says so.

    Raises
    ------
    ConfigError, RecordsError
        As :func:`load_records`.
    """
    return _load(tables, config, may_be_empty=True)


def _load(
    source: Path | Mapping[str, pd.DataFrame | pa.Table], config: RecordsConfig, *, may_be_empty: bool = False
) -> Records:
    report = ValidationReport(config.max_rejected_share)
    tables: dict[str, pa.Table] = {}
    rejected: dict[str, pa.Table] = {}
    with TemporaryDirectory(prefix="overdue-ml-") as scratch, duckdb.connect() as con:
        con.execute(f"SET memory_limit = '{_WORKING_MEMORY}'")
        con.execute(f"SET temp_directory = {quote_text(scratch)}")
        found = stage_tables(con, source, config)
        for table in ordered_tables(list(found)):
            name = table.name
            # One after another: a raw table stands in memory only until its rows are accepted.
            staged = found[name]()
            tables[name], rejected[name] = validate_table(
                con, table, config, set(tables), report, staged, may_be_empty
            )
            del staged
            drop_raw_view(con, name)
    missing = sorted(
        set(config.attributes) - set(tables["customers"].column_names if "customers" in tables else [])
    )
    if missing:
        raise RecordsError(
            f"the attribute '{missing[0]}' is not a column of customers",
            next_step="mend 'attributes' in the records config",
        )
    return Records(tables, rejected, report, config)
