"""What earlier runs in the same folder planned for days after the as_of date of a run.

Before a day of rest several runs plan for the same next working day. To a run alone the contacts of those
before it are unknown: the table ``contacts`` tells what was done, not what will be.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overdue_ml.config import RemindersConfig
from overdue_ml.jobs.places import is_whole
from overdue_ml.jobs.runs import earlier_runs

_REMINDERS = "reminders.parquet"
_SCHEMA = pa.schema(
    [("customer_id", pa.large_string()), ("contact_on", pa.date32()), ("channel", pa.large_string())]
)
_BATCH: Final = 65_536


@dataclass(frozen=True, eq=False)
class Planned:
    """Contacts after the as_of date of a run that earlier runs planned.

    Attributes
    ----------
    contacts : pyarrow.Table
        customer_id, contact_on, channel; sorted.
    runs : list of (str, int)
        as_of date of each earlier run and how many of the contacts are its own, by date.
    """

    contacts: pa.Table
    runs: list[tuple[str, int]]

    def frame(self) -> pd.DataFrame:
        """As :class:`overdue_ml.reminders.ReminderInputs` takes them."""
        frame: pd.DataFrame = self.contacts.to_pandas(date_as_object=False)
        return frame

    def identity(self) -> dict[str, Any]:
        """What a run that counts them depends on: whose they are, and SHA-256 of themselves."""
        digest = hashlib.sha256()
        for start in range(0, self.contacts.num_rows, _BATCH):
            rows = self.contacts.slice(start, _BATCH)
            cells = [column.cast(pa.large_string()).to_pylist() for column in rows.columns]
            digest.update(json.dumps(cells).encode())
        return {"runs": [list(run) for run in self.runs], "contacts_hash": digest.hexdigest()}


def planned_before(out: Path, as_of: dt.date, model_name: str, config: RemindersConfig) -> Planned | None:
    """What the last finished run of each earlier date planned for days after this one.

    Days up to the as_of date are history: what was planned for them was done and stands in the table
    ``contacts``, or was not. A run whose reminders are not as its manifest says is passed over.

    Parameters
    ----------
    out : Path
    as_of : datetime.date
    model_name : str
        Of the registered model; its version may be another one.
    config : RemindersConfig
        Of the run that asks.

    Returns
    -------
    Planned or None
        None if there are none, or nothing in the config depends on them.
    """
    if not _is_asked(config):
        return None
    here = {"as_of": as_of.isoformat(), "model": {"name": model_name}}
    tables: dict[str, pa.Table] = {}
    for folder, manifest in reversed(list(earlier_runs(out / f"as_of={as_of}", here))):
        day = str(manifest["as_of"])
        if day not in tables and _may_reach(manifest, as_of):
            found = _after(folder, manifest, as_of)
            if found is not None:
                tables[day] = found
    runs = [(day, tables[day].num_rows) for day in sorted(tables) if tables[day].num_rows]
    if not runs:
        return None
    contacts = pa.concat_tables([tables[day] for day, _ in runs])
    order = [(name, "ascending") for name in ("contact_on", "customer_id", "channel")]
    return Planned(contacts.sort_by(order), runs)


def _is_asked(config: RemindersConfig) -> bool:
    limits = [config.daily_capacity, *(rule.daily_capacity for rule in config.channels)]
    return config.contacts.window_days > 0 or any(limit is not None for limit in limits)


def _may_reach(manifest: Mapping[str, Any], as_of: dt.date) -> bool:
    """Whether a run may plan for days after this one: no contact is later than the due date it is for."""
    try:
        policy = manifest["settings"]["reminders"]
        lead, every = policy["lead_days"], policy["every_days"]
        farthest = (max(lead) if isinstance(lead, list) else lead) + every - 1
        return bool((as_of - dt.date.fromisoformat(manifest["as_of"])).days < farthest)
    except (KeyError, TypeError, ValueError):
        return False


def _after(folder: Path, manifest: Mapping[str, Any], as_of: dt.date) -> pa.Table | None:
    """The contacts that a run planned for later days; None of a run that is not whole."""
    digest = manifest.get("files", {}).get(_REMINDERS)
    if not digest or not is_whole(folder, {_REMINDERS: digest}):
        return None
    try:
        table = pq.read_table(folder / _REMINDERS, columns=_SCHEMA.names).select(_SCHEMA.names).cast(_SCHEMA)
    except (OSError, KeyError, pa.ArrowException):
        return None
    return table.filter(pc.greater(table.column("contact_on"), pa.scalar(as_of, pa.date32())))
