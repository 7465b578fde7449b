"""A user's own features: declared in a Python file of their own, and the same file for training and scoring.

Such a file is code and runs with the rights of whoever runs the command. It is therefore only ever named on
the command line or in a call, never in a config, and the SHA-256 of the one that a model was trained with
stays with the model: no other is run for it.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from overdue_ml.errors import ConfigError, FeatureMismatchError
from overdue_ml.features.catalogue import default_registry
from overdue_ml.features.declare import AnyFeature, DerivedFeature, Feature, SqlFeature
from overdue_ml.features.function import FunctionFeature
from overdue_ml.features.ranks import RankFeature
from overdue_ml.features.registry import SQL_TABLES, Registry

_KINDS = (Feature, DerivedFeature, SqlFeature, FunctionFeature, RankFeature)
_HOW = "FEATURES = [...] with SqlFeature, FunctionFeature, Feature, DerivedFeature or RankFeature"


@dataclass(frozen=True)
class OwnFeatures:
    """Features of a user's own.

    Parameters
    ----------
    features : tuple of SqlFeature, FunctionFeature, Feature, DerivedFeature or RankFeature
    sha256 : str
        Of the file that they came from, 64 hexadecimal digits; empty where they came from none.
    source : bytes
        That file, so that another process can make the same features.

    Raises
    ------
    ConfigError
        If there is none, or one is something else.
    """

    features: tuple[AnyFeature, ...]
    sha256: str = ""
    source: bytes = field(default=b"", repr=False)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes as the file: the module that its functions stand in is nowhere else."""
        if self.source:
            return _made_of, (self.source,)
        return OwnFeatures, (self.features, self.sha256)

    def __post_init__(self) -> None:
        if not self.features:
            raise ConfigError("there are no features of your own", expected=_HOW)
        for feature in self.features:
            if not isinstance(feature, _KINDS):
                raise ConfigError(
                    f"a {type(feature).__name__} cannot be a feature of your own",
                    expected=_HOW,
                    next_step="attributes are named in the records config",
                )
            if isinstance(feature, SqlFeature) and feature.table not in SQL_TABLES:
                raise ConfigError(
                    f"'{feature.name}' reads the table '{feature.table}'",
                    expected=f"one of {', '.join(SQL_TABLES)}; a FunctionFeature can read any table",
                )

    def describe(self) -> dict[str, Any]:
        """What stays with a model: the file's hash and, of each feature, what explanations need."""
        return {
            "sha256": self.sha256,
            "features": [
                {"name": f.name, "reason": f.reason, "unit": f.unit, "meaning": f.meaning}
                for f in self.features
            ],
        }


#: How a user's own features may be given: as a file, or as they are.
GivenFeatures = Path | OwnFeatures | Sequence[AnyFeature]


def ranks_of(meta: Mapping[str, Any]) -> bool:
    """Whether a model was trained with ranks; ``meta`` is what travels with it."""
    config = meta.get("config") or {}
    return bool((config.get("features") or {}).get("ranks", False))


def registry_with(attributes: Sequence[str], own: OwnFeatures | None, *, ranks: bool = False) -> Registry:
    """The default registry, and a user's own features after it.

    Parameters
    ----------
    attributes : sequence of str
        Columns of ``customers``.
    own : OwnFeatures or None
    ranks : bool, default False
        With the places in the whole book; of a model, as :func:`ranks_of` says.

    Raises
    ------
    ConfigError
        If a name is taken or against the grammar, or the pass cannot compute a feature.
    """
    registry = default_registry(attributes, ranks=ranks)
    for feature in own.features if own else ():
        registry.register(feature)
    return registry


def own_features(given: GivenFeatures | None) -> OwnFeatures | None:
    """A user's own features, read where a file is given.

    Raises
    ------
    ConfigError
        See :func:`load_own_features`.
    """
    if given is None or isinstance(given, OwnFeatures):
        return given
    return load_own_features(given) if isinstance(given, Path) else OwnFeatures(tuple(given))


def own_features_of(recorded: Mapping[str, Any] | None, given: GivenFeatures | None) -> OwnFeatures | None:
    """The own features that a model was trained with; a file is run only if it is the very one.

    Parameters
    ----------
    recorded : mapping or None
        :meth:`OwnFeatures.describe` as it stands with the model.
    given : path, OwnFeatures, sequence of features or None

    Returns
    -------
    OwnFeatures or None

    Raises
    ------
    FeatureMismatchError
        If they are absent or others.
    ConfigError
        If the file cannot be read.
    """
    if recorded is None:
        if given is not None:
            raise FeatureMismatchError(
                "features of your own are given, and the model was trained without any",
                next_step="leave out --features-module, or train with it",
            )
        return None
    digest, names = str(recorded["sha256"]), ", ".join(f["name"] for f in recorded["features"][:3])
    expected = f"the features module of SHA-256 {digest}" if digest else "the features it was trained with"
    if given is None:
        raise FeatureMismatchError(
            f"the model was trained with features of your own ({names}), and none are given",
            expected=expected,
            next_step="give the file with --features-module",
        )
    if isinstance(given, Path):
        return load_own_features(given, digest)
    own = own_features(given)
    assert own is not None
    if own.sha256 != digest:
        raise FeatureMismatchError(
            "the features of your own are not from the file that the model was trained with",
            expected=expected,
            next_step="read them from that file, or train again",
        )
    return own


def load_own_features(path: Path, expected_sha256: str | None = None) -> OwnFeatures:
    """Run a Python file and take its ``FEATURES``.

    The file is one module and has no neighbours: its folder is not searched for imports, since what stood
    there would not be covered by the hash.

    Parameters
    ----------
    path : Path
    expected_sha256 : str, optional
        Not a line is run if the file has another.

    Returns
    -------
    OwnFeatures

    Raises
    ------
    FeatureMismatchError
        If the file has another SHA-256 than expected.
    ConfigError
        If it cannot be read, fails, or declares no features.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"the features module cannot be read: {error.strerror or error}", where=str(path)
        ) from error
    digest = hashlib.sha256(source).hexdigest()
    if expected_sha256 is not None and digest != expected_sha256:
        raise FeatureMismatchError(
            f"the features module is not the one that the model was trained with: its SHA-256 is {digest}",
            where=str(path),
            expected=expected_sha256 or "features given in Python, from no file",
            next_step="give that file, or train again with this one; not a line of it was run",
        )
    declared = getattr(_run(source, path, _module_name(digest)), "FEATURES", None)
    if not isinstance(declared, list | tuple):
        raise ConfigError("the features module declares no FEATURES", where=str(path), expected=_HOW)
    return OwnFeatures(tuple(declared), digest, source)


def _module_name(digest: str) -> str:
    return f"overdue_ml_own_{digest[:16]}"


def _made_of(source: bytes) -> OwnFeatures:
    """The features of a file that another process has read, which runs here once."""
    digest = hashlib.sha256(source).hexdigest()
    name = _module_name(digest)
    module = sys.modules.get(name) or _run(source, Path(name), name)
    return OwnFeatures(tuple(module.FEATURES), digest, source)


def _run(source: bytes, path: Path, name: str) -> ModuleType:
    """The module made of these very bytes; the file may have changed since they were hashed."""
    module, file = ModuleType(name), f"<{name}>"
    # A function is hashed by its source, which is looked up under the name it was compiled with.
    text = source.decode("utf-8", errors="replace")
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    # Dataclasses look up the module that they stand in.
    sys.modules[name] = module
    try:
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - named by the user
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise ConfigError(
            f"the features module failed with {type(error).__name__}: {error}",
            where=f"{path}, line {_line(error, file)}",
        ) from error
    return module


def _line(error: BaseException, file: str) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None
