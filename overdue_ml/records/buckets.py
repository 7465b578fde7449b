"""Records in buckets of customers: prepared once, then read a bucket at a time by any number of workers.

A customer's bucket hangs on nothing but the id: the first 8 hexadecimal digits of its MD5, as a number,
modulo the number of buckets. DuckDB, Spark SQL and Hive compute the same (``docs/batch.md`` has the recipe).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.config import RecordsConfig, build_config
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.load import BUCKETS, Records, load_part
from overdue_ml.records.validate import ValidationReport

_KIND = "overdue_ml buckets"
_REJECTED = "rejected"
_UNREAD = frozenset(
    f"{table.name}.{column.name}"
    for table in CONTRACTS.values()
    for column in table.columns
    if not column.is_read
)

Int64Array = npt.NDArray[np.int64]


def bucket_sql(column: str, n_buckets: int) -> str:
    """The bucket of an id, in DuckDB's SQL."""
    return f"CAST(CAST('0x' || substr(md5({column}), 1, 8) AS UBIGINT) % {n_buckets} AS BIGINT)"


def bucket_of(customer_ids: pa.Array | pa.ChunkedArray, n_buckets: int) -> Int64Array:
    """The bucket of each customer.

    Parameters
    ----------
    customer_ids : pyarrow array of string, shape (n,)
        A null goes to bucket 0.
    n_buckets : int

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0 to ``n_buckets - 1``.

    Examples
    --------
    >>> bucket_of(pa.array(["C1", "C2"]), 64).tolist()
    [45, 53]
    """
    with duckdb.connect() as con:
        con.register("ids", pa.table({"id": customer_ids}))
        table = con.sql(f"SELECT coalesce({bucket_sql('id', n_buckets)}, 0) AS b FROM ids").to_arrow_table()
    return np.asarray(table.column("b").to_numpy(), dtype=np.int64)


@dataclass(frozen=True)
class Bucketed:
    """A folder of records in buckets, ``<table>/bucket=<number>/part-*.parquet``.

    Attributes
    ----------
    path : Path
    n_buckets : int
    config : RecordsConfig
        How raw buckets are read; of prepared ones, as they were.
    prepared : mapping or None
        What :func:`write_buckets` wrote: rows are valid and stand in order. None where another program made
        the buckets; every one is then validated when it is read.
    """

    path: Path
    n_buckets: int
    config: RecordsConfig
    prepared: Mapping[str, Any] | None

    @cached_property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of every part: as they were prepared, or as they are when this is asked first."""
        if self.prepared is not None:
            return dict(self.prepared["files"])
        paths = sorted(self.path.glob("*/bucket=*/part-*.parquet"))
        return {str(path.relative_to(self.path)): _sha256(path) for path in paths}

    @property
    def fingerprint(self) -> str:
        """Of the rows if prepared, as :attr:`Records.fingerprint`; else SHA-256 over names and files."""
        if self.prepared is not None:
            return str(self.prepared["records_fingerprint"])
        listed = "".join(f"{name}:{digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(listed.encode()).hexdigest()

    @cached_property
    def tables(self) -> list[str]:
        """Names of the tables that are there."""
        named = {table for table, _ in self._parts}
        return [name for name in CONTRACTS if name in named]

    @cached_property
    def _parts(self) -> dict[tuple[str, int], list[str]]:
        found: dict[tuple[str, int], list[str]] = {}
        for name in sorted(self.files):
            table, folder, _ = name.split("/")
            found.setdefault((table, int(folder.partition("=")[2])), []).append(name)
        return found

    def load(self, bucket: int, *, unread: bool = True) -> Records | None:
        """The records of one bucket; None where nobody is in it.

        Parameters
        ----------
        bucket : int
        unread : bool
            With the columns that nothing is computed with, which take a fifth of the time of reading. Records
            that are still to be validated have them.

        Raises
        ------
        RecordsError
            If a file is missing, damaged or was changed, or a customer belongs into another bucket.
        """
        left_out = frozenset[str]() if unread or self.prepared is None else _UNREAD
        tables = {name: self._read(name, bucket, left_out) for name in self.tables}
        if not tables["accounts"].num_rows:
            for name, table in tables.items():
                if table.num_rows and "account_id" in table.column_names:
                    raise RecordsError(
                        f"{table.num_rows:,} rows of '{name}' stand in a bucket without an account",
                        where=f"bucket {bucket}",
                        expected="the accounts of a customer and all that is theirs in the same bucket",
                        next_step=self._again,
                    )
            return None
        if self.prepared is not None:
            return Records(tables, {}, ValidationReport(self.config.max_rejected_share), self.config)
        records = load_part(tables, self.config)
        _check_bucket(records.tables["accounts"], bucket, self.n_buckets)
        return records

    @property
    def _again(self) -> str:
        return "bucket the records again" if self.prepared is None else "prepare the records again"

    def _read(self, table: str, bucket: int, left_out: Collection[str] = ()) -> pa.Table:
        """The rows of a table in a bucket, without the columns ``table.column`` that are left out."""
        names = self._parts.get((table, bucket), [])
        left_out = {name.partition(".")[2] for name in left_out if name.startswith(f"{table}.")}
        if names:
            return self._of_files({name: self.files[name] for name in names}, left_out)
        # Nobody here has any; that is not the same as a lender without the table.
        first = next(self.path / name for name in self.files if name.startswith(f"{table}/"))
        return _concatenated([first], left_out).slice(0, 0)

    def _of_files(self, files: Mapping[str, str], left_out: Collection[str] = ()) -> pa.Table:
        """The rows of some files, each as it was when the book was opened."""
        for name, digest in files.items():
            try:
                same = digest == _sha256(self.path / name)
            except OSError as error:
                raise RecordsError(
                    f"the file cannot be read: {error.strerror or error}", where=name, next_step=self._again
                ) from error
            if not same:
                since = "were prepared" if self.prepared is not None else "began to be scored"
                raise RecordsError(
                    f"the file was changed after the records {since}: its SHA-256 differs",
                    where=name,
                    next_step=self._again,
                )
        return _concatenated([self.path / name for name in files], left_out)

    @property
    def rejected(self) -> dict[str, pa.Table]:
        """Rows that were rejected when the records were prepared, by table; of raw buckets none are known.

        Raises
        ------
        RecordsError
            If a file is missing or was changed.
        """
        listed = {} if self.prepared is None else self.prepared[_REJECTED]
        return {
            name: self._of_files({f"{_REJECTED}/{name}.parquet": digest}) for name, digest in listed.items()
        }

    def load_some(self, buckets: Sequence[int]) -> Records:
        """The records of some buckets, validated again as one, so that they stand in order.

        Parameters
        ----------
        buckets : sequence of int
            At least one.

        Raises
        ------
        RecordsError
            As :meth:`load`.
        """
        merged = {}
        for name in self.tables:
            parts = [self._read(name, bucket) for bucket in buckets]
            merged[name] = pa.concat_tables(parts, promote_options="default")
        if self.prepared is None:
            return load_part(merged, self.config)
        # They bear the names of the contract already.
        found = load_part(merged, self.config.model_copy(update={"mapping": {}}))
        return replace(found, config=self.config)

    def load_all(self) -> Records:
        """The records of all buckets: what they were before."""
        return self.load_some(range(self.n_buckets))


def write_buckets(records: Records, to: Path, n_buckets: int) -> Bucketed:
    """Write validated records in buckets of customers.

    Parameters
    ----------
    records : Records
    to : Path
        A new or empty folder. ``buckets.json``, which makes it one of buckets, is written last.
    n_buckets : int

    Returns
    -------
    Bucketed

    Raises
    ------
    ConfigError
        If something stands in ``to``, it cannot be written, or there is less than one bucket.
    """
    if n_buckets < 1:
        raise ConfigError(f"there are {n_buckets} buckets", expected="at least 1")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError("something stands there already", where=str(to), next_step="choose another --to")
    accounts = records.tables["accounts"]
    of_account = bucket_of(accounts.column("customer_id"), n_buckets)
    hashes: dict[str, str] = {}
    try:
        for name, table in records.tables.items():
            if "customer_id" in table.column_names:
                bucket = bucket_of(table.column("customer_id"), n_buckets)
            else:
                place = pc.index_in(table.column("account_id"), accounts.column("account_id"))
                bucket = np.take(of_account, place.to_numpy())
            # A stable sort keeps the order that validated rows have.
            order = np.argsort(bucket.astype(np.int16 if n_buckets < 2**15 else np.int64), kind="stable")
            ends = np.searchsorted(bucket[order], np.arange(n_buckets + 1))
            for b in range(n_buckets):
                rows = table.take(order[ends[b] : ends[b + 1]])
                path = to / name / f"bucket={b:05d}" / "part-00000.parquet"
                path.parent.mkdir(parents=True)
                pq.write_table(rows, path, compression="zstd", compression_level=1, write_page_checksum=True)
                hashes[str(path.relative_to(to))] = _sha256(path)
        rejected: dict[str, str] = {}
        for name, table in records.rejected.items():
            if table.num_rows:
                path = to / _REJECTED / f"{name}.parquet"
                path.parent.mkdir(exist_ok=True)
                pq.write_table(table, path, write_page_checksum=True)
                rejected[name] = _sha256(path)
        manifest = {
            "kind": _KIND,
            "n_buckets": n_buckets,
            "prepared": {
                "records_fingerprint": records.fingerprint,
                "n_customers": len(pc.unique(accounts.column("customer_id"))),
                "config": records.config.model_dump(mode="json"),
                "report": records.report.to_dict(),
                "files": hashes,
                "rejected": rejected,
            },
        }
        unfinished = to / f".{BUCKETS}.tmp"
        unfinished.write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n", encoding="utf-8")
        unfinished.replace(to / BUCKETS)
    except OSError as error:
        raise ConfigError(
            f"the buckets cannot be written: {error.strerror or error}",
            where=str(to),
            next_step="free some space or choose another folder",
        ) from error
    return open_buckets(to)


def is_bucketed(source: object) -> bool:
    """Whether a source is a folder of buckets."""
    return isinstance(source, Path) and (source / BUCKETS).is_file()


def open_buckets(folder: Path, config: RecordsConfig | None = None) -> Bucketed:
    """A folder of buckets.

    Parameters
    ----------
    folder : Path
        As :func:`write_buckets` made it, or another program: ``<table>/bucket=<number>/part-*.parquet`` and
        a ``buckets.json`` with the key ``n_buckets``.
    config : RecordsConfig, optional
        How to read buckets that another program made. Prepared ones carry their own.

    Returns
    -------
    Bucketed

    Raises
    ------
    RecordsError
        If the folder is none or says nonsense.
    """
    try:
        manifest = json.loads((folder / BUCKETS).read_text(encoding="utf-8"))
        n_buckets, prepared = manifest["n_buckets"], manifest.get("prepared")
        if type(n_buckets) is not int or n_buckets < 1:
            raise ValueError
        if prepared is not None:
            # Written by this package, and changed since where one of these is not as it was.
            str(prepared["records_fingerprint"]), prepared["files"].items(), prepared[_REJECTED].items()
            config = build_config(RecordsConfig, prepared["config"], where=BUCKETS)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise RecordsError(
            f"the buckets cannot be opened: {type(error).__name__}",
            where=str(folder / BUCKETS),
            expected='a JSON object with "n_buckets", a whole number from 1',
            next_step="bucket the records again",
        ) from error
    _check_files(folder, n_buckets, None if prepared is None else set(prepared["files"]))
    found = Bucketed(folder, n_buckets, config or RecordsConfig(), prepared)
    if prepared is None and not any(folder.glob("accounts/bucket=*/part-*.parquet")):
        raise RecordsError(
            "there are no buckets of accounts",
            where=str(folder),
            expected="accounts/bucket=<number>/part-*.parquet",
        )
    return found


def _check_files(folder: Path, n_buckets: int, listed: set[str] | None) -> None:
    """Refuse what would be left out without a word: other tables, other buckets, files of another name."""
    found = set()
    for path in sorted(folder.glob("*/bucket=*")):
        table, number = path.parent.name, path.name.partition("=")[2]
        if table not in CONTRACTS:
            near = difflib.get_close_matches(table, CONTRACTS, n=1)
            raise RecordsError(
                f"'{table}' is not a table",
                where=str(folder),
                next_step=f"rename it to '{near[0]}' or take it away" if near else "take it away",
            )
        # Spark writes bucket=7, this module bucket=00007.
        if not re.fullmatch(r"[0-9]{1,9}", number) or int(number) >= n_buckets:
            raise RecordsError(
                f"'{path.name}' is no bucket of {n_buckets}",
                where=str(path.relative_to(folder)),
                next_step="mend n_buckets in buckets.json, or bucket the records again",
            )
        for file in path.iterdir():
            if file.match("part-*.parquet"):
                found.add(str(file.relative_to(folder)))
            elif not file.name.startswith((".", "_")):
                raise RecordsError(
                    f"'{file.name}' is not a part of a bucket",
                    where=str(path.relative_to(folder)),
                    expected="files part-*.parquet and nothing else",
                )
    if listed is not None and found != listed:
        name = min(found ^ listed)
        raise RecordsError(
            "a file was added after the records were prepared" if name in found
            else "a file of the prepared records is missing",
            where=name,
            next_step="prepare the records again",
        )  # fmt: skip


def _concatenated(paths: list[Path], left_out: Collection[str] = ()) -> pa.Table:
    """The rows of the parts of one bucket, without what a reader might make of the folder's name."""
    try:
        files = [pq.ParquetFile(path, page_checksum_verification=True) for path in paths]
        read = [
            [c for c in file.schema_arrow.names if c not in left_out] if left_out else None for file in files
        ]
        tables = [file.read(columns) for file, columns in zip(files, read, strict=True)]
        return pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(
            f"the file cannot be read: {type(error).__name__}",
            where=f"{paths[0].parent.parent.name}/{paths[0].parent.name}",
            next_step="write the buckets again",
        ) from error


def _check_bucket(accounts: pa.Table, bucket: int, n_buckets: int) -> None:
    """A customer in two buckets would be scored twice, each time without the other half."""
    found = bucket_of(accounts.column("customer_id"), n_buckets)
    wrong = np.flatnonzero(found != bucket)
    if len(wrong):
        raise RecordsError(
            f"{len(wrong)} accounts stand in a bucket that is not their customer's",
            where=f"accounts, bucket {bucket}",
            expected=f"the first one in bucket {found[wrong[0]]} of {n_buckets}",
            next_step="bucket by the first 8 hexadecimal digits of md5(customer_id), modulo n_buckets",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
