"""What the lists of a run need from the records, as part tables of a bucket and read back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RemindersConfig
from overdue_ml.records import Records
from overdue_ml.reminders import ReminderInputs, collect_inputs, collect_past_due

_PEOPLE, _CONTACTS = "people", "contacts"
#: The table of :func:`overdue_ml.reminders.collect_past_due`.
PAST_DUE = "past_due"
#: Tables with what the policy asks of a customer.
_ASKED = ("customers", "accounts", "contacts")


def input_tables(
    records: Records, scored: pd.Series, dues: pd.DataFrame, as_of: dt.date, config: RemindersConfig
) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """Facts of the customers of a bucket that the lists are made of.

    Parameters
    ----------
    records : Records
    scored : pandas.Series of str
        Ids of those who were scored. Nobody else is kept or counted: who stands in a bucket without being
        known yet depends on how the book was cut.
    dues : pandas.DataFrame
        What :func:`overdue_ml.records.compute_next_due` gave for the records.
    as_of : datetime.date
    config : RemindersConfig

    Returns
    -------
    tables : dict of str to pyarrow.Table
    facts : dict
        For the part's JSON.
    """
    ids = pa.array(scored, pa.string())
    asked = {name: records.tables[name] for name in _ASKED if name in records}
    known = replace(records, tables=dict(records.tables) | {n: _rows_of(t, ids) for n, t in asked.items()})
    dues = dues[pc.is_in(pa.array(dues.index, pa.string()), value_set=ids).to_numpy(zero_copy_only=False)]
    inputs = collect_inputs(known, as_of, config, dues=dues)
    frames = {
        _PEOPLE: inputs.people,
        _CONTACTS: inputs.contacts,
        PAST_DUE: collect_past_due(known, as_of, dues=dues),
    }
    facts = {
        "timezone": inputs.timezone,
        "has_contacts": inputs.has_contacts,
        "unclear": {rule: int(n) for rule, n in inputs.unclear.items()},
        "matched": {rule: list(values) for rule, values in inputs.matched.items()},
    }
    return {name: pa.Table.from_pandas(frame, preserve_index=False) for name, frame in frames.items()}, facts


def inputs_of_part(
    tables: Mapping[str, pa.Table], facts: Mapping[str, Any], as_of: dt.date
) -> ReminderInputs:
    """The facts of a bucket as the reminder policy takes them.

    Parameters
    ----------
    tables : mapping of str to pyarrow.Table
        What :func:`input_tables` gave for a bucket in which somebody was scored.
    facts : mapping
        The same.
    as_of : datetime.date
    """
    return ReminderInputs(as_of, tables[_PEOPLE].to_pandas(), tables[_CONTACTS].to_pandas(), **facts)


def _rows_of(table: pa.Table, ids: pa.Array) -> pa.Table:
    column = table.column("customer_id")
    kept = pc.is_in(column, value_set=ids.cast(column.type))
    return table if pc.all(kept).as_py() in (True, None) else table.filter(kept)
