"""Registered versions: finding them, checking them against their tags, and moving aliases."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from overdue_ml.disk import sync, sync_all
from overdue_ml.errors import ModelError
from overdue_ml.model import ScoringModel, load_bundle
from overdue_ml.tracking.store import Store, mlflow_module, quiet, use_store

BUNDLE_TAG = "bundle_hash"
CODE_TAG = "model_code_hash"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file: 64 hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass(frozen=True)
class RegisteredModel:
    """A verified model and where it came from.

    Attributes
    ----------
    model : ScoringModel
    name, version, run_id : str
    alias : str
        As it was asked for; empty if by version.
    bundle_hash : str
    """

    model: ScoringModel
    name: str
    version: str
    alias: str
    run_id: str
    bundle_hash: str

    def card(self) -> dict[str, str]:
        """What an explanation says of the model."""
        meta = self.model.meta
        return {
            "name": self.name,
            "version": self.version,
            "alias": self.alias,
            "run_id": self.run_id,
            "trained_on": ", ".join(meta.get("as_of", [])),
            "feature_set_hash": self.model.feature_set_hash,
            "model_hash": self.bundle_hash,
        }


def _find(store: Store, reference: str) -> tuple[Any, str]:
    """The version named ``name@alias`` or ``name/3``, and the alias."""
    exceptions = mlflow_module().exceptions
    name, at, alias = reference.partition("@")
    version = ""
    if not at:
        name, _, version = reference.partition("/")
    if not name or not (alias or version):
        raise ModelError(
            f"'{reference}' names no model", expected="name@alias or name/version, as overdue@champion"
        )
    client = store.client()
    try:
        if alias:
            return client.get_model_version_by_alias(name, alias), alias
        return client.get_model_version(name, version), ""
    except exceptions.MlflowException as error:
        if not _is_missing(error):
            raise _unreachable(store) from error
        known = _versions(client, name)
        promote = f"'overdue-ml promote VERSION --alias {alias or 'champion'}'"
        raise ModelError(
            f"there is no model '{reference}'",
            where=f"registry in {store.folder.name}/",
            expected=f"of the versions of '{name}' one, as {', '.join(map(str, known))}" if known else None,
            next_step=promote if known else f"train a model, then {promote}",
        ) from None


def _versions(client: Any, name: str) -> list[int]:
    """The latest versions of a model; none where the registry does not know it."""
    try:
        found = client.search_model_versions(f"name='{name}'")
    except mlflow_module().exceptions.MlflowException:
        # A name that cannot be asked for.
        return []
    return sorted(int(version.version) for version in found)[-5:]


def alias_version(store: Store, name: str, alias: str) -> str:
    """The version on which an alias stands in the registry; empty if on none.

    Raises
    ------
    ModelError
        If the registry does not answer: that is not the same as no version.
    """
    try:
        return str(store.client().get_model_version_by_alias(name, alias).version)
    except mlflow_module().exceptions.MlflowException as error:
        if not _is_missing(error):
            raise _unreachable(store) from error
        return ""


def _is_missing(error: Any) -> bool:
    return error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def _unreachable(store: Store) -> ModelError:
    where = f"registry in {store.folder.name}/" if store.is_local else "MLFLOW_TRACKING_URI"
    return ModelError("the registry does not answer", where=where, next_step="try again when it does")


def load_model(store: Store, reference: str) -> RegisteredModel:
    """Load a registered model, verified against the hashes kept in its tags.

    Parameters
    ----------
    store : Store
    reference : str
        ``name@alias`` or ``name/version``.

    Returns
    -------
    RegisteredModel

    Raises
    ------
    ModelError
        If it does not exist, its files are not found, or any of them was changed.
    """
    with _verified(store, reference) as (registered, _):
        return registered


def copy_bundle(store: Store, reference: str, target: Path) -> RegisteredModel:
    """Copy the bundle of a registered model into a new folder, verified where it lay and where it lies.

    Parameters
    ----------
    store : Store
    reference : str
        ``name@alias`` or ``name/version``.
    target : Path
        Must not be there yet.

    Raises
    ------
    ModelError
        As :func:`load_model`.
    """
    with _verified(store, reference) as (registered, bundle):
        shutil.copytree(bundle, target, copy_function=shutil.copyfile)
    load_bundle(target, registered.bundle_hash)
    return registered


@contextmanager
def _verified(store: Store, reference: str) -> Iterator[tuple[RegisteredModel, Path]]:
    """A model whose files have the hashes of its tags, and the folder of its bundle within the block."""
    found, alias = _find(store, reference)
    expected = found.tags.get(BUNDLE_TAG)
    if not expected or CODE_TAG not in found.tags:
        raise ModelError(
            f"version {found.version} carries no hash and cannot be verified",
            where=reference,
            next_step="register it with 'overdue-ml train'",
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = _model_folder(store, found, Path(scratch))
        code = folder / "pyfunc_model.py"
        if not code.is_file() or sha256_of(code) != found.tags[CODE_TAG]:
            raise ModelError(
                "the model's code was changed after it was registered: its SHA-256 differs",
                where=f"{reference}, pyfunc_model.py",
                next_step="register the model again; nothing was scored",
            )
        bundle = folder / "artifacts"
        inner = [p for p in sorted(bundle.iterdir()) if p.is_dir()] if bundle.is_dir() else []
        if len(inner) != 1:
            raise ModelError("the registered model holds no bundle", where=reference)
        model = load_bundle(inner[0], expected)
        name, version = str(found.name), str(found.version)
        yield RegisteredModel(model, name, version, alias, str(found.run_id), expected), inner[0]


def sync_version(store: Store, found: Any) -> None:
    """Have a version's files on the disk, as SQLite has its row: no alias outlasts the model it stands on.

    A server keeps files and rows by its own rules.

    Parameters
    ----------
    store : Store
    found : mlflow.entities.model_registry.ModelVersion

    Raises
    ------
    OSError
        If the disk refuses.
    """
    if store.is_own:
        with tempfile.TemporaryDirectory() as scratch:
            folder = _model_folder(store, found, Path(scratch))
            sync_all(folder)
            # Down to it the folders may be new as well.
            for above in folder.parents:
                if above.is_relative_to(store.folder):
                    sync(above)


def _model_folder(store: Store, found: Any, scratch: Path) -> Path:
    """Local folder of a version's files; a models folder that was moved is found again."""
    mlflow = use_store(store)
    uri = store.client().get_model_version_download_uri(found.name, found.version)
    if store.is_local:
        if uri.startswith("models:/m-"):
            uri = str(store.client().get_logged_model(uri.removeprefix("models:/")).artifact_location)
        folder = _local_path(uri, store, "MLmodel")
        if folder is not None:
            return folder
    try:
        with quiet():
            return Path(
                mlflow.artifacts.download_artifacts(
                    artifact_uri=f"models:/{found.name}/{found.version}", dst_path=str(scratch)
                )
            )
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ModelError(
            f"the files of version {found.version} were not found",
            where=f"registry in {store.folder.name}/",
            next_step="restore the artifacts folder or train again",
        ) from error


def _local_path(uri: str, store: Store, file: str) -> Path | None:
    """The folder of an artifact address in which a file stands."""
    recorded = Path(unquote(urlparse(uri).path))
    # Locations are stored absolute, but below 'artifacts' the layout is ours: the store's own files come
    # first, so that a moved or copied models folder never reads the one it was copied from.
    parts = recorded.parts
    own = [
        store.artifacts.joinpath(*parts[i + 1 :])
        for i, part in enumerate(parts)
        if part == store.artifacts.name
    ]
    return next((path for path in [*own, recorded] if (path / file).is_file()), None)


def run_file(store: Store, run_id: str, file: str) -> bytes | None:
    """A file that a run has logged, or None where it is not found.

    Parameters
    ----------
    store : Store
    run_id : str
    file : str
        Path below the run's artifacts, as ``evaluation/evaluation.json``.
    """
    mlflow = use_store(store)
    try:
        if store.is_local:
            folder = _local_path(str(store.client().get_run(run_id).info.artifact_uri), store, file)
            return None if folder is None else (folder / file).read_bytes()
        with quiet(), tempfile.TemporaryDirectory() as scratch:
            path = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=file, dst_path=scratch)
            return Path(path).read_bytes()
    except (mlflow.exceptions.MlflowException, OSError):
        return None
