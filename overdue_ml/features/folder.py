"""Feature frames as folders of Parquet files, for books of which no frame fits in memory."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from overdue_ml.errors import ConfigError, FeatureMismatchError, RecordsError
from overdue_ml.features.build import (
    Beside,
    epoch_days,
    feature_rows,
    nobody_known,
    refuse_missing,
    whole_book,
)
from overdue_ml.features.declare import AttributeFeature
from overdue_ml.features.keys import Keys
from overdue_ml.features.registry import Registry
from overdue_ml.features.views import known_customers
from overdue_ml.records import Records
from overdue_ml.records.select import keep_customers

MANIFEST = "features.json"
_KIND = "overdue_ml features"
_FORMAT = 1
_PART = re.compile(r"^part-\d{5,}\.parquet$")
_AGAIN = "build the features again"


@dataclass(frozen=True)
class FeatureFolder:
    """A folder of features that is whole.

    Attributes
    ----------
    path : Path
    manifest : mapping
        What stands in ``features.json``: features, feature_set_hash, as_of, rows, records_fingerprint and
        the parts with their SHA-256.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return int(self.manifest["rows"])

    @property
    def features(self) -> list[str]:
        """Names of the features, in order."""
        return list(self.manifest["features"])

    @property
    def feature_set_hash(self) -> str:
        """As :meth:`overdue_ml.features.Registry.feature_set_hash` gives it."""
        return str(self.manifest["feature_set_hash"])

    @property
    def parts(self) -> list[Path]:
        """The files, in the order of their customers."""
        return [self.path / part["name"] for part in self.manifest["parts"]]


def write_features(
    records: Records,
    dates: Sequence[dt.date],
    names: Sequence[str],
    registry: Registry,
    n_threads: int | None,
    to: Path,
    customers_per_part: int,
) -> FeatureFolder:
    """Write features to a folder; see :func:`overdue_ml.build_features`.

    Every file gets its name when it is whole, and ``features.json`` says that the folder is only when all
    are. The same records and arguments give the same bytes.

    Parameters
    ----------
    records : Records
    dates : sequence of datetime.date
        Sorted, each once.
    names : sequence of str
    registry : Registry
    n_threads : int or None
    to : Path
    customers_per_part : int

    Returns
    -------
    FeatureFolder

    Raises
    ------
    ConfigError
        If the folder holds what no such run wrote, or cannot be written.
    FeatureMismatchError, NothingToScoreError
        As :func:`overdue_ml.build_features`.
    """
    if customers_per_part < 1:
        raise ConfigError(f"customers_per_part is {customers_per_part}", expected="at least 1")
    refuse_missing(names, records, registry)
    customers = known_customers(records, epoch_days(dates[-1:])).customer_ids
    if not len(customers):
        raise nobody_known(dates)
    manifest = {
        "kind": _KIND,
        "format": _FORMAT,
        "complete": False,
        "features": list(names),
        "categorical": [name for name in names if isinstance(registry[name], AttributeFeature)],
        "feature_set_hash": registry.feature_set_hash(names),
        "as_of": [day.isoformat() for day in dates],
        "customers_per_part": customers_per_part,
        "records_fingerprint": records.fingerprint,
        "code_version": version("overdue_ml"),
    }
    try:
        _claim(to, manifest)
        parts = []
        # Ranks are places among everybody: their values are gathered first, in a pass of its own.
        book = whole_book(records, epoch_days(dates), names, registry, n_threads, customers_per_part)
        for number, first in enumerate(range(0, len(customers), customers_per_part)):
            part = keep_customers(records, customers[first : first + customers_per_part])
            keys = known_customers(part, epoch_days(dates))
            frame = feature_rows(part, keys, names, registry, n_threads, Beside(records, book))
            table = _table(keys, frame)
            # The same values twice, of which the writer needs one.
            del part, frame
            parts.append(_write_part(table, to / f"part-{number:05d}.parquet"))
        manifest |= {"complete": True, "rows": sum(part["rows"] for part in parts), "parts": parts}
        _write_manifest(manifest, to)
    except OSError as error:
        raise ConfigError(
            f"the features cannot be written: {error.strerror or error}",
            where=str(to),
            next_step="free some space or choose another folder",
        ) from error
    return FeatureFolder(to, manifest)


def _claim(to: Path, manifest: Mapping[str, Any]) -> None:
    """Mark an empty folder or one of ours as being written, and take out what an earlier run left."""
    if to.exists() and not to.is_dir():
        raise ConfigError("a file stands there", where=str(to), expected="a folder or a new name")
    to.mkdir(parents=True, exist_ok=True)
    found = [path.name for path in to.iterdir()]
    # A claim that was killed before its name left that one file.
    if found and found != [f".{MANIFEST}.tmp"] and _read_manifest(to) is None:
        raise ConfigError(
            "the folder holds files that are no features",
            where=str(to),
            next_step="empty it or name another one",
        )
    _write_manifest(manifest, to)
    for path in to.iterdir():
        if _PART.match(path.name) or _PART.match(path.name.removeprefix(".").removesuffix(".tmp")):
            path.unlink()


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder of ours; None where there is no such one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("kind") == _KIND else None


def _write_manifest(manifest: Mapping[str, Any], folder: Path) -> None:
    text = json.dumps(manifest, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    unfinished = folder / f".{MANIFEST}.tmp"
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(folder / MANIFEST)


def _table(keys: Keys, frame: pd.DataFrame) -> pa.Table:
    sizes = np.diff(keys.start)
    columns: dict[str, pa.Array] = {
        "customer_id": pa.array(keys.customer_ids, pa.string()).take(np.repeat(np.arange(len(sizes)), sizes)),
        "as_of_date": pa.array(keys.day.astype(np.int32), pa.int32()).cast(pa.date32()),
    }
    for name in frame.columns:
        values = frame[name]
        is_category = isinstance(values.dtype, pd.CategoricalDtype)
        # Levels are those of a part; as text they are one column again when the parts are put together.
        columns[str(name)] = (
            pa.array(values.astype("str"), pa.string(), from_pandas=True)
            if is_category
            else pa.array(values.to_numpy())
        )
    return pa.table(columns)


def _write_part(table: pa.Table, path: Path) -> dict[str, Any]:
    unfinished = path.with_name(f".{path.name}.tmp")
    pq.write_table(
        table,
        unfinished,
        compression="zstd",
        compression_level=1,
        # Few floats repeat.
        use_dictionary=[field.name for field in table.schema if not pa.types.is_floating(field.type)],
        write_page_checksum=True,
    )
    digest = _sha256(unfinished)
    unfinished.replace(path)
    return {"name": path.name, "rows": table.num_rows, "sha256": digest}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_features(folder: str | Path) -> FeatureFolder:
    """A folder of features, after its manifest and the SHA-256 of its parts are checked.

    Parameters
    ----------
    folder : path
        As :func:`overdue_ml.build_features` wrote it.

    Returns
    -------
    FeatureFolder

    Raises
    ------
    RecordsError
        If there are none, the run that wrote them did not end, or a file was changed since.
    """
    path = Path(folder)
    manifest = _read_manifest(path)
    if manifest is None:
        raise RecordsError(
            "there are no features",
            where=str(path),
            expected="a folder that build_features(..., to=folder) wrote",
        )
    if manifest.get("format") != _FORMAT or not manifest.get("complete"):
        raise RecordsError(
            "the features are not whole: the run that wrote them did not end, or was of another version",
            where=str(path),
            next_step=_AGAIN,
        )
    found = FeatureFolder(path, manifest)
    for part, file in zip(manifest["parts"], found.parts, strict=True):
        if not _PART.match(part["name"]) or not file.is_file() or _sha256(file) != part["sha256"]:
            raise RecordsError(
                "a file of features is missing or was changed: its SHA-256 differs",
                where=str(path / str(part["name"])),
                next_step=_AGAIN,
            )
    return found


def read_features(folder: str | Path, *, registry: Registry | None = None) -> pd.DataFrame:
    """The frame that ``build_features(..., to=folder)`` wrote, exactly as it is without ``to``.

    Parameters
    ----------
    folder : path
    registry : Registry, optional
        Check too that its definitions are those the features were built by.

    Returns
    -------
    pandas.DataFrame
        See :func:`overdue_ml.build_features`.

    Raises
    ------
    RecordsError
        If there are none, the run that wrote them did not end, or a file was changed since.
    FeatureMismatchError
        If the registry defines them otherwise.
    """
    found = open_features(folder)
    if registry is not None and (
        any(name not in registry for name in found.features)
        or registry.feature_set_hash(found.features) != found.feature_set_hash
    ):
        raise FeatureMismatchError(
            "the features were built by other definitions than those of the registry",
            where=str(found.path),
            expected=f"feature set {found.feature_set_hash[:12]}",
            next_step=_AGAIN,
        )
    try:
        table = pa.concat_tables(
            [pq.read_table(part, page_checksum_verification=True) for part in found.parts]
        )
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(
            f"the features cannot be read: {type(error).__name__}", where=str(found.path), next_step=_AGAIN
        ) from error
    categorical = set(found.manifest["categorical"])
    columns: dict[str, Any] = {}
    for name in found.features:
        column = table.column(name)
        columns[name] = (
            pd.Categorical(pd.Series(column.to_pylist(), dtype="str"))
            if name in categorical
            else column.to_numpy()
        )
    days = table.column("as_of_date").cast(pa.int32()).to_numpy().astype("datetime64[D]")
    index = pd.MultiIndex.from_arrays(
        [
            pd.Series(pd.array(table.column("customer_id").to_pylist(), dtype="str")),
            pd.Series(days.astype("datetime64[s]")),
        ],
        names=["customer_id", "as_of_date"],
    )
    return pd.DataFrame(columns, index=index)
