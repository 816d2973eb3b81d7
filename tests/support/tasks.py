"""Calls that a test has under way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def started(call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A call that has run as far as it gets without waiting."""
    task = asyncio.create_task(call)
    await asyncio.wait([task], timeout=0)
    return task


async def left(*tasks: asyncio.Task[Any]) -> None:
    """Cancels calls, as when their callers leave, and waits until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
