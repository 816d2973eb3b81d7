"""Between wire messages and domain values, for catalogs."""

from __future__ import annotations

from akin.v1 import catalog_service_pb2 as pb

from service.api.messages.convert import Violations, timestamp
from service.catalog.reembedding import Estimate
from service.domain.spaces import ModelChoice, Space, VectorStorage
from service.domain.stats import CatalogStats, Reembedding, ReembeddingState
from service.domain.violations import Violation

_STORAGES = {
    VectorStorage.UNSPECIFIED: pb.VECTOR_STORAGE_UNSPECIFIED,
    VectorStorage.FLOAT32: pb.VECTOR_STORAGE_FLOAT32,
    VectorStorage.FLOAT16: pb.VECTOR_STORAGE_FLOAT16,
}
_STATES = {
    ReembeddingState.EMBEDDING: pb.REEMBEDDING_STATE_EMBEDDING,
    ReembeddingState.INDEXING: pb.REEMBEDDING_STATE_INDEXING,
    ReembeddingState.SWITCHED: pb.REEMBEDDING_STATE_SWITCHED,
}


def storage(value: int, found: Violations) -> VectorStorage:
    """How vectors shall be kept; what is no such value is added to `found`."""
    for known, number in _STORAGES.items():
        if number == value:
            return known
    found.append(Violation("vector_storage", "must be a value of VectorStorage"))
    return VectorStorage.UNSPECIFIED


def choice(message: pb.EmbeddingModel) -> ModelChoice:
    """What a caller wants to embed with."""
    return ModelChoice(
        message.provider,
        message.model,
        message.dimensions,
        message.template,
        message.query_template,
    )


def catalog_message(figures: CatalogStats) -> pb.Catalog:
    """A catalog's figures."""
    return pb.Catalog(
        name=figures.name,
        item_count=figures.item_count,
        sequence=figures.sequence,
        space=_space_message(figures.space),
        pending=[
            pb.PendingItems(reason=reason, count=count) for reason, count in figures.pending.items()
        ],
        usage=[
            pb.DailyUsage(day=each.day, prompt_tokens=each.prompt_tokens, cost_usd=each.cost_usd)
            for each in figures.usage
        ],
        embedding_problem=figures.embedding_problem,
        index=pb.IndexFigures(
            vector_count=figures.index.vectors,
            graph_vector_count=figures.index.graph_vectors,
            void_vector_count=figures.index.void_vectors,
            listed_vector_count=figures.index.listed_vectors,
            building=figures.index.building,
            memory_bytes=figures.index.memory_bytes,
        ),
        user_count=figures.user_count,
        vector_storage=_STORAGES[figures.vector_storage],
    )


def estimate_message(estimate: Estimate) -> pb.EstimateReembeddingResponse:
    """What re-embedding would take."""
    return pb.EstimateReembeddingResponse(
        space=_space_message(estimate.space),
        texts=estimate.usage.text_count,
        cached_texts=estimate.usage.cached_text_count,
        prompt_tokens=estimate.usage.prompt_tokens,
        cost_usd=estimate.usage.cost_usd,
        seconds=estimate.seconds,
        sampled=estimate.sampled,
    )


def reembedding_message(figures: Reembedding) -> pb.Reembedding:
    """How far a re-embedding is."""
    return pb.Reembedding(
        state=_STATES[figures.state],
        from_space=_space_message(figures.from_space),
        to_space=_space_message(figures.to_space),
        item_count=figures.item_count,
        embedded_item_count=figures.embedded_item_count,
        rejected_item_count=figures.rejected_item_count,
        prompt_tokens=figures.prompt_tokens,
        cost_usd=figures.cost_usd,
        problem=figures.problem,
        start_time=timestamp(figures.start_us),
    )


def _space_message(space: Space) -> pb.EmbeddingSpace:
    return pb.EmbeddingSpace(
        provider=space.provider,
        model=space.model,
        dimensions=space.dimensions,
        template=space.template,
        query_template=space.query_template,
    )
