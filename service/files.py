"""Files that only their owner can read, that leave room for others, and survive a power loss."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Files and folders with data are for their owner alone: they have the texts of all catalogs.
PRIVATE_FILE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700

# The ending of a file that replaces another one once it is complete.
TEMPORARY_ENDING = ".tmp"

# What snapshots and backups leave free for the database on the same disk: its write-ahead log has
# 4 MiB between two checkpoints, and an import with full messages makes it some times as large.
RESERVED_BYTES = 64 * 1024 * 1024


class NoRoomError(OSError):
    """The disk has no room for a file; the reason has the figures."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ENOSPC, reason)
        self.reason = reason


def require_room(folder: Path, size_bytes: int, reserve_bytes: int) -> None:
    """Check that the disk of a folder has room for files.

    Args:
        folder: the folder.
        size_bytes: the size of the files.
        reserve_bytes: what must stay free for the database.

    Raises:
        NoRoomError: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < size_bytes + reserve_bytes:
        reserve = f", and {reserve_bytes:,} are reserved for the database" if reserve_bytes else ""
        raise NoRoomError(f"it takes about {size_bytes:,} bytes, {free:,} are free{reserve}")


def create_folder(folder: Path, *, private_levels: int = 1) -> None:
    """Create a private folder and its missing parents, so that their names survive a power loss.

    A folder that exists is left as it is.

    Args:
        folder: the folder.
        private_levels: the number of folders, this one and its nearest parents, that are for their
            owner alone. Further parents get the usual mode.

    Raises:
        OSError: the folder cannot be created, or is a file.
    """
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.append(path)
    private = (folder, *folder.parents)[:private_levels]
    for path in reversed(missing):
        with suppress(FileExistsError):  # another process may have just created it
            path.mkdir(PRIVATE_FOLDER_MODE if path in private else 0o777)
            if path in private:
                path.chmod(PRIVATE_FOLDER_MODE)  # whatever the umask
            with suppress(PermissionError):  # a folder may be writable and not readable
                sync(path.parent)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is not a folder", str(folder))


def create_file(path: Path) -> None:
    """Create an empty private file.

    Raises:
        FileExistsError: the name is taken.
        OSError: the file cannot be created.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE_MODE)
    try:
        os.fchmod(handle, PRIVATE_FILE_MODE)  # whatever the umask
    finally:
        os.close(handle)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield an empty private file to write to; at the end it replaces `path`, all or nothing.

    After any error, nothing is left of it.

    Raises:
        OSError: the file cannot be written.
    """
    temporary = path.with_name(path.name + TEMPORARY_ENDING)
    temporary.unlink(missing_ok=True)  # a process that was killed may have left it
    with move_when_written(temporary, path):
        yield temporary
    sync(path.parent)


@contextmanager
def move_when_written(temporary: Path, path: Path) -> Iterator[None]:
    """Create a private file to write to; at the end it is synced and replaces `path`.

    After any error, nothing is left of it.

    Raises:
        OSError: the file exists already or cannot be written.
    """
    create_file(temporary)
    try:
        yield
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def sync(path: Path) -> None:
    """Wait until a file or the names in a folder are on disk.

    Raises:
        OSError: the disk fails.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
