"""The manifest of a snapshot: where the snapshot comes from, and the checksums of its files."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from service.domain.items import Anchor

# Must increase when files or arrays change: a snapshot of another format is dropped, and the index
# is built again. In format 5, deleted rows of a key can be next to its present ones.
SNAPSHOT_FORMAT = 5

# Earlier formats that are read as well.
READABLE_FORMATS = {4, SNAPSHOT_FORMAT}

# Bytes that are read together for a checksum.
CHECKSUM_BLOCK_BYTES = 4 * 1024 * 1024


class UnusableSnapshotError(Exception):
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
    anchor_sequence: int
    anchor_token: int
    arrays: str
    files: dict[str, FileChecksum]

    @property
    def anchor(self) -> Anchor:
        """Its place in the history of the store."""
        return Anchor(self.anchor_sequence, self.anchor_token)


@dataclass(frozen=True, slots=True)
class SnapshotOrigin:
    """The store, and the space within it, that a snapshot must come from."""

    store_id: str
    fingerprint: str


def parse_manifest(text: str, origin: SnapshotOrigin) -> Manifest:
    """Return a manifest from its text.

    Args:
        text: the manifest as JSON.
        origin: where its snapshot must come from.

    Raises:
        UnusableSnapshotError: it is damaged, or from another version of Akin, store or space.
    """
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError:
        raise UnusableSnapshotError("the manifest is damaged") from None
    if manifest.format not in READABLE_FORMATS:
        raise UnusableSnapshotError("another version of Akin wrote it")
    if SnapshotOrigin(manifest.store_id, manifest.fingerprint) != origin:
        raise UnusableSnapshotError("it is from another store or embedding space")
    return manifest


def compute_checksum(path: Path) -> FileChecksum:
    """Return the size and checksum of a file.

    Raises:
        OSError: it cannot be read.
    """
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(CHECKSUM_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
        return FileChecksum(bytes=path.stat().st_size, crc32=checksum)
