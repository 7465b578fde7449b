"""What a version must show before it becomes champion: each gate with its figure and its limit.

Facts of training come from the model's own, hashed, meta data; figures from the evaluation that its run has
logged, held against the metrics of the run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from overdue_ml.config import GatesConfig
from overdue_ml.errors import ModelError
from overdue_ml.tracking.registry import RegisteredModel, load_model, run_file
from overdue_ml.tracking.store import Store, mlflow_module

EVALUATION = "evaluation/evaluation.json"
#: Coverage of the intervals in evaluation.json.
_INTERVAL = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Gate:
    """One question to a version, and its answer.

    Attributes
    ----------
    name : str
    passed : bool
    figure : float or str or None
        What was found; None where there is nothing on record.
    limit : float or str or None
    note : str
        What else one should know of it.
    """

    name: str
    passed: bool
    figure: float | str | None
    limit: float | str | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def sentence(self) -> str:
        """Name, figure, limit and note as a person reads them."""
        text = f"{self.name}: {_said(self.figure)} (limit: {_said(self.limit)})"
        return f"{text}; {self.note}" if self.note else text


def _said(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    return "none" if value is None else f"{value:.4g}"


@dataclass(frozen=True)
class _Evidence:
    """A version's evaluation and facts; ``fault`` says why the evaluation cannot be used."""

    version: str
    metrics: Mapping[str, Mapping[str, Any]]
    score_psi: float | None
    meta: Mapping[str, Any]
    fault: str = ""
    chance_ece: float = 0.0

    def value(self, metric: str) -> float | None:
        return _number(self.metrics.get(metric, {}).get("value"))

    def error(self, metric: str) -> tuple[float, str]:
        """Standard error of a metric and how it is known."""
        row = self.metrics.get(metric, {})
        low, high = _number(row.get("low")), _number(row.get("high"))
        if low is not None and high is not None:
            return (high - low) / (2 * _INTERVAL), "bootstrap"
        value = self.value(metric)
        n, overdue = _number(self.meta.get("test_rows")), _number(self.meta.get("test_overdue"))
        if metric in ("auc", "gini") and value is not None and n and overdue and overdue < n:
            scale = 1.0 if metric == "auc" else 2.0
            auc = value if metric == "auc" else (value + 1) / 2
            return scale * _auc_error(auc, overdue, n - overdue), "Hanley-McNeil"
        return 0.0, "unknown, taken as 0"


def _number(value: object) -> float | None:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if plain and isinstance(value, int | float) else None


def _auc_error(auc: float, overdue: float, on_time: float) -> float:
    """Standard error of an AUC from its value and counts (Hanley and McNeil 1982, Radiology 143)."""
    one, two = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    square = auc * (1 - auc) + (overdue - 1) * (one - auc**2) + (on_time - 1) * (two - auc**2)
    return math.sqrt(max(square, 0.0) / (overdue * on_time))


def check_gates(
    store: Store, candidate: RegisteredModel, champion: str, config: GatesConfig | None = None
) -> list[Gate]:
    """Put every question to a version.

    Parameters
    ----------
    store : Store
    candidate : RegisteredModel
    champion : str
        Version of the present champion; empty if there is none.
    config : GatesConfig, optional

    Returns
    -------
    list of Gate
    """
    config = config or GatesConfig()
    found = _evidence(store, candidate)
    gates = [
        Gate(
            "evidence",
            not found.fault,
            found.fault or "on record",
            f"{EVALUATION}, as the run's metrics",
        ),
        _discrimination(store, candidate, champion, config, found),
    ]
    if config.max_ece is not None:
        chance = found.chance_ece
        told = f"{config.max_ece:g} and {chance:.4g} of chance in these rows" if chance else ""
        gate = _at_most("calibration error (ECE)", found.value("ece"), config.max_ece + chance, told)
        gates.append(gate)
    if config.max_score_psi is not None:
        gates.append(_at_most("shift of the score (PSI)", found.score_psi, config.max_score_psi))
    if config.audit:
        gates.append(_audit(found.meta.get("leakage_audit")))
    overdue = _number(found.meta.get("test_overdue"))
    enough = overdue is not None and overdue >= config.min_overdue
    gates.append(Gate("overdue rows set aside", enough, overdue, f"at least {config.min_overdue}"))
    return gates


def _at_most(name: str, figure: float | None, limit: float, note: str = "") -> Gate:
    return Gate(name, figure is not None and figure <= limit, figure, f"at most {limit:.4g}", note)


def _chance_ece(table: Sequence[Mapping[str, Any]]) -> float:
    """The calibration error that chance alone leaves a perfectly calibrated score, from its bins.

    The overdue rate of a bin strays from p by a normal error of variance p (1 - p) / n, of which the mean
    absolute value is sqrt(2 / pi) standard deviations.
    """
    bins = [(float(row["n"]), float(row["mean_p"])) for row in table]
    rows = sum(n for n, _ in bins)
    spread = sum(n * math.sqrt(2 * p * (1 - p) / (math.pi * n)) for n, p in bins if n > 0)
    return spread / rows if rows else 0.0


def _audit(audit: Mapping[str, Any] | None) -> Gate:
    limit = "done, and nothing found"
    if not audit or not audit.get("dates"):
        return Gate("leakage audit", False, "not done", limit)
    names = list(dict.fromkeys(str(f["feature"]) for f in audit["findings"]))
    if not names:
        return Gate("leakage audit", True, f"{len(audit['dates'])} date(s), nothing found", limit)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return Gate("leakage audit", False, f"found {', '.join(names[:3])}{more}", limit)


def _evidence(store: Store, version: RegisteredModel) -> _Evidence:
    nothing = _Evidence(version.version, {}, None, version.model.meta)
    raw = run_file(store, version.run_id, EVALUATION)
    if raw is None:
        return _with_fault(nothing, "the run has no evaluation")
    try:
        data = json.loads(raw)
        metrics = {str(row["metric"]): dict(row) for row in data["overall"]}
        psi = _number(data["score_psi"])
        chance = _chance_ece(data.get("calibration", []))
    except (ValueError, LookupError, TypeError, RecursionError):
        return _with_fault(nothing, "the evaluation cannot be read")
    found = _Evidence(version.version, metrics, psi, version.model.meta, chance_ece=chance)
    try:
        logged = store.client().get_run(version.run_id).data.metrics
    except mlflow_module().exceptions.MlflowException:
        return _with_fault(nothing, "the run is not on record")
    others = [
        name
        for name, row in metrics.items()
        if name in logged and not math.isclose(logged[name], _number(row.get("value")) or 0.0, rel_tol=1e-9)
    ]
    if others or not any(name in logged for name in metrics):
        which = f" of {others[0]}" if others else ""
        return _with_fault(nothing, f"the evaluation and the run's metrics tell different figures{which}")
    return found


def _with_fault(evidence: _Evidence, fault: str) -> _Evidence:
    return _Evidence(evidence.version, {}, None, evidence.meta, fault)


def _discrimination(
    store: Store, candidate: RegisteredModel, champion: str, config: GatesConfig, found: _Evidence
) -> Gate:
    metric = config.metric
    name, figure = f"discrimination ({metric})", found.value(metric)
    if not champion:
        return Gate(name, figure is not None, figure, None, "no champion yet: nothing to compare with")
    if champion == candidate.version:
        return Gate(name, figure is not None, figure, None, "it is the champion")
    try:
        other = _evidence(store, load_model(store, f"{candidate.name}/{champion}"))
    except ModelError as error:
        return Gate(name, False, figure, None, f"champion version {champion} cannot be read: {error.what}")
    before = other.value(metric)
    if before is None:
        return Gate(
            name, False, figure, None,
            f"champion version {champion}: {other.fault or 'the figure is not on record'}",
        )  # fmt: skip
    (own_error, how), (other_error, _) = found.error(metric), other.error(metric)
    noise = NormalDist().inv_cdf(config.level) * math.hypot(own_error, other_error)
    passed = figure is not None and figure >= before - noise
    note = f"champion version {champion} has {before:.4g}, noise {noise:.4g} ({how}); " + _comparison(
        found.meta, other.meta
    )
    return Gate(name, passed, figure, f"at least {before - noise:.4g}", note)


def _comparison(own: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """On what the two were tested, and what that does to the comparison."""
    notes = []
    dates, theirs = own.get("test_as_of"), other.get("test_as_of")
    if dates and dates == theirs:
        notes.append(
            f"both tested as of {', '.join(map(str, dates))}; the noise is that of separate samples, "
            "which is the wider one"
        )
    else:
        notes.append(f"unpaired: the champion was tested as of {', '.join(map(str, theirs or ['no date']))}")
    configs = [dict(meta.get("config") or {}) for meta in (own, other)]
    if configs[0].get("labels") != configs[1].get("labels"):
        notes.append("the two were trained on other labels")
    trained = own.get("as_of") or []
    if dates and trained and min(dates) <= max(trained):
        notes.append("tested on other customers, not out of time")
    return "; ".join(notes)
