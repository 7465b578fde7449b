"""One training run on the record: params, metrics, figures, fingerprints, and a registered version."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from overdue_ml.tracking.registry import BUNDLE_TAG, CODE_TAG, sha256_of, sync_version
from overdue_ml.tracking.store import Store, answering, experiment_id, quiet, use_store

_CODE = Path(__file__).with_name("pyfunc_model.py")
_REQUIREMENTS = ("overdue_ml", "lightgbm", "scikit-learn", "pandas", "numpy", "scipy", "mlflow")


@dataclass(frozen=True)
class TrainingRecord:
    """What a training run leaves behind.

    Attributes
    ----------
    bundle : Path
        Folder written by :func:`overdue_ml.model.save_bundle`.
    bundle_hash : str
    features : list of str
    categorical : list of str
        Features that are text.
    params : mapping of str to value
    metrics : mapping of str to float
    tags : mapping of str to str
        Fingerprints and hashes.
    files : mapping of str to Path
        Report folder in the run to a file or folder: config, evaluation, figures. No customer rows.
    """

    bundle: Path
    bundle_hash: str
    features: list[str]
    categorical: list[str]
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class RegisteredRun:
    """Where a run was recorded: run id and registered version."""

    run_id: str
    model_name: str
    version: str


def log_run(store: Store, record: TrainingRecord, experiment: str, model_name: str) -> RegisteredRun:
    """Log a run and register its model.

    Parameters
    ----------
    store : Store
    record : TrainingRecord
    experiment, model_name : str

    Returns
    -------
    RegisteredRun

    Raises
    ------
    ModelError
        If the store or its disk refuses; what was registered before is untouched.
    """
    with answering(store, "the run was not recorded"):
        return _log_run(store, record, experiment, model_name)


def _log_run(store: Store, record: TrainingRecord, experiment: str, model_name: str) -> RegisteredRun:
    mlflow = use_store(store)
    with mlflow.start_run(experiment_id=experiment_id(store, experiment), tags=dict(record.tags)) as run:
        mlflow.log_params({k: v for k, v in record.params.items() if v is not None})
        mlflow.log_metrics({k: float(v) for k, v in record.metrics.items() if math.isfinite(v)})
        for folder, path in record.files.items():
            if path.is_dir():
                mlflow.log_artifacts(str(path), artifact_path=folder)
            else:
                mlflow.log_artifact(str(path), artifact_path=folder)
        with quiet():
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(_CODE),
                artifacts={"bundle": str(record.bundle)},
                signature=_signature(record),
                pip_requirements=[f"{name}=={version(name)}" for name in _REQUIREMENTS],
            )
        run_id = str(run.info.run_id)
    tags = {BUNDLE_TAG: record.bundle_hash, CODE_TAG: sha256_of(_CODE)} | dict(record.tags)
    with quiet():
        found = mlflow.register_model(logged.model_uri, model_name, tags=tags)
    sync_version(store, found)
    return RegisteredRun(run_id, model_name, str(found.version))


def _signature(record: TrainingRecord) -> Any:
    from mlflow.models import infer_signature

    # Made up, not drawn from customers: a signature needs types only.
    frame = pd.DataFrame(
        {
            name: pd.array(["a"], dtype="str") if name in record.categorical else np.zeros(1)
            for name in record.features
        }
    )
    output = pd.DataFrame({"p_overdue": np.zeros(1), "log_odds": np.zeros(1)})
    return infer_signature(frame, output)
