"""Runs conversions from and to JSON, large ones in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

# A conversion of as many bytes takes about 2 ms, for which all calls wait.
INLINE_BYTES = 16 * 1024

Result = TypeVar("Result")


class Conversions:
    """Runs large conversions one at a time, in a thread.

    The values that Python makes of a JSON document take up to thirty times the memory of its text.
    One at a time bounds this memory, and leaves the other processor to the calls.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "akin-json")

    async def run(self, size: int, convert: Callable[[], Result]) -> Result:
        """Return what `convert` returns.

        Args:
            size: the size of the document or message, in bytes.
            convert: the conversion.
        """
        if size <= INLINE_BYTES:
            return convert()
        return await asyncio.get_running_loop().run_in_executor(self._thread, convert)

    def close(self) -> None:
        """Let the thread end after its conversion."""
        self._thread.shutdown(wait=False, cancel_futures=True)
