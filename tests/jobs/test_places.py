"""Where a run is built and how it takes its place: one process at a time, whole, never over another run."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from overdue_ml.errors import OverdueMLError, ResourceError
from overdue_ml.jobs.places import (
    MANIFEST,
    building_folder,
    claimed,
    finished_run,
    is_whole,
    parse_run,
    publish,
    runs_of,
    sha256_of,
    unfinished,
    written_to,
)

DAY, KEY = "2005-09-30", "a" * 64
GARBAGE = ["", "{", "[]", "7", "null", '"x"', "[" * 100_000, "{}", "\x00", '{"run_key": 3, "files": 4}']


def write_run(folder: Path, key: str = KEY, **files: str) -> Path:
    """A finished run with some files."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    hashes = {name: sha256_of(folder / name) for name in files}
    (folder / MANIFEST).write_text(json.dumps({"run_key": key, "files": hashes}))
    return folder


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("as_of=2005-09-30", (DAY, 1)),
        ("as_of=2005-09-30.run2", (DAY, 2)),
        ("as_of=2005-09-30.run10", (DAY, 10)),
        ("as_of=2005-09-30.run02", None),
        ("as_of=2005-09-30.run0", None),
        ("as_of=2005-09-30.run", None),
        ("as_of=2005-09-30.run-2", None),
        ("as_of=2005-09-30.run２", None),
        ("as_of=2005-09-30.run2.old", None),
        ("as_of=2005-09-30.bak", None),
        ("as_of=2005-09-30\n", None),
        (".as_of=2005-09-30.0123", None),
        ("2005-09-30", None),
    ],
)
def test_names_of_runs(name, run):
    assert parse_run(name) == run


def test_the_runs_of_a_date_come_in_order_and_others_are_left_out(tmp_path):
    for name in ("as_of=2005-09-30.run10", "as_of=2005-09-30.run2", "as_of=2005-09-30", "as_of=2005-09-3",
                 "as_of=2005-09-30.bak", "as_of=2005-10-31"):  # fmt: skip
        write_run(tmp_path / name)
    (tmp_path / "as_of=2005-09-30.run3").mkdir()
    assert [p.name for p in runs_of(tmp_path, DAY)] == [
        "as_of=2005-09-30", "as_of=2005-09-30.run2", "as_of=2005-09-30.run10",
    ]  # fmt: skip


class TestFinished:
    def test_by_its_key_wherever_it_stands(self, tmp_path):
        write_run(tmp_path / "as_of=2005-09-30", "b" * 64, scores="1")
        folder = write_run(tmp_path / "as_of=2005-09-30.run2", scores="2")
        found = finished_run(tmp_path, DAY, KEY)
        assert found is not None
        assert found[0] == folder
        assert finished_run(tmp_path, DAY, "c" * 64) is None
        assert finished_run(tmp_path / "nowhere", DAY, KEY) is None

    @pytest.mark.parametrize("how", ["changed", "gone", "a folder"])
    def test_not_if_a_file_is_another(self, tmp_path, how):
        folder = write_run(tmp_path / "as_of=2005-09-30", scores="1", more="2")
        if how == "changed":
            (folder / "more").write_text("3")
        else:
            (folder / "more").unlink()
            if how == "a folder":
                (folder / "more").mkdir()
        assert finished_run(tmp_path, DAY, KEY) is None

    def test_not_disturbed_by_what_others_put_there(self, tmp_path):
        folder = write_run(tmp_path / "as_of=2005-09-30", scores="1")
        (folder / "cards").mkdir()
        (folder / "monitor.json").write_text("{}")
        assert finished_run(tmp_path, DAY, KEY) is not None

    @pytest.mark.parametrize("text", GARBAGE)
    def test_a_manifest_that_is_none_is_passed_over(self, tmp_path, text):
        write_run(tmp_path / "as_of=2005-09-30")
        (tmp_path / "as_of=2005-09-30" / MANIFEST).write_text(text)
        assert finished_run(tmp_path, DAY, KEY) is None
        whole = write_run(tmp_path / "as_of=2005-09-30.run2")
        found = finished_run(tmp_path, DAY, KEY)
        assert found is not None
        assert found[0] == whole


def test_is_whole_looks_at_every_file(tmp_path):
    (tmp_path / "a").write_text("1")
    good = {"a": sha256_of(tmp_path / "a")}
    assert is_whole(tmp_path, {})
    assert is_whole(tmp_path, good)
    assert not is_whole(tmp_path, good | {"b": "0" * 64})
    assert not is_whole(tmp_path, {"a": "0" * 64})


class TestPublish:
    def built(self, out: Path, text: str = "new") -> Path:
        folder = building_folder(out, DAY, text * 20)
        folder.mkdir(parents=True)
        (folder / "scores").write_text(text)
        return folder

    def test_the_first_free_name(self, tmp_path):
        targets = [publish(self.built(tmp_path, text), tmp_path, DAY) for text in "abc"]
        assert [t.name for t in targets] == [
            "as_of=2005-09-30", "as_of=2005-09-30.run2", "as_of=2005-09-30.run3",
        ]  # fmt: skip
        assert [(t / "scores").read_text() for t in targets] == ["a", "b", "c"]

    def test_behind_the_last_number_also_where_one_is_gone(self, tmp_path):
        (tmp_path / "as_of=2005-09-30.run7").mkdir()
        assert publish(self.built(tmp_path), tmp_path, DAY).name == "as_of=2005-09-30.run8"

    def test_a_file_of_that_name_stays(self, tmp_path):
        (tmp_path / "as_of=2005-09-30").write_text("mine")
        assert publish(self.built(tmp_path), tmp_path, DAY).name == "as_of=2005-09-30.run2"
        assert (tmp_path / "as_of=2005-09-30").read_text() == "mine"

    def test_what_has_the_name_of_a_run_outlasts_a_loss_of_power(self, tmp_path, monkeypatch):
        """Files, then the folders of their names, then the new name, then the folders that hold it."""
        out = tmp_path / "new" / "out"
        built = self.built(out)
        (built / "rejected").mkdir()
        (built / "rejected" / "accounts").write_text("x")
        done, rename, fsync = [], Path.rename, os.fsync

        def synced(handle):
            done.append(str(Path(f"/proc/self/fd/{handle}").readlink().relative_to(tmp_path)))
            fsync(handle)

        def renamed(path, target):
            done.append("rename")
            return rename(path, target)

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(Path, "rename", renamed)
        publish(built, out, DAY)
        name = str(built.relative_to(tmp_path))
        assert done == [
            f"{name}/rejected/accounts", f"{name}/rejected", f"{name}/scores", name,
            "rename", "new/out", "new",
        ]  # fmt: skip

    def test_a_run_that_the_disk_did_not_keep_is_not_published(self, tmp_path, monkeypatch):
        def refuse(handle):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        built = self.built(tmp_path)
        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            publish(built, tmp_path, DAY)
        assert runs_of(tmp_path, DAY) == []
        assert (built / "scores").read_text() == "new"

    def test_two_at_the_same_moment_both_find_a_place(self, tmp_path, monkeypatch):
        """The other one comes between the look and the step."""
        rename, other = Path.rename, []

        def late(path, target):
            if not other:
                other.append(path)
                write_run(Path(target), "b" * 64, scores="theirs")
            return rename(path, target)

        monkeypatch.setattr(Path, "rename", late)
        target = publish(self.built(tmp_path), tmp_path, DAY)
        assert target.name == "as_of=2005-09-30.run2"
        assert (target / "scores").read_text() == "new"
        assert (tmp_path / "as_of=2005-09-30" / "scores").read_text() == "theirs"

    def test_many_at_once(self, tmp_path):
        folders = [self.built(tmp_path, chr(97 + i)) for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            targets = list(pool.map(lambda folder: publish(folder, tmp_path, DAY), folders))
        assert len(set(targets)) == 8
        assert sorted((t / "scores").read_text() for t in targets) == list("abcdefgh")

    def test_a_disk_that_refuses_is_no_endless_loop(self, tmp_path, monkeypatch):
        built = self.built(tmp_path)

        def refuse(path, target):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(OSError, match="Read-only"):
            publish(built, tmp_path, DAY)


def test_folders_of_other_runs_that_were_begun(tmp_path):
    own, other = (building_folder(tmp_path, DAY, key * 64) for key in "ab")
    third = building_folder(tmp_path, "2005-10-31", "a" * 64)
    for folder in (own, other, third):
        folder.mkdir()
    (tmp_path / f"{other.name}.lock").touch()
    assert unfinished(tmp_path, DAY, "a" * 64) == [other]


HOLDER = """
import sys, time
from pathlib import Path
from overdue_ml.jobs.places import claimed
with claimed(Path(sys.argv[1]), "2005-09-30", "a" * 64):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the claim."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.stdin.close()
    process.stdout.close()
    process.wait()


class TestClaim:
    def test_nothing_stays_behind(self, tmp_path):
        with claimed(tmp_path / "out", DAY, KEY):
            assert [p.name for p in (tmp_path / "out").iterdir()] == [f".as_of={DAY}.{'a' * 16}.lock"]
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("how", ["ends", "is killed"])
    def test_another_process_waits_until_the_first_ends_however_it_does(self, tmp_path, holder, how):
        waits, got = [], []

        def wait() -> None:
            with claimed(tmp_path / "out", DAY, KEY, lambda: waits.append(1)):
                got.append(1)

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(wait)
            while not waits:
                time.sleep(0.005)
            time.sleep(0.05)
            assert not got
            if how == "ends":
                holder.stdin.close()
            else:
                holder.send_signal(signal.SIGKILL)
            waiting.result(timeout=20)
        assert (waits, got) == ([1], [1])

    def test_another_run_of_the_date_need_not_wait(self, tmp_path, holder):
        with claimed(tmp_path / "out", DAY, "b" * 64, lambda: pytest.fail("it waits")):
            pass

    def test_a_lock_file_that_a_dead_process_left_stops_nobody(self, tmp_path):
        out = tmp_path / "out"
        out.mkdir()
        (out / f".as_of={DAY}.{'a' * 16}.lock").touch()
        with claimed(out, DAY, KEY, lambda: pytest.fail("it waits")):
            pass
        assert list(out.iterdir()) == []

    def test_many_at_once_come_one_after_another(self, tmp_path):
        inside, seen = [], []

        def work(number: int) -> None:
            with claimed(tmp_path / "out", DAY, KEY):
                inside.append(number)
                seen.append(len(inside))
                time.sleep(0.002)
                inside.remove(number)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(24)))
        assert seen == [1] * 24
        assert list((tmp_path / "out").glob("*")) == []

    def test_claims_of_runs_that_are_gone_are_taken_away(self, tmp_path, holder):
        """Not one that is held, nor one beside what its run left, nor what is none."""
        out = tmp_path / "out"
        held = f".as_of={DAY}.{'a' * 16}.lock"
        building_folder(out, DAY, "c" * 64).mkdir()
        kept = {held, f".as_of={DAY}.{'c' * 16}.lock", f".as_of={DAY}.{'c' * 16}", "mine.lock"}
        for name in (f".as_of={DAY}.{'c' * 16}.lock", f".as_of={DAY}.{'d' * 16}.lock", "mine.lock"):
            (out / name).touch()
        (out / f".as_of=1999-12-31.{'a' * 16}.lock").touch()
        with claimed(out, DAY, "b" * 64):
            assert {p.name for p in out.iterdir()} == kept | {f".as_of={DAY}.{'b' * 16}.lock"}
        assert {p.name for p in out.iterdir()} == kept

    def test_no_claim_that_is_wanted_is_lost_to_those_who_tidy_up(self, tmp_path):
        """Six at once for two runs, each of them tidying: one at a time holds each claim."""
        keys, inside, most = ["a" * 64, "b" * 64], Counter(), Counter()
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "stays").touch()

        def work(number: int) -> None:
            key = keys[number % 2]
            with claimed(tmp_path / "out", DAY, key):
                inside[key] += 1
                most[key] = max(most[key], inside[key])
                time.sleep(0.0005)
                inside[key] -= 1

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, range(300)))
        assert most == dict.fromkeys(keys, 1)
        assert [p.name for p in (tmp_path / "out").iterdir()] == ["stays"]

    def test_a_file_in_the_place_of_the_folder(self, tmp_path):
        (tmp_path / "out").write_text("mine")
        with (
            pytest.raises(ResourceError, match="the output cannot be written: File exists") as caught,
            claimed(tmp_path / "out", DAY, KEY),
        ):
            pytest.fail("the block must not start")
        assert str(tmp_path / "out") in str(caught.value)
        assert "choose another --out" in str(caught.value)
        assert (tmp_path / "out").read_text() == "mine"

    @pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENOLCK])
    def test_a_place_that_cannot_be_written(self, tmp_path, monkeypatch, code):
        def refuse(*args, **options):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr("overdue_ml.jobs.places.os.open", refuse)
        with pytest.raises(ResourceError, match=os.strerror(code)), claimed(tmp_path, DAY, KEY):
            pytest.fail("the block must not start")

    def test_a_disk_that_refuses_at_the_end_hides_no_error(self, tmp_path, monkeypatch):
        def refuse(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        def work() -> None:
            with claimed(tmp_path, DAY, KEY):
                monkeypatch.setattr(Path, "unlink", refuse)
                raise OverdueMLError("what happened")

        with pytest.raises(OverdueMLError, match="what happened"):
            work()


def test_only_what_a_disk_refuses_is_told_as_such(tmp_path):
    with pytest.raises(ResourceError, match="No space left on device") as caught, written_to(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for part in (str(tmp_path), "free some space", "what is finished is kept"):
        assert part in str(caught.value)
    with pytest.raises(KeyError), written_to(tmp_path):
        raise KeyError("x")
    with pytest.raises(OverdueMLError, match="as it is"), written_to(tmp_path):
        raise OverdueMLError("as it is")
