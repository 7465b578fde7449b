"""What the card says of what if: the standard events, and the smallest change that lowers the tier."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overdue_ml.config import ScoreConfig, TierRule, build_config
from overdue_ml.errors import ModelError, OverdueMLError
from overdue_ml.explain import (
    Event,
    Rescorer,
    WhatIf,
    Wording,
    income_falls,
    pay_arrears,
    pay_next_dues,
    pay_next_statements,
)
from overdue_ml.explain.contributions import TOLERANCE
from overdue_ml.explain.smallest import search_smallest
from overdue_ml.features import GivenFeatures, OwnFeatures, own_features_of
from overdue_ml.jobs.replay import model_of_run
from overdue_ml.jobs.silent import silent_reasons
from overdue_ml.model import ScoringModel
from overdue_ml.records import Records, compute_next_due
from overdue_ml.reminders.tiers import assign_tiers
from overdue_ml.reports import Scenario, WhatIfCard


@dataclass(frozen=True)
class Asker:
    """A model at hand, to be asked what it makes of other ledgers.

    Parameters
    ----------
    manifest : mapping
        Of the run.
    model : ScoringModel
    own : OwnFeatures or None
        Those that the model was trained with.
    """

    manifest: Mapping[str, Any]
    model: ScoringModel
    own: OwnFeatures | None

    @classmethod
    def find(cls, manifest: Mapping[str, Any], models: Path, own: GivenFeatures | None) -> Asker | None:
        """The model of a run; None where it is not at hand, or features of one's own are not given.

        A models folder that is not there is not made.
        """
        if not (os.environ.get("MLFLOW_TRACKING_URI") or (models / "mlflow.db").is_file()):
            return None
        try:
            model = model_of_run(manifest, models).model
            return cls(manifest, model, own_features_of(model.meta.get("own_features"), own))
        except OverdueMLError:
            return None

    def ask(self, records: Records, row: Mapping[str, Any], wording: Wording) -> WhatIfCard:
        """The section of one customer.

        Parameters
        ----------
        records : Records
            All of them.
        row : mapping
            Of the customer in the scores: customer_id, log_odds, tier.
        wording : Wording

        Returns
        -------
        WhatIfCard
            With nothing but a sentence where the records do not give the score of the run.
        """
        as_of = dt.date.fromisoformat(self.manifest["as_of"])
        try:
            rescorer = Rescorer(records, str(row["customer_id"]), as_of, self.model, self.own)
            now = rescorer.as_it_stands(as_of)
            if not abs(now.log_odds - float(row["log_odds"])) <= TOLERANCE:
                raise ModelError("the records do not give the score of the run")
            found = [rescorer.what_if(events) for events in _possible(rescorer)]
            smallest, words = self._smallest(rescorer, str(row["tier"]), wording)
        except OverdueMLError:
            return WhatIfCard(absent=wording.text("what_if_no_score"))
        asked = {tuple(e.name for e in w.events) for w in found}
        if smallest is not None and tuple(e.name for e in smallest.events) not in asked:
            found.append(smallest)
        return WhatIfCard([self._scenario(rescorer, w, wording) for w in found], words)

    def _smallest(self, rescorer: Rescorer, tier: str, wording: Wording) -> tuple[WhatIf | None, str]:
        limit = tier_threshold(self._tiers(), tier)
        if not limit:
            return None, wording.text("what_if_lowest")
        found = search_smallest(rescorer, limit)
        return found.found, found.sentences(wording)[0]

    def _scenario(self, rescorer: Rescorer, found: WhatIf, wording: Wording) -> Scenario:
        edited, _, _ = rescorer.edited(found.events)
        moved, _ = found.moved(silent_reasons(self.manifest))
        codes = [(str(row["reason_code"]), float(row["change"])) for row in moved]
        return Scenario(
            found.clause(wording.language),
            found.on,
            found.without.p_overdue,
            found.after.p_overdue,
            self._tier(rescorer.known, found.on, found.without.p_overdue),
            self._tier(edited, found.on, found.after.p_overdue),
            [(wording.title(c) if c in wording.reasons else c, change) for c, change in codes],
        )

    def _tiers(self) -> Sequence[TierRule]:
        return build_config(ScoreConfig, self.manifest["settings"]["score"]).tiers

    def _tier(self, records: Records, on: dt.date, p: float) -> str:
        """Of one customer's ledger: a tier asks for an amount as well, and the next due may be another."""
        due = compute_next_due(records, on)["due_amount"]
        amount = float(due.iloc[0]) if len(due) else 0.0
        return str(assign_tiers(np.array([p]), np.array([amount]), self._tiers())[0])


def _possible(rescorer: Rescorer) -> list[list[Event]]:
    """The standard events that find something to edit; of the next dues as many as are known, up to two."""

    def works(event: Event) -> bool:
        return not rescorer.edited([event])[2]

    found = [e for e in (pay_arrears(),) if works(e)]
    for ahead in (pay_next_dues, pay_next_statements):
        found += [e for e in (ahead(2), ahead(1)) if works(e)][:1]
    found += [e for e in (income_falls(),) if works(e)]
    return [[event] for event in found]


def tier_threshold(rules: Sequence[TierRule], tier: str) -> float:
    """The lower end of a tier in probability; 0 of the lowest."""
    return next((rule.min_probability for rule in rules if rule.tier == tier), 0.0)
