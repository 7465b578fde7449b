"""A report as a page and, beside it, its tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from overdue_ml.errors import ConfigError
from overdue_ml.jobs.output import refuse_file, whole_folder, write_csv, write_parquet
from overdue_ml.jobs.places import written_to

_ENDINGS = (".html", ".htm")


def write_page(page: str, tables: Mapping[str, pd.DataFrame], path: Path) -> Path:
    """Write a page whole or not at all, and before it the tables that it shows.

    Parameters
    ----------
    page : str
        HTML.
    tables : mapping of str to pandas.DataFrame
        Each becomes a Parquet and a CSV file of its name.
    path : Path
        Its name ends in ``.html``, or in ``.htm``.

    Returns
    -------
    Path
        The folder of the tables, beside the page and of its name: ``book_tables`` for ``book.html``.

    Raises
    ------
    ConfigError
        If the name is no page's, or a folder stands in its place, or a file in that of a folder.
    ResourceError
        If the place cannot be written.
    """
    _check_place(path)
    # Each page has tables of its own, whatever pages lie beside it.
    beside = path.with_name(f"{path.stem if path.suffix == _ENDINGS[0] else path.name}_tables")
    with whole_folder(beside) as folder:
        for name, table in tables.items():
            write_parquet(table, folder / f"{name}.parquet")
            write_csv(table, folder / f"{name}.csv")
    part = path.with_name(f".{path.name}.part")
    with written_to(path):
        try:
            part.write_text(page, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return beside


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise ConfigError("a folder stands there", where=str(path), expected="the name of an HTML file")
    if path.suffix.lower() not in _ENDINGS:
        raise ConfigError(
            f"'{path.name}' is not the name of a page", where=str(path), expected="a name that ends in .html"
        )
    refuse_file(path.parent)
