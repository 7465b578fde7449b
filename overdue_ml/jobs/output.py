"""Writing results: checksummed Parquet, safe CSV, and folders that appear whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError, ResourceError

#: A cell that begins with one of these is run as a formula by spreadsheets.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_MASK = "••••"
#: Rows of a CSV that are made safe together.
_CSV_ROWS = 1 << 16


def write_parquet(table: pd.DataFrame | pa.Table, path: Path) -> None:
    """Write a table with page checksums; equal tables give equal bytes.

    Parameters
    ----------
    table : pandas.DataFrame or pyarrow.Table
        The index of a DataFrame is not written.
    path : Path
    """
    arrow = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
    # pandas' metadata holds library versions, which are no part of the result.
    pq.write_table(arrow.replace_schema_metadata(None), path, compression="zstd", write_page_checksum=True)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a CSV in which no text cell is taken for a spreadsheet formula.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : Path
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        for start in range(0, max(1, len(frame)), _CSV_ROWS):
            safe = _safe(frame.iloc[start : start + _CSV_ROWS])
            # With line ends as in RFC 4180 a lone CR in a cell is quoted too; unquoted it would start a new
            # row.
            safe.to_csv(file, index=False, header=start == 0, lineterminator="\r\n")


def _safe(frame: pd.DataFrame) -> pd.DataFrame:
    safe = frame.copy()
    for name in safe.columns:
        kind = safe[name].dtype
        if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_datetime64_any_dtype(kind):
            continue
        if isinstance(kind, pd.StringDtype) and not _any_formula(safe[name]):
            continue
        # As objects, since a category's or another type's cells may be text as well.
        safe[name] = safe[name].astype(object).map(_neutralise, na_action="ignore")
    return safe.rename(columns=_neutralise)


def _any_formula(words: pd.Series) -> bool:
    first = pc.utf8_slice_codeunits(pa.array(words, pa.large_string(), from_pandas=True), 0, 1)
    return bool(pc.any(pc.is_in(first, value_set=pa.array(_FORMULA_STARTS, pa.large_string()))).as_py())


def _neutralise(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def mask_id(text: str) -> str:
    """The end of an id behind dots: a third of it, four characters at most.

    Examples
    --------
    >>> mask_id("C27499"), mask_id("no")
    ('••••99', '••••')
    """
    kept = min(len(text) // 3, 4)
    return _MASK + (text[-kept:] if kept else "")


def write_json(data: Mapping[str, Any], path: Path) -> None:
    """Write sorted, indented JSON with a final line end; NaN is refused."""
    path.write_text(
        json.dumps(data, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        encoding="utf-8",
    )


def refuse_file(folder: Path) -> None:
    """Refuse a folder where a file stands, or one of whose parents is a file.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    ConfigError
    """
    here = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    if here.exists() and not here.is_dir():
        raise ConfigError("a file stands there", where=str(here), expected="a folder or a new name")


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its place when the block ends well.

    An older ``target`` stands untouched until then, and is removed after the new one is in place.

    Parameters
    ----------
    target : Path

    Raises
    ------
    ConfigError
        If a file stands there, or in place of a folder above it.
    ResourceError
        If the place cannot be written.
    """
    refuse_file(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ResourceError(
            f"the output cannot be written: {error.strerror or error}",
            where=str(target.parent),
            next_step="choose another --out",
        ) from error
    try:
        yield building
        building.chmod(0o755)
        if target.exists():
            old = building.with_name(building.name + ".old")
            target.replace(old)
            try:
                building.replace(target)
            except OSError:
                old.replace(target)
                raise
            shutil.rmtree(old, ignore_errors=True)
        else:
            building.replace(target)
    except OSError as error:
        raise ResourceError(
            f"the output cannot be written: {error.strerror or error}",
            where=str(target),
            next_step="free some space or choose another --out; what stood there before is still there",
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
