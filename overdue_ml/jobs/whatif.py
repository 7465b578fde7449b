"""``overdue-ml what-if``: the score that a customer of a finished run would have if something happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overdue_ml.config import RecordsConfig, ScoreConfig, build_config
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.explain import Event, Rescorer, SmallestChange, WhatIf, Wording
from overdue_ml.explain.contributions import TOLERANCE
from overdue_ml.explain.smallest import search_smallest
from overdue_ml.features import GivenFeatures, own_features_of
from overdue_ml.jobs.replay import model_of_run
from overdue_ml.jobs.runs import find_run, read_manifest, read_row
from overdue_ml.records import Records, load_records


@dataclass(frozen=True)
class WhatIfResult:
    """An answer, and the units in which its figures are told.

    Attributes
    ----------
    answer : WhatIf or SmallestChange
    units : mapping of str to str
        By feature.
    """

    answer: WhatIf | SmallestChange
    units: Mapping[str, str]

    def text(self, wording: Wording) -> str:
        """The sentences, one a line."""
        return "\n".join(self.answer.sentences(wording, dict(self.units)))


def run_what_if(
    scores: Path,
    customer_id: str,
    models: Path,
    events: Sequence[Event] = (),
    *,
    below: float | None = None,
    source: Path | Records | None = None,
    own: GivenFeatures | None = None,
) -> WhatIfResult:
    """Edit the ledger of a scored customer by events, or search the smallest change that lowers the tier.

    Parameters
    ----------
    scores : Path
        A scoring run.
    customer_id : str
    models : Path
        The models folder.
    events : sequence of Event
        What would happen; without any the smallest change is searched.
    below : float, optional
        The probability to come below; by default the lower end of the customer's tier. Only for the search.
    source : Path or Records, optional
        The records that were scored, or what they have grown to; by default where the run read them.
    own : path, OwnFeatures or sequence of features, optional
        Features of your own that the model was trained with.

    Returns
    -------
    WhatIfResult

    Raises
    ------
    ConfigError
        If the run, the customer or a threshold is unknown.
    ModelError
        If the model of the run cannot be loaded.
    RecordsError
        If the records do not give the score of the run.
    """
    folder = find_run(scores)
    manifest = read_manifest(folder)
    row = read_row(folder / "scores.parquet", customer_id)
    model = model_of_run(manifest, models).model
    used = own_features_of(model.meta.get("own_features"), own)
    records = _records(manifest, source)
    as_of = dt.date.fromisoformat(manifest["as_of"])
    rescorer = Rescorer(records, customer_id, as_of, model, used)
    now = rescorer.as_it_stands(as_of)
    if not abs(now.log_odds - float(row["log_odds"])) <= TOLERANCE:
        raise RecordsError(
            "the records do not give the score of the run",
            expected=f"log-odds {row['log_odds']:.6f}, found {now.log_odds:.6f}",
            next_step="'overdue-ml replay' says what is another; or score again",
        )
    if events:
        return WhatIfResult(rescorer.what_if(events), model.units)
    limit = _threshold(manifest, str(row["tier"])) if below is None else below
    return WhatIfResult(search_smallest(rescorer, limit), model.units)


def _records(manifest: Mapping[str, Any], source: Path | Records | None) -> Records:
    if source is None:
        if not manifest.get("records_source"):
            raise ConfigError("the run does not say where its records are", next_step="give --records")
        source = Path(str(manifest["records_source"]))
    if isinstance(source, Records):
        return source
    return load_records(source, build_config(RecordsConfig, manifest["settings"]["records"]))


def _threshold(manifest: Mapping[str, Any], tier: str) -> float:
    """The lower end of a tier in probability."""
    rules = build_config(ScoreConfig, manifest["settings"]["score"]).tiers
    limit = next((rule.min_probability for rule in rules if rule.tier == tier), 0.0)
    if not limit:
        raise ConfigError(
            f"the customer is in the tier '{tier}', below which there is none",
            next_step="name events with --event, or a probability with --below",
        )
    return limit
