"""Runs the work of a duty while it is this process's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from service.storage.duties import Duties, Duty

Start = Callable[[], Coroutine[Any, Any, None]]


async def perform(duties: Duties, duty: Duty, start: Start) -> None:
    """Run work whenever a duty is this process's, until the work ends by itself.

    Args:
        duties: tells which duties are this process's.
        duty: that of the work.
        start: starts the work, also again after another process had the duty.
    """
    lost = await duties.take(duty)
    while not await _run_until(lost.wait(), start()):
        lost = await duties.take(duty)


async def alternate(duties: Duties, duty: Duty, start: Start, start_substitute: Start) -> None:
    """Run one of two kinds of work until cancelled.

    Args:
        duties: tells which duties are this process's.
        duty: that of the first kind.
        start: starts the work for the time in which the duty is this process's.
        start_substitute: starts the work for the other time.
    """
    while True:
        taking = asyncio.create_task(duties.take(duty))
        try:
            await _run_until(asyncio.shield(taking), start_substitute())
            lost = await taking
        finally:
            taking.cancel()
        await _run_until(lost.wait(), start())


async def _run_until(
    end: Coroutine[Any, Any, Any] | asyncio.Future[Any], work: Coroutine[Any, Any, None]
) -> bool:
    """Run work until something ends; return whether the work ended by itself before."""
    running, ending = asyncio.create_task(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait({running, ending}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running  # raises what the work raised
        return running.done()
    finally:
        for task in (running, ending):
            task.cancel()
        await asyncio.wait({running, ending})
