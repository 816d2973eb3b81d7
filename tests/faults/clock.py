"""The wall clock of a server, which a shim moves."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faults import shim

_OFFSET = struct.Struct("=q")
_SECOND_NS = 1_000_000_000


@dataclass
class Clock:
    """The wall clock of a server; `variables` are the environment that makes a server use it."""

    variables: Mapping[str, str]
    path: Path
    offset_seconds: int = 0
    latest_offset_seconds: int = 0

    def read(self) -> float:
        """Return the time in seconds."""
        return time.time() + self.offset_seconds

    def jump(self, seconds: int) -> None:
        """Move the clock, for the running server too."""
        self.offset_seconds += seconds
        self.latest_offset_seconds = max(self.latest_offset_seconds, self.offset_seconds)
        with self.path.open("r+b") as file:
            file.write(_OFFSET.pack(self.offset_seconds * _SECOND_NS))


def make_clock(folder: Path) -> Clock:
    """Return a clock that shows the real time."""
    path = folder / "clock"
    path.write_bytes(_OFFSET.pack(0))
    library = shim.compile_shim("clock", folder)
    return Clock({"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(path)}, path)
