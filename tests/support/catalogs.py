"""One catalog in process: everything below gRPC, wired as the server wires it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.background.pending_items import PendingEmbedder
from service.catalog.generations import CatalogGenerations, OpenGeneration
from service.catalog.item_changes import WrittenItem
from service.catalog.items import CatalogItems
from service.catalog.users import CatalogUsers
from service.domain.catalog_settings import DEFAULT_TYPE_WEIGHTS, CatalogSettings, SignalMode
from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind
from service.domain.items import Item
from service.domain.recommendations import Query, Recommendations, Source
from service.domain.spaces import VectorStorage
from service.domain.users import LikedItem, Preference, User
from service.domain.writes import ItemUpsert, UserUpsert
from service.embedding.batcher import Batcher
from service.embedding.embedder import Embedder
from service.embedding.text_embedder import TextEmbedder
from service.embedding.vector_cache import CacheMemory, VectorCache
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.lexical_search import WordQueries
from service.index.term_index import TermIndex
from service.index.write_barrier import WriteBarrier
from service.recommend.new_items import NewItems
from service.recommend.profile_reader import ProfileReader
from service.recommend.query_preparation import QueryPreparation
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum
from service.storage.stores import Stores
from support.clock import FakeClock
from support.embedders import DIMENSIONS
from support.item_indexes import INDEX_THREADS, fail_to_open
from support.stores import GIVE_UP_SECONDS, default_generation, open_stores


@dataclass(frozen=True, slots=True)
class Catalog:
    """The parts of one running catalog."""

    stores: Stores
    row: Generation
    text_embedder: TextEmbedder
    item_index: ItemIndex
    follower: Follower
    items: CatalogItems
    users: CatalogUsers
    recommender: Recommender
    pending: PendingEmbedder

    async def put(self, item_id: str, text: str, expire_time_us: int | None = None) -> WrittenItem:
        """Store an item."""
        return await self.put_item(Item(item_id, text, {}, expire_time_us))

    async def put_item(self, item: Item, *, require_indexed: bool = False) -> WrittenItem:
        """Store an item as it is."""
        return await self.items.upsert(ItemUpsert(item, require_indexed))

    async def put_user(
        self, user_id: str, *profile: str | Preference, liked: tuple[str, ...] = ()
    ) -> None:
        """Store a user; plain preferences have weight 1."""
        preferences = tuple(
            Preference(entry) if isinstance(entry, str) else entry for entry in profile
        )
        user = User(user_id, preferences, tuple(map(LikedItem, liked)))
        await self.users.upsert(UserUpsert(user))

    async def recommended(self, source: Source, limit: int = 10) -> list[str]:
        """Return the ids recommended for a source, best first."""
        return ids(await self.recommender.recommend(Query(source, limit)))

    async def caught_up(self) -> None:
        """Wait until the item index has applied every write."""
        await self.follower.wait_for(self.stores.database.commits.last_sequence)


def ids(answer: Recommendations) -> list[str]:
    """Return the recommended ids, best first."""
    return [recommendation.item_id for recommendation in answer.recommendations]


@asynccontextmanager
async def running(
    folder: Path, embedder: Embedder, clock: FakeClock, *, hybrid: bool = False
) -> AsyncIterator[Catalog]:
    """Run a catalog that has caught up; its pending items wait for the test to try them.

    With `hybrid`, words are indexed, and count in searches that have a weight for them.
    """
    async with asyncio.timeout(GIVE_UP_SECONDS):
        stores = open_stores(folder, clock)
        try:
            row = await default_generation(stores, embedder.space)
            batcher = Batcher(embedder)
            catalog = _wire(stores, row, embedder, batcher, clock, hybrid=hybrid)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(part.run()) for part in (batcher, catalog.follower)]
                await catalog.caught_up()
                yield catalog
                for task in tasks:
                    task.cancel()
        finally:
            await stores.database.close()


async def _free() -> float:
    return 0.0


def _wire(
    stores: Stores,
    row: Generation,
    embedder: Embedder,
    batcher: Batcher,
    clock: FakeClock,
    *,
    hybrid: bool,
) -> Catalog:
    text_embedder = TextEmbedder(
        stores.vectors, row, embedder.space, batcher, VectorCache(CacheMemory(), "")
    )
    item_index = ItemIndex(ExactIndex(DIMENSIONS), clock, TermIndex() if hybrid else None)
    follower = Follower(stores.items, row, item_index, INDEX_THREADS, fail_to_open)
    add_vectors = partial(stores.reembedding.add_vectors, row)
    serving = OpenGeneration(
        row, text_embedder, _free, add_vectors, follower, VectorStorage.FLOAT32, IndexKind.MEMORY
    )
    generations = CatalogGenerations(serving, None, WriteBarrier((follower,)))
    return Catalog(
        stores,
        row,
        text_embedder,
        item_index,
        follower,
        CatalogItems(stores.items, generations),
        CatalogUsers(stores.users, generations),
        Recommender(
            stores.items,
            row,
            follower,
            QueryPreparation(
                ProfileReader(stores.profiles, row, text_embedder, DEFAULT_TYPE_WEIGHTS),
                lambda: None,
                NewItems(),
                CatalogSettings(SignalMode.AUTO),
                WordQueries(0.0) if hybrid else None,
            ),
            Retriever(SoftMaximum, None),
        ),
        PendingEmbedder(stores.pending, row, text_embedder),
    )
