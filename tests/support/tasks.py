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


async def left(task: asyncio.Task[T]) -> None:
    """Cancels a call, as when its caller leaves, and waits until it has ended."""
    task.cancel()
    await asyncio.wait([task])
