from pathlib import Path

import pytest
from support.analysis import RED, find_duplicates, groups, put_many, running_with_texts
from support.catalogs import running
from support.clock import FakeClock
from support.embedders import DIMENSIONS, FaultyEmbedder

from service.analysis.candidate_search import MIN_LISTED_VECTORS, CandidateSearch
from service.analysis.examination import Examination
from service.analysis.sampling import draw_sample
from service.domain.analyses import DuplicatesQuery
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.telemetry.call_context import deadline

SUBJECTS = 40

# Nearer than different texts on one subject.
NEAR = DuplicatesQuery(min_similarity=0.9)

# Texts on some subjects, half of them with a near-duplicate.
TEXTS = {
    f"i{n:04}": " ".join(
        [*(f"s{n % SUBJECTS}x{word}" for word in range(5)), *(f"w{n}x{word}" for word in range(6))]
    )
    for n in range(MIN_LISTED_VECTORS * 2 // 3 + 1)
}
PAIRS = TEXTS | {f"j{item_id}": f"{text} more" for item_id, text in list(TEXTS.items())[::2]}


async def test_lists_find_the_groups_of_a_full_comparison(tmp_path: Path) -> None:
    """Over thousands of vectors in no graph, the groups are those of comparing all vectors."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, PAIRS)
        events = await find_duplicates(catalog, DuplicatesQuery())
        expected = groups(await find_duplicates(catalog, DuplicatesQuery(exact=True)))
        assert len(PAIRS) - len(TEXTS) == len(expected)
        assert expected == groups(events)
        assert (len(PAIRS), len(PAIRS), False) == (
            events[-1].coverage.item_count,
            events[-1].coverage.examined_item_count,
            events[-1].coverage.sampled,
        )


async def test_items_that_are_written_meanwhile_are_found(tmp_path: Path) -> None:
    """Items that are written after lists were made are found, and deleted ones are not."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, PAIRS)
        sample = await draw_sample(catalog.follower, None)
        examination = Examination(sample)
        search = CandidateSearch(catalog.follower, NEAR, examination)
        await search.prepare()
        assert sample.item_ids != examination.sample.item_ids
        assert sorted(sample.item_ids) == sorted(examination.sample.item_ids)
        before = await search.find(["i0001", "i0002"], 30)
        assert ["ji0002"] == [neighbor.item_id for neighbor in before["i0002"]]
        await put_many(catalog, {"later": f"{TEXTS['i0001']} later"})
        await catalog.stores.items.delete_many(catalog.row, ["ji0002"])
        await catalog.caught_up()
        after = await search.find(["i0001", "i0002", "later"], 30)
        assert {"i0001": ["later"], "i0002": [], "later": ["i0001"]} == {
            item_id: [neighbor.item_id for neighbor in neighbors]
            for item_id, neighbors in after.items()
        }


@pytest.mark.slow
async def test_neighbor_lists_are_used_once_they_are_built(tmp_path: Path) -> None:
    """Neighbor lists that are built after the search began take the place of its own lists."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, PAIRS)
        await catalog.follower.replace_index(ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock()))
        search = CandidateSearch(
            catalog.follower, NEAR, Examination(await draw_sample(catalog.follower, None))
        )
        await search.prepare()
        item_ids = list(TEXTS)[:200]
        before = await search.find(item_ids, 30)
        assert search._lists is not None
        while (build := await catalog.follower.start_build(quiet=True)) is not None:
            build.run()
            await catalog.follower.finish_build(build)
        after = await search.find(item_ids, 30)
        assert search._lists is None
        assert {item_id: [near.item_id for near in found] for item_id, found in before.items()} == {
            item_id: [near.item_id for near in found] for item_id, found in after.items()
        }


async def test_lists_respect_the_filter(tmp_path: Path) -> None:
    """With a filter, only items that match it are found."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, PAIRS)
        examination = Examination(await draw_sample(catalog.follower, None))
        search = CandidateSearch(catalog.follower, DuplicatesQuery(filter=RED), examination)
        await search.prepare()
        assert {} == await search.find(["i0000", "i0002"], 30)


async def test_without_time_no_lists_are_made(tmp_path: Path) -> None:
    """If the deadline has passed, items stay in their order and can still be searched for."""
    async with running(tmp_path, FaultyEmbedder(), FakeClock()) as catalog:
        await put_many(catalog, PAIRS)
        sample = await draw_sample(catalog.follower, None)
        token = deadline.set(0.0)
        try:
            examination = Examination(sample)
        finally:
            deadline.reset(token)
        search = CandidateSearch(catalog.follower, NEAR, examination)
        await search.prepare()
        assert sample is examination.sample
        found = await search.find(["i0002"], 30)
        assert ["ji0002"] == [neighbor.item_id for neighbor in found["i0002"]]


async def test_a_small_catalog_has_no_lists(tmp_path: Path) -> None:
    """With few vectors, items are examined in the order of the sample."""
    async with running_with_texts(tmp_path, {"r1": "one two three", "b1": "four five"}) as catalog:
        sample = await draw_sample(catalog.follower, None)
        examination = Examination(sample)
        await CandidateSearch(catalog.follower, NEAR, examination).prepare()
        assert sample is examination.sample
