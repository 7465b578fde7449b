"""Tasks in other processes, on Dask and on Spark: the same results, whatever becomes of a worker."""

from __future__ import annotations

import contextlib
import errno
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from overdue_ml import cli
from overdue_ml.config import BatchConfig
from overdue_ml.errors import ConfigError, RecordsError, ResourceError
from overdue_ml.jobs import batch, engines
from overdue_ml.jobs.engines import run_tasks
from overdue_ml.jobs.score import run_score
from overdue_ml.tracking import load_model, open_store

from .conftest import AS_OF, digests, needs_java, small_settings

ENGINES = ["local", "dask", pytest.param("spark", marks=needs_java)]


@pytest.fixture(scope="module")
def dask_address():
    """Two workers that are started again when they die."""
    import dask
    from distributed import LocalCluster

    with (
        # Dask calls a worker that has just died for half a minute.
        dask.config.set({"distributed.comm.timeouts.connect": "2s"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=None,
            dashboard_address="127.0.0.1:0", host="127.0.0.1",
        ) as cluster,
    ):  # fmt: skip
        yield cluster.scheduler_address


@pytest.fixture
def settings(request):
    """The settings of an engine, with two workers."""
    if request.param == "dask":
        return BatchConfig(engine="dask", workers=2, address=request.getfixturevalue("dask_address"))
    if request.param == "spark":
        request.getfixturevalue("spark")
    return BatchConfig(engine=request.param, workers=2)


on_each_engine = pytest.mark.parametrize("settings", ENGINES, indirect=True)
# Tasks are made inside functions: what stands in a test module cannot be imported by a worker.


@on_each_engine
def test_results_come_as_they_are_ready_from_processes_side_by_side(settings, tmp_path):
    told = tmp_path / "told"

    def task(number):
        # Ends only when the result of another one has arrived.
        for _ in range(600):
            if number or told.exists():
                break
            time.sleep(0.1)
        return {"number": number, "process": os.getpid(), "waited": told.exists()}

    found = {}
    for facts in run_tasks(task, range(5), settings):
        told.touch()
        found[facts["number"]] = facts
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found[0]["waited"]
    processes = {facts["process"] for facts in found.values()}
    assert len(processes) >= 2
    assert os.getpid() not in processes


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_at_a_time_in_this_process(at_once):
    running, most = [], []

    def task(number):
        running.append(number)
        for _ in range(600):
            # As many as may be side by side are; the last ones have nobody left to wait for.
            if len(running) == at_once or number > 5 - at_once:
                break
            time.sleep(0.01)
        most.append(len(running))
        time.sleep(0.02)
        running.remove(number)
        return {"number": number, "process": os.getpid()}

    found = list(run_tasks(task, range(6), BatchConfig(), at_once=at_once))
    assert sorted(facts["number"] for facts in found) == list(range(6))
    assert {facts["process"] for facts in found} == {os.getpid()}
    assert max(most) == at_once


def test_after_an_error_no_other_task_begins():
    begun = []

    def task(number):
        begun.append(number)
        if number == 1:
            raise RuntimeError("no")
        # Long enough for the error to be seen first.
        while 1 not in begun:
            time.sleep(0.01)
        time.sleep(1)
        return {"number": number}

    with pytest.raises(RuntimeError, match="no"):
        list(run_tasks(task, range(9), BatchConfig(), at_once=2))
    assert sorted(begun) == [0, 1]


@on_each_engine
def test_tasks_of_workers_that_are_killed_are_done_again(settings, tmp_path):
    def task(number):
        marker = tmp_path / str(number)
        # All workers, so that nothing is left that was only in their memory.
        if number < 2 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        return {"number": number}

    found = [facts["number"] for facts in run_tasks(task, range(5), settings)]
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1"]


def test_a_worker_that_is_renewed_for_its_memory_is_nothing_to_warn_of():
    def task(number):
        from joblib.externals.loky import process_executor

        # So that it finds its memory grown after every task.
        process_executor._MEMORY_LEAK_CHECK_DELAY, process_executor._MAX_MEMORY_LEAK_SIZE = 0.0, -(10**15)
        time.sleep(0.05)
        return {"number": number, "process": os.getpid()}

    loky = "joblib.externals.loky.process_executor"
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = []
        for facts in run_tasks(task, range(12), BatchConfig(workers=2)):
            found.append(facts)
            # Of another text, or from elsewhere: heard.
            warnings.warn_explicit("A worker could not be stopped", UserWarning, "x.py", 1, loky)
            warnings.warn_explicit(
                "A worker stopped while some jobs were given", UserWarning, "x.py", 2, "own"
            )
    assert sorted(facts["number"] for facts in found) == list(range(12))
    assert len({facts["process"] for facts in found}) > 3
    assert Counter(str(warning.message) for warning in told) == {
        "A worker could not be stopped": 12,
        "A worker stopped while some jobs were given": 12,
    }


@on_each_engine
def test_a_worker_that_always_dies_is_one_clear_error(settings, tmp_path):
    def task(number):
        if number == 2:
            (tmp_path / str(time.monotonic_ns())).touch()
            os.kill(os.getpid(), 9)
        return {"number": number}

    with pytest.raises(ResourceError, match="was lost before its bucket was finished, 4 times"):
        list(run_tasks(task, range(4), settings))
    assert len(list(tmp_path.iterdir())) == 4


def test_processes_end_with_their_work():
    def task(number):
        return {"process": os.getpid()}

    found = list(run_tasks(task, range(4), BatchConfig(workers=2)))
    # What is left of one is gone from the system, not asleep with its memory.
    assert not [facts for facts in found if Path(f"/proc/{facts['process']}").exists()]


def test_losses_of_different_tasks_do_not_add_up(tmp_path):
    def task(number):
        marker = tmp_path / str(number)
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), 9)
        return {"number": number}

    # Each of six dies once: with one process at a time these are six losses, and four would be too many.
    found = list(run_tasks(task, range(6), BatchConfig(workers=2)))
    assert sorted(facts["number"] for facts in found) == [0, 1, 2, 3, 4, 5]


@on_each_engine
def test_an_error_of_a_task_comes_as_itself(settings):
    foreseen = RecordsError("two rows are one", where="table accounts", next_step="mend it")
    full = OSError(errno.ENOSPC, "No space left on device", "a/b")

    def failing(error):
        def task(number):
            raise error

        return task

    with pytest.raises(RecordsError) as found:
        list(run_tasks(failing(foreseen), [3, 4], settings))
    assert str(found.value) == str(foreseen)
    assert found.value.next_step == "mend it"
    with pytest.raises(OSError, match="No space left") as found:
        list(run_tasks(failing(full), [3, 4], settings))
    assert found.value.errno == errno.ENOSPC


@on_each_engine
def test_a_bug_in_a_task_brings_its_traceback_along(settings):
    def task(number):
        class OddError(Exception):
            def __init__(self, one, two):
                super().__init__(one)

        def deep():
            # One that can be sent, and one that cannot be made again where it arrives.
            raise ValueError("a bug") if number < 10 else OddError("a bug", 2)

        deep()

    with pytest.raises(ValueError, match="a bug") as found:
        list(run_tasks(task, [3, 4], settings))
    assert "in deep" in "".join(found.value.__notes__)
    with pytest.raises(RuntimeError, match=r"(?s)in deep.*a bug"):
        list(run_tasks(task, [13, 14], settings))


@on_each_engine
def test_nothing_goes_on_after_an_error(settings, tmp_path):
    def task(number):
        (tmp_path / str(number)).touch()
        # Whichever is begun first: Spark's jobs come from threads, in any order.
        with contextlib.suppress(FileExistsError):
            (tmp_path / "first").touch(exist_ok=False)
            raise RecordsError("no")
        time.sleep(0.2)
        return {}

    with pytest.raises(RecordsError):
        list(run_tasks(task, range(60), settings))
    begun = len(list(tmp_path.iterdir()))
    assert begun < 30
    time.sleep(0.6)
    # One on each worker may have been under way.
    assert len(list(tmp_path.iterdir())) <= begun + 2


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("spark", "pyspark")])
def test_an_engine_that_is_not_installed(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"not installed \[engine: {name}\].*overdue_ml\[{name}\]"):
        list(run_tasks(dict, [1, 2], BatchConfig(engine=name)))


@pytest.mark.parametrize(
    ("name", "address", "told"),
    [
        ("dask", "tcp://127.0.0.1:1", "Dask's scheduler does not answer"),
        ("dask", "nonsense", "Dask's scheduler does not answer"),
        ("dask", "smoke://127.0.0.1:1", "Dask's scheduler does not answer"),
        ("spark", "spark://127.0.0.1:1", "Spark's master does not answer"),
        ("spark", "spark://127.0.0.1", "Spark's master does not answer"),
    ],
)
def test_an_address_that_does_not_answer(name, address, told, monkeypatch):
    monkeypatch.setattr(engines, "_PATIENCE", 1)
    if name == "spark":
        monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", lambda: None)
    with pytest.raises(ConfigError, match=told) as found:
        list(run_tasks(dict, [1, 2], BatchConfig(engine=name, address=address)))
    assert address in str(found.value)


def test_a_session_of_spark_connect_is_refused(monkeypatch):
    from pyspark.errors import PySparkAttributeError

    class Remote:
        @property
        def sparkContext(self):
            raise PySparkAttributeError("it has none")

    monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", Remote)
    with pytest.raises(ConfigError, match="a session of Spark Connect cannot carry out a batch"):
        list(run_tasks(dict, [1, 2], BatchConfig(engine="spark")))


_ALONE = """
import json, os
from overdue_ml.config import BatchConfig
from overdue_ml.errors import ConfigError
from overdue_ml.jobs.engines import run_tasks

def refusal(**settings):
    try:
        return list(run_tasks(dict, [1, 2, 3], BatchConfig(engine="spark", **settings)))
    except ConfigError as error:
        return str(error)

home = os.environ.get("JAVA_HOME")
os.environ["JAVA_HOME"] = "/nowhere"
no_java = refusal()
del os.environ["JAVA_HOME"]
if home:
    os.environ["JAVA_HOME"] = home
print(json.dumps([no_java, refusal(address="nonsense")]))
"""


@needs_java
def test_a_spark_that_cannot_be_started(tmp_path):
    script = tmp_path / "alone.py"
    script.write_text(_ALONE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    no_java, wrong = json.loads(done.stdout.splitlines()[-1])
    assert no_java.startswith("Spark cannot be started")
    assert "Java 17" in no_java
    assert wrong.startswith("Spark cannot be started")
    assert "address: nonsense" in wrong


def test_a_scheduler_that_is_lost_is_one_clear_error():
    from distributed import LocalCluster

    def task(number):
        time.sleep(0.3)
        return {}

    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0", host="127.0.0.1",
        protocol="tcp",
    ) as cluster:  # fmt: skip
        settings = BatchConfig(engine="dask", address=cluster.scheduler_address)
        results = run_tasks(task, range(20), settings)
        next(results)
        cluster.close()
        with pytest.raises(ResourceError, match="Dask's scheduler was lost"):
            list(results)


class TestWaiting:
    """For a cluster in which nothing gets done."""

    @pytest.fixture
    def empty(self):
        """A scheduler without a worker."""
        from distributed import LocalCluster

        with LocalCluster(
            n_workers=0, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
            host="127.0.0.1", protocol="tcp",
        ) as cluster:  # fmt: skip
            yield cluster

    def test_a_cluster_without_a_worker_is_given_up_when_the_time_is_over(self, empty):
        settings = BatchConfig(engine="dask", address=empty.scheduler_address, wait_seconds=1)
        before = time.monotonic()
        with pytest.raises(ResourceError, match="no bucket was finished in 1 s") as caught:
            list(run_tasks(dict, [1, 2], settings))
        assert 1 <= time.monotonic() - before < 20
        assert caught.value.exit_code == 6
        for part in ("engine: dask, 0 worker(s)", "wait_seconds", "run again when there is one"):
            assert part in str(caught.value)

    @pytest.mark.parametrize("seconds", [None, 60])
    def test_a_worker_that_comes_in_time_is_made_use_of(self, empty, seconds):
        settings = BatchConfig(engine="dask", address=empty.scheduler_address, wait_seconds=seconds)
        late = threading.Timer(1.0, empty.scale, [1])
        late.start()
        try:
            found = [facts["number"] for facts in run_tasks(lambda n: {"number": n}, range(3), settings)]
        finally:
            late.join()
        assert sorted(found) == [0, 1, 2]

    @pytest.mark.parametrize("settings", ENGINES[1:], indirect=True)
    def test_it_is_the_wait_for_one_bucket_not_for_all(self, settings):
        def task(number):
            time.sleep(1.0)
            return {"number": number}

        # Spark takes its time for the first ones.
        assert len(list(run_tasks(task, range(2), settings))) == 2
        patient = settings.model_copy(update={"wait_seconds": 10})
        # Two workers: 24 buckets take twelve seconds at least.
        before = time.monotonic()
        assert len(list(run_tasks(task, range(24), patient))) == 24
        assert time.monotonic() - before > 10

    @pytest.mark.parametrize("settings", ENGINES[1:], indirect=True)
    def test_workers_that_get_nothing_done(self, settings, tmp_path):
        def task(number):
            # Whichever is begun first: Spark's jobs come from threads, in any order.
            with contextlib.suppress(FileExistsError):
                (tmp_path / "first").touch(exist_ok=False)
                return {"number": number}
            # Until the test is over.
            for _ in range(900):
                if (tmp_path / "over").exists():
                    break
                time.sleep(0.1)
            return {"number": number}

        assert len(list(run_tasks(dict.fromkeys, [[1], [2]], settings))) == 2
        # Long enough for the first one also where the machine is busy.
        results = run_tasks(task, range(4), settings.model_copy(update={"wait_seconds": 15}))
        try:
            assert next(results)["number"] in range(4)
            with pytest.raises(ResourceError, match="no bucket was finished in 15 s"):
                next(results)
        finally:
            (tmp_path / "over").touch()
        assert len(list(run_tasks(dict.fromkeys, [[1], [2]], settings))) == 2


@on_each_engine
def test_what_a_worker_cannot_take_up_is_one_clear_error(settings):
    class Heavy:
        def __reduce__(self):
            return exec, ("raise ModuleNotFoundError('no such thing here')",)

        def __call__(self, number):
            return {}

    with pytest.raises(ResourceError, match="the same packages"):
        list(run_tasks(Heavy(), [1, 2], settings))


def test_a_worker_with_another_version_is_refused(monkeypatch):
    guarded = engines._Guarded(lambda number: {"number": number})
    assert guarded(1) == {"number": 1}
    monkeypatch.setattr(engines, "version", lambda name: "9.9")
    found = guarded(1)
    assert isinstance(found, ConfigError)
    assert "9.9 is installed on a worker" in str(found)
    assert importlib.metadata.version("overdue_ml") in str(found)


@pytest.mark.parametrize("settings", ENGINES[1:], indirect=True)
def test_a_run_that_loses_workers_has_the_bytes_of_an_undisturbed_one(settings, line, tmp_path, monkeypatch):
    markers = tmp_path / "markers"
    markers.mkdir()

    def dying(task):
        def run(bucket):
            marker = markers / str(bucket)
            done = None
            if bucket == 2:
                done = task(bucket)
            if bucket in (0, 2) and not marker.exists():
                # One before its part is written and one after it, which nobody hears of.
                marker.touch()
                os.kill(os.getpid(), 9)
            return done or task(bucket)

        return run

    monkeypatch.setattr(
        batch,
        "run_tasks",
        lambda task, numbers, config, **more: run_tasks(dying(task), numbers, config, **more),
    )
    # Workers have been started elsewhere.
    monkeypatch.chdir(tmp_path)
    registered = load_model(open_store(line.models), "overdue@champion")
    cut = settings.model_copy(update={"customers_per_bucket": 800})
    found = run_score(line.records, AS_OF, registered, Path("out"), replace(small_settings(), batch=cut))
    assert sorted(p.name for p in markers.iterdir()) == ["0", "2"]
    timings = json.loads((found.folder / "timings.json").read_text())
    assert [n for n, *_ in timings["buckets"]] == [0, 1, 2, 3]
    assert timings["buckets"][2][3]  # it was there when it was done again
    expected = digests(line.scored.folder)
    assert {"scores.parquet", "contributions.parquet", "reminders.csv", "manifest.json"} <= set(expected)
    assert digests(found.folder) == expected
    assert [p.name for p in Path("out").iterdir()] == [found.folder.name]


def score_words(name, line, folder):
    """``overdue-ml score`` on an engine that the run starts itself, with two workers."""
    reminders, sizes = folder / "reminders.yaml", folder / "batch.yaml"
    reminders.write_text("lead_days: 31\n", encoding="utf-8")
    sizes.write_text("customers_per_bucket: 1500\nworkers: 2\n", encoding="utf-8")
    words = [
        "score", "--records", line.records, "--as-of", AS_OF, "--models", line.models,
        "--out", folder / "out", "--engine", name, "--batch-config", sizes, "--reminders-config", reminders,
    ]  # fmt: skip
    return [str(word) for word in words]


def test_dask_from_the_command_line(line, tmp_path):
    assert cli.run(score_words("dask", line, tmp_path)) == 0
    assert digests(tmp_path / "out" / f"as_of={AS_OF}") == digests(line.scored.folder)


@needs_java
def test_spark_from_the_command_line(line, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "overdue_ml.cli", *score_words("spark", line, tmp_path)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Scored 3,000 customers" in done.stdout
    assert "Traceback" not in done.stderr
    assert digests(tmp_path / "out" / f"as_of={AS_OF}") == digests(line.scored.folder)
