"""What carries out the tasks of a batch: this process, several on this machine, Dask, or Spark.

A task is a number and gives a dictionary; where and in what order tasks run changes nothing of a result.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from overdue_ml.config import BatchConfig
from overdue_ml.errors import ConfigError, OverdueMLError, ResourceError

Facts = dict[str, Any]
Task = Callable[[int], Facts]
#: How often a task is tried whose process was lost.
_ATTEMPTS = 4
#: Seconds in which Dask's scheduler or Spark's master has to answer.
_PATIENCE = 10
#: Jobs that stand in Spark's queue at once; each keeps a thread of this process.
_SPARK_JOBS = 256


def run_tasks(
    task: Task, numbers: Sequence[int], config: BatchConfig, *, at_once: int = 1
) -> Iterator[Facts]:
    """Carry out a task for each number; results come as they are ready.

    Parameters
    ----------
    task : callable
        Can be sent to another process. Doing it twice does no harm.
    numbers : sequence of int
    config : BatchConfig
    at_once : int
        Tasks in this process at a time, where it does them itself.

    Yields
    ------
    dict

    Raises
    ------
    ConfigError
        If the engine is not installed or cannot be reached.
    ResourceError
        If processes were lost again and again, or could not take up the task.
    Exception
        What a task raised.
    """
    if config.engine == "local" and (config.workers == 1 or len(numbers) < 2):
        yield from _here(task, numbers, at_once)
        return
    # Closed here and now, so that nothing goes on elsewhere after an error.
    with closing(_elsewhere(_Guarded(task), numbers, config)) as results:
        for found in results:
            # An engine would do such a task again and again, and say of it what it has in mind.
            if isinstance(found, Exception):
                raise found
            yield found


def _here(task: Task, numbers: Sequence[int], at_once: int) -> Iterator[Facts]:
    """In this process, so many at a time; after an error those that are begun end and no other begins."""
    if at_once == 1:
        yield from map(task, numbers)
        return
    waiting = iter(numbers)
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(task, number) for number in islice(waiting, at_once)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                found = future.result()
                running |= {pool.submit(task, number) for number in islice(waiting, 1)}
                yield found


@dataclass(frozen=True)
class _Guarded:
    """A task whose errors come back as results; refuses to run in another version of the package."""

    task: Task
    version: str = field(default_factory=lambda: version("overdue_ml"))

    def __call__(self, number: int) -> Facts | Exception:
        here = version("overdue_ml")
        if here != self.version:
            return ConfigError(
                f"overdue_ml {here} is installed on a worker",
                where=socket.gethostname(),
                expected=f"overdue_ml {self.version}, as where the run was started",
            )
        try:
            return self.task(number)
        except Exception as error:
            return _portable(error)


def _portable(error: Exception) -> Exception:
    """An error that can be sent; a bug with its traceback from here."""
    if not isinstance(error, OverdueMLError | OSError):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


_GuardedTask = Callable[[int], Facts | Exception]
_Results = Generator[Facts | Exception, None, None]


def _elsewhere(task: _GuardedTask, numbers: Sequence[int], config: BatchConfig) -> _Results:
    if config.engine == "dask":
        yield from _on_dask(task, numbers, config)
    elif config.engine == "spark":
        yield from _on_spark(task, numbers, config)
    else:
        yield from _on_this_machine(task, numbers, config)


def _on_this_machine(task: _GuardedTask, numbers: Sequence[int], config: BatchConfig) -> _Results:
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import BrokenProcessPool, TerminatedWorkerError

    left, losses, alone = list(numbers), Counter[int](), Counter[int]()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        begun = Path(folder)
        while left:
            # Who was twice among those that may have been it goes on alone: a further loss is its own.
            here = next(([number] for number in left if losses[number] >= _ATTEMPTS - 2), list(left))
            # One process would be this one, and its loss that of the run.
            n_workers = max(2, min(config.workers, len(here)))
            try:
                with _renewed_quietly(), _side_by_side(task, here, n_workers, begun) as results:
                    for number, found in results:
                        left.remove(number)
                        yield found
            except TerminatedWorkerError as error:
                losses.update(_begun_of(begun) or here[:n_workers])
                if len(here) == 1:
                    alone.update(here)
                    if alone[here[0]] >= 2 and losses[here[0]] >= _ATTEMPTS:
                        raise _lost("a process of this machine") from error
            except BrokenProcessPool as error:
                raise _refused("a process of this machine", error) from error
    # They would wait five minutes for more to do, each with the memory of its largest bucket.
    get_reusable_executor(reuse=True).shutdown(wait=True)


@contextmanager
def _renewed_quietly() -> Iterator[None]:
    """Without loky's word of a worker that it started anew because its memory had grown.

    It suspects a leak; a bucket larger than the one before looks the same to it, and the limit on memory is
    ``max_memory_mb``. The warning is given in a thread of loky in this process, and filters are those of all
    threads.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "A worker stopped while some jobs were given", UserWarning, r"joblib\.externals\.loky\."
        )
        yield


def _begun_of(folder: Path) -> list[int]:
    """Tasks that were begun and not ended; they are forgotten."""
    marks = list(folder.iterdir())
    for mark in marks:
        mark.unlink()
    return [int(mark.name) for mark in marks]


@contextmanager
def _side_by_side(
    task: _GuardedTask, numbers: Sequence[int], n_workers: int, begun: Path
) -> Iterator[Iterator[tuple[int, Facts | Exception]]]:
    from joblib import Parallel, delayed

    # No more sent ahead than can be begun: loky stumbles over tasks in its queue when an error ends it.
    parallel = Parallel(
        n_workers, backend="loky", batch_size=1, pre_dispatch=n_workers, return_as="generator_unordered"
    )
    results = parallel(delayed(_numbered)(task, number, os.getpid(), begun) for number in numbers)
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            # joblib's advice to ask for less, where an error leaves tasks undone.
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _numbered(task: _GuardedTask, number: int, parent: int, begun: Path) -> tuple[int, Facts | Exception]:
    _end_with(parent)
    mark = begun / str(number)
    # Where the run has ended by an error the folder is gone.
    with suppress(OSError):
        mark.touch()
    found = task(number)
    mark.unlink(missing_ok=True)
    return number, found


@cache
def _end_with(parent: int) -> None:
    """End this process soon after the one that started it, which may be killed without a word."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def threads_of(config: BatchConfig) -> int:
    """Threads of each process."""
    cores = os.cpu_count() or 1
    return config.threads or max(1, cores // config.workers if config.workers > 1 else cores)


def needs_processes(config: BatchConfig) -> bool:
    """Whether tasks leave this process, so that all they need must be sent along."""
    return config.engine != "local" or config.workers > 1


def _on_dask(task: _GuardedTask, numbers: Sequence[int], config: BatchConfig) -> _Results:
    try:
        import cloudpickle
        import dask
        import distributed
        from distributed.scheduler import KilledWorker
    except ImportError as error:
        raise _missing("dask", "dask") from error
    as_finished: Any = distributed.as_completed
    # Not scattered: that is lost with the workers that hold it, and nothing can make it again. And in a
    # function of no module, so that a scheduler without this package can pass it on.
    packed = cloudpickle.dumps(task)
    with (
        # It may hold a value of every customer; there is nothing to warn of.
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}),
        _dask_client(config) as client,
    ):
        try:
            # Not kept in a list: what was fetched would be made again whenever its worker is lost.
            finished = as_finished(
                client.map(lambda number: pickle.loads(packed)(number), numbers, pure=False),  # noqa: S301
                loop=client.loop,
            )
            while not finished.is_empty():
                _wait_for(finished, config, client)
                yield next(finished).result()
        except ResourceError:
            raise
        except KilledWorker as error:
            raise _lost("a worker of Dask") from error
        except CancelledError as error:
            raise ResourceError(
                "Dask's scheduler was lost before all buckets were finished",
                next_step="run again when it is there: finished buckets are kept",
            ) from error
        except Exception as error:
            raise _refused("a worker of Dask", error) from error


def _wait_for(finished: Any, config: BatchConfig, client: Any) -> None:
    """Return when Dask has finished one more, if that is within the time allowed."""
    if config.wait_seconds is None:
        return
    until = time.monotonic() + config.wait_seconds
    # Its own time limit is one for all of them.
    while not finished.has_ready():
        if time.monotonic() > until:
            raise _waited(config, f", {len(client.nthreads())} worker(s)")
        time.sleep(0.05)


@contextmanager
def _dask_client(config: BatchConfig) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    client_type: Any = Client
    if config.address is not None:
        try:
            client = client_type(config.address, timeout=_PATIENCE, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"Dask's scheduler does not answer: {type(error).__name__}",
                where=f"address: {config.address}",
                expected="tcp://host:port",
            ) from error
        with client:
            yield client
        return
    cluster_type: Any = LocalCluster
    with (
        cluster_type(
            n_workers=config.workers,
            threads_per_worker=1,
            # Dask would give each its share of the machine by cores, and pause it for good above that.
            memory_limit=None,
            dashboard_address="127.0.0.1:0",
            host="127.0.0.1",
        ) as cluster,
        client_type(cluster, set_as_default=False) as client,
    ):
        yield client


def _on_spark(task: _GuardedTask, numbers: Sequence[int], config: BatchConfig) -> _Results:
    try:
        from py4j.protocol import Py4JError
        from pyspark import cloudpickle
        from pyspark.errors import PySparkException
    except ImportError as error:
        raise _missing("pyspark", "spark") from error
    with _spark_context(config) as context, ThreadPoolExecutor(min(len(numbers), _SPARK_JOBS)) as pool:
        pack: Any = cloudpickle.dumps
        packed = context.broadcast(pack(task))
        spread = context.parallelize(numbers, len(numbers)).map(partial(_unpack_and_call, packed))
        group = f"overdue-ml {os.getpid()} {id(spread)}"

        # One job of all would tell nothing before its end.
        def run(place: int) -> Facts | Exception:
            context.setJobGroup(group, f"overdue-ml score, bucket {numbers[place]}")
            found: Facts | Exception = context.runJob(spread, list, [place])[0]
            return found

        jobs = [pool.submit(run, place) for place in range(len(numbers))]
        left = set(jobs)
        try:
            while left:
                done, left = wait(left, config.wait_seconds, FIRST_COMPLETED)
                if not done:
                    raise _waited(config)
                for job in done:
                    yield job.result()
        except Py4JError as error:
            raise _lost("a worker of Spark") from error
        except PySparkException as error:
            raise _refused("a worker of Spark", error) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            if not all(job.done() for job in jobs):
                # Where Spark itself is gone, what was said before is what counts.
                with suppress(Exception):
                    context.cancelJobGroup(group)


def _unpack_and_call(packed: Any, number: int) -> Facts | Exception:
    found: Facts | Exception = pickle.loads(packed.value)(number)  # noqa: S301 - sent by this very run
    return found


@contextmanager
def _spark_context(config: BatchConfig) -> Iterator[Any]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        try:
            context = active.sparkContext
        except PySparkException as error:
            raise ConfigError("a session of Spark Connect cannot carry out a batch") from error
        yield context
        return
    address = config.address or f"local[{config.workers},{_ATTEMPTS}]"
    _must_answer(address)
    # Spark would start the interpreter that it finds first, which need not be this one.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings: dict[str, Any] = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    if config.address is None:
        settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    try:
        with warnings.catch_warnings():
            # Of pandas 3, none of which goes through Spark here.
            warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
            builder = SparkSession.builder.appName("overdue-ml score").master(address)
            session = builder.config(map=settings).getOrCreate()
    except (PySparkException, Py4JError) as error:
        raise ConfigError(
            f"Spark cannot be started: {type(error).__name__}",
            where=f"address: {address}",
            expected="Java 17 or later, and a master as local[4], spark://host:port or yarn",
        ) from error
    try:
        yield session.sparkContext
    finally:
        session.stop()


def _must_answer(address: str) -> None:
    """Spark itself would try a master for a minute, and then say something else."""
    if not address.startswith("spark://"):
        return
    for place in address.removeprefix("spark://").split(","):
        host, _, port = place.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_PATIENCE).close()
            return
        except (OSError, ValueError):
            continue
    raise ConfigError(
        "Spark's master does not answer", where=f"address: {address}", expected="spark://host:port"
    )


def _lost(who: str) -> ResourceError:
    return ResourceError(
        f"{who} was lost before its bucket was finished, {_ATTEMPTS} times",
        next_step="run again: finished buckets are kept; if it happens again, take smaller buckets",
    )


def _waited(config: BatchConfig, of_what: str = "") -> ResourceError:
    return ResourceError(
        f"no bucket was finished in {config.wait_seconds} s",
        where=f"engine: {config.engine}{of_what}",
        expected="a free worker, and more wait_seconds than a bucket takes",
        next_step="run again when there is one: finished buckets are kept",
    )


def _refused(who: str, error: Exception) -> ResourceError:
    return ResourceError(
        f"{who} could not take up its bucket: {type(error).__name__}",
        expected="the same packages there as here, and the same folders under the same names",
        next_step="read the log of the workers and run again; finished buckets are kept",
    )


def _missing(package: str, extra: str) -> ConfigError:
    return ConfigError(
        f"{package} is not installed",
        where=f"engine: {extra}",
        next_step=f"pip install 'overdue_ml[{extra}]'",
    )
