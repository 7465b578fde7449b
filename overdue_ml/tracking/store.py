"""Where runs and models are kept: a quiet, local-first MLflow store.

The only module that decides tracking URIs. By default everything lies under one folder
(``models/mlflow.db`` and ``models/artifacts``); ``MLFLOW_TRACKING_URI`` moves it to a server.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote, urlparse

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

    @property
    def is_own(self) -> bool:
        """Whether the database lies in ``folder``, so that what it says of places can be set right."""
        return self.uri == f"sqlite:///{self.folder / 'mlflow.db'}"

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
    # It logs a traceback of every error that it raises as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
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
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for whoever holds it; not to be taken twice in one process."""
    # Not written to, so that a look into a store leaves it as it was.
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def answering(store: Store, what: str) -> Iterator[None]:
    """Turn what a store or its disk refuses into one clear error.

    Raises
    ------
    ModelError
        Saying ``what`` could not be done and why.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OSError, mlflow_module().exceptions.MlflowException, SQLAlchemyError) as error:
        raise ModelError(
            f"{what}: {_told(error)}",
            where=f"models folder {store.folder.name}/" if store.is_local else "MLFLOW_TRACKING_URI",
            next_step="check room, write access and the server, then do it again; the champion still stands",
        ) from error


def _told(error: BaseException) -> str:
    """What the disk or the database itself said, at the bottom of MLflow's own errors."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(told).splitlines()[0][:200]


def _locked_to_open(store: Store) -> AbstractContextManager[None]:
    """The lock of a store; none where its database stands and the folder can only be read, as for scoring."""
    lock = store.folder / ".lock"
    try:
        lock.open("a").close()
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and (store.folder / "mlflow.db").is_file():
            return contextlib.nullcontext()
        raise
    return locked(lock)


def open_store(folder: Path, *, create: bool = True) -> Store:
    """Open, and if need be create, the store of a models folder.

    Parameters
    ----------
    folder : Path
        Used for the database and artifacts unless ``MLFLOW_TRACKING_URI`` is set.
    create : bool, default True
        False for who needs a model that is there: a misspelt folder is then an error, and none is made.

    Returns
    -------
    Store

    Raises
    ------
    ModelError
        If the folder cannot be written, the database cannot be opened, or is not to be created.
    """
    from sqlalchemy.exc import SQLAlchemyError

    folder = folder.resolve()
    if not create and not os.environ.get("MLFLOW_TRACKING_URI") and not (folder / "mlflow.db").is_file():
        raise ModelError(
            "there are no models",
            where=str(folder),
            next_step="give the folder that 'train' wrote with --models",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        store = Store(folder, uri)
        use_store(store)
        # Processes that create a fresh SQLite database at once break each other: one at a time.
        with _locked_to_open(store), quiet():
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
    """The id of an experiment, created under a lock with its artifacts in the models folder.

    MLflow keeps where artifacts go as an absolute place. Where the models folder was moved or copied, that is
    set right first: the files of a new run would otherwise go to where the folder was.
    """
    client = store.client()
    with locked(store.folder / ".lock"):
        found = client.get_experiment_by_name(name)
        if found is None:
            location = store.artifacts.as_uri() if store.is_local else None
            return str(client.create_experiment(name, artifact_location=location))
        if store.is_own and _is_elsewhere(store, str(found.artifact_location)):
            _move_experiment(store, str(found.experiment_id))
        return str(found.experiment_id)


def _is_elsewhere(store: Store, location: str) -> bool:
    """Whether a place is the artifacts folder of a models folder, of another than this."""
    parsed = urlparse(location)
    place = Path(unquote(parsed.path))
    return parsed.scheme in ("", "file") and place.name == store.artifacts.name and place != store.artifacts


def _move_experiment(store: Store, number: str) -> None:
    """MLflow has no call for this; the column is as old as its database."""
    from sqlalchemy import create_engine, text

    engine = create_engine(store.uri)
    try:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE experiments SET artifact_location = :place WHERE experiment_id = :number"),
                {"place": store.artifacts.as_uri(), "number": int(number)},
            )
    finally:
        engine.dispose()
