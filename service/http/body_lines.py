"""The lines of a body in NDJSON, in groups, without holding the body in memory."""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable
from typing import NamedTuple

# The largest group, except that a longer line is a group by itself: callers see progress, and
# commits are large enough. A message can have six times the bytes of its lines.
GROUP_LINES = 250
GROUP_LINE_BYTES = 1024 * 1024

# A group ends earlier if no further data arrives for this time.
GROUP_WAIT_SECONDS = 0.1


class BodyLine(NamedTuple):
    """A line: its number from 1, and its text, None if it exceeds the limit."""

    number: int
    text: bytes | None


class BodyLines:
    """Reads the lines of a body that are not empty.

    Args:
        read_chunk: returns the next part of the body, None at the end.
        max_bytes: the largest line.
    """

    def __init__(self, read_chunk: Callable[[], Awaitable[bytes | None]], max_bytes: int) -> None:
        self._read_chunk = read_chunk
        self._max_bytes = max_bytes
        self._number = 0
        self._buffer = bytearray()
        self._searched_bytes = 0
        self._is_skipping = False
        self._has_ended = False
        self._next: BodyLine | None = None
        self._pending: asyncio.Task[bytes | None] | None = None

    async def read_group(self) -> list[BodyLine]:
        """Return the next lines, none at the end of the body."""
        group: list[BodyLine] = []
        size = 0
        while len(group) < GROUP_LINES:
            line, self._next = self._next or self._take_line(), None
            if line is not None:
                size += len(line.text or b"")
                if group and size > GROUP_LINE_BYTES:
                    self._next = line
                    break
                group.append(line)
            elif self._has_ended or not await self._fill(GROUP_WAIT_SECONDS if group else None):
                break
        return group

    def close(self) -> None:
        """Read no more."""
        if self._pending is not None:
            self._pending.cancel()

    async def _fill(self, seconds: float | None) -> bool:
        """Receive a part of the body; return false if none arrives in time."""
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait({self._pending}, timeout=seconds)
        if not done or (seconds is not None and self._pending.exception() is not None):
            # The lines of the group come first, and the next read fails.
            return False
        chunk = self._pending.result()
        self._pending = None
        if chunk is None:
            self._has_ended = True
        else:
            self._buffer += chunk
        return True

    async def _receive(self) -> bytes | None:
        return await self._read_chunk()

    def _take_line(self) -> BodyLine | None:
        """Return the next line that is not empty, None if more data is needed."""
        while (end := self._find_end()) is not None:
            text = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._searched_bytes = 0
            self._number += 1
            if self._number == 1:
                # Editors and spreadsheets begin files in UTF-8 with a byte order mark.
                text = text.removeprefix(BOM_UTF8)
            if len(text) > self._max_bytes:
                text = text.lstrip()
            if self._is_skipping or len(text) > self._max_bytes:
                self._is_skipping = False
                return BodyLine(self._number, None)
            if text.strip():
                return BodyLine(self._number, text)
        if not self._is_skipping and len(self._buffer) > self._max_bytes:
            # A line of spaces is empty, however long it is.
            self._buffer = self._buffer.lstrip()
            self._searched_bytes = len(self._buffer)
            self._is_skipping = len(self._buffer) > self._max_bytes
        if self._is_skipping:
            self._buffer.clear()
            self._searched_bytes = 0
        return None

    def _find_end(self) -> int | None:
        """Return the position of the end of the first line, None if it has not arrived."""
        position = self._buffer.find(b"\n", self._searched_bytes)
        if position >= 0:
            return position
        self._searched_bytes = len(self._buffer)
        has_rest = self._has_ended and (self._buffer or self._is_skipping)
        return len(self._buffer) if has_rest else None
