"""What befalls a batch: disks, lost and damaged parts, clocks, and the book of one customer."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from overdue_ml.errors import ConfigError, OverdueMLError, RecordsError, ResourceError
from overdue_ml.jobs.parts import _write_arrow, read_part
from overdue_ml.jobs.places import building_folder
from overdue_ml.jobs.prepare import run_prepare
from overdue_ml.jobs.score import plan_score, run_score

from .batches import names, settings, tree
from .conftest import AS_OF, digests

RUN = "as_of=2005-09-30"


@pytest.fixture(scope="module")
def prepared(few, tmp_path_factory):
    """The few in three buckets."""
    return run_prepare(few, tmp_path_factory.mktemp("faults") / "prepared", n_buckets=3).path


@pytest.fixture(scope="module")
def whole(prepared, champion, tmp_path_factory):
    """An undisturbed run."""
    return run_score(prepared, AS_OF, champion, tmp_path_factory.mktemp("whole"), settings())


@pytest.fixture
def older(prepared, champion, tmp_path):
    """A folder in which a run of other settings stands."""
    run_score(prepared, AS_OF, champion, tmp_path / "out", settings(reminders={"capacity": 3}))
    return tmp_path / "out"


def refuse(code: int, *, after: int = 0):
    """A function that raises what a disk would, from some call on."""
    calls = []

    def wrapped(original):
        def call(*args, **options):
            calls.append(1)
            if len(calls) > after:
                raise OSError(code, os.strerror(code))
            return original(*args, **options)

        return call

    return wrapped


class TestDisk:
    """A disk that refuses: one clear error, the old run as it was, and what is finished is kept."""

    @pytest.mark.parametrize(
        ("where", "after", "n_ready"),
        [
            # A bucket has five tables.
            ("overdue_ml.jobs.parts._write_arrow", 0, 0),
            ("overdue_ml.jobs.parts._write_arrow", 7, 1),
            ("overdue_ml.jobs.parts.Path.replace", 1, 0),
            ("overdue_ml.jobs.assembly.find_ranks", 0, 3),
            ("overdue_ml.jobs.assembly.RowGroups", 0, 3),
            ("overdue_ml.jobs.assembly.write_contributions", 0, 3),
            ("overdue_ml.jobs.lists.write_parquet", 0, 3),
            ("overdue_ml.jobs.lists.write_csv", 1, 3),
            ("overdue_ml.jobs.batch.write_json", 0, 3),
            ("overdue_ml.jobs.batch.write_json", 1, 3),
            ("overdue_ml.jobs.places.Path.rename", 0, 3),
            ("overdue_ml.jobs.batch.Path.mkdir", 0, 0),
        ],
    )
    def test_at_several_places(self, prepared, champion, whole, older, monkeypatch, where, after, n_ready):
        before = tree(older)
        code = errno.ENOSPC if after else errno.EROFS
        module, _, name = where.rpartition(".")
        owner = __import__("importlib").import_module(module.removesuffix(".Path"))
        owner = getattr(owner, "Path", owner) if module.endswith(".Path") else owner
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse(code, after=after)(getattr(owner, name)))
            with pytest.raises(ResourceError, match=os.strerror(code)) as caught:
                run_score(prepared, AS_OF, champion, older, settings(threads=1))
        assert caught.value.exit_code == 6
        for part in (str(older), "free some space or choose another --out", "what is finished is kept"):
            assert part in str(caught.value)
        assert {k: v for k, v in tree(older).items() if k.startswith(RUN)} == before
        assert plan_score(prepared, AS_OF, champion, older, settings()).n_ready == n_ready
        result = run_score(prepared, AS_OF, champion, older, settings())
        assert digests(result.folder) == digests(whole.folder)
        timings = json.loads((result.folder / "timings.json").read_text())
        assert sum(was_there for *_, was_there in timings["buckets"]) == n_ready
        assert names(older) == [RUN, f"{RUN}.run2"]

    @pytest.mark.parametrize("after", [0, 4, 7, 12])
    def test_with_two_buckets_at_a_time(self, prepared, champion, whole, older, monkeypatch, after):
        """Which of them is finished by then is for chance to say; the rest is not."""
        before = tree(older)
        with monkeypatch.context() as patch:
            refused = refuse(errno.ENOSPC, after=after)(_write_arrow)
            patch.setattr("overdue_ml.jobs.parts._write_arrow", refused)
            with pytest.raises(ResourceError, match=os.strerror(errno.ENOSPC)):
                run_score(prepared, AS_OF, champion, older, settings(threads=2))
        assert {k: v for k, v in tree(older).items() if k.startswith(RUN)} == before
        n_ready = plan_score(prepared, AS_OF, champion, older, settings()).n_ready
        # A bucket has five tables.
        assert n_ready <= after // 5
        result = run_score(prepared, AS_OF, champion, older, settings(threads=2))
        assert digests(result.folder) == digests(whole.folder)
        timings = json.loads((result.folder / "timings.json").read_text())
        assert sum(was_there for *_, was_there in timings["buckets"]) == n_ready

    @pytest.mark.parametrize("size", [100, 3000, 15_000, 60_000])
    def test_files_that_the_system_cuts_short(self, prepared, champion, whole, tmp_path, size):
        """A limit on the size of files stands for a disk that is full in the middle of one."""
        with at_most(size), pytest.raises(ResourceError, match="the output cannot be written") as caught:
            run_score(prepared, AS_OF, champion, tmp_path / "out", settings())
        assert "File too large" in str(caught.value)
        assert not (tmp_path / "out" / RUN).exists()
        result = run_score(prepared, AS_OF, champion, tmp_path / "out", settings())
        assert digests(result.folder) == digests(whole.folder)
        assert names(tmp_path / "out") == [RUN]

    def test_in_another_process(self, prepared, champion, whole, tmp_path):
        """What it writes its part to is a folder."""
        out = tmp_path / "out"
        key = plan_score(prepared, AS_OF, champion, out, settings()).run_key
        in_the_way = building_folder(out, "2005-09-30", key) / "parts-3" / "00001.scores.arrow"
        in_the_way.mkdir(parents=True)
        with pytest.raises(ResourceError, match="the output cannot be written: Is a directory"):
            run_score(prepared, AS_OF, champion, out, settings(workers=2))
        assert not (out / RUN).exists()
        # Gone already where no other bucket was finished by then.
        shutil.rmtree(in_the_way, ignore_errors=True)
        assert digests(run_score(prepared, AS_OF, champion, out, settings()).folder) == digests(whole.folder)
        assert names(out) == [RUN]

    def test_where_buckets_are_made_for_other_processes(self, few, champion, tmp_path):
        with at_most(2000), pytest.raises(ResourceError, match=r"cannot be written: .*File too large"):
            run_score(few, AS_OF, champion, tmp_path / "out", settings(workers=2, customers_per_bucket=100))
        assert not (tmp_path / "out" / RUN).exists()

    def test_the_output_is_a_file(self, prepared, champion, tmp_path):
        (tmp_path / "out").write_text("mine")
        with pytest.raises(ConfigError, match="a file stands there"):
            run_score(prepared, AS_OF, champion, tmp_path / "out", settings())
        assert (tmp_path / "out").read_text() == "mine"


@contextmanager
def at_most(size: int):
    """No file larger than this can be written; Python ignores the signal that would end it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class TestInputs:
    """Parts that are lost, changed or damaged while a run is built."""

    @pytest.fixture
    def source(self, prepared, tmp_path):
        return Path(shutil.copytree(prepared, tmp_path / "prepared"))

    def part(self, source, bucket=1) -> Path:
        return source / "statements" / f"bucket={bucket:05d}" / "part-00000.parquet"

    @pytest.mark.parametrize(
        ("how", "workers"), [("vanished", 1), ("changed", 1), ("truncated", 1), ("vanished", 2)]
    )
    def test_it_stops_with_one_sentence_and_finished_buckets_stay(
        self, prepared, source, champion, whole, tmp_path, monkeypatch, how, workers
    ):
        out, path = tmp_path / "out", self.part(source)
        spoil = {
            "vanished": lambda: path.unlink(),
            "changed": lambda: pq.write_table(pq.read_table(path).slice(1), path),
            "truncated": lambda: path.write_bytes(path.read_bytes()[:-40]),
        }[how]
        whole_book = run_score.__globals__["open_book"]

        def opened(*args):
            # As the book was opened it was there.
            book = whole_book(*args)
            assert book.fingerprint
            spoil()
            return book

        with monkeypatch.context() as patch:
            patch.setattr("overdue_ml.jobs.score.open_book", opened)
            with pytest.raises(RecordsError, match=r"was changed|No such file") as caught:
                run_score(source, AS_OF, champion, out, settings(workers=workers))
        assert caught.value.exit_code == 3
        assert "statements/bucket=00001/part-00000.parquet" in str(caught.value)
        assert not (out / RUN).exists()
        shutil.copyfile(self.part(prepared), path)
        assert plan_score(source, AS_OF, champion, out, settings()).n_ready >= (workers == 1)
        result = run_score(source, AS_OF, champion, out, settings())
        assert digests(result.folder).keys() == digests(whole.folder).keys()
        assert digests(result.folder)["scores.parquet"] == digests(whole.folder)["scores.parquet"]
        assert names(out) == [RUN]

    def test_a_book_that_lacks_a_part_is_not_begun(self, source, champion, tmp_path):
        self.part(source).unlink()
        with pytest.raises(RecordsError, match="a file of the prepared records is missing"):
            run_score(source, AS_OF, champion, tmp_path / "out", settings())
        assert not (tmp_path / "out").exists()

    def test_a_customer_in_the_wrong_bucket(self, source, champion, tmp_path):
        (source / "buckets.json").write_text('{"n_buckets": 3}')
        for table in ("accounts", "statements", "customers", "labels"):
            one, other = (source / table / f"bucket=0000{i}" for i in (0, 1))
            one.rename(source / table / "x"), other.rename(one), (source / table / "x").rename(other)
        with pytest.raises(RecordsError, match="stand in a bucket that is not their customer's") as caught:
            run_score(source, AS_OF, champion, tmp_path / "out", settings())
        assert caught.value.exit_code == 3
        assert not (tmp_path / "out" / RUN).exists()

    def test_records_without_a_bucket_of_their_own_do_not_change_under_a_run(self, few, champion, tmp_path):
        """They are read once, before anything is written."""
        records = Path(shutil.copytree(few, tmp_path / "records"))
        out = tmp_path / "out"
        first = run_score(records, AS_OF, champion, out, settings())
        (records / "statements.csv").write_bytes((records / "statements.csv").read_bytes()[:-2000])
        with pytest.raises(OverdueMLError):
            run_score(records, AS_OF, champion, out, settings())
        assert names(out) == [RUN]
        assert run_score(few, AS_OF, champion, out, settings()).folder == first.folder


@pytest.fixture(scope="module")
def finished_parts(prepared, champion, tmp_path_factory):
    """All parts of a run that was interrupted."""
    out = tmp_path_factory.mktemp("begun") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overdue_ml.jobs.assembly.decide", stop)
        with pytest.raises(KeyboardInterrupt):
            run_score(prepared, AS_OF, champion, out, settings())
    (folder,) = out.iterdir()
    return folder / "parts-3"


@pytest.fixture
def parts(finished_parts, tmp_path):
    """The same, to be spoilt."""
    return Path(shutil.copytree(finished_parts, tmp_path / "parts"))


class TestDamagedState:
    """What an attempt left that was interrupted, or somebody damaged since."""

    @pytest.fixture
    def begun(self, parts, prepared, champion, tmp_path):
        """A folder in which all parts of a run are finished."""
        out = tmp_path / "out"
        key = plan_score(prepared, AS_OF, champion, out, settings()).run_key
        folder = building_folder(out, "2005-09-30", key) / "parts-3"
        folder.parent.mkdir(parents=True)
        shutil.move(parts, folder)
        assert plan_score(prepared, AS_OF, champion, out, settings()).n_ready == 3
        return folder

    def finish(self, prepared, champion, begun, whole) -> list[bool]:
        """Which buckets the next attempt found finished; its bytes are those of an undisturbed run."""
        out = begun.parent.parent
        result = run_score(prepared, AS_OF, champion, out, settings())
        assert digests(result.folder) == digests(whole.folder)
        assert names(out) == [RUN]
        timings = json.loads((result.folder / "timings.json").read_text())
        return [was_there for *_, was_there in timings["buckets"]]

    @pytest.mark.parametrize(
        "text",
        ["", "{", "null", "[]", "7", "{}", '{"run_key": "x", "files": {}}', "\x00\xff", "[" * 50_000,
         "other run", "other bucket", "files is a list", "file of another name"],
    )  # fmt: skip
    def test_what_is_no_description_of_a_part_is_none(self, parts, text):
        path = parts / "00001.json"
        facts = json.loads(path.read_text())
        assert read_part(parts, 1, facts["run_key"]) == facts
        changed = {
            "other run": facts | {"run_key": "0" * 64},
            "other bucket": json.loads((parts / "00002.json").read_text()),
            "files is a list": facts | {"files": list(facts["files"])},
            "file of another name": facts | {"files": {"../../x": "0" * 64}},
        }
        path.write_text(json.dumps(changed[text]) if text in changed else text, encoding="latin-1")
        assert read_part(parts, 1, facts["run_key"]) is None

    @pytest.mark.parametrize("how", ["a flipped bit", "cut short", "gone", "emptied", "a folder"])
    @pytest.mark.parametrize("table", ["scores", "contributions", "inputs.people"])
    def test_a_part_with_a_damaged_table_is_none(self, parts, table, how):
        path = parts / f"00002.{table}.arrow"
        data = bytearray(path.read_bytes())
        path.unlink()
        if how == "a folder":
            path.mkdir()
        elif how != "gone":
            whole = bytes(data)
            data[len(data) // 2] ^= 1
            path.write_bytes({"a flipped bit": data, "cut short": whole[:-8], "emptied": b""}[how])
        key = json.loads((parts / "00002.json").read_text())["run_key"]
        assert read_part(parts, 2, key) is None
        assert read_part(parts, 1, key) is not None

    def test_damaged_parts_are_made_again_and_others_are_not(self, prepared, champion, begun, whole):
        (begun / "00000.json").write_text("{")
        path = begun / "00002.contributions.arrow"
        path.write_bytes(path.read_bytes()[:-8])
        assert self.finish(prepared, champion, begun, whole) == [False, True, False]

    def test_leavings_of_every_kind_do_no_harm(self, prepared, champion, begun, whole):
        (begun / ".00000.scores.arrow.0123").write_bytes(b"half")
        (begun / "00007.json").write_text("{}")
        (begun.parent / "whole" / "deep").mkdir(parents=True)
        (begun.parent / "whole" / "scores.parquet").write_text("half")
        (begun.parent / "parts-9").mkdir()
        (begun.parent.parent / f"{begun.parent.name}.lock").touch()
        assert self.finish(prepared, champion, begun, whole) == [True, True, True]

    def test_what_another_run_left_is_left_alone(self, prepared, champion, begun, whole):
        out = begun.parent.parent
        result = run_score(prepared, AS_OF, champion, out, settings(explain="none"))
        assert names(out) == [begun.parent.name, RUN]
        plan = plan_score(prepared, AS_OF, champion, out, settings(explain="none"))
        assert (plan.done, plan.left_over) == (result.folder, [begun.parent])
        finished = run_score(prepared, AS_OF, champion, out, settings())
        assert digests(finished.folder) == digests(whole.folder)
        assert names(out) == [RUN, f"{RUN}.run2"]

    def test_a_book_cut_otherwise_begins_anew(self, few, prepared, champion, begun, whole):
        """The same run: what was finished of three buckets is of no use to one."""
        out = begun.parent.parent
        assert plan_score(few, AS_OF, champion, out, settings()).n_ready == 0
        result = run_score(few, AS_OF, champion, out, settings())
        assert digests(result.folder)["scores.parquet"] == digests(whole.folder)["scores.parquet"]
        assert names(out) == [RUN]


def stop(*_args) -> None:
    raise KeyboardInterrupt


def test_too_much_memory_stops_a_run_and_keeps_what_is_finished(prepared, champion, whole, tmp_path):
    out = tmp_path / "out"
    for n_ready in (1, 2):
        with pytest.raises(ResourceError, match=r"a process needed [\d,]+ MB") as caught:
            run_score(prepared, AS_OF, champion, out, settings(max_memory_mb=50, threads=1))
        for part in (f"bucket {n_ready - 1}", "max_memory_mb: 50", "take smaller buckets"):
            assert part in str(caught.value)
        assert plan_score(prepared, AS_OF, champion, out, settings()).n_ready == n_ready
    result = run_score(prepared, AS_OF, champion, out, settings(max_memory_mb=1_000_000))
    assert digests(result.folder) == digests(whole.folder)


@pytest.mark.parametrize("step", [-3600.0, 1e9])
def test_a_clock_that_is_moved_changes_nothing(prepared, champion, whole, tmp_path, monkeypatch, step):
    """Set back by an hour, or on by thirty years, each time that it is looked at."""
    for name in ("time", "perf_counter", "monotonic"):
        now = [getattr(time, name)()]

        def moved(now=now) -> float:
            now[0] += step
            return now[0]

        monkeypatch.setattr(time, name, moved)
    result = run_score(prepared, AS_OF, champion, tmp_path / "out", settings())
    assert digests(result.folder) == digests(whole.folder)
