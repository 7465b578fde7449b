"""A real MLflow server: everything that works in a folder works there, and nothing is written beside it."""

import contextlib
import datetime as dt
import http.client
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from overdue_ml.tracking import Policy, champion_on, load_model, log_run, open_store, promote, roll_back
from overdue_ml.tracking.registry import run_file


def _answers(port):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server with a database and artifacts of its own."""
    root = tmp_path_factory.mktemp("server")
    try:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    except OSError as error:
        pytest.skip(f"no port can be bound: {error}")
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = (root / "log").open("wb")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
            "--workers", "1", "--backend-store-uri", f"sqlite:///{root / 'theirs.db'}",
            "--artifacts-destination", str(root / "files"),
        ],
        cwd=root, env=os.environ | quiet, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=log,
    )  # fmt: skip
    log.close()
    try:
        deadline = time.monotonic() + 120
        while not _answers(port):
            assert process.poll() is None, (root / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, (root / "log").read_text()[-2000:]
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", root
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_log_register_promote_load_and_go_back_over_http(server, record, features, tmp_path, monkeypatch):
    address, root = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    store = open_store(tmp_path / "models")
    assert store.uri == address
    made = [log_run(store, record(auc=auc), "overdue", "overdue") for auc in (0.75, 0.755)]
    assert [run.version for run in made] == ["1", "2"]
    # The gates read the evaluation over the wire, and the second is held against the first.
    promote(store, "overdue", "1", "champion", "lin", policy=Policy())
    line = promote(store, "overdue", "2", "champion", "lin", policy=Policy())
    assert "champion version 1 has 0.75" in line["gates"][1]["note"]
    loaded = load_model(store, "overdue@champion")
    assert loaded.version == "2"
    assert loaded.model.classifier.predict_proba(features).shape == (200, 2)
    assert run_file(store, made[0].run_id, "evaluation/nothing.json") is None
    assert roll_back(store, "overdue", "lin", "try")["version"] == "1"
    assert load_model(store, "overdue@champion").version == "1"
    time_ms = int(line["registry_time_ms"])
    assert time_ms > store.client().get_model_version("overdue", "2").creation_timestamp
    day_after = dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).date() + dt.timedelta(1)
    assert champion_on(store.folder, day_after).version == "1"
    # Here stand the lock and the log only; there everything else.
    assert sorted(p.name for p in store.folder.iterdir()) == [".lock", "promotions.jsonl"]
    assert any((root / "files").rglob("booster_0.txt"))
    assert os.environ["MLFLOW_TRACKING_URI"] == address
