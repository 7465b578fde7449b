"""An exported model: it scores elsewhere, without MLflow, to the last bit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from overdue_ml import cli
from overdue_ml.config import PointsConfig, ScoreConfig
from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.jobs.export import load_export, run_export, score_export

#: Another scale than the default: it must travel along.
SCALE = ScoreConfig(points=PointsConfig(base=500.0, odds=20.0, pdo=33.3))


@pytest.fixture(scope="module")
def exported(line, tmp_path_factory) -> Path:
    return run_export(line.models, "overdue@champion", tmp_path_factory.mktemp("export") / "model", SCALE)[1]


def test_the_folder_is_text_and_names_no_path(exported, line):
    names = {p.relative_to(exported).as_posix() for p in exported.rglob("*") if p.is_file()}
    assert names == {
        "README.txt", "export.json", "score.py", "bundle/model.json", "bundle/booster_0.txt",
        "bundle/booster_1.txt",
    }  # fmt: skip
    for name in names:
        text = (exported / name).read_text(encoding="utf-8")
        assert str(line.models.parent) not in text
        assert not [word for word in text.split('"') if word.startswith(("/", "file:")) and len(word) > 1]
    assert line.trained.bundle_hash in (exported / "README.txt").read_text()


def test_the_same_version_gives_the_same_bytes(exported, line, tmp_path):
    _, other = run_export(line.models, f"overdue/{line.trained.run.version}", tmp_path / "again", SCALE)
    for path in exported.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (other / path.relative_to(exported)).read_bytes(), path.name


_WITHOUT_MLFLOW = """
import runpy, sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "mlflow":
            raise ImportError("mlflow is not here")

sys.meta_path.insert(0, Blocked())
try:
    import mlflow
except ImportError:
    pass
else:
    sys.exit("mlflow was not blocked")
script, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


def test_it_scores_the_same_in_another_folder_where_mlflow_cannot_be_imported(exported, line, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    done = subprocess.run(
        [
            sys.executable, "-c", _WITHOUT_MLFLOW, str(moved / "score.py"), "--records", str(line.records),
            "--as-of", "2005-09-30", "--out", str(tmp_path / "out"), "--hash", line.trained.bundle_hash,
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    folder = Path(done.stdout.strip())
    ours, theirs = (pd.read_parquet(f / "scores.parquet") for f in (line.scored.folder, folder))
    pd.testing.assert_frame_equal(
        ours.drop(columns="points"), theirs.drop(columns="points"), check_exact=True
    )
    # 500 points at 20 to 1 and 33.3 to double, from the very same probabilities.
    from overdue_ml.model import compute_points

    assert (theirs["points"] == compute_points(ours["p_overdue"].to_numpy(), SCALE.points)).all()
    wide = [(f / "contributions.parquet").read_bytes() for f in (line.scored.folder, folder)]
    assert wide[0] == wide[1]


def test_the_default_scale_gives_the_very_table_of_the_run(line, tmp_path):
    _, folder = run_export(line.models, "overdue@champion", tmp_path / "model")
    scored = score_export(folder, line.records, "2005-09-30", tmp_path / "out")
    assert (scored / "scores.parquet").read_bytes() == (line.scored.folder / "scores.parquet").read_bytes()


def test_a_changed_export_is_refused(exported, tmp_path, line):
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    path = moved / "bundle" / "model.json"
    path.write_bytes(path.read_bytes().replace(b"2005", b"2006", 1))
    with pytest.raises(ModelError, match="was changed"):
        load_export(moved)
    # A coherent swap fits the folder's own hash, not the one that is kept elsewhere.
    from hashlib import sha256

    facts = json.loads((moved / "export.json").read_text())
    facts["bundle_hash"] = sha256(path.read_bytes()).hexdigest()
    (moved / "export.json").write_text(json.dumps(facts))
    assert load_export(moved)[0].version == line.trained.run.version
    with pytest.raises(ModelError, match="was changed"):
        load_export(moved, line.trained.bundle_hash)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "model": 3}', "[" * 9999])
def test_facts_that_are_none_are_a_model_error(exported, tmp_path, text):
    moved = tmp_path / "moved"
    shutil.copytree(exported, moved)
    (moved / "export.json").write_text(text)
    with pytest.raises(ModelError):
        load_export(moved)


def test_what_stands_there_is_not_written_over(line, tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(ConfigError, match="something stands there"):
            run_export(line.models, "overdue@champion", place)
    args = ["export", "overdue@champion", "--models", str(line.models), "--to", str(tmp_path / "new")]
    assert cli.run(args) == 0
    assert line.trained.bundle_hash in capsys.readouterr().out
    assert cli.run(args) == 2
    assert cli.run(["export", "overdue@king", "--models", str(line.models), "--to", str(tmp_path / "k")]) == 4
    assert not (tmp_path / "k").exists()
