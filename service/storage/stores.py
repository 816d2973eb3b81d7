"""All stores over one database."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from service.storage.behavior_models import BehaviorModelStore
from service.storage.catalog_settings import CatalogSettingsStore
from service.storage.click_through import ClickThroughStore
from service.storage.compaction import CompactionStore
from service.storage.data_folder import prepare_folder
from service.storage.database import Database
from service.storage.embedding_requests import EmbeddingRequestStore
from service.storage.generations import GenerationStore
from service.storage.interactions import InteractionStore
from service.storage.items import ItemStore
from service.storage.pending import PendingStore
from service.storage.profiles import ProfileStore
from service.storage.reembedding import ReembeddingStore
from service.storage.removal import RemovalStore
from service.storage.unused_rows import UnusedRowStore
from service.storage.usage import UsageStore
from service.storage.users import UserStore
from service.storage.vectors import VectorStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one process. Close their database to end them."""

    database: Database
    items: ItemStore
    users: UserStore
    interactions: InteractionStore
    profiles: ProfileStore
    behavior_models: BehaviorModelStore
    click_through: ClickThroughStore
    vectors: VectorStore
    generations: GenerationStore
    catalog_settings: CatalogSettingsStore
    reembedding: ReembeddingStore
    pending: PendingStore
    usage: UsageStore
    embedding_requests: EmbeddingRequestStore
    removal: RemovalStore
    unused_rows: UnusedRowStore
    compaction: CompactionStore

    @classmethod
    async def open(
        cls,
        folder: Path,
        clock_ns: Callable[[], int],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> Self:
        """Open the database in a data folder, and create both if they are missing.

        Args:
            folder: the data folder; `lock_folder` keeps it to the processes of one server.
            clock_ns: returns the time in nanoseconds since 1970 UTC.
            monotonic_ns: as `EmbeddingRequestStore` takes it.

        Raises:
            StoreUnavailable: the folder cannot be used.
            StoreCorrupted: a newer version of Akin wrote the database, or it is damaged.
        """
        database = Database(prepare_folder(folder), clock_ns)
        return cls(
            database,
            ItemStore(database),
            UserStore(database),
            InteractionStore(database),
            ProfileStore(database),
            BehaviorModelStore(database),
            ClickThroughStore(database),
            VectorStore(database),
            GenerationStore(database),
            CatalogSettingsStore(database),
            ReembeddingStore(database),
            PendingStore(database),
            UsageStore(database),
            EmbeddingRequestStore(database, monotonic_ns),
            RemovalStore(database),
            UnusedRowStore(database),
            CompactionStore(database),
        )
