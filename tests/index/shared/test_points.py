"""Points: their ids, and what comes back of items that were written as points."""

import random
from itertools import product

import numpy as np
import pytest
from support.engine_collections import (
    DIMENSIONS,
    EngineCollection,
    UnorderedClient,
    draw_units,
    open_collection,
)
from support.shared_indexes import LOCAL_MODE_WARNINGS

from service.domain.items import Change
from service.index.corpus_sample import CorpusSample
from service.index.faiss_exact import ExactIndex
from service.index.shared.points import MARK_ID, list_point_ids, make_point_ids

pytestmark = LOCAL_MODE_WARNINGS

SAMPLE_SIZE = 40

CHANGES = (
    Change("one", '{"a": 1}', draw_units(1, 1), None),
    Change("several", '{"a": [1, "x"], "b.c": null}', draw_units(9, 2), None),
    Change("pending", '{"é": "ü"}', (), None),
    Change("own", "{}", draw_units(2, 3), None, has_own_vectors=True),
    Change("pending own", "{}", (), 5, has_own_vectors=True),
    Change("expiring", "{}", draw_units(1, 4), 2**53 - 1),
    Change("Größe 🙂 \x01 e\u0301", "{}", draw_units(3, 5), -1),
    Change("x" * 512, '{"n": 0.30000000000000004}', draw_units(1, 6), None),
)


def test_ids_are_distinct() -> None:
    """No two vectors of any items have the same id, nor does one have that of the mark."""
    pairs = list(product([f"i{number}" for number in range(500)], range(20)))
    item_ids, positions = map(list, zip(*pairs, strict=True))
    assert len(pairs) + 1 == len({*make_point_ids(item_ids, positions), MARK_ID})


def test_ids_depend_on_the_item_and_the_position_alone() -> None:
    """The id of a vector is the same alone and among others."""
    both = make_point_ids(["a", "é", "a"], [0, 7, 3])
    alone = [make_point_ids([item_id], [n])[0] for item_id, n in (("a", 0), ("é", 7), ("a", 3))]
    assert alone == both
    assert [] == make_point_ids([], [])


def test_an_item_without_vectors_has_the_first_id() -> None:
    """A pending item has the id of its first vector, so that the same point gets the vector."""
    pending, *_, several = (Change("a", "{}", draw_units(count, 1), None) for count in (0, 1, 3))
    assert list_point_ids(pending) == list_point_ids(several)[:1]


@pytest.mark.parametrize("seed", range(3))
def test_the_first_points_are_the_sample(seed: int) -> None:
    """The first vectors in the order of ids are the sample of the same catalog, in its order."""
    choices = random.Random(seed)
    vectors = {
        f"i{number}": draw_units(choices.choice((1, 1, 2, 5)), seed, number) for number in range(60)
    }
    item_ids = list(vectors)
    index = ExactIndex(DIMENSIONS)
    sample = CorpusSample(index, lambda keys: [item_ids[key] for key in keys], SAMPLE_SIZE)
    owners = [key for key, item_id in enumerate(item_ids) for _ in vectors[item_id]]
    rows = np.frombuffer(b"".join(map(b"".join, vectors.values())), "<f4").reshape(-1, DIMENSIONS)
    index.upsert(owners, rows)
    sample.replace(owners)
    by_point = {
        point_id: vector
        for item_id, of_item in vectors.items()
        for point_id, vector in zip(
            list_point_ids(Change(item_id, "{}", of_item, None)), of_item, strict=True
        )
    }
    first = [by_point[point_id] for point_id in sorted(by_point)[:SAMPLE_SIZE]]
    assert first == [row.tobytes() for row in sample.read()]


async def fetch_all(collection: EngineCollection) -> list[Change | None]:
    return [await collection.fetch_one(change.item_id) for change in CHANGES]


@pytest.mark.parametrize("together", [True, False])
async def test_items_come_back_as_they_were(*, together: bool) -> None:
    """An item has its id, attributes, vectors, expire time and origin after it was written."""
    async with open_collection() as collection:
        if together:
            await collection.apply(9, *CHANGES)
        else:
            for sequence, change in enumerate(CHANGES, start=1):
                await collection.apply(sequence, change)
        assert list(CHANGES) == await fetch_all(collection)
        fetched = await collection.reads.fetch([change.item_id for change in CHANGES])
        assert {change.item_id: change for change in CHANGES} == {
            change.item_id: change for change in fetched
        }
        assert None is await collection.fetch_one("unknown")


async def test_the_engine_may_return_points_in_any_order() -> None:
    """The vectors of an item are in their order, even if the engine returns them in another one."""
    async with open_collection(UnorderedClient) as collection:
        await collection.apply(9, *CHANGES)
        assert list(CHANGES) == await fetch_all(collection)


async def test_items_are_found_by_any_of_their_points() -> None:
    """Each point of an item leads to the whole item; a point of a pending item or none does not."""
    async with open_collection() as collection:
        await collection.apply(9, *CHANGES)
        ids = {
            point_id: change
            for change in CHANGES
            if change.vectors
            for point_id in list_point_ids(change)
        }
        unknown = make_point_ids(["unknown"], [0])
        assert ids == await collection.reads.fetch_points([*ids, *unknown])


@pytest.mark.parametrize("counts", [(5, 2), (5, 1), (5, 0), (1, 0), (2, 5), (0, 3), (5, 5)])
async def test_no_point_of_a_former_version_is_left(counts: tuple[int, int]) -> None:
    """An item that is written again has exactly the points of its new vectors."""
    async with open_collection() as collection:
        other = Change("other", "{}", draw_units(4, 9), None)
        await collection.apply(1, Change("a", '{"v": 1}', draw_units(counts[0], 1), 7), other)
        latest = Change("a", '{"v": 2}', draw_units(counts[1], 2), None)
        await collection.apply(2, latest)
        assert latest == await collection.fetch_one("a")
        assert other == await collection.fetch_one("other")
        expected = {*list_point_ids(latest), *list_point_ids(other)}
        assert expected == (await collection.read_points()).keys()


@pytest.mark.parametrize("count", [0, 1, 4])
async def test_a_deleted_item_is_gone(count: int) -> None:
    """A deleted item is found by no read, and can be written again."""
    async with open_collection() as collection:
        item = Change("a", "{}", draw_units(count, 1), None)
        await collection.apply(1, item)
        await collection.apply(2, Change("a", None, (), None))
        reads = collection.reads
        assert None is await collection.fetch_one("a")
        assert 0 == await reads.count(None, searchable=False)
        assert [] == await reads.list_ids(None, 10, searchable=False)
        assert 0 == len((await reads.read_first_vectors(10))[1])
        assert [] == await reads.fetch_attributes(["a"])
        assert {} == await reads.fetch_points(list_point_ids(item))
        await collection.apply(3, item)
        assert item == await collection.fetch_one("a")
