"""Imports of items by both kinds of clients, into servers that stop to respond."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import akin

# Short, so that the tests are fast, but long enough for a health check on a busy machine.
IDLE_SECONDS = 2.0

ITEMS = [akin.item(str(number), f"thing number {number}") for number in range(300)]

Import = Callable[..., Coroutine[Any, Any, list[Any]]]


async def import_blocking(address: str, items: Iterator[akin.Item], **options: Any) -> list[Any]:
    """Import items by the blocking client; return the responses."""
    with akin.Client(address, **{"idle_timeout_seconds": IDLE_SECONDS, **options}) as client:
        return list(client.import_item_batches(items))


async def import_async(address: str, items: Iterator[akin.Item], **options: Any) -> list[Any]:
    """Import items by the asyncio client; return the responses."""
    options = {"idle_timeout_seconds": IDLE_SECONDS, **options}
    async with akin.AsyncClient(address, **options) as client:
        return [batch async for batch in client.import_item_batches(items)]


def endless_items() -> Iterator[akin.Item]:
    """Yield items without end."""
    while True:
        yield from ITEMS
