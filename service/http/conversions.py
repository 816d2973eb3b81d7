"""Runs conversions from and to JSON, those that take long in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service import errors
from service.http.json_merging import UnexplainedFailure

# A conversion takes up to 2.5 us for each value, for which all calls wait: 1 ms for as many.
INLINE_VALUES = 500

# The largest documents take seconds. With two threads, one of them delays no other conversion for
# all of this time, while the values of two fit into memory.
THREADS = 2

# Texts are quicker than other values, for their size: 16 KiB of them count as 512 values.
_TEXT_BYTES_PER_VALUE = 32

# The smallest values of a message are numbers of 4 bytes, and of JSON take up to 1.5 us.
_MESSAGE_BYTES_PER_VALUE = 8

_SEPARATORS = (b",", b"[", b"{")

Result = TypeVar("Result")


class Conversions:
    """Runs conversions: short ones at once, and others in one of a few threads.

    The values that Python makes of a JSON document take up to a hundred times the memory of its
    text. The number of threads bounds this memory.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "akin-json")

    async def run(self, value_count: int, convert: Callable[[], Result]) -> Result:
        """Return what `convert` returns.

        If it raises UnexplainedFailure, the failure is explained in a thread.

        Args:
            value_count: about how many values are converted.
            convert: the conversion.

        Raises:
            InvalidRequest: the explanation.
        """
        if value_count > INLINE_VALUES:
            return await self.run_in_thread(convert)
        try:
            return _call(convert)
        except UnexplainedFailure as exc:
            failure = exc
        raise await self.run_in_thread(failure.explain)

    async def run_in_thread(self, convert: Callable[[], Result]) -> Result:
        """Return what `convert` returns, which always runs in a thread.

        Raises:
            InvalidRequest: the explanation of an UnexplainedFailure.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _explain_failures, convert)

    def close(self) -> None:
        """Let the threads end after their conversions."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def estimate_document_values(document: bytes, query: bytes = b"") -> int:
    """Return about how many values a JSON document and a query have, in little time."""
    count = sum(map(document.count, _SEPARATORS))
    count += query.count(b"&") + query.count(b",") + query.count(b"%")
    return count + (len(document) + len(query)) // _TEXT_BYTES_PER_VALUE


def estimate_message_values(message: bytes) -> int:
    """Return about how many values the message with these bytes has, in little time."""
    return len(message) // _MESSAGE_BYTES_PER_VALUE


def _explain_failures(convert: Callable[[], Result]) -> Result:
    try:
        return _call(convert)
    except UnexplainedFailure as exc:
        raise exc.explain() from None


def _call(convert: Callable[[], Result]) -> Result:
    """Return what `convert` returns; a defect keeps its stack, and loses its message.

    Messages of libraries quote the texts of callers, and the log has none.
    """
    try:
        return convert()
    except (errors.AkinError, UnexplainedFailure):
        raise
    except Exception as exc:  # noqa: BLE001 (the message of any defect can quote a caller)
        defect = RuntimeError(f"a conversion raised {type(exc).__name__}")
        raise defect.with_traceback(exc.__traceback__) from None
