"""Cast, check and split raw tables into accepted and rejected rows, with counts for each rule."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records.contracts import CONTRACTS, SQL_TYPE, Column, Rule, Table, table_rules
from overdue_ml.records.mapping import quote_name

_KEYS_SHOWN = 5
_KEY_LENGTH_SHOWN = 60
_INTEGERS = {
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
}  # fmt: skip
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


@dataclass(frozen=True)
class RuleResult:
    """How one rule came out: rows checked, rows rejected, and the first keys that broke it."""

    table: str
    rule: str
    meaning: str
    rows_checked: int
    rows_rejected: int
    first_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableResult:
    """How many rows of a table came in, were accepted, and were rejected."""

    table: str
    rows: int
    accepted: int
    rejected: int

    @property
    def rejected_share(self) -> float:
        """Share of the rows that were rejected, 0 to 1."""
        return self.rejected / self.rows if self.rows else 0.0


@dataclass(frozen=True)
class FreshnessResult:
    """How old the newest event of a table is: a warning, never a rejection.

    Attributes
    ----------
    table, column : str
    newest : datetime.date or None
        The latest event up to the date asked for; None if there is none.
    age_days : int or None
    is_stale : bool
        Whether it is older than ``max_age_days``, or missing.
    """

    table: str
    column: str
    newest: dt.date | None
    age_days: int | None
    is_stale: bool


@dataclass(frozen=True)
class ValidationReport:
    """The outcome of every rule on every table.

    Attributes
    ----------
    tables : list of TableResult
    rules : list of RuleResult
    max_rejected_share : float
        The limit that was in force.
    as_of : datetime.date or None
        The date for which freshness was asked, if it was.
    max_age_days : int or None
        The age from which on a table is stale.
    freshness : list of FreshnessResult
        One for each table whose events come regularly; empty without ``as_of``.
    """

    max_rejected_share: float
    tables: list[TableResult] = field(default_factory=list)
    rules: list[RuleResult] = field(default_factory=list)
    as_of: dt.date | None = None
    max_age_days: int | None = None
    freshness: list[FreshnessResult] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every table stayed within the limit of rejected rows."""
        return all(t.accepted > 0 and t.rejected_share <= self.max_rejected_share for t in self.tables)

    def to_frame(self) -> pd.DataFrame:
        """One row a rule: table, rule, meaning, rows_checked, rows_rejected, first_keys."""
        return pd.DataFrame([asdict(rule) for rule in self.rules])

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "passed": self.passed,
            "max_rejected_share": self.max_rejected_share,
            "tables": [asdict(t) | {"rejected_share": t.rejected_share} for t in self.tables],
            "rules": [asdict(r) | {"first_keys": list(r.first_keys)} for r in self.rules],
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "max_age_days": self.max_age_days,
            "freshness": [
                asdict(f) | {"newest": None if f.newest is None else f.newest.isoformat()}
                for f in self.freshness
            ],
        }

    def raise_if_failed(self) -> None:
        """Stop on the first table with too many rejected rows.

        Raises
        ------
        RecordsError
            With the counts and the first keys of the rules that were broken.
        """
        for table in self.tables:
            if table.accepted > 0 and table.rejected_share <= self.max_rejected_share:
                continue
            broken = [r for r in self.rules if r.table == table.table and r.rows_rejected]
            broken.sort(key=lambda r: -r.rows_rejected)
            named = "; ".join(
                f"{r.rule} {r.rows_rejected} (first: {', '.join(_clip(k) for k in r.first_keys[:3])})"
                for r in broken[:3]
            )
            raise RecordsError(
                f"{table.rejected} of {table.rows} rows of '{table.table}' were rejected "
                f"({table.rejected_share:.2%}, limit {self.max_rejected_share:.2%}): {named}",
                next_step="run 'overdue-ml validate' for the full report and the rejected rows",
            )


def _clip(key: str) -> str:
    return key if len(key) <= _KEY_LENGTH_SHOWN else key[:_KEY_LENGTH_SHOWN] + "..."


def _base_type(duckdb_type: str) -> str:
    return re.split(r"[(\[]", duckdb_type, maxsplit=1)[0].strip()


def _expressions(table: str, column: Column, duckdb_type: str, timezone: str) -> tuple[str, str]:
    """SQL for the text a cell came as and for its typed value (null where it cannot be read)."""
    name, base = f'"{column.name}"', _base_type(duckdb_type)
    if base == '"NULL"':
        return "CAST(NULL AS VARCHAR)", f"CAST(NULL AS {SQL_TYPE[column.type]})"
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
    text = f"nullif(trim(CAST({name} AS VARCHAR)), '')"
    if column.type in ("id", "text"):
        # Kept character by character: only a cell of nothing but blanks counts as empty.
        return text, f"CASE WHEN {text} IS NOT NULL THEN CAST({name} AS VARCHAR) END"
    if column.type == "date":
        return text, _date_expression(name, base, text, timezone)
    # DuckDB reads 1_000 as 1000; a lender's export does not mean that.
    number = (
        name
        if base in _FLOATS
        else f"CASE WHEN NOT contains({text}, '_') THEN TRY_CAST({text} AS DOUBLE) END"
    )
    if column.type == "amount":
        return text, f"CAST({number} AS DOUBLE)"
    if column.type == "integer":
        # Whole numbers only: a plain cast would round 30.7 to 31.
        whole = f"CASE WHEN isfinite({number}) AND {number} = floor({number}) THEN {number} END"
        return text, f"TRY_CAST({whole} AS INTEGER)"
    if base == "BOOLEAN":
        return text, name
    return text, (
        f"CASE WHEN lower({text}) IN ('true', 't', '1', '1.0') THEN true "
        f"WHEN lower({text}) IN ('false', 'f', '0', '0.0') THEN false END"
    )


def _date_expression(name: str, base: str, text: str, timezone: str) -> str:
    zone = timezone.replace("'", "''")
    if base == "DATE":
        return name
    if base in _STAMPS:
        return f"CAST({name} AS DATE)"
    if base in _ZONED:
        return f"CAST(CAST({name} AS TIMESTAMPTZ) AT TIME ZONE '{zone}' AS DATE)"
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


def _present_columns(con: duckdb.DuckDBPyConnection, table: Table) -> dict[str, str]:
    rows = con.execute(f'DESCRIBE "raw_{table.name}"').fetchall()
    types = {str(row[0]): str(row[1]) for row in rows}
    for column in table.columns:
        if column.required and column.name not in types:
            extra = [name for name in types if name not in {c.name for c in table.columns}]
            folded = {name.casefold(): name for name in extra}
            near = difflib.get_close_matches(column.name, list(folded), n=1, cutoff=0.5)
            hint = f"add the column '{column.name}'"
            if near:
                hint = f"rename '{folded[near[0]]}' to '{column.name}'"
            hint += ", or map it in the records config ('overdue-ml validate --suggest' proposes how)"
            raise RecordsError(
                f"the column '{column.name}' is missing",
                where=f"table {table.name}; it has {', '.join(types) or 'no columns'}",
                next_step=hint,
            )
    return types


def validate_table(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    config: RecordsConfig,
    loaded: set[str],
    report: ValidationReport,
) -> tuple[pa.Table, pa.Table]:
    """Check one staged table; leave the accepted rows in ``con`` under the table's name.

    Parameters
    ----------
    con : duckdb connection
        Holds ``raw_<table>`` and the accepted tables so far.
    table : Table
    config : RecordsConfig
    loaded : set of str
        Accepted tables that references may point to.
    report : ValidationReport
        Receives this table's results.

    Returns
    -------
    accepted : pyarrow.Table
        Typed rows sorted by key, or by all columns where there is none.
    rejected : pyarrow.Table
        The broken rows as they came, with a ``rule`` column.

    Raises
    ------
    RecordsError
        If the table has no rows or a column is missing or of an unusable type.
    """
    types = _present_columns(con, table)
    declared = [c for c in table.columns if c.name in types]
    extras = [name for name in types if name not in {c.name for c in declared}]
    taken = next((name for name in extras if name.casefold() == "rule"), None)
    if taken is not None:
        raise RecordsError(
            f"'{taken}' is the name of the column that rejected rows get",
            where=f"table {table.name}",
            next_step="give the column another name",
        )
    rules = table_rules(table, {c.name for c in declared}, loaded)
    _stage_checked(con, table, declared, types, rules, config.timezone)
    counts = con.execute(
        "SELECT count(*), count(*) FILTER (WHERE copy > 1 OR len(broken) > 0), "
        "count(*) FILTER (WHERE copy > 1), "
        + ", ".join(f"count(*) FILTER (WHERE list_contains(broken, '{r.name}'))" for r in rules)
        + " FROM checked"
    ).fetchall()[0]
    rows, rejected_rows, repeated = (int(n) for n in counts[:3])
    if rows == 0:
        raise RecordsError("the table has no rows", where=f"table {table.name}", next_step="export it again")
    naming = table.naming(types)
    report.tables.append(TableResult(table.name, rows, rows - rejected_rows, rejected_rows))
    for rule, count in zip(rules, counts[3:], strict=True):
        keys = _first_keys(con, naming, f"list_contains(broken, '{rule.name}')") if count else ()
        report.rules.append(RuleResult(table.name, rule.name, rule.meaning, rows, int(count), keys))
    keys = _first_keys(con, naming, "copy > 1") if repeated else ()
    if table.key_in(types):
        report.rules.append(
            RuleResult(table.name, "row_repeated", "no row stands twice to the letter", rows, repeated, keys)
        )
    return _split(con, table, declared, extras)


def _stage_checked(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    declared: list[Column],
    types: dict[str, str],
    rules: list[Rule],
    timezone: str,
) -> None:
    """Create ``checked``: raw text, typed values, extra columns by number, copy number, broken rules.

    Nothing is selected by a name from the source, so no name there can hide one of these.
    """
    pairs = {c.name: _expressions(table.name, c, types[c.name], timezone) for c in declared}
    cells = ", ".join(f'{raw} AS "raw_{n}", {value} AS "v_{n}"' for n, (raw, value) in pairs.items())
    extras = [name for name in types if name not in pairs]
    cells += "".join(f", {quote_name(name)} AS x_{i}" for i, name in enumerate(extras))
    same = ", ".join(quote_name(name) for name in types)
    # A key is a duplicate only among rows that differ: letter-for-letter copies are `row_repeated`.
    copy = f"row_number() OVER (PARTITION BY {same})" if table.key_in(pairs) else "1"
    if table.key_in(pairs) and table.optional_key():
        named = " AND ".join(f"{pairs[name][1]} IS NOT NULL" for name in table.optional_key())
        copy = f"CASE WHEN {named} THEN {copy} ELSE 1 END"
    tests = ", ".join(f"CASE WHEN {_among_first_copies(r.broken)} THEN '{r.name}' END" for r in rules)
    try:
        con.execute(
            f"""CREATE OR REPLACE TEMP TABLE checked AS
            WITH copies AS (
                SELECT {cells}, {copy} AS copy FROM "raw_{table.name}"
            )
            SELECT *, CASE WHEN copy > 1 THEN []
                ELSE list_filter([{tests}], lambda x: x IS NOT NULL) END AS broken
            FROM copies"""
        )
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException):
        raise
    except duckdb.Error as error:
        # Arrow tables and DuckDB files are first scanned here.
        raise RecordsError(
            f"the rows cannot be read: {' '.join(str(error).split())[:160]}",
            where=f"table {table.name}",
            next_step="export the table again",
        ) from error


def _among_first_copies(predicate: str) -> str:
    return predicate.replace("count(*) OVER", "count(*) FILTER (WHERE copy = 1) OVER")


def _first_keys(con: duckdb.DuckDBPyConnection, names: tuple[str, ...], where: str) -> tuple[str, ...]:
    key = " || ' ' || ".join(f"coalesce(\"raw_{name}\", '(empty)')" for name in names)
    rows = con.execute(
        f"SELECT DISTINCT {key} AS k FROM checked WHERE {where} ORDER BY k LIMIT {_KEYS_SHOWN}"
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def _split(
    con: duckdb.DuckDBPyConnection, table: Table, declared: list[Column], extras: list[str]
) -> tuple[pa.Table, pa.Table]:
    typed = ", ".join(f'"v_{c.name}" AS "{c.name}"' for c in declared)
    plain = "".join(f", x_{i} AS {quote_name(name)}" for i, name in enumerate(extras))
    names = [c.name for c in declared]
    sort = [f'"v_{name}"' for name in dict.fromkeys([*table.naming(names), *names])]
    if not table.key_in(names) or table.optional_key():
        # Rows that no key tells apart may differ in extra columns alone.
        sort += [f"x_{i}" for i in range(len(extras))]
    order = ", ".join(sort)
    accepted = con.sql(
        f"SELECT {typed}{plain} FROM checked WHERE copy = 1 AND len(broken) = 0 ORDER BY {order}"
    ).to_arrow_table()
    raw = ", ".join(f'"raw_{c.name}" AS "{c.name}"' for c in declared)
    rejected = con.sql(
        f"SELECT {raw}{plain}, CASE WHEN copy > 1 THEN 'row_repeated' "
        "ELSE array_to_string(broken, '; ') END AS rule "
        f"FROM checked WHERE copy > 1 OR len(broken) > 0 ORDER BY ALL"
    ).to_arrow_table()
    con.register(table.name, accepted)
    return accepted, rejected


def check_freshness(
    report: ValidationReport, tables: Mapping[str, pa.Table], as_of: dt.date, max_age_days: int
) -> ValidationReport:
    """Look how old the newest event of each table is at the end of ``as_of``.

    Parameters
    ----------
    report : ValidationReport
    tables : mapping of str to pyarrow.Table
        Accepted rows.
    as_of : datetime.date
    max_age_days : int

    Returns
    -------
    ValidationReport
        The same with the freshness of each table whose contract names an event date.
    """
    found = []
    for name, table in CONTRACTS.items():
        if name not in tables or table.event is None:
            continue
        days = tables[name].column(table.event)
        # Dates to come say nothing about how far the records reach.
        newest = pc.max(days.filter(pc.less_equal(days, pa.scalar(as_of, pa.date32())))).as_py()
        age = None if newest is None else (as_of - newest).days
        found.append(FreshnessResult(name, table.event, newest, age, age is None or age > max_age_days))
    return replace(report, as_of=as_of, max_age_days=max_age_days, freshness=found)


def ordered_tables(names: list[str]) -> list[Table]:
    """Contracts of the named tables, referred-to tables first."""
    return [table for name, table in CONTRACTS.items() if name in names]
