"""Reads the journal that the shim writes (shim/journal/records.h)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_HEADER = struct.Struct("<IIQQQ")


class Kind(StrEnum):
    """The kinds of records."""

    OPEN = "O"
    WRITE = "W"
    TRUNCATE = "T"
    MAP = "S"
    SYNC_BEGIN = "B"
    SYNC_END = "E"
    RENAME = "R"
    LINK = "L"
    UNLINK = "U"
    MAKE_FOLDER = "M"
    UNSUPPORTED = "X"


@dataclass(frozen=True, slots=True)
class Record:
    """One operation; `end` is the position in the journal behind it, in bytes.

    `value` is the offset of a write, the size of a truncation, or 1 for an open that truncates.
    `payload` has the data of a write, or paths that a null byte separates.
    """

    end: int
    kind: Kind
    inode: int
    value: int
    task: int
    payload: bytes

    @property
    def paths(self) -> list[Path]:
        """The paths in the payload."""
        return [Path(part.decode()) for part in self.payload.split(b"\0")]


def read_journal(path: Path) -> Iterator[Record]:
    """Yield the records of a journal, oldest first."""
    end = 0
    with path.open("rb") as file:
        while header := file.read(_HEADER.size):
            payload_bytes, kind, inode, value, task = _HEADER.unpack(header)
            payload = file.read(payload_bytes)
            end += len(header) + len(payload)
            yield Record(end, Kind(chr(kind)), inode, value, task, payload)
