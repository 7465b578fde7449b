"""Who must not be reminded: flags that the lender keeps on customers and accounts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import ExclusionRule, RemindersConfig
from overdue_ml.errors import ConfigError
from overdue_ml.records import Records
from overdue_ml.records.facts import known_on_sql

_YES = frozenset({"true", "t", "yes", "y", "1", "on"})
_NO = frozenset({"false", "f", "no", "n", "0", "off", "none", "nan", "null", ""})

Bools = npt.NDArray[np.bool_]


def column_of(records: Records, table: str, column: str, setting: str) -> pa.ChunkedArray:
    """A column that the config names.

    Raises
    ------
    ConfigError
        If the records have no such column.
    """
    present = records.columns(table)
    if column not in present:
        raise ConfigError(
            f"the records have no column '{column}' in '{table}'",
            where=setting,
            expected=f"one of {', '.join(present)}" if present else f"a table '{table}'",
            next_step="mend the reminders config",
        )
    return records.tables[table].column(column)


def names_columns(config: RemindersConfig) -> bool:
    """Whether the config names columns of the records."""
    named = (config.technical_days, config.hours.timezone_column, config.channel_column)
    return bool(config.exclusions) or any(name is not None for name in named)


def check_columns(records: Records, config: RemindersConfig) -> None:
    """Refuse a config that names columns which the records do not have.

    Parameters
    ----------
    records : Records
        Of all customers or of a part of them.
    config : RemindersConfig

    Raises
    ------
    ConfigError
    """
    for exclusion in config.exclusions:
        for column in filter(None, [exclusion.column, exclusion.known_on, exclusion.until]):
            column_of(records, exclusion.table, column, _setting_of(exclusion))
    if config.technical_days is not None:
        _check_technical(records)
    for setting, name in (
        ("hours.timezone_column", config.hours.timezone_column),
        ("channel_column", config.channel_column),
    ):
        if name is not None:
            column_of(records, "customers", name, setting)


def _setting_of(exclusion: ExclusionRule) -> str:
    return f"exclusions, rule '{exclusion.rule}'"


def find_excluded(
    records: Records, as_of: dt.date, config: RemindersConfig
) -> tuple[pd.Series, dict[str, int]]:
    """The first exclusion rule that holds for each customer.

    Parameters
    ----------
    records : Records
    as_of : datetime.date
    config : RemindersConfig

    Returns
    -------
    excluded : pandas.Series of str
        Indexed by customer_id, sorted; only customers for whom a rule holds.
    unclear : dict
        By rule, how many cells say neither yes nor no. They count as yes: nobody is contacted in doubt.

    Raises
    ------
    ConfigError
        If the config names a column that is not there.
    """
    found: list[pd.DataFrame] = []
    unclear: dict[str, int] = {}
    order = {rule: place for place, rule in enumerate(config.rules)}
    for exclusion in config.exclusions:
        holds, n_unclear = _holds(records, exclusion, as_of)
        unclear[exclusion.rule] = unclear.get(exclusion.rule, 0) + n_unclear
        ids = records.tables[exclusion.table].column("customer_id").filter(pa.array(holds))
        found.append(pd.DataFrame({"customer_id": ids.to_pandas(), "place": order[exclusion.rule]}))
    if config.technical_days is not None:
        ids = _technical(records, as_of, config.technical_days)
        found.append(pd.DataFrame({"customer_id": ids.to_pandas(), "place": order["technical"]}))
    if not found:
        return pd.Series([], index=pd.Index([], dtype="str", name="customer_id"), dtype="str"), unclear
    first = pd.concat(found).astype({"customer_id": "str"}).groupby("customer_id")["place"].min()
    return first.map(dict(enumerate(config.rules))).astype("str"), {k: n for k, n in unclear.items() if n}


def find_matched(records: Records, config: RemindersConfig) -> dict[str, list[str]]:
    """Which of the ``values`` of exclusion rules stand in any cell of their column, whatever its dates.

    Parameters
    ----------
    records : Records
    config : RemindersConfig

    Returns
    -------
    dict of str to list of str
        By rule, for rules with ``values``; sorted.

    Raises
    ------
    ConfigError
        If the config names a column that is not there.
    """
    found: dict[str, set[str]] = {}
    for exclusion in config.exclusions:
        if exclusion.values is not None:
            cells = column_of(records, exclusion.table, exclusion.column, _setting_of(exclusion))
            words = {_word(cell) for cell in pc.unique(cells).to_pylist()}
            here = {value for value in exclusion.values if _folded(value) in words}
            found[exclusion.rule] = found.get(exclusion.rule, set()) | here
    return {rule: sorted(values) for rule, values in found.items()}


def find_unmatched(matched: Mapping[str, Collection[str]], config: RemindersConfig) -> dict[str, list[str]]:
    """The ``values`` of exclusion rules that stand in no cell: they may be misspelt.

    Parameters
    ----------
    matched : mapping of str to collection of str
        What :func:`find_matched` gave for all records, or for all parts of them together.
    config : RemindersConfig

    Returns
    -------
    dict of str to list of str
        By rule, for rules of which there is any; sorted.
    """
    found: dict[str, set[str]] = {}
    for exclusion in config.exclusions:
        left = set(exclusion.values or ()) - set(matched.get(exclusion.rule, ()))
        found[exclusion.rule] = found.get(exclusion.rule, set()) | left
    return {rule: sorted(values) for rule, values in found.items() if values}


def _holds(records: Records, exclusion: ExclusionRule, as_of: dt.date) -> tuple[Bools, int]:
    """Whether each row of the table excludes its customer, and how many cells were unclear."""
    where = _setting_of(exclusion)
    wanted = None if exclusion.values is None else {_folded(value) for value in exclusion.values}
    cells = column_of(records, exclusion.table, exclusion.column, where)
    if wanted is not None:
        answers = _by_word(cells, lambda cell: float(_word(cell) in wanted))
    else:
        answers = _by_word(cells, lambda cell: _says_yes(cell, as_of))
    unclear = np.isnan(answers)
    holds = unclear | (answers == 1.0)
    # An account that is opened after the as_of date was not there to say anything.
    opened = ["opened_on"] if exclusion.table == "accounts" else []
    for name in filter(None, [exclusion.known_on, *opened]):
        holds &= _days_meet(column_of(records, exclusion.table, name, where), lambda day: day <= as_of)
    if exclusion.until is not None:
        days = column_of(records, exclusion.table, exclusion.until, where)
        holds &= _days_meet(days, lambda day: day > as_of)
    return holds, int((unclear & holds).sum())


def _days_meet(cells: pa.ChunkedArray, asked: Callable[[dt.date], bool]) -> Bools:
    """Whether each day meets what is asked; a cell without one sets no limit."""
    answers = _by_word(cells, lambda cell: float((day := _as_day(cell)) is None or asked(day)))
    return np.asarray(answers == 1.0)


def _by_word(cells: pa.ChunkedArray, answer: Callable[[object], float]) -> npt.NDArray[np.float64]:
    """The answer for every cell, asked once for each different one."""
    coded = pc.dictionary_encode(cells.combine_chunks(), null_encoding="encode")
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    answers = np.array([answer(cell) for cell in coded.dictionary.to_pylist()], dtype=np.float64)
    if not len(answers):
        return np.empty(0)
    return answers[np.asarray(coded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)]


def _word(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else _folded(str(cell))


def _folded(text: str) -> str:
    return text.strip().casefold()


def _as_day(cell: object) -> dt.date | None:
    if isinstance(cell, dt.datetime):
        return cell.date()
    if isinstance(cell, dt.date):
        return cell
    try:
        return dt.date.fromisoformat(str(cell).strip()[:10])
    except ValueError:
        return None


def _says_yes(cell: object, as_of: dt.date) -> float:
    """1 for yes, 0 for no, NaN for anything else."""
    word = _word(cell)
    if word in _NO:
        return 0.0
    if word in _YES or (isinstance(cell, int | float) and not isinstance(cell, bool)):
        return 1.0
    day = _as_day(cell)
    if day is not None:
        return float(day <= as_of)
    try:
        # Numbers that stand there as text, or as decimals.
        return float(float(word) != 0.0)
    except ValueError:
        return float("nan")


def _technical(records: Records, as_of: dt.date, days: int) -> pa.ChunkedArray:
    """Customers with a technical payment in the last days."""
    _check_technical(records)
    with records.session() as con:
        con.execute("SET VARIABLE as_of = ?", [as_of])
        table = con.sql(
            f"""SELECT DISTINCT a.customer_id FROM payments p JOIN accounts a USING (account_id)
            WHERE p.technical AND {known_on_sql(records, "payments", alias="p")} <= getvariable('as_of')
                AND p.paid_on > getvariable('as_of') - {days} ORDER BY a.customer_id"""
        ).to_arrow_table()
    return table.column("customer_id")


def _check_technical(records: Records) -> None:
    if "technical" not in records.columns("payments"):
        raise ConfigError(
            "payments do not say which are technical",
            where="technical_days",
            next_step="add the column 'technical' to payments, or leave technical_days empty",
        )
