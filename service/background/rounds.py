"""Rounds of work on what is pending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from service import errors


async def run_rounds(
    run_round: Callable[[], Awaitable[int]], full_round: int, idle_seconds: float
) -> None:
    """Run rounds until cancelled, with a pause after each that was not full.

    Args:
        run_round: does the work; returns how many it tried.
        full_round: how many a full round tries.
        idle_seconds: the pause.
    """
    while True:
        try:
            tried = await run_round()
        except errors.AkinError as exc:
            structlog.get_logger().warning("pending_round_failed", reason=exc.reason)
            tried = 0
        if tried < full_round:
            await asyncio.sleep(idle_seconds)
