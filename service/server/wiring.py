"""Makes the parts of one worker from concrete classes, which only this module chooses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from uuid import uuid4

from service import errors
from service.analysis.classification import TextClassifier
from service.analysis.clusters import Clusterer
from service.analysis.duplicates import DuplicateSearch
from service.analysis.outliers import OutlierSearch
from service.analysis.passage_search import PassageSearch
from service.api.analysis_servicer import AnalysisServicer
from service.api.auth import KeyAuthorizer
from service.api.catalog_servicer import CatalogServicer
from service.api.interaction_servicer import InteractionServicer
from service.api.recommender_servicer import RecommenderServicer
from service.api.server import (
    ANALYSIS,
    CATALOG,
    INTERACTION,
    RECOMMENDER,
    Server,
    ServerOptions,
)
from service.api.tls import TlsFiles
from service.background.duty_rounds import alternate, perform
from service.background.model_loading import BehaviorModels
from service.background.new_item_listing import list_new_items
from service.background.pending_items import PendingEmbedder
from service.background.pending_preferences import PreferenceEmbedder
from service.background.purge import SECONDS_PER_DAY, Purge
from service.background.reembedding import GenerationFiller, GenerationSwitch
from service.background.training import Trainer
from service.catalog.admin import CatalogAdmin
from service.catalog.attribution import Attribution, ResponseCounts
from service.catalog.generation_writer import GenerationWriter
from service.catalog.generations import CatalogGenerations, OpenGeneration
from service.catalog.handle import CatalogHandle
from service.catalog.interactions import CatalogInteractions
from service.catalog.items import CatalogItems
from service.catalog.open_catalog import Work
from service.catalog.open_catalogs import OpenCatalogs
from service.catalog.reembedding import Reembeddings
from service.catalog.stats import StatsReader
from service.catalog.users import CatalogUsers
from service.domain.catalog_settings import SignalMode, resolve_signals
from service.domain.generations import CatalogRecord, Generation, GenerationRecord, GenerationState
from service.domain.recommendation_ids import RecommendationIds
from service.domain.spaces import Model, ModelChoice, VectorStorage
from service.embedding.budget import Budget
from service.embedding.paid_requests import PaidRequests
from service.embedding.pool import EmbedderPool, Spawn
from service.embedding.providers import ProbedModel, probe_model
from service.index.faiss_segmented import SegmentedIndex
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.maintenance import IndexBuilder, SnapshotLoader
from service.index.publishing import SnapshotDownloader, SnapshotPublisher, SnapshotShelf
from service.index.restoring import Restorer
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.index.threads import IndexThreads
from service.recommend.attribute_prior import AttributePrior
from service.recommend.new_items import NewItems
from service.recommend.profile_reader import ProfileReader
from service.recommend.query_preparation import QueryPreparation
from service.recommend.recommender import Recommender
from service.recommend.retrieval import Retriever
from service.recommend.scoring import RANKINGS
from service.server.observers import observe_attribution, observe_embedding
from service.settings import Settings
from service.storage.data_folder import (
    INDEX_FOLDER,
    PROBE_SOCKET,
    TRAINING_FOLDER,
    list_snapshot_folders,
    remove_snapshot,
)
from service.storage.duties import Duty
from service.storage.opening import open_shelf
from service.storage.stores import Stores
from service.telemetry.calls import CallTelemetry


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count` processes that serve the same data on the same port."""

    number: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this worker does the background work of all."""
        return self.number == 0

    @property
    def is_alone(self) -> bool:
        """Whether no other process serves the same data."""
        return self.count == 1


class Wiring:
    """The parts of one worker.

    Args:
        settings: the settings of the server.
        worker: which worker this is.
        stores: the data on disk.
        telemetry: observes calls and embedding.
        spawn: starts a task that runs as long as the server.
        stack: closes parts when the server ends.
    """

    def __init__(
        self,
        settings: Settings,
        worker: Worker,
        stores: Stores,
        telemetry: CallTelemetry,
        spawn: Spawn,
        stack: AsyncExitStack,
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._stores = stores
        self.telemetry = telemetry
        self._spawn = spawn
        self._paid_requests = PaidRequests(
            stores.embedding_requests,
            Budget(settings.embedding_budget_usd_per_day),
            *_choose_places(settings, worker),
        )
        stack.push_async_callback(self._paid_requests.close)
        spawn(self._paid_requests.run())
        self.embedder_pool = EmbedderPool(
            settings, self._paid_requests, observe_embedding(telemetry.metrics), spawn, stack
        )
        self.response_counts = ResponseCounts(stores.click_through)
        stack.push_async_callback(self._flush_responses)
        self._attribution_observer = observe_attribution(telemetry.metrics)
        self.behavior_models = BehaviorModels(stores.behavior_models)
        self.catalogs = OpenCatalogs(stores.database, stores.generations, self, spawn)
        self._index_builders: dict[Generation, IndexBuilder] = {}
        self._new_items: dict[Generation, NewItems] = {}
        self._models: dict[Generation, Model] = {}
        self._index_threads = IndexThreads()
        stack.callback(self._index_threads.close)

    def make_server(self) -> Server:
        """Return the gRPC server, which does not listen yet.

        Raises:
            KeysUnusable, TlsUnusable: a file of keys or certificates cannot be used.
        """
        settings, stores = self._settings, self._stores
        admin = CatalogAdmin(
            stores.generations,
            stores.catalog_settings,
            self.catalogs.show_change,
            self._find_model,
        )
        reembeddings = Reembeddings(
            stores, self.catalogs.show_change, self.embedder_pool, self._find_model
        )
        return Server(
            {
                RECOMMENDER: RecommenderServicer(self.catalogs, time.time_ns),
                CATALOG: CatalogServicer(self.catalogs, admin, reembeddings),
                ANALYSIS: AnalysisServicer(self.catalogs),
                INTERACTION: InteractionServicer(self.catalogs, time.time_ns),
            },
            None if settings.api_keys is None else KeyAuthorizer(settings.api_keys),
            self.telemetry,
            ServerOptions(
                _tls_files(settings),
                shared_port=not self._worker.is_alone,
                reflective=settings.reflection,
                probe_socket=settings.data_dir / PROBE_SOCKET.format(worker=self._worker.number),
            ),
        )

    def make_purge(self) -> Purge:
        """Return what keeps the database small, for the leading worker."""
        return Purge(
            self._stores,
            lambda: [builder.position for builder in self._index_builders.values()],
            self._settings.vector_retention_days * SECONDS_PER_DAY,
            shared=self.has_other_writers,
        )

    @property
    def has_other_writers(self) -> bool:
        """Whether other processes write to the same data."""
        return bool(self._settings.store) or not self._worker.is_alone

    def make_trainer(self) -> Trainer:
        """Return what trains the models of catalogs, for the leading worker."""
        return Trainer(
            self._stores.behavior_models,
            self.catalogs,
            self._stores.database.read_source,
            self._settings.data_dir / TRAINING_FOLDER,
            time.time_ns,
            self.behavior_models.wake,
        )

    async def _find_model(self, choice: ModelChoice) -> ProbedModel:
        return await self._paid_requests.send_unclaimed(
            partial(probe_model, self._settings, choice)
        )

    async def open_writer(self, record: GenerationRecord) -> GenerationWriter:
        """Return a generation that texts are embedded for."""
        embedder = await self.embedder_pool.get(record.model)
        text_embedder = await self.embedder_pool.make_text_embedder(
            self._stores.vectors, record.generation, record.model
        )
        self._models[record.generation] = record.model
        return GenerationWriter(
            record.generation,
            text_embedder,
            embedder.fetch_usd_per_token,
            partial(self._stores.reembedding.add_vectors, record.generation),
        )

    async def open_generation(
        self, writer: GenerationWriter, storage: VectorStorage
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation that follows the store, from its snapshot if it has one."""
        generation, space = writer.generation, writer.text_embedder.space
        if storage is VectorStorage.UNSPECIFIED:
            storage = VectorStorage(self._settings.index_vectors)

        def make_item_index() -> ItemIndex:
            float16 = storage is VectorStorage.FLOAT16
            return ItemIndex(SegmentedIndex(space.dimensions, float16=float16), time.time_ns)

        items = self._stores.items
        origin = SnapshotOrigin(
            self._stores.database.store_id, f"{space.fingerprint} {storage.value}"
        )
        snapshots = Snapshots(self._snapshot_folder(generation), origin, owner=self._worker.leads)
        threads = self._index_threads
        shelf, downloader = self._open_shelf(generation), None
        if shelf is not None:
            downloader = SnapshotDownloader(items, snapshots, shelf)
        restorer = Restorer(items, snapshots, make_item_index, threads, downloader)
        follower = Follower(items, generation, await restorer.open(), threads, restorer.open)
        duties = self._stores.duties
        load = SnapshotLoader(follower, restorer).run
        if self._worker.leads:
            builder = IndexBuilder(follower, snapshots, threads, shared=self.has_other_writers)
            self._index_builders[generation] = builder
            maintenance = [alternate(duties, Duty.INDEXING, builder.run, load)]
        else:
            maintenance = [load()]
        if shelf is not None:
            publisher = SnapshotPublisher(items, snapshots, shelf)
            maintenance.append(perform(duties, Duty.INDEXING, publisher.run))
        opened = OpenGeneration(
            generation,
            writer.text_embedder,
            writer.usd_per_token,
            writer.add_vectors,
            follower,
            storage,
        )
        new_items = self._new_items[generation] = NewItems()
        find_model = partial(self.behavior_models.find, generation.catalog_id)
        return opened, [
            follower.run(),
            *maintenance,
            list_new_items(self._stores.behavior_models, follower, new_items, find_model),
        ]

    def make_handle(self, record: CatalogRecord, generations: CatalogGenerations) -> CatalogHandle:
        """Return the use cases of a catalog."""
        stores, serving = self._stores, generations.serving
        generation, follower = serving.generation, serving.follower
        text_embedder = serving.text_embedder
        signals = resolve_signals(SignalMode(self._settings.signals), record.settings.signals)
        preparation = QueryPreparation(
            ProfileReader(stores.profiles, generation, text_embedder, record.settings.all_weights),
            partial(self.behavior_models.find, record.catalog_id),
            self._new_items[generation],
            replace(record.settings, signals=signals),
        )
        retriever = Retriever(RANKINGS[self._settings.ranking], self._make_prior())
        return CatalogHandle(
            record=record,
            signals=signals,
            generations=generations,
            items=CatalogItems(stores.items, generations),
            users=CatalogUsers(stores.users, generations),
            interactions=CatalogInteractions(
                stores.interactions,
                generation,
                record.settings.liked_types,
                self._attribution_observer.click,
            ),
            stats=StatsReader(stores, generations),
            recommender=Recommender(stores.items, generation, follower, preparation, retriever),
            attribution=Attribution(
                record.catalog_id,
                RecommendationIds(record.catalog_id, stores.database.store_id),
                self.response_counts,
                self._attribution_observer.response,
                time.time_ns,
            ),
            duplicates=DuplicateSearch(stores.items, generation, follower),
            outliers=OutlierSearch(stores.items, generation, follower),
            clusters=Clusterer(stores.items, generation, follower),
            classifier=TextClassifier(stores.items, generation, follower, text_embedder),
            passages=PassageSearch(stores.items, generation, follower, text_embedder),
        )

    async def _flush_responses(self) -> None:
        """Store the numbers of responses at the end of the worker, if the database can be used."""
        with suppress(errors.AkinError):
            await self.response_counts.flush()

    def _make_prior(self) -> AttributePrior | None:
        if not self._settings.prior_attribute:
            return None
        return AttributePrior(self._settings.prior_attribute, self._settings.prior_weight)

    def make_background(
        self, serving: OpenGeneration, writer: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """Return the leading worker's background tasks for a generation in a state."""
        if not self._worker.leads:
            return []
        stores, generation = self._stores, writer.generation
        embed = partial(perform, self._stores.duties, Duty.EMBEDDING)
        tasks = [
            embed(PendingEmbedder(stores.pending, generation, writer.text_embedder).run),
            embed(PreferenceEmbedder(stores.reembedding, generation, writer.text_embedder).run),
        ]
        if state is GenerationState.EMBEDDING:
            filler = GenerationFiller(
                stores.reembedding, stores.generations, writer, self.catalogs.update_soon
            )
            tasks.append(embed(filler.run))
        if state is GenerationState.INDEXING:
            switch = self._make_switch(serving, generation)
            tasks.append(perform(self._stores.duties, Duty.INDEXING, switch.run))
        return tasks

    def _make_switch(self, serving: OpenGeneration, next_: Generation) -> GenerationSwitch:
        builder, items = self._index_builders[next_], self._stores.items
        last = items.last_sequence
        return GenerationSwitch(
            self._stores.generations,
            serving.generation,
            next_,
            lambda: builder.settled_sequence >= min(last, items.last_sequence),
            self.catalogs.update_soon,
        )

    async def remove_files(self, generation: Generation) -> None:
        """Remove the snapshots of a generation that is gone, and end its use of its model."""
        self._index_builders.pop(generation, None)
        self._new_items.pop(generation, None)
        model = self._models.pop(generation, None)
        if model is not None:
            await self.embedder_pool.release(generation, model)
        if self._worker.leads:
            await _remove_snapshot(self._snapshot_folder(generation))

    async def remove_unknown_files(self) -> None:
        """Remove the snapshots of generations that do not exist."""
        generation_ids = {
            str(record.generation.generation_id)
            for catalog in (await self._stores.generations.list_catalogs()).values()
            for record in catalog.generations
        }
        for snapshots in list_snapshot_folders(self._settings.data_dir):
            if snapshots.name not in generation_ids:
                await _remove_snapshot(snapshots)

    def _open_shelf(self, generation: Generation) -> SnapshotShelf | None:
        """Return where the leading worker finds and publishes snapshots of other machines."""
        if not self._worker.leads:
            return None
        return open_shelf(self._stores.database, self._settings.store, generation)

    def _snapshot_folder(self, generation: Generation) -> Path:
        return self._settings.data_dir / INDEX_FOLDER / str(generation.generation_id)


def _choose_places(settings: Settings, worker: Worker) -> tuple[str, list[str] | None]:
    """Return the place of a worker among those that send paid requests, and all places.

    Nobody knows all replicas over a PostgreSQL database.
    """
    if settings.store:
        return uuid4().hex, None
    return str(worker.number), list(map(str, range(worker.count)))


def _tls_files(settings: Settings) -> TlsFiles | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_authority)


async def _remove_snapshot(folder: Path) -> None:
    """Remove a snapshot as far as possible; the next start removes what is left."""
    with suppress(OSError):
        await asyncio.get_running_loop().run_in_executor(None, remove_snapshot, folder)
