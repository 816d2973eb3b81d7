"""Between the messages of catalogs and domain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from akin.v1 import catalog_service_pb2 as pb
from google.protobuf import duration_pb2

from service import errors
from service.api.messages.catalog_settings import read_settings, settings_message
from service.api.messages.index_choice import index_kind_number, read_index_kind
from service.api.messages.timestamps import timestamp
from service.domain.behavior import TrainingSummary
from service.domain.catalog_settings import CatalogSettings, SettingsField
from service.domain.generations import DEFAULT_CATALOG
from service.domain.index_kinds import IndexKind
from service.domain.spaces import ModelChoice, Space, VectorStorage
from service.domain.stats import (
    CatalogStats,
    PendingGroup,
    Reembedding,
    ReembeddingEstimate,
    ReembeddingState,
)
from service.domain.text_formats import TextFormat
from service.domain.validation import (
    catalog_violations,
    model_violations,
    read_violations,
    write_violations,
)
from service.domain.violations import Violation

_STORAGES = {
    VectorStorage.UNSPECIFIED: pb.VECTOR_STORAGE_UNSPECIFIED,
    VectorStorage.FLOAT32: pb.VECTOR_STORAGE_FLOAT32,
    VectorStorage.FLOAT16: pb.VECTOR_STORAGE_FLOAT16,
    VectorStorage.INT8: pb.VECTOR_STORAGE_INT8,
}
_TEXT_FORMATS: dict[TextFormat, pb.TextFormat.ValueType] = {
    TextFormat.PLAIN: pb.TEXT_FORMAT_PLAIN,
    TextFormat.HTML: pb.TEXT_FORMAT_HTML,
}
_STATES = {
    ReembeddingState.EMBEDDING: pb.REEMBEDDING_STATE_EMBEDDING,
    ReembeddingState.INDEXING: pb.REEMBEDDING_STATE_INDEXING,
    ReembeddingState.SERVING: pb.REEMBEDDING_STATE_SERVING,
}


@dataclass(frozen=True, slots=True)
class CatalogCreation:
    """A catalog to create; `index` is None for that of the server's settings."""

    name: str
    model: ModelChoice
    vector_storage: VectorStorage
    text_format: TextFormat
    settings: CatalogSettings
    index: IndexKind | None


def parse_create_catalog(request: pb.CreateCatalogRequest) -> CatalogCreation:
    """Return the catalog to create.

    Raises:
        InvalidRequest: with every violation.
    """
    model = _read_model(request.embedding)
    violations = [*catalog_violations(request.catalog), *model_violations(model)]
    numbers = {number: storage for storage, number in _STORAGES.items()}
    storage = numbers.get(request.vector_storage)
    if storage is None:
        violations.append(Violation("vector_storage", "must be a value of VectorStorage"))
    text_format = _read_text_format(request.text_format)
    if text_format is None:
        violations.append(Violation("text_format", "must be a value of TextFormat"))
    settings = read_settings(request.settings, tuple(SettingsField), violations)
    index = read_index_kind(request.index_kind, violations)
    if violations:
        raise errors.InvalidRequest(violations)
    return CatalogCreation(
        request.catalog,
        model,
        storage or VectorStorage.UNSPECIFIED,
        text_format or TextFormat.PLAIN,
        settings,
        index,
    )


def parse_get_catalog(request: pb.GetCatalogRequest) -> None:
    """Check the request.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(read_violations(request.catalog, request.min_sequence))


def parse_list_catalogs(request: pb.ListCatalogsRequest) -> None:
    """Check the request.

    Raises:
        InvalidRequest: `min_sequence` is invalid.
    """
    errors.raise_if_invalid(read_violations("", request.min_sequence))


def parse_delete_catalog(request: pb.DeleteCatalogRequest) -> str:
    """Return the name of the catalog.

    Raises:
        InvalidRequest: the name is invalid, or that of the default catalog.
    """
    violations = [*catalog_violations(request.catalog)]
    if request.catalog == DEFAULT_CATALOG:
        violations.append(Violation("catalog", f"must not be {DEFAULT_CATALOG}"))
    if violations:
        raise errors.InvalidRequest(violations)
    return request.catalog


def parse_estimate_reembedding(request: pb.EstimateReembeddingRequest) -> ModelChoice:
    """Return the model to estimate re-embedding with.

    Raises:
        InvalidRequest: with every violation.
    """
    model = _read_model(request.embedding)
    violations = read_violations(request.catalog, request.min_sequence)
    errors.raise_if_invalid((*violations, *model_violations(model)))
    return model


def parse_start_reembedding(request: pb.StartReembeddingRequest) -> ModelChoice:
    """Return the model to re-embed with.

    Raises:
        InvalidRequest: with every violation.
    """
    model = _read_model(request.embedding)
    errors.raise_if_invalid((*write_violations(request.catalog), *model_violations(model)))
    return model


def parse_get_reembedding(request: pb.GetReembeddingRequest) -> None:
    """Check the request.

    Raises:
        InvalidRequest: with every violation.
    """
    errors.raise_if_invalid(read_violations(request.catalog, request.min_sequence))


class CatalogRequest(Protocol):
    """A request that only names a catalog."""

    catalog: str


def parse_catalog(request: CatalogRequest) -> None:
    """Check the name of the catalog.

    Raises:
        InvalidRequest: the name is invalid.
    """
    errors.raise_if_invalid(write_violations(request.catalog))


def catalog_message(stats: CatalogStats) -> pb.Catalog:
    """Return the message of a catalog with its statistics."""
    return pb.Catalog(
        name=stats.name,
        item_count=stats.item_count,
        user_count=stats.user_count,
        sequence=stats.sequence,
        space=_space_message(stats.space),
        vector_storage=_STORAGES[stats.vector_storage],
        pending_items=map(_pending_message, stats.pending),
        daily_usage=(
            pb.DailyUsage(
                day=usage.day, prompt_token_count=usage.prompt_tokens, cost_usd=usage.cost_usd
            )
            for usage in stats.usage
        ),
        embedding_error_reason=stats.embedding_error_reason,
        embedding_error_message=stats.embedding_error_message,
        index=pb.IndexStats(
            vector_count=stats.index.vectors,
            graph_vector_count=stats.index.graph_vectors,
            deleted_vector_count=stats.index.deleted_vectors,
            neighbor_list_count=stats.index.neighbor_lists,
            building=stats.index.building,
            memory_bytes=stats.index.memory_bytes,
        ),
        text_format=_TEXT_FORMATS[stats.text_format],
        unknown_text_ratio=stats.unknown_text_ratio,
        settings=settings_message(stats.settings),
        interaction_count=stats.interaction_count,
        behavior_model=None if stats.training is None else _model_message(stats.training),
        click_through=(
            pb.ClickThrough(
                source=counts.source,
                signals=counts.signals,
                response_count=counts.response_count,
                clicked_response_count=counts.clicked_response_count,
            )
            for counts in stats.click_through
        ),
        index_kind=index_kind_number(stats.index_kind),
        next_index_kind=index_kind_number(stats.next_index_kind),
        index_progress=stats.index_progress,
    )


def _pending_message(group: PendingGroup) -> pb.PendingItems:
    oldest_us = group.oldest_update_time_us
    return pb.PendingItems(
        reason=group.reason,
        message=group.message,
        item_count=group.item_count,
        oldest_update_time=None if oldest_us is None else timestamp(oldest_us),
    )


def _model_message(training: TrainingSummary) -> pb.BehaviorModel:
    blend = training.blend
    weights = blend.weights.normalize()
    return pb.BehaviorModel(
        train_time=timestamp(training.train_time_us),
        like_count=training.like_count,
        item_count=training.item_count,
        test_user_count=blend.people_count,
        text_ndcg=blend.text_quality,
        ndcg_gain=blend.gain,
        ndcg_gain_lower_bound=blend.lower_bound,
        text_weight=weights.text,
        behavior_weight=weights.ridge + weights.following,
    )


def estimate_message(estimate: ReembeddingEstimate) -> pb.EstimateReembeddingResponse:
    """Return the message of an estimate."""
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(int(estimate.seconds * 1e9))
    return pb.EstimateReembeddingResponse(
        space=_space_message(estimate.space),
        text_count=estimate.usage.text_count,
        cached_text_count=estimate.usage.cached_text_count,
        prompt_token_count=estimate.usage.prompt_tokens,
        cost_usd=estimate.usage.cost_usd,
        duration=duration,
        sampled=estimate.sampled,
    )


def reembedding_message(reembedding: Reembedding) -> pb.Reembedding:
    """Return the message of a re-embedding's progress."""
    return pb.Reembedding(
        state=_STATES[reembedding.state],
        from_space=_space_message(reembedding.from_space),
        to_space=_space_message(reembedding.to_space),
        item_count=reembedding.item_count,
        embedded_item_count=reembedding.embedded_item_count,
        rejected_item_count=reembedding.rejected_item_count,
        prompt_token_count=reembedding.prompt_tokens,
        cost_usd=reembedding.cost_usd,
        error_reason=reembedding.problem_reason,
        error_message=reembedding.problem_message,
        start_time=timestamp(reembedding.start_us),
    )


def _read_text_format(number: pb.TextFormat.ValueType) -> TextFormat | None:
    """Return a text format; None if none has the number."""
    numbers = {number: text_format for text_format, number in _TEXT_FORMATS.items()}
    return numbers.get(number or pb.TEXT_FORMAT_PLAIN)


def _read_model(message: pb.EmbeddingModel) -> ModelChoice:
    return ModelChoice(
        message.provider,
        message.model,
        message.dimensions,
        message.template,
        message.query_template,
    )


def _space_message(space: Space) -> pb.EmbeddingSpace:
    return pb.EmbeddingSpace(
        provider=space.provider,
        model=space.model,
        dimensions=space.dimensions,
        template=space.template,
        query_template=space.query_template,
    )
