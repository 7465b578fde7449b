"""What if: the ledger of one customer edited by events, its features built and scored anew.

Nothing is asked of a column: a payment put into the ledger moves all that it moves, and nothing else. The
answer is the model's: how customers with such records turned out, and not what a payment would bring about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overdue_ml.errors import ConfigError, FeatureMismatchError, RecordsError
from overdue_ml.explain._whatif_words import say
from overdue_ml.explain.contributions import explain_scores
from overdue_ml.explain.edits import changes_past
from overdue_ml.explain.events import Event, apply_event
from overdue_ml.explain.reasons import sum_by_reason
from overdue_ml.explain.wording import Wording
from overdue_ml.features import (
    FunctionFeature,
    OwnFeatures,
    Registry,
    build_features,
    ranks_of,
    registry_with,
)
from overdue_ml.features.build import Beside, epoch_days, feature_rows
from overdue_ml.features.future import forget_after
from overdue_ml.features.keys import Keys
from overdue_ml.features.ranks import Book, ranked_sources
from overdue_ml.features.views import known_customers
from overdue_ml.model import ScoringModel
from overdue_ml.records import Records
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.select import keep_customers

#: A contribution of a reason that moved by less is not told.
_VISIBLE = 0.005
_MOST = 6


@dataclass(frozen=True)
class Rescored:
    """One score of a customer's ledger.

    Attributes
    ----------
    on : datetime.date
        As of which day.
    p_overdue, log_odds, base : float
    features : pandas.DataFrame, one row
    contributions : pandas.Series
        By feature, in log-odds; with ``base`` they add up to ``log_odds``.
    """

    on: dt.date
    p_overdue: float
    log_odds: float
    base: float
    features: pd.DataFrame
    contributions: pd.Series


@dataclass(frozen=True)
class WhatIf:
    """What a model says of a customer's ledger as it is, and as events would make it.

    Attributes
    ----------
    customer_id : str
    as_of : datetime.date
    events : tuple of Event
    idle : tuple of Event
        Those of them that found nothing to edit.
    now : Rescored
        As of ``as_of``, with the records as they stand.
    without, after : Rescored
        As of the same day: the latest of the events' own. ``without`` is the ledger of which nothing becomes
        known after ``as_of``; ``after`` the same with the events. What the events do is the difference
        between these two, and what the days alone do that between ``now`` and ``without``.
    reasons : pandas.DataFrame
        reason_code, without, after, change: contributions in log-odds, the largest change first. The changes
        add up to that of the log-odds.
    features : pandas.DataFrame
        feature, without, after: the features that are another number.
    """

    customer_id: str
    as_of: dt.date
    events: tuple[Event, ...]
    idle: tuple[Event, ...]
    now: Rescored
    without: Rescored
    after: Rescored
    reasons: pd.DataFrame
    features: pd.DataFrame

    @property
    def on(self) -> dt.date:
        """The day of the comparison."""
        return self.after.on

    @property
    def change(self) -> float:
        """What the events do to the raw log-odds."""
        return self.after.log_odds - self.without.log_odds

    def clause(self, lang: str) -> str:
        """The events that edit something, in words that end "if ..."."""
        working = [event.clause[lang] for event in self.events if event not in self.idle]
        return say(lang, "and").join(working)

    def moved(self, silent: Collection[str] = ()) -> tuple[list[dict[str, Any]], float]:
        """The reasons that move by what can be shown, and what all others come to.

        Parameters
        ----------
        silent : collection of str
            Reasons that are never told, as those with a protected attribute in them.

        Returns
        -------
        list of dict, float
            Rows of ``reasons``, the largest change first; the sum of the other changes in log-odds.
        """
        hidden = self.reasons["reason_code"].isin(list(silent))
        shown = self.reasons[~hidden & (self.reasons["change"].abs() >= _VISIBLE)].head(_MOST)
        rest = float(self.reasons["change"].sum() - shown["change"].sum())
        return [{str(k): v for k, v in row.items()} for row in shown.to_dict("records")], rest

    def sentences(
        self,
        wording: Wording,
        units: dict[str, str] | None = None,
        silent: Collection[str] = (),
        beside: Sequence[float] = (),
    ) -> list[str]:
        """What is compared with what, what came of it, and the reasons that move.

        Parameters
        ----------
        wording : Wording
            In 'en' or 'zh'.
        units : mapping of str to str, optional
            Units of the features by name; with them a reason says the figures that it would have.
        silent : collection of str
            Reasons that are never told; they count among the others.
        beside : sequence of float
            Probabilities that stand beside these and must look another where they are.

        Returns
        -------
        list of str
        """
        lang = wording.language
        scores = (self.now.p_overdue, self.without.p_overdue, self.after.p_overdue)
        figure = dict(
            zip(("now", "without", "after"), wording.format_shares([*scores, *beside]), strict=False)
        )
        told = [say(lang, "now", date=wording.format_date(self.as_of), p=figure["now"])]
        told += [event.idle[lang] for event in self.idle]
        if len(self.idle) == len(self.events):
            return told
        key = "today" if self.on == self.as_of else "later"
        told.append(
            say(
                lang, key, events=self.clause(lang), date=wording.format_date(self.on), after=figure["after"],
                without=figure["without"],
            )
        )  # fmt: skip
        shown, rest = self.moved(silent)
        values = {str(k): v for k, v in self.after.features.iloc[0].to_dict().items()}
        for row in shown:
            code, change = str(row["reason_code"]), float(row["change"])
            title = wording.title(code) if code in wording.reasons else code
            text = ""
            if units is not None and code in wording.reasons:
                after = float(row["after"])
                text = wording.sentence(code, after, values, units, self.on)
                # Without figures it tells which way the reason points, and not which way it moved.
                plain = text == wording.plain_sentence(code, after)
                text = "" if plain else say(lang, "space") + text
            told.append(say(lang, "reason", title=title, change=f"{change:+.2f}") + text)
        if not shown and abs(rest) < _VISIBLE:
            told.append(say(lang, "no_reason"))
        elif abs(rest) >= _VISIBLE:
            told.append(say(lang, "others", change=f"{rest:+.2f}"))
        return [*told, say(lang, "caveat")]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "customer_id": self.customer_id,
            "as_of": self.as_of.isoformat(),
            "on": self.on.isoformat(),
            "events": [event.name for event in self.events],
            "idle": [event.name for event in self.idle],
            **{
                name: {"p_overdue": score.p_overdue, "log_odds": score.log_odds}
                for name, score in (("now", self.now), ("without", self.without), ("after", self.after))
            },
            "reasons": self.reasons.to_dict("records"),
        }


def model_registry(model: ScoringModel, own: OwnFeatures | None = None) -> Registry:
    """The features that a model was trained on, by the very definitions of its training.

    Parameters
    ----------
    model : ScoringModel
    own : OwnFeatures, optional
        Those that it was trained with.

    Returns
    -------
    Registry

    Raises
    ------
    FeatureMismatchError
        If one is unknown or defined otherwise.
    """
    registry = registry_with(list(model.meta.get("attributes", [])), own, ranks=ranks_of(model.meta))
    names = model.feature_names
    if any(name not in registry for name in names) or (
        registry.feature_set_hash(names) != model.feature_set_hash
    ):
        raise FeatureMismatchError(
            "the model was trained on other feature definitions than this version builds",
            expected=f"feature set {model.feature_set_hash[:12]}",
            next_step="ask with the version that trained it, or train again",
        )
    return registry


class Rescorer:
    """Scores of one customer's ledger as known on a date, whatever it is made into.

    Only the customer's own rows are built anew. A rank is the place that a value has in the book as it stood
    at the end of the as_of date, also for later days: nobody else moves.

    Parameters
    ----------
    records : Records
        All of them; what became known after ``as_of`` is removed before anything else.
    customer_id : str
    as_of : datetime.date
    model : ScoringModel
    own : OwnFeatures, optional
        Those that the model was trained with.

    Attributes
    ----------
    known : Records
        Of the customer, as known at the end of ``as_of``.

    Raises
    ------
    RecordsError
        If nothing was known of the customer on the date.
    FeatureMismatchError
        If the features are defined otherwise than when the model was trained.
    """

    def __init__(
        self,
        records: Records,
        customer_id: str,
        as_of: dt.date,
        model: ScoringModel,
        own: OwnFeatures | None = None,
    ) -> None:
        self.customer_id, self.as_of, self.model = customer_id, as_of, model
        self._registry = model_registry(model, own)
        self._stands: dict[dt.date, Rescored] = {}
        self.known = forget_after(keep_customers(records, [customer_id]), as_of)
        if not len(known_customers(self.known, epoch_days([as_of])).day):
            raise RecordsError(
                f"nothing is known of customer '{customer_id[:80]}' on {as_of}",
                next_step="check the id character by character; leading zeros count",
            )
        names = model.feature_names
        sources = ranked_sources(names, self._registry)
        self._ranked: dict[str, Any] = {}
        if sources:
            book = build_features(records, as_of, sources, registry=self._registry)
            self._ranked = {name: book[name].to_numpy() for name in sources}
        has_function = any(isinstance(f, FunctionFeature) for f in self._registry.closure(names))
        self._others = forget_after(records, as_of) if has_function else None

    def score(self, records: Records, on: dt.date) -> Rescored:
        """Score a ledger of the customer as of a day.

        Parameters
        ----------
        records : Records
            Of the customer: ``known``, or what events made of it.
        on : datetime.date

        Returns
        -------
        Rescored
        """
        day = epoch_days([on])
        keys = Keys(np.array([self.customer_id], dtype=object), np.array([0, 1], dtype=np.int64), day)
        n = len(next(iter(self._ranked.values()))) if self._ranked else 0
        book = Book([(np.full(n, day[0]), self._ranked)] if n else [])
        whole = None if self._others is None else _put_back(self._others, records, self.customer_id)
        features = feature_rows(
            records, keys, self.model.feature_names, self._registry, 1, Beside(whole, book)
        ).droplevel("as_of_date")
        classifier = self.model.classifier
        log_odds = classifier.decision_function(features)
        found = explain_scores(classifier, features, log_odds)
        return Rescored(
            on,
            float(classifier.calibrator_.predict(log_odds)[0]),
            float(log_odds[0]),
            found.base,
            features,
            found.values.iloc[0],
        )

    def edited(self, events: Sequence[Event]) -> tuple[Records, dt.date, tuple[Event, ...]]:
        """The ledger after events, one after the other; the latest of their days; and the idle ones."""
        records, on, idle = self.known, self.as_of, []
        for event in events:
            made = apply_event(event, records, self.as_of)
            if made is None:
                idle.append(event)
                continue
            records, on = made[0], max(on, made[1])
        return records, on, tuple(idle)

    def what_if(self, events: Sequence[Event]) -> WhatIf:
        """See :func:`what_if`."""
        records, on, idle = self.edited(events)
        return self._compare(events, idle, records, on)

    def propose(self, events: Sequence[Event]) -> WhatIf | None:
        """The same for events that are to be proposed: None if one is idle, or would change the past."""
        records, on, idle = self.edited(events)
        if idle or changes_past(self.known, records, self.as_of):
            return None
        return self._compare(events, (), records, on)

    def _compare(
        self, events: Sequence[Event], idle: tuple[Event, ...], records: Records, on: dt.date
    ) -> WhatIf:
        now = self.as_it_stands(self.as_of)
        without = self.as_it_stands(on)
        after = without if records is self.known else self.score(records, on)
        return WhatIf(
            self.customer_id, self.as_of, tuple(events), idle, now, without, after,
            self._reasons(without, after), _moved(without, after),
        )  # fmt: skip

    def as_it_stands(self, on: dt.date) -> Rescored:
        """The score as of a day if nothing becomes known after the as_of date."""
        if on not in self._stands:
            self._stands[on] = self.score(self.known, on)
        return self._stands[on]

    def _reasons(self, without: Rescored, after: Rescored) -> pd.DataFrame:
        both = pd.DataFrame([without.contributions, after.contributions], index=["without", "after"])
        table = sum_by_reason(both.astype(float), self.model.reasons).T
        table["change"] = table["after"] - table["without"]
        order = np.argsort(-table["change"].abs().to_numpy(), kind="stable")
        return table.iloc[order].rename_axis("reason_code").reset_index()


def what_if(
    records: Records,
    customer_id: str,
    as_of: dt.date,
    model: ScoringModel,
    events: Sequence[Event],
    own: OwnFeatures | None = None,
) -> WhatIf:
    """Edit the ledger of one customer by events, build its features anew and score it.

    Parameters
    ----------
    records : Records
        All of them: a model may know places in the whole book. Rows known after ``as_of`` are removed first.
    customer_id : str
    as_of : datetime.date
    model : ScoringModel
    events : sequence of Event
        Applied in this order.
    own : OwnFeatures, optional
        Features of your own that the model was trained with.

    Returns
    -------
    WhatIf
        What is compared with what stands there, and in :mod:`overdue_ml.explain.events`.

    Raises
    ------
    ConfigError
        If there is no event, or one cannot be applied.
    RecordsError
        If nothing is known of the customer, or rows of an event break their contract.
    FeatureMismatchError
        If the features are defined otherwise than when the model was trained.
    """
    if not events:
        raise ConfigError("no event was given", expected="at least one")
    return Rescorer(records, customer_id, as_of, model, own).what_if(events)


def _moved(without: Rescored, after: Rescored) -> pd.DataFrame:
    rows = []
    for name in without.features.columns:
        old, new = without.features[name].iloc[0], after.features[name].iloc[0]
        if not (old == new or (pd.isna(old) and pd.isna(new))):
            rows.append((str(name), old, new))
    return pd.DataFrame(rows, columns=["feature", "without", "after"])


def _put_back(whole: Records, own: Records, customer_id: str) -> Records:
    """All records, those of one customer replaced, in the order in which records stand."""
    old = keep_customers(whole, [customer_id]).tables["accounts"].column("account_id")
    tables = {}
    for name, table in whole.tables.items():
        new = own.tables[name]
        key = "customer_id" if "customer_id" in table.column_names else "account_id"
        ids = pa.chunked_array([[customer_id]], pa.string()) if key == "customer_id" else old
        kept = table.filter(
            pc.invert(pc.is_in(table.column(key), value_set=ids.cast(table.schema.field(key).type)))
        )
        joined = pa.concat_tables([kept, new], promote_options="default")
        order = [(column, "ascending") for column in CONTRACTS[name].sorting(joined.column_names)]
        tables[name] = joined.sort_by(order)
    return replace(whole, tables=tables)
