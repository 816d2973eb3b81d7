"""One catalog in process: everything below gRPC, wired as the server wires it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.background.pending_items import PendingEmbedder
from service.catalog.handle import Generations, OpenGeneration
from service.catalog.items import CatalogItems, Upserted
from service.domain.generations import Generation
from service.domain.items import Item
from service.domain.recommendations import Query, Recommendations, Source
from service.domain.spaces import VectorStorage
from service.domain.users import LikedItem, Preference, User
from service.embedding.batcher import Batcher
from service.embedding.cache import VectorCache
from service.embedding.embedder import Embedder
from service.embedding.text_embedder import TextEmbedder
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.recommend.profile import ProfileReader
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum
from service.storage import Store
from support.clock import FakeClock
from support.embedders import DIMENSIONS
from support.stores import GIVE_UP_SECONDS, default_generation


@dataclass(frozen=True, slots=True)
class Catalog:
    """The parts of one running catalog."""

    store: Store
    row: Generation
    text_embedder: TextEmbedder
    item_index: ItemIndex
    follower: Follower
    catalog_items: CatalogItems
    recommender: Recommender
    pending: PendingEmbedder

    async def put(self, item_id: str, text: str, expire_time_us: int | None = None) -> Upserted:
        """Stores an item."""
        return await self.catalog_items.upsert_item(
            Item(item_id, text, {}, expire_time_us), require_indexed=False, expected_sequence=None
        )

    async def put_user(
        self, user_id: str, *profile: str | Preference, liked: tuple[str, ...] = ()
    ) -> None:
        """Stores a user; plain tastes have weight 1."""
        preferences = tuple(Preference(each) if isinstance(each, str) else each for each in profile)
        liked_items = tuple(LikedItem(each) for each in liked)
        await self.catalog_items.upsert_user(User(user_id, preferences, liked_items))

    async def recommended(self, source: Source, limit: int = 10) -> list[str]:
        """The ids recommended for a source, best first."""
        return ids(await self.recommender.recommend(Query(source, limit)))

    async def caught_up(self) -> None:
        """Waits until the item index has taken in every write."""
        await self.follower.reached(self.store.last_sequence)


def ids(answer: Recommendations) -> list[str]:
    """The recommended ids, best first."""
    return [each.item_id for each in answer.recommendations]


@asynccontextmanager
async def running(folder: Path, embedder: Embedder, clock: FakeClock) -> AsyncIterator[Catalog]:
    """A catalog that has caught up; its pending items wait for the test to try them."""
    async with asyncio.timeout(GIVE_UP_SECONDS):
        store = await Store.open(folder, clock)
        try:
            row = await default_generation(store, embedder.space)
            batcher = Batcher(embedder)
            catalog = _wired(store, row, embedder, batcher, clock)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.run()) for each in (batcher, catalog.follower)]
                await catalog.caught_up()
                yield catalog
                for task in tasks:
                    task.cancel()
        finally:
            await store.close()


async def _free() -> float:
    return 0.0


def _wired(
    store: Store, row: Generation, embedder: Embedder, batcher: Batcher, clock: FakeClock
) -> Catalog:
    text_embedder = TextEmbedder(store, row, embedder.space, batcher, VectorCache(DIMENSIONS))
    item_index = ItemIndex(ExactIndex(DIMENSIONS), clock)
    follower = Follower(store, row, item_index)
    return Catalog(
        store,
        row,
        text_embedder,
        item_index,
        follower,
        CatalogItems(
            store,
            Generations(OpenGeneration(row, text_embedder, _free, follower, VectorStorage.FLOAT32)),
            clock,
        ),
        Recommender(
            store,
            row,
            follower,
            ProfileReader(store, row, text_embedder),
            Retriever(SoftMaximum, None),
        ),
        PendingEmbedder(store, row, text_embedder),
    )
