"""Applies the store's changes to the item index, at start-up, live and after a crash alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from service import errors
from service.domain.generations import Generation
from service.domain.items import Anchor, ChangedCatalogs
from service.index.change_dispatch import ChangeDispatch
from service.index.change_feed import ChangeFeed
from service.index.change_reader import CHANGES_PER_ROUND, ChangeReader, get_round_size
from service.index.index_access import IndexAccess
from service.index.item_index import ItemIndex, ItemIndexState
from service.index.memory_reads import MemoryReads
from service.index.threads import IndexThreads
from service.index.vector_index import Build
from service.index.write_waits import WriteWaits

# Applying one change takes 3 microseconds, as long as 30,000 multiply-adds.
CHANGE_COST = 30_000

# Adding one term takes 0.3 microseconds.
TERM_COST = 3_000

# Pause after the store could not be read.
FOLLOW_RETRY_SECONDS = 1.0


class Follower(MemoryReads):
    """Keeps one generation's item index up to date while `run` runs.

    Args:
        feed: where the changes come from.
        generation: the generation whose vectors to follow.
        item_index: empty, or from a snapshot.
        threads: where expensive work runs.
        open_item_index: returns another item index: from a snapshot that the store confirms, or
            empty.
        dispatch: wakes it after commits; None to be woken by the feed after each one.

    `change_count` is the number of changes that it has applied. `version` rises before changes are
    applied and before another item index is in use.

    After a failover the store may have lost writes that are in the item index. Such an index still
    answers reads, but reflects no write, until another one has all writes of the store.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        generation: Generation,
        item_index: ItemIndex,
        threads: IndexThreads,
        open_item_index: Callable[[], Awaitable[ItemIndex]],
        dispatch: ChangeDispatch | None = None,
    ) -> None:
        self._feed = feed
        self._generation = generation
        super().__init__(IndexAccess(item_index, threads))
        self._changes = ChangeReader(feed, generation, self._access)
        self._waits = WriteWaits()
        self._open_item_index = open_item_index
        self._replacement: ItemIndex | None = None
        self._building: ItemIndex | None = None
        # The doubts when the store last confirmed the item index. It always confirms an empty one.
        self._confirmed_doubts = feed.doubts if item_index.sequence == 0 else -1
        self._has_news = asyncio.Event()
        self._following = asyncio.Lock()
        self._last_change = time.monotonic()
        self.change_count = 0
        self.version = 0
        self._has_changed = asyncio.Event()
        self._dispatch = dispatch
        if dispatch is None:
            feed.listen(self._note_commit)
        else:
            dispatch.add(self)

    async def run(self) -> None:
        """Follow until cancelled; every pending `wait_for` then raises NotReady."""
        log = structlog.get_logger()
        try:
            while True:
                self._has_news.clear()
                try:
                    async with self._following:
                        may_have_more = await self._apply_next_changes()
                    if not may_have_more:
                        await self._has_news.wait()
                except errors.AkinError as exc:
                    log.exception("index_follow_failed", reason=exc.reason)
                    await asyncio.sleep(FOLLOW_RETRY_SECONDS)
        finally:
            if self._dispatch is None:
                self._feed.unlisten(self._note_commit)
            else:
                self._dispatch.remove(self)
            self._waits.close()
            self._access.close()

    @property
    def catalog_id(self) -> int:
        """The catalog that is followed."""
        return self._generation.catalog_id

    @property
    def sequence(self) -> int:
        """The sequence number up to which the item index has applied writes.

        It is 0 while the store may have lost them.
        """
        has_doubts = self._confirmed_doubts < self._feed.doubts
        return 0 if has_doubts else self._access.item_index.sequence

    @property
    def quiet_seconds(self) -> float:
        """The time since the last change."""
        return time.monotonic() - self._last_change

    async def wait_for(self, sequence: int) -> None:
        """Wait until the item index has applied the write `sequence`.

        Raises:
            NotReady: the service shuts down first.
            StoreUnavailable: the store has lost the write.
        """
        if self.sequence < sequence:
            await self._waits.wait(sequence)

    async def wait_for_change(self, version: int) -> None:
        """Wait until the version is another one than `version`.

        The version rises before its changes are applied. If it was `version` at the call, they are
        applied when this returns; if it was another one already, they may not be.
        """
        while self.version == version:
            await self._has_changed.wait()

    async def wait_for_all(self) -> None:
        """Wait until the item index has applied every write that the process knows of.

        Raises:
            NotReady: the service shuts down first.
        """
        while True:
            try:
                return await self.wait_for(self._feed.last_sequence)
            except errors.StoreUnavailable:
                continue  # the last write is another one now

    async def start_build(self, *, quiet: bool) -> Build | None:
        """Start the build that searches need most, None if they need none.

        Args:
            quiet: nothing is being written, so that there is time to build more.
        """

        def work(item_index: ItemIndex) -> Build | None:
            build = item_index.maintenance.start_build(quiet=quiet)
            self._building = item_index if build is not None else None
            return build

        return await self._access.run(work, self.search_cost)

    async def finish_build(self, build: Build) -> None:
        """Put the result of a build that has run into use, unless the item index was replaced."""
        await self._end_build(lambda item_index: item_index.maintenance.finish_build(build))

    async def cancel_build(self, build: Build) -> None:
        """Forget a build that will not be finished."""
        await self._end_build(lambda item_index: item_index.maintenance.cancel_build(build))

    async def _end_build(self, end: Callable[[ItemIndex], None]) -> None:
        """End a build in the item index that has begun it, unless that was replaced."""

        def work(item_index: ItemIndex) -> None:
            if item_index is self._building:
                end(item_index)
            self._building = None

        await self._access.run_in_thread(work)

    async def capture(self) -> ItemIndexState:
        """Return the content of the item index for a snapshot."""
        return await self._access.run_in_thread(ItemIndex.capture)

    async def replace_index(self, item_index: ItemIndex) -> bool:
        """Replace the item index by a restored one, once that has applied as many writes.

        Returns:
            Whether the store has confirmed it.
        """
        while self._access.item_index.sequence - item_index.sequence > CHANGES_PER_ROUND:
            if not (await self._changes.catch_up(item_index)).is_confirmed:
                return False
        async with self._following:
            doubts, is_current = self._feed.doubts, False
            while not is_current:
                if not (await self._changes.catch_up(item_index)).is_confirmed:
                    return False
                is_current = item_index.sequence >= self._access.item_index.sequence
            self._put_into_use(item_index, doubts)
        return True

    def _put_into_use(self, item_index: ItemIndex, doubts: int) -> None:
        """Let reads use an item index, which the store has confirmed since a number of doubts."""
        self.version += 1
        self._access.item_index, self._replacement = item_index, None
        self._confirmed_doubts = doubts
        self._show_change()

    async def _apply_next_changes(self) -> bool:
        """Apply a round of changes and resume the calls that wait for them.

        Return whether there may be more changes.
        """
        if self._replacement is not None:
            return await self._fill_replacement(self._replacement)
        doubts = self._feed.doubts
        batch = await self._changes.read(self._access.item_index)
        if not batch.is_confirmed:
            await self._start_replacement()
            return True
        changes = batch.changes
        self.version += bool(changes)
        await self._access.run(
            lambda item_index: item_index.apply(changes, batch.reached, batch.anchor),
            CHANGE_COST * len(changes)
            + TERM_COST * sum(len(change.term_counts) for change in changes),
        )
        self._confirmed_doubts = doubts
        self._note_changes(len(changes))
        await self._access.compact_terms()
        return len(changes) == get_round_size(self._access.item_index)

    async def _start_replacement(self) -> None:
        """Begin to fill another item index, because the store has lost writes that are in this one.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        structlog.get_logger().error(
            "history_lost", catalog=self._generation.name, sequence=self._access.item_index.sequence
        )
        last_sequence = await self._feed.refresh()
        await self._access.run(_distrust, 0)
        self._replacement = await self._open_item_index()
        self._waits.fail_beyond(last_sequence)

    async def _fill_replacement(self, item_index: ItemIndex) -> bool:
        """Apply a round of changes to the new item index, which is put into use once it has all.

        Return whether there may be more changes.
        """
        doubts = self._feed.doubts
        batch = await self._changes.catch_up(item_index)
        if not batch.is_confirmed:
            self._replacement = await self._open_item_index()  # commits were lost once more
            return True
        if len(batch.changes) == get_round_size(item_index):
            return True
        self._put_into_use(item_index, doubts)
        structlog.get_logger().info(
            "history_followed",
            catalog=self._generation.name,
            sequence=item_index.sequence,
            items=len(item_index),
        )
        self._note_changes(len(item_index))
        return True

    def _note_changes(self, count: int) -> None:
        """Count applied changes, and resume the calls that wait for writes that are applied now."""
        if count:
            self.change_count += count
            self._last_change = time.monotonic()
            self._show_change()
        self._waits.resume(self.sequence)

    def _show_change(self) -> None:
        """Resume the tasks that wait for a change."""
        self._has_changed.set()
        self._has_changed = asyncio.Event()

    def wake(self) -> None:
        """Look for changes."""
        self._has_news.set()

    @property
    def anchor(self) -> Anchor:
        """The place of the item index in the history of the store."""
        return self._access.item_index.anchor

    def skip(self, after: int, changed: ChangedCatalogs, doubts: int) -> bool:
        """Note that the catalog has not changed after a sequence number.

        Args:
            after: the sequence number.
            changed: what has changed after it, without this catalog.
            doubts: those of the feed, before and after that answer.

        Returns:
            Whether the item index reflects all changes up to the answer now. If not, it has to
            read.
        """
        item_index = self._access.item_index
        is_reading = self._following.locked() or self._has_news.is_set()
        if (
            self._replacement is not None
            or is_reading
            or self._confirmed_doubts != doubts
            or item_index.anchor not in changed.confirmed_anchors
            or item_index.sequence < after
            or not item_index.lock.acquire(blocking=False)
        ):
            return False
        try:
            # It is further if it has read after the answer.
            if item_index.sequence < changed.reached:
                item_index.sequence, item_index.anchor = changed.reached, changed.anchor
        finally:
            item_index.lock.release()
        self._waits.resume(item_index.sequence)
        return True

    def _note_commit(self, _sequence: int) -> None:
        self.wake()


def _distrust(item_index: ItemIndex) -> None:
    """Let no read take an item index for one that reflects writes of the store."""
    item_index.sequence = 0
