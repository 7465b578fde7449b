"""CSV files: their bytes are checked first, then their cells are staged as the text they are."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import duckdb

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records.mapping import quote_text

_ENCODINGS: tuple[str, ...] = get_args(RecordsConfig.model_fields["csv_encoding"].annotation)
#: What DuckDB reads by itself; it needs an extension for all others.
_OF_DUCKDB = ("utf-8", "utf-16", "latin-1")
_OTHER_ENCODING = (
    "set csv_encoding in configs/records.yaml to the file's encoding "
    f"({', '.join(_ENCODINGS[:-1])} or {_ENCODINGS[-1]}), or convert the file ('iconv -f ENCODING -t utf-8')"
)
_BLOCK = 1 << 20


def check_names(names: list[str], where: str) -> None:
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


def file_label(path: Path) -> str:
    """The file as a person finds it: a part with its folder."""
    return f"{path.parent.name}/{path.name}" if path.name.startswith("part-") else path.name


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream


def check_csv_bytes(path: Path, encoding: str) -> None:
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
                    where=f"{file_label(path)}, line {number}",
                    next_step=_OTHER_ENCODING,
                ) from error
            if b"\0" in line:
                raise RecordsError(
                    "there is a NUL byte",
                    where=f"{file_label(path)}, line {number}",
                    next_step="export it again",
                )
            last = line
    if not last.endswith((b"\n", b"\r")):
        raise RecordsError(
            "the file ends within a line, so it was probably cut short",
            where=f"{file_label(path)}, last line",
            next_step="export it again; a whole file ends with a line end",
        )


@contextmanager
def _readable(path: Path, encoding: str) -> Iterator[tuple[Path, str]]:
    """The file and its encoding, or where DuckDB does not know that a copy in UTF-8, block by block."""
    if encoding in _OF_DUCKDB:
        yield path, encoding
        return
    with TemporaryDirectory(prefix="overdue-ml-") as scratch:
        copy = Path(scratch) / "utf-8.csv"
        # Line ends stay as they are.
        with (
            path.open(encoding=encoding, newline="") as stream,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            shutil.copyfileobj(stream, out, _BLOCK)
        yield copy, "utf-8"


def stage_csv(
    con: duckdb.DuckDBPyConnection, create: str, path: Path, config: RecordsConfig, names: list[str]
) -> None:
    """Run ``create`` (``CREATE TABLE ... AS`` or ``INSERT INTO ...``) with all rows of a file as text."""
    columns = ", ".join(f"{quote_text(name)}: 'VARCHAR'" for name in names)
    query = (
        f"{create} SELECT * FROM read_csv(?, header=true, "
        "all_varchar=true, auto_detect=false, delim=?, quote='\"', escape='\"', nullstr='', encoding=?, "
        f"columns={{{columns}}}, null_padding=false, strict_mode=true)"
    )
    try:
        with _readable(path, config.csv_encoding) as (readable, encoding):
            con.execute(query, [str(readable), config.csv_delimiter, encoding])
    except duckdb.Error as error:
        lines = [part.strip() for part in str(error).splitlines() if part.strip()]
        reason = next((part for part in lines if part.startswith(("Expected", "Value", "Row"))), lines[0])
        line = next((part for part in lines if "Line:" in part), "").partition("Line:")[2].strip()
        where = f"{file_label(path)}, line {line}" if line else file_label(path)
        raise RecordsError(
            f"the CSV cannot be read: {reason[:160]}",
            where=where,
            next_step="export it again, every row with the same number of columns",
        ) from error


def csv_header(path: Path, config: RecordsConfig) -> list[str]:
    """The column names in a file's first line."""
    encoding = "utf-8-sig" if config.csv_encoding == "utf-8" else config.csv_encoding
    try:
        with path.open(encoding=encoding, newline="") as stream:
            if stream.read(1) != "\ufeff":  # a byte order mark is no part of the first name
                stream.seek(0)
            cells = next(csv.reader(stream, delimiter=config.csv_delimiter), [])
    except (UnicodeError, csv.Error) as error:
        raise RecordsError(
            f"the header cannot be read as {config.csv_encoding}: {error}",
            where=f"{file_label(path)}, line 1",
            next_step=f"{_OTHER_ENCODING}, or export it again",
        ) from error
    names = [cell.strip() for cell in cells]
    other = next((mark for mark in ";\t|," if len(names) == 1 and mark in names[0]), None)
    if other is not None:
        raise RecordsError(
            f"the header is one column, with {other!r} in it",
            where=f"{file_label(path)}, line 1",
            next_step=f"set csv_delimiter in configs/records.yaml (now {config.csv_delimiter!r})",
        )
    check_names(names, f"{file_label(path)}, line 1")
    return names
