"""A first mapping for a folder of unknown names: proposed with its confidence, never applied."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
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
_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y", "%d/%m/%y")


@dataclass
class _Proposal:
    table: Table
    origin: str
    score: float
    columns: dict[str, tuple[str, float]] = field(default_factory=dict)


def suggest_mapping(source: Path, config: RecordsConfig | None = None) -> str:
    """Propose the ``mapping`` of a records config from the names that a source uses.

    Each line carries its confidence; a date format is proposed where the first values allow one only.
    Nothing is applied: the text is to be read, corrected and saved by a person.

    Parameters
    ----------
    source : Path
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
        If the source cannot be read or holds no table.
    """
    config = check_config(RecordsConfig, config)
    with duckdb.connect() as con:
        offers = offered_tables(con, source, config)
        if not offers:
            raise RecordsError("there are no tables", where=str(source), expected="CSV or Parquet files")
        columns: dict[str, list[str]] = {}
        staged: dict[str, str] = {}
        unread: list[str] = []
        for number, (name, stage) in enumerate(offers.items()):
            try:
                stage(f"offered_{number}")
            except RecordsError as error:  # a folder may hold other things beside the tables
                unread.append(f"# cannot be read: {one_line(str(error))}")
                continue
            staged[name] = f"offered_{number}"
            columns[name] = [str(r[0]) for r in con.execute(f"DESCRIBE {staged[name]}").fetchall()]
        proposals = _match_tables(columns)
        lines = [
            f"# Proposed from the names in {json.dumps(source.name, ensure_ascii=False)}. Check every line:",
            "# high, medium and low say how alike the names are, not that they mean the same.",
            "mapping:" if proposals else "mapping: {}",
        ]
        for proposal in proposals:
            formats = {
                theirs: _date_format(con, staged[proposal.origin], theirs)
                for ours, (theirs, _) in proposal.columns.items()
                if proposal.table.column(ours).type == "date"
            }
            lines += _table_lines(proposal, columns[proposal.origin], formats)
    used = {proposal.origin for proposal in proposals}
    lines += [f"# not used: {one_line(name)}" for name in columns if name not in used]
    return "\n".join(lines + unread) + "\n"


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


def _date_format(con: duckdb.DuckDBPyConnection, staged: str, column: str) -> str:
    """The one format that reads the first values; empty if they are ISO, several fit or none does."""
    name = quote_name(column)
    rows = con.execute(
        f"SELECT trim(CAST({name} AS VARCHAR)) FROM {staged} WHERE trim(CAST({name} AS VARCHAR)) <> '' "
        f"LIMIT {_SAMPLE}"
    ).fetchall()
    values = [str(row[0]) for row in rows]
    if not values or all(re.match(r"\d{4}-\d{2}-\d{2}", value) for value in values):
        return ""
    fitting = [
        form
        for form in _FORMATS
        if ("%y" not in form or all(re.search(r"\D\d{2}$", value) for value in values))
        and con.execute(
            "SELECT bool_and(coalesce(year(try_strptime(v, ?)) BETWEEN 1970 AND 2100, false)) "
            "FROM (SELECT unnest(?::VARCHAR[]) AS v)",
            [form, values],
        ).fetchall()[0][0]
    ]
    return fitting[0] if len(fitting) == 1 else "?" + " or ".join(fitting)


def _table_lines(proposal: _Proposal, columns: list[str], formats: Mapping[str, str]) -> list[str]:
    table = proposal.table
    lines = [f"  {table.name}: # {_confidence(proposal.score)}", f"    source: {_scalar(proposal.origin)}"]
    cells = []
    for ours, (theirs, score) in proposal.columns.items():
        form = formats.get(theirs, "")
        note = _confidence(score)
        if form.startswith("?"):
            note += f"; the dates are written otherwise, add date_format ({form[1:] or 'see them'})"
            form = ""
        cell = f'{{column: {_scalar(theirs)}, date_format: "{form}"}}' if form else _scalar(theirs)
        cells.append(f"      {ours}: {cell} # {note}")
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
