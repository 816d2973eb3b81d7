"""Fills the collection of a generation and keeps it current: one process does it for all."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import structlog

from service import errors
from service.domain.generations import Generation
from service.domain.items import Change, ChangeBatch
from service.domain.shared_indexes import SharedIndexRecord, SharedIndexState
from service.index.change_feed import ChangeFeed
from service.index.maintenance import IndexPosition
from service.index.shared.engine_collection import (
    CollectionMark,
    CollectionReads,
    CollectionWrites,
)
from service.index.shared.shared_index_store import SharedIndexRecords
from service.index.shared.statistics_keeper import StatisticsKeeper

# Changes that are applied together.
CHANGES_PER_BATCH = 1_000

# The pause after a batch that was not full, so that the next one has more.
BATCH_PAUSE_SECONDS = 0.05

# The pause between two looks at the collection, which may be lost.
COLLECTION_CHECK_SECONDS = 5.0

# How often a collection must be missing before it is built again, and the pause in between.
LOSS_CHECKS = 3
LOSS_CHECK_SECONDS = 1.0

# The pause between two notes of progress without changes of the catalog.
IDLE_NOTE_SECONDS = 1.0

# The pause between two messages about a build.
BUILD_PROGRESS_SECONDS = 10.0

# Delays before further attempts after a failure; the last one repeats.
WRITER_RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0)

# What deleted items leave is dropped after this time, at most as often. No write of an earlier
# state is on its way for so long.
DELETED_SECONDS = 3_600


class OpenedCollection(NamedTuple):
    """A collection as its writer uses it."""

    reads: CollectionReads
    writes: CollectionWrites


class SharedIndexWriter:
    """Keeps the collection of a generation current.

    Args:
        feed: the store, whose changes it follows.
        records: where it notes how far it is.
        generation: the generation.
        open_collection: returns the collection of a record.
    """

    def __init__(
        self,
        feed: ChangeFeed,
        records: SharedIndexRecords,
        generation: Generation,
        open_collection: Callable[[SharedIndexRecord], OpenedCollection],
    ) -> None:
        self._feed = feed
        self._records = records
        self._generation = generation
        self._open_collection = open_collection
        self._statistics = StatisticsKeeper(records, generation)
        self._has_news = asyncio.Event()
        self._log = structlog.get_logger().bind(catalog=generation.name)
        self._note_time = self._progress_time = 0.0
        self._settled_sequence = -1
        self._forget_time = time.monotonic() + DELETED_SECONDS

    @property
    def settled_sequence(self) -> int:
        """The last write that the collection has, once it has caught up; -1 before."""
        return self._settled_sequence

    @property
    def position(self) -> IndexPosition:
        """How far the collection has followed the catalog, as far as this process knows."""
        reached = max(self._settled_sequence, 0)
        return IndexPosition(self._generation.catalog_id, reached, reached)

    async def run(self) -> None:
        """Write until cancelled."""
        self._feed.listen(self._note_commit)
        attempts = 0
        try:
            while True:
                try:
                    await self._follow()
                    attempts = 0
                except errors.AkinError as exc:
                    self._log.warning("shared_index_failed", reason=exc.reason, problem=exc.message)
                    delays = WRITER_RETRY_SECONDS
                    await asyncio.sleep(delays[min(attempts, len(delays) - 1)])
                    attempts += 1
        finally:
            self._feed.unlisten(self._note_commit)
            await self._statistics.stop()

    async def _follow(self) -> None:
        """Check the collection, and follow the store until it is time to check it again."""
        record = await self._records.get(self._generation)
        if record is None:
            record = await self._start_build("index_build_started")
        elif not await self._is_usable(record):
            record = await self._start_build("index_lost", record)
        self._statistics.item_count = record.item_count
        opened = self._open_collection(record)
        check_time = time.monotonic() + COLLECTION_CHECK_SECONDS
        while time.monotonic() < check_time:
            self._has_news.clear()
            batch = await self._feed.changes(
                self._generation, record.reached, CHANGES_PER_BATCH, record.anchor
            )
            if not batch.is_confirmed:
                await self._start_build("index_history_lost", record)
                return
            if 0 < record.reached < batch.purged_sequence:
                await self._drop_deleted(batch, opened)
            record = await self._apply(record, opened, batch)
            has_all = len(batch.changes) < CHANGES_PER_BATCH
            # A collection that nobody wrote to for some time is ready, but far behind.
            is_settled = record.state is SharedIndexState.READY and (
                has_all or self._settled_sequence >= 0
            )
            self._settled_sequence = record.reached if is_settled else -1
            if has_all:
                await self._wait_for_news(check_time)

    async def _start_build(
        self, event: str, former: SharedIndexRecord | None = None
    ) -> SharedIndexRecord:
        """Begin with an empty collection, which is ready once it has all present writes."""
        await self._statistics.stop()
        if former is not None:
            await self._open_collection(former).writes.drop()
        target = await self._feed.refresh()
        record = await self._records.start_build(self._generation, target)
        self._log.info(event, version=record.version, target=target)
        writes = self._open_collection(record).writes
        # After a move of the store, versions begin again.
        await writes.drop()
        await writes.create()
        self._statistics.note_changes()
        return record

    async def _is_usable(self, record: SharedIndexRecord) -> bool:
        """Return whether a collection has what its record says, and nothing that the store lost."""
        mark = await self._read_mark(record)
        if mark is None:
            return False
        if mark.sequence > await self._feed.refresh():
            return False  # the store was restored from a backup
        return mark.sequence == record.reached or await self._feed.confirms(mark.anchor)

    async def _read_mark(self, record: SharedIndexRecord) -> CollectionMark | None:
        """Return the mark of a collection; None if it is lost or older than it was.

        A machine of the engine that has just started may not know yet what the others have. So
        this is asked several times: a build of a large index takes long.
        """
        writes = self._open_collection(record).writes
        for attempt in range(LOSS_CHECKS):
            if attempt:
                await asyncio.sleep(LOSS_CHECK_SECONDS)
            mark = await writes.read_mark()
            if mark is not None and mark.sequence >= record.reached:
                return mark
        return None

    async def _drop_deleted(self, batch: ChangeBatch, opened: OpenedCollection) -> None:
        """Drop the items that were deleted while their tombstones were not followed."""
        item_ids, _ = await self._feed.undeleted_ids(self._generation)
        present_ids = await opened.reads.list_ids(None, sys.maxsize, searchable=False)
        deleted = [
            Change(item_id, None, (), None) for item_id in set(present_ids).difference(item_ids)
        ]
        # Further vectors of what was written last are dropped by a later write only.
        mark = CollectionMark(batch.reached, batch.anchor)
        for start in range(0, len(deleted), CHANGES_PER_BATCH):
            await opened.writes.apply(deleted[start : start + CHANGES_PER_BATCH], mark)
        if deleted:
            self._statistics.note_changes()
            self._log.info("index_deletions_caught_up", items=len(deleted))

    async def _apply(
        self, record: SharedIndexRecord, opened: OpenedCollection, batch: ChangeBatch
    ) -> SharedIndexRecord:
        """Apply changes, and note how far the collection is; return the record as it is then."""
        applied = replace(record, reached=batch.reached, anchor=batch.anchor)
        is_building = record.state is SharedIndexState.BUILDING
        is_due = time.monotonic() >= self._note_time + IDLE_NOTE_SECONDS
        if batch.reached > record.reached and (batch.changes or is_building or is_due):
            mark = CollectionMark(batch.reached, batch.anchor)
            await opened.writes.apply(batch.changes, mark)
        elif not is_building:
            await self._refresh_if_due(opened)
            return applied
        if batch.changes:
            self._statistics.note_changes()
        is_complete = is_building and applied.reached >= record.target
        if is_complete:
            await self._statistics.refresh(opened.reads)
        if not await self._note(applied):
            raise errors.IndexUnavailable("another build has replaced the collection")
        if is_complete:
            self._log.info("index_ready", version=record.version, items=self._statistics.item_count)
            return replace(applied, state=SharedIndexState.READY)
        if is_building:
            self._log_progress(applied)
        else:
            await self._refresh_if_due(opened)
        return applied

    async def _note(self, record: SharedIndexRecord) -> bool:
        """Note how far the collection is; return False if another version has replaced it."""
        self._note_time = time.monotonic()
        return await self._records.note_progress(
            record, record.reached, record.anchor, self._statistics.item_count
        )

    async def _refresh_if_due(self, opened: OpenedCollection) -> None:
        # In the background, because it takes seconds, and changes come in the meantime.
        self._statistics.refresh_if_due(opened.reads)
        if time.monotonic() >= self._forget_time:
            self._forget_time = time.monotonic() + DELETED_SECONDS
            await opened.writes.forget_deleted(int(time.time()) - DELETED_SECONDS)

    async def _wait_for_news(self, check_time: float) -> None:
        """Wait for a commit, until statistics are due or the collection is to be checked."""
        seconds = check_time - time.monotonic()
        due_seconds = self._statistics.seconds_until_due
        if due_seconds is not None:
            seconds = min(seconds, due_seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._has_news.wait()
        await asyncio.sleep(BATCH_PAUSE_SECONDS)

    def _log_progress(self, record: SharedIndexRecord) -> None:
        if time.monotonic() >= self._progress_time + BUILD_PROGRESS_SECONDS:
            self._progress_time = time.monotonic()
            self._log.info("index_building", reached=record.reached, target=record.target)

    def _note_commit(self, _sequence: int) -> None:
        self._has_news.set()
