"""The state of a catalog as operators see it."""

from __future__ import annotations

from dataclasses import replace

from service.catalog.generations import CatalogGenerations
from service.catalog.unknown_texts import UnknownTexts
from service.domain.index_kinds import IndexKind, IndexKinds
from service.domain.shared_indexes import SharedIndexState
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
        settings, kinds = await stores.catalog_settings.get(generation)
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
            settings=settings,
            training=await stores.behavior_models.read_summary(generation.catalog_id),
            click_through=await stores.click_through.sum_days(generation),
            index_kind=serving.index,
            next_index_kind=self._find_next_kind(kinds),
            index_progress=await self._read_progress(kinds),
        )

    def _find_next_kind(self, kinds: IndexKinds) -> IndexKind | None:
        """Return the kind of index that this process changes to, None if it does not."""
        if kinds.next is None and kinds.present is not self._serving.index:
            return kinds.present  # the store has changed, and this process catches up
        return kinds.next

    async def _read_progress(self, kinds: IndexKinds) -> float:
        """Return how much of a shared index that is being built is done, 0 if none is."""
        if IndexKind.SHARED not in kinds:
            return 0.0
        record = await self._stores.shared_indexes.get(self._serving.generation)
        is_being_built = record is not None and (
            record.state is SharedIndexState.BUILDING or kinds.next is IndexKind.SHARED
        )
        return record.progress if record is not None and is_being_built else 0.0
