"""The state of a catalog as operators see it."""

from __future__ import annotations

from dataclasses import replace

from service.catalog.generations import CatalogGenerations
from service.catalog.unknown_texts import UnknownTexts
from service.domain.stats import CatalogStats
from service.domain.usage import DailyUsage
from service.storage.stores import Stores

# Days of embedding usage in the statistics.
USAGE_DAYS = 31


class StatsReader:
    """Reads the statistics of one catalog."""

    def __init__(
        self,
        stores: Stores,
        generations: CatalogGenerations,
    ) -> None:
        self._stores = stores
        self._serving = serving = generations.serving
        self._unknown_texts = UnknownTexts(
            stores.items, serving.generation, serving.text_embedder.space
        )

    def refresh(self, stats: CatalogStats) -> CatalogStats:
        """Return statistics with what this process knows without reading from the store."""
        serving = self._serving
        problem = serving.text_embedder.problem
        return replace(
            stats,
            sequence=self._stores.items.last_sequence,
            indexed_sequence=serving.reader.sequence,
            embedding_error_reason=problem.reason,
            embedding_error_message=problem.message,
            index=serving.reader.collect_stats(),
        )

    async def read(self) -> CatalogStats:
        """Return the present statistics.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        stores, serving = self._stores, self._serving
        generation = serving.generation
        usage = await stores.usage.list_days(USAGE_DAYS)
        problem = serving.text_embedder.problem
        return CatalogStats(
            name=generation.name,
            item_count=await stores.items.count(generation),
            user_count=await stores.users.count(generation),
            interaction_count=await stores.interactions.count(generation),
            sequence=await stores.items.refresh(),
            indexed_sequence=serving.reader.sequence,
            space=serving.text_embedder.space,
            pending=await stores.pending.list_groups(generation),
            usage=[
                DailyUsage(day, tokens.prompt_tokens, tokens.cost_usd)
                for day, tokens in usage.items()
            ],
            embedding_error_reason=problem.reason,
            embedding_error_message=problem.message,
            index=serving.reader.collect_stats(),
            vector_storage=serving.storage,
            text_format=generation.text_format,
            unknown_text_ratio=await self._unknown_texts.measure(),
            settings=await stores.catalog_settings.get(generation),
            training=await stores.behavior_models.read_summary(generation.catalog_id),
            click_through=await stores.click_through.sum_days(generation),
        )
