"""How each column of a raw table is read: its text, whether it is empty, and its typed value, as SQL.

A typed source (Parquet, a database) says most of it by itself: then no cell is turned into text, and
a column that has the contract's own type is used as it stands. Text is made only of cells that come as
text, and of rows that are to be shown to a person.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import duckdb

from overdue_ml.errors import RecordsError
from overdue_ml.records.contracts import SQL_TYPE, Column, Table
from overdue_ml.records.mapping import quote_name

_SHORT_INTEGERS = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
}  # fmt: skip
_INTEGERS = _SHORT_INTEGERS | {"HUGEINT", "UHUGEINT"}
_FLOATS = {"DOUBLE", "FLOAT"}
_NUMBERS = _INTEGERS | _FLOATS | {"DECIMAL"}
_STAMPS = {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP_US"}
_ZONED = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"}
_READABLE: dict[str, set[str]] = {
    "id": {"VARCHAR", "UUID"} | _INTEGERS,
    "text": {"VARCHAR", "ENUM", "BOOLEAN"} | _NUMBERS,
    "date": {"VARCHAR", "DATE"} | _ZONED | _STAMPS,
    "amount": {"VARCHAR"} | _NUMBERS,
    "integer": {"VARCHAR"} | _NUMBERS,
    "boolean": {"VARCHAR", "BOOLEAN"} | _NUMBERS,
}
#: What DuckDB calls the type of a column that is null throughout.
_NO_TYPE = '"NULL"'
#: A decimal of no more digits is a whole number below 2**53 over a power of ten: its quotient is what
#: reading the digits gives.
_EXACT_DIGITS = 15


@dataclass(frozen=True)
class Cell:
    """How the cells of one column are read.

    Attributes
    ----------
    column : Column
    source : str
        The cell as it came, ``o_<position in the source>``.
    text, empty, value : str
        SQL over ``source``: the text it came as, whether nothing stands in it, the typed value (null where
        it cannot be read).
    is_native : bool
        The value is the cell itself, but for a text of nothing but blanks.
    is_parsed : bool
        The value is read from text, which is worth doing once only.
    keeps_order : bool
        Cells compare as their values do.
    """

    column: Column
    source: str
    text: str
    empty: str
    value: str
    is_native: bool = False
    is_parsed: bool = False
    keeps_order: bool = False

    @property
    def name(self) -> str:
        """The column's name in the contract."""
        return self.column.name


@dataclass(frozen=True)
class Layout:
    """The columns of one raw table: those of the contract, and all others with their ``o_<position>``."""

    table: Table
    cells: tuple[Cell, ...]
    extras: Mapping[str, str]
    positions: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the contract that are there."""
        return tuple(cell.name for cell in self.cells)

    @property
    def kind(self) -> str:
        """A table where values are read from text, which is worth doing once only, else a view."""
        return "TABLE" if any(cell.is_parsed for cell in self.cells) else "VIEW"

    def keeps_order(self, names: Collection[str]) -> bool:
        """Whether rows that stand in order of these columns as they came do so by their values."""
        return all(cell.keeps_order for cell in self.cells if cell.name in names)


def _base_type(duckdb_type: str) -> str:
    return re.split(r"[(\[]", duckdb_type, maxsplit=1)[0].strip()


def fitting_types(con: duckdb.DuckDBPyConnection, table: Table, types: Mapping[str, str]) -> dict[str, str]:
    """The types of a raw table, where a column without a single value is of none and so fits any.

    pandas makes floating numbers of what is empty throughout, dates and texts too.

    Parameters
    ----------
    con : duckdb connection
        Holds ``raw_<table>``.
    table : Table
    types : mapping of str to str
        The DuckDB type of each column of the source.
    """
    fitting = dict(types)
    for column in table.columns:
        base = _base_type(types.get(column.name, _NO_TYPE))
        is_foreign = base not in _READABLE[column.type] or (column.type == "text" and base in _FLOATS)
        if base == _NO_TYPE or not is_foreign:
            continue
        name = quote_name(column.name)
        empty = f"{name} IS NULL" + (f" OR isnan({name})" if base in _FLOATS else "")
        query = f'SELECT coalesce(bool_and({empty}), true) FROM "raw_{table.name}"'
        if con.sql(query).fetchall()[0][0]:
            fitting[column.name] = _NO_TYPE
    return fitting


def read_layout(table: Table, types: Mapping[str, str], timezone: str) -> Layout:
    """Decide how each column of a raw table is read.

    Parameters
    ----------
    table : Table
    types : mapping of str to str
        The DuckDB type of each column of the source.
    timezone : str
        Zone in which instants are cut to days.

    Raises
    ------
    RecordsError
        If a column is of a type that cannot be read as the contract's.
    """
    positions = {name: f"o_{i}" for i, name in enumerate(types)}
    cells = tuple(
        _cell(table.name, column, positions[column.name], types[column.name], timezone)
        for column in table.columns
        if column.name in types
    )
    known = {cell.name for cell in cells}
    return Layout(table, cells, {n: o for n, o in positions.items() if n not in known}, positions)


def create_cells(con: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Create ``cells``: columns as they came, typed values, and whether they are empty.

    Nothing is selected by a name from the source, so no name there can hide one of these.
    """
    source = ", ".join(f"{quote_name(name)} AS {place}" for name, place in layout.positions.items())
    values = ", ".join(f'{cell.value} AS "v_{cell.name}"' for cell in layout.cells)
    rows = f'SELECT {source} FROM "raw_{layout.table.name}"'
    con.execute(f"CREATE TEMP {layout.kind} typed AS SELECT *, {values} FROM ({rows})")
    empty = ", ".join(f'{cell.empty} AS "empty_{cell.name}"' for cell in layout.cells)
    con.execute(f"CREATE TEMP VIEW cells AS SELECT *, {empty} FROM typed")


def drop_cells(con: duckdb.DuckDBPyConnection, layout: Layout) -> None:
    """Let go of what :func:`create_cells` made, and of the memory it holds."""
    con.execute("DROP VIEW temp.cells")
    con.execute(f"DROP {layout.kind} temp.typed")


def _cell(table: str, column: Column, place: str, duckdb_type: str, timezone: str) -> Cell:
    base = _base_type(duckdb_type)
    if base == _NO_TYPE:
        return Cell(column, place, "CAST(NULL AS VARCHAR)", "true", f"CAST(NULL AS {SQL_TYPE[column.type]})")
    if base not in _READABLE[column.type]:
        reason = (
            "; as floating numbers long ids lose digits" if column.type == "id" and base in _FLOATS else ""
        )
        raise RecordsError(
            f"the column '{column.name}' is of type {duckdb_type}{reason}",
            where=f"table {table}",
            expected=f"{'text' if column.type == 'id' else column.type} or text that reads as such",
            next_step="convert the column and load again",
        )
    text = f"nullif(trim(CAST({place} AS VARCHAR)), '')"
    empty = f"({place} IS NULL)"
    if base == "VARCHAR":
        # What begins with a visible ASCII character is not blank: no need to trim it.
        visible = f"{place} >= '!' AND {place} < chr(127)"
        empty = f"CASE WHEN {visible} THEN false WHEN {place} IS NULL THEN true ELSE trim({place}) = '' END"
    elif base == "ENUM":
        empty = f"({text} IS NULL)"
    native = base == SQL_TYPE[column.type]
    if column.type in ("id", "text"):
        # Kept character by character: only a cell of nothing but blanks counts as empty.
        value = f"CASE WHEN NOT {empty} THEN CAST({place} AS VARCHAR) END"
        return Cell(column, place, text, empty, value, is_native=native, keeps_order=native)
    if native:
        return Cell(column, place, text, empty, place, is_native=True, keeps_order=True)
    value, parsed = _converted(column, place, duckdb_type, text, timezone)
    whole = column.type == "integer" and base in _SHORT_INTEGERS
    return Cell(column, place, text, empty, value, is_parsed=parsed, keeps_order=whole)


def _converted(column: Column, place: str, duckdb_type: str, text: str, timezone: str) -> tuple[str, bool]:
    """SQL for a value of another type than the source's, and whether it is read from text."""
    base = _base_type(duckdb_type)
    if column.type == "date":
        return _date_expression(place, base, text, timezone), base == "VARCHAR"
    if column.type == "boolean":
        return (
            f"CASE WHEN lower({text}) IN ('true', 't', '1', '1.0') THEN true "
            f"WHEN lower({text}) IN ('false', 'f', '0', '0.0') THEN false END"
        ), True
    decimal = re.fullmatch(r"DECIMAL\((\d+),\d+\)", duckdb_type)
    direct = base in _FLOATS | _SHORT_INTEGERS
    direct = direct or (decimal is not None and int(decimal.group(1)) <= _EXACT_DIGITS)
    if column.type == "integer" and base in _SHORT_INTEGERS:
        return f"TRY_CAST({place} AS INTEGER)", False
    # DuckDB reads 1_000 as 1000; a lender's export does not mean that.
    number = (
        f"CAST({place} AS DOUBLE)"
        if direct
        else f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({text} AS DOUBLE) END"
    )
    if column.type == "amount":
        return number, not direct
    # Whole numbers only: a plain cast would round 30.7 to 31.
    whole = f"CASE WHEN isfinite({number}) AND {number} = floor({number}) THEN {number} END"
    return f"TRY_CAST({whole} AS INTEGER)", not direct


def _date_expression(place: str, base: str, text: str, timezone: str) -> str:
    zone = timezone.replace("'", "''")
    if base in _STAMPS:
        return f"CAST({place} AS DATE)"
    if base in _ZONED:
        return f"CAST(CAST({place} AS TIMESTAMPTZ) AT TIME ZONE '{zone}' AS DATE)"
    # A written zone must be read as an instant first: midnight in Shanghai is the day before in UTC.
    # DuckDB would skip a zone's name (`Asia/Shanghai`) and roll 24:00 to the next day: neither matches.
    day = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
    clock = "[ T]([01][0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
    zoned = f"regexp_matches({text}, '^{day}{clock} ?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
    iso = f"regexp_matches({text}, '^{day}({clock})?$')"
    return (
        f"CASE WHEN {zoned} THEN CAST(TRY_CAST({text} AS TIMESTAMPTZ) AT TIME ZONE '{zone}' AS DATE) "
        f"WHEN {iso} THEN CAST(TRY_CAST({text} AS TIMESTAMP) AS DATE) END"
    )
