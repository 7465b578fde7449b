"""``overdue-ml validate``: check records, write the rejected rows and the report."""

from __future__ import annotations

from pathlib import Path

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.output import whole_folder, write_json, write_parquet
from overdue_ml.records import ValidationReport, load_records

REPORT = "report.json"


def run_validate(source: Path, config: RecordsConfig, out: Path | None = None) -> ValidationReport:
    """Validate records.

    Parameters
    ----------
    source : Path
    config : RecordsConfig
    out : Path, optional
        Folder for ``report.json`` and ``rejected/<table>.parquet``; an earlier one is replaced.

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
    if out is not None:
        with whole_folder(out) as folder:
            write_json(records.report.to_dict(), folder / REPORT)
            (folder / "rejected").mkdir()
            for name, table in records.rejected.items():
                if table.num_rows:
                    write_parquet(table, folder / "rejected" / f"{name}.parquet")
    return records.report
