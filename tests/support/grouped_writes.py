"""Writes that share a commit for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from service.storage.stores import Stores
from support.clock import HeldClock
from support.stores import delete_expired
from support.tasks import started


async def outcomes_together(
    stores: Stores, clock: HeldClock, writes: Iterable[Coroutine[Any, Any, Any]]
) -> list[Any]:
    """The outcomes of writes that are all queued while a commit runs."""
    clock.hold()
    first = await started(delete_expired(stores, 1))
    await clock.asked()
    queued = [await started(write) for write in writes]
    clock.release()
    await first
    return await asyncio.gather(*queued, return_exceptions=True)
