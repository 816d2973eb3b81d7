"""Writes to a collection: in any order and any number of times, the latest state remains."""

import random
import time
from collections.abc import Sequence

import pytest
from support.engine_collections import (
    DIMENSIONS,
    RECORD,
    SPACE_NAME,
    STORE_ID,
    draw_units,
    make_mark,
    open_collection,
)
from support.shared_indexes import LOCAL_MODE_WARNINGS

from service import errors
from service.domain.items import BEGINNING, Change
from service.index.shared.engine_collection import CollectionMark
from service.index.shared.points import list_point_ids
from service.index.shared.qdrant_engine import QdrantEngine
from service.index.shared.qdrant_writes import POINTS_AT_ONCE, POINTS_PER_WRITE

pytestmark = LOCAL_MODE_WARNINGS

IDS = [f"i{number}" for number in range(12)]


def draw_change(choices: random.Random, item_id: str) -> Change:
    if choices.random() < 0.3:
        return Change(item_id, None, (), None)
    count = choices.choice((0, 1, 1, 3, 5))
    version = choices.randrange(2**32)
    return Change(item_id, f'{{"v": {version}}}', draw_units(count, version), None)


def draw_batches(choices: random.Random) -> list[Sequence[Change]]:
    """Return changes of some items in each batch."""
    return [
        [draw_change(choices, item_id) for item_id in choices.sample(IDS, choices.randrange(1, 7))]
        for _ in range(12)
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_a_batch_can_be_applied_again(seed: int) -> None:
    """Applying each batch twice leaves the same points as applying it once."""
    async with open_collection() as once, open_collection() as twice:
        for sequence, batch in enumerate(draw_batches(random.Random(seed)), start=1):
            await once.apply(sequence, *batch)
            await twice.apply(sequence, *batch)
            before = await twice.read_points()
            await twice.apply(sequence, *batch)
            assert before.keys() == (await twice.read_points()).keys()
            assert await once.reads.fetch(IDS) == await twice.reads.fetch(IDS)


@pytest.mark.parametrize("seed", range(6))
async def test_late_writes_change_nothing(seed: int) -> None:
    """Earlier batches that arrive after later ones change no item and bring none back."""
    choices = random.Random(seed)
    batches = draw_batches(choices)
    async with open_collection() as collection:
        for sequence, batch in enumerate(batches, start=1):
            await collection.apply(sequence, *batch)
        before = await collection.reads.fetch(IDS)
        listed = await collection.reads.list_ids(None, len(IDS), searchable=True)
        for sequence in choices.sample(range(1, len(batches)), 5):
            await collection.apply(sequence, *batches[sequence - 1])
            assert before == await collection.reads.fetch(IDS)
            assert listed == await collection.reads.list_ids(None, len(IDS), searchable=True)
            assert make_mark(len(batches)) == await collection.writes.read_mark()


@pytest.mark.parametrize("seed", range(6))
async def test_batches_can_arrive_in_any_order(seed: int) -> None:
    """Whatever the order in which batches arrive, each item is as the last one has it."""
    choices = random.Random(seed)
    batches = list(enumerate(draw_batches(choices), start=1))
    latest = {change.item_id: change for _, batch in batches for change in batch}
    choices.shuffle(batches)
    async with open_collection() as collection:
        for sequence, batch in batches:
            await collection.apply(sequence, *batch)
        fetched = await collection.reads.fetch(IDS)
        assert {change.item_id: change for change in fetched} == {
            item_id: change for item_id, change in latest.items() if change.attributes is not None
        }


async def test_a_late_write_brings_no_item_back() -> None:
    """A write of many vectors that arrives after the deletion of the item finds the deletion."""
    async with open_collection() as collection:
        item = Change("a", '{"x": 1}', draw_units(5, 1), None)
        await collection.apply(2, Change("a", None, (), None))
        await collection.apply(1, item)
        assert None is await collection.fetch_one("a")
        assert {} == await collection.reads.fetch_points(list_point_ids(item))
        assert 0 == await collection.reads.count(None, searchable=False)


async def test_many_points_are_written() -> None:
    """A batch with more points than one write takes is applied as a whole."""
    count = POINTS_PER_WRITE + 5
    changes = [Change(f"i{number}", "{}", draw_units(1, number), None) for number in range(count)]
    async with open_collection() as collection:
        await collection.apply(1, *changes)
        assert count == await collection.reads.count(None, searchable=True)
        ids = [change.item_id for change in changes]
        assert changes == await collection.reads.fetch(ids)


async def test_items_with_many_vectors_are_written() -> None:
    """A batch with more vectors than are converted at once is applied as a whole."""
    counts = (1, POINTS_AT_ONCE - 2, 0, 1, POINTS_AT_ONCE + 3, 2)
    changes = [
        Change(f"i{place}", "{}", draw_units(count, place), None)
        for place, count in enumerate(counts)
    ]
    async with open_collection() as collection:
        await collection.apply(1, *changes)
        assert changes == await collection.reads.fetch([change.item_id for change in changes])


async def test_the_mark_is_the_last_one() -> None:
    """A new collection has the mark of the beginning, and then the latest one of all writes."""
    async with open_collection() as collection:
        assert CollectionMark(0, BEGINNING) == await collection.writes.read_mark()
        await collection.apply(5)
        assert make_mark(5) == await collection.writes.read_mark()
        await collection.apply(3, Change("a", "{}", draw_units(1, 1), None))
        assert make_mark(5) == await collection.writes.read_mark()
        await collection.writes.create()
        assert make_mark(5) == await collection.writes.read_mark()


async def test_other_collections_have_no_mark() -> None:
    """There is no mark without a collection, nor in one of another store or another space."""
    async with open_collection() as collection:
        for store_id, space in ((STORE_ID, "other"), ("other", SPACE_NAME)):
            other = QdrantEngine(collection.client, store_id)
            assert None is await other.open_writes(RECORD, DIMENSIONS, space).read_mark()
        await collection.writes.drop()
        assert None is await collection.writes.read_mark()
        await collection.writes.drop()
        await collection.writes.create()
        assert CollectionMark(0, BEGINNING) == await collection.writes.read_mark()


async def test_what_deleted_items_leave_is_forgotten() -> None:
    """What deletions before a time leave is dropped, and nothing else is."""
    async with open_collection() as collection:
        kept = Change("kept", "{}", draw_units(2, 1), None)
        await collection.apply(1, kept, Change("a", None, (), None), Change("b", None, (), None))
        before = await collection.read_points()
        await collection.writes.forget_deleted(int(time.time()) - 3_600)
        assert before == await collection.read_points()
        await collection.writes.forget_deleted(int(time.time()) + 3_600)
        assert {*list_point_ids(kept)} == (await collection.read_points()).keys()
        assert make_mark(1) == await collection.writes.read_mark()


async def test_calls_without_a_collection_fail_as_unavailable() -> None:
    """Reads and writes of a lost collection raise the error that callers of an index expect."""
    async with open_collection() as collection:
        await collection.writes.drop()
        with pytest.raises(errors.IndexUnavailable, match=r"used now: ValueError$"):
            await collection.reads.fetch(["a"])
        with pytest.raises(errors.IndexUnavailable):
            await collection.apply(1)
