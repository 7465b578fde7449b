"""``overdue-ml what-if``: the score that a customer of a finished run would have if something happened."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overdue_ml.config import ScoreConfig, build_config
from overdue_ml.errors import ConfigError, RecordsError
from overdue_ml.explain import Event, Rescorer, SmallestChange, WhatIf, Wording
from overdue_ml.explain.contributions import TOLERANCE
from overdue_ml.explain.smallest import search_smallest
from overdue_ml.features import GivenFeatures, own_features_of
from overdue_ml.jobs.book import records_of
from overdue_ml.jobs.card_whatif import tier_threshold
from overdue_ml.jobs.replay import model_of_run, needs_whole_book
from overdue_ml.jobs.runs import book_of_run, find_run, read_manifest, read_row
from overdue_ml.jobs.silent import silent_reasons
from overdue_ml.records import Records


@dataclass(frozen=True)
class WhatIfResult:
    """An answer, and the units in which its figures are told.

    Attributes
    ----------
    answer : WhatIf or SmallestChange
    units : mapping of str to str
        By feature.
    silent : frozenset of str
        Reasons that are never told.
    """

    answer: WhatIf | SmallestChange
    units: Mapping[str, str]
    silent: frozenset[str] = frozenset()

    def text(self, wording: Wording) -> str:
        """The sentences, one a line."""
        return "\n".join(self.answer.sentences(wording, dict(self.units), self.silent))


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
    everybody = needs_whole_book(model, used)
    records = records_of(book_of_run(manifest, source), None if everybody else [customer_id])
    as_of = dt.date.fromisoformat(manifest["as_of"])
    rescorer = Rescorer(records, customer_id, as_of, model, used)
    now = rescorer.as_it_stands(as_of)
    if not abs(now.log_odds - float(row["log_odds"])) <= TOLERANCE:
        raise RecordsError(
            "the records do not give the score of the run",
            expected=f"log-odds {row['log_odds']:.6f}, found {now.log_odds:.6f}",
            next_step="'overdue-ml replay' says what is another; or score again",
        )
    silent = silent_reasons(manifest)
    if events:
        return WhatIfResult(rescorer.what_if(events), model.units, silent)
    limit = _threshold(manifest, str(row["tier"])) if below is None else below
    return WhatIfResult(search_smallest(rescorer, limit), model.units, silent)


def _threshold(manifest: Mapping[str, Any], tier: str) -> float:
    """The lower end of a tier in probability."""
    rules = build_config(ScoreConfig, manifest["settings"]["score"]).tiers
    limit = tier_threshold(rules, tier)
    if not limit:
        raise ConfigError(
            f"the customer is in the tier '{tier}', below which there is none",
            next_step="name events with --event, or a probability with --below",
        )
    return limit
