"""A report as a page and, beside it, its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from overdue_ml.jobs.output import whole_folder, write_csv, write_parquet
from overdue_ml.jobs.places import written_to


def write_page(page: str, tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Write a page whole or not at all, and before it the tables that it shows.

    Parameters
    ----------
    page : str
        HTML.
    tables : mapping of str to pandas.DataFrame
        Each becomes a Parquet and a CSV file of its name.
    path : Path

    Returns
    -------
    Path
        The folder of the tables: ``<name of the page>_tables`` beside it.

    Raises
    ------
    ResourceError
        If the place cannot be written.
    """
    beside = path.with_name(f"{path.stem}_tables")
    with whole_folder(beside) as folder:
        for name, table in tables.items():
            write_parquet(table, folder / f"{name}.parquet")
            write_csv(table, folder / f"{name}.csv")
    part = path.with_name(f".{path.name}.part")
    with written_to(path):
        part.write_text(page, encoding="utf-8")
        part.replace(path)
    return beside
