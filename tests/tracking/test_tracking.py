"""MLflow for real, in one temporary store: runs, versions, aliases, and what must be refused."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overdue_ml.errors import ModelError
from overdue_ml.tracking import (
    TrainingRecord,
    load_model,
    log_run,
    open_store,
    promote,
    read_promotions,
    registry,
)
from overdue_ml.tracking.registry import BUNDLE_TAG, CODE_TAG
from overdue_ml.tracking.store import mlflow_module


@pytest.fixture(scope="session")
def bundles(train, tmp_path_factory):
    """Two trained models, by version: (model, record)."""
    folder = tmp_path_factory.mktemp("bundles")
    report = folder / "evaluation.json"
    report.write_text('{"auc": 0.9}')
    figures = folder / "figures"
    figures.mkdir()
    (figures / "calibration.svg").write_text("<svg/>")
    made = {}
    for version in ("1", "2"):
        model, bundle_hash = train(folder / version, seed=int(version))
        made[version] = (
            model,
            TrainingRecord(
                bundle=folder / version,
                bundle_hash=bundle_hash,
                features=model.feature_names,
                categorical=["product"],
                params={"model.cv": 2, "model.early_stopping_rounds": None, "split.by": "time"},
                metrics={"auc": 0.9, "capture_rate_0.1": 0.4, "undefined": float("nan")},
                tags={"records_fingerprint": "a" * 64},
                files={"evaluation": report, "figures": figures},
            ),
        )
    return made


@pytest.fixture(scope="session")
def store(tmp_path_factory, bundles):
    """A store with two versions, the first of them champion."""
    store = open_store(tmp_path_factory.mktemp("models") / "models")
    for version, (_, record) in bundles.items():
        assert log_run(store, record, "overdue", "overdue").version == version
    promote(store, "overdue", "1", "champion", by="lin", reason="first")
    return store


@pytest.fixture(scope="session")
def own_folder(store):
    """Folder of a version's files inside the store."""
    client, nowhere = store.client(), store.folder / "nowhere"
    return lambda version: registry._model_folder(
        store, client.get_model_version("overdue", version), nowhere
    )


@contextmanager
def changed(path, change):
    """A file changed for the length of a block."""
    before = path.read_bytes()
    path.write_bytes(change(before))
    try:
        yield
    finally:
        path.write_bytes(before)


def flipped(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


# ---- There and back


@pytest.mark.parametrize(
    ("reference", "version"), [("overdue@champion", "1"), ("overdue/1", "1"), ("overdue/2", "2")]
)
def test_what_was_registered_scores_the_same(store, bundles, features, reference, version):
    loaded = load_model(store, reference)
    model, record = bundles[version]
    one, other = (m.classifier.predict_proba(features) for m in (model, loaded.model))
    assert one.tobytes() == other.tobytes()
    assert (loaded.name, loaded.version, loaded.bundle_hash) == ("overdue", version, record.bundle_hash)
    assert loaded.alias == ("champion" if "@" in reference else "")


def test_the_card_says_where_a_model_came_from(store, bundles):
    card = load_model(store, "overdue@champion").card()
    assert card["trained_on"] == "2023-11-30, 2023-12-31"
    assert card["model_hash"] == bundles["1"][1].bundle_hash
    assert card["version"] == "1"
    assert len(card["run_id"]) == 32


def test_the_run_is_on_the_record(store):
    client = store.client()
    run = client.get_run(load_model(store, "overdue/1").run_id)
    assert client.get_experiment(run.info.experiment_id).name == "overdue"
    assert run.data.params == {"model.cv": "2", "split.by": "time"}
    assert run.data.metrics == {"auc": 0.9, "capture_rate_0.1": 0.4}
    assert run.data.tags["records_fingerprint"] == "a" * 64
    assert run.info.status == "FINISHED"
    found = {f.path for f in client.list_artifacts(run.info.run_id)}
    assert {"evaluation", "figures"} <= found


def test_loads_as_a_pyfunc_without_pickle(store, bundles, features):
    mlflow = mlflow_module()
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    loaded = mlflow.pyfunc.load_model("models:/overdue/1")
    frame = features.assign(product=features["product"].astype("str"))
    scores = loaded.predict(frame)
    classifier = bundles["1"][0].classifier
    assert scores.columns.tolist() == ["p_overdue", "log_odds"]
    np.testing.assert_array_equal(scores["log_odds"], classifier.decision_function(features))
    np.testing.assert_array_equal(scores["p_overdue"], classifier.predict_proba(features)[:, 1])
    # The order of columns is the signature's affair, not the caller's.
    turned = loaded.predict(frame[frame.columns[::-1]])
    np.testing.assert_array_equal(turned["log_odds"], scores["log_odds"])


def test_signature_errors_show_no_row(store, features, canaries):
    loaded = mlflow_module().pyfunc.load_model("models:/overdue/1")
    wrong = features.assign(product="a", dpd=canaries[0].decode())
    with pytest.raises(mlflow_module().exceptions.MlflowException) as caught:
        loaded.predict(wrong)
    assert "CANARY" not in str(caught.value)


# ---- What is not there


@pytest.mark.parametrize(
    ("reference", "next_step"),
    [
        ("overdue@challenger", "overdue-ml promote"),
        ("overdue/99", "overdue-ml promote"),
        ("overdue/abc", "overdue-ml promote"),
        ("overdue/-1", "overdue-ml promote"),
        ("nothing@champion", "overdue-ml promote"),
        ("../overdue/1", "overdue-ml promote"),
        ("overdue", "name@alias or name/version"),
        ("overdue@", "name@alias or name/version"),
        ("@champion", "name@alias or name/version"),
        ("", "name@alias or name/version"),
    ],
)
def test_a_model_that_does_not_exist(store, reference, next_step):
    with pytest.raises(ModelError) as caught:
        load_model(store, reference)
    assert caught.value.exit_code == 4
    assert next_step in str(caught.value)
    assert caught.value.__cause__ is None


# ---- What was changed


@pytest.mark.parametrize("name", ["booster_0.txt", "booster_1.txt", "model.json", "pyfunc_model.py"])
@pytest.mark.parametrize(
    "change", [flipped, lambda data: data[:-7], lambda data: b""], ids=["flip", "cut", "empty"]
)
def test_changed_files_are_refused(store, own_folder, monkeypatch, name, change):
    (path,) = own_folder("1").rglob(name)
    with changed(path, change), monkeypatch.context() as patch:
        patch.setattr("lightgbm.Booster", lambda *a, **k: pytest.fail("LightGBM saw unverified bytes"))
        with pytest.raises(ModelError, match="was changed after it was registered") as caught:
            load_model(store, "overdue@champion")
        assert caught.value.exit_code == 4
        with pytest.raises(ModelError):
            promote(store, "overdue", "1", "champion", by="lin")
    assert load_model(store, "overdue@champion").version == "1"


@pytest.mark.parametrize("name", ["booster_0.txt", "model.json", "pyfunc_model.py"])
def test_missing_files_are_refused(store, own_folder, tmp_path, name):
    (path,) = own_folder("1").rglob(name)
    shutil.move(path, tmp_path / name)
    try:
        with pytest.raises(ModelError):
            load_model(store, "overdue@champion")
    finally:
        shutil.move(tmp_path / name, path)


def test_another_versions_bundle_is_refused(store, own_folder, tmp_path):
    """A coherent swap: every inner hash holds, the tag does not."""
    mine, theirs = (next(own_folder(v).rglob("model.json")).parent for v in ("1", "2"))
    shutil.move(mine, tmp_path / "mine")
    shutil.copytree(theirs, mine)
    try:
        with pytest.raises(ModelError, match="was changed after it was registered"):
            load_model(store, "overdue@champion")
    finally:
        shutil.rmtree(mine)
        shutil.move(tmp_path / "mine", mine)


def test_a_pickle_beside_the_bundle_is_refused(store, own_folder):
    path = next(own_folder("1").rglob("model.json")).parent / "python_model.pkl"
    path.write_bytes(b"\x80\x04.")
    try:
        with pytest.raises(ModelError, match="not part of a model"):
            load_model(store, "overdue@champion")
    finally:
        path.unlink()


@pytest.mark.parametrize("tag", [BUNDLE_TAG, CODE_TAG])
def test_a_version_without_its_hash_is_refused(store, tag):
    client = store.client()
    value = client.get_model_version("overdue", "1").tags[tag]
    client.delete_model_version_tag("overdue", "1", tag)
    try:
        with pytest.raises(ModelError, match="carries no hash"):
            load_model(store, "overdue@champion")
    finally:
        client.set_model_version_tag("overdue", "1", tag, value)


# ---- Promotion


def test_the_files_of_a_version_outlast_a_loss_of_power(bundles, tmp_path, monkeypatch):
    """SQLite keeps its rows; what they point to is kept before anything can be promoted."""
    store, synced, fsync = open_store(tmp_path / "models"), set(), os.fsync

    def record(handle):
        synced.add(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    log_run(store, bundles["1"][1], "overdue", "overdue")
    (code,) = store.artifacts.rglob("pyfunc_model.py")
    files = {path for path in code.parent.rglob("*") if path.is_file()}
    assert {"model.json", "MLmodel"} <= {path.name for path in files}
    folders = {above for path in files for above in path.parents if above.is_relative_to(store.folder)}
    assert files | folders <= synced


def test_promotions_are_logged_and_aliases_move(store, bundles):
    promote(store, "overdue", "2", "challenger", by="wang", reason="better in 2024\u2028证据")
    line = promote(store, "overdue", "2", "champion", by="wang")
    try:
        assert load_model(store, "overdue@champion").version == "2"
        assert line["from_version"] == "1"
        assert line["bundle_hash"] == bundles["2"][1].bundle_hash
        assert line["run_id"] == load_model(store, "overdue/2").run_id
        assert int(line["registry_time_ms"]) > 0
        log = read_promotions(store.folder / "promotions.jsonl")
        assert [(e["alias"], e["version"], e["from_version"]) for e in log][-2:] == [
            ("challenger", "2", ""),
            ("champion", "2", "1"),
        ]
    finally:
        promote(store, "overdue", "1", "champion", by="lin", reason="back")
        store.client().delete_registered_model_alias("overdue", "challenger")


def test_a_broken_log_stops_a_promotion_before_the_alias_moves(store):
    with (
        changed(store.folder / "promotions.jsonl", lambda data: data.replace(b"lin", b"li2")),
        pytest.raises(ModelError, match="chain of hashes"),
    ):
        promote(store, "overdue", "2", "champion", by="lin")
    assert load_model(store, "overdue@champion").version == "1"


@pytest.mark.parametrize(
    ("version", "alias"), [("1", "boss"), ("99", "champion"), ("", "champion"), ("x", "champion")]
)
def test_promotions_that_are_refused(store, version, alias):
    before = (store.folder / "promotions.jsonl").read_bytes()
    with pytest.raises(ModelError) as caught:
        promote(store, "overdue", version, alias, by="lin")
    assert caught.value.exit_code == 4
    assert (store.folder / "promotions.jsonl").read_bytes() == before


# ---- Kills


def test_killed_between_register_and_alias(store, bundles):
    # Version 2 is registered and has no alias: that is what such a kill leaves behind.
    assert load_model(store, "overdue/2").version == "2"
    assert load_model(store, "overdue@champion").version == "1"


def test_killed_between_log_and_register(store, bundles, monkeypatch):
    def kill(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(mlflow_module(), "register_model", kill)
    with pytest.raises(KeyboardInterrupt):
        log_run(store, bundles["1"][1], "overdue", "overdue")
    assert load_model(store, "overdue@champion").version == "1"
    assert mlflow_module().active_run() is None


def test_killed_while_logging(store, bundles, monkeypatch):
    def kill(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(mlflow_module().pyfunc, "log_model", kill)
        with pytest.raises(KeyboardInterrupt):
            log_run(store, bundles["1"][1], "overdue", "overdue")
    assert mlflow_module().active_run() is None
    assert load_model(store, "overdue@champion").version == "1"


# ---- Where things lie


def test_two_stores_in_one_process_stay_apart(store, bundles, tmp_path):
    other = open_store(tmp_path / "other")
    assert other.uri != store.uri
    assert "MLFLOW_TRACKING_URI" not in os.environ
    # The last one opened is not the one that is written to.
    count = len(store.client().search_model_versions("name='overdue'"))
    log_run(store, bundles["1"][1], "overdue", "another")
    assert other.client().search_registered_models() == []
    assert [m.name for m in store.client().search_registered_models()] == ["another", "overdue"]
    assert len(store.client().search_model_versions("name='overdue'")) == count
    assert log_run(other, bundles["2"][1], "overdue", "overdue").version == "1"
    assert load_model(other, "overdue/1").bundle_hash == bundles["2"][1].bundle_hash


def test_the_users_address_is_obeyed(monkeypatch, tmp_path):
    wish = f"sqlite:///{tmp_path / 'theirs.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", wish)
    assert open_store(tmp_path / "models").uri == wish
    assert os.environ["MLFLOW_TRACKING_URI"] == wish
    assert (tmp_path / "theirs.db").is_file()


def test_everything_lies_in_the_models_folder(store, working_folder):
    assert store.uri == f"sqlite:///{store.folder / 'mlflow.db'}"
    assert (store.folder / "mlflow.db").is_file()
    assert any(store.artifacts.rglob("booster_0.txt"))
    # Nothing was written to the current folder, and its ./mlruns was not taken for the store.
    assert sorted(p.relative_to(working_folder).as_posix() for p in working_folder.rglob("*")) == [
        "mlruns",
        "mlruns/0",
        "mlruns/0/meta.yaml",
    ]


def test_no_pickle_in_the_store(store):
    for path in store.folder.rglob("*"):
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".cloudpickle"), path
        if path.is_file() and path.suffix != ".db":
            assert not path.read_bytes().startswith(b"\x80"), path
    model_files = [p.read_text() for p in store.artifacts.rglob("MLmodel")]
    assert model_files
    assert not any("python_model.pkl" in text for text in model_files)


def test_no_customer_in_the_store(store, canaries):
    for path in store.folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(canary in data for canary in canaries), path


def test_no_customer_in_the_output(store, bundles, canaries, capfd, caplog):
    log_run(store, bundles["2"][1], "overdue", "third")
    load_model(store, "third/1")
    out, err = capfd.readouterr()
    assert not any(canary.decode() in out + err + caplog.text for canary in canaries)


def test_a_moved_folder_still_loads(store, bundles, features, tmp_path):
    moved = tmp_path / "elsewhere" / "models"
    shutil.copytree(store.folder, moved)
    hidden = store.folder.with_name("hidden")
    store.folder.rename(hidden)
    try:
        loaded = load_model(open_store(moved), "overdue@champion")
    finally:
        hidden.rename(store.folder)
    expected = bundles["1"][0].classifier.decision_function(features)
    assert loaded.model.classifier.decision_function(features).tobytes() == expected.tobytes()


def test_lost_files_are_a_model_error(store, own_folder):
    folder = own_folder("2")
    hidden = folder.with_name("hidden")
    folder.rename(hidden)
    try:
        with pytest.raises(ModelError) as caught:
            load_model(store, "overdue/2")
        assert caught.value.exit_code == 4
    finally:
        hidden.rename(folder)


@pytest.mark.parametrize("data", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_database_that_is_none(tmp_path, data):
    (tmp_path / "mlflow.db").write_bytes(data)
    with pytest.raises(ModelError, match="cannot be opened") as caught:
        open_store(tmp_path)
    assert caught.value.exit_code == 4


def test_a_models_folder_that_is_a_file(tmp_path):
    (tmp_path / "models").write_text("mine")
    with pytest.raises(ModelError, match="cannot be used"):
        open_store(tmp_path / "models")


def test_a_record_with_other_files_is_not_mistaken(store, bundles, tmp_path):
    """A bundle changed between saving and logging does not become a loadable version."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["1"][1].bundle, folder)
    path = folder / "model.json"
    path.write_bytes(path.read_bytes().replace(b"2023-11-30", b"2023-10-31"))
    version = log_run(store, replace(bundles["1"][1], bundle=folder), "overdue", "tampered").version
    with pytest.raises(ModelError, match="was changed"):
        load_model(store, f"tampered/{version}")


# ---- Four at once

_FOUR = """
import os, sys
from pathlib import Path
from overdue_ml.tracking import TrainingRecord, log_run, open_store
from overdue_ml.tracking.store import mlflow_module

mlflow_module()
models, bundle, bundle_hash = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
children = []
# Imported once, then forked: all four reach the fresh database within milliseconds of each other.
for number in range(4):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            names = ["dpd", "income", "product"]
            record = TrainingRecord(bundle, bundle_hash, names, ["product"], {}, {}, {})
            print("version", log_run(open_store(models), record, "overdue", "overdue").version, flush=True)
            code = 0
        finally:
            os._exit(code)
    children.append(child)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
"""


def test_four_processes_on_a_fresh_database(bundles, tmp_path):
    record = bundles["1"][1]
    models = tmp_path / "models"
    done = subprocess.run(
        [sys.executable, "-c", _FOUR, str(models), str(record.bundle), record.bundle_hash],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("version")) == [
        f"version {number}" for number in (1, 2, 3, 4)
    ]
    fresh = open_store(models)
    assert fresh.client().search_runs(["0"]) == []
    for version in (1, 2, 3, 4):
        assert load_model(fresh, f"overdue/{version}").bundle_hash == record.bundle_hash
