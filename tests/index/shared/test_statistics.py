"""The statistics of a catalog with a shared index are those of the same items in memory."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.embedders import DIMENSIONS
from support.gated_reads import ReadGate
from support.shared_indexes import (
    LOCAL_MODE_WARNINGS,
    SharedReplica,
    open_replica,
    open_replicas,
)
from support.shared_reads import draw_vectors, write_vectors
from support.stores import all_changes, opened, pending
from support.tasks import left

from service.domain.shared_indexes import SharedIndexRecord
from service.domain.vectors import Vectors
from service.index.corpus_sample import CORPUS_SAMPLE_VECTORS
from service.index.corpus_statistics import CorpusStatistics
from service.index.faiss_exact import ExactIndex
from service.index.item_index import ItemIndex
from service.index.read_requests import plan_items
from service.index.shared.shared_writer import OpenedCollection, SharedIndexWriter
from service.storage.records import ItemWrite

pytestmark = LOCAL_MODE_WARNINGS

MEAN_TOLERANCE = 1e-6


async def create_memory_index(replica: SharedReplica) -> ItemIndex:
    """Return an item index in memory with all items of the store."""
    item_index = ItemIndex(ExactIndex(DIMENSIONS), FakeClock())
    item_index.apply(await all_changes(replica.stores, replica.generation), 1)
    return item_index


async def read_statistics(replica: SharedReplica) -> CorpusStatistics:
    return await replica.index.read(lambda item_index: item_index.compute_statistics(), queries=1)


def sort_rows(vectors: Vectors) -> Vectors:
    """Return vectors in an order that depends on nothing else."""
    return vectors[np.lexsort(vectors.T)]


async def check_statistics(replica: SharedReplica) -> None:
    """Check that statistics are those of all items of the store."""
    expected = (await create_memory_index(replica)).compute_statistics()
    statistics = await read_statistics(replica)
    assert expected.item_count == statistics.item_count == replica.index.item_count
    assert np.abs(expected.mean - statistics.mean).max() < MEAN_TOLERANCE
    if expected.item_count:
        assert np.array_equal(sort_rows(expected.sample), sort_rows(statistics.sample))
    sample = await replica.index.read(lambda item_index: item_index.read_sample(), queries=1)
    assert np.array_equal(statistics.sample, sample)


def draw_writes(choices: random.Random, count: int) -> list[ItemWrite]:
    return [
        write_vectors(
            f"i{choices.randrange(60)}",
            draw_vectors(choices.choice((1, 1, 4)), choices.randrange(2**32)),
            {"price": float(choices.randrange(20))} if choices.random() < 0.8 else {"price": "?"},
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(3))
async def test_statistics_are_those_of_all_items(tmp_path: Path, seed: int) -> None:
    """After any changes, the number of items, the mean and the sample are those in memory."""
    clock, choices = FakeClock(), random.Random(seed)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await replica.settle()
        await check_statistics(replica)
        for _ in range(3):
            await stores.items.upsert_many(generation, draw_writes(choices, 30))
            await stores.items.upsert_many(generation, [pending("p", "text")])
            deleted = [f"i{choices.randrange(60)}" for _ in range(5)]
            await stores.items.delete_many(generation, deleted)
            await replica.settle()
            await check_statistics(replica)


async def test_the_sample_of_a_large_catalog_is_the_same(tmp_path: Path) -> None:
    """If the catalog has more vectors than the sample, it has the same ones in the same order."""
    clock = FakeClock()
    vectors = draw_vectors(CORPUS_SAMPLE_VECTORS + 104, 1)
    writes = [
        write_vectors(f"i{start}", vectors[start : start + 25])
        for start in range(0, len(vectors), 25)
    ]
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, writes)
        await replica.write()
        await replica.look()
        expected = (await create_memory_index(replica)).compute_statistics()
        statistics = await read_statistics(replica)
    assert CORPUS_SAMPLE_VECTORS == len(statistics.sample)
    assert np.array_equal(expected.sample, statistics.sample)
    assert np.abs(expected.mean - statistics.mean).max() < MEAN_TOLERANCE


async def test_numbers_are_ranked_among_those_of_all_items(tmp_path: Path) -> None:
    """The rank of an item's number is the one among all items, not among those that were read."""
    clock, choices = FakeClock(), random.Random(5)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, draw_writes(choices, 50))
        await replica.settle()
        memory = await create_memory_index(replica)
        item_ids = memory.get_ids(memory.list_keys(None).tolist())

        def rank(item_index: ItemIndex) -> dict[str, float]:
            ranks = item_index.attributes.rank_numbers("price")
            present_ids = [
                item_id for item_id in item_ids[:7] if item_index.find_key(item_id) is not None
            ]
            return dict(
                zip(present_ids, ranks[item_index.find_keys(present_ids)].tolist(), strict=True)
            )

        def get_numbers(item_index: ItemIndex) -> list[float]:
            return sorted(item_index.attributes.get_all_numbers("price").tolist())

        plan = plan_items(item_ids[:7])
        assert pytest.approx(rank(memory)) == await replica.index.read(rank, 1, plan=plan)
        assert get_numbers(memory) == await replica.index.read(get_numbers, 1, plan=plan)


async def test_all_replicas_have_the_same_statistics(tmp_path: Path) -> None:
    """Each replica has the statistics that one of them wrote, whatever it has read itself."""
    clock, choices = FakeClock(), random.Random(1)
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replicas(stores, generation, clock, 3) as (first, *others),
    ):
        replicas = (first, *others)
        await first.settle()
        for _ in range(3):
            await stores.items.upsert_many(generation, draw_writes(choices, 10))
            await first.write()
            await first.refresh_statistics()
            for replica in others[:1]:
                await replica.follow()
            for replica in replicas:
                await replica.look()
            versions = [await read_statistics(replica) for replica in replicas]
            for statistics in versions[1:]:
                assert versions[0].item_count == statistics.item_count
                assert np.array_equal(versions[0].mean, statistics.mean)
                assert np.array_equal(versions[0].sample, statistics.sample)


async def test_statistics_are_written_again_only_after_changes(tmp_path: Path) -> None:
    """A writer computes statistics once for a build, and again only after items have changed."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, [write_vectors("a", draw_vectors(1, 1))])
        await replica.write()
        await replica.write()
        assert [1] == replica.records.statistics_versions
        await stores.items.upsert_many(generation, [write_vectors("b", draw_vectors(1, 2))])
        writing = asyncio.create_task(replica.create_writer().run())
        await replica.records.wait_until(
            generation, lambda _: len(replica.records.statistics_versions) == 2
        )
        await left(writing)
        await replica.look()
        assert 2 == (await read_statistics(replica)).item_count == replica.index.item_count


def has_reached(sequence: int) -> Callable[[SharedIndexRecord], bool]:
    """Return a condition on the record of a collection."""
    return lambda record: record.reached >= sequence


async def test_changes_do_not_wait_for_statistics(tmp_path: Path) -> None:
    """While a writer computes statistics, it brings further changes into the engine."""
    clock, gate = FakeClock(), ReadGate()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        record = await replica.write()
        opened_collection = OpenedCollection(
            gate.wrap(replica.open_reads(record)), replica.open_writes(record)
        )
        writer = SharedIndexWriter(
            stores.items, replica.records, generation, lambda _: opened_collection
        )
        gate.close()
        writing = asyncio.create_task(writer.run())
        for item_id in ("a", "b"):
            await stores.items.upsert_many(generation, [write_vectors(item_id, draw_vectors(1, 1))])
            last = await stores.items.refresh()
            await replica.records.wait_until(generation, has_reached(last))
            await gate.has_arrived.wait()
        assert [1] == replica.records.statistics_versions
        gate.open()
        await replica.records.wait_until(
            generation, lambda _: len(replica.records.statistics_versions) == 2
        )
        await left(writing)


@pytest.mark.parametrize("size", [0, 1, 100, -10])
async def test_damaged_statistics_are_ignored(tmp_path: Path, size: int) -> None:
    """Reads keep the former ones until there are others."""
    clock = FakeClock()
    async with (
        opened(tmp_path, clock) as (stores, generation),
        open_replica(stores, generation, clock) as replica,
    ):
        await stores.items.upsert_many(generation, [write_vectors("a", draw_vectors(1, 1))])
        await replica.settle()
        stored = await stores.shared_indexes.read_statistics(generation)
        assert stored is not None
        await stores.shared_indexes.write_statistics(generation, stored[1][:size])
        await replica.look()
        await check_statistics(replica)
