"""Who is on the list of a run and who is not, decided part by part.

Nearly all rules ask about one customer alone, so only those whom none of them leaves out have to stand
together in memory: for capacity, the holdout, and the list itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.config import RemindersConfig
from overdue_ml.jobs.assemble import PartFiles, part_tables
from overdue_ml.jobs.inputs import PAST_DUE, inputs_of_part
from overdue_ml.jobs.order import InFiles, InMemory
from overdue_ml.jobs.parts import INPUTS, SCORES
from overdue_ml.reminders import (
    ARM_COLUMNS,
    REMINDER_COLUMNS,
    SCORED_COLUMNS,
    ReminderInputs,
    ReminderList,
    ask_alone,
    rank_customers,
)
from overdue_ml.reminders.scored import strings_of


@dataclass(frozen=True)
class Decided:
    """What was decided about every scored customer.

    Attributes
    ----------
    rule : ndarray of int16, shape (n,)
        In the order of the rows of the parts, one part after another: place among the rules of the config,
        -1 for those on the list.
    is_late : ndarray of bool, shape (n,)
        Who is past due, in the same order.
    reminders : ReminderList
        Among ``suppressed`` only those whom capacity or the holdout leaves out.
    inputs : ReminderInputs
        Of customers who could be on the list, and counts of all.
    past_due : pandas.DataFrame
        See :func:`overdue_ml.reminders.collect_past_due`.
    """

    rule: npt.NDArray[np.int16]
    is_late: npt.NDArray[np.bool_]
    reminders: ReminderList
    inputs: ReminderInputs
    past_due: pd.DataFrame


def decide(
    folder: Path,
    facts: Sequence[Mapping[str, Any]],
    as_of: dt.date,
    config: RemindersConfig,
    room: InFiles | InMemory,
    planned: pd.DataFrame | None = None,
) -> Decided:
    """Apply the reminder policy to the parts of a run; see :func:`overdue_ml.reminders.rank_customers`.

    Parameters
    ----------
    folder : Path
        Of the parts.
    facts : sequence of mapping
        What their JSON files say.
    as_of : datetime.date
    config : RemindersConfig
    room : InFiles or InMemory
    planned : pandas.DataFrame, optional
        Of :class:`overdue_ml.reminders.ReminderInputs`, of all customers.

    Raises
    ------
    ConfigError
    """
    parts = PartFiles(folder, [f["bucket"] for f in facts if f["rows"]], SCORES)
    told = [f[INPUTS] for f in facts if INPUTS in f]
    n = sum(f["rows"] for f in facts)
    rule, is_late = room.zeros(n, np.int16), room.zeros(n, np.bool_)
    rows, frames, inputs, late, start = [], [], [], [], 0
    for part, tables, fact in zip(parts, part_tables(folder, parts.buckets, INPUTS), told, strict=True):
        here = slice(start, start + part.num_rows)
        known = _with_planned(inputs_of_part(tables, fact, as_of), planned)
        rule[here] = ask_alone(_asked(part), config, known)
        left = np.flatnonzero(rule[here] < 0)
        rows.append(start + left)
        frames.append(_listed(part, config).take(pa.array(left)))
        ids = part.column("customer_id").cast(pa.large_string())
        inputs.append(_only(known, ids.take(pa.array(left))))
        late.append(tables[PAST_DUE])
        owing = late[-1].column("customer_id").cast(pa.large_string())
        is_late[here] = pc.is_in(ids, value_set=owing).to_numpy()
        start = here.stop
    found = _with_planned(ReminderInputs.concat(inputs), planned)
    scores = pa.concat_tables(frames).to_pandas()
    reminders = rank_customers(scores, config, found)
    out = reminders.suppressed
    places = pd.Index(scores["customer_id"]).get_indexer(out["customer_id"])
    rule[np.concatenate(rows)[places]] = [config.rules.index(word) for word in out["rule"]]
    past_due = pa.concat_tables(late).sort_by("customer_id").to_pandas()
    return Decided(rule, is_late, reminders, found, past_due)


def _with_planned(inputs: ReminderInputs, planned: pd.DataFrame | None) -> ReminderInputs:
    return inputs if planned is None else replace(inputs, planned=planned)


def _asked(part: pa.Table) -> pd.DataFrame:
    """What rules that look at one customer alone read of the scores."""
    frame: pd.DataFrame = part.select(_there(part, SCORED_COLUMNS)).to_pandas(date_as_object=False)
    return frame


def _listed(part: pa.Table, config: RemindersConfig) -> pa.Table:
    """What the lists show and are ranked by."""
    return part.select(_there(part, [*SCORED_COLUMNS, *REMINDER_COLUMNS, *ARM_COLUMNS, config.rank_by]))


def _there(part: pa.Table, columns: Sequence[str]) -> list[str]:
    return [name for name in part.column_names if name in columns]


def _only(inputs: ReminderInputs, customer_ids: pa.ChunkedArray) -> ReminderInputs:
    """What is known of these customers, and the counts of all; without what earlier runs planned."""
    people, contacts = (
        frame[np.asarray(pc.is_in(strings_of(frame["customer_id"]), value_set=customer_ids))]
        for frame in (inputs.people, inputs.contacts)
    )
    return ReminderInputs(
        inputs.as_of,
        people,
        contacts,
        inputs.timezone,
        inputs.has_contacts,
        inputs.unclear,
        matched=inputs.matched,
    )
