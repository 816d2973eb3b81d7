"""Background maintenance of a generation's index: builds and snapshots, by one process.

Other processes over the same data load its snapshots: so the work is done once, and processes that
map the same graph file share its pages.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import NamedTuple

import structlog

from service import errors
from service.files import RESERVED_BYTES, NoRoomError
from service.index.follower import Follower
from service.index.restoring import Restorer
from service.index.snapshots import Snapshots
from service.index.threads import IndexThreads
from service.index.vector_index import Build

# Pause between two looks for something to do.
MAINTENANCE_PAUSE_SECONDS = 0.2

# The longest further pause between two looks for a snapshot of another process, while the catalog
# does not change.
MAX_LOAD_PAUSE_SECONDS = 5.0

# Without writes for this long there is time to build more, and to write snapshots.
QUIET_SECONDS = 3.0

# Pauses after a snapshot could not be written, as on a full disk: the first, and the longest after
# several failures in a row.
SNAPSHOT_RETRY_SECONDS = 30.0
MAX_SNAPSHOT_RETRY_SECONDS = 600.0

# The changes, or the vectors that were built in, since the last snapshot from which on another one
# is due. A start has to do no more again: changes for 0.2 s, and builds for 2 s beside it.
MIN_SNAPSHOT_CHANGES = 10_000

# The same as a share of the items, for large catalogs: a start takes a fiftieth longer at most.
MIN_SNAPSHOT_CHANGE_SHARE = 0.02


class IndexPosition(NamedTuple):
    """How far an index of a catalog has followed its changes.

    `applied` is the sequence number that the index has reached, and `saved` that of its snapshot, 0
    if there is none.
    """

    catalog_id: int
    applied: int
    saved: int


class IndexBuilder:
    """Builds graphs and neighbor lists as an index grows, and saves snapshots.

    Args:
        follower: has the item index.
        snapshots: where to save.
        threads: where builds run, and snapshots are written.
        shared: other processes wait for the snapshots; they are then saved as soon as there is
            a new graph to load.
    """

    def __init__(
        self, follower: Follower, snapshots: Snapshots, threads: IndexThreads, *, shared: bool
    ) -> None:
        self._follower = follower
        self._snapshots = snapshots
        self._threads = threads
        self._shared = shared
        self._saved_changes = follower.change_count
        self._unsaved_rows = 0
        self._unfinished_build: Build | None = None
        self._retry_time = 0.0
        self._retry_seconds = SNAPSHOT_RETRY_SECONDS
        self._last_failure = ""
        self._settled_sequence = self._settled_version = -1

    @property
    def settled_sequence(self) -> int:
        """The last write that is in the index while nothing is left to build."""
        if self._settled_version == self._follower.version:
            return self._follower.sequence  # later writes have not changed the catalog
        return self._settled_sequence

    @property
    def position(self) -> IndexPosition:
        """How far the index and its snapshot have followed the catalog."""
        return IndexPosition(
            self._follower.catalog_id, self._follower.sequence, self._snapshots.saved_sequence
        )

    async def run(self) -> None:
        """Build and save until cancelled, also after another process did so for a time."""
        if self._unfinished_build is not None:
            await self._follower.cancel_build(self._unfinished_build)
            self._unfinished_build = None
        while True:
            graph_vectors = self._follower.collect_stats().graph_vectors
            sequence, version = self._follower.sequence, self._follower.version
            is_quiet = self._follower.quiet_seconds > QUIET_SECONDS
            has_built = await self._build()
            if not has_built:
                self._settled_sequence, self._settled_version = sequence, version
            has_grown = graph_vectors != self._follower.collect_stats().graph_vectors
            if self._needs_snapshot(is_settled=not has_built, has_grown=has_grown):
                await self._save_snapshot()
            if not has_built:
                await asyncio.sleep(MAINTENANCE_PAUSE_SECONDS)
                if is_quiet and not self._snapshots.needs_renewal:
                    await self._wait_for_work(version)

    async def _wait_for_work(self, version: int) -> None:
        """Wait for a change of the index, or until a snapshot that failed is due again."""
        seconds = self._retry_time - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if seconds > 0 else None):
                await self._follower.wait_for_change(version)

    async def _build(self) -> bool:
        """Run the next build; return False if none is needed."""
        build = await self._follower.start_build(quiet=self._follower.quiet_seconds > QUIET_SECONDS)
        if build is None:
            return False
        self._unfinished_build = build
        await self._threads.build(build.run, stop=build.stop)
        await self._follower.finish_build(build)
        self._unfinished_build = None
        self._unsaved_rows += build.rows
        return True

    def _needs_snapshot(self, *, is_settled: bool, has_grown: bool) -> bool:
        """Return whether to save a snapshot now.

        Args:
            is_settled: nothing is left to build.
            has_grown: the last build changed the number of vectors in graphs.
        """
        if time.monotonic() < self._retry_time:
            return False
        if self._shared and self._unsaved_rows and (is_settled or has_grown):
            return True
        if self._snapshots.needs_renewal and is_settled:
            return self._follower.sequence > 0  # otherwise the store does not confirm the index
        # Sequence numbers would count the writes of other catalogs, too.
        changes = self._follower.change_count - self._saved_changes
        item_share = MIN_SNAPSHOT_CHANGE_SHARE * self._follower.item_count
        unsaved = max(changes, self._unsaved_rows)
        has_enough_changes = unsaved >= max(MIN_SNAPSHOT_CHANGES, item_share)
        is_quiet = self._follower.quiet_seconds > QUIET_SECONDS
        return is_settled and has_enough_changes and is_quiet

    async def _save_snapshot(self) -> None:
        # Changes that are applied while the content is captured are counted again: no harm.
        change_count = self._follower.change_count
        state = await self._follower.capture()
        try:
            await self._threads.build(self._snapshots.save, state, RESERVED_BYTES)
        except NoRoomError as exc:
            self._retry_later("snapshot_skipped", exc.reason)
        except OSError as exc:
            self._retry_later("snapshot_failed", str(exc))
        else:
            structlog.get_logger().info("snapshot_saved", sequence=state.sequence)
            self._saved_changes = change_count
            self._unsaved_rows = 0
            self._retry_seconds, self._last_failure = SNAPSHOT_RETRY_SECONDS, ""

    def _retry_later(self, event: str, reason: str) -> None:
        """Wait longer after each failure in a row, and log the first of its kind."""
        if event != self._last_failure:
            structlog.get_logger().warning(event, reason=reason)
        self._last_failure = event
        self._retry_time = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, MAX_SNAPSHOT_RETRY_SECONDS)


class SnapshotLoader:
    """Loads the snapshots that another process saves.

    Args:
        follower: has the item index to replace.
        restorer: opens item indexes from snapshots.
    """

    def __init__(self, follower: Follower, restorer: Restorer) -> None:
        self._follower = follower
        self._restorer = restorer

    async def run(self) -> None:
        """Load new snapshots until cancelled."""
        pause = 0.0
        while True:
            version = self._follower.version
            try:
                if await self._restorer.has_new():
                    await self._load_snapshot()
            except errors.AkinError as exc:
                structlog.get_logger().warning("snapshot_load_failed", reason=exc.reason)
            await asyncio.sleep(MAINTENANCE_PAUSE_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._follower.wait_for_change(version)
            has_changed = self._follower.version != version
            pause = (
                0.0
                if has_changed
                else min(2 * pause + MAINTENANCE_PAUSE_SECONDS, MAX_LOAD_PAUSE_SECONDS)
            )

    async def _load_snapshot(self) -> None:
        item_index = await self._restorer.restore()
        if item_index is not None:
            await self._follower.replace_index(item_index)
