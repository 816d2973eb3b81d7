"""Keeps what an item index is made of on disk, so that a start need not build it again.

A snapshot is derived: it stands for one sequence number of one store, from which on the follower
follows as ever, and one that is torn, foreign or newer than the store is dropped. Graphs do not
change once built and are written once; the manifest, renamed into place last, makes a snapshot
valid.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import numpy as np
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from service.index.item_index import ItemIndex, ItemIndexState

FORMAT = 3
MANIFEST = "manifest.json"
READ_BYTES = 4 * 1024 * 1024


class Unusable(Exception):
    """A snapshot must not be used; the message says why."""


class File(BaseModel):
    """A file of a snapshot."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    bytes: int
    crc32: int


class Manifest(BaseModel):
    """What a snapshot stands for, and its files by name."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: int
    store_id: str
    fingerprint: str
    sequence: int
    arrays: str
    files: dict[str, File]


@dataclass(frozen=True, slots=True)
class Origin:
    """The store, and the space within it, that a snapshot must come from."""

    store_id: str
    fingerprint: str


class Snapshots:
    """The snapshots of one catalog in a folder of its own; there is one at a time.

    Args:
        folder: where they are.
        origin: where they must come from.
        owner: whether this process saves them, and removes those that cannot be used.
    """

    def __init__(self, folder: Path, origin: Origin, *, owner: bool = True) -> None:
        self._folder = folder
        self._origin = origin
        self._owner = owner
        self._written: dict[str, File] = {}
        self._seen = 0

    def save(self, state: ItemIndexState) -> None:
        """Writes a snapshot and removes the files of the former one.

        Raises:
            OSError: the disk does not take it; the former snapshot stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        arrays = f"arrays-{uuid4().hex}.npz"
        files = {}
        for name, write in state.files.items():
            if name not in self._written or not (self._folder / name).exists():
                with _replaced(self._folder / name) as path:
                    write(path)
                self._written[name] = _described(self._folder / name)
            files[name] = self._written[name]
        with _replaced(self._folder / arrays) as path, path.open("wb") as file:
            np.savez(file, allow_pickle=False, **state.arrays)
        files[arrays] = _described(self._folder / arrays)
        manifest = Manifest(
            format=FORMAT,
            store_id=self._origin.store_id,
            fingerprint=self._origin.fingerprint,
            sequence=state.sequence,
            arrays=arrays,
            files=files,
        )
        with _replaced(self._folder / MANIFEST) as path:
            path.write_text(manifest.model_dump_json())
        self._remove_but(files)

    def is_new(self) -> bool:
        """Whether there is a snapshot that was not there at the last `load`."""
        return self._manifest_number() not in {0, self._seen}

    def load(self, item_index: ItemIndex, last_sequence: int) -> bool:
        """Fills an empty item index from the snapshot; False if there is none that can be used.

        Args:
            item_index: is of no use where the result is False.
            last_sequence: of the store; a snapshot beyond it is of another past.
        """
        log = structlog.get_logger()
        self._seen = self._manifest_number()
        try:
            manifest = self._manifest(last_sequence)
            if manifest is None:
                return False
            self._check(manifest)
            paths = {
                name: self._folder / name for name in manifest.files if name != manifest.arrays
            }
            with np.load(self._folder / manifest.arrays, allow_pickle=False) as arrays:
                item_index.restore(ItemIndexState(manifest.sequence, dict(arrays), {}), paths)
            self._written = dict(manifest.files)
        except (Unusable, OSError, ValueError, KeyError, zipfile.BadZipFile) as exc:
            log.warning("snapshot_dropped", reason=str(exc))
            if self._owner:
                self._remove_but(())
            return False
        log.info("snapshot_loaded", sequence=manifest.sequence, items=len(item_index))
        return True

    def _manifest_number(self) -> int:
        """Another one for each manifest, 0 if there is none."""
        try:
            return (self._folder / MANIFEST).stat().st_mtime_ns
        except OSError:
            return 0

    def _manifest(self, last_sequence: int) -> Manifest | None:
        try:
            text = (self._folder / MANIFEST).read_text()
        except FileNotFoundError:
            return None
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError:
            raise Unusable("the manifest is damaged") from None
        if manifest.format != FORMAT:
            raise Unusable("another version of Akin wrote it")
        if (manifest.store_id, manifest.fingerprint) != (
            self._origin.store_id,
            self._origin.fingerprint,
        ):
            raise Unusable("it is of another store or embedding space")
        if manifest.sequence > last_sequence:
            self._seen = 0  # maybe only the number that was compared with is old
            raise Unusable("the store is older than the snapshot")
        return manifest

    def _check(self, manifest: Manifest) -> None:
        for name, file in manifest.files.items():
            if _described(self._folder / name) != file:
                raise Unusable(f"{name} is damaged")

    def _remove_but(self, names: Mapping[str, File] | tuple[()]) -> None:
        kept = {*names, MANIFEST} if names else set()
        for path in self._folder.glob("*"):
            if path.name not in kept:
                path.unlink(missing_ok=True)


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A path to write to; what is there at the end takes the place of `path`, all or nothing."""
    temporary = path.with_name(path.name + ".tmp")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _described(path: Path) -> File:
    with path.open("rb") as file:
        return File(bytes=path.stat().st_size, crc32=_crc32(file))


def _crc32(file: BinaryIO) -> int:
    checksum = 0
    while some := file.read(READ_BYTES):
        checksum = zlib.crc32(some, checksum)
    return checksum
