"""Killed at any moment, a run is the old one or the whole new one, and a restart goes on where it stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from overdue_ml.jobs.export import run_export
from overdue_ml.jobs.prepare import run_prepare
from overdue_ml.jobs.score import run_score

from .batches import names, settings
from .conftest import AS_OF, digests

KILLER = Path(__file__).with_name("killed_runs.py")


@pytest.fixture(scope="module")
def prepared(few, tmp_path_factory):
    """The few in three buckets."""
    return run_prepare(few, tmp_path_factory.mktemp("kills") / "prepared", n_buckets=3).path


@pytest.mark.parametrize(("explain", "steps", "times"), [("all", 38, 4), ("listed", 14, 3)])
def test_killed_at_random_a_run_is_whole_or_not_there(line, prepared, tmp_path, explain, steps, times):
    """All of it in one process, from which attempts are forked: nothing is loaded again and again."""
    run_export(line.models, "overdue@champion", tmp_path / "export")
    # Forked children must find no threads of their parent's.
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    args = [tmp_path / "export", prepared, tmp_path, explain, steps, times]
    done = subprocess.run(
        [sys.executable, KILLER, *map(str, args)],
        capture_output=True,
        text=True,
        env=env,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["steps"] > 60, "too few points to be killed at"
    assert sum(end["kills"] for end in said["ends"]) >= steps + times
    assert said["partial"] == []
    assert said["kept"] > 0, "no attempt found finished buckets, so nothing was shown about them"
    assert said["redone"] == []
    assert all(end["status"] == 0 and end["same"] and end["left"] == [] for end in said["ends"]), said["ends"]


def children_of(pid: int) -> list[int]:
    """Processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if path.read_text().rpartition(")")[2].split()[1] == str(pid):
                found.append(int(path.parent.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether it has not ended, or waits to be asked how it did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_real_process_with_workers_killed_at_random_times(line, champion, prepared, few, tmp_path):
    """Its workers outlive it, and may still write while the next attempt runs."""
    whole = run_score(prepared, AS_OF, champion, tmp_path / "whole", settings())
    out, chance = tmp_path / "out", random.Random(0)
    config = tmp_path / "reminders.yaml"
    config.write_text("lead_days: 31\n")
    args = [
        sys.executable, "-m", "overdue_ml.cli", "score", "--records", prepared, "--as-of", "2005-09-30",
        "--models", line.models, "--out", out, "--reminders-config", config, "--workers", "2",
    ]  # fmt: skip
    left = []
    for _ in range(2):
        process = subprocess.Popen(list(map(str, args)), stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not process.stderr.readline().startswith("- scoring"):
            pass
        time.sleep(chance.uniform(0, 3))
        workers = children_of(process.pid)
        process.send_signal(signal.SIGKILL)
        process.stderr.close()
        process.wait()
        left.append(workers)
        if (out / "as_of=2005-09-30").exists():
            assert digests(out / "as_of=2005-09-30") == digests(whole.folder)
    subprocess.run(list(map(str, args)), check=True, capture_output=True)
    assert digests(out / "as_of=2005-09-30") == digests(whole.folder)
    assert names(out) == ["as_of=2005-09-30"]
    # Nobody waits for them any more.
    assert any(left), "no attempt had started its workers"
    deadline = time.monotonic() + 20
    while any(is_alive(pid) for workers in left for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its run"
        time.sleep(0.2)
