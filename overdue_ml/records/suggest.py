"""A first mapping for a folder of unknown names: proposed with its confidence, never applied."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from overdue_ml.config import RecordsConfig, check_config
from overdue_ml.errors import RecordsError
from overdue_ml.records.contracts import CONTRACTS, Table
from overdue_ml.records.mapping import quote_name
from overdue_ml.records.sources import offered_tables

_LOW, _MEDIUM, _HIGH = 0.6, 0.75, 0.9
_SAMPLE = 1000
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORDS_OF_YAML = {"true", "false", "null"}
#: What lenders' columns call the things that the contracts call by the name on the left.
_NAMES_FOR = {
    "customer": "cust client borrower debtor person",
    "account": "acct acc loan contract agreement credit facility",
    "no": "number num nr seq period",
    "id": "code key ref",
    "amount": "amt sum value",
    "date": "dt day on at",
    "paid": "repaid",
    "payment": "repayment pmt pay transaction txn collection receipt",
    "instalment": "installment emi schedule",
    "statement": "bill stmt",
    "income": "salary revenue",
    "borrowing": "bureau liability",
    "opened": "open start disbursed origination",
    "closed": "close end",
    "balance": "bal outstanding",
    "minimum": "min",
    "contact": "call reminder",
    "due": "scheduled maturity",
    "overdue": "default delinquent",
}
_SYNONYMS = {word: name for name, words in _NAMES_FOR.items() for word in words.split()}
#: Whole names, already reduced to the words above, that say a column without sharing its own.
_PHRASES: dict[str, tuple[str, ...]] = {
    "account_id": ("account", "account no"),
    "customer_id": ("customer", "customer no"),
    "opened_on": ("opened date",),
    "closed_on": ("closed date",),
    "due_date": ("due", "instalment date"),
    "amount_due": ("due amount", "instalment amount"),
    "paid_on": ("paid", "payment date"),
    "amount": ("paid amount", "payment amount", "income amount"),
    "instalment_no": ("instalment", "no"),
    "statement_date": ("date", "statement"),
    "received_on": ("date", "income date"),
    "reported_on": ("date", "report date"),
    "contacted_on": ("date", "contact date"),
    "dpd": ("date past due", "overdue date", "date late"),
    "balance_amount": ("balance",),
    "principal_amount": ("principal", "account amount"),
    "credit_limit_amount": ("limit", "account limit"),
    "is_overdue": ("overdue", "overdue flag", "target", "label"),
    "as_of_date": ("observation date", "snapshot date"),
}
#: Dates and timestamps that are read as they are.
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}([.]\d+)?)?( ?(Z|[+-]\d{2}(:?\d{2})?))?)?")
_SHORT_YEAR = re.compile(r"\d{1,2}\D\d{1,2}\D\d{2}( .*)?")
_NUMBER = re.compile(r"[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)", re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})*([.]\d*)?")
_PER_CENT = re.compile(r"[+-]?[\d.,]+ ?%")
_NEARLY_ALL = 0.99
_DAYS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y", "%d/%m/%y")
_FORMATS = tuple(day + clock for clock in ("", " %H:%M:%S", " %H:%M") for day in _DAYS)


@dataclass
class _Proposal:
    table: Table
    origin: str
    score: float
    columns: dict[str, tuple[str, float]] = field(default_factory=dict)


def suggest_mapping(source: str | Path, config: RecordsConfig | None = None) -> str:
    """Propose the ``mapping`` of a records config from the names that a source uses.

    Each line carries its confidence; a date format is proposed where nearly all of the first values allow one
    only, and numbers that are not plain ones are noted.
    Nothing is applied: the text is to be read, corrected and saved by a person.

    Parameters
    ----------
    source : path
        A folder or a DuckDB file.
    config : RecordsConfig, optional
        How the files are read (delimiter, encoding).

    Returns
    -------
    str
        YAML.

    Raises
    ------
    RecordsError
        If the source cannot be read, or holds no table that can.
    """
    config = check_config(RecordsConfig, config)
    source = Path(source)
    with duckdb.connect() as con:
        offers = offered_tables(con, source, config)
        if not offers:
            raise RecordsError("there are no tables", where=str(source), expected="CSV or Parquet files")
        columns: dict[str, list[str]] = {}
        staged: dict[str, str] = {}
        faults: list[RecordsError] = []
        for number, (name, stage) in enumerate(offers.items()):
            try:
                stage(f"offered_{number}")
            except RecordsError as error:  # a folder may hold other things beside the tables
                faults.append(error)
                continue
            staged[name] = f"offered_{number}"
            columns[name] = [str(r[0]) for r in con.execute(f"DESCRIBE {staged[name]}").fetchall()]
        if faults and not columns:
            raise RecordsError(
                f"no table can be read: {faults[0].what}",
                where=faults[0].where,
                next_step=faults[0].next_step,
            )
        proposals = _match_tables(columns)
        lines = [
            f"# Proposed from the names in {json.dumps(source.name, ensure_ascii=False)}. Check every line:",
            "# high, medium and low say how alike the names are, not that they mean the same.",
            "mapping:" if proposals else "mapping: {}",
        ]
        for proposal in proposals:
            cells = {
                ours: _cell(con, staged[proposal.origin], theirs, proposal.table.column(ours).type, score)
                for ours, (theirs, score) in proposal.columns.items()
            }
            lines += _table_lines(proposal, columns[proposal.origin], cells)
    used = {proposal.origin for proposal in proposals}
    lines += [f"# not used: {one_line(name)}" for name in columns if name not in used]
    lines += [f"# cannot be read: {one_line(str(error))}" for error in faults]
    return "\n".join(lines) + "\n"


def _words(name: str) -> list[str]:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    parts = [part.casefold() for part in re.split(r"[\W_]+", spaced) if part]
    return [_SYNONYMS.get(word, word) for word in map(_singular, parts)]


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def similarity(theirs: str, ours: str) -> float:
    """How alike a foreign name is to a contract's, 0 to 1, by words and by letters.

    Examples
    --------
    >>> similarity("cust_id", "customer_id"), similarity("LoanID", "account_id")
    (1.0, 1.0)
    >>> similarity("colour", "customer_id") < 0.6
    True
    """
    if theirs.casefold() == ours.casefold():
        return 1.0
    found = _words(theirs)
    best = 0.0
    for phrase in (" ".join(_words(ours)), *_PHRASES.get(ours, ())):
        wanted = phrase.split()
        if sorted(found) == sorted(wanted):
            return 1.0 if phrase == " ".join(_words(ours)) else 0.95
        shared = len(set(found) & set(wanted))
        dice = 2 * shared / (len(set(found)) + len(set(wanted))) if found else 0.0
        letters = difflib.SequenceMatcher(None, "".join(found), "".join(wanted)).ratio()
        best = max(best, 0.5 * dice + 0.45 * letters)
    return best


def _match_columns(table: Table, columns: list[str]) -> dict[str, tuple[str, float]]:
    """Pairs of contract column and foreign column, best first, each used once."""
    scores = [(similarity(theirs, c.name), c.name, theirs) for c in table.columns for theirs in columns]
    matched: dict[str, tuple[str, float]] = {}
    taken: set[str] = set()
    for score, ours, theirs in sorted(scores, key=lambda item: (-item[0], item[1], item[2])):
        if score >= _LOW and ours not in matched and theirs not in taken:
            matched[ours] = (theirs, score)
            taken.add(theirs)
    return {c.name: matched[c.name] for c in table.columns if c.name in matched}


def _match_tables(columns: Mapping[str, list[str]]) -> list[_Proposal]:
    """Pairs of contract table and foreign table: alike in name, and in what is required."""
    found = []
    for table in CONTRACTS.values():
        required = [c.name for c in table.columns if c.required]
        for origin, theirs in columns.items():
            matched = _match_columns(table, theirs)
            covered = sum(matched[name][1] for name in required if name in matched) / len(required)
            score = 0.6 * covered + 0.4 * similarity(origin, table.name)
            found.append(_Proposal(table, origin, score, matched))
    chosen: dict[str, _Proposal] = {}
    used: set[str] = set()
    for proposal in sorted(found, key=lambda p: (-p.score, p.table.name, p.origin)):
        if proposal.score >= _LOW and proposal.table.name not in chosen and proposal.origin not in used:
            chosen[proposal.table.name] = proposal
            used.add(proposal.origin)
    return [chosen[name] for name in CONTRACTS if name in chosen]


def _sample(con: duckdb.DuckDBPyConnection, staged: str, column: str) -> list[str]:
    """The first cells of a column that are not blank, as text."""
    cell = f"trim(CAST({quote_name(column)} AS VARCHAR))"
    rows = con.execute(f"SELECT {cell} FROM {staged} WHERE {cell} <> '' LIMIT {_SAMPLE}").fetchall()
    return [str(row[0]) for row in rows]


def _are(pattern: re.Pattern[str], values: Sequence[str]) -> bool:
    """Whether nearly all values are written so: a broken cell or two do not hide how the others are."""
    return sum(pattern.fullmatch(value) is not None for value in values) >= _NEARLY_ALL * len(values)


def _date_cell(con: duckdb.DuckDBPyConnection, values: list[str]) -> tuple[str, str]:
    """The one format that reads nearly all values, and a note where it is not known.

    Neither where they are read as they are: ISO dates and timestamps.
    """
    if _are(_ISO, values):
        return "", ""
    counts = {form: _count_read(con, values, form) for form in _FORMATS}
    best = max(counts.values())
    # Both of two orders may read nearly all: a 13th tells them apart.
    fitting = [form for form, count in counts.items() if count == best >= _NEARLY_ALL * len(values)]
    if len(fitting) == 1:
        return fitting[0], ""
    return "", f"; the dates are written otherwise, add date_format ({' or '.join(fitting) or 'see them'})"


def _count_read(con: duckdb.DuckDBPyConnection, values: list[str], form: str) -> int:
    if "%y" in form:
        values = [value for value in values if _SHORT_YEAR.fullmatch(value)]
    query = "count(*) FILTER (year(try_strptime(v, ?)) BETWEEN 1970 AND 2100)"
    rows = con.execute(f"SELECT {query} FROM (SELECT unnest(?::VARCHAR[]) AS v)", [form, values]).fetchall()
    return int(rows[0][0])


def _number_note(values: list[str]) -> str:
    """What keeps nearly all numbers from being read as they are; empty if nothing does."""
    if _are(_NUMBER, values):
        return ""
    if _are(_GROUPED, values):
        what = "have thousands commas"
    elif _are(_PER_CENT, values):
        what = "have per cent signs"
    else:
        what = "are not plain ones"
    return f"; the numbers {what}, export them as 1234.5"


def _cell(con: duckdb.DuckDBPyConnection, staged: str, theirs: str, kind: str, score: float) -> str:
    """The right-hand side of one column's line, with its confidence and what is to be added by hand."""
    form = note = ""
    if kind in ("date", "amount", "integer"):
        values = _sample(con, staged, theirs)
        if kind == "date":
            form, note = _date_cell(con, values)
        else:
            note = _number_note(values)
    cell = f'{{column: {_scalar(theirs)}, date_format: "{form}"}}' if form else _scalar(theirs)
    return f"{cell} # {_confidence(score)}{note}"


def _table_lines(proposal: _Proposal, columns: list[str], formatted: Mapping[str, str]) -> list[str]:
    table = proposal.table
    lines = [f"  {table.name}: # {_confidence(proposal.score)}", f"    source: {_scalar(proposal.origin)}"]
    cells = [f"      {ours}: {cell}" for ours, cell in formatted.items()]
    lines += ["    columns:", *cells] if cells else []
    missing = [c.name for c in table.columns if c.required and c.name not in proposal.columns]
    lines += [f"      # {name}: required, and nothing is called like it" for name in missing]
    used = {theirs for theirs, _ in proposal.columns.values()}
    rest = [one_line(name) for name in columns if name not in used]
    return lines + ([f"      # not used: {', '.join(rest)}"] if rest else [])


def _confidence(score: float) -> str:
    word = "high" if score >= _HIGH else "medium" if score >= _MEDIUM else "low"
    return f"{word} ({score:.2f})"


def _scalar(text: str) -> str:
    plain = _PLAIN.fullmatch(text) and text.casefold() not in _WORDS_OF_YAML
    return text if plain else json.dumps(text, ensure_ascii=True)


def one_line(text: str) -> str:
    """A name from a source, harmless on a terminal and in a comment."""
    return text if text.isprintable() else json.dumps(text, ensure_ascii=True)
