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
from service.index.follower import ChangeFeed, Follower
from service.index.item_index import ItemIndex
from service.index.snapshots import Snapshots

BUILD_NICENESS = 10
PAUSE_SECONDS = 0.2
QUIET_SECONDS = 3.0
RETRY_SECONDS = 30.0

SNAPSHOT_CHANGES = 10_000
SNAPSHOT_SHARE = 0.02
"""So many changes, and so many of the items, are followed anew at a start at most: 0.2 s, or a
fiftieth of the whole."""


class IndexBuilder:
    """Builds what is due as the index grows, and writes snapshots. Works while `run` runs.

    Args:
        follower: whose item index to keep.
        snapshots: where to write.
        shared: whether other processes wait for the snapshots; these are then written as soon as
            there is something new to take over.

    `settled_sequence` is the last write that was in the index when nothing was left to be built.
    """

    def __init__(self, follower: Follower, snapshots: Snapshots, *, shared: bool) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._shared = shared
        self._saved = follower.sequence
        self._unsaved_builds = False
        self._retry = 0.0
        self.settled_sequence = -1

    async def run(self) -> None:
        """Works until cancelled."""
        with ThreadPoolExecutor(1, "akin-build", _yield_to_others) as thread:
            while True:
                vectors = self._follower.stats().graph_vectors
                sequence = self._follower.sequence
                built = await self._build(thread)
                if not built:
                    self.settled_sequence = sequence
                grown = vectors != self._follower.stats().graph_vectors
                if self._due(idle=not built, grown=grown):
                    await self._save(thread)
                if not built:
                    await asyncio.sleep(PAUSE_SECONDS)

    async def _build(self, thread: ThreadPoolExecutor) -> bool:
        """Builds what is due; False if nothing is."""
        quiet = self._follower.quiet_seconds > QUIET_SECONDS
        build = await self._follower.read(
            lambda item_index: item_index.index.due(quiet=quiet), queries=1
        )
        if build is None:
            return False
        try:
            await asyncio.get_running_loop().run_in_executor(thread, build.run)
        except asyncio.CancelledError:
            build.stop()  # or the thread would go on
            raise
        await self._follower.read_aside(lambda item_index: item_index.index.adopt(build))
        self._unsaved_builds = True
        return True

    def _due(self, *, idle: bool, grown: bool) -> bool:
        """Whether a snapshot shall be written now."""
        if time.monotonic() < self._retry:
            return False
        if self._shared and self._unsaved_builds and (idle or grown):
            return True
        changes = self._follower.sequence - self._saved
        enough = changes >= max(SNAPSHOT_CHANGES, SNAPSHOT_SHARE * self._follower.items)
        return idle and enough and self._follower.quiet_seconds > QUIET_SECONDS

    async def _save(self, thread: ThreadPoolExecutor) -> None:
        state = await self._follower.read_aside(lambda item_index: item_index.capture())
        log = structlog.get_logger()
        try:
            await asyncio.get_running_loop().run_in_executor(thread, self._snapshots.save, state)
        except OSError as exc:
            log.warning("snapshot_failed", reason=str(exc))
            self._retry = time.monotonic() + RETRY_SECONDS
        else:
            log.info("snapshot_saved", sequence=state.sequence)
            self._saved, self._unsaved_builds = state.sequence, False


class SnapshotAdopter:
    """Takes over the snapshots that another process writes. Works while `run` runs."""

    def __init__(
        self,
        feed: ChangeFeed,
        follower: Follower,
        snapshots: Snapshots,
        empty_item_index: Callable[[], ItemIndex],
    ) -> None:
        self._feed = feed
        self._follower = follower
        self._snapshots = snapshots
        self._empty_item_index = empty_item_index

    async def run(self) -> None:
        """Works until cancelled."""
        with ThreadPoolExecutor(1, "akin-adopt", _yield_to_others) as thread:
            loop = asyncio.get_running_loop()
            while True:
                try:
                    if self._snapshots.is_new():
                        item_index, last = self._empty_item_index(), await self._feed.refresh()
                        if await loop.run_in_executor(
                            thread, self._snapshots.load, item_index, last
                        ):
                            await self._follower.adopt(item_index)
                except errors.AkinError as exc:
                    structlog.get_logger().warning("adopt_failed", reason=exc.reason)
                await asyncio.sleep(PAUSE_SECONDS)


def _yield_to_others() -> None:
    """Has this thread run while no other wants the processor: it can wait, calls cannot."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BUILD_NICENESS)
