from __future__ import annotations

import asyncio

import pytest
from support.stores import GIVE_UP_SECONDS
from support.tasks import left, started

from service.background.duty_rounds import alternate, perform
from service.storage.duties import Duty


class HandedDuties:
    """Duties that a test hands out and takes away."""

    def __init__(self) -> None:
        self._handed: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    def hand_out(self) -> asyncio.Event:
        """Give the duty to the process; return the event that takes it away."""
        lost = asyncio.Event()
        self._handed.put_nowait(lost)
        return lost

    async def take(self, duty: Duty) -> asyncio.Event:
        """Wait for the test to hand out the duty."""
        assert duty is Duty.PURGE
        return await self._handed.get()

    async def close(self) -> None:
        """Nothing is left to do."""


class Work:
    """Work that a test follows: it runs until it is ended, or cancelled."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.stopped: asyncio.Queue[None] = asyncio.Queue()
        self.end = asyncio.Event()
        self._error = error

    async def run(self) -> None:
        """Run."""
        self.begun.put_nowait(None)
        if self._error is not None:
            raise self._error
        try:
            await self.end.wait()
        finally:
            self.stopped.put_nowait(None)


async def test_work_runs_while_the_duty_is_ones_own() -> None:
    """Work begins with its duty, is cancelled when another process takes it, and begins again."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        duties, work = HandedDuties(), Work()
        performing = await started(perform(duties, Duty.PURGE, work.run))
        for _ in range(3):
            assert work.begun.empty()
            lost = duties.hand_out()
            await work.begun.get()
            assert work.stopped.empty()
            lost.set()
            await work.stopped.get()
        duties.hand_out()
        await work.begun.get()
        work.end.set()
        await performing


async def test_two_kinds_of_work_alternate() -> None:
    """While the duty is another process's the substitute runs, and never both at once."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        duties, work, substitute = HandedDuties(), Work(), Work()
        alternating = await started(alternate(duties, Duty.PURGE, work.run, substitute.run))
        for _ in range(3):
            await substitute.begun.get()
            assert work.begun.empty()
            lost = duties.hand_out()
            await work.begun.get()
            substitute.stopped.get_nowait()
            lost.set()
            await work.stopped.get()
        await substitute.begun.get()
        await left(alternating)
        substitute.stopped.get_nowait()


@pytest.mark.parametrize("fails_with_duty", [True, False])
async def test_a_failure_of_the_work_is_raised(*, fails_with_duty: bool) -> None:
    """Work that fails ends the task that performs it, so that the server notices."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        duties, good, bad = HandedDuties(), Work(), Work(ValueError("broken"))
        if fails_with_duty:
            duties.hand_out()
        starts = (bad.run, good.run) if fails_with_duty else (good.run, bad.run)
        with pytest.raises(ValueError, match="broken"):
            await alternate(duties, Duty.PURGE, *starts)
        duties.hand_out()
        with pytest.raises(ValueError, match="broken"):
            await perform(duties, Duty.PURGE, bad.run)
