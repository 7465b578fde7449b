"""Raw tables from a folder, a dict of DataFrames or a DuckDB file, as Arrow or staged text.

Nothing is interpreted here beyond what a file format itself says: CSV cells arrive as text, Parquet
and DataFrame columns with their own types. A damaged file is refused before a row of it is used.
"""

from __future__ import annotations

import base64
import datetime as dt
import difflib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records._csv import check_csv_bytes, check_names, csv_header, file_label, stage_csv
from overdue_ml.records.contracts import CONTRACTS, HISTORIES
from overdue_ml.records.mapping import check_mapping, create_raw_view, quote_name

CHECKSUMS = "SHA256SUMS"
_DATABASE_ENDINGS = {".duckdb", ".db", ".ddb"}
_FILE_ENDINGS = {".csv", ".parquet"}
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Staged:
    """An Arrow table behind a staged one; ``is_own`` if nobody else can change the memory it stands in."""

    table: pa.Table
    is_own: bool


#: Creates a table or view of the name it is called with.
Offer = Callable[[str], Staged | None]


def check_source(source: object) -> Path | Mapping[str, pd.DataFrame | pa.Table]:
    """The source of records as a path or a mapping of tables.

    Raises
    ------
    RecordsError
        If it is neither.
    """
    if isinstance(source, str):
        return Path(source)
    if isinstance(source, Path) or (isinstance(source, Mapping) and all(isinstance(n, str) for n in source)):
        return source
    what = (
        "a mapping whose keys are no names" if isinstance(source, Mapping) else f"a {type(source).__name__}"
    )
    raise RecordsError(
        f"the source of the records is {what}",
        expected="a folder, a DuckDB file, or DataFrames or Arrow tables by the names of their tables, "
        "as {'accounts': accounts, 'statements': statements}",
    )


def stage_tables(
    con: duckdb.DuckDBPyConnection,
    source: Path | Mapping[str, pd.DataFrame | pa.Table],
    config: RecordsConfig,
) -> dict[str, Callable[[], Staged | None]]:
    """Find the known tables of a source: for each, how to create ``raw_<table>`` in ``con``.

    None is read before its call, so that they need not all stand in memory at once.

    Raises
    ------
    ConfigError
        If the mapping speaks of tables or columns that no contract has.
    RecordsError
        If the source cannot be read, or a required table is missing; on a call, if a file of the table
        cannot be read.
    """
    check_mapping(config)
    where = "dict of DataFrames" if isinstance(source, Mapping) else str(source)
    offers = offered_tables(con, source, config)
    chosen = _choose(list(offers), config, where)

    def stage(name: str, offer: Offer) -> Staged | None:
        staged = offer(f"unmapped_{name}")
        mapping = config.mapping.get(name)
        create_raw_view(con, name, mapping)
        return None if mapping is not None and mapping.columns else staged

    return {name: partial(stage, name, offers[origin]) for name, origin in chosen.items()}


def offered_tables(
    con: duckdb.DuckDBPyConnection,
    source: Path | Mapping[str, pd.DataFrame | pa.Table],
    config: RecordsConfig,
) -> dict[str, Offer]:
    """What a source holds, whatever it is called: for each name, how to stage it in ``con``.

    Parameters
    ----------
    con : duckdb connection
    source : path or mapping
    config : RecordsConfig

    Returns
    -------
    dict of str to callable
        Called with a name, each creates a table or view of that name, and returns the Arrow table behind
        it if there is one.

    Raises
    ------
    RecordsError
        If the source is not there or cannot be opened.
    """
    if isinstance(source, Mapping):
        return {name: partial(_stage_frame, con, name, frame) for name, frame in source.items()}
    if source.is_dir():
        return _offered_files(con, source, config)
    if source.suffix in _DATABASE_ENDINGS and source.is_file():
        return _offered_by_database(con, source)
    raise RecordsError(
        "the records were not found",
        where=str(source),
        expected="a folder with one <table>.parquet, <table>.csv or folder of parts each, or a .duckdb file",
    )


def _choose(names: list[str], config: RecordsConfig, where: str) -> dict[str, str]:
    """The source's name for each contract table: the mapping's, else the contract's own."""
    claimed = {mapping.source for mapping in config.mapping.values()}
    chosen = {}
    for name in CONTRACTS:
        mapping = config.mapping.get(name)
        origin = mapping.source if mapping and mapping.source else name
        if mapping is None and name in claimed:
            continue  # it bears a contract's name and is, as declared, another table
        if origin in names:
            chosen[name] = origin
        elif mapping is not None:
            near = difflib.get_close_matches(origin, names, n=1)
            raise RecordsError(
                f"'{origin}', which the mapping names for the table '{name}', is not there",
                where=where,
                expected=f"one of {', '.join(sorted(names)) or 'no tables'}",
                next_step=f"did you mean '{near[0]}'" if near else "mend the mapping",
            )
    _require_tables(chosen, sorted(set(names) - set(chosen.values())), where)
    return chosen


def _require_tables(found: Mapping[str, object], others: list[str], where: str) -> None:
    missing = [name for name, table in CONTRACTS.items() if table.required and name not in found]
    # Of the ways to tell who paid when, the one of which most is there.
    lacking = [[name for name in history if name not in found] for history in HISTORIES]
    begun = [names for names, history in zip(lacking, HISTORIES, strict=True) if len(names) < len(history)]
    missing += [] if [] in lacking else (begun or lacking)[0]
    for name in missing:
        raise RecordsError(
            f"the table '{name}' is missing",
            where=where,
            expected="accounts, and either statements or instalments with payments",
            next_step=_what_to_map(name, others)
            or f"found {', '.join(found) + ' only' if found else 'no table'}",
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


def _what_to_map(missing: str, others: list[str]) -> str | None:
    """What stands there under another name than a table's, and what to do with it."""
    if not others:
        return None
    near = difflib.get_close_matches(missing, others, n=1)
    more = f" and {len(others) - _NAMES_SHOWN} more" if len(others) > _NAMES_SHOWN else ""
    shown = ", ".join(f"'{other}'" for other in others[:_NAMES_SHOWN]) + more
    found = f"found '{near[0]}', rename it or" if near else f"found {shown};"
    return f"{found} map {'it' if near else 'them'} ('overdue-ml validate --suggest' proposes how)"


def _stage_frame(con: duckdb.DuckDBPyConnection, name: str, frame: object, target: str) -> Staged:
    if isinstance(frame, pd.DataFrame):
        check_names([str(column) for column in frame.columns], f"table {name}")
        frame = _arrow_from_pandas(name, frame)
    if not isinstance(frame, pa.Table):
        raise RecordsError(
            f"'{name}' is a {type(frame).__name__}", expected="a pandas DataFrame or a pyarrow Table"
        )
    _register(con, name, frame, target)
    # A DataFrame, and an Arrow table made of one, may share its memory with arrays that can be written.
    return Staged(frame, is_own=False)


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


def _register(con: duckdb.DuckDBPyConnection, name: str, table: pa.Table, target: str) -> None:
    check_names(table.column_names, f"table {name}")
    con.register(target, table)


def _offered_by_database(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, Offer]:
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

    def stage(name: str, target: str) -> None:
        con.execute(f'CREATE OR REPLACE VIEW "{target}" AS SELECT * FROM source.main.{quote_name(name)}')

    return {name: partial(stage, name) for name in sorted(str(row[0]) for row in rows)}


def _offered_files(con: duckdb.DuckDBPyConnection, folder: Path, config: RecordsConfig) -> dict[str, Offer]:
    wanted = set(CONTRACTS) | {mapping.source for mapping in config.mapping.values()}
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix.lower() in _FILE_ENDINGS:
            found.setdefault(path.stem, []).append(path)
        elif path.is_dir() and (path.name in wanted or any(path.glob("part-*"))):
            found.setdefault(path.name, []).append(path)
    return {name: partial(_stage_files, con, paths, config) for name, paths in found.items()}


def _stage_files(
    con: duckdb.DuckDBPyConnection, paths: list[Path], config: RecordsConfig, target: str
) -> Staged | None:
    """Stage one file, or all parts of one folder, as one table."""
    if len(paths) > 1:
        raise RecordsError(
            f"the table '{paths[0].stem}' stands there twice",
            where=", ".join(sorted((p.name for p in paths), key=lambda name: not name.endswith(".parquet"))),
            next_step="remove one of them",
        )
    path = paths[0]
    parts = _parts(path) if path.is_dir() else [path]
    _verify_checksums(path.parent, parts)
    for part in parts:
        if part.stat().st_size == 0:
            raise RecordsError(
                "the file is empty (0 bytes)", where=file_label(part), next_step="export it again"
            )
    if parts[0].suffix.lower() == ".parquet":
        table = _read_parts(parts)
        _register(con, path.stem, table, target)
        return Staged(table, is_own=True)
    for part in parts:
        check_csv_bytes(part, config.csv_encoding)
    names = csv_header(parts[0], config)
    for part in parts:
        _check_same_columns(parts[0], names, part, csv_header(part, config))
        create = f'CREATE OR REPLACE TABLE "{target}" AS' if part is parts[0] else f'INSERT INTO "{target}"'
        stage_csv(con, create, part, config, names)
    return None


def _parts(folder: Path) -> list[Path]:
    """Files of a folder that together are one table, sorted by name."""
    # Names that begin with a dot or an underscore are the writers' own marks.
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith((".", "_")))
    odd = [
        p
        for p in inside
        if p.is_dir() or not p.name.startswith("part-") or p.suffix.lower() not in _FILE_ENDINGS
    ]
    endings = {p.suffix.lower() for p in inside}
    if not inside or odd or len(endings) > 1:
        what = "there is no part" if not inside else "the parts are of two kinds"
        raise RecordsError(
            f"'{odd[0].name}' is not a part of a table" if odd else what,
            where=f"folder {folder.name}",
            expected="files part-*.parquet, or files part-*.csv, and nothing else",
        )
    return inside


def _read_parts(parts: list[Path]) -> pa.Table:
    tables = [_read_parquet(part) for part in parts]
    if len(parts) == 1:
        return tables[0]
    types: dict[str, pa.DataType] = {}
    for part, table in zip(parts, tables, strict=True):
        _check_same_columns(parts[0], tables[0].column_names, part, table.column_names)
        for field in table.schema:
            before = types.get(field.name, field.type)
            # A part whose column is empty throughout may not know the type.
            types[field.name] = field.type if pa.types.is_null(before) else before
            if field.type != types[field.name] and not pa.types.is_null(field.type):
                raise RecordsError(
                    f"the column '{field.name}' is of type {field.type}, and {before} in the parts before",
                    where=file_label(part),
                    next_step="export all parts with the same types",
                )
    return pa.concat_tables(tables, promote_options="default")


def _check_same_columns(first: Path, names: list[str], part: Path, others: list[str]) -> None:
    if names != others:
        missing, new = [n for n in names if n not in others], [n for n in others if n not in names]
        what = f"the column '{missing[0]}' is missing" if missing else "the columns stand in another order"
        raise RecordsError(
            f"the column '{new[0]}' is new" if new and not missing else what,
            where=file_label(part),
            expected=f"the columns of {file_label(first)}: {', '.join(names)}",
            next_step="export all parts with the same columns",
        )


def _verify_checksums(folder: Path, paths: list[Path]) -> None:
    """Hold the files against ``SHA256SUMS`` where the folder brings one."""
    listing = folder / CHECKSUMS
    if not listing.is_file():
        return
    expected = {}
    for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition(" ")
        expected[name.strip().removeprefix("*").removeprefix("./")] = digest.lower()
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if name in expected and file_sha256(path) != expected[name]:
            raise RecordsError(
                "the file does not match its checksum",
                where=f"{name} in {CHECKSUMS}",
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
            f"the Parquet file is damaged ({reason})", where=file_label(path), next_step="export it again"
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
