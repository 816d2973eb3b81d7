"""The open catalogs of a process, with generations that words embed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from service.analysis.classification import TextClassifier
from service.analysis.clusters import Clusterer
from service.analysis.duplicates import DuplicateSearch
from service.analysis.outliers import OutlierSearch
from service.analysis.passage_search import PassageSearch
from service.background.model_loading import BehaviorModels
from service.catalog.attribution import Attribution, AttributionObserver, ResponseCounts
from service.catalog.generation_writer import GenerationWriter
from service.catalog.generations import CatalogGenerations, OpenGeneration
from service.catalog.handle import CatalogHandle
from service.catalog.interactions import CatalogInteractions
from service.catalog.items import CatalogItems
from service.catalog.open_catalog import Work
from service.catalog.open_catalogs import OpenCatalogs
from service.catalog.stats import StatsReader
from service.catalog.users import CatalogUsers
from service.domain.catalog_settings import SignalMode, resolve_signals
from service.domain.generations import CatalogRecord, Generation, GenerationRecord, GenerationState
from service.domain.recommendation_ids import RecommendationIds
from service.domain.spaces import Model, VectorStorage
from service.embedding.batcher import Batcher
from service.embedding.embedder import Embedder
from service.embedding.text_embedder import TextEmbedder
from service.embedding.vector_cache import CacheMemory, VectorCache
from service.index.faiss_exact import ExactIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.recommend.new_items import NewItems
from service.recommend.profile_reader import ProfileReader
from service.recommend.query_preparation import QueryPreparation
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import SoftMaximum
from service.storage.stores import Stores
from support.clock import FakeClock
from support.embedders import DIMENSIONS, SPACE, WordEmbedder
from support.item_indexes import INDEX_THREADS
from support.stores import GIVE_UP_SECONDS, open_stores

MODEL = Model(SPACE)


class WordCatalogs:
    """Makes catalogs over real stores and indexes; a CatalogFactory without background tasks.

    `responses` and `clicks` count the observed responses and clicks by source and signals.
    `removed` has the generations whose files were removed, which ends their closing. `batchers` has
    the batch queues of models with an embedder of their own, by model.
    """

    def __init__(
        self,
        stores: Stores,
        clock: FakeClock,
        group: asyncio.TaskGroup,
        embedders: Mapping[Model, Embedder],
    ) -> None:
        self.removed: list[int] = []
        self._has_removed = asyncio.Event()
        self.stores = stores
        self.clock = clock
        self._group = group
        self._tasks: list[asyncio.Task[None]] = []
        self._batcher = Batcher(WordEmbedder())
        self.behavior_models = BehaviorModels(stores.behavior_models)
        self.response_counts = ResponseCounts(stores.click_through)
        self.responses: Counter[tuple[str, str]] = Counter()
        self.clicks: Counter[tuple[str, str]] = Counter()
        self.observer = AttributionObserver(
            lambda *kind: self.responses.update([kind]), lambda *kind: self.clicks.update([kind])
        )
        self.catalogs = OpenCatalogs(stores.database, stores.generations, self, self.spawn)
        self.batchers = {model: Batcher(embedder) for model, embedder in embedders.items()}
        for batcher in (self._batcher, *self.batchers.values()):
            self.spawn(batcher.run())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the test."""
        task = self._group.create_task(work)
        self._tasks.append(task)
        return task

    async def start_next(self, model: Model) -> None:
        """Start to re-embed the catalog `shop` with another model, and open its next generation."""
        async with self.catalogs.use("shop") as catalog:
            await self.stores.generations.start_next(catalog.record, model)
        await self.catalogs.update()

    def end(self) -> None:
        """Cancel the tasks."""
        for task in self._tasks:
            task.cancel()

    async def open_writer(self, record: GenerationRecord) -> GenerationWriter:
        """Return a generation that texts are embedded for."""
        embedder = TextEmbedder(
            self.stores.vectors,
            record.generation,
            record.model.space,
            self.batchers.get(record.model, self._batcher),
            VectorCache(CacheMemory(), ""),
        )
        return GenerationWriter(
            record.generation,
            embedder,
            _cost_nothing,
            partial(self.stores.reembedding.add_vectors, record.generation),
        )

    async def open_generation(
        self, writer: GenerationWriter, record: CatalogRecord
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation that follows the store."""

        async def open_item_index() -> ItemIndex:
            return ItemIndex(ExactIndex(DIMENSIONS), self.clock)

        follower = Follower(
            self.stores.items,
            writer.generation,
            await open_item_index(),
            INDEX_THREADS,
            open_item_index,
        )
        opened = OpenGeneration(
            writer.generation,
            writer.text_embedder,
            writer.usd_per_token,
            writer.add_vectors,
            follower,
            record.vector_storage,
            record.index,
        )
        return opened, [follower.run()]

    def make_handle(self, record: CatalogRecord, generations: CatalogGenerations) -> CatalogHandle:
        """Return the use cases of a catalog."""
        stores, serving = self.stores, generations.serving
        parts = stores.items, serving.generation, serving.reader
        signals = resolve_signals(SignalMode.AUTO, record.settings.signals)
        preparation = QueryPreparation(
            ProfileReader(
                stores.profiles,
                serving.generation,
                serving.text_embedder,
                record.settings.all_weights,
            ),
            partial(self.behavior_models.find, record.catalog_id),
            NewItems(),
            replace(record.settings, signals=signals),
        )
        return CatalogHandle(
            record=record,
            signals=signals,
            generations=generations,
            items=CatalogItems(stores.items, generations),
            users=CatalogUsers(stores.users, generations),
            interactions=CatalogInteractions(
                stores.interactions,
                serving.generation,
                record.settings.liked_types,
                self.observer.click,
            ),
            stats=StatsReader(stores, generations),
            recommender=Recommender(*parts, preparation, Retriever(SoftMaximum, None)),
            attribution=Attribution(
                record.catalog_id,
                RecommendationIds(record.catalog_id, stores.database.store_id),
                self.response_counts,
                self.observer.response,
                self.clock,
            ),
            duplicates=DuplicateSearch(*parts),
            outliers=OutlierSearch(*parts),
            clusters=Clusterer(*parts),
            classifier=TextClassifier(*parts, serving.text_embedder),
            passages=PassageSearch(*parts, serving.text_embedder),
        )

    async def make_index_change(self, serving: OpenGeneration, record: CatalogRecord) -> None:
        """Change no index: the test does it."""
        del serving, record

    def make_background(
        self, serving: OpenGeneration, writer: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """Return no tasks: the test does their work."""
        del serving, writer, state
        return []

    async def remove_files(self, generation: Generation) -> None:
        """Note that a generation is closed."""
        self.removed.append(generation.generation_id)
        self._has_removed.set()

    async def wait_for_removal(self) -> list[int]:
        """Wait until a generation is closed, which can wait for threads; return all closed ones."""
        await self._has_removed.wait()
        await self.finish_tasks()
        return self.removed

    async def finish_tasks(self) -> None:
        """Let every task run as far as it gets without waiting."""
        for _ in range(3):
            await asyncio.wait(self._tasks, timeout=0)


async def _cost_nothing() -> float:
    return 0.0


@asynccontextmanager
async def word_catalogs(
    folder: Path, embedders: Mapping[Model, Embedder] = MappingProxyType({})
) -> AsyncIterator[WordCatalogs]:
    """Open the default catalog and one named `shop`.

    Args:
        folder: the data folder.
        embedders: the embedders of models other than words.
    """
    async with word_stores(folder) as (stores, clock), asyncio.TaskGroup() as group:
        factory = WordCatalogs(stores, clock, group, embedders)
        await factory.catalogs.update()
        yield factory
        factory.end()


@asynccontextmanager
async def word_stores(folder: Path) -> AsyncIterator[tuple[Stores, FakeClock]]:
    """Open stores with the default catalog and one named `shop`."""
    clock = FakeClock()
    async with asyncio.timeout(GIVE_UP_SECONDS):
        stores = open_stores(folder, clock)
        try:
            await stores.generations.open_default(MODEL)
            await stores.generations.create_catalog("shop", MODEL, VectorStorage.FLOAT32)
            yield stores, clock
        finally:
            await stores.database.close()
