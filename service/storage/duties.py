"""Duties: background work that one process at a time does for all processes over the same data."""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Protocol


class Duty(IntEnum):
    """A kind of background work. The numbers identify it among all processes.

    CLEANING: deletes expired items, old counts and the rows of dropped generations.
    PURGE: removes tombstones and vectors that nothing needs.
    EMBEDDING: embeds pending texts, and fills the next generation of a re-embedding.
    INDEXING: builds graphs, saves snapshots, and switches to a generation that is ready.
    TRAINING: trains the models of behavior.
    """

    CLEANING = 1
    PURGE = 2
    EMBEDDING = 3
    INDEXING = 4
    TRAINING = 5


class Duties(Protocol):
    """Tells a process which duties are its own."""

    async def take(self, duty: Duty) -> asyncio.Event:
        """Wait until this process has a duty; return an event that is set when it loses it."""

    async def close(self) -> None:
        """Leave all duties to other processes."""


class FixedDuties:
    """The duties of a process of one machine: all of them, or none.

    Args:
        leads: this process does the background work of all.
    """

    def __init__(self, *, leads: bool) -> None:
        self._leads = leads

    async def take(self, duty: Duty) -> asyncio.Event:  # noqa: ARG002  (all duties are alike)
        """Wait until a duty is this process's: see Duties."""
        lost = asyncio.Event()
        if not self._leads:
            await lost.wait()  # which never ends
        return lost

    async def close(self) -> None:
        """Leave all duties to other processes."""
