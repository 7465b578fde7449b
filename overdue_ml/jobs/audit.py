"""The leakage audit that a training run begins with: on a sample, and on the record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.config import AuditConfig
from overdue_ml.errors import ModelError
from overdue_ml.features import LeakageFinding, Registry, SuspiciousFeature, audit_leakage, flag_suspicious
from overdue_ml.labels import hash_share
from overdue_ml.records import Records
from overdue_ml.records.select import keep_customers

#: Enough rows to tell an AUC to the second digit; more would cost time at every feature.
_RANKED_ROWS = 100_000
_TOLD = 5
_SALT = "leakage audit"
_HOW = {
    "deleted": "moves when the future is deleted",
    "perturbed": "moves when the future is another",
    "added": "moves when a row is added that became known the day after",
}


def audit_training(
    records: Records,
    features: pd.DataFrame,
    target: npt.ArrayLike,
    config: AuditConfig,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """Audit the features of a training run, and stop on a hit unless the config says otherwise.

    Parameters
    ----------
    records : Records
    features : pandas.DataFrame, shape (n_rows, n_features)
        Training rows only, indexed (customer_id, as_of_date) and sorted.
    target : array-like of bool, shape (n_rows,)
    config : AuditConfig
    registry : Registry, optional
        That the features were built by; the default registry otherwise.

    Returns
    -------
    dict of str to value
        ``dates`` and ``customers`` audited, ``max_auc``, and ``findings``, which name features and
        tables, but no customer: they stay with the model.

    Raises
    ------
    ModelError
        If a feature moves with the future, or is suspiciously good alone, and ``config.on_hit`` is
        'refuse'.
    """
    dates = _spread(sorted({d.date() for d in features.index.unique("as_of_date")}), config.dates)
    leaks: list[LeakageFinding] = []
    sizes = [0]
    for day in dates:
        ids = _sample(features, day, config.customers)
        sizes.append(len(ids))
        names = [str(name) for name in features.columns]
        leaks += audit_leakage(keep_customers(records, ids), day, names, registry=registry)
    step = -(-len(features) // _RANKED_ROWS)
    suspects = flag_suspicious(features.iloc[::step], np.asarray(target)[::step], config.max_auc)
    if (leaks or suspects) and config.on_hit == "refuse":
        raise _refusal(leaks, suspects, config)
    return {
        "dates": [day.isoformat() for day in dates],
        "customers": max(sizes),
        "max_auc": config.max_auc,
        "findings": [_without_customers(finding) for finding in leaks]
        + [{"feature": s.feature, "how": "alone", "auc": round(s.auc, 4)} for s in suspects],
    }


def audit_notes(audit: Mapping[str, Any]) -> list[str]:
    """What the page of a run says of its audit; nothing where nothing was found."""
    return [
        f"Leakage audit: {finding['feature']} ranks the training rows alone with an AUC of {finding['auc']}."
        if finding["how"] == "alone"
        else f"Leakage audit: {finding['feature']} {_HOW[finding['how']]} (as of {finding['as_of']}, "
        f"{finding['customers']} of the customers sampled, table {finding['table'] or 'not a single one'})."
        for finding in audit["findings"]
    ]


def _spread(dates: Sequence[dt.date], number: int) -> list[dt.date]:
    """So many of the dates, evenly: the last one, then the first too, then some between."""
    if number <= 1 or len(dates) == 1:
        return list(dates[-1:]) if number else []
    places = np.unique(np.round(np.linspace(0, len(dates) - 1, min(number, len(dates)))).astype(int))
    return [dates[place] for place in places]


def _sample(features: pd.DataFrame, day: dt.date, number: int) -> list[str]:
    """The customers of that day whose ids have the lowest hashes."""
    here = features.index.get_level_values("as_of_date") == pd.Timestamp(day)
    ids = features.index.get_level_values("customer_id")[here]
    return sorted((str(customer) for customer in ids), key=lambda i: (hash_share(i, _SALT), i))[:number]


def _without_customers(finding: LeakageFinding) -> dict[str, Any]:
    return {
        "feature": finding.feature,
        "as_of": finding.as_of.isoformat(),
        "how": finding.how,
        "table": finding.table,
        "customers": finding.n_rows,
    }


def _refusal(
    leaks: Sequence[LeakageFinding], suspects: Sequence[SuspiciousFeature], config: AuditConfig
) -> ModelError:
    names = list(dict.fromkeys([f.feature for f in leaks] + [s.feature for s in suspects]))
    told = [_sentence(found) for found in _by_cause(leaks)]
    told += [
        f"'{s.feature}' alone ranks the training rows with an AUC of {s.auc:.3f}, above audit.max_auc "
        f"{config.max_auc:g}"
        for s in suspects
    ]
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ModelError(
        f"the leakage audit found {len(names)} feature(s): {', '.join(names[:_TOLD])}{more}",
        where="; ".join(told[:_TOLD]),
        expected="features that know nothing after their as_of date",
        next_step="mend or leave out what they are made of, or set audit.on_hit to record in the train "
        "config to train nevertheless",
    )


def _by_cause(leaks: Sequence[LeakageFinding]) -> list[list[LeakageFinding]]:
    """One row often moves many features of one customer: that is told once."""
    causes: dict[str, list[LeakageFinding]] = {}
    for f in leaks:
        causes.setdefault(f"{f.as_of} {f.how} {f.first_customer} {f.table} {f.row}", []).append(f)
    return list(causes.values())


def _sentence(found: Sequence[LeakageFinding]) -> str:
    """Ids and dates only: values of customers stay out of messages."""
    finding = found[0]
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    row = " ".join(f"{column}={value}" for column, value in (finding.row or {}).items())
    by = f"by the row of {finding.table} {row}" if row else f"by {finding.table or 'several tables'}"
    return (
        f"'{finding.feature}'{more} of customer {finding.first_customer}, as of {finding.as_of}, "
        f"{_HOW[finding.how]}: {by}"
    )
