import asyncio
import os
import shutil
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.clock import FakeClock
from support.disks import created_with_mode_mask, largest_file, modes
from support.stores import indexed, opened

from service import errors
from service.domain.snapshot_files import MANIFEST_FILE
from service.files import RESERVED_BYTES
from service.storage.data_folder import DATABASE, PROBE_SOCKET, lock_folder, secure_folder
from service.storage.sqlite.backup import ABANDONED_SECONDS, create_backup, restore_backup

pytestmark = pytest.mark.sqlite

FOLDERS = {".", "index", "index/7"}

# Enough for what SQLite shares between processes, and too little for a database.
MAX_BYTES = 60_000

HEX = "0123456789abcdef" * 2
MASKS = pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")


def ignore(_copied: int, _total: int) -> None:
    """Show no progress."""


def check_private(folder: Path) -> None:
    """Check that only the owner can use a data folder and what is in it."""
    expected = {name: 0o700 if name in FOLDERS else 0o600 for name in modes(folder)}
    assert expected == modes(folder)


def fill(folder: Path) -> None:
    """Make a data folder with some items."""
    asyncio.run(_fill(folder))


async def _fill(folder: Path) -> None:
    async with opened(folder, FakeClock()) as (stores, catalog):
        await stores.items.upsert_many(catalog, [indexed(f"i{n}", f"word{n}") for n in range(100)])


def synced_paths(work: Callable[[], object]) -> set[str]:
    """Return the files and folders that work waits for to be on disk."""
    paths: set[str] = set()

    def observe(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function is os.fsync:
            paths.add(str(Path(f"/proc/self/fd/{frame.f_locals['handle']}").readlink()))

    sys.setprofile(observe)
    try:
        work()
    finally:
        sys.setprofile(None)
    return paths


@MASKS
async def test_a_new_data_folder_is_private(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, only the owner can read a new folder, its lock and its database."""
    folder = tmp_path / "data"
    with created_with_mode_mask(mask), lock_folder(folder):
        async with opened(folder, FakeClock()) as (stores, catalog):
            await stores.items.upsert_many(catalog, [indexed("a", "tea")])
            assert {"lock", DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"} < modes(folder).keys()
            check_private(folder)


@MASKS
def test_copies_are_private(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, only the owner can read a backup and a restored folder."""
    fill(tmp_path / "data")
    copy, restored = tmp_path / "copy", tmp_path / "restored"
    with created_with_mode_mask(mask):
        create_backup(tmp_path / "data", copy, ignore)
        restore_backup(copy, restored)
    assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
    check_private(restored)
    fill(restored)
    check_private(restored)


def test_an_open_folder_is_tightened(tmp_path: Path) -> None:
    """A start takes the permissions of other users away, says so once, and touches nothing else."""
    fill(tmp_path)
    (tmp_path / "index" / "7").mkdir(parents=True)
    own = [tmp_path, tmp_path / "index", tmp_path / "index" / "7", tmp_path / DATABASE]
    own.append(tmp_path / "index" / "7" / MANIFEST_FILE)
    state = tmp_path / "training" / "1" / "20" / "state"
    state.mkdir(parents=True)
    own += [state / "rows.npy", state, *list(state.parents)[:3]]
    other = tmp_path / "index" / "7" / "notes.txt"
    for path in (tmp_path / "index" / "7" / MANIFEST_FILE, state / "rows.npy", other):
        path.write_text("{}")
    with lock_folder(tmp_path):
        for path in (*own, other):
            path.chmod(0o2775 if path.is_dir() else 0o664)
        events = []
        for _ in "ab":
            with capture_logs() as lines:
                secure_folder(tmp_path)
            events.append([line["event"] for line in lines])
    assert [["data_folder_tightened"], []] == events
    assert {0o2700} == {stat.S_IMODE(path.stat().st_mode) for path in own if path.is_dir()}
    assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in own if path.is_file()}
    assert 0o664 == stat.S_IMODE(other.stat().st_mode)


@needs_root
@pytest.mark.parametrize(
    ("mode", "events"), [(0o2770, []), (0o700, []), (0o755, ["data_folder_exposed"])]
)
def test_what_another_user_owns_keeps_its_mode(
    tmp_path: Path, mode: int, events: list[str]
) -> None:
    """The folder of a volume that another user owns stays; a line says if everybody can read it."""
    fill(tmp_path)
    with lock_folder(tmp_path):
        os.chown(tmp_path, 10_001, 10_001)
        tmp_path.chmod(mode)
        with capture_logs() as lines:
            secure_folder(tmp_path)
    assert events == [line["event"] for line in lines]
    assert mode == stat.S_IMODE(tmp_path.stat().st_mode)


def test_a_folder_that_all_users_share_keeps_its_mode(tmp_path: Path) -> None:
    """Other programs need a folder such as /tmp: its files are private, and a line says so."""
    fill(tmp_path)
    (tmp_path / DATABASE).chmod(0o644)
    with lock_folder(tmp_path):
        tmp_path.chmod(0o1777)
        with capture_logs() as lines:
            secure_folder(tmp_path)
    assert ["data_folder_tightened", "data_folder_exposed"] == [line["event"] for line in lines]
    assert [str(tmp_path)] == lines[-1]["paths"]
    assert 0o1777 == stat.S_IMODE(tmp_path.stat().st_mode)
    assert 0o600 == stat.S_IMODE((tmp_path / DATABASE).stat().st_mode)


def test_a_start_removes_half_written_files(tmp_path: Path) -> None:
    """What a killed restore left is removed; files that only look alike stay."""
    fill(tmp_path)
    partial = f"{DATABASE}.{HEX}.partial"
    own = [partial, f"{partial}-journal"]
    others = ["copy.partial", f"copy.{HEX}.partial", f"{DATABASE}.{HEX}.partial.txt", "notes.tmp"]
    for name in (*own, *others):
        (tmp_path / name).write_text("content")
    with lock_folder(tmp_path):
        secure_folder(tmp_path)
    assert {DATABASE, "lock", *others} == {path.name for path in tmp_path.iterdir()}


def test_a_start_removes_the_sockets_of_killed_workers(tmp_path: Path) -> None:
    """What killed workers listened on is removed; files that only look alike stay."""
    fill(tmp_path)
    name = PROBE_SOCKET.format(worker=3)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / name))
    other = PROBE_SOCKET.format(worker="notes")
    (tmp_path / other).write_text("content")
    with lock_folder(tmp_path):
        secure_folder(tmp_path)
    assert {DATABASE, "lock", other} == {path.name for path in tmp_path.iterdir()}


def test_a_restore_removes_half_written_files(tmp_path: Path) -> None:
    """What a killed restore left does not take the room that the next one needs."""
    fill(tmp_path / "old")
    create_backup(tmp_path / "old", tmp_path / "copy", ignore)
    data = tmp_path / "data"
    data.mkdir()
    for name in (f"{DATABASE}.{HEX}.partial", f"{DATABASE}.{HEX}.partial-journal", "notes.tmp"):
        (data / name).write_text("content")
    restore_backup(tmp_path / "copy", data)
    assert {DATABASE, "lock", "notes.tmp"} == {path.name for path in data.iterdir()}


def test_a_backup_removes_old_half_written_copies(tmp_path: Path) -> None:
    """What a killed backup left is removed a day later, and never what another one writes now."""
    fill(tmp_path / "data")
    names = {f"copy.{HEX}.partial": True, f"copy.{HEX[::-1]}.partial": False, "copy.partial": True}
    for name, is_old in names.items():
        path = tmp_path / name
        path.write_text("content")
        if is_old:
            old = path.stat().st_mtime - ABANDONED_SECONDS - 1
            os.utime(path, (old, old))
    create_backup(tmp_path / "data", tmp_path / "copy", ignore)
    left = {path.name for path in tmp_path.iterdir()}
    assert {"data", "copy", f"copy.{HEX[::-1]}.partial", "copy.partial"} == left


def test_a_copy_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """A backup or a restore that meets a full disk leaves no file."""
    fill(tmp_path / "data")
    copy, restored = tmp_path / "copy", tmp_path / "restored"
    with largest_file(MAX_BYTES), pytest.raises(errors.StoreUnavailable, match="cannot be"):
        create_backup(tmp_path / "data", copy, ignore)
    assert ["data"] == [path.name for path in tmp_path.iterdir()]
    create_backup(tmp_path / "data", copy, ignore)
    with (
        largest_file(MAX_BYTES),
        pytest.raises(errors.StoreUnavailable, match="cannot be restored"),
    ):
        restore_backup(copy, restored)
    assert ["lock"] == [path.name for path in restored.iterdir()]


def test_a_restore_tightens_the_folder(tmp_path: Path) -> None:
    """An open folder that a backup is restored into is private afterwards."""
    fill(tmp_path / "data")
    create_backup(tmp_path / "data", tmp_path / "copy", ignore)
    restored = tmp_path / "restored"
    restored.mkdir()
    restored.chmod(0o755)
    restore_backup(tmp_path / "copy", restored)
    check_private(restored)


def test_a_backup_leaves_room_for_the_database(tmp_path: Path) -> None:
    """A backup onto the disk of the database is not begun if it takes the last room."""
    fill(tmp_path / "data")
    with (tmp_path / "data" / DATABASE).open("r+b") as database:
        database.truncate(shutil.disk_usage(tmp_path).free - RESERVED_BYTES // 2)  # a sparse file
    with pytest.raises(errors.StoreUnavailable, match="reserved for the database"):
        create_backup(tmp_path / "data", tmp_path / "copy", ignore)
    assert ["data"] == [path.name for path in tmp_path.iterdir()]


def test_a_restore_keeps_the_files_of_others(tmp_path: Path) -> None:
    """A restore removes the snapshots that are there, and no file that is not Akin's."""
    fill(tmp_path / "data")
    create_backup(tmp_path / "data", tmp_path / "copy", ignore)
    restored = tmp_path / "restored"
    for number in ("1", "2"):
        (restored / "index" / number).mkdir(parents=True)
        (restored / "index" / number / MANIFEST_FILE).write_text("{}")
        (restored / "index" / number / f"graph-{HEX}.faiss").write_text("graph")
    (restored / "index" / "2" / "photo.jpeg").write_text("mine")
    restore_backup(tmp_path / "copy", restored)
    expected = {"lock", DATABASE, "index", "index/2", "index/2/photo.jpeg"}
    assert expected == {str(path.relative_to(restored)) for path in restored.rglob("*")}


def test_the_names_of_new_folders_survive_a_power_loss(tmp_path: Path) -> None:
    """The parent of each new folder is synchronized, also of parents that were missing."""
    fill(tmp_path / "data")
    create_backup(tmp_path / "data", tmp_path / "copy", ignore)
    restored = tmp_path / "new" / "deep" / "restored"
    paths = synced_paths(lambda: restore_backup(tmp_path / "copy", restored))
    assert {str(tmp_path), str(tmp_path / "new"), str(restored.parent), str(restored)} <= paths
