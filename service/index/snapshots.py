"""Keeps the content of an item index on disk, so that a start need not build it again.

A snapshot is derived data: it belongs to one sequence number of one store, from which on the
follower applies changes as ever. A snapshot that is torn, foreign or newer than the store is
dropped. Graphs never change and are written once; the manifest, renamed into place last, makes a
snapshot valid.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from service.index.item_index import ItemIndex, ItemIndexState

# Must increase when files or arrays change: a snapshot of another format is dropped, and the index
# is built again.
SNAPSHOT_FORMAT = 3

# The file that names all others of a snapshot.
MANIFEST_FILE = "manifest.json"

# Bytes that are read together for a checksum.
CHECKSUM_BLOCK_BYTES = 4 * 1024 * 1024


class _UnusableSnapshotError(Exception):
    """The snapshot must not be used; the message says why."""


class FileChecksum(BaseModel):
    """The size and checksum of a file of a snapshot."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    bytes: int
    crc32: int


class Manifest(BaseModel):
    """The store and sequence number of a snapshot, and its files by name."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    format: int
    store_id: str
    fingerprint: str
    sequence: int
    arrays: str
    files: dict[str, FileChecksum]


@dataclass(frozen=True, slots=True)
class SnapshotOrigin:
    """The store, and the space within it, that a snapshot must come from."""

    store_id: str
    fingerprint: str


class Snapshots:
    """The snapshots of one generation in a folder of its own; there is one at a time.

    Args:
        folder: has the files.
        origin: where they must come from.
        owner: this process saves them, and removes those that cannot be used.
    """

    def __init__(self, folder: Path, origin: SnapshotOrigin, *, owner: bool = True) -> None:
        self._folder = folder
        self._origin = origin
        self._owner = owner
        self._saved_files: dict[str, FileChecksum] = {}
        self._last_seen = 0

    def save(self, state: ItemIndexState) -> None:
        """Write a snapshot and remove the files of the previous one.

        Raises:
            OSError: it cannot be written; the previous snapshot stays.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        arrays = f"arrays-{uuid4().hex}.npz"
        files: dict[str, FileChecksum] = {}
        for name, write in state.files.items():
            if name not in self._saved_files or not (self._folder / name).exists():
                with _replace_file(self._folder / name) as path:
                    write(path)
                self._saved_files[name] = _compute_checksum(self._folder / name)
            files[name] = self._saved_files[name]
        with _replace_file(self._folder / arrays) as path, path.open("wb") as file:
            np.savez(file, allow_pickle=False, **state.arrays)
        files[arrays] = _compute_checksum(self._folder / arrays)
        manifest = Manifest(
            format=SNAPSHOT_FORMAT,
            store_id=self._origin.store_id,
            fingerprint=self._origin.fingerprint,
            sequence=state.sequence,
            arrays=arrays,
            files=files,
        )
        with _replace_file(self._folder / MANIFEST_FILE) as path:
            path.write_text(manifest.model_dump_json())
        self._remove_files_except({*files, MANIFEST_FILE})

    def has_new(self) -> bool:
        """Return whether there is a snapshot that was not there at the last `load`."""
        return self._get_manifest_time() not in {0, self._last_seen}

    def load(self, item_index: ItemIndex, last_sequence: int) -> bool:
        """Fill an empty item index from the snapshot; return False if none can be used.

        Args:
            item_index: must not be used if the result is False.
            last_sequence: that of the store; a snapshot beyond it is from another past.
        """
        log = structlog.get_logger()
        self._last_seen = self._get_manifest_time()
        try:
            manifest = self._read_manifest()
            if manifest is None:
                return False
            self._check_sequence(manifest, last_sequence)
            self._check_files(manifest)
            paths = {
                name: self._folder / name for name in manifest.files if name != manifest.arrays
            }
            with np.load(self._folder / manifest.arrays, allow_pickle=False) as arrays:
                item_index.restore(ItemIndexState(manifest.sequence, dict(arrays), {}), paths)
            self._saved_files = dict(manifest.files)
        except (_UnusableSnapshotError, OSError, ValueError, KeyError, zipfile.BadZipFile) as exc:
            log.warning("snapshot_dropped", reason=str(exc))
            if self._owner:
                self._remove_files_except(frozenset())
            return False
        log.info("snapshot_loaded", sequence=manifest.sequence, items=len(item_index))
        return True

    def _get_manifest_time(self) -> int:
        """Return the manifest's modification time in nanoseconds, 0 if there is none."""
        try:
            return (self._folder / MANIFEST_FILE).stat().st_mtime_ns
        except OSError:
            return 0

    def _read_manifest(self) -> Manifest | None:
        try:
            text = (self._folder / MANIFEST_FILE).read_text()
        except FileNotFoundError:
            return None
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError:
            raise _UnusableSnapshotError("the manifest is damaged") from None
        if manifest.format != SNAPSHOT_FORMAT:
            raise _UnusableSnapshotError("another version of Akin wrote it")
        origin = SnapshotOrigin(manifest.store_id, manifest.fingerprint)
        if origin != self._origin:
            raise _UnusableSnapshotError("it is from another store or embedding space")
        return manifest

    def _check_sequence(self, manifest: Manifest, last_sequence: int) -> None:
        if manifest.sequence > last_sequence:
            self._last_seen = 0  # the caller's number may be outdated: `has_new` stays true
            raise _UnusableSnapshotError("the store is older than the snapshot")

    def _check_files(self, manifest: Manifest) -> None:
        for name, checksum in manifest.files.items():
            if _compute_checksum(self._folder / name) != checksum:
                raise _UnusableSnapshotError(f"{name} is damaged")

    def _remove_files_except(self, names: Collection[str]) -> None:
        for path in self._folder.glob("*"):
            if path.name not in names:
                path.unlink(missing_ok=True)


@contextmanager
def _replace_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; at the end that file replaces `path`, all or nothing."""
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


def _compute_checksum(path: Path) -> FileChecksum:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(CHECKSUM_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
        return FileChecksum(bytes=path.stat().st_size, crc32=checksum)
