"""Changes the embedding model of a catalog while it serves; background tasks do the work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import ceil

from service import errors
from service.catalog.stored_changes import reply_after_change
from service.domain.generations import CatalogRecord, Generation, GenerationState
from service.domain.spaces import ModelChoice
from service.domain.stats import Reembedding, ReembeddingEstimate, ReembeddingState
from service.domain.usage import EmbeddingUsage
from service.embedding.pool import EmbedderPool
from service.embedding.prompts import hash_text
from service.embedding.providers import ProbedModel
from service.embedding.text_embedder import TextEmbedder
from service.storage.stores import Stores

# Items whose texts are read for an estimate; the estimate of a larger catalog is scaled up.
SAMPLE_ITEMS = 10_000

# Items and bytes of text that are read at once.
ESTIMATED_ITEMS_AT_ONCE = 1_000
ESTIMATED_BYTES_AT_ONCE = 64 * 1024 * 1024

_STATES = {
    GenerationState.EMBEDDING: ReembeddingState.EMBEDDING,
    GenerationState.INDEXING: ReembeddingState.INDEXING,
    GenerationState.PREVIOUS: ReembeddingState.SERVING,
}


class Reembeddings:
    """Starts, observes and ends re-embeddings.

    Args:
        stores: where items and generations are.
        update: opens and closes the generations of a catalog as the store says, by its name.
        embedders: the embedders of this process.
        find_model: finds the model for a choice with one request to its provider.
    """

    def __init__(
        self,
        stores: Stores,
        update: Callable[[str], Awaitable[None]],
        embedders: EmbedderPool,
        find_model: Callable[[ModelChoice], Awaitable[ProbedModel]],
    ) -> None:
        self._items = stores.items
        self._generations = stores.generations
        self._progress = stores.reembedding
        self._vectors = stores.vectors
        self._update = update
        self._embedders = embedders
        self._find_model = find_model

    async def estimate(self, catalog: CatalogRecord, choice: ModelChoice) -> ReembeddingEstimate:
        """Estimate the usage and duration of re-embedding a catalog.

        Raises:
            InvalidRequest, EmbeddingRejected, EmbeddingUnavailable: the model cannot be used.
        """
        probed_model = await self._find_model(choice)
        model = probed_model.model
        next_generation = await self._generations.preview_next(catalog, model)
        text_embedder = await self._embedders.make_text_embedder(
            self._vectors, next_generation, model
        )
        try:
            return await self._estimate(catalog, probed_model, text_embedder)
        finally:
            await self._embedders.release(next_generation, model)

    async def _estimate(
        self, catalog: CatalogRecord, probed_model: ProbedModel, text_embedder: TextEmbedder
    ) -> ReembeddingEstimate:
        """Estimate the usage and duration of re-embedding a catalog with a text embedder."""
        model = probed_model.model
        embedder = await self._embedders.get(model)
        sampled, scale = await self._estimate_sample(catalog.serving.generation, text_embedder)
        tokens = round(scale * sampled.prompt_tokens)
        limits = embedder.batcher.limits
        new_texts = scale * (sampled.text_count - sampled.cached_text_count)
        requests = max(new_texts / limits.texts, tokens / limits.tokens)
        seconds = ceil(requests) / limits.concurrency * probed_model.request_seconds
        usage = EmbeddingUsage(
            round(scale * sampled.text_count),
            round(scale * sampled.cached_text_count),
            tokens,
            tokens * await embedder.fetch_usd_per_token(),
        )
        return ReembeddingEstimate(model.space, usage, seconds, scale != 1.0)

    async def _estimate_sample(
        self, serving: Generation, text_embedder: TextEmbedder
    ) -> tuple[EmbeddingUsage, float]:
        """Return the usage of a sample of the items, and the factor that scales it up."""
        sampled, item_count, after = EmbeddingUsage(), 0, ""
        # Hashes, because the texts of all pages together may be too large for memory.
        text_hashes: set[bytes] = set()
        while item_count < SAMPLE_ITEMS:
            page = await self._items.list_page(
                serving, after, ESTIMATED_ITEMS_AT_ONCE, ESTIMATED_BYTES_AT_ONCE
            )
            texts = {hash_text(stored.item.text): stored.item.text for stored in page.items}
            new_hashes = texts.keys() - text_hashes
            sampled = sampled.plus(await text_embedder.estimate(texts[key] for key in new_hashes))
            text_hashes |= new_hashes
            item_count += len(page.items)
            if not page.more:
                break
            after = page.items[-1].item.item_id
        return sampled, page.total / item_count if item_count and page.more else 1.0

    async def start(self, catalog: CatalogRecord, choice: ModelChoice) -> Reembedding:
        """Start to re-embed a catalog; return the progress.

        Raises:
            InvalidRequest, EmbeddingRejected, EmbeddingUnavailable: the model cannot be used.
            AlreadyEmbedded: the catalog already uses the model.
            ReembeddingUnderWay: the catalog is being re-embedded.
            ReembeddingNotCommitted: the catalog still has a previous generation.
            ReindexUnderWay: the catalog changes its index.
        """
        record = await self._read_record(catalog)
        if record.previous is not None:
            raise errors.ReembeddingNotCommitted(
                f"commit or roll back the last re-embedding of catalog {catalog.name!r} first"
            )
        if record.next is not None:
            raise errors.ReembeddingUnderWay(f"catalog {catalog.name!r} is being re-embedded")
        probed_model = await self._find_model(choice)
        if probed_model.model.space == record.serving.model.space:
            raise errors.AlreadyEmbedded(f"catalog {catalog.name!r} already uses this model")
        await self._generations.start_next(record, probed_model.model)
        await self._update(catalog.name)
        with reply_after_change():
            return await self.get(catalog)

    async def get(self, catalog: CatalogRecord) -> Reembedding:
        """Return the progress of the re-embedding.

        Raises:
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
        """
        record = await self._read_record(catalog)
        if record.serving.generation != catalog.serving.generation:
            # The store has switched: the next call of the caller must be served by the generation
            # that the response names.
            await self._update(catalog.name)
        source, target = record.serving, record.next
        state = _STATES[target.state] if target is not None else ReembeddingState.SERVING
        if record.previous is not None:
            source, target = record.previous, record.serving
        if target is None:
            raise errors.ReembeddingNotFound(f"catalog {catalog.name!r} is not being re-embedded")
        progress = await self._progress.get_progress(target.generation)
        return Reembedding(
            state,
            source.model.space,
            target.model.space,
            progress.item_count,
            progress.embedded,
            progress.rejected,
            target.spent.prompt_tokens,
            target.spent.cost_usd,
            target.problem_reason,
            target.problem_message,
            target.start_us,
        )

    async def cancel(self, catalog: CatalogRecord) -> None:
        """Drop the next generation, before the switch.

        Raises:
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
            ReembeddingNotCommitted: the switch is done.
        """
        await self._generations.cancel(await self._read_record(catalog))
        await self._update(catalog.name)

    async def rollback(self, catalog: CatalogRecord) -> None:
        """Serve the previous generation again and drop the new one, after the switch.

        Raises:
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
            ReembeddingUnderWay: the switch is not done.
        """
        await self._generations.rollback(await self._read_record(catalog))
        await self._update(catalog.name)

    async def commit(self, catalog: CatalogRecord) -> None:
        """Drop the previous generation, after the switch.

        Raises:
            ReembeddingNotFound: the catalog has neither a next nor a previous generation.
            ReembeddingUnderWay: the switch is not done.
        """
        await self._generations.commit(await self._read_record(catalog))
        await self._update(catalog.name)

    async def _read_record(self, catalog: CatalogRecord) -> CatalogRecord:
        """Return what the store says of a catalog now.

        Raises:
            CatalogNotFound: the catalog was deleted.
        """
        record = (await self._generations.list_catalogs()).get(catalog.name)
        if record is None or record.catalog_id != catalog.catalog_id:
            raise errors.CatalogNotFound(f"catalog {catalog.name!r} does not exist")
        return record
