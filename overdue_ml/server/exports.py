"""The list that is shown as a file: CSV, or Excel by extra."""

from __future__ import annotations

import importlib.util
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.explain import Wording
from overdue_ml.jobs.cards import mask_id
from overdue_ml.jobs.output import write_csv
from overdue_ml.server.book import REASONS, Row
from overdue_ml.server.words import Words

CSV_TYPE = "text/csv; charset=utf-8"
EXCEL_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# Excel refuses control characters, and cells of more than 32,767 characters.
_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_MAX_CELL = 32_767


def has_excel() -> bool:
    """Whether the extra ``excel`` is installed."""
    return importlib.util.find_spec("openpyxl") is not None


def export_frame(
    rows: Sequence[Row], as_of: str, words: Words, wording: Wording, mask_ids: bool = False
) -> pd.DataFrame:
    """The rows of an export, reasons and status in words.

    Parameters
    ----------
    rows : sequence of Row
    as_of : str
    words : Words
    wording : Wording
        In the same language.
    mask_ids : bool

    Returns
    -------
    pandas.DataFrame
        Columns named as in ``scores.parquet``.
    """
    data: dict[str, list[Any]] = {
        "rank": [r.rank for r in rows],
        "customer_id": [mask_id(r.customer_id) if mask_ids else r.customer_id for r in rows],
        "as_of_date": [as_of] * len(rows),
        "p_overdue": [r.p_overdue for r in rows],
        "tier": [wording.tier(r.tier) for r in rows],
        "next_due_date": [r.next_due_date.isoformat() if r.next_due_date else None for r in rows],
        "due_amount": [r.due_amount for r in rows],
        "expected_overdue_amount": [r.expected_overdue_amount for r in rows],
        "reminder_rank": [r.reminder_rank for r in rows],
        "status": [words.rule(r.status) if r.status else None for r in rows],
    }
    for i in range(REASONS):
        data[f"reason_{i + 1}"] = [
            reason_title(r.reasons[i], wording) if i < len(r.reasons) else None for r in rows
        ]
    frame = pd.DataFrame(data)
    return frame.astype({"reminder_rank": "Int64"})


def reason_title(code: str, wording: Wording) -> str:
    """A reason in words; one of the user's own features as its code says it."""
    return wording.title(code) if code in wording.reasons else code.replace("_", " ").capitalize()


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as CSV without formulas, with the mark by which spreadsheets know that it is UTF-8."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "export.csv"
        write_csv(frame, path)
        return b"\xef\xbb\xbf" + path.read_bytes()


def excel_bytes(frame: pd.DataFrame) -> bytes:
    """A frame as an Excel sheet in which every text is a text, never a formula.

    Raises
    ------
    ConfigError
        If the extra is not installed.
    """
    if not has_excel():
        raise ConfigError("Excel needs an extra package", next_step="pip install 'overdue_ml[excel]'")
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("overdue")
    sheet.freeze_panes = "A2"

    def cell(value: Any) -> Any:
        if value is None or value is pd.NA or value != value:
            return None
        if not isinstance(value, str):
            return value
        found = WriteOnlyCell(sheet, value=_ILLEGAL.sub("\ufffd", value)[:_MAX_CELL])
        # Else a text that begins with "=" would be a formula.
        found.data_type = "s"
        return found

    sheet.append([cell(name) for name in frame.columns])
    for values in frame.itertuples(index=False):
        sheet.append([cell(value) for value in values])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()
