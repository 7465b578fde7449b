"""What has to outlast a loss of power is on the disk before anything goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from overdue_ml.disk import sync, sync_all


@pytest.fixture
def synced(monkeypatch):
    """Paths in the order in which the disk was asked for them."""
    found, fsync = [], os.fsync

    def record(handle):
        found.append(Path(f"/proc/self/fd/{handle}").readlink())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", record)
    return found


def test_every_file_before_the_folder_that_holds_its_name(tmp_path, synced):
    (tmp_path / "a" / "b").mkdir(parents=True)
    files = [tmp_path / "top", tmp_path / "a" / "middle", tmp_path / "a" / "b" / "deep"]
    for file in files:
        file.write_text("x")
    sync_all(tmp_path)
    assert sorted(synced) == sorted([*files, tmp_path, tmp_path / "a", tmp_path / "a" / "b"])
    for path in synced:
        if path != tmp_path:
            assert synced.index(path) < synced.index(path.parent)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_disk_that_refuses_is_heard(tmp_path, monkeypatch, code):
    """Also of a folder: it is how a disk tells what it could not keep of that which it took before."""

    def refuse(handle):
        raise OSError(code, os.strerror(code))

    (tmp_path / "file").write_text("x")
    handles = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(os, "fsync", refuse)
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(OSError, match=os.strerror(code)):
            sync(path)
    assert len(list(Path("/proc/self/fd").iterdir())) == handles


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_does_not_know_it_for_folders(tmp_path, monkeypatch, code):
    def unknown(handle):
        raise OSError(code, os.strerror(code))

    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(os, "fsync", unknown)
    sync(tmp_path)
    with pytest.raises(OSError, match=os.strerror(code)):
        sync(tmp_path / "file")


def test_a_folder_that_cannot_be_opened_is_passed_over_and_a_file_is_not(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "file").write_text("x")
    monkeypatch.setattr(os, "open", refuse)
    sync(tmp_path)
    with pytest.raises(PermissionError):
        sync(tmp_path / "file")
    with pytest.raises(PermissionError):
        sync_all(tmp_path)
