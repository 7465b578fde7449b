"""What a person should look at in records although no row is rejected for it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa

from overdue_ml.config import RecordsConfig
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.mapping import quote_name
from overdue_ml.records.suggest import one_line, similarity

_KEYS_SHOWN = 5
_COLUMNS_SHOWN = 12
_LENGTH_SHOWN = 60
#: By letters a misspelt name is at least this near, by words one that says the same.
_LETTERS, _WORDS = 0.75, 0.9


@dataclass(frozen=True)
class Remark:
    """A warning or a note about one table, never a rejection.

    Attributes
    ----------
    table, name : str
    message : str
        A sentence without its full stop.
    rows : int
        How many rows it is about; 0 where it is about columns.
    first_keys : tuple of str
    """

    table: str
    name: str
    message: str
    rows: int = 0
    first_keys: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """As it is printed."""
        keys = f" (first: {', '.join(map(_shown, self.first_keys[:3]))})" if self.first_keys else ""
        return f"{'Warning' if self.rows else 'Note'}: {self.table}: {self.message}{keys}."


def find_remarks(tables: Mapping[str, pa.Table], config: RecordsConfig) -> list[Remark]:
    """Look for what is suspicious and may yet be right.

    Payments that equal another in every column and have no ``payment_id`` (two equal payments on one day
    happen, copies too), payments before the account was opened, and columns that the contract does not use,
    as a misspelt one.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        Accepted rows.
    config : RecordsConfig
        Its ``attributes`` and ``protected`` are used columns of customers.

    Returns
    -------
    list of Remark
    """
    found = []
    if "payments" in tables:
        with duckdb.connect() as con:
            for name in ("accounts", "payments"):
                con.register(name, tables[name])
            found += [
                _equal_payments(con, tables["payments"].column_names),
                _payments_before_opening(con),
            ]
    found += [
        _unused_columns(name, tables[name].column_names, config) for name in CONTRACTS if name in tables
    ]
    return [remark for remark in found if remark is not None]


def _shown(name: str) -> str:
    return one_line(name if len(name) <= _LENGTH_SHOWN else name[:_LENGTH_SHOWN] + "...")


def _payments(count: int, one: str, several: str) -> str:
    return f"1 payment {one}" if count == 1 else f"{count:,} payments {several}"


def _equal_payments(con: duckdb.DuckDBPyConnection, columns: list[str]) -> Remark | None:
    nameless = '"payment_id" IS NULL' if "payment_id" in columns else "true"
    cells = ", ".join(quote_name(name) for name in columns)
    # As for keys: sorting numbers takes far less memory than grouping the rows themselves.
    hashes = con.sql(f"SELECT hash({cells}) AS h FROM payments WHERE {nameless}").fetchnumpy()["h"]
    hashes.sort()
    con.register("repeated", pa.table({"h": np.unique(hashes[1:][hashes[1:] == hashes[:-1]])}))
    con.execute(
        f"""CREATE TEMP TABLE equal_payments AS
        SELECT account_id || ' ' || paid_on || ' ' || amount AS k, count(*) - 1 AS copies FROM payments
        WHERE {nameless} AND hash({cells}) IN (SELECT h FROM repeated)
        GROUP BY {cells} HAVING count(*) > 1"""
    )
    count = con.sql("SELECT coalesce(sum(copies), 0)::BIGINT FROM equal_payments").fetchall()[0][0]
    if not count:
        return None
    keys = con.sql(f"SELECT DISTINCT k FROM equal_payments ORDER BY k LIMIT {_KEYS_SHOWN}").fetchall()
    return Remark(
        "payments",
        "row_repeated_without_payment_id",
        _payments(int(count), "without a payment_id equals", "without a payment_id equal")
        + ", in every column, another one that counts, too; take copies out, or give payments a payment_id",
        int(count),
        tuple(str(row[0]) for row in keys),
    )


def _payments_before_opening(con: duckdb.DuckDBPyConnection) -> Remark | None:
    early = "FROM payments JOIN accounts USING (account_id) WHERE paid_on < opened_on"
    count = con.sql(f"SELECT count(*) {early}").fetchall()[0][0]
    if not count:
        return None
    keys = con.sql(
        f"SELECT DISTINCT account_id || ' ' || paid_on AS k {early} ORDER BY k LIMIT {_KEYS_SHOWN}"
    ).fetchall()
    return Remark(
        "payments",
        "paid_on_before_opened_on",
        _payments(int(count), "lies", "lie") + " before the account's opened_on",
        int(count),
        tuple(str(row[0]) for row in keys),
    )


def _unused_columns(name: str, columns: list[str], config: RecordsConfig) -> Remark | None:
    used = {column.name for column in CONTRACTS[name].columns}
    missing = [column.name for column in CONTRACTS[name].columns if column.name not in columns]
    if name == "customers":
        used |= {*config.attributes, *config.protected}
    hints = {column: _near(column, missing) for column in columns if column not in used}
    if not hints:
        return None
    # Those that may be misspelt first: they must not be among the ones that are not shown.
    shown = sorted(hints, key=lambda column: not hints[column])[:_COLUMNS_SHOWN]
    told = [
        _shown(column) + (f" (did you mean '{hints[column]}')" if hints[column] else "") for column in shown
    ]
    more = f" and {len(hints) - len(shown)} more" if len(hints) > len(shown) else ""
    return Remark(name, "columns_not_used", f"not used by the contract: {', '.join(told)}{more}")


def _near(theirs: str, missing: list[str]) -> str | None:
    """The contract's column that a foreign one may be meant for, by letters or by the words in its name."""
    near = difflib.get_close_matches(theirs.casefold(), missing, n=1, cutoff=_LETTERS)
    by_words = [ours for ours in missing if similarity(theirs, ours) >= _WORDS]
    return next(iter(by_words + near), None)
