"""What has to outlast a loss of power: bytes and names that the system keeps in its memory for a while."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: What file systems answer that know no such request for a folder, as some over a network.
_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


def sync(path: Path) -> None:
    """Have the bytes of a file, or the names in a folder, on the disk before going on.

    A folder that cannot be opened, or whose file system does not do this for folders, is passed over: there
    is no other way to ask.

    Parameters
    ----------
    path : Path

    Raises
    ------
    OSError
        If the disk refuses, also for what was written before and accepted into memory.
    """
    is_folder = path.is_dir()
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        if is_folder:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if not is_folder or error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(handle)


def sync_all(folder: Path) -> None:
    """Have a folder on the disk with all that is in it, before going on.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    OSError
        If the disk refuses.
    """
    for inner, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync(Path(inner, name))
        sync(Path(inner))
