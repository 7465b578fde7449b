"""The table contracts, declared once as data; every check and cast is derived from them.

A row is rejected for breaking a *rule*; a table is refused for breaking its *structure* (a required
column is missing, an id column holds floating numbers). Rules are SQL predicates over the typed row
(``v_<column>``) and whether a cell came empty (``empty_<column>``), true where the rule is broken, so that
DuckDB checks any number of rows in one scan.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

ColumnType = Literal["id", "text", "date", "amount", "integer", "boolean"]

SQL_TYPE: dict[str, str] = {
    "id": "VARCHAR",
    "text": "VARCHAR",
    "date": "DATE",
    "amount": "DOUBLE",
    "integer": "INTEGER",
    "boolean": "BOOLEAN",
}

#: Dates outside are typing errors or sentinels (0000-00-00, 9999-12-31), never events.
FIRST_DATE, LAST_DATE = "1970-01-01", "2100-12-31"


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    name : str
        As in the records.
    type : {'id', 'text', 'date', 'amount', 'integer', 'boolean'}
        ``amount`` is any finite float64, ``integer`` a 32-bit whole number, ``id`` a string kept
        character by character.
    required : bool
        The column must exist.
    nullable : bool
        A row may leave it empty. A column that is not required may always be absent.
    minimum, maximum : float, optional
        Inclusive limits for ``amount`` and ``integer``.
    choices : tuple of str, optional
        The allowed values of a ``text`` column.
    is_read : bool
        Something is computed with it once rows are accepted; what is not may be left out of large books.
    """

    name: str
    type: ColumnType
    required: bool = False
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    is_read: bool = True


@dataclass(frozen=True)
class Table:
    """One table: columns, key, the tables it refers to, and date-order rules.

    Parameters
    ----------
    name : str
    key : tuple of str
        Columns that together name a row once. Without a key, or where a key column that is not required
        is absent or empty, two equal rows are two events: neither is a repetition of the other.
    columns : tuple of Column
    references : tuple of (column, table)
        The column's value must be an accepted id of that table; of several pairs for one column the
        first whose table is loaded counts.
    order : tuple of (earlier, later)
        Pairs of dates that may not stand the other way round.
    not_before_opening : str, optional
        A date that may not lie before the ``opened_on`` of the row's account.
    version : str, optional
        A date that belongs to the key and may be empty: then it is the ``opened_on`` of the account.
    order_by : tuple of str
        Required columns by which accepted rows are sorted first, so that rows that are read together stand
        together; the key, or the required columns where there is none, if not given.
    event : str, optional
        The date that tells how fresh the table is; None where rows may be old and true.
    required : bool
        Whether records without this table can be used at all; see also :data:`HISTORIES`.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    references: tuple[tuple[str, str], ...] = ()
    order: tuple[tuple[str, str], ...] = ()
    not_before_opening: str | None = None
    version: str | None = None
    order_by: tuple[str, ...] = ()
    event: str | None = None
    required: bool = False

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(c for c in self.columns if c.name == name)

    def key_in(self, present: Collection[str]) -> tuple[str, ...]:
        """The key, or nothing where a column of it is absent."""
        return self.key if set(self.key) <= set(present) else ()

    def optional_key(self) -> tuple[str, ...]:
        """Key columns that a row may leave empty."""
        return tuple(name for name in self.key if self.column(name).nullable)

    def sorting(self, present: Collection[str]) -> tuple[str, ...]:
        """The columns of ``present`` in the order in which accepted rows are sorted by them."""
        versions = (c.name for c in self.columns if c.name == self.version and c.name in present)
        declared = (c.name for c in self.columns if c.name in present)
        return tuple(dict.fromkeys((*self.order_by, *self.naming(present), *versions, *declared)))

    def naming(self, present: Collection[str]) -> tuple[str, ...]:
        """Columns that show a person which row is meant: the key, or all required columns."""
        key = self.key_in(present)
        if key and not self.optional_key():
            return key
        return (*key, *(c.name for c in self.columns if c.required))


@dataclass(frozen=True)
class Rule:
    """One check of one table: ``broken`` is a SQL predicate, true for a row to be rejected.

    A rule ``among_rows`` compares rows that share a key, and needs none but these.
    """

    table: str
    name: str
    meaning: str
    broken: str
    among_rows: bool = False


def _id(name: str) -> Column:
    return Column(name, "id", required=True, nullable=False)


# Incomes and loans elsewhere may be known of customers who have no account yet.
_PEOPLE = (("customer_id", "customers"), ("customer_id", "accounts"))
_BEHAVIOURS = ("inactive", "paid_in_full", "paid_minimum", "late")

CONTRACTS: dict[str, Table] = {
    table.name: table
    for table in (
        Table("customers", ("customer_id",), (_id("customer_id"),)),
        Table(
            "accounts",
            ("account_id",),
            (
                _id("account_id"),
                _id("customer_id"),
                # Nullable: a lender may not know when an old account was opened, and an invented
                # date would become a false age (see DECISIONS.md).
                Column("opened_on", "date", required=True),
                Column("product", "text"),
                Column("closed_on", "date"),
                Column("principal_amount", "amount", minimum=0.0),
                Column("credit_limit_amount", "amount", minimum=0.0),
                Column("annual_rate", "amount", minimum=0.0, maximum=100.0),
                Column("term_months", "integer", minimum=1, maximum=1200),
            ),
            references=(("customer_id", "customers"),),
            order=(("opened_on", "closed_on"),),
            required=True,
        ),
        Table(
            "statements",
            ("account_id", "statement_date"),
            (
                _id("account_id"),
                Column("statement_date", "date", required=True, nullable=False),
                Column("due_date", "date"),
                Column("balance_amount", "amount"),
                Column("credit_limit_amount", "amount", minimum=0.0),
                Column("minimum_due_amount", "amount", minimum=0.0),
                Column("paid_amount", "amount", minimum=0.0),
                Column("dpd", "integer", minimum=0, maximum=36525),
                Column("payment_behaviour", "text", choices=_BEHAVIOURS),
                Column("known_on", "date"),
            ),
            references=(("account_id", "accounts"),),
            order=(("statement_date", "due_date"), ("statement_date", "known_on")),
            event="statement_date",
        ),
        Table(
            "instalments",
            ("account_id", "instalment_no"),
            (
                _id("account_id"),
                Column("instalment_no", "integer", required=True, nullable=False, minimum=0),
                Column("due_date", "date", required=True, nullable=False),
                Column("amount_due", "amount", required=True, nullable=False, minimum=0.0),
                Column("principal_due", "amount", minimum=0.0, is_read=False),
                Column("interest_due", "amount", minimum=0.0, is_read=False),
                Column("known_on", "date"),
            ),
            references=(("account_id", "accounts"),),
            not_before_opening="due_date",
            # A later version of the same instalment (an extension, a restructured plan) is a row of its
            # own and supersedes the earlier one from its known_on.
            version="known_on",
        ),
        Table(
            "payments",
            ("payment_id",),
            (
                Column("payment_id", "id", is_read=False),
                _id("account_id"),
                Column("paid_on", "date", required=True, nullable=False),
                # Negative: a reversal.
                Column("amount", "amount", required=True, nullable=False),
                Column("instalment_no", "integer", minimum=0),
                Column("known_on", "date"),
                Column("technical", "boolean"),
            ),
            references=(("account_id", "accounts"),),
            order=(("paid_on", "known_on"),),
            # Settlement goes through the payments of an account day by day.
            order_by=("account_id", "paid_on"),
            event="paid_on",
        ),
        Table(
            "incomes",
            (),
            (
                _id("customer_id"),
                Column("received_on", "date", required=True, nullable=False),
                Column("amount", "amount", required=True, nullable=False, minimum=0.0),
                Column("kind", "text"),
                Column("known_on", "date"),
            ),
            references=_PEOPLE,
            order=(("received_on", "known_on"),),
            event="received_on",
        ),
        Table(
            "borrowings",
            (),
            (
                _id("customer_id"),
                Column("reported_on", "date", required=True, nullable=False),
                Column("lender_id", "id"),
                Column("balance_amount", "amount"),
                Column("credit_limit_amount", "amount", minimum=0.0),
                Column("monthly_due_amount", "amount", minimum=0.0),
                Column("dpd", "integer", minimum=0, maximum=36525),
                Column("opened_on", "date"),
                Column("closed_on", "date"),
                Column("known_on", "date"),
            ),
            references=_PEOPLE,
            order=(("opened_on", "closed_on"), ("opened_on", "reported_on"), ("reported_on", "known_on")),
            event="reported_on",
        ),
        Table(
            "contacts",
            (),
            (
                _id("customer_id"),
                Column("contacted_on", "date", required=True, nullable=False),
                Column("channel", "text"),
                Column("purpose", "text"),
                Column("arm", "text", choices=("treated", "holdout")),
                Column("outcome", "text"),
                Column("known_on", "date"),
            ),
            references=_PEOPLE,
            order=(("contacted_on", "known_on"),),
            event="contacted_on",
        ),
        Table(
            "labels",
            ("customer_id", "as_of_date"),
            (
                _id("customer_id"),
                Column("as_of_date", "date", required=True, nullable=False),
                Column("is_overdue", "boolean", required=True, nullable=False),
                Column("known_on", "date"),
            ),
            references=(("customer_id", "accounts"),),
            order=(("as_of_date", "known_on"),),
        ),
    )
}

#: Records need the tables of one of these to know who paid when.
HISTORIES: tuple[tuple[str, ...], ...] = (("statements",), ("instalments", "payments"))

_OPENING = '(SELECT opened_on FROM accounts a WHERE a.account_id = "v_account_id")'

_TYPE_WORDS = {
    "date": "a date written YYYY-MM-DD",
    "amount": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
}


def column_rules(table: Table, column: Column) -> list[Rule]:
    """The rules that follow from one column's declaration."""
    empty, value, name = f'"empty_{column.name}"', f'"v_{column.name}"', column.name
    rules = []

    def add(suffix: str, meaning: str, broken: str) -> None:
        rules.append(Rule(table.name, f"{name}_{suffix}", meaning, broken))

    if not column.nullable:
        add("missing", f"{name} is filled in", empty)
    if column.type in _TYPE_WORDS:
        word = _TYPE_WORDS[column.type]
        add("not_readable", f"{name} is {word}", f"{value} IS NULL AND NOT {empty}")
    if column.type == "amount":
        add("not_finite", f"{name} is a finite number", f"NOT isfinite({value})")
    if column.type == "date":
        add(
            "out_of_range",
            f"{name} lies between {FIRST_DATE} and {LAST_DATE}",
            f"{value} NOT BETWEEN DATE '{FIRST_DATE}' AND DATE '{LAST_DATE}'",
        )
    limits = []
    if column.minimum is not None:
        limits.append(f"{value} < {column.minimum!r}")
    if column.maximum is not None:
        limits.append(f"{value} > {column.maximum!r}")
    if limits:
        # isfinite first: NaN and infinity have their own rule and count once.
        guard = f"isfinite({value}) AND " if column.type == "amount" else ""
        low = "-inf" if column.minimum is None else f"{column.minimum:g}"
        high = "inf" if column.maximum is None else f"{column.maximum:g}"
        add("out_of_range", f"{name} lies between {low} and {high}", f"{guard}({' OR '.join(limits)})")
    if column.choices:
        allowed = ", ".join(f"'{choice}'" for choice in column.choices)
        add("unknown_value", f"{name} is one of {allowed}", f"{value} NOT IN ({allowed})")
    return rules


def key_cells(table: Table, present: Collection[str]) -> str:
    """SQL for the values that together name a row of a table whose key is there, comma-separated."""
    parts = [f'"v_{name}"' for name in table.key]
    if table.version in present:
        parts.append(f'coalesce("v_{table.version}", {_OPENING})')
    return ", ".join(parts)


def table_rules(table: Table, present: set[str], loaded: set[str]) -> list[Rule]:
    """All rules of a table, for the columns and tables that are there.

    Parameters
    ----------
    table : Table
    present : set of str
        Column names found in the source.
    loaded : set of str
        Names of the tables that are loaded, for references.
    """
    rules = [
        rule for column in table.columns if column.name in present for rule in column_rules(table, column)
    ]
    for earlier, later in table.order:
        if {earlier, later} <= present:
            rules.append(
                Rule(
                    table.name,
                    f"{later}_before_{earlier}",
                    f"{later} is not before {earlier}",
                    f'"v_{later}" < "v_{earlier}"',
                )
            )
    if table.not_before_opening in present and "accounts" in loaded:
        name = table.not_before_opening
        rules.append(
            Rule(
                table.name,
                f"{name}_before_opened_on",
                f"{name} is not before the account's opened_on",
                f'"v_{name}" < {_OPENING}',
            )
        )
    rules += _reference_rules(table, loaded)
    key = table.key_in(present)
    if key:
        # Rows without a key are no duplicates of each other; where it is needed, that is another rule.
        named = " AND ".join(f'"v_{name}" IS NOT NULL' for name in key)
        words = (*key, table.version) if table.version in present else key
        rules.append(
            Rule(
                table.name,
                "key_duplicate",
                f"{' + '.join(str(word) for word in words)} names one row",
                f"{named} AND count(*) OVER (PARTITION BY {key_cells(table, present)}) > 1",
                among_rows=True,
            )
        )
    return rules


def _reference_rules(table: Table, loaded: set[str]) -> list[Rule]:
    targets: dict[str, str] = {}
    for column_name, target in table.references:
        if target in loaded:
            targets.setdefault(column_name, target)
    return [
        Rule(
            table.name,
            f"{name}_unknown",
            f"{name} stands in an accepted row of {target}",
            f'"v_{name}" IS NOT NULL AND "v_{name}" NOT IN (SELECT "{name}" FROM "{target}")',
        )
        for name, target in targets.items()
    ]


#: From which of its dates a row without ``known_on`` is known. Of labels nobody can tell.
KNOWN_FROM: dict[str, str] = {
    "statements": "statement_date",
    "instalments": "opened_on",  # of the account
    "payments": "paid_on",  # and the posting lag
    "incomes": "received_on",
    "borrowings": "reported_on",
    "contacts": "contacted_on",
}
