"""The model as text and JSON: no pickle, and not a byte used before its hash is checked.

A bundle is a folder with ``model.json`` and one ``booster_<i>.txt`` for each bag member. ``model.json``
holds the SHA-256 of every booster; the SHA-256 of ``model.json`` itself is the *bundle hash*, kept outside
(a tag in the registry), so that a coherent swap of everything inside is noticed too. LightGBM
aborts the interpreter on many corrupted model texts, therefore the order: names, sizes, hashes,
then LightGBM.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from overdue_ml.errors import ModelError
from overdue_ml.metrics import Reference
from overdue_ml.model.calibration import calibrator_from_dict
from overdue_ml.model.classifier import OverdueClassifier
from overdue_ml.model.interval import ScoreBand

FORMAT = 1
MODEL_FILE = "model.json"
_BOOSTER = re.compile(r"^(?:dpd\d{1,3}_)?booster_\d{1,3}\.txt$")
_THREADS = re.compile(r"^\[num_threads: -?\d+\]$", re.MULTILINE)


@dataclass(frozen=True)
class ScoringModel:
    """A fitted classifier and everything that scoring must know about it.

    Attributes
    ----------
    classifier : OverdueClassifier
    feature_set_hash : str
        Of the feature definitions it was trained on.
    reasons : mapping of str to str
        Feature name to reason code.
    units : mapping of str to str
        Feature name to unit.
    references : mapping of str to Reference
        Training distribution of each feature and of the score (``p_overdue``).
    meta : mapping
        Training facts as plain data: configs, dates, counts, fingerprints.
    further : mapping of int to OverdueClassifier
        For further degrees of lateness, by days past due, rising: the probability of reaching the degree
        for those who reached the one before; on the same columns.
    """

    classifier: OverdueClassifier
    feature_set_hash: str
    reasons: Mapping[str, str]
    units: Mapping[str, str]
    references: Mapping[str, Reference] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    further: Mapping[int, OverdueClassifier] = field(default_factory=dict)

    @property
    def feature_names(self) -> list[str]:
        """Columns of the matrix, in order.

        Raises
        ------
        ModelError
            If the classifier was fitted on a matrix without column names.
        """
        if not hasattr(self.classifier, "feature_names_in_"):
            raise ModelError(
                "the classifier has no feature names",
                next_step="fit it on a DataFrame, so that columns have names",
            )
        return [str(name) for name in self.classifier.feature_names_in_]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def save_bundle(model: ScoringModel, folder: Path) -> str:
    """Write a bundle into a new or empty folder.

    Parameters
    ----------
    model : ScoringModel
    folder : Path

    Returns
    -------
    str
        The bundle hash: 64 hexadecimal digits, the same for the same training run on any machine.

    Raises
    ------
    ModelError
        If the folder holds something already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ModelError("the folder for the model is not empty", where=folder.name)
    clf = model.classifier
    files = _write_boosters(clf, folder, "")
    further = {}
    for dpd, classifier in model.further.items():
        files |= _write_boosters(classifier, folder, f"dpd{dpd}_")
        further[str(dpd)] = _classifier_dict(classifier)
    payload = {
        "format": FORMAT,
        "files": files,
        "features": model.feature_names,
        "feature_set_hash": model.feature_set_hash,
        "reasons": dict(model.reasons),
        "units": dict(model.units),
        **_classifier_dict(clf),
        "references": {name: ref.to_dict() for name, ref in model.references.items()},
        "meta": dict(model.meta),
    }
    if further:
        payload["further"] = further
    data = json.dumps(
        payload, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False, default=_plain
    ).encode()
    (folder / MODEL_FILE).write_bytes(data)
    return _sha256(data)


def _write_boosters(clf: OverdueClassifier, folder: Path, prefix: str) -> dict[str, str]:
    """Write the members of a classifier; returns the hash of each file."""
    files = {}
    for i, booster in enumerate(clf.boosters_):
        # The thread count is the only thing that differs between machines; the trees do not.
        text = _THREADS.sub("[num_threads: 0]", booster.model_to_string())
        name = f"{prefix}booster_{i}.txt"
        (folder / name).write_bytes(text.encode())
        files[name] = _sha256(text.encode())
    return files


def _classifier_dict(clf: OverdueClassifier) -> dict[str, Any]:
    return {
        "categories": {str(k): v for k, v in clf.categories_.items()},
        "classes": [_plain(v) for v in clf.classes_],
        "calibrator": clf.calibrator_.to_dict(),
        "interval": None if clf.interval_ is None else clf.interval_.to_dict(),
        "parameters": _parameters(clf),
    }


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _parameters(clf: OverdueClassifier) -> dict[str, Any]:
    """Settings as plain data; a splitter or generator object matters to fitting only and is left out."""
    settings = {k: v for k, v in clf.get_params().items() if k != "n_jobs"}
    return {
        k: v for k, v in settings.items() if k not in ("cv", "random_state") or isinstance(v, Integral | None)
    }


def _check_names(folder: Path) -> None:
    """Only the expected plain files may stand in a bundle: no pickle, no link, no folder."""
    for path in sorted(folder.iterdir()):
        if (
            path.is_symlink()
            or not path.is_file()
            or not (path.name == MODEL_FILE or _BOOSTER.match(path.name))
        ):
            raise ModelError(
                f"the model folder holds '{path.name}', which is not part of a model",
                expected=f"{MODEL_FILE} and booster_<i>.txt as plain files only",
                next_step="register the model again",
            )


def load_bundle(folder: Path, expected_hash: str | None = None) -> ScoringModel:
    """Read a bundle, checking names and hashes before LightGBM sees a byte.

    Parameters
    ----------
    folder : Path
    expected_hash : str, optional
        The bundle hash as kept outside the bundle. Without it only the inner hashes are checked.

    Returns
    -------
    ScoringModel

    Raises
    ------
    ModelError
        If the folder is missing, holds anything unexpected, or a hash differs.
    """
    if not (folder / MODEL_FILE).is_file():
        raise ModelError(
            "the model has no model.json", where=folder.name, next_step="register the model again"
        )
    _check_names(folder)
    data = (folder / MODEL_FILE).read_bytes()
    if expected_hash is not None and _sha256(data) != expected_hash:
        raise _changed(MODEL_FILE)
    try:
        payload = json.loads(data)
        files = dict(payload["files"])
        if payload["format"] != FORMAT:
            raise ModelError(
                f"the model has format {payload['format']}", expected=f"format {FORMAT}", where=MODEL_FILE
            )
        if sorted(files) != sorted(p.name for p in folder.iterdir() if p.name != MODEL_FILE):
            raise ModelError("files of the model are missing or extra", where=folder.name)
        texts: dict[str, list[str]] = {}
        for name in sorted(files, key=_place):
            booster = (folder / name).read_bytes()
            if _sha256(booster) != files[name]:
                raise _changed(name)
            texts.setdefault(_place(name)[0], []).append(booster.decode())
        return _restore(payload, texts)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"the model cannot be read: {type(error).__name__} {error}", where=MODEL_FILE
        ) from error


def _changed(name: str) -> ModelError:
    return ModelError(
        "the model file was changed after it was registered: its SHA-256 differs",
        where=name,
        next_step="restore the file or register the model again; nothing was scored",
    )


def _place(name: str) -> tuple[str, int]:
    """Whose booster it is (the first degree has no name), and its place in the bag."""
    owner, _, number = name.removesuffix(".txt").rpartition("booster_")
    return owner, int(number)


def _restore(payload: Mapping[str, Any], texts: Mapping[str, list[str]]) -> ScoringModel:
    further = dict(payload.get("further", {}))
    if set(texts) != {"", *(f"dpd{dpd}_" for dpd in further)}:
        raise ValueError("boosters and model.json differ in the degrees of lateness")
    clf = _restore_classifier(payload, payload["features"], texts[""])
    return ScoringModel(
        classifier=clf,
        feature_set_hash=str(payload["feature_set_hash"]),
        reasons=dict(payload["reasons"]),
        units=dict(payload["units"]),
        references={name: Reference.from_dict(ref) for name, ref in payload["references"].items()},
        meta=dict(payload["meta"]),
        further={
            dpd: _restore_classifier(further[str(dpd)], payload["features"], texts[f"dpd{dpd}_"])
            for dpd in sorted(map(int, further))
        },
    )


def _restore_classifier(
    payload: Mapping[str, Any], features: list[str], texts: list[str]
) -> OverdueClassifier:
    import lightgbm as lgb

    clf = OverdueClassifier(**payload["parameters"])
    clf.classes_ = np.array(payload["classes"])
    clf.feature_names_in_ = np.array(features, dtype=object)
    clf.n_features_in_ = len(features)
    clf.categories_ = {int(k): list(v) for k, v in payload["categories"].items()}
    clf.calibrator_ = calibrator_from_dict(payload["calibrator"])
    # Models from before intervals have none.
    interval = payload.get("interval")
    clf.interval_ = None if interval is None else ScoreBand.from_dict(interval)
    clf.out_of_fold_log_odds_ = None
    clf.calibration_choice_ = None
    clf.boosters_ = [lgb.Booster(model_str=text) for text in texts]
    clf.n_trees_ = int(clf.boosters_[0].num_trees())
    if any(booster.num_feature() != clf.n_features_in_ for booster in clf.boosters_):
        raise ValueError("boosters and model.json differ in the number of features")
    return clf
