"""The verb about the book as it stands: no model is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from overdue_ml.cli.common import (
    JsonArg,
    LangArg,
    RecordsArg,
    RecordsConfigArg,
    app,
    print_json,
    progress_on,
)


@app.command()
def report(
    records: RecordsArg,
    as_of: Annotated[str, typer.Option("--as-of", help="YYYY-MM-DD: what was known at the end of that day.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="HTML file; tables go to a folder beside it.")
    ] = None,
    lang: LangArg = "en",
    by: Annotated[
        str | None,
        typer.Option("--by", help="Columns of accounts or customers, as product,region; default: product."),
    ] = None,
    months: Annotated[int, typer.Option("--months", help="Month ends before the date.")] = 12,
    fpd_days: Annotated[
        int, typer.Option("--fpd-days", help="A first due later than this is a first-payment default.")
    ] = 30,
    records_config: RecordsConfigArg = None,
    as_json: JsonArg = False,
) -> None:
    """Age the book: buckets, growth, roll rates, cures, vintages, first-payment default."""
    from overdue_ml.config import RecordsConfig, load_config
    from overdue_ml.jobs.report import BookQuestion, report_json, report_text, run_report
    from overdue_ml.records.dates import parse_date

    day, settings = parse_date(as_of, "--as-of"), load_config(RecordsConfig, records_config)
    columns = None if by is None else [name.strip() for name in by.split(",") if name.strip()]
    question = BookQuestion(months, columns, fpd_days)
    with progress_on(as_json) as progress:
        result = run_report(records, day, out, lang, question=question, config=settings, progress=progress)
    if as_json:
        print_json(report_json(result))
    else:
        typer.echo(report_text(result))
