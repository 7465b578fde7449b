"""Where runs and models are kept: a quiet, local-first MLflow store.

The only module that decides tracking URIs. By default everything lies under one folder
(``models/mlflow.db`` and ``models/artifacts``); ``MLFLOW_TRACKING_URI`` moves it to a server.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from overdue_ml.errors import ModelError

_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # Signature errors would otherwise print customers' rows.
    "MLFLOW_DISABLE_SCHEMA_DETAILS": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}


@dataclass(frozen=True)
class Store:
    """A tracking store.

    Attributes
    ----------
    folder : Path
        The models folder: database, artifacts, promotion log.
    uri : str
        Tracking and registry URI.
    """

    folder: Path
    uri: str

    @property
    def artifacts(self) -> Path:
        """Folder of artifacts (local store only)."""
        return self.folder / "artifacts"

    @property
    def is_local(self) -> bool:
        """Whether the store is the default SQLite database in ``folder``."""
        return self.uri.startswith("sqlite:")

    def client(self) -> Any:
        """An ``MlflowClient`` for this store."""
        return mlflow_module().MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)


def mlflow_module() -> ModuleType:
    """MLflow, imported late and with telemetry, progress bars and chatter off."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    with quiet():
        import mlflow
        import mlflow.pyfunc

    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return mlflow


def use_store(store: Store) -> ModuleType:
    """MLflow, with its process-wide addresses set to this store."""
    mlflow = mlflow_module()
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.uri)
    # MLflow writes both into the environment, where the next store would take them for the user's wish.
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return mlflow


@contextmanager
def quiet() -> Iterator[None]:
    """Silence MLflow's advice, which it gives as warnings and on standard error, none of it ours to act on.

    It warns of its own type hints on import, of its own use of SQLAlchemy on opening a store, and of a
    missing input example, which is left out on purpose: examples are stored as plain text.
    """
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def open_store(folder: Path) -> Store:
    """Open, and if need be create, the store of a models folder.

    Parameters
    ----------
    folder : Path
        Used for the database and artifacts unless ``MLFLOW_TRACKING_URI`` is set.

    Returns
    -------
    Store

    Raises
    ------
    ModelError
        If the folder cannot be written or the database cannot be opened.
    """
    from sqlalchemy.exc import SQLAlchemyError

    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        store = Store(folder, uri)
        use_store(store)
        # Processes that create a fresh SQLite database at once break each other: one at a time.
        with _locked(folder / ".lock"), quiet():
            store.client().search_experiments(max_results=1)
    except OSError as error:
        raise ModelError(
            f"the models folder cannot be used: {error.strerror or error}",
            where=str(folder),
            next_step="give a folder that can be written with --models",
        ) from error
    except (mlflow_module().exceptions.MlflowException, SQLAlchemyError) as error:
        raise ModelError(
            "the tracking store cannot be opened",
            where=f"{folder.name}/mlflow.db",
            next_step="check MLFLOW_TRACKING_URI",
        ) from error
    return store


def experiment_id(store: Store, name: str) -> str:
    """The id of an experiment, created under a lock with its artifacts in the models folder."""
    client = store.client()
    with _locked(store.folder / ".lock"):
        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = store.artifacts.as_uri() if store.is_local else None
        return str(client.create_experiment(name, artifact_location=location))
