"""Imports: requests are prepared ahead while earlier ones are stored, and answered in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from service import errors

# Requests of one import that are prepared while an earlier one is stored.
PREPARED_AHEAD = 2

Request = TypeVar("Request")
Prepared = TypeVar("Prepared")
Response = TypeVar("Response")


async def run_import(
    requests: AsyncIterator[Request],
    prepare: Callable[[Request], Awaitable[Prepared]],
    store: Callable[[Prepared], Awaitable[Response]],
) -> AsyncIterator[Response]:
    """Yield the response to each request, in order.

    Args:
        requests: the stream of requests.
        prepare: validates and embeds a request; several run at the same time.
        store: stores a prepared request; runs one at a time, in the order of the requests.

    Raises:
        AkinError: the first failure of `requests`, `prepare` or `store`. Earlier requests are
            stored and answered before.
    """
    failure: errors.AkinError | None = None
    reading: asyncio.Task[Request | None] | None = asyncio.create_task(_read_next(requests))
    preparing: deque[asyncio.Task[Prepared]] = deque()
    try:
        while reading is not None or preparing:
            waiting: set[asyncio.Task[Any]] = set(list(preparing)[:1])
            if reading is not None and len(preparing) <= PREPARED_AHEAD:
                waiting.add(reading)
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if reading is not None and reading in waiting and reading.done():
                try:
                    request = reading.result()
                except errors.AkinError as exc:
                    request, failure = None, exc
                reading = None
                if request is not None:
                    preparing.append(asyncio.ensure_future(prepare(request)))
                    reading = asyncio.create_task(_read_next(requests))
                del request  # no message stays in memory until the next one
            else:
                yield await store(await preparing.popleft())
        if failure is not None:
            raise failure
    finally:
        tasks = [task for task in (reading, *preparing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_next(requests: AsyncIterator[Request]) -> Request | None:
    """Return the next request; None at the end of the stream."""
    return await anext(requests, None)
