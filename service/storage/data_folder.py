"""The data folder: private, and locked for one server."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Protocol

import structlog

from service import errors, files
from service.domain.snapshot_files import MANIFEST_FILE, is_snapshot_file

DATABASE = "akin.sqlite3"

# Endings of the files that SQLite keeps beside a database.
LOG_ENDINGS = ("-wal", "-shm", "-journal")

LOCK_FILE = "lock"

# The folder of the snapshots, with one folder for each generation.
INDEX_FOLDER = "index"

# The folder of what trainings leave for the next ones, with one folder for each catalog.
TRAINING_FOLDER = "training"

# The socket through which a worker sends calls to itself; servers that are killed leave theirs.
PROBE_SOCKET = "probe-{worker}.sock"

# An empty file whose time is that of the last backup of the folder.
BACKUP_MARK = "last-backup"

# The permissions that a folder or file of Akin must not have.
_OTHER_USERS = 0o077
_STRANGERS = 0o007

# A file that is not complete yet; the number makes its name unique.
_PARTIAL_NAME = re.compile(r"\.[0-9a-f]{32}\.partial(-wal|-shm|-journal)?")

# Pause between attempts to lock a folder.
LOCK_RETRY_SECONDS = 0.05


class FolderLock:
    """The lock of a data folder, which a process holds until it ends.

    A process that gets it as an argument from its parent holds it as well. The folder is free when
    all of them have ended, even if the parent was killed.

    Args:
        descriptor: the file descriptor of the lock.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __reduce__(self) -> tuple[Callable[..., FolderLock], tuple[object]]:
        """Pass the file descriptor to a process that multiprocessing starts."""
        return _inherit_lock, (DupFd(self._descriptor),)


class _Duplicate(Protocol):
    """A file descriptor on its way to a new process."""

    def detach(self) -> int: ...


def _inherit_lock(duplicate: _Duplicate) -> FolderLock:
    descriptor = duplicate.detach()
    os.set_inheritable(descriptor, False)
    return FolderLock(descriptor)


@contextmanager
def lock_folder(folder: Path, wait_seconds: float = 0.0) -> Iterator[FolderLock]:
    """Create a data folder if it is missing, and hold its lock; a dead process holds none.

    Args:
        folder: the data folder.
        wait_seconds: how long to wait for another server to end.

    Raises:
        FolderInUse: another server uses the folder.
        StoreUnavailable: the folder cannot be used.
    """
    create_data_folder(folder)
    try:
        with suppress(FileExistsError):
            files.create_file(folder / LOCK_FILE)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        raise make_unusable_error(folder, exc) from exc
    try:
        if not _lock(lock, time.monotonic() + wait_seconds):
            raise errors.FolderInUse(f"another server uses this data folder: {folder}")
        yield FolderLock(lock)
    finally:
        os.close(lock)


def _lock(descriptor: int, end: float) -> bool:
    """Lock a file. Return false if another process holds it until the time `end`."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(LOCK_RETRY_SECONDS)
        else:
            return True


def secure_folder(folder: Path) -> None:
    """Make a locked data folder private, and remove what an ended process left half written.

    It changes only what this process's user owns and what has a name of Akin's, and logs it.

    Raises:
        StoreUnavailable: the folder cannot be read.
    """
    try:
        remove_partials(folder)
        _remove_sockets(folder)
        tightened_count, exposed = make_private(folder)
    except OSError as exc:
        raise make_unusable_error(folder, exc) from exc
    log = structlog.get_logger()
    if tightened_count:
        log.info("data_folder_tightened", folder=str(folder), paths=tightened_count)
    if exposed:
        log.warning("data_folder_exposed", paths=exposed)


def remove_partials(folder: Path) -> None:
    """Remove the half written databases that killed processes left in a locked data folder.

    Raises:
        OSError: they cannot be removed.
    """
    for path in folder.iterdir():
        if is_partial(path, DATABASE):
            path.unlink(missing_ok=True)


def _remove_sockets(folder: Path) -> None:
    """Remove the sockets of killed workers: a server with fewer workers would replace only some."""
    for path in folder.glob(PROBE_SOCKET.format(worker="*")):
        if path.is_socket():
            path.unlink(missing_ok=True)


def make_private(folder: Path) -> tuple[int, list[str]]:
    """Take the permissions of other users from a data folder, and from what of it is Akin's.

    Returns:
        The number of changed paths, and the paths that everybody can use and that stay so.

    Raises:
        OSError: the folder cannot be read.
    """
    tightened_count, exposed = 0, []
    for path in list(_list_own_paths(folder)):
        try:
            tightened_count += _tighten(path)
        except FileNotFoundError:
            continue  # a command that read the database has just closed it
        except OSError:
            exposed.append(str(path))
    return tightened_count, exposed


def list_snapshot_folders(folder: Path) -> list[Path]:
    """Return the folders of index snapshots in a data folder, one for each generation.

    A folder that people chose as data folder may have a folder `index` with other contents.
    """
    return list_numbered_folders(folder / INDEX_FOLDER)


def list_numbered_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder whose names are numbers; none if it is not a folder."""
    children = folder.iterdir() if folder.is_dir() else ()
    return [child for child in children if child.name.isdecimal() and child.is_dir()]


def remove_snapshot(folder: Path) -> None:
    """Remove the files of a snapshot, and its folder if that has no others.

    Raises:
        OSError: they cannot be removed.
    """
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    files.sync(folder)  # after a power loss, too, nothing is a snapshot without its manifest
    for path in folder.iterdir():
        if is_snapshot_file(path.name):
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def is_partial(path: Path, name: str) -> bool:
    """Return whether a path is that of a half written file that would have become `name`."""
    rest = path.name.removeprefix(name)
    return rest != path.name and _PARTIAL_NAME.fullmatch(rest) is not None


def _list_own_paths(folder: Path) -> Iterator[Path]:
    """Yield the data folder, and what of its contents is Akin's."""
    yield folder
    for name in (LOCK_FILE, BACKUP_MARK, DATABASE, *(DATABASE + ending for ending in LOG_ENDINGS)):
        if (folder / name).exists():
            yield folder / name
    snapshot_folders = list_snapshot_folders(folder)
    if snapshot_folders:
        yield folder / INDEX_FOLDER
    for snapshots in snapshot_folders:
        yield snapshots
        yield from (path for path in snapshots.iterdir() if is_snapshot_file(path.name))
    training_folders = list_numbered_folders(folder / TRAINING_FOLDER)
    if training_folders:
        yield folder / TRAINING_FOLDER
    for trainings in training_folders:
        yield trainings
        for training in list_numbered_folders(trainings):
            yield from (training, *training.glob("*/"), *training.glob("*/*.npy"))


def _tighten(path: Path) -> bool:
    """Take the permissions of other users away; return whether they had any.

    Raises:
        PermissionError: everybody can read or change the path, and another user owns it or all
            users share it.
        OSError: the file system does not allow it.
    """
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        # Kubernetes owns the folder of a volume, and gives the pod access by its group.
        if mode & _STRANGERS:
            raise PermissionError(errno.EPERM, "another user owns it", str(path))
        return False
    if not mode & _OTHER_USERS:
        return False
    if mode & stat.S_ISVTX:
        # A folder that all users share, such as /tmp: without it, other programs fail.
        raise PermissionError(errno.EPERM, "all users share it", str(path))
    path.chmod(mode & ~_OTHER_USERS)
    if stat.S_IMODE(path.stat().st_mode) & _OTHER_USERS:
        raise PermissionError(errno.EPERM, "the file system keeps the mode", str(path))
    return True


def create_data_folder(folder: Path) -> None:
    """Create a data folder if it is missing.

    Raises:
        StoreUnavailable: the folder cannot be used.
    """
    try:
        files.create_folder(folder)
    except OSError as exc:
        raise make_unusable_error(folder, exc) from exc


def make_unusable_error(folder: Path, exc: OSError) -> errors.StoreUnavailable:
    """Return the error of a data folder that the file system refuses."""
    is_file = isinstance(exc, FileExistsError | NotADirectoryError)
    reason = "it is not a folder" if is_file else exc.strerror
    return errors.StoreUnavailable(
        f"the data folder cannot be used: {exc.filename or folder}: {reason}"
    )
