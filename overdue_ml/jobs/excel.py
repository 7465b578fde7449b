"""Lists as Excel workbooks: text stays text, days are days, and equal lists give equal bytes."""

from __future__ import annotations

import datetime as dt
import importlib.util
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from overdue_ml.errors import ConfigError

#: Rows of a sheet with its header, and UTF-16 units of a cell, as Excel allows.
_SHEET_ROWS, _CELL_UNITS = 1_048_576, 32_767
#: What XML cannot hold, carriage returns, which it would change, and text that reads like their escape.
_ESCAPED = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
#: The earliest time that a zip file can hold: when a list was written is no part of it.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class _TimelessZip(zipfile.ZipFile):
    """A zip file whose bytes do not depend on when it was written."""

    def writestr(self, zinfo_or_arcname: Any, data: Any, *_args: Any, **_options: Any) -> None:
        info = zipfile.ZipInfo(str(zinfo_or_arcname), _NO_TIME)
        super().writestr(info, data, zipfile.ZIP_DEFLATED)

    def write(self, filename: Any, arcname: Any = None, *_args: Any, **_options: Any) -> None:
        info = zipfile.ZipInfo(str(arcname), _NO_TIME)
        info.compress_type = zipfile.ZIP_DEFLATED
        with Path(filename).open("rb") as source, self.open(info, "w", force_zip64=True) as target:
            while block := source.read(1 << 20):
                target.write(block)


class _Cells:
    """The cells of a column, one after another: a cell is written before the next one is asked for."""

    def __init__(self, sheet: Any) -> None:
        from openpyxl.cell import WriteOnlyCell

        self._text, self._day = WriteOnlyCell(sheet), WriteOnlyCell(sheet)
        # As a quote before the text: it stays text even if somebody edits the cell.
        self._text.quotePrefix = True
        self._day.number_format = "yyyy-mm-dd"

    def __call__(self, value: Any) -> Any:
        """A cell that Excel takes for what the value is."""
        if isinstance(value, str):
            self._text.value = _fitting(value)
            # It has taken what looks like a formula or an error for one.
            self._text.data_type = "s"
            return self._text
        if isinstance(value, dt.date):
            self._day.value = value
            return self._day
        return value


def check_excel() -> None:
    """Refuse to begin what could not be written.

    Raises
    ------
    ConfigError
        If openpyxl is not installed.
    """
    if importlib.util.find_spec("openpyxl") is None:
        raise ConfigError(
            "Excel files need openpyxl, which is not installed",
            where="excel",
            next_step="install it with: pip install 'overdue_ml[excel]'; or leave 'excel' out",
        )


def write_excel(frame: pd.DataFrame, path: Path, title: str, day: dt.date) -> None:
    """Write a table as a workbook; more rows than a sheet takes go on in the next sheet.

    Text is never a formula, and what XML cannot hold is escaped as Excel does it. A longer text than a cell
    takes is cut and ends in ``…``. Nothing is written outside the folder of ``path``, whatever ends this.

    Parameters
    ----------
    frame : pandas.DataFrame
        Its index is not written.
    path : Path
    title : str
        Of the first sheet.
    day : datetime.date
        Stands as the time of creation, so that equal tables give equal bytes.

    Raises
    ------
    ConfigError
        If openpyxl is not installed.
    """
    check_excel()
    import openpyxl
    from openpyxl.writer.excel import ExcelWriter

    book = openpyxl.Workbook(write_only=True)
    book.properties.creator = "overdue_ml"
    book.properties.created = book.properties.modified = dt.datetime.combine(day, dt.time())
    columns = [_plain(frame[name]) for name in frame.columns]
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch, _ended(book):
        for number, start in enumerate(range(0, max(len(frame), 1), _SHEET_ROWS - 1)):
            sheet = book.create_sheet(title if not number else f"{title} {number + 1}")
            sheet.freeze_panes = "A2"
            _collect_in(Path(scratch) / str(number), sheet)
            cells = [_Cells(sheet) for _ in columns]
            sheet.append([cell(str(name)) for cell, name in zip(cells, frame.columns, strict=True)])
            here = [column[start : start + _SHEET_ROWS - 1] for column in columns]
            for row in zip(*here, strict=True):
                sheet.append([cell(value) for cell, value in zip(cells, row, strict=True)])
        with _TimelessZip(path, "w", zipfile.ZIP_DEFLATED) as archive:
            # Not by save(), which puts the time of day into the properties.
            ExcelWriter(book, archive).write_data()


@contextmanager
def _ended(book: Any) -> Iterator[None]:
    """End the sheets of a book, also after an error: left alone, each would complain on standard error."""
    try:
        yield
    finally:
        for sheet in book:
            if not sheet.closed:
                with suppress(OSError):
                    sheet.close()


def _collect_in(file: Path, sheet: Any) -> None:
    """Have the rows of a sheet go to a file of ours until they are packed.

    openpyxl would make one in the system's folder for temporary files, where a kill leaves the list.
    """
    from openpyxl.worksheet._writer import ALL_TEMP_FILES, WorksheetWriter

    # It takes a file off this list when it has packed it, and stumbles over one that is not there.
    ALL_TEMP_FILES.append(str(file))
    sheet._writer = WorksheetWriter(sheet, str(file))
    sheet._writer.write_top()


def _plain(column: pd.Series) -> list[Any]:
    """Cells as plain values; days without a clock time as dates, what is missing as None."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        column = column.dt.date
    return [None if pd.isna(value) else value for value in column.astype(object)]


def _fitting(text: str) -> str:
    """A text as a workbook can hold it."""
    if len(text) > _CELL_UNITS // 2 and len(text.encode("utf-16-le")) > 2 * _CELL_UNITS:
        text = text.encode("utf-16-le")[: 2 * _CELL_UNITS - 2].decode("utf-16-le", "ignore") + "…"
    return _ESCAPED.sub(lambda found: f"_x{ord(found.group()):04X}_", text)
