"""Followers of many catalogs, which learn of each commit by one query."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE
from support.item_indexes import INDEX_THREADS, fail_to_open
from support.stores import delete_item, indexed, opened
from support.tasks import left

from service import errors
from service.domain.generations import Generation
from service.domain.items import BEGINNING, Anchor, ChangeBatch, ChangedCatalogs
from service.domain.spaces import Model, VectorStorage
from service.index.change_dispatch import MAX_DIRECT_FOLLOWERS, ChangeDispatch
from service.index.change_feed import ChangeFeed
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.storage.stores import Stores

CATALOGS = MAX_DIRECT_FOLLOWERS + 10


class CountingFeed:
    """The items of a store; counts the reads of each generation, and can fail the queries."""

    def __init__(self, stores: Stores) -> None:
        self._items = stores.items
        self.reads: Counter[int] = Counter()
        self.queries = 0
        self.fails = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)

    async def changes(
        self,
        generation: Generation,
        after: int,
        limit: int,
        anchor: Anchor,
        *,
        with_terms: bool = False,
    ) -> ChangeBatch:
        """Count a read."""
        self.reads[generation.generation_id] += 1
        return await self._items.changes(generation, after, limit, anchor, with_terms=with_terms)

    async def changed_catalogs(self, after: int, anchors: Collection[Anchor]) -> ChangedCatalogs:
        """Count a query, and let it fail on request."""
        self.queries += 1
        if self.fails:
            raise errors.StoreUnavailable("the disk is gone")
        return await self._items.changed_catalogs(after, anchors)


@dataclass
class Many:
    """Followers of many catalogs, in the order of their creation."""

    stores: Stores
    feed: CountingFeed
    generations: list[Generation]
    dispatch: ChangeDispatch
    followers: list[Follower]
    tasks: list[asyncio.Task[None]]

    async def write(self, place: int, item_id: str = "a") -> int:
        """Write an item to one of the catalogs; return the sequence number."""
        (stored,) = await self.stores.items.upsert_many(
            self.generations[place], [indexed(item_id, "tea")]
        )
        return stored.sequence

    async def wait_for(self, sequence: int) -> None:
        """Wait until every follower reflects a write."""
        for follower in self.followers:
            await follower.wait_for(sequence)

    async def settle(self) -> None:
        """Wait until no follower reads or has to, and forget the reads so far."""
        while any(
            follower._has_news.is_set() or follower._following.locked()
            for follower in self.followers
        ):
            await asyncio.wait(self.tasks, timeout=0)
        self.feed.reads.clear()


@asynccontextmanager
async def many_followers(folder: Path, count: int = CATALOGS) -> AsyncIterator[Many]:
    """Follow many catalogs until each reflects all writes so far."""
    clock = FakeClock()
    async with opened(folder, clock) as (stores, _):
        feed = CountingFeed(stores)
        dispatch = ChangeDispatch(cast("ChangeFeed", feed))
        records = [
            await stores.generations.create_catalog(
                f"c{number}", Model(SPACE), VectorStorage.FLOAT32
            )
            for number in range(count)
        ]
        generations = [record.serving.generation for record in records]
        followers = [
            Follower(
                cast("ChangeFeed", feed),
                generation,
                ItemIndex(ExactIndex(DIMENSIONS), clock),
                INDEX_THREADS,
                fail_to_open,
                dispatch,
            )
            for generation in generations
        ]
        works = [dispatch.run(), *(follower.run() for follower in followers)]
        tasks = [asyncio.create_task(work) for work in works]
        try:
            many = Many(stores, feed, generations, dispatch, followers, tasks)
            await many.wait_for(await many.write(0, "first"))
            await many.settle()
            yield many
        finally:
            await left(*tasks)


async def test_only_changed_catalogs_are_read(tmp_path: Path) -> None:
    """After each write, every follower reflects it, but only that of its catalog has read."""
    async with many_followers(tmp_path) as many:
        for place in range(0, CATALOGS, 5):
            await many.wait_for(await many.write(place))
            assert 1 == many.followers[place].item_count - (place == 0)
        await many.wait_for(await delete_item(many.stores, many.generations[5], "a"))
        assert 0 == many.followers[5].item_count
        reads = {each.generation_id: 0 for each in many.generations} | many.feed.reads
    changed_ids = {many.generations[place].generation_id for place in range(0, CATALOGS, 5)}
    assert changed_ids == {generation_id for generation_id, count in reads.items() if count}


async def test_writes_at_once_reach_their_catalogs(tmp_path: Path) -> None:
    """Of many concurrent writes to all catalogs, none is missing in the end."""
    async with many_followers(tmp_path) as many:
        sequences = await asyncio.gather(
            *(many.write(place, item_id) for item_id in "bcd" for place in range(CATALOGS))
        )
        await many.wait_for(max(sequences))
        assert [3] * (CATALOGS - 1) == [follower.item_count for follower in many.followers[1:]]


async def test_few_catalogs_need_no_query(tmp_path: Path) -> None:
    """With few catalogs, each follower reads after each commit, without a query before."""
    async with many_followers(tmp_path, MAX_DIRECT_FOLLOWERS) as many:
        await many.wait_for(await many.write(3))
        assert MAX_DIRECT_FOLLOWERS == len(many.feed.reads)
        assert 0 == many.feed.queries


async def test_a_follower_that_is_ahead_need_not_read(tmp_path: Path) -> None:
    """A follower that has read a later write than the others does not read after the next one."""
    async with many_followers(tmp_path) as many:
        many.stores.items.unlisten(many.dispatch._note_commit)
        sequence = await many.write(1)
        many.followers[2].wake()
        await many.followers[2].wait_for(sequence)
        await many.settle()
        many.stores.items.listen(many.dispatch._note_commit)
        await many.wait_for(await many.write(0, "b"))
        assert 0 == many.feed.reads[many.generations[2].generation_id]


async def test_a_failed_query_delays_nothing(tmp_path: Path) -> None:
    """If the query fails, the followers read by themselves, and later queries are right again."""
    async with many_followers(tmp_path) as many:
        many.feed.fails = True
        await many.wait_for(await many.write(1))
        many.feed.fails = False
        await many.wait_for(await many.write(2))
        assert [1, 1] == [many.followers[place].item_count for place in (1, 2)]


async def test_a_doubt_makes_every_follower_read(tmp_path: Path) -> None:
    """After the store may have lost commits, no follower trusts what another one has read."""
    async with many_followers(tmp_path) as many:
        many.stores.database.commits.doubt()
        await many.wait_for(await many.write(1))
        assert CATALOGS == len(many.feed.reads)
        await many.settle()
        await many.wait_for(await many.write(2))
        # The follower of the first write may still have read after it.
        written_ids = {many.generations[place].generation_id for place in (1, 2)}
        assert many.generations[2].generation_id in many.feed.reads.keys() <= written_ids


@pytest.mark.parametrize(
    ("after", "anchors", "doubts"),
    [(5, {BEGINNING}, 0), (0, {Anchor(3, 7)}, 0), (0, {BEGINNING}, 1)],
    ids=["behind", "of another history", "doubtful"],
)
async def test_a_follower_out_of_step_reads(
    tmp_path: Path, after: int, anchors: set[Anchor], doubts: int
) -> None:
    """A follower that has to read does not take over how far the store is; one ahead stays so."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, generation):
        item_index = ItemIndex(ExactIndex(DIMENSIONS), clock)
        item_index.sequence = 3
        dispatch = ChangeDispatch(stores.items)
        follower = Follower(
            stores.items, generation, item_index, INDEX_THREADS, fail_to_open, dispatch
        )
        follower._confirmed_doubts = 0
        changed = ChangedCatalogs((), 9, confirmed_anchors=anchors)
        assert not follower.skip(after, changed, doubts)
        assert item_index.sequence == 3
        for reached, sequence in ((1, 3), (7, 7)):
            assert follower.skip(1, ChangedCatalogs((), reached), 0)
            assert sequence == item_index.sequence
