"""Groups against a selection by hand from all items, best first."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.catalogs import Catalog, ids, running
from support.clock import FakeClock
from support.embedders import WordEmbedder
from support.stores import chunks_of

from service.domain.boosts import Boost
from service.domain.filters import Condition, Equals, Filter
from service.domain.generations import Generation
from service.domain.groups import GroupBy
from service.domain.items import Item, JsonValue, StoredItem
from service.domain.recommendations import (
    Example,
    ExamplesSource,
    ItemSource,
    Query,
    Source,
    TextSource,
)
from service.index.item_index import ItemIndex
from service.recommend.candidates import Candidates
from service.recommend.query_preparation import PreparedQuery
from service.recommend.recommender import MAX_RERANKED_CANDIDATES, Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum
from service.storage.database import Database
from service.storage.items import ItemStore
from service.storage.records import ItemVectors, ItemWrite

COUNT = 500
WORDS = ("green", "black", "white", "tea", "coffee", "gin", "rum", "milk", "sugar", "mint", "honey")
SOURCES: list[Source] = [
    ItemSource("i000"),
    TextSource("green tea with honey"),
    ExamplesSource((Example(ItemSource("i001")), Example(TextSource("black coffee")))),
]
every_source = pytest.mark.parametrize("source", SOURCES, ids=["item", "text", "examples"])
seeds = pytest.mark.parametrize("seed", range(3))


def draw_brand(rng: random.Random) -> JsonValue:
    """Return a brand, most often the same; None stands for none."""
    kind = rng.random()
    if kind < 0.9:
        return "common"
    brands: list[JsonValue] = ["rare", 7, True, None, [], {"name": "x"}, ["rare", 7]]
    brands.append(["common", "other"])
    return rng.choice(brands)


def groups_of(value: JsonValue) -> Sequence[str]:
    """Return the groups that an item counts for."""
    if value is None or isinstance(value, Mapping):
        return []
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    return [repr(one) for one in values]


@asynccontextmanager
async def random_catalog(
    folder: Path, seed: int
) -> AsyncIterator[tuple[Catalog, dict[str, JsonValue]]]:
    rng = random.Random(seed)
    brands = {f"i{number:03}": draw_brand(rng) for number in range(COUNT)}
    async with running(folder, WordEmbedder(), FakeClock()) as catalog:
        items = [
            Item(item_id, " ".join(rng.choices(WORDS, k=8)), {"brand": brand, "kind": item_id[-1]})
            for item_id, brand in brands.items()
        ]
        await asyncio.gather(*map(catalog.put_item, items))
        yield catalog, brands


def select(ranked: Sequence[str], brands: Mapping[str, JsonValue], most: int) -> list[str]:
    """Return the items that are taken, of all."""
    counts: Counter[str] = Counter()
    taken = []
    for item_id in ranked:
        groups = set(groups_of(brands[item_id]))
        if all(counts[group] < most for group in groups):
            counts.update(groups)
            taken.append(item_id)
    return taken


@every_source
@seeds
async def test_the_best_items_of_each_group_are_recommended(
    tmp_path: Path, source: Source, seed: int
) -> None:
    """Items are taken best first while there is room for their values, from the whole catalog."""
    async with random_catalog(tmp_path, seed) as (catalog, brands):
        boosts = (Boost(Filter(all=(Condition("kind", Equals("4")),)), 1.5),)
        even = tuple(Condition("kind", Equals(str(digit))) for digit in range(0, 10, 2))
        for query in (
            Query(source, COUNT),
            Query(source, COUNT, filter=Filter(any=even), exclude_item_ids=("i002", "i004")),
            Query(source, COUNT, boosts=boosts),
        ):
            ranked = ids(await catalog.recommender.recommend(query))
            for most, limit in ((1, 3), (1, 10), (2, 40), (3, 1_000)):
                grouped = replace(query, limit=limit, group_by=GroupBy("brand", most))
                answer = ids(await catalog.recommender.recommend(grouped))
                assert select(ranked, brands, most)[:limit] == answer


@every_source
@seeds
async def test_diverse_items_are_of_different_groups(
    tmp_path: Path, source: Source, seed: int
) -> None:
    """With diversity, no value is in too many items, and no group that has room is left out."""
    async with random_catalog(tmp_path, seed) as (catalog, brands):
        for most, limit in ((1, 5), (2, 1_000)):
            query = Query(source, limit, diversity=0.4, group_by=GroupBy("brand", most))
            answer = ids(await catalog.recommender.recommend(query))
            counts = Counter(group for item_id in answer for group in groups_of(brands[item_id]))
            assert max(counts.values()) <= most
            if limit < COUNT:
                assert limit == len(answer)
                continue
            for item_id in brands.keys() - set(answer) - {"i000", "i001"}:
                assert any(counts[group] == most for group in groups_of(brands[item_id]))


class RecordingRetriever(Retriever):
    """A retriever that records how much it is requested to retrieve, and to leave out."""

    def __init__(self) -> None:
        super().__init__(SoftMaximum, None)
        self.limits: list[int] = []
        self.most_excluded = 0

    def retrieve(
        self,
        item_index: ItemIndex,
        prepared: PreparedQuery,
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> Candidates | None:
        """Retrieve."""
        self.limits.append(limit)
        if prepared.filled is not None:
            self.most_excluded = max(self.most_excluded, len(prepared.filled.item_ids))
        return super().retrieve(item_index, prepared, limit, with_vectors=with_vectors)


@pytest.mark.parametrize("diversity", [0.0, 0.4])
async def test_candidates_of_full_groups_are_dropped(tmp_path: Path, diversity: float) -> None:
    """However large the groups before the last one are, few candidates are held at once."""
    groups, members = 6, 1_000
    items = {
        f"g{group}-{member:03}": f"tea {group * 'rum '}"
        for group in range(groups)
        for member in range(members)
    }
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        writes = [
            ItemWrite(Item(item_id, text, {"group": item_id[:2]}), ItemVectors(chunks_of(text)))
            for item_id, text in items.items()
        ]
        await catalog.stores.items.upsert_many(catalog.row, writes)
        await catalog.caught_up()
        retriever = RecordingRetriever()
        recommender = Recommender(
            catalog.stores.items,
            catalog.row,
            catalog.follower,
            catalog.recommender._preparation,
            retriever,
        )
        query = Query(TextSource("tea"), groups, diversity=diversity, group_by=GroupBy("group"))
        answer = ids(await recommender.recommend(query))
        assert {f"g{group}" for group in range(groups)} == {item_id[:2] for item_id in answer}
        assert groups == len(answer)
        assert retriever.most_excluded < groups
        assert len(retriever.limits) <= groups
        assert max(retriever.limits) <= MAX_RERANKED_CANDIDATES


async def test_near_duplicates_do_not_take_the_place_of_a_group(tmp_path: Path) -> None:
    """Near-duplicates are excluded first, so that each group has its best other item."""
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        text = "a jazz trumpet player in a smoky club of the old city by the river"
        for item_id, own_text, brand in (
            ("best", text, "x"),
            ("copy", text, "y"),
            ("other", "a jazz band in a club", "y"),
            ("last", "wolves hunt in the snow", "y"),
        ):
            await catalog.put_item(Item(item_id, own_text, {"brand": brand}))
        query = Query(TextSource(text), 10, group_by=GroupBy("brand"))
        assert ["best", "copy"] == ids(await catalog.recommender.recommend(query))
        distinct = replace(query, max_similarity=0.8)
        assert ["best", "other"] == ids(await catalog.recommender.recommend(distinct))


async def test_items_without_the_attribute_are_not_grouped(tmp_path: Path) -> None:
    """Each item without a value is a group of its own, also if no item has the attribute."""
    async with random_catalog(tmp_path, 1) as (catalog, _):
        query = Query(SOURCES[0], 30, group_by=GroupBy("missing"))
        plain = await catalog.recommended(SOURCES[0], 30)
        assert plain == ids(await catalog.recommender.recommend(query))


class ChangingStore(ItemStore):
    """A store in which an item is written just before items are read for the first time."""

    def __init__(self, database: Database, write: ItemWrite) -> None:
        super().__init__(database)
        self._writes = [write]

    async def get_many(
        self,
        generation: Generation,
        item_ids: Sequence[str],
        *,
        with_vectors: bool = False,
        max_text_bytes: int | None = None,
    ) -> Mapping[str, StoredItem]:
        """Write the item, and return the items."""
        while self._writes:
            await self.upsert_many(generation, [self._writes.pop()])
        return await super().get_many(
            generation, item_ids, with_vectors=with_vectors, max_text_bytes=max_text_bytes
        )


@pytest.mark.parametrize("diversity", [0.0, 0.4])
async def test_full_items_are_of_different_groups_while_one_changes(
    tmp_path: Path, diversity: float
) -> None:
    """An item that takes the value of another one after the search is replaced by the next one."""
    texts = {"best": "green tea with honey", "second": "green tea with milk", "third": "green rum"}
    async with running(tmp_path, WordEmbedder(), FakeClock()) as catalog:
        for item_id, text in texts.items():
            await catalog.put_item(Item(item_id, text, {"brand": item_id}))
        changed = Item("second", texts["second"], {"brand": "best"})
        write = ItemWrite(changed, ItemVectors(chunks_of(texts["second"])))
        store = ChangingStore(catalog.stores.database, write)
        recommender = Recommender(
            store,
            catalog.row,
            catalog.follower,
            catalog.recommender._preparation,
            catalog.recommender._retriever,
        )
        query = Query(
            TextSource(texts["best"]), 2, full=True, diversity=diversity, group_by=GroupBy("brand")
        )
        answer = await recommender.recommend(query)
        brands = [
            recommended.item.item.attributes["brand"]
            for recommended in answer.recommendations
            if recommended.item is not None
        ]
        assert ["best", "third"] == brands
