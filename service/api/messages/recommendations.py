"""Between the messages of recommendations and domain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from akin.v1 import item_pb2
from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.api.messages.boosts import read_boosts, read_group_by
from service.api.messages.filters import read_filter
from service.api.messages.items import item_message
from service.api.messages.timestamps import timestamp
from service.api.messages.usage import usage_message
from service.api.status import status
from service.domain import limits
from service.domain.generations import DEFAULT_CATALOG
from service.domain.recommendations import (
    DEFAULT_HALF_LIFE_DAYS,
    SEEN_TYPES,
    Example,
    ExamplesSource,
    Explanation,
    ItemSource,
    PopularSource,
    Query,
    Recommendations,
    Relation,
    Signal,
    Signals,
    Source,
    TextSource,
    UserSource,
    VectorSource,
)
from service.domain.validation import query_violations, read_violations
from service.domain.violations import Violation

# The digits of a half-life in days after the point.
HALF_LIFE_DIGITS = 6

_RELATIONS: dict[int, Relation] = {
    pb.RELATION_UNSPECIFIED: Relation.SIMILAR,
    pb.RELATION_SIMILAR: Relation.SIMILAR,
    pb.RELATION_ALSO_LIKED: Relation.ALSO_LIKED,
    pb.RELATION_BOTH: Relation.BOTH,
}
_FALLBACKS = frozenset(pb.Fallback.values())
_STRING_SOURCES: dict[str, Callable[[str], Source]] = {
    "item_id": ItemSource,
    "user_id": UserSource,
    "text": TextSource,
}
_SIGNALS: dict[Signal, pb.Signal.ValueType] = {
    Signal.TEXT: pb.SIGNAL_TEXT,
    Signal.BEHAVIOR: pb.SIGNAL_BEHAVIOR,
}


def parse_recommend_similar(request: pb.RecommendSimilarRequest) -> Query:
    """Return the query.

    Of lists that are too long, one entry too many is read, so that validation reports it.

    Raises:
        InvalidRequest: with every violation.
    """
    violations = [
        *read_violations(request.catalog, request.min_sequence),
        *_enum_violations(request),
    ]
    query = Query(
        source=_read_source(request),
        limit=request.limit or limits.RECOMMENDATIONS_DEFAULT,
        exclude_item_ids=tuple(request.exclude_item_ids[: limits.EXCLUDED_ITEMS + 1]),
        min_score=request.min_score if request.HasField("min_score") else None,
        full=read_full_view(request.view, violations),
        exact=request.exact,
        filter=read_filter(request.filter) if request.HasField("filter") else None,
        diversity=request.diversity,
        max_similarity=request.max_similarity if request.HasField("max_similarity") else None,
        explain=request.explain,
        relation=_RELATIONS.get(request.relation, Relation.SIMILAR),
        seen_types=_read_seen_types(request),
        new_item_boost=request.new_item_boost if request.HasField("new_item_boost") else None,
        falls_back=request.fallback == pb.FALLBACK_POPULAR,
        group_by=read_group_by(request),
        boosts=read_boosts(request, violations),
        with_vectors=request.include_vectors,
        lexical_weight=request.lexical_weight if request.HasField("lexical_weight") else None,
    )
    violations += query_violations(query)
    if violations:
        raise errors.InvalidRequest(violations)
    return query


def count_queries(request: pb.BatchRecommendRequest) -> int:
    """Return the number of queries of a batch.

    Raises:
        InvalidRequest: with every violation of the batch itself.
    """
    violations = [*read_violations(request.catalog)]
    if not 1 <= len(request.queries) <= limits.BATCH_QUERIES:
        violations.append(Violation("queries", f"must have 1 to {limits.BATCH_QUERIES} entries"))
    errors.raise_if_invalid(violations)
    return len(request.queries)


def parse_batch_query(
    request: pb.BatchRecommendRequest, position: int
) -> Query | errors.InvalidRequest:
    """Return one query of a batch, or why it is invalid."""
    message = request.queries[position]
    if message.catalog and message.catalog != (request.catalog or DEFAULT_CATALOG):
        return errors.invalid_field("catalog", "must be unset, or the catalog of the batch")
    try:
        return parse_recommend_similar(message)
    except errors.InvalidRequest as exc:
        return exc


def _enum_violations(request: pb.RecommendSimilarRequest) -> Iterator[Violation]:
    if request.relation not in _RELATIONS:
        yield Violation("relation", "must be a value of Relation")
    if request.fallback not in _FALLBACKS:
        yield Violation("fallback", "must be a value of Fallback")


def _read_seen_types(request: pb.RecommendSimilarRequest) -> tuple[str, ...]:
    if not request.HasField("exclude_interactions"):
        return SEEN_TYPES
    return tuple(request.exclude_interactions.types[: limits.INTERACTION_TYPES + 1])


def recommend_similar_response(
    answer: Recommendations, recommendation_id: str
) -> pb.RecommendSimilarResponse:
    """Return the response to a query."""
    message = pb.RecommendSimilarResponse(
        missing_item_ids=answer.missing_item_ids,
        sequence=answer.sequence,
        recommendation_id=recommendation_id,
        signals=_signals_message(answer.signals),
    )
    if answer.usage.text_count:
        message.usage.CopyFrom(usage_message(answer.usage))
    add = message.recommendations.add
    for recommendation in answer.recommendations:
        added = add(item_id=recommendation.item_id, score=recommendation.score)
        if recommendation.item is not None:
            added.item.CopyFrom(item_message(recommendation.item))
        if recommendation.explanations:
            added.explanations.extend(map(_explanation_message, recommendation.explanations))
    return message


def query_result(
    outcome: pb.RecommendSimilarResponse | errors.AkinError,
) -> pb.QueryResult:
    """Return the outcome for one query of a batch."""
    if isinstance(outcome, pb.RecommendSimilarResponse):
        return pb.QueryResult(response=outcome)
    error = status(outcome)
    return pb.QueryResult(code=error.code, message=error.message, reason=outcome.reason)


def _signals_message(signals: Signals) -> pb.Signals:
    message = pb.Signals(text_weight=signals.text_weight, behavior_weight=signals.behavior_weight)
    if signals.model_time_us is not None:
        message.model_time.CopyFrom(timestamp(signals.model_time_us))
    return message


def _read_source(request: pb.RecommendSimilarRequest) -> Source | None:
    match request.WhichOneof("source"):
        case "item_id" | "user_id" | "text" as name:
            return _STRING_SOURCES[name](getattr(request, name))
        case "examples":
            return ExamplesSource(
                tuple(map(_read_example, request.examples.positive[: limits.EXAMPLES + 1])),
                tuple(map(_read_example, request.examples.negative[: limits.EXAMPLES + 1])),
            )
        case "vector":
            return VectorSource(tuple(request.vector.values[: limits.DIMENSIONS + 1]))
        case "popular":
            has_half_life = request.popular.HasField("half_life_days")
            # In 32 bits, 0.01 is a little less.
            half_life_days = round(request.popular.half_life_days, HALF_LIFE_DIGITS)
            return PopularSource(half_life_days if has_half_life else DEFAULT_HALF_LIFE_DAYS)
        case _:
            return None


def _read_example(message: pb.Example) -> Example:
    weight = message.weight or 1.0
    match message.WhichOneof("example"):
        case "item_id":
            return Example(ItemSource(message.item_id), weight)
        case "text":
            return Example(TextSource(message.text), weight)
    return Example(None, weight)


def _explanation_message(reason: Explanation) -> pb.Explanation:
    message = pb.Explanation(
        similarity=reason.similarity,
        signal=_SIGNALS[reason.signal],
        matched_words=reason.matched_words,
    )
    if isinstance(reason.source, ItemSource):
        message.item_id = reason.source.item_id
    else:
        message.text = reason.source.text
    return message


def read_full_view(view: int, violations: list[Violation]) -> bool:
    """Return whether a view asks for whole items; an unknown view is added to `violations`."""
    if view not in item_pb2.ItemView.values():
        violations.append(Violation("view", "must be a value of ItemView"))
    return view == item_pb2.ITEM_VIEW_FULL
