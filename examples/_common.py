"""What the three converters share: reading a source file, accounting for its rows, writing, the report."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from overdue_ml import OverdueMLError, Records, RecordsConfig, load_records
from overdue_ml.errors import RecordsError

_ZONED = r"(?:Z|[+-]\d{2}(?::?\d{2})?)$"


@dataclass
class Conversion:
    """Tables of the contract, and where every row of the source went.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
        The tables that ``load_records`` takes.
    rows_read : dict of str to int
        Rows of each source file.
    rows_used : dict of str to int
        Rows of each source file that stand in a table.
    left_out : dict of str to dict of str to int
        For each source file the rows that stand in no table, by reason.
    changed : dict of str to int
        Values (not rows) that were blanked, derived or merged, by what was done.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    rows_read: dict[str, int] = field(default_factory=dict)
    rows_used: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def account_for(self, file: str, read: int, used: int, left_out: dict[str, int] | None = None) -> None:
        """Write down where the rows of one source file went.

        Parameters
        ----------
        file : str
        read, used : int
            Rows of the file, and how many of them stand in a table.
        left_out : dict of str to int, optional
            The others, by reason; reasons without a row are not kept.

        Raises
        ------
        RecordsError
            If the numbers do not add up: a row would have vanished.
        """
        reasons = {reason: count for reason, count in (left_out or {}).items() if count}
        if read != used + sum(reasons.values()):
            raise RecordsError(
                f"{read} rows were read, but {used} used and {sum(reasons.values())} left out",
                where=file,
                expected="every row in a table or under a reason",
            )
        self.rows_read[file], self.rows_used[file], self.left_out[file] = read, used, reasons


def read_table(path: Path, columns: Sequence[str], missing: Sequence[str] = ("",)) -> pd.DataFrame:
    """Read a CSV as text, with or without a byte order mark.

    Text keeps ids as they are and leaves it to the caller what an empty cell means.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Columns that must be there; only these are returned.
    missing : sequence of str
        Cells that mean "no value".

    Returns
    -------
    pandas.DataFrame
        Strings, with missing values where a cell was empty.

    Raises
    ------
    RecordsError
        If the file or a column is missing.
    """
    if not path.is_file():
        raise RecordsError("a file of the source is missing", where=path.name, expected="the unpacked source")
    frame = pd.read_csv(
        path, dtype="str", encoding="utf-8-sig", keep_default_na=False, na_values=list(missing)
    )
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise RecordsError(
            f"the column '{absent[0]}' is missing", where=path.name, expected=", ".join(columns)
        )
    return frame[list(columns)]


def to_numbers(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The frame with these columns as float64; a cell that is no number is an error, not a blank.

    Raises
    ------
    RecordsError
        Naming the column and the first such cell.
    """
    result = frame.copy()
    for name in columns:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        broken = frame[name].notna() & numbers.isna()
        if broken.any():
            raise RecordsError(f"'{frame[name][broken].iloc[0]}' is not a number", where=name)
        result[name] = numbers.astype("float64")
    return result


def to_days(stamps: pd.Series, timezone: str) -> pd.Series:
    """Calendar days of stamps as text.

    Parameters
    ----------
    stamps : pandas.Series of str
        ``2019-03-31``, ``2019-03-31 13:33:05`` or, with a zone, ``2019-03-31T13:33:05Z``.
    timezone : str
        The lender's IANA zone: stamps with a zone are cut to days there. Stamps without one are cut as
        they stand.

    Returns
    -------
    pandas.Series of datetime64
        At midnight, without a zone; missing where the stamp is.

    Raises
    ------
    RecordsError
        If a stamp cannot be read.
    """
    zoned = stamps.str.contains(_ZONED, regex=True, na=False)
    # A bare date ends like an offset: 2019-03-31 is no time in the zone -31.
    zoned &= stamps.str.len() > len("2019-03-31")
    try:
        plain = pd.to_datetime(stamps.where(~zoned), format="ISO8601").dt.normalize()
        instants = pd.to_datetime(stamps.where(zoned), format="ISO8601", utc=True)
    except ValueError as error:
        raise RecordsError(str(error), where=str(stamps.name), expected="YYYY-MM-DD hh:mm:ss") from error
    local = instants.dt.tz_convert(timezone).dt.tz_localize(None).dt.normalize()
    return plain.astype("datetime64[us]").fillna(local.astype("datetime64[us]"))


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write ``<table>.parquet`` for each table, with page checksums, dates as dates.

    Parameters
    ----------
    tables : dict of str to pandas.DataFrame
    folder : Path
        Made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        fields = [
            pa.field(item.name, pa.date32() if pa.types.is_timestamp(item.type) else item.type)
            for item in table.schema
        ]
        partial = folder / f"{name}.parquet.partial"
        pq.write_table(table.cast(pa.schema(fields)), partial, compression="zstd", write_page_checksum=True)
        partial.replace(folder / f"{name}.parquet")


def describe(conversion: Conversion, records: Records) -> str:
    """The report: rows of each source file, rows left out and rejected, and why."""
    lines = ["source file: rows read, rows that stand in a table"]
    for file, read in conversion.rows_read.items():
        lines.append(f"  {file}: {read:,}, {conversion.rows_used[file]:,}")
        lines += [f"    left out {n:,}: {reason}" for reason, n in conversion.left_out[file].items()]
    lines += [f"  values changed {n:,}: {what}" for what, n in conversion.changed.items()]
    lines.append("table: rows in, accepted, rejected")
    for result in records.report.tables:
        lines.append(f"  {result.table}: {result.rows:,}, {result.accepted:,}, {result.rejected:,}")
    broken = [rule for rule in records.report.rules if rule.rows_rejected]
    lines += [f"  rejected {r.rows_rejected:,} of {r.table}: {r.rule}" for r in broken]
    return "\n".join(lines)


def run(
    convert: Callable[[Path], Conversion],
    config: RecordsConfig,
    arguments: Sequence[str] | None = None,
) -> int:
    """A converter's command line: ``--data FOLDER --out FOLDER``.

    Parameters
    ----------
    convert : callable
        From the folder of the source to the tables and counts.
    config : RecordsConfig
        How the written tables are read.
    arguments : sequence of str, optional
        Instead of the command line's.

    Returns
    -------
    int
        0, or the exit code of the error that it printed.
    """
    parser = argparse.ArgumentParser(description="Convert a public set to the tables of overdue_ml.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked source")
    parser.add_argument("--out", type=Path, required=True, help="folder for the Parquet tables")
    options = parser.parse_args(arguments)
    try:
        conversion = convert(options.data)
        write_tables(conversion.tables, options.out)
        records = load_records(options.out, config, strict=False)
        print(describe(conversion, records))
        records.report.raise_if_failed()
    except OverdueMLError as error:
        print(f"error: {error}")
        return error.exit_code
    return 0
