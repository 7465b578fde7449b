"""Registered versions: finding them, checking them against their tags, and moving aliases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from overdue_ml.errors import ModelError
from overdue_ml.model import ScoringModel, load_bundle
from overdue_ml.tracking.promotion import append_promotion, read_promotions
from overdue_ml.tracking.store import Store, mlflow_module, use_store

BUNDLE_TAG = "bundle_hash"
CODE_TAG = "model_code_hash"
ALIASES = ("champion", "challenger")


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
    except exceptions.MlflowException:
        raise ModelError(
            f"there is no model '{reference}'",
            where=f"registry in {store.folder.name}/",
            next_step="train a model, then 'overdue-ml promote VERSION --alias champion'",
        ) from None


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
    found, alias = _find(store, reference)
    expected = found.tags.get(BUNDLE_TAG)
    if not expected or CODE_TAG not in found.tags:
        raise ModelError(
            f"version {found.version} carries no hash and cannot be verified",
            where=reference,
            next_step="register it with 'overdue-ml train'",
        )
    folder = _model_folder(store, found)
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
    return RegisteredModel(model, str(found.name), str(found.version), alias, str(found.run_id), expected)


def _model_folder(store: Store, found: Any) -> Path:
    """Local folder of a version's files; a models folder that was moved is found again."""
    mlflow = use_store(store)
    uri = store.client().get_model_version_download_uri(found.name, found.version)
    if store.is_local:
        uri_path = _local_path(uri, store)
        if uri_path is not None:
            return uri_path
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{found.name}/{found.version}"))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise ModelError(
            f"the files of version {found.version} were not found",
            where=f"registry in {store.folder.name}/",
            next_step="restore the artifacts folder or train again",
        ) from error


def _local_path(uri: str, store: Store) -> Path | None:
    if uri.startswith("models:/m-"):
        uri = str(store.client().get_logged_model(uri.removeprefix("models:/")).artifact_location)
    recorded = Path(unquote(urlparse(uri).path))
    # Locations are stored absolute, but below 'artifacts' the layout is ours: the store's own files come
    # first, so that a moved or copied models folder never reads the one it was copied from.
    parts = recorded.parts
    own = [
        store.artifacts.joinpath(*parts[i + 1 :])
        for i, part in enumerate(parts)
        if part == store.artifacts.name
    ]
    return next((path for path in [*own, recorded] if (path / "MLmodel").is_file()), None)


def promote(store: Store, name: str, version: str, alias: str, by: str, reason: str = "") -> dict[str, str]:
    """Give a version an alias and write the promotion log.

    The version is verified first: a champion that cannot be loaded is refused.

    Parameters
    ----------
    store : Store
    name, version : str
    alias : {'champion', 'challenger'}
    by : str
        Who promotes.
    reason : str
        Evidence, in words.

    Returns
    -------
    dict
        The line that was appended to ``promotions.jsonl``.

    Raises
    ------
    ModelError
        If the alias is unknown, the version cannot be verified or the log's chain is broken.
    """
    if alias not in ALIASES:
        raise ModelError(f"the alias '{alias}' is unknown", expected=f"one of {', '.join(ALIASES)}")
    loaded = load_model(store, f"{name}/{version}")
    log = store.folder / "promotions.jsonl"
    # A log that cannot be continued is found before the alias moves, not after.
    read_promotions(log)
    client = store.client()
    try:
        before = str(client.get_model_version_by_alias(name, alias).version)
    except mlflow_module().exceptions.MlflowException:
        before = ""
    client.set_registered_model_alias(name, alias, version)
    # The registry's own clock: nothing here reads today's date.
    stamp = client.get_model_version(name, version).last_updated_timestamp
    return append_promotion(
        log,
        {
            "model": name, "alias": alias, "version": version, "from_version": before,
            "by": by, "reason": reason,
            "bundle_hash": loaded.bundle_hash, "run_id": loaded.run_id, "registry_time_ms": str(stamp),
        },
    )  # fmt: skip
