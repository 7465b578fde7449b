"""``overdue-ml validate``: check records, write the rejected rows and the report."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.output import whole_folder, write_json, write_parquet
from overdue_ml.records import ValidationReport, find_remarks, load_records
from overdue_ml.records.validate import check_freshness
from overdue_ml.reports import render_validation

REPORT, PAGE = "report.json", "report.html"


def run_validate(
    source: Path, config: RecordsConfig, out: Path | None = None, as_of: dt.date | None = None
) -> ValidationReport:
    """Validate records.

    Parameters
    ----------
    source : Path
    config : RecordsConfig
    out : Path, optional
        Folder for ``report.json``, ``report.html`` and ``rejected/<table>.parquet``; an earlier one is
        replaced.
    as_of : datetime.date, optional
        Report, too, how old the newest event of each table is at the end of this day.

    Returns
    -------
    ValidationReport

    Raises
    ------
    RecordsError
        If the records cannot be read at all.
    ConfigError
        If ``out`` holds anything but an earlier validation.
    """
    if out is not None and out.is_dir() and any(out.iterdir()) and not (out / REPORT).is_file():
        raise ConfigError(
            "the folder holds other files, which would be removed",
            where=str(out),
            expected="a new or empty folder, or one that 'validate' wrote",
        )
    records = load_records(source, config, strict=False)
    report = replace(records.report, remarks=find_remarks(records.tables, config))
    if as_of is not None:
        report = check_freshness(report, records.tables, as_of, config.max_age_days)
    if out is not None:
        with whole_folder(out) as folder:
            write_json(report.to_dict(), folder / REPORT)
            (folder / PAGE).write_text(render_validation(report, source.resolve().name), encoding="utf-8")
            (folder / "rejected").mkdir()
            for name, table in records.rejected.items():
                if table.num_rows:
                    write_parquet(table, folder / "rejected" / f"{name}.parquet")
    return report
