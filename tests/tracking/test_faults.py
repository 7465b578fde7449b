"""What may happen to a models folder: moved, read only, full, and its files changed in 1,200 ways."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from overdue_ml.errors import ModelError
from overdue_ml.model import load_bundle
from overdue_ml.tracking import load_model, log_run, open_store, promote
from overdue_ml.tracking.store import mlflow_module


def _files(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("gone", [True, False], ids=["moved", "copied"])
def test_a_moved_folder_is_trained_into_where_it_is_now(store, record, tmp_path, gone):
    """MLflow keeps absolute places: without care the files of new runs go to where the folder was."""
    moved = tmp_path / "elsewhere" / "models"
    shutil.copytree(store.folder, moved)
    if gone:
        shutil.rmtree(store.folder)
    before = None if gone else _files(store.folder)
    new = open_store(moved)
    run = log_run(new, record(), "overdue", "overdue")
    assert (_files(store.folder) if store.folder.exists() else None) == before
    assert list(moved.rglob(f"{run.run_id}/artifacts/evaluation/evaluation.json"))
    promote(new, "overdue", run.version, "champion", "lin")
    assert load_model(new, "overdue@champion").version == "4"
    assert load_model(new, "overdue/1").version == "1"


def test_an_experiment_that_lies_elsewhere_by_intent_is_left_there(store, record, tmp_path):
    theirs = tmp_path / "theirs"
    store.client().create_experiment("theirs", artifact_location=theirs.as_uri())
    run = log_run(store, record(), "theirs", "overdue")
    assert (theirs / run.run_id / "artifacts" / "evaluation" / "evaluation.json").is_file()
    assert load_model(store, f"overdue/{run.version}").run_id == run.run_id


def _refusing(number, names):
    """``Path.open`` for which some files cannot be written."""
    real = Path.open

    def refuse(path, mode="r", *args, **kwargs):
        if path.name in names and set(mode) & set("wa+x"):
            raise OSError(number, "Read-only file system")
        return real(path, mode, *args, **kwargs)

    return refuse


def test_a_folder_that_can_only_be_read_scores_and_is_not_written(store, record, monkeypatch):
    promote(store, "overdue", "1", "champion", "lin")
    monkeypatch.setattr(Path, "open", _refusing(errno.EROFS, {".lock", "promotions.jsonl"}))
    again = open_store(store.folder)
    assert load_model(again, "overdue@champion").version == "1"
    with pytest.raises(ModelError, match="Read-only file system") as caught:
        promote(again, "overdue", "2", "champion", "lin")
    assert caught.value.exit_code == 4
    assert load_model(again, "overdue@champion").version == "1"
    with pytest.raises(ModelError, match="the run was not recorded: Read-only"):
        log_run(again, record(), "overdue", "overdue")


def test_a_new_folder_that_can_only_be_read_is_a_model_error(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", _refusing(errno.EROFS, {".lock"}))
    with pytest.raises(ModelError, match="cannot be used: Read-only"):
        open_store(tmp_path / "models")


@pytest.mark.parametrize("place", ["log_artifact", "log_params"])
def test_a_full_disk_while_a_run_is_recorded_is_a_model_error(store, record, monkeypatch, place):
    promote(store, "overdue", "1", "champion", "lin")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_module(), place, full)
        with pytest.raises(ModelError, match="the run was not recorded: No space left") as caught:
            log_run(store, record(), "overdue", "overdue")
    assert caught.value.exit_code == 4
    assert mlflow_module().active_run() is None
    assert load_model(store, "overdue@champion").version == "1"
    assert log_run(store, record(), "overdue", "overdue").version == "4"


# ---- Bundles that are none


def _renamed(folder, name):
    """``model.json`` that speaks of another file instead of the first booster."""
    path = folder / "model.json"
    data = json.loads(path.read_text())
    data["files"] = {name if key == "booster_0.txt" else key: v for key, v in data["files"].items()}
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    "name",
    [
        "../booster_0.txt", "../../outside.txt", "/etc/passwd", "booster_0.txt/../booster_0.txt",
        "./booster_0.txt", "booster_0.txt\x00", "BOOSTER_0.TXT", "", ".",
        "model.json", "booster_٠.txt", "booster_0.pkl",
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_refused(record, tmp_path, name):
    bundle = tmp_path / "bundle"
    shutil.copytree(record().bundle, bundle)
    shutil.copy(bundle / "booster_0.txt", tmp_path / "booster_0.txt")
    shutil.copy(bundle / "booster_0.txt", tmp_path / "outside.txt")
    _renamed(bundle, name)
    with pytest.raises(ModelError, match="missing or extra"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "plant",
    [
        lambda b: (b / "model.pkl").write_bytes(b"\x80\x04."),
        lambda b: (b / "booster_0.joblib").write_bytes(b"\x80\x04."),
        lambda b: (b / "folder").mkdir(),
        lambda b: (b / "booster_7.txt").symlink_to(b / "booster_0.txt"),
        lambda b: (
            (b / "booster_0.txt").rename(b.parent / "x"),
            (b / "booster_0.txt").symlink_to(b.parent / "x"),
        ),
        lambda b: ((b / "model.json").rename(b.parent / "y"), (b / "model.json").symlink_to(b.parent / "y")),
    ],
    ids=["pickle", "joblib", "folder", "extra link", "linked booster", "linked json"],
)
def test_a_bundle_with_anything_else_in_it_is_refused(record, tmp_path, plant):
    made = record()
    bundle = tmp_path / "bundle"
    shutil.copytree(made.bundle, bundle)
    plant(bundle)
    with pytest.raises(ModelError, match="not part of a model"):
        load_bundle(bundle, made.bundle_hash)


# ---- Changed files

_MUTATED = """
import json, random, re, shutil, sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from overdue_ml.errors import ModelError
from overdue_ml.model import load_bundle

bundle, bundle_hash, scratch = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
rng = random.Random(0)
rows = np.random.default_rng(0)
frame = pd.DataFrame({"dpd": rows.normal(size=50), "income": rows.uniform(0, 5000, 50),
                      "product": pd.Categorical(rows.choice(["a", "b"], 50))})
whole = {p.name: p.read_bytes() for p in sorted(bundle.iterdir())}
scratch.mkdir()

def write(files):
    for name, data in files.items():
        (scratch / name).write_bytes(data)

def score(expected):
    return load_bundle(scratch, expected).classifier.predict_proba(frame).tobytes()

def flip(data):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << rng.randrange(8))]) + data[place + 1:]

def cut(data):
    return data[:rng.randrange(len(data))]

def drop(data):
    place = rng.randrange(len(data))
    return data[:place] + data[place + rng.randrange(1, 40):]

def twice(data):
    place = rng.randrange(len(data))
    return data[:place] + data[place:place + 30] + data[place:]

def digit(data):
    found = [m.start() for m in re.finditer(rb"[0-9]", data)]
    place = rng.choice(found)
    return data[:place] + str(9 - int(data[place:place + 1])).encode() + data[place + 1:]

def huge(data):
    found = [m.span() for m in re.finditer(rb"[0-9]+", data)]
    start, end = rng.choice(found)
    return data[:start] + b"99999999999999999999" + data[end:]

KINDS = [flip, cut, drop, twice, digit, huge]
write(whole)
truth = score(bundle_hash)
tally = {"refused": 0, "same": 0, "other": 0, "unhashed refused": 0, "unhashed read": 0}
names = sorted(whole)
for number in range(900):
    name = names[number % len(names)]
    changed = KINDS[number % len(KINDS)](whole[name])
    files = dict(whole)
    files[name] = changed
    if name != "model.json" and number % 2:
        # A coherent change: the inner hash fits, only the one kept outside does not.
        payload = json.loads(whole["model.json"])
        payload["files"][name] = sha256(changed).hexdigest()
        files["model.json"] = json.dumps(payload, sort_keys=True, indent=1, ensure_ascii=False).encode()
    write(files)
    try:
        tally["same" if score(bundle_hash) == truth else "other"] += 1
    except ModelError:
        tally["refused"] += 1
    if files == whole:
        tally["unchanged"] = tally.get("unchanged", 0) + 1
# Without the hash nobody vouches for model.json; whatever stands in it is an error of ours or a model.
write(whole)
for number in range(300):
    (scratch / "model.json").write_bytes(KINDS[number % len(KINDS)](whole["model.json"]))
    try:
        load_bundle(scratch)
        tally["unhashed read"] += 1
    except ModelError:
        tally["unhashed refused"] += 1
print(json.dumps(tally))
"""


def test_1200_changed_files_never_end_the_interpreter_nor_give_another_score(record, tmp_path):
    made = record()
    done = subprocess.run(
        [sys.executable, "-c", _MUTATED, str(made.bundle), made.bundle_hash, str(tmp_path / "scratch")],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    tally = json.loads(done.stdout.splitlines()[-1])
    unchanged = tally.get("unchanged", 0)
    # A mutation may hit upon what stood there; that one, and no other, scores.
    assert (tally["refused"], tally["same"], tally["other"]) == (900 - unchanged, unchanged, 0)
    assert unchanged < 20
    assert tally["unhashed refused"] + tally["unhashed read"] == 300
    assert tally["unhashed refused"] > 150
