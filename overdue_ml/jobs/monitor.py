"""``overdue-ml monitor``: whether the book is still the one the model knows, and whether it was right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from overdue_ml.config import LabelsConfig, RecordsConfig, build_config
from overdue_ml.jobs.output import write_json
from overdue_ml.jobs.runs import find_run, read_manifest
from overdue_ml.jobs.score import MANIFEST
from overdue_ml.labels import label_customers, trainable
from overdue_ml.monitoring import compute_realised
from overdue_ml.records import load_records


@dataclass(frozen=True)
class MonitorResult:
    """Drift of a scoring run and, where outcomes are known, its performance.

    Attributes
    ----------
    drift : pandas.DataFrame
        feature, psi, status: the score and the ten most shifted features.
    realised : pandas.DataFrame or None
        metric, value, low, high.
    in_sample : bool
        The model learned from outcomes after the as_of date: ``realised`` flatters it.
    """

    drift: pd.DataFrame
    realised: pd.DataFrame | None
    in_sample: bool


def run_monitor(
    scores: Path,
    outcomes: Path | None = None,
    records_config: RecordsConfig | None = None,
    labels_config: LabelsConfig | None = None,
) -> MonitorResult:
    """Report on a scoring run; writes ``monitor.json`` beside the scores.

    Parameters
    ----------
    scores : Path
    outcomes : Path, optional
        Records in which the outcomes are known by now.
    records_config : RecordsConfig, optional
    labels_config : LabelsConfig, optional
        As the model was trained, without it.

    Raises
    ------
    RecordsError
        If no scored customer has an outcome.
    """
    folder = find_run(scores)
    manifest = read_manifest(folder)
    drift = pd.DataFrame(manifest["drift"], columns=["feature", "psi", "status"])
    realised = None
    if outcomes is not None:
        records = load_records(outcomes, records_config)
        labels_config = labels_config or build_config(LabelsConfig, manifest["labels"], where=MANIFEST)
        labels = trainable(label_customers(records, manifest["as_of"], labels_config))
        realised = compute_realised(pd.read_parquet(folder / "scores.parquet"), labels)
    write_json(
        {
            "as_of": manifest["as_of"],
            "run_key": manifest["run_key"],
            "drift": drift.to_dict("records"),
            "in_sample": manifest["trained_on_later_outcomes"],
            "realised": None if realised is None else realised.to_dict("records"),
        },
        folder / "monitor.json",
    )
    return MonitorResult(drift, realised, bool(manifest["trained_on_later_outcomes"]))
