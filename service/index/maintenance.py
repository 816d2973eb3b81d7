"""What is done aside for a catalog's index: graphs, lists and snapshots, by one process.

Others over the same data take the snapshots over: so the work is done once, and those who map the
same file of a graph share its pages.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog

from service import errors
from service.index.follower import ChangeFeed, Indexer
from service.index.item_index import View
from service.index.snapshots import Snapshots

BUILD_NICENESS = 10
PAUSE_SECONDS = 0.2
QUIET_SECONDS = 3.0
RETRY_SECONDS = 30.0

SNAPSHOT_CHANGES = 10_000
SNAPSHOT_SHARE = 0.02
"""So many changes, and so many of the items, are followed anew at a start at most: 0.2 s, or a
fiftieth of the whole."""


class Builder:
    """Builds what is due as the index grows, and writes snapshots. Works while `run` runs.

    Args:
        indexer: whose view to keep.
        snapshots: where to write.
        shared: whether other processes wait for the snapshots; these are then written as soon as
            there is something new to take over.

    `settled_sequence` is the last write that was in the index when nothing was left to be built.
    """

    def __init__(self, indexer: Indexer, snapshots: Snapshots, *, shared: bool) -> None:
        self._indexer = indexer
        self._snapshots = snapshots
        self._shared = shared
        self._saved = indexer.sequence
        self._unsaved_builds = False
        self._retry = 0.0
        self.settled_sequence = -1

    async def run(self) -> None:
        """Works until cancelled."""
        with ThreadPoolExecutor(1, "akin-build", _yield_to_others) as thread:
            while True:
                vectors = self._indexer.figures().graph_vectors
                sequence = self._indexer.sequence
                built = await self._build(thread)
                if not built:
                    self.settled_sequence = sequence
                grown = vectors != self._indexer.figures().graph_vectors
                if self._due(idle=not built, grown=grown):
                    await self._save(thread)
                if not built:
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _build(self, thread: ThreadPoolExecutor) -> bool:
        """Builds what is due; False if nothing is."""
        quiet = self._indexer.quiet_seconds > QUIET_SECONDS
        build = await self._indexer.read(lambda view: view.index.due(quiet=quiet), queries=1)
        if build is None:
            return False
        try:
            await asyncio.get_running_loop().run_in_executor(thread, build.run)
        except asyncio.CancelledError:
            build.stop()  # or the thread would go on
            raise
        await self._indexer.read_aside(lambda view: view.index.adopt(build))
        self._unsaved_builds = True
        return True

    def _due(self, *, idle: bool, grown: bool) -> bool:
        """Whether a snapshot shall be written now."""
        if time.monotonic() < self._retry:
            return False
        if self._shared and self._unsaved_builds and (idle or grown):
            return True
        changes = self._indexer.sequence - self._saved
        enough = changes >= max(SNAPSHOT_CHANGES, SNAPSHOT_SHARE * self._indexer.items)
        return idle and enough and self._indexer.quiet_seconds > QUIET_SECONDS

    async def _save(self, thread: ThreadPoolExecutor) -> None:
        state = await self._indexer.read_aside(lambda view: view.capture())
        log = structlog.get_logger()
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._snapshots.save, state)
        except OSError as exc:
            log.warning("snapshot_failed", reason=str(exc))
            self._retry = time.monotonic() + RETRY_SECONDS
        else:
            log.info("snapshot_saved", sequence=state.sequence)
            self._saved, self._unsaved_builds = state.sequence, False


class Adopter:
    """Takes over the snapshots that another process writes. Works while `run` runs."""

    def __init__(
        self,
        feed: ChangeFeed,
        indexer: Indexer,
        snapshots: Snapshots,
        empty_view: Callable[[], View],
    ) -> None:
        self._feed = feed
        self._indexer = indexer
        self._snapshots = snapshots
        self._empty_view = empty_view

    async def run(self) -> None:
        """Works until cancelled."""
        with ThreadPoolExecutor(1, "akin-adopt", _yield_to_others) as thread:
            loop = asyncio.get_running_loop()
            while True:
                try:
                    if self._snapshots.is_new():
                        view, last = self._empty_view(), await self._feed.refresh()
                        if await loop.run_in_executor(thread, self._snapshots.load, view, last):
                            await self._indexer.adopt(view)
                except errors.AkinError as exc:
                    structlog.get_logger().warning("adopt_failed", reason=exc.reason)
                await asyncio.sleep(PAUSE_SECONDS)


def _yield_to_others() -> None:
    """Has this thread run while no other wants the processor: it can wait, calls cannot."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BUILD_NICENESS)
