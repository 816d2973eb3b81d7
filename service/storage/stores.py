"""All stores over one database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from service.storage.behavior_models import BehaviorModelStore
from service.storage.catalog_settings import CatalogSettingsStore
from service.storage.click_through import ClickThroughStore
from service.storage.database import Database
from service.storage.duties import Duties, FixedDuties
from service.storage.embedding_requests import EmbeddingRequestStore
from service.storage.generations import GenerationStore
from service.storage.interactions import InteractionStore
from service.storage.items import ItemStore
from service.storage.pending import PendingStore
from service.storage.profiles import ProfileStore
from service.storage.reembedding import ReembeddingStore
from service.storage.removal import RemovalStore
from service.storage.shared_indexes import SharedIndexStore
from service.storage.sqlite.compaction import CompactionStore
from service.storage.sqlite.sqlite_database import SqliteDatabase
from service.storage.unused_rows import UnusedRowStore
from service.storage.usage import UsageStore
from service.storage.users import UserStore
from service.storage.vectors import VectorStore


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one process. End them with `close`, or close the database.

    `compaction` is None if the database keeps its files small by itself.
    """

    database: Database
    duties: Duties
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
    shared_indexes: SharedIndexStore
    unused_rows: UnusedRowStore
    compaction: CompactionStore | None

    @classmethod
    def over(cls, database: Database, duties: Duties | None = None) -> Self:
        """Return the stores over an open database; without `duties`, all are this process's."""
        return cls(
            database,
            duties or FixedDuties(leads=True),
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
            EmbeddingRequestStore(database),
            RemovalStore(database),
            SharedIndexStore(database),
            UnusedRowStore(database),
            CompactionStore(database) if isinstance(database, SqliteDatabase) else None,
        )

    async def close(self) -> None:
        """Leave the duties, finish the queued writes, and close the database."""
        await self.duties.close()
        await self.database.close()
