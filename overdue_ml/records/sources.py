"""Raw tables from a folder, a dict of DataFrames or a DuckDB file, as Arrow or staged text.

Nothing is interpreted here beyond what a file format itself says: CSV cells arrive as text, Parquet
and DataFrame columns with their own types. A damaged file is refused before a row of it is used.
"""

from __future__ import annotations

import base64
import csv
import datetime as dt
import difflib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records.contracts import CONTRACTS

CHECKSUMS = "SHA256SUMS"
_DATABASE_ENDINGS = {".duckdb", ".db", ".ddb"}


def stage_tables(
    con: duckdb.DuckDBPyConnection,
    source: Path | Mapping[str, pd.DataFrame | pa.Table],
    config: RecordsConfig,
) -> list[str]:
    """Create ``raw_<table>`` in ``con`` for each known table of the source; return their names.

    Raises
    ------
    RecordsError
        If the source or one of its files cannot be read, or a required table is missing.
    """
    if isinstance(source, Mapping):
        found = _stage_frames(con, source)
    elif source.is_dir():
        found = _stage_folder(con, source, config)
    elif source.suffix in _DATABASE_ENDINGS and source.is_file():
        found = _stage_database(con, source)
    else:
        raise RecordsError(
            "the records were not found",
            where=str(source),
            expected="a folder with one <table>.parquet or <table>.csv each, or a .duckdb file",
        )
    return found


def _require_tables(found: Mapping[str, object], others: list[str], where: str) -> None:
    for name, table in CONTRACTS.items():
        if table.required and name not in found:
            near = difflib.get_close_matches(name, others, n=1)
            hint = f"; found '{near[0]}', rename it" if near else ""
            raise RecordsError(
                f"the table '{name}' is missing",
                where=where,
                expected=f"the tables {', '.join(n for n, t in CONTRACTS.items() if t.required)}{hint}",
            )
    # An optional table under a misspelt name would otherwise be left out without a word.
    for other in others:
        near = difflib.get_close_matches(other, [n for n in CONTRACTS if n not in found], n=1, cutoff=0.8)
        if near:
            raise RecordsError(
                f"'{other}' is not a table",
                where=where,
                next_step=f"rename it to '{near[0]}' or take it away",
            )


def _stage_frames(con: duckdb.DuckDBPyConnection, frames: Mapping[str, pd.DataFrame | pa.Table]) -> list[str]:
    known = {name: frame for name, frame in frames.items() if name in CONTRACTS}
    _require_tables(known, sorted(set(frames) - set(known)), "dict of DataFrames")
    for name, frame in known.items():
        if isinstance(frame, pd.DataFrame):
            _check_names([str(column) for column in frame.columns], f"table {name}")
            frame = _arrow_from_pandas(name, frame)
        if not isinstance(frame, pa.Table):
            raise RecordsError(
                f"'{name}' is a {type(frame).__name__}", expected="a pandas DataFrame or a pyarrow Table"
            )
        _register(con, name, frame)
    return list(known)


def _check_names(names: list[str], where: str) -> None:
    """Refuse names that DuckDB would alter (it ignores case and cuts at a NUL) or that name nothing."""
    seen: dict[str, str] = {}
    what = "" if names else "there are no columns"
    for name in names:
        other = seen.get(name.casefold())
        if not name:
            what = "a column has no name"
        elif "\0" in name:
            what = f"there is a NUL byte in the column name {name!r}"
        elif other is not None:
            capitals = "" if other == name else f" (as '{other}' too; capitals make no difference)"
            what = f"the column '{name}' stands twice{capitals}"
        seen[name.casefold()] = name
    if what:
        raise RecordsError(what, where=where, next_step="mend the column names")


def _arrow_from_pandas(name: str, frame: pd.DataFrame) -> pa.Table:
    columns = {}
    for column in frame.columns:
        series = frame[column]
        if isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype(series.cat.categories.dtype)
        try:
            # Arrow drops the zones when datetimes with and without one stand in the same column.
            if series.dtype == object and any(isinstance(value, dt.datetime) for value in series):
                columns[str(column)] = _text_array(series)
            elif isinstance(series.dtype, pd.DatetimeTZDtype):
                # The same instants, as pandas warns when Arrow takes the zone off by itself.
                instants = pa.array(series.dt.tz_convert(None))
                columns[str(column)] = instants.cast(pa.timestamp(instants.type.unit, "UTC"))
            else:
                # NaN is how pandas writes a missing number; in a file it is a broken one.
                columns[str(column)] = pa.array(series, from_pandas=True)
        except UnicodeEncodeError as error:
            raise RecordsError(
                f"the column '{column}' holds characters that are not Unicode text",
                where=f"table {name}",
                next_step="read the source again with its true encoding",
            ) from error
        except (pa.ArrowException, OverflowError):
            columns[str(column)] = _text_array(series)
    return pa.table(columns)


def _text_array(series: pd.Series) -> pa.Array:
    """Mixed Python objects as text, for the contract's cast to judge row by row."""
    return pa.array(
        [None if pd.api.types.is_scalar(value) and pd.isna(value) else str(value) for value in series],
        pa.large_string(),
    )


def _register(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> None:
    _check_names(table.column_names, f"table {name}")
    con.register(f"arrow_{name}", table)
    con.execute(f'CREATE OR REPLACE VIEW "raw_{name}" AS SELECT * FROM "arrow_{name}"')


def _stage_database(con: duckdb.DuckDBPyConnection, path: Path) -> list[str]:
    quoted = str(path).replace("'", "''")
    try:
        # With the type given, a file of another kind makes DuckDB fetch no extension for it.
        con.execute(f"ATTACH '{quoted}' AS source (READ_ONLY, TYPE duckdb)")
        rows = con.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_catalog = 'source' AND table_schema = 'main'"
        ).fetchall()
    except duckdb.Error as error:
        raise RecordsError(
            "the DuckDB file cannot be opened", where=str(path), next_step="check that it is whole"
        ) from error
    names = sorted(str(row[0]) for row in rows)
    known = {name: name for name in names if name in CONTRACTS}
    _require_tables(known, names, str(path))
    for name in known:
        con.execute(f'CREATE OR REPLACE VIEW "raw_{name}" AS SELECT * FROM source.main."{name}"')
    return list(known)


def _stage_folder(con: duckdb.DuckDBPyConnection, folder: Path, config: RecordsConfig) -> list[str]:
    files = {p.name: p for p in sorted(folder.iterdir()) if p.suffix in {".csv", ".parquet"} and p.is_file()}
    known: dict[str, Path] = {}
    for name in CONTRACTS:
        here = [files[f"{name}{end}"] for end in (".parquet", ".csv") if f"{name}{end}" in files]
        if len(here) > 1:
            raise RecordsError(
                f"the table '{name}' stands there twice",
                where=", ".join(p.name for p in here),
                next_step="remove one of the files",
            )
        if here:
            known[name] = here[0]
    _require_tables(known, [p.stem for p in files.values()], str(folder))
    _verify_checksums(folder, known)
    for name, path in known.items():
        if path.stat().st_size == 0:
            raise RecordsError("the file is empty (0 bytes)", where=path.name, next_step="export it again")
        if path.suffix == ".parquet":
            _register(con, name, _read_parquet(path))
        else:
            _stage_csv(con, name, path, config)
    return list(known)


def _verify_checksums(folder: Path, tables: Mapping[str, Path]) -> None:
    """Hold the files against ``SHA256SUMS`` where the folder brings one."""
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return
    expected = {}
    for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition(" ")
        expected[name.strip().removeprefix("*").removeprefix("./")] = digest.lower()
    for path in tables.values():
        if path.name in expected and file_sha256(path) != expected[path.name]:
            raise RecordsError(
                "the file does not match its checksum",
                where=f"{path.name} in {CHECKSUMS}",
                next_step="fetch the file again, or remove its line if the change is wanted",
            )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes: 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
            _check_footer(table.schema, file.metadata.metadata or {})
        return table
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise RecordsError(
            f"the Parquet file is damaged ({reason})", where=path.name, next_step="export it again"
        ) from error


def _check_footer(schema: pa.Schema, metadata: Mapping[bytes, bytes]) -> None:
    """Hold the columns against the second copy of the schema that Arrow's writers put into the footer.

    No checksum covers the footer. Of all single flipped bits in a file, those that change data without
    an error all hit a column's name or logical type; a page's values never change unnoticed.
    """
    if b"ARROW:schema" not in metadata:
        return
    written = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(metadata[b"ARROW:schema"], validate=True)))
    if written.names != schema.names:
        raise pa.ArrowInvalid("the column names in the footer contradict each other")
    for was, now in zip(written.types, schema.types, strict=True):
        if _kind(was) != _kind(now):
            raise pa.ArrowInvalid("the column types in the footer contradict each other")


def _kind(kind: pa.DataType) -> str:
    """A coarse type: writers may store other widths and units than they were given."""
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_temporal(kind):
        return "temporal"
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "whole"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return "other"


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream


def _check_csv_bytes(path: Path, encoding: str) -> None:
    """Refuse undecodable bytes, NULs and a file that ends within a line, naming the row."""
    last = b"\n"
    if encoding == "utf-16":  # DuckDB refuses what it cannot decode
        with path.open("rb") as stream:
            stream.seek(-min(2, path.stat().st_size), 2)
            last = stream.read().strip(b"\0")
    else:
        for number, line in enumerate(_lines(path), start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                raise RecordsError(
                    f"the bytes are not {encoding}",
                    where=f"{path.name}, line {number}",
                    next_step="set csv_encoding in configs/records.yaml to the file's encoding",
                ) from error
            if b"\0" in line:
                raise RecordsError(
                    "there is a NUL byte", where=f"{path.name}, line {number}", next_step="export it again"
                )
            last = line
    if not last.endswith((b"\n", b"\r")):
        raise RecordsError(
            "the file ends within a line, so it was probably cut short",
            where=f"{path.name}, last line",
            next_step="export it again; a whole file ends with a line end",
        )


def _stage_csv(con: duckdb.DuckDBPyConnection, name: str, path: Path, config: RecordsConfig) -> None:
    _check_csv_bytes(path, config.csv_encoding)
    try:
        con.execute(
            f'CREATE OR REPLACE TABLE "raw_{name}" AS SELECT * FROM read_csv(?, header=true, '
            "all_varchar=true, auto_detect=false, delim=?, quote='\"', escape='\"', nullstr='', encoding=?, "
            f"columns={_csv_header(path, config)}, null_padding=false, strict_mode=true)",
            [str(path), config.csv_delimiter, config.csv_encoding],
        )
    except duckdb.Error as error:
        lines = [part.strip() for part in str(error).splitlines() if part.strip()]
        reason = next((part for part in lines if part.startswith(("Expected", "Value", "Row"))), lines[0])
        line = next((part for part in lines if "Line:" in part), "").partition("Line:")[2].strip()
        where = f"{path.name}, line {line}" if line else path.name
        raise RecordsError(
            f"the CSV cannot be read: {reason[:160]}",
            where=where,
            next_step="export it again, every row with the same number of columns",
        ) from error


def _csv_header(path: Path, config: RecordsConfig) -> str:
    encoding = "utf-8-sig" if config.csv_encoding == "utf-8" else config.csv_encoding
    try:
        with path.open(encoding=encoding, newline="") as stream:
            cells = next(csv.reader(stream, delimiter=config.csv_delimiter), [])
    except (UnicodeError, csv.Error) as error:
        raise RecordsError(
            f"the header cannot be read as {config.csv_encoding}: {error}",
            where=f"{path.name}, line 1",
            next_step="set csv_encoding in configs/records.yaml to the file's encoding, or export it again",
        ) from error
    names = [cell.strip() for cell in cells]
    other = next((mark for mark in ";\t|," if len(names) == 1 and mark in names[0]), None)
    if other is not None:
        raise RecordsError(
            f"the header is one column, with {other!r} in it",
            where=f"{path.name}, line 1",
            next_step=f"set csv_delimiter in configs/records.yaml (now {config.csv_delimiter!r})",
        )
    _check_names(names, f"{path.name}, line 1")
    return "{" + ", ".join(f"""'{name.replace("'", "''")}': 'VARCHAR'""" for name in names) + "}"
