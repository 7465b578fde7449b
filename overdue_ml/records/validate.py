"""Cast, check and split raw tables into accepted and rejected rows, with counts for each rule."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RecordsConfig
from overdue_ml.errors import RecordsError
from overdue_ml.records._cells import Layout, create_cells, drop_cells, fitting_types, read_layout
from overdue_ml.records._order import in_order
from overdue_ml.records.contracts import CONTRACTS, Rule, Table, key_cells, table_rules
from overdue_ml.records.mapping import quote_name
from overdue_ml.records.remarks import Remark
from overdue_ml.records.sources import Staged

_KEYS_SHOWN = 5
_KEY_LENGTH_SHOWN = 60
_REJECTED = "copy > 1 OR len(broken) > 0"
#: What DuckDB makes of each type of the contract; columns of these types need not go through it.
_ARROW_TYPE = {
    "id": pa.string(),
    "text": pa.string(),
    "date": pa.date32(),
    "amount": pa.float64(),
    "integer": pa.int32(),
    "boolean": pa.bool_(),
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
    remarks : list of Remark
        What to look at although nothing is rejected for it; filled by ``overdue-ml validate`` only, see
        :func:`overdue_ml.records.remarks.find_remarks`.
    """

    max_rejected_share: float
    tables: list[TableResult] = field(default_factory=list)
    rules: list[RuleResult] = field(default_factory=list)
    as_of: dt.date | None = None
    max_age_days: int | None = None
    freshness: list[FreshnessResult] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

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
            "remarks": [asdict(r) | {"first_keys": list(r.first_keys)} for r in self.remarks],
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
            step = "run 'overdue-ml validate' for the full report and the rejected rows"
            if table.accepted > 0:
                step += "; to go on without them, raise max_rejected_share in the records config"
            raise RecordsError(
                f"{table.rejected} of {table.rows} rows of '{table.table}' were rejected "
                f"({table.rejected_share:.2%}, limit {self.max_rejected_share:.2%}): {named}",
                next_step=step,
            )


def _clip(key: str) -> str:
    return key if len(key) <= _KEY_LENGTH_SHOWN else key[:_KEY_LENGTH_SHOWN] + "..."


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


@contextmanager
def _reading(table: Table) -> Iterator[None]:
    """Arrow tables and DuckDB files are first scanned by the queries inside."""
    try:
        yield
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException):
        raise
    except duckdb.OutOfMemoryException:  # no fault of the rows
        raise
    except duckdb.Error as error:
        raise RecordsError(
            f"the rows cannot be read: {' '.join(str(error).split())[:160]}",
            where=f"table {table.name}",
            next_step="export the table again",
        ) from error


def validate_table(
    con: duckdb.DuckDBPyConnection,
    table: Table,
    config: RecordsConfig,
    loaded: set[str],
    report: ValidationReport,
    staged: Staged | None = None,
    may_be_empty: bool = False,
) -> tuple[pa.Table, pa.Table]:
    """Check one staged table; leave the accepted rows in ``con`` under the table's name.

    One scan tells which rows are *suspect*: they break a rule, or share a key with another. Only of these
    the text is made and the rules they break are listed.

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
    staged : Staged, optional
        The Arrow table behind ``raw_<table>``, where there is one: sound rows that stand in order are then
        taken from it without sorting, and without a copy if it is nobody else's.
    may_be_empty : bool
        Whether a table without rows is sound.

    Returns
    -------
    accepted : pyarrow.Table
        Typed rows sorted by the contract's order, else by key, or by all columns where there is none.
    rejected : pyarrow.Table
        The broken rows as they came, with a ``rule`` column.

    Raises
    ------
    RecordsError
        If the table has no rows and should have, or a column is missing or of an unusable type.
    """
    with _reading(table):
        types = fitting_types(con, table, _present_columns(con, table))
    layout = read_layout(table, types, config.timezone)
    taken = next((name for name in layout.extras if name.casefold() == "rule"), None)
    if taken is not None:
        raise RecordsError(
            f"'{taken}' is the name of the column that rejected rows get",
            where=f"table {table.name}",
            next_step="give the column another name",
        )
    rules = table_rules(table, set(layout.names), loaded)
    with _reading(table):
        create_cells(con, layout)
        rows, blanks = _count(con, layout)
        if rows == 0 and not may_be_empty:
            raise RecordsError(
                "the table has no rows", where=f"table {table.name}", next_step="export it again"
            )
        suspect = _suspect(con, layout, rules)
        _create_checked(con, layout, rules, suspect)
        suspects, restored = _report(con, layout, rules, report, rows)
        # A blank text becomes null, so it is neither what it came as nor where it stood.
        accepted = _accepted(con, layout, suspect if suspects else "", restored, None if blanks else staged)
        rejected = _rejected(con, layout)
        con.execute("DROP TABLE temp.checked")
        drop_cells(con, layout)
    con.register(table.name, accepted)
    return accepted, rejected


def _count(con: duckdb.DuckDBPyConnection, layout: Layout) -> tuple[int, int]:
    """Rows, and texts of nothing but blanks."""
    blanks = [
        f'count(*) FILTER ({c.source} IS NOT NULL AND "empty_{c.name}")'
        for c in layout.cells
        if c.is_native and c.column.type in ("id", "text")
    ]
    rows, found = con.sql(f"SELECT count(*), {' + '.join(blanks) or '0'} FROM cells").fetchall()[0]
    return int(rows), int(found)


def _suspect(con: duckdb.DuckDBPyConnection, layout: Layout, rules: list[Rule]) -> str:
    """SQL over ``cells``, true for every row that may be broken: by itself, or as it shares a key."""
    tests = [f"({rule.broken})" for rule in rules if not rule.among_rows]
    if layout.table.key_in(layout.names):
        named = " AND ".join(f'"v_{name}" IS NOT NULL' for name in layout.table.optional_key()) or "true"
        key = f"hash({key_cells(layout.table, layout.names)})"
        # Sorting numbers takes a fraction of the time and memory of grouping by the keys; that two keys
        # may share a number does no harm, as the suspects are looked at once more.
        hashes = con.sql(f"SELECT {key} AS h FROM cells WHERE {named}").fetchnumpy()["h"]
        hashes.sort()
        repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if len(repeated):
            con.register("repeated_keys", pa.table({"h": repeated}))
            tests.append(f"({named} AND {key} IN (SELECT h FROM repeated_keys))")
    return f"coalesce({' OR '.join(tests)}, false)"


def _create_checked(con: duckdb.DuckDBPyConnection, layout: Layout, rules: list[Rule], suspect: str) -> None:
    """Create ``checked``: the suspect rows with their text, their copy number and the rules they break."""
    table = layout.table
    # A key is a duplicate only among rows that differ: letter-for-letter copies are `row_repeated`.
    same = ", ".join(layout.positions.values())
    copy = f"row_number() OVER (PARTITION BY {same})" if table.key_in(layout.names) else "1"
    if table.key_in(layout.names) and table.optional_key():
        named = " AND ".join(f'"v_{name}" IS NOT NULL' for name in table.optional_key())
        copy = f"CASE WHEN {named} THEN {copy} ELSE 1 END"
    tests = ", ".join(f"CASE WHEN {_among_first_copies(r.broken)} THEN '{r.name}' END" for r in rules)
    shown = ", ".join(f'{cell.text} AS "raw_{cell.name}"' for cell in layout.cells)
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE checked AS
        WITH suspects AS MATERIALIZED (SELECT * FROM cells WHERE {suspect}),
        copies AS (SELECT *, {copy} AS copy FROM suspects)
        SELECT *, {shown}, CASE WHEN copy > 1 THEN []
            ELSE list_filter([{tests}], lambda x: x IS NOT NULL) END AS broken
        FROM copies"""
    )


def _among_first_copies(predicate: str) -> str:
    return predicate.replace("count(*) OVER", "count(*) FILTER (WHERE copy = 1) OVER")


def _report(
    con: duckdb.DuckDBPyConnection, layout: Layout, rules: list[Rule], report: ValidationReport, rows: int
) -> tuple[int, int]:
    """Add a table's results to the report; count the suspect rows, and those that are sound after all."""
    table = layout.table
    counts = con.execute(
        f"SELECT count(*), count(*) FILTER ({_REJECTED}), count(*) FILTER (copy > 1)"
        + "".join(f", count(*) FILTER (list_contains(broken, '{r.name}'))" for r in rules)
        + " FROM checked"
    ).fetchall()[0]
    suspects, rejected, repeated = (int(n) for n in counts[:3])
    naming = table.naming(layout.names)
    report.tables.append(TableResult(table.name, rows, rows - rejected, rejected))
    for rule, count in zip(rules, counts[3:], strict=True):
        keys = _first_keys(con, naming, f"list_contains(broken, '{rule.name}')") if count else ()
        report.rules.append(RuleResult(table.name, rule.name, rule.meaning, rows, int(count), keys))
    keys = _first_keys(con, naming, "copy > 1") if repeated else ()
    if table.key_in(layout.names):
        report.rules.append(
            RuleResult(table.name, "row_repeated", "no row stands twice to the letter", rows, repeated, keys)
        )
    return suspects, suspects - rejected


def _first_keys(con: duckdb.DuckDBPyConnection, names: tuple[str, ...], where: str) -> tuple[str, ...]:
    key = " || ' ' || ".join(f"coalesce(\"raw_{name}\", '(empty)')" for name in names)
    rows = con.execute(
        f"SELECT DISTINCT {key} AS k FROM checked WHERE {where} ORDER BY k LIMIT {_KEYS_SHOWN}"
    ).fetchall()
    return tuple(str(row[0]) for row in rows)


def _accepted(
    con: duckdb.DuckDBPyConnection, layout: Layout, suspect: str, restored: int, staged: Staged | None
) -> pa.Table:
    """The sound rows, in order: all where no row is suspect; nothing is copied or sorted without need."""
    table, names = layout.table, [*layout.names, *layout.extras]
    sort = list(table.sorting(layout.names))
    if not table.key_in(layout.names) or table.optional_key():
        # Rows that no key tells apart may differ in extra columns alone.
        sort += layout.extras
    order = " ORDER BY " + ", ".join(str(names.index(name) + 1) for name in sort)
    stands = staged is not None and layout.keeps_order(sort) and in_order(staged.table, sort)
    if staged is not None and staged.is_own and not suspect and _is_as_accepted(layout, staged.table):
        accepted = pa.table({name: staged.table.column(name) for name in names})
        if stands:
            return accepted
    else:
        typed = ", ".join(
            [f'"v_{c.name}" AS "{c.name}"' for c in layout.cells]
            + [f"{place} AS {quote_name(name)}" for name, place in layout.extras.items()]
        )
        query = f"SELECT {typed} FROM cells" + (f" WHERE NOT {suspect}" if suspect else "")
        if restored:
            query += f" UNION ALL SELECT {typed} FROM checked WHERE NOT ({_REJECTED})"
            stands = False
        accepted = con.sql(query if stands else query + order).to_arrow_table()
        # DuckDB does not promise to keep the order through the look-ups of a rule.
        if not stands or in_order(accepted, sort):
            return accepted
    con.register("unsorted", accepted)
    accepted = con.sql(f"SELECT * FROM unsorted{order}").to_arrow_table()
    con.unregister("unsorted")
    return accepted


def _is_as_accepted(layout: Layout, raw: pa.Table) -> bool:
    """Whether every column already is what DuckDB would make of it."""
    declared = all(
        c.is_native and raw.schema.field(c.name).type == _ARROW_TYPE[c.column.type] for c in layout.cells
    )
    plain = set(_ARROW_TYPE.values()) | {pa.int64()}
    return declared and all(raw.schema.field(name).type in plain for name in layout.extras)


def _rejected(con: duckdb.DuckDBPyConnection, layout: Layout) -> pa.Table:
    raw = ", ".join(f'"raw_{c.name}" AS "{c.name}"' for c in layout.cells)
    plain = "".join(f", {place} AS {quote_name(name)}" for name, place in layout.extras.items())
    return con.sql(
        f"SELECT {raw}{plain}, CASE WHEN copy > 1 THEN 'row_repeated' "
        f"ELSE array_to_string(broken, '; ') END AS rule FROM checked WHERE {_REJECTED} ORDER BY ALL"
    ).to_arrow_table()


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
