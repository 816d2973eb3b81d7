"""The state of a catalog as operators see it."""

from __future__ import annotations

from service.catalog.generations import CatalogGenerations
from service.catalog.unknown_texts import UnknownTexts
from service.domain.stats import CatalogStats
from service.domain.usage import DailyUsage
from service.storage.items import ItemStore
from service.storage.pending import PendingStore
from service.storage.usage import UsageStore
from service.storage.users import UserStore

# Days of embedding usage in the statistics.
USAGE_DAYS = 31


class StatsReader:
    """Reads the statistics of one catalog."""

    def __init__(
        self,
        items: ItemStore,
        users: UserStore,
        pending: PendingStore,
        usage: UsageStore,
        generations: CatalogGenerations,
    ) -> None:
        self._items = items
        self._users = users
        self._pending = pending
        self._usage = usage
        self._serving = serving = generations.serving
        self._unknown_texts = UnknownTexts(items, serving.generation, serving.text_embedder.space)

    async def read(self) -> CatalogStats:
        """Return the present statistics."""
        serving = self._serving
        usage = await self._usage.list_days(USAGE_DAYS)
        problem = serving.text_embedder.problem
        return CatalogStats(
            name=serving.generation.name,
            item_count=await self._items.count(serving.generation),
            user_count=await self._users.count(serving.generation),
            sequence=await self._items.refresh(),
            indexed_sequence=serving.follower.sequence,
            space=serving.text_embedder.space,
            pending=await self._pending.list_groups(serving.generation),
            usage=[
                DailyUsage(day, tokens.prompt_tokens, tokens.cost_usd)
                for day, tokens in usage.items()
            ],
            embedding_error_reason=problem.reason,
            embedding_error_message=problem.message,
            index=serving.follower.collect_stats(),
            vector_storage=serving.storage,
            text_format=serving.generation.text_format,
            unknown_text_ratio=await self._unknown_texts.measure(),
        )
