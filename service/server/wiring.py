"""Makes the parts of one worker from concrete classes, which only this folder chooses.

`item_indexes` makes the item indexes, and `handle_factory` the handles of catalogs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from uuid import uuid4

from service import errors
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
from service.background.due_generations import DueGenerations
from service.background.duty_rounds import perform
from service.background.index_change import IndexChange
from service.background.model_loading import BehaviorModels
from service.background.new_item_listing import list_new_items
from service.background.pending_items import PENDING_ITEMS_SECONDS, PendingEmbedder
from service.background.pending_preferences import PREFERENCES_SECONDS, PreferenceEmbedder
from service.background.purge import SECONDS_PER_DAY, Purge
from service.background.reembedding import GenerationFiller, GenerationSwitch
from service.background.training import Trainer
from service.catalog.admin import CatalogAdmin
from service.catalog.attribution import ResponseCounts
from service.catalog.generation_writer import GenerationWriter
from service.catalog.generations import CatalogGenerations, OpenGeneration
from service.catalog.handle import CatalogHandle
from service.catalog.open_catalog import Work
from service.catalog.open_catalogs import OpenCatalogs
from service.catalog.reembedding import Reembeddings
from service.catalog.reindexing import Reindexing
from service.domain.generations import CatalogRecord, Generation, GenerationRecord, GenerationState
from service.domain.index_kinds import IndexKind
from service.domain.spaces import Model, ModelChoice, VectorStorage
from service.embedding.budget import Budget
from service.embedding.paid_requests import PaidRequests
from service.embedding.pool import EmbedderPool, Spawn
from service.embedding.providers import ProbedModel, probe_model
from service.recommend.new_items import NewItems
from service.server.handle_factory import HandleFactory
from service.server.http_listeners import HttpListeners
from service.server.item_indexes import ItemIndexes
from service.server.observers import observe_attribution, observe_embedding
from service.settings import Settings
from service.storage.data_folder import PROBE_SOCKET, TRAINING_FOLDER
from service.storage.duties import Duty
from service.storage.stores import Stores
from service.telemetry.calls import CallTelemetry


@dataclass(frozen=True, slots=True)
class Worker:
    """One of `count` processes that serve the same data on the same port.

    `scrapes` is where the supervisor asks for metrics; None without a supervisor.
    """

    number: int = 0
    count: int = 1
    scrapes: Connection | None = None

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
        self.behavior_models = BehaviorModels(stores.behavior_models)
        self._handle_factory = HandleFactory(
            settings,
            stores,
            self.behavior_models,
            self.response_counts,
            observe_attribution(telemetry.metrics),
        )
        self.catalogs = OpenCatalogs(stores.database, stores.generations, self, spawn)
        self._due_items = DueGenerations(stores.pending.list_due_generations, PENDING_ITEMS_SECONDS)
        self._due_preferences = DueGenerations(
            stores.reembedding.list_due_preferences, PREFERENCES_SECONDS
        )
        if worker.leads:
            for due in (self._due_items, self._due_preferences):
                spawn(perform(stores.duties, Duty.EMBEDDING, due.run))
        self._new_items: dict[Generation, NewItems] = {}
        self._models: dict[Generation, Model] = {}
        self._item_indexes = ItemIndexes(
            settings, stores, leads=worker.leads, shared=self.has_other_writers
        )
        stack.push_async_callback(self._item_indexes.close)
        spawn(self._item_indexes.dispatch.run())
        if worker.leads and settings.qdrant_url:
            unused = self._item_indexes.make_unused_collections()
            spawn(perform(stores.duties, Duty.INDEXING, unused.run))

    def make_server(self) -> Server:
        """Return the gRPC server, which does not listen yet.

        Raises:
            KeysUnusable, TlsUnusable: a file of keys or certificates cannot be used.
        """
        settings, stores = self._settings, self._stores
        can_share = bool(settings.qdrant_url)
        admin = CatalogAdmin(
            stores.generations,
            stores.catalog_settings,
            self.catalogs.show_change,
            self._find_model,
            settings.max_catalogs,
            IndexKind(settings.index),
            can_share=can_share,
        )
        reembeddings = Reembeddings(
            stores, self.catalogs.show_change, self.embedder_pool, self._find_model
        )
        reindexing = Reindexing(stores.generations, self.catalogs.update_soon, can_share=can_share)
        server = Server(
            {
                RECOMMENDER: RecommenderServicer(self.catalogs, time.time_ns),
                CATALOG: CatalogServicer(self.catalogs, admin, reembeddings, reindexing),
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
        self.http_listeners = HttpListeners(
            settings, server, _tls_files(settings), shared_port=not self._worker.is_alone
        )
        return server

    def make_purge(self) -> Purge:
        """Return what keeps the database small, for the leading worker."""
        return Purge(
            self._stores,
            self._item_indexes.list_positions,
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
        self, writer: GenerationWriter, record: CatalogRecord
    ) -> tuple[OpenGeneration, Sequence[Work]]:
        """Return a generation that follows the store, with the index of its catalog."""
        generation, space = writer.generation, writer.text_embedder.space
        storage = record.vector_storage
        if storage is VectorStorage.UNSPECIFIED:
            storage = VectorStorage(self._settings.index_vectors)
        if record.index is IndexKind.SHARED:
            reader, tasks = await self._item_indexes.open_shared(generation, space)
        else:
            reader, tasks = await self._item_indexes.open(generation, space, storage)
        opened = OpenGeneration(
            generation,
            writer.text_embedder,
            writer.usd_per_token,
            writer.add_vectors,
            reader,
            storage,
            record.index,
        )
        new_items = self._new_items[generation] = NewItems()
        find_model = partial(self.behavior_models.find, generation.catalog_id)
        return opened, [
            *tasks,
            list_new_items(
                self._stores.behavior_models,
                reader,
                new_items,
                find_model,
                partial(self.behavior_models.wait_for_first, generation.catalog_id),
            ),
        ]

    def make_handle(self, record: CatalogRecord, generations: CatalogGenerations) -> CatalogHandle:
        """Return the use cases of a catalog."""
        new_items = self._new_items[generations.serving.generation]
        return self._handle_factory.make(record, generations, new_items)

    async def make_index_change(self, serving: OpenGeneration, record: CatalogRecord) -> None:
        """Change a catalog to a shared index, in the leading worker."""
        if not self._worker.leads:
            return
        writer = self._item_indexes.make_shared_writer(
            serving.generation, serving.text_embedder.space
        )
        change = IndexChange(self._stores.generations, record, writer, self.catalogs.update_soon)
        await perform(self._stores.duties, Duty.INDEXING, change.run)

    def make_background(
        self, serving: OpenGeneration, writer: GenerationWriter, state: GenerationState
    ) -> list[Work]:
        """Return the leading worker's background tasks for a generation in a state."""
        if not self._worker.leads:
            return []
        stores, generation = self._stores, writer.generation
        embed = partial(perform, self._stores.duties, Duty.EMBEDDING)
        items = PendingEmbedder(stores.pending, generation, writer.text_embedder)
        preferences = PreferenceEmbedder(stores.reembedding, generation, writer.text_embedder)
        tasks = [
            embed(partial(items.run, partial(self._due_items.wait, generation))),
            embed(partial(preferences.run, partial(self._due_preferences.wait, generation))),
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
        builder, items = self._item_indexes.find_builder(next_), self._stores.items
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
        self._new_items.pop(generation, None)
        model = self._models.pop(generation, None)
        await self._item_indexes.remove(generation)
        if model is not None:
            await self.embedder_pool.release(generation, model)

    async def remove_unknown_files(self) -> None:
        """Remove the snapshots of generations that do not exist."""
        await self._item_indexes.remove_unknown()

    async def _flush_responses(self) -> None:
        """Store the numbers of responses at the end of the worker, if the database can be used."""
        with suppress(errors.AkinError):
            await self.response_counts.flush()


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
