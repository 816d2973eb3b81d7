"""The use cases of changing what a catalog is embedded with; the work itself is done aside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import ceil

from service import errors
from service.catalog.open_catalogs import Catalogs, OpenCatalog
from service.domain.generations import CatalogRecord, GenerationState
from service.domain.spaces import ModelChoice, Space
from service.domain.stats import Reembedding, ReembeddingState
from service.domain.usage import EmbeddingUsage
from service.domain.validation import model_violations
from service.domain.violations import Violation
from service.embedding.pool import EmbedderPool
from service.embedding.providers import ProbedModel
from service.storage import Registry, Store

SAMPLE_ITEMS = 10_000
PAGE_ITEMS = 1_000
PAGE_BYTES = 64 * 1024 * 1024

_STATES = {
    GenerationState.EMBEDDING: ReembeddingState.EMBEDDING,
    GenerationState.INDEXING: ReembeddingState.INDEXING,
    GenerationState.KEPT: ReembeddingState.SWITCHED,
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What re-embedding would take; `sampled`: scaled up from some of the items."""

    space: Space
    usage: EmbeddingUsage
    seconds: float
    sampled: bool


class Reembeddings:
    """Starts, shows and ends re-embedding.

    Args:
        store: where items are.
        registry: where catalogs are.
        catalogs: which are open.
        embedders: what embeds.
        ask: finds the model for a choice.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        catalogs: Catalogs,
        embedder_pool: EmbedderPool,
        ask: Callable[[ModelChoice], Awaitable[ProbedModel]],
    ) -> None:
        self._store = store
        self._registry = registry
        self._catalogs = catalogs
        self._embedder_pool = embedder_pool
        self._ask = ask

    async def estimate(
        self, catalog: OpenCatalog, choice: ModelChoice, found: Sequence[Violation] = ()
    ) -> Estimate:
        """What re-embedding a catalog would take.

        Raises:
            InvalidRequest: the choice breaks the contract.
            EmbeddingRejected, EmbeddingUnavailable: the model cannot be had.
        """
        errors.raise_if_invalid((*model_violations(choice), *found))
        asked = await self._ask(choice)
        engine = await self._embedder_pool.get(asked.model)
        generation = catalog.generations.serving.generation
        unmade = await self._registry.unmade(catalog.record, asked.model)
        text_embedder = await self._embedder_pool.make_text_embedder(
            self._store, unmade, asked.model
        )
        used, seen, after = EmbeddingUsage(), 0, ""
        while seen < SAMPLE_ITEMS:
            page = await self._store.list_items(generation, after, PAGE_ITEMS, PAGE_BYTES)
            used = used.plus(await text_embedder.estimate({each.item.text for each in page.items}))
            seen += len(page.items)
            if not page.more:
                break
            after = page.items[-1].item.item_id
        scale = page.total / seen if seen and page.more else 1.0
        new = scale * (used.text_count - used.cached_text_count)
        tokens = round(scale * used.prompt_tokens)
        limits = engine.batcher.limits
        requests = max(new / limits.texts, tokens / limits.tokens)
        usage = EmbeddingUsage(
            round(scale * used.text_count),
            round(scale * used.cached_text_count),
            tokens,
            tokens * await engine.fetch_usd_per_token(),
        )
        seconds = ceil(requests) / limits.concurrency * asked.request_seconds
        return Estimate(asked.model.space, usage, seconds, scale != 1.0)

    async def start(
        self, catalog: OpenCatalog, choice: ModelChoice, found: Sequence[Violation] = ()
    ) -> Reembedding:
        """Starts to re-embed a catalog.

        Raises:
            InvalidRequest: the choice breaks the contract.
            EmbeddingRejected, EmbeddingUnavailable: the model cannot be had.
            AlreadyEmbedded: the catalog is embedded with it.
            ReembeddingUnderWay: another one must be finished or cancelled first.
        """
        errors.raise_if_invalid((*model_violations(choice), *found))
        record = await self._record(catalog)
        if record.other is not None:
            raise errors.ReembeddingUnderWay("finish or cancel the re-embedding before this one")
        asked = await self._ask(choice)
        if asked.model.space == record.serving.model.space:
            raise errors.AlreadyEmbedded("the catalog is embedded like that already")
        await self._registry.add_generation(record, asked.model)
        await self._catalogs.update()
        return await self.get(catalog)

    async def get(self, catalog: OpenCatalog, found: Sequence[Violation] = ()) -> Reembedding:
        """How far it is.

        Raises:
            ReembeddingNotFound: the catalog is not being re-embedded.
        """
        errors.raise_if_invalid(found)
        record = await self._record(catalog)
        former, new = record.serving, record.other
        if new is None:
            raise errors.ReembeddingNotFound("the catalog is not being re-embedded")
        state = _STATES[new.state]
        if new.state is GenerationState.KEPT:
            former, new = new, former
        filled = await self._registry.filled(new.generation)
        return Reembedding(
            state,
            former.model.space,
            new.model.space,
            await self._registry.text_count(new.generation),
            filled.embedded,
            filled.rejected,
            new.spent.prompt_tokens,
            new.spent.cost_usd,
            new.problem,
            new.start_us,
        )

    async def cancel(self, catalog: OpenCatalog, found: Sequence[Violation] = ()) -> None:
        """Ends it, and has the former generation serve, again if need be.

        Raises:
            ReembeddingNotFound: the catalog is not being re-embedded.
        """
        errors.raise_if_invalid(found)
        await self._registry.cancel(await self._record(catalog))
        await self._catalogs.update()

    async def finish(self, catalog: OpenCatalog, found: Sequence[Violation] = ()) -> None:
        """Drops the former generation.

        Raises:
            ReembeddingNotFound: the catalog is not being re-embedded.
            ReembeddingUnderWay: the new generation does not serve yet.
        """
        errors.raise_if_invalid(found)
        await self._registry.finish(await self._record(catalog))
        await self._catalogs.update()

    async def _record(self, catalog: OpenCatalog) -> CatalogRecord:
        """What the store says of a catalog now.

        Raises:
            CatalogNotFound: it was deleted.
        """
        record = (await self._registry.catalogs()).get(catalog.record.name)
        if record is None or record.catalog_id != catalog.record.catalog_id:
            raise errors.CatalogNotFound("there is no such catalog")
        return record
