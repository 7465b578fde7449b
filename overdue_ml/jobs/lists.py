"""The lists of a run as files: reminders, the watch list, and what may follow.

Parquet is whole. CSV and Excel go to people: no cell is a formula, and masked columns show their ends only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from overdue_ml.config import RemindersConfig, ScoreConfig
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.excel import check_excel, write_excel
from overdue_ml.jobs.output import mask_id, write_csv, write_parquet
from overdue_ml.model import ScoringModel
from overdue_ml.reminders import (
    REMINDER_COLUMNS,
    ReminderInputs,
    ReminderList,
    check_indicators,
)
from overdue_ml.reminders.alerts import WATCH_COLUMNS
from overdue_ml.reminders.eligibility import find_unmatched
from overdue_ml.reminders.ladder import TREATMENT_COLUMNS
from overdue_ml.reminders.ranking import check_benefits

#: What a column holds that is not text, for lists on which nobody stands.
_KINDS = dict.fromkeys(("as_of_date", "earlier_as_of", "next_due_date", "contact_on"), pa.date32()) | {
    name: pa.float64() for name in ("value", "earlier_value", "threshold", "overdue_amount")
}


@dataclass(frozen=True)
class Lists:
    """The lists of a run.

    Attributes
    ----------
    reminders : ReminderList
        Without those who are suppressed.
    watch : pandas.DataFrame
        See :func:`overdue_ml.reminders.compute_watch_list`.
    treatment : pandas.DataFrame
        See :func:`overdue_ml.reminders.suggest_treatment`.
    """

    reminders: ReminderList
    watch: pd.DataFrame
    treatment: pd.DataFrame


def check_lists(config: RemindersConfig, model: ScoringModel, score: ScoreConfig) -> None:
    """Refuse what could not be written before anything is computed.

    Parameters
    ----------
    config : RemindersConfig
    model : ScoringModel
    score : ScoreConfig

    Raises
    ------
    ConfigError
        If Excel files are asked for without openpyxl, or a masked column or an indicator does not exist: a
        column that is misspelt would otherwise be shown whole. If the list is to be ranked by benefits that
        are not known.
    """
    if config.excel:
        check_excel()
    columns = list(dict.fromkeys([*REMINDER_COLUMNS, *WATCH_COLUMNS, *TREATMENT_COLUMNS]))
    for name in config.masked_columns:
        if name not in columns:
            raise ConfigError(
                f"no list has a column '{name}' to mask",
                where="masked_columns",
                expected=f"some of {', '.join(columns)}",
                next_step="mend the reminders config",
            )
    check_indicators(config.alerts, indicators_of(model, score))
    # A model's scores have no column of benefits.
    check_benefits(config)


def indicators_of(model: ScoringModel, score: ScoreConfig) -> list[str]:
    """Columns of numbers that a model's ``scores.parquet`` has."""
    reasons = 0 if score.explain == "none" else score.reasons
    interval = [] if model.classifier.interval_ is None else ["p_low", "p_high"]
    return [
        "p_overdue",
        *interval,
        *(f"p_overdue_dpd{days}" for days in model.further),
        "log_odds", "points", "rank", "due_amount", "exposure_amount", "expected_overdue_amount",
        *(f"reason_{i}_contribution" for i in range(1, reasons + 1)),
    ]  # fmt: skip


def write_lists(folder: Path, lists: Lists, config: RemindersConfig, as_of: dt.date) -> None:
    """Write every list, also an empty one: what a run consists of does not depend on who is in it.

    Whoever is suppressed is no list: they are nearly everybody, and are written as scores go by.

    Parameters
    ----------
    folder : Path
    lists : Lists
    config : RemindersConfig
    as_of : datetime.date
    """
    found, masked = lists.reminders, config.masked_columns
    write_parquet(_table(found.reminders), folder / "reminders.parquet")
    write_csv(mask_columns(found.reminders, masked), folder / "reminders.csv")
    if config.excel:
        shown = mask_columns(found.reminders, masked)
        write_excel(shown, folder / "reminders.xlsx", "reminders", as_of)
    if config.holdout.campaign is not None:
        write_parquet(found.arms, folder / "arms.parquet")
    for name, frame in {"watch_list": lists.watch, "treatment": lists.treatment}.items():
        write_parquet(_table(frame), folder / f"{name}.parquet")
        write_csv(mask_columns(frame, masked), folder / f"{name}.csv")


def mask_columns(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """A table of which some columns show the ends of their cells only.

    Parameters
    ----------
    frame : pandas.DataFrame
    columns : list of str
        Those that it does not have are left out.
    """
    here = [name for name in columns if name in frame]
    hidden = {name: [None if pd.isna(v) else mask_id(str(v)) for v in frame[name]] for name in here}
    return frame.assign(**{name: pd.array(cells, dtype="str") for name, cells in hidden.items()})


def facts_of_lists(lists: Lists, inputs: ReminderInputs, config: RemindersConfig) -> dict[str, Any]:
    """Counts of the lists, for the manifest.

    Parameters
    ----------
    lists : Lists
    inputs : ReminderInputs
        What the policy knew of the customers.
    config : RemindersConfig
    """
    rules = [rule.model_dump(mode="json") for rule in dict.fromkeys(config.alerts)]
    named = ["indicator", "kind", "threshold", "direction", "owner"]
    counts: Mapping[Any, int] = lists.watch.groupby(named).size().to_dict()
    return {
        "reminder_inputs": {
            "has_contacts": inputs.has_contacts,
            "unclear": dict(inputs.unclear),
            "unmatched": find_unmatched(inputs.matched, config),
        },
        "arms": _counts(lists.reminders.arms["arm"]),
        "watch_list": [rule | {"n": int(counts.get(tuple(rule[k] for k in named), 0))} for rule in rules],
        "treatment": _counts(lists.treatment["rung"]),
    }


def _counts(words: pd.Series) -> dict[str, int]:
    return {str(word): int(n) for word, n in words.value_counts().sort_index().items()}


def _table(frame: pd.DataFrame) -> pa.Table:
    """As Arrow, with columns of the same kinds whoever is on the list."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for place, name in enumerate(table.column_names):
        if pa.types.is_null(table.schema.field(name).type):
            kind = _KINDS.get(name, pa.string())
            table = table.set_column(place, name, table.column(name).cast(kind))
    return table
