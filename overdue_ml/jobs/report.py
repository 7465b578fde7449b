"""``overdue-ml report``: the aged book of a date as a page and as tables."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overdue_ml.config import RecordsConfig
from overdue_ml.jobs.pages import write_page
from overdue_ml.jobs.progress import Progress, Silent
from overdue_ml.jobs.text import table_text
from overdue_ml.monitoring import AgedBook, compute_book
from overdue_ml.records import Records, load_records
from overdue_ml.reports import render_book


@dataclass(frozen=True)
class BookQuestion:
    """What is asked of the book.

    Parameters
    ----------
    months : int
        Month ends before the date.
    by : sequence of str, optional
        Columns of ``accounts`` or ``customers``.
    fpd_days : int
        From how many days on a first due is a default.
    """

    months: int = 12
    by: Sequence[str] | None = None
    fpd_days: int = 30


@dataclass(frozen=True)
class ReportResult:
    """The book, its page, and the folder of its tables."""

    book: AgedBook
    page: Path
    tables: Path


def run_report(
    source: Path | Records,
    as_of: dt.date,
    out: Path | None = None,
    lang: str = "en",
    *,
    question: BookQuestion | None = None,
    config: RecordsConfig | None = None,
    progress: Progress | None = None,
) -> ReportResult:
    """Age a book and write its page and, in a folder beside it, its tables as CSV and Parquet.

    Parameters
    ----------
    source : Path or Records
    as_of : datetime.date
    out : Path, optional
        HTML file; by default ``out/book_<date>.html``.
    lang : {'en', 'zh'}
    question : BookQuestion, optional
    config : RecordsConfig, optional
        How records are read from a path.
    progress : Progress, optional

    Returns
    -------
    ReportResult

    Raises
    ------
    ConfigError
        If a column or the language is unknown, or a number out of range.
    NothingToScoreError
        If no account was in the book on the date.
    RecordsError
        If the records are bad, or have neither statements nor instalments.
    ResourceError
        If the output cannot be written.
    """
    progress, asked = progress or Silent(), question or BookQuestion()
    progress.stage("reading records")
    records = source if isinstance(source, Records) else load_records(source, config)
    progress.stage("ageing the book")
    book = compute_book(records, as_of, months=asked.months, by=asked.by, fpd_days=asked.fpd_days)
    page = render_book(book, lang)
    path = out or Path("out") / f"book_{as_of.isoformat()}.html"
    tables = write_page(page, book.tables(), path)
    return ReportResult(book, path, tables)


def report_text(result: ReportResult) -> str:
    """The buckets of the date, then the files."""
    book = result.book
    here = book.ageing[book.ageing["as_of_date"] == book.as_of]
    rows = [
        [str(row["bucket"]), f"{row['accounts']:,}", f"{row['count_share']:.1%}", f"{row['amount']:,.0f}",
         f"{row['amount_share']:.1%}" if math.isfinite(row["amount_share"]) else ""]
        for row in here.to_dict("records")
    ]  # fmt: skip
    header = ["days past due", "accounts", "share", "amount", "share of amount"]
    return "\n".join(
        [
            f"The book as known at the end of {book.as_of}:",
            table_text(rows, header, {1, 2, 3, 4}),
            "",
            str(result.page),
            str(result.tables),
        ]
    )


def report_json(result: ReportResult) -> dict[str, Any]:
    """The files and all tables as plain data; what cannot be told is null."""
    tables = {
        name: table.astype(object).where(table.notna(), None).to_dict("records")
        for name, table in result.book.tables().items()
    }
    return {
        "as_of": result.book.as_of.isoformat(),
        "page": str(result.page),
        "tables_folder": str(result.tables),
        "tables": tables,
    }
