"""Makes catalogs and generations from concrete classes, which only this file and app.py name."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import structlog

from service import errors
from service.analysis.analyst import Analyst
from service.background.pending_items import PendingEmbedder
from service.background.reembedding import Filler, Switcher
from service.catalog.handle import Generations, GenerationWriter, OpenGeneration
from service.catalog.items import CatalogItems
from service.catalog.open_catalogs import Catalogs, CatalogServices, OpenCatalog, Work
from service.domain.generations import Generation, GenerationRecord, GenerationState
from service.domain.spaces import VectorStorage
from service.embedding.pool import EmbedderPool, Spawn
from service.index.faiss_tiers import TieredIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.maintenance import IndexBuilder, SnapshotAdopter
from service.index.snapshots import Origin, Snapshots
from service.recommend.attribute_prior import AttributePrior
from service.recommend.profile import ProfileReader
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import RANKINGS
from service.settings import Settings
from service.storage import Registry, Store

RETRY_SECONDS = 1.0


class Parts:
    """Makes the parts of one worker's catalogs.

    Args:
        settings: what they are like.
        leads: whether this worker does what is done once for all of them.
        alone: whether there is no other.
        store, registry: where everything is.
        embedders: what embeds.
        spawn: starts work.
        clock_us: microseconds since 1970 UTC.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (what a worker has one of)
        self,
        settings: Settings,
        leads: bool,
        alone: bool,
        store: Store,
        registry: Registry,
        embedder_pool: EmbedderPool,
        spawn: Spawn,
        clock_us: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._leads = leads
        self._alone = alone
        self._store = store
        self._registry = registry
        self._embedder_pool = embedder_pool
        self._spawn = spawn
        self._clock_us = clock_us
        self._builders: dict[int, IndexBuilder] = {}
        self.catalogs = Catalogs(store, registry, self, spawn)

    async def writer(self, record: GenerationRecord) -> GenerationWriter:
        """A generation that texts are embedded for."""
        engine = await self._embedder_pool.get(record.model)
        text_embedder = await self._embedder_pool.make_text_embedder(
            self._store, record.generation, record.model
        )
        return GenerationWriter(record.generation, text_embedder, engine.fetch_usd_per_token)

    def opened(
        self, writer: GenerationWriter, storage: VectorStorage
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """A generation that follows the store, from its snapshot if there is one, and its tasks."""
        space = writer.text_embedder.space
        if storage is VectorStorage.UNSPECIFIED:
            storage = VectorStorage(self._settings.index_vectors)

        def empty_item_index() -> ItemIndex:
            half = storage is VectorStorage.FLOAT16
            return ItemIndex(TieredIndex(space.dimensions, half=half), self._clock_us)

        origin = Origin(self._store.store_id, f"{space.fingerprint} {storage.value}")
        snapshots = Snapshots(self._folder(writer.generation), origin, owner=self._leads)
        item_index = empty_item_index()
        if not snapshots.load(item_index, self._store.last_sequence):
            item_index = empty_item_index()
        follower = Follower(self._store, writer.generation, item_index)
        upkeep: IndexBuilder | SnapshotAdopter
        if self._leads:
            upkeep = IndexBuilder(follower, snapshots, shared=not self._alone)
            self._builders[writer.generation.generation_id] = upkeep
        else:
            upkeep = SnapshotAdopter(self._store, follower, snapshots, empty_item_index)
        opened = OpenGeneration(
            writer.generation, writer.text_embedder, writer.usd_per_token, follower, storage
        )
        return opened, [follower.run(), upkeep.run()]

    def services(self, generations: Generations) -> CatalogServices:
        """The use cases of a catalog whose serving generation is as it is now."""
        serving = generations.serving
        profile = ProfileReader(self._store, serving.generation, serving.text_embedder)
        retriever = Retriever(RANKINGS[self._settings.ranking], self._prior())
        return CatalogServices(
            CatalogItems(self._store, generations, self._clock_us),
            Recommender(self._store, serving.generation, serving.follower, profile, retriever),
            Analyst(self._store, serving.generation, serving.follower, serving.text_embedder),
        )

    def background(
        self, catalog: OpenCatalog, generation: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """What the leading worker does for a generation in this state."""
        if not self._leads:
            return []
        works: list[Work] = [
            PendingEmbedder(self._store, generation.generation, generation.text_embedder).run()
        ]
        if state is GenerationState.EMBEDDING:
            works.append(Filler(self._registry, generation, self._look).run())
        if state is GenerationState.INDEXING and isinstance(generation, OpenGeneration):
            works.append(self._switcher(catalog.generations, generation).run())
        return works

    async def forget(self, generation: Generation) -> None:
        """Removes the snapshot of a generation that is gone."""
        self._builders.pop(generation.generation_id, None)
        if self._leads:
            await _removed([self._folder(generation)])

    async def tidy(self) -> None:
        """Removes snapshots of generations that are no more."""
        known = {
            str(each.generation.generation_id)
            for record in (await self._registry.catalogs()).values()
            for each in record.generations
        }
        folder = self._settings.data_dir / "index"
        found = folder.iterdir() if folder.is_dir() else ()
        await _removed([each for each in found if each.name not in known])

    def _switcher(self, generations: Generations, new: OpenGeneration) -> Switcher:
        builder, last = self._builders[new.generation.generation_id], self._store.last_sequence

        def ready() -> bool:
            return generations.current and builder.settled_sequence >= last

        return Switcher(
            self._registry, generations.serving.generation, new.generation, ready, self._look
        )

    def _look(self) -> None:
        """Has the catalogs be brought to what the store says, as soon as it can be read."""
        self._spawn(self._looked())

    async def _looked(self) -> None:
        while True:
            try:
                return await self.catalogs.update()
            except errors.AkinError as exc:
                structlog.get_logger().warning("catalogs_update_failed", reason=exc.reason)
                await asyncio.sleep(RETRY_SECONDS)

    def _folder(self, generation: Generation) -> Path:
        return self._settings.data_dir / "index" / str(generation.generation_id)

    def _prior(self) -> AttributePrior | None:
        if not self._settings.prior_attribute:
            return None
        return AttributePrior(self._settings.prior_attribute, self._settings.prior_weight)


async def _removed(folders: Sequence[Path]) -> None:
    loop = asyncio.get_running_loop()
    for each in folders:
        await loop.run_in_executor(None, partial(shutil.rmtree, each, ignore_errors=True))
