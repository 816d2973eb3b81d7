"""Rounds of work on what is pending."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog

from service import errors


async def run_rounds(
    run_round: Callable[[], Awaitable[int]],
    full_round: int,
    wait_until_due: Callable[[], Awaitable[None]],
) -> None:
    """Run rounds whenever something is due, until cancelled; full rounds without a pause.

    Args:
        run_round: does the work; returns how many it tried.
        full_round: how many a full round tries.
        wait_until_due: waits until something is due, for a time at least.
    """
    while True:
        await wait_until_due()
        try:
            while await run_round() >= full_round:
                pass
        except errors.AkinError as exc:
            structlog.get_logger().warning("pending_round_failed", reason=exc.reason)
