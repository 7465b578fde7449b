"""``overdue-ml export``: a registered model as a folder that scores anywhere, without MLflow."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from overdue_ml.config import RecordsConfig, ScoreConfig, build_config
from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.jobs.output import whole_folder, write_json
from overdue_ml.model import load_bundle
from overdue_ml.tracking import RegisteredModel, copy_bundle, open_store

BUNDLE, FACTS, SCRIPT = "bundle", "export.json", "score.py"
_FORMAT = 1
_NEEDED = ("overdue_ml", "lightgbm", "scikit-learn", "pandas", "numpy", "scipy", "pyarrow", "duckdb", "numba")

_README = """A model of overdue_ml: {name} version {version}

  bundle/      the model as text and JSON; no pickle
  export.json  where it comes from, the hash of the bundle, and the scale of its points
  score.py     scores a book with it; needs overdue_ml, no MLflow and no models folder

Hash of the bundle (keep a copy elsewhere: whoever can change the folder can change this page):
  {hash}

In Python:

  from pathlib import Path
  from overdue_ml.model import load_bundle
  model = load_bundle(Path("bundle"), "{hash}")
  log_odds = model.classifier.decision_function(features)   # a DataFrame with model.feature_names
  p_overdue = model.classifier.calibrator_.predict(log_odds)

A whole book from records, with ranks, points and reasons as 'overdue-ml score' writes them:

  python score.py --records RECORDS --as-of YYYY-MM-DD --out OUT --hash HASH

Made with: {packages}
"""

_SCORE = '''"""Score a book with the model beside this file; README.txt says how."""

import argparse
import sys
from pathlib import Path

from overdue_ml.errors import OverdueMLError
from overdue_ml.jobs.export import score_export

parser = argparse.ArgumentParser(description="Score a book with the model beside this file.")
parser.add_argument("--records", type=Path, required=True)
parser.add_argument("--as-of", required=True, help="YYYY-MM-DD")
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--hash", help="hash of the bundle as you keep it elsewhere")
parser.add_argument("--features-module", type=Path)
given = parser.parse_args()
try:
    folder = Path(__file__).resolve().parent
    done = score_export(folder, given.records, given.as_of, given.out, given.hash, given.features_module)
except OverdueMLError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
print(done)
'''


def run_export(
    models: Path, reference: str, to: Path, score: ScoreConfig | None = None
) -> tuple[RegisteredModel, Path]:
    """Write a registered model into a folder of its own.

    The folder names no path; the same version gives the same bytes.

    Parameters
    ----------
    models : Path
        The models folder.
    reference : str
        ``name@alias`` or ``name/version``.
    to : Path
        Must not be there yet, or be empty.
    score : ScoreConfig, optional
        Tiers and the scale of points that travel along; the defaults otherwise.

    Returns
    -------
    registered : RegisteredModel
    folder : Path

    Raises
    ------
    ConfigError
        If something stands in ``to``.
    ModelError
        If the model does not exist or was changed.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError("something stands there already", where=str(to), next_step="choose another --to")
    store = open_store(models)
    with whole_folder(to) as folder:
        registered = copy_bundle(store, reference, folder / BUNDLE)
        packages = {name: version(name) for name in _NEEDED}
        facts = {
            "format": _FORMAT,
            # An alias moves on; the version is what was exported.
            "model": registered.card() | {"alias": ""},
            "bundle_hash": registered.bundle_hash,
            "score": (score or ScoreConfig()).model_dump(mode="json"),
            "records": dict(registered.model.meta.get("records_config") or {}),
            "packages": packages,
        }
        write_json(facts, folder / FACTS)
        text = _README.format(
            name=registered.name,
            version=registered.version,
            hash=registered.bundle_hash,
            packages=", ".join(f"{name} {number}" for name, number in packages.items()),
        )
        (folder / "README.txt").write_text(text, encoding="utf-8")
        (folder / SCRIPT).write_text(_SCORE, encoding="utf-8")
    return registered, to


def load_export(folder: Path, bundle_hash: str | None = None) -> tuple[RegisteredModel, dict[str, Any]]:
    """Read an exported model, without MLflow.

    Parameters
    ----------
    folder : Path
    bundle_hash : str, optional
        As it is kept elsewhere; by default the one in the folder, which notices damage, but no swap.

    Returns
    -------
    registered : RegisteredModel
    facts : dict
        ``export.json``.

    Raises
    ------
    ModelError
        If the folder is no export or was changed.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if facts["format"] != _FORMAT:
            raise ModelError(f"the export has format {facts['format']}", expected=f"format {_FORMAT}")
        card, recorded = facts["model"], str(facts["bundle_hash"])
        name, number, run = (str(card[key]) for key in ("name", "version", "run_id"))
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelError(f"the export cannot be read: {type(error).__name__}", where=FACTS) from error
    model = load_bundle(folder / BUNDLE, bundle_hash or recorded)
    return RegisteredModel(model, name, number, "", run, bundle_hash or recorded), facts


def score_export(
    folder: Path,
    records: Path,
    as_of: str,
    out: Path,
    bundle_hash: str | None = None,
    features_module: Path | None = None,
) -> Path:
    """Score a book with an exported model and the points and tiers that travelled with it.

    Parameters
    ----------
    folder : Path
        The export.
    records : Path
    as_of : str
        YYYY-MM-DD.
    out : Path
    bundle_hash : str, optional
        See :func:`load_export`.
    features_module : Path, optional
        Features of your own that the model was trained with.

    Returns
    -------
    Path
        ``<out>/as_of=YYYY-MM-DD``.

    Raises
    ------
    ModelError
        If the export was changed.
    """
    from overdue_ml.jobs.score import ScoreSettings, run_score
    from overdue_ml.records.dates import parse_date

    registered, facts = load_export(folder, bundle_hash)
    settings = ScoreSettings(
        score=build_config(ScoreConfig, facts["score"], where=FACTS),
        records=build_config(RecordsConfig, facts["records"], where=FACTS),
        own=features_module,
    )
    return run_score(records, parse_date(as_of, "--as-of"), registered, out, settings).folder


def export_text(registered: RegisteredModel, folder: Path) -> str:
    """What was written, and the hash to keep."""
    return (
        f"{registered.name} version {registered.version} is in {folder}; README.txt says how to score.\n"
        f"Keep its hash elsewhere: {registered.bundle_hash}"
    )
