"""A disk that forgets: which bytes and names of a folder survive a power cut.

What a file had at its last sync survives. Each later write or truncation may survive, or a part of
its sectors. Names survive in one of two ways:

- strict: the sync of a folder keeps its names, as POSIX allows it. Later changes of names survive
  or not, independently of each other.
- ordered: the sync of any file or folder keeps all changes of names before it, and later ones
  survive up to some point, as journaling file systems do it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from faults.journal import Kind, Record

SECTOR_BYTES = 512

# The size of what stands in a mapped file after a power cut, which nobody may rely on.
GARBAGE_BYTES = 32_768

_T = TypeVar("_T")


class Survival(StrEnum):
    """What survives of the changes that no sync covers."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    BEGINNING = "beginning"
    SCATTERED = "scattered"
    TORN = "torn"


class UnsupportedOperation(Exception):
    """The journal has an operation that this disk cannot simulate."""


@dataclass(frozen=True, slots=True)
class Change:
    """A write at an offset, or without data a truncation to a size."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Change the content of a file."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def split(self) -> list[Change]:
        """Return the parts of a write in each sector."""
        if self.data is None:
            return [self]
        end = self.offset + len(self.data)
        edges = range(self.offset - self.offset % SECTOR_BYTES + SECTOR_BYTES, end, SECTOR_BYTES)
        starts = [self.offset, *edges]
        stops = [*edges, end]
        return [
            Change(start, self.data[start - self.offset : stop - self.offset])
            for start, stop in zip(starts, stops, strict=True)
        ]


@dataclass(eq=False)
class File:
    """The synced content of a file, and the changes since.

    `is_mapped`: the journal does not have all changes.
    """

    content: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)
    synced_changes: int = 0
    is_mapped: bool = False

    @property
    def change_count(self) -> int:
        """The number of changes so far."""
        return self.synced_changes + len(self.changes)

    def sync(self, change_count: int) -> None:
        """Keep the first changes for good."""
        covered = max(0, change_count - self.synced_changes)
        for change in self.changes[:covered]:
            change.apply(self.content)
        del self.changes[:covered]
        self.synced_changes += covered

    def pick_content(self, survival: Survival, rng: random.Random) -> bytes:
        """Return what survives a power cut."""
        content = bytearray(self.content)
        changes: Sequence[Change] = self.changes
        if survival is Survival.TORN:
            changes = [part for change in self.changes for part in change.split()]
        for change in pick(changes, survival, rng):
            change.apply(content)
        return bytes(content)


@dataclass(eq=False)
class NameChange:
    """A name that appears, disappears or both at once; `node` is None for a folder."""

    removed: Path | None
    added: Path | None
    node: File | None
    is_synced: bool = False

    @property
    def folders(self) -> set[Path]:
        """The folders whose sync keeps the change."""
        return {path.parent for path in (self.removed, self.added) if path is not None}

    def apply(self, names: dict[Path, File | None]) -> None:
        """Change names; a rename whose source did not survive changes nothing."""
        if self.removed is not None and self.removed not in names:
            return
        if self.removed is not None:
            names.pop(self.removed)
        if self.added is not None:
            names[self.added] = self.node


def pick(changes: Sequence[_T], survival: Survival, rng: random.Random) -> Sequence[_T]:
    """Return the changes that survive, in order."""
    match survival:
        case Survival.NOTHING:
            return ()
        case Survival.EVERYTHING:
            return changes
        case Survival.BEGINNING:
            return changes[: rng.randint(0, len(changes))]
        case _:
            return [change for change in changes if rng.random() < 0.5]


class Disk:
    """The files and folders below a root, as the records of a journal change them.

    Args:
        root: the folder, whose present contents are durable.
        is_ordered: names survive in order; else as strictly as POSIX allows.
    """

    def __init__(self, root: Path, *, is_ordered: bool) -> None:
        self._root = root
        self._is_ordered = is_ordered
        self._files: dict[int, File] = {}
        self._names: dict[Path, File | None] = {}
        self._name_changes: list[NameChange] = []
        self._syncs: dict[tuple[int, int], tuple[int, int]] = {}
        for path in sorted(root.rglob("*")):
            self._names[path] = None
            if path.is_file():
                file = File(bytearray(path.read_bytes()))
                self._names[path] = self._files[path.stat().st_ino] = file
        self._durable_names = dict(self._names)

    def apply(self, record: Record) -> None:
        """Apply an operation.

        Raises:
            UnsupportedOperation: it cannot be simulated.
        """
        match record.kind:
            case Kind.OPEN:
                self._open(record)
            case Kind.WRITE:
                self._change(record, Change(record.value, record.payload))
            case Kind.TRUNCATE:
                self._change(record, Change(record.value, None))
            case Kind.MAP:
                self._files[record.inode].is_mapped = True
            case Kind.SYNC_BEGIN:
                self._begin_sync(record)
            case Kind.SYNC_END:
                self._end_sync(record)
            case _:
                self._rename(record)

    def cut_power(self, survival: Survival, rng: random.Random, target: Path) -> None:
        """Write what survives a power cut now into an empty folder."""
        names = dict(self._durable_names)
        if self._is_ordered and survival in {Survival.SCATTERED, Survival.TORN}:
            name_survival = Survival.BEGINNING
        else:
            name_survival = survival
        unsynced = [change for change in self._name_changes if not change.is_synced]
        for change in pick(unsynced, name_survival, rng):
            change.apply(names)
        present = {self._root}
        for path in sorted(names):
            if path.parent not in present:
                continue  # its folder, or one of that folder's, did not survive
            present.add(path)
            copy = target / path.relative_to(self._root)
            file = names[path]
            if file is None:
                copy.mkdir()
            elif not file.is_mapped:
                copy.write_bytes(file.pick_content(survival, rng))
            elif rng.random() < 0.5:
                copy.write_bytes(rng.randbytes(GARBAGE_BYTES))

    def list_contents(self) -> dict[Path, bytes | None]:
        """Return the present contents by path, as readers see them; None for a folder.

        Mapped files are left out.
        """
        rng = random.Random(0)
        return {
            path: None if file is None else file.pick_content(Survival.EVERYTHING, rng)
            for path, file in self._names.items()
            if file is None or not file.is_mapped
        }

    def _open(self, record: Record) -> None:
        (path,) = record.paths
        if path not in self._names:
            file = self._files[record.inode] = File()
            self._change_names(NameChange(None, path, file))
        elif record.value:
            self._change(record, Change(0, None))

    def _change(self, record: Record, change: Change) -> None:
        self._files[record.inode].changes.append(change)

    def _begin_sync(self, record: Record) -> None:
        file = None if record.payload else self._files[record.inode]
        change_count = 0 if file is None else file.change_count
        self._syncs[record.task, record.inode] = (change_count, len(self._name_changes))

    def _end_sync(self, record: Record) -> None:
        change_count, name_change_count = self._syncs.pop((record.task, record.inode))
        if record.payload:
            (folder,) = record.paths
            self._sync_names(name_change_count, None if self._is_ordered else folder)
        else:
            self._files[record.inode].sync(change_count)
            if self._is_ordered:
                self._sync_names(name_change_count, None)

    def _sync_names(self, count: int, folder: Path | None) -> None:
        """Keep the first changes of names for good: those of a folder, or all."""
        for change in self._name_changes[:count]:
            if not change.is_synced and (folder is None or folder in change.folders):
                change.is_synced = True
                change.apply(self._durable_names)

    def _rename(self, record: Record) -> None:
        match record.kind, record.paths:
            case Kind.MAKE_FOLDER, [path]:
                self._change_names(NameChange(None, path, None))
            case Kind.UNLINK, [path]:
                self._change_names(NameChange(path, None, None))
            case Kind.RENAME, [old, new] if self._names[old] is not None:
                self._change_names(NameChange(old, new, self._names[old]))
            case Kind.LINK, [old, new]:
                self._change_names(NameChange(None, new, self._names[old]))
            case _:
                raise UnsupportedOperation(f"{record.kind.name} of {record.payload!r}")

    def _change_names(self, change: NameChange) -> None:
        change.apply(self._names)
        self._name_changes.append(change)
