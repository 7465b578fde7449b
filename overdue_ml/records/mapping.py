"""A lender's own names and forms, as the records config declares them, turned into the contract's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import duckdb

from overdue_ml.config import ColumnMapping, RecordsConfig, TableMapping
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.records.contracts import CONTRACTS

_DATED = ("DATE", "TIMESTAMP")
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "U")


def quote_name(name: str) -> str:
    """A column name as a SQL identifier, whatever stands in it."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text as a SQL literal, whatever stands in it."""
    return "'" + text.replace("'", "''") + "'"


def check_mapping(config: RecordsConfig) -> None:
    """Hold the declared mapping against the contracts, before anything is read.

    Parameters
    ----------
    config : RecordsConfig

    Raises
    ------
    ConfigError
        Naming the table or column that no contract has, or a reading that does not fit its type.
    """
    for name, table in config.mapping.items():
        if name not in CONTRACTS:
            raise _unknown(name, CONTRACTS, f"mapping.{name}", "table")
        types: dict[str, str] = {c.name: c.type for c in CONTRACTS[name].columns}
        if name == "customers":
            types |= dict.fromkeys([*config.attributes, *config.protected], "text")
        for ours, cell in table.columns.items():
            where = f"mapping.{name}.columns.{ours}"
            if ours not in types:
                raise _no_column(name, ours, types, config, where)
            if cell.date_format is not None and types[ours] != "date":
                raise ConfigError(f"'{ours}' is no date, so it has no date_format", where=where)
            if cell.scale is not None and types[ours] not in ("amount", "integer"):
                raise ConfigError(f"'{ours}' is no number, so it has no scale", where=where)
            if cell.values and types[ours] == "id":
                raise ConfigError(f"'{ours}' is an id and stays character by character", where=where)


def _unknown(name: str, known: Iterable[str], where: str, kind: str) -> ConfigError:
    near = difflib.get_close_matches(name, list(known), n=1)
    return ConfigError(
        f"'{name}' is not a {kind} of the contract",
        where=where,
        expected=f"one of {', '.join(known)}",
        next_step=f"did you mean '{near[0]}'" if near else None,
    )


def _no_column(table: str, name: str, known: Iterable[str], config: RecordsConfig, where: str) -> ConfigError:
    # Protected columns are the lender's own: 'region' is not a misspelt 'religion'.
    near = difflib.get_close_matches(name, [n for n in known if n not in config.protected], n=1)
    steps = [f"did you mean '{near[0]}'"] if near else []
    steps.append("leave it out, as columns that are not mapped pass through under their own name")
    if table == "customers":
        steps[-1] += f", or list '{name}' under 'attributes' in the records config"
    return ConfigError(
        f"'{name}' is not a column of the contract",
        where=where,
        expected=f"one of {', '.join(known)}",
        next_step="; if not, ".join(steps),
    )


def create_raw_view(con: duckdb.DuckDBPyConnection, name: str, mapping: TableMapping | None) -> None:
    """Create the view ``raw_<name>`` over ``unmapped_<name>``: mapped columns first, then all others.

    A column of the source that bears the name of a mapped one is left out: the mapping says where that
    column comes from. A cell that cannot be read as declared keeps its text, to be rejected with it.

    Parameters
    ----------
    con : duckdb connection
    name : str
        The contract's table.
    mapping : TableMapping or None

    Raises
    ------
    RecordsError
        If the source lacks a column that the mapping names, or its type does not fit.
    """
    cells = ["*"]
    if mapping is not None and mapping.columns:
        rows = con.execute(f'DESCRIBE "unmapped_{name}"').fetchall()
        types = {str(row[0]): str(row[1]) for row in rows}
        cells = [
            f"{_cell_sql(cell, types, f'mapping.{name}.columns.{ours}')} AS {quote_name(ours)}"
            for ours, cell in mapping.columns.items()
        ]
        used = {cell.column for cell in mapping.columns.values()}
        named = {ours.casefold() for ours in mapping.columns}
        cells += [quote_name(n) for n in types if n not in used and n.casefold() not in named]
    con.execute(f'CREATE OR REPLACE VIEW "raw_{name}" AS SELECT {", ".join(cells)} FROM "unmapped_{name}"')


def drop_raw_view(con: duckdb.DuckDBPyConnection, name: str) -> None:
    """Drop ``raw_<name>`` and what it was made over, and let go of the memory."""
    con.execute(f'DROP VIEW "raw_{name}"')
    con.unregister(f"unmapped_{name}")
    kinds = con.execute(
        "SELECT table_type FROM information_schema.tables WHERE table_name = ?", [f"unmapped_{name}"]
    ).fetchall()
    for (kind,) in kinds:
        con.execute(f'DROP {"VIEW" if kind == "VIEW" else "TABLE"} "unmapped_{name}"')


def _cell_sql(cell: ColumnMapping, types: dict[str, str], where: str) -> str:
    if cell.column not in types:
        folded = {name.casefold(): name for name in types}
        near = difflib.get_close_matches(cell.column.casefold(), list(folded), n=1)
        raise RecordsError(
            f"the column '{cell.column}' is missing",
            where=f"{where}; the source has {', '.join(types)}",
            next_step=f"did you mean '{folded[near[0]]}'" if near else "mend the mapping",
        )
    value, kind = quote_name(cell.column), types[cell.column]
    if cell.date_format is not None and kind.startswith(_DATED):
        raise RecordsError(
            f"the column '{cell.column}' is of type {kind}, which needs no date_format",
            where=where,
            next_step="take date_format away",
        )
    text = f"CAST({value} AS VARCHAR)"
    if cell.values:
        whens = " ".join(f"WHEN {quote_text(k)} THEN {quote_text(v)}" for k, v in cell.values.items())
        value = text = f"CASE trim({text}) {whens} ELSE {text} END"
        kind = "VARCHAR"
    if cell.date_format is not None:
        return _date_sql(text, cell.date_format)
    if cell.scale is not None:
        return _scaled_sql(value, text, cell.scale, kind)
    return value


def _date_sql(text: str, date_format: str) -> str:
    day = f"strftime(try_strptime(trim({text}), {quote_text(date_format)}), '%Y-%m-%d')"
    # A cell in another form says so, lest it be read by the contract's own form after all.
    other = f"{text} || {quote_text(f' (not {date_format})')}"
    return f"CASE WHEN trim({text}) <> '' THEN coalesce({day}, {other}) END"


def _scaled_sql(value: str, text: str, scale: float, kind: str) -> str:
    # 1999 * 0.01 is 19.990000000000002, 1999 / 100 is 19.99.
    inverse = round(1 / scale) if abs(scale) < 1 else 0
    factor = f"/ {float(inverse)!r}" if inverse and 1 / inverse == scale else f"* {scale!r}"
    if kind.startswith(_NUMBERS):
        return f"(CAST({value} AS DOUBLE) {factor})"
    # DuckDB reads 1_000 as 1000; the contract does not.
    number = f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST(trim({text}) AS DOUBLE) END"
    return f"coalesce(CAST(({number}) {factor} AS VARCHAR), {text})"
