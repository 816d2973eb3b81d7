from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.disk import SECTOR_BYTES, Change, Disk, Survival, UnsupportedOperation
from faults.journal import Kind, Record

SEEDS = range(40)


class Steps:
    """A disk, and the operations that happen to it, by path instead of by inode."""

    def __init__(self, root: Path, *, is_ordered: bool = False) -> None:
        root.mkdir(exist_ok=True)
        self.root = root
        self.disk = Disk(root, is_ordered=is_ordered)
        self._inodes: dict[str, int] = {}

    def open(self, name: str) -> None:
        """Creates a file."""
        self._inodes[name] = 1_000_000 + len(self._inodes)
        self._apply(Kind.OPEN, self._inodes[name], payload=str(self.root / name))

    def write(self, name: str, data: bytes, offset: int = 0) -> None:
        """Writes to a file."""
        self._apply(Kind.WRITE, self._inodes[name], offset, data)

    def truncate(self, name: str, size: int) -> None:
        """Sets the size of a file."""
        self._apply(Kind.TRUNCATE, self._inodes[name], size)

    def map(self, name: str) -> None:
        """Maps a file to memory."""
        self._apply(Kind.MAP, self._inodes[name])

    def rename(self, old: str, new: str) -> None:
        """Renames a file."""
        self._inodes[new] = self._inodes.pop(old)
        self._apply(Kind.RENAME, payload=f"{self.root / old}\0{self.root / new}")

    def unlink(self, name: str) -> None:
        """Removes a file."""
        self._apply(Kind.UNLINK, payload=str(self.root / name))

    def make_folder(self, name: str) -> None:
        """Makes a folder."""
        self._apply(Kind.MAKE_FOLDER, payload=str(self.root / name))

    def begin_sync(self, name: str) -> None:
        """Begins a sync of a file."""
        self._apply(Kind.SYNC_BEGIN, self._inodes[name])

    def end_sync(self, name: str) -> None:
        """Ends the sync of a file."""
        self._apply(Kind.SYNC_END, self._inodes[name])

    def sync(self, name: str) -> None:
        """Syncs a file."""
        self.begin_sync(name)
        self.end_sync(name)

    def sync_folder(self, name: str = ".") -> None:
        """Syncs a folder."""
        path = str(self.root if name == "." else self.root / name)
        self._apply(Kind.SYNC_BEGIN, 7, payload=path)
        self._apply(Kind.SYNC_END, 7, payload=path)

    def survivors(self, target: Path, survival: Survival, seed: int = 0) -> dict[str, bytes]:
        """The files after a power cut now."""
        folder = target / f"{survival}-{seed}"
        folder.mkdir(parents=True)
        self.disk.cut_power(survival, random.Random(seed), folder)
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    def _apply(
        self, kind: Kind, inode: int = 0, value: int = 0, payload: str | bytes = b""
    ) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        self.disk.apply(Record(0, kind, inode, value, 1, data))


@pytest.mark.parametrize("survival", Survival)
def test_what_was_synced_survives(tmp_path: Path, survival: Survival) -> None:
    """A synced file in a synced folder survives every power cut."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.write("a", b"data")
    steps.sync("a")
    steps.sync_folder()
    assert {"a": b"data"} == steps.survivors(tmp_path, survival)


def test_bytes_that_no_sync_covers_can_vanish(tmp_path: Path) -> None:
    """Without a sync after a write, the file has what it had before it."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.write("a", b"old")
    steps.sync("a")
    steps.sync_folder()
    steps.write("a", b"new!")
    assert {"a": b"old"} == steps.survivors(tmp_path, Survival.NOTHING)
    assert {"a": b"new!"} == steps.survivors(tmp_path, Survival.EVERYTHING)


def test_a_write_during_a_sync_is_not_covered(tmp_path: Path) -> None:
    """A sync covers the writes before its begin, and only once it has ended."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.sync_folder()
    steps.write("a", b"1")
    steps.begin_sync("a")
    steps.write("a", b"2", offset=1)
    assert {"a": b""} == steps.survivors(tmp_path / "during", Survival.NOTHING)
    steps.end_sync("a")
    assert {"a": b"1"} == steps.survivors(tmp_path / "after", Survival.NOTHING)


def test_a_write_can_tear_between_sectors(tmp_path: Path) -> None:
    """Any of a write's sectors can survive without the others, but no sector in part."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.sync_folder()
    old, new = bytes([1]) * 4 * SECTOR_BYTES, bytes([2]) * 4 * SECTOR_BYTES
    steps.write("a", old)
    steps.sync("a")
    steps.write("a", new)
    contents = {steps.survivors(tmp_path, Survival.TORN, seed)["a"] for seed in SEEDS}
    sectors = {
        content[start : start + SECTOR_BYTES]
        for content in contents
        for start in range(0, len(content), SECTOR_BYTES)
    }
    assert {old[:SECTOR_BYTES], new[:SECTOR_BYTES]} == sectors
    assert 4 < len(contents)


def test_parts_of_a_write_end_at_sectors() -> None:
    """The parts of an unaligned write are those of its sectors, in order."""
    data = bytes(range(256)) * 5
    parts = Change(500, data).split()
    assert [500, 512, 1024, 1536] == [part.offset for part in parts]
    assert data == b"".join(part.data or b"" for part in parts)


def test_a_truncation_is_a_change_of_the_file(tmp_path: Path) -> None:
    """Without a sync, a truncation can vanish."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.sync_folder()
    steps.write("a", b"data")
    steps.sync("a")
    steps.truncate("a", 2)
    assert {"a": b"data"} == steps.survivors(tmp_path, Survival.NOTHING)
    assert {"a": b"da"} == steps.survivors(tmp_path, Survival.EVERYTHING)


@pytest.mark.parametrize("is_ordered", [False, True])
def test_a_rename_needs_a_sync(tmp_path: Path, is_ordered: bool) -> None:
    """A file that replaced another may be the old one until the folder is synced."""
    steps = Steps(tmp_path / "root", is_ordered=is_ordered)
    for name in ("a", "a.tmp"):
        steps.open(name)
        steps.write(name, name.encode())
        steps.sync(name)
    steps.sync_folder()
    steps.rename("a.tmp", "a")
    assert {"a": b"a", "a.tmp": b"a.tmp"} == steps.survivors(tmp_path, Survival.NOTHING)
    assert {"a": b"a.tmp"} == steps.survivors(tmp_path, Survival.EVERYTHING)
    steps.sync_folder()
    assert {"a": b"a.tmp"} == steps.survivors(tmp_path / "after", Survival.NOTHING)


def test_a_new_name_needs_a_sync_of_its_folder_only_if_strict(tmp_path: Path) -> None:
    """The sync of a file keeps its name on an ordered disk, and not on a strict one."""
    for is_ordered, expected in ((False, {}), (True, {"a": b"data"})):
        steps = Steps(tmp_path / f"root-{is_ordered}", is_ordered=is_ordered)
        steps.open("a")
        steps.write("a", b"data")
        steps.sync("a")
        assert expected == steps.survivors(tmp_path / str(is_ordered), Survival.NOTHING)


def test_a_file_is_lost_with_its_folder(tmp_path: Path) -> None:
    """A synced file is lost if the name of its folder, or of a folder above, is not synced."""
    steps = Steps(tmp_path / "root")
    for folder in ("data", "data/models"):
        steps.make_folder(folder)
    steps.open("data/models/a")
    steps.sync("data/models/a")
    steps.sync_folder("data/models")
    assert {} == steps.survivors(tmp_path, Survival.NOTHING)
    steps.sync_folder("data")
    assert {} == steps.survivors(tmp_path / "between", Survival.NOTHING)
    steps.sync_folder()
    assert {"data/models/a": b""} == steps.survivors(tmp_path / "after", Survival.NOTHING)


def test_a_removed_name_can_be_back(tmp_path: Path) -> None:
    """Without a sync of the folder, a removed file can be there again."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.sync_folder()
    steps.unlink("a")
    assert {"a": b""} == steps.survivors(tmp_path, Survival.NOTHING)
    assert {} == steps.survivors(tmp_path, Survival.EVERYTHING)


def test_a_mapped_file_is_missing_or_garbage(tmp_path: Path) -> None:
    """What a mapped file has after a power cut is not what was written to it."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.map("a")
    steps.sync_folder()
    outcomes = [steps.survivors(tmp_path, Survival.EVERYTHING, seed) for seed in SEEDS]
    assert {} in outcomes
    assert any(files.get("a") for files in outcomes)


def test_the_same_seed_cuts_the_same(tmp_path: Path) -> None:
    """A power cut with a seed can be replayed."""
    steps = Steps(tmp_path / "root")
    steps.open("a")
    steps.sync_folder()
    for number in range(30):
        steps.write("a", bytes([number]) * SECTOR_BYTES, number * SECTOR_BYTES)
    first, second = (
        steps.survivors(tmp_path / name, Survival.SCATTERED, 3) for name in ("first", "second")
    )
    assert first == second
    assert first != steps.survivors(tmp_path, Survival.SCATTERED, 4)


def test_an_unknown_operation_ends_the_simulation(tmp_path: Path) -> None:
    """An operation that cannot be simulated is an error, not a gap."""
    steps = Steps(tmp_path / "root")
    with pytest.raises(UnsupportedOperation):
        steps.disk.apply(Record(0, Kind.UNSUPPORTED, 1, 0, 1, b"posix_fallocate"))
