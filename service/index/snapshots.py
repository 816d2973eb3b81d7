"""Keeps the content of an item index on disk, so that a start need not build it again.

A snapshot is derived data: it belongs to one sequence number of one store, from which on the
follower applies changes as ever. A snapshot that is torn, foreign or newer than the store is
dropped, and so is one with writes that the store has lost. Graphs never change and are written
once; the manifest, renamed into place last, makes a snapshot valid.
"""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import numpy as np
import structlog

from service.domain.snapshot_files import MANIFEST_FILE, is_snapshot_file
from service.files import create_folder, replace_file, require_room
from service.index.item_index import ItemIndex, ItemIndexState
from service.index.snapshot_manifest import (
    SNAPSHOT_FORMAT,
    FileChecksum,
    Manifest,
    SnapshotOrigin,
    UnusableSnapshotError,
    compute_checksum,
    parse_manifest,
)
from service.index.vector_index import StateFile

# The bytes around an array in a file, at most.
ARRAY_HEADER_BYTES = 512


# What a snapshot raises that is torn, changed or foreign, whatever the disk does.
_DAMAGES = (
    UnusableSnapshotError,
    FileNotFoundError,
    EOFError,
    KeyError,
    ValueError,
    zipfile.BadZipFile,
)


class Snapshots:
    """The snapshots of one generation in a folder of its own; there is one at a time.

    Args:
        folder: has the files.
        origin: where they must come from.
        owner: this process saves them, and removes those that cannot be used.

    `saved_sequence` is the sequence number of the snapshot, 0 if there is none. `needs_renewal`
    tells that the store does not confirm the snapshot, so that it must be saved again. The store
    forgets the places of old commits in its history.
    """

    def __init__(self, folder: Path, origin: SnapshotOrigin, *, owner: bool = True) -> None:
        self._folder = folder
        self._origin = origin
        self._owner = owner
        self._saved_files: dict[str, FileChecksum] = {}
        self._last_seen = 0
        self.saved_sequence = 0
        self.needs_renewal = False

    def save(self, state: ItemIndexState, reserve_bytes: int = 0) -> None:
        """Write a snapshot and remove the files of the previous one.

        Args:
            state: what to write.
            reserve_bytes: what must stay free on the disk for others.

        Raises:
            NoRoomError: the disk has no room for it; nothing was written.
            OSError: it cannot be written.

        After any error the previous snapshot stays, and nothing is left of this one.
        """
        create_folder(self._folder, private_levels=2)
        new_files = {
            name: file
            for name, file in state.files.items()
            if name not in self._saved_files or not (self._folder / name).exists()
        }
        size_bytes = sum(file.size_bytes for file in new_files.values())
        size_bytes += sum(array.nbytes + ARRAY_HEADER_BYTES for array in state.arrays.values())
        require_room(self._folder, size_bytes, reserve_bytes)
        arrays = f"arrays-{uuid4().hex}.npz"
        try:
            checksums = self._write_files(state, new_files, arrays)
        except BaseException:
            self._remove_unnamed_files()
            raise
        self._saved_files, self.saved_sequence = checksums, state.sequence
        self.needs_renewal = False
        self._remove_files_except({*checksums, MANIFEST_FILE})

    def _write_files(
        self, state: ItemIndexState, new_files: Mapping[str, StateFile], arrays: str
    ) -> dict[str, FileChecksum]:
        """Write new files, the arrays and then the manifest; return all files of the snapshot."""
        checksums = {}
        for name in state.files:
            if name in new_files:
                with replace_file(self._folder / name) as path:
                    new_files[name].write(path)
                checksums[name] = compute_checksum(self._folder / name)
            else:
                checksums[name] = self._saved_files[name]
        with replace_file(self._folder / arrays) as path, path.open("wb") as file:
            np.savez(file, allow_pickle=False, **state.arrays)
        checksums[arrays] = compute_checksum(self._folder / arrays)
        manifest = Manifest(
            format=SNAPSHOT_FORMAT,
            store_id=self._origin.store_id,
            fingerprint=self._origin.fingerprint,
            sequence=state.sequence,
            anchor_sequence=state.anchor.sequence,
            anchor_token=state.anchor.token,
            arrays=arrays,
            files=checksums,
        )
        with replace_file(self._folder / MANIFEST_FILE) as path:
            path.write_text(manifest.model_dump_json())
        return checksums

    def has_new(self) -> bool:
        """Return whether there is a snapshot that was not there at the last `load`."""
        return self._get_manifest_time() not in {0, self._last_seen}

    def load(self, item_index: ItemIndex, last_sequence: int) -> bool:
        """Fill an empty item index from the snapshot; return False if none can be used.

        Args:
            item_index: must not be used if the result is False.
            last_sequence: that of the store; a snapshot beyond it is from another past.
        """
        self._last_seen = self._get_manifest_time()
        try:
            manifest = self._read_manifest()
            if manifest is not None:
                self._check_sequence(manifest, last_sequence)
                self._check_files(manifest)
                self._fill(item_index, manifest)
        except _DAMAGES as exc:
            self.drop(str(exc))
            return False
        except OSError as exc:
            # The disk or a limit of the process, and not the snapshot, is the cause.
            structlog.get_logger().warning("snapshot_load_failed", reason=str(exc))
            return False
        if self._owner:
            self._remove_unnamed_files()  # what a killed process has left
        if manifest is None:
            return False
        self._saved_files, self.saved_sequence = dict(manifest.files), manifest.sequence
        structlog.get_logger().info(
            "snapshot_loaded", sequence=manifest.sequence, items=len(item_index)
        )
        return True

    def _fill(self, item_index: ItemIndex, manifest: Manifest) -> None:
        """Fill an empty item index from checked files."""
        paths = {name: self._folder / name for name in manifest.files if name != manifest.arrays}
        with np.load(self._folder / manifest.arrays, allow_pickle=False) as arrays:
            state = ItemIndexState(manifest.sequence, dict(arrays), {}, manifest.anchor)
            item_index.restore(state, paths)

    def drop(self, reason: str) -> None:
        """Remove a snapshot that cannot be used; only its owner does."""
        log = structlog.get_logger()
        self._saved_files, self.saved_sequence = {}, 0
        if self._owner:
            try:
                (self._folder / MANIFEST_FILE).unlink(missing_ok=True)
            except OSError as exc:
                log.warning("snapshot_load_failed", reason=f"{reason}; {exc}")
                return
            self._remove_files_except(frozenset())
            log.warning("snapshot_dropped", reason=reason)
        elif self._last_seen == self._get_manifest_time():
            log.warning("snapshot_load_failed", reason=reason)
        # Otherwise its owner has just replaced it, or it is of a later moment: it is still new.

    def _get_manifest_time(self) -> int:
        """Return the manifest's modification time in nanoseconds, 0 if there is none."""
        try:
            return (self._folder / MANIFEST_FILE).stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return self._folder

    def read_manifest(self) -> tuple[str, Manifest] | None:
        """Return the manifest, as text and parsed, None if there is none that can be used.

        Raises:
            OSError: it cannot be read.
        """
        try:
            text = (self._folder / MANIFEST_FILE).read_text()
            return text, self.parse(text)
        except (FileNotFoundError, ValueError):
            return None

    def parse(self, text: str) -> Manifest:
        """Return a manifest from its text.

        Raises:
            ValueError: it is damaged, or from another version of Akin, store or embedding space.
        """
        try:
            return parse_manifest(text, self._origin)
        except UnusableSnapshotError as exc:
            raise ValueError(str(exc)) from None

    def install(self, manifest: str) -> None:
        """Make a snapshot valid whose files another process has saved, and are in the folder.

        Raises:
            OSError: the manifest cannot be written.
        """
        with replace_file(self._folder / MANIFEST_FILE) as path:
            path.write_text(manifest)

    def _read_manifest(self) -> Manifest | None:
        try:
            return parse_manifest((self._folder / MANIFEST_FILE).read_text(), self._origin)
        except FileNotFoundError:
            return None

    def _check_sequence(self, manifest: Manifest, last_sequence: int) -> None:
        if manifest.sequence > last_sequence:
            self._last_seen = 0  # the caller's number may be outdated: `has_new` stays true
            raise UnusableSnapshotError("the store is older than the snapshot")

    def _check_files(self, manifest: Manifest) -> None:
        for name, checksum in manifest.files.items():
            if compute_checksum(self._folder / name) != checksum:
                raise UnusableSnapshotError(f"{name} is damaged")

    def _remove_unnamed_files(self) -> None:
        """Remove the files of snapshots that no usable manifest names."""
        try:
            manifest = self._read_manifest()
        except (UnusableSnapshotError, ValueError):
            manifest = None
        except OSError:
            return  # it may name them
        self._remove_files_except({*manifest.files, MANIFEST_FILE} if manifest else ())

    def _remove_files_except(self, names: Collection[str]) -> None:
        """Remove the other files of snapshots, as far as possible; the next start does the rest."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if is_snapshot_file(path.name) and path.name not in names:
                    path.unlink(missing_ok=True)
