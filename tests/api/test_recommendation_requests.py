"""Requests for recommendations by behavior, and the queries that they become."""

import math
from typing import Any

import pytest
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.analysis_service_pb2 import SearchPassagesRequest

from service import errors
from service.api.messages.analyses import parse_search_passages
from service.api.messages.recommendations import parse_recommend_similar
from service.domain.interactions import InteractionType
from service.domain.recommendations import PopularSource, Relation

USER: dict[str, Any] = {"user_id": "u"}
ITEM: dict[str, Any] = {"item_id": "i"}
POPULAR: dict[str, Any] = {"popular": pb.Popular()}


def find_violations(**fields: Any) -> list[str]:
    """Return the fields that a request is refused for."""
    with pytest.raises(errors.InvalidRequest) as caught:
        parse_recommend_similar(pb.RecommendSimilarRequest(**fields))
    return [violation.field for violation in caught.value.violations]


def test_fields_have_defaults() -> None:
    """What a request does not set has the value that the API documents."""
    query = parse_recommend_similar(pb.RecommendSimilarRequest(**USER))
    assert {InteractionType.LIKE, InteractionType.PURCHASE} == set(query.seen_types)
    assert (Relation.SIMILAR, None, False) == (
        query.relation,
        query.new_item_boost,
        query.falls_back,
    )
    popular = parse_recommend_similar(pb.RecommendSimilarRequest(**POPULAR))
    assert PopularSource(30.0) == popular.source


def test_values_that_equal_defaults_of_protobuf_count() -> None:
    """An empty list of types, a boost of 0 and the lowest enum values are values."""
    query = parse_recommend_similar(
        pb.RecommendSimilarRequest(
            **USER, exclude_interactions=pb.InteractionTypes(), new_item_boost=0.0
        )
    )
    assert ((), 0.0) == (query.seen_types, query.new_item_boost)
    for fallback, falls_back in ((pb.FALLBACK_NONE, False), (pb.FALLBACK_POPULAR, True)):
        request = pb.RecommendSimilarRequest(**USER, fallback=fallback)
        assert falls_back is parse_recommend_similar(request).falls_back


@pytest.mark.parametrize("half_life_days", [0.01, 30.0, 36_500.0])
def test_half_lives_within_limits_are_valid(half_life_days: float) -> None:
    """The least and the largest half-life are valid."""
    popular = pb.Popular(half_life_days=half_life_days)
    query = parse_recommend_similar(pb.RecommendSimilarRequest(popular=popular))
    assert isinstance(query.source, PopularSource)
    assert half_life_days == pytest.approx(query.source.half_life_days)


@pytest.mark.parametrize("half_life_days", [0.0, 0.009, -1.0, 36_501.0, math.inf, math.nan])
def test_half_lives_beyond_limits_are_refused(half_life_days: float) -> None:
    """Another half-life, also one that is no number, is refused by its field."""
    popular = pb.Popular(half_life_days=half_life_days)
    assert ["popular.half_life_days"] == find_violations(popular=popular)


@pytest.mark.parametrize("boost", [-0.001, 10.001, math.inf, -math.inf, math.nan])
def test_boosts_beyond_limits_are_refused(boost: float) -> None:
    """A boost must be between 0 and 10."""
    assert ["new_item_boost"] == find_violations(**USER, new_item_boost=boost)


@pytest.mark.parametrize("relation", [pb.RELATION_ALSO_LIKED, pb.RELATION_BOTH])
@pytest.mark.parametrize(
    "source",
    [
        USER,
        POPULAR,
        {"text": "tea"},
        {"examples": pb.Examples(positive=[pb.Example(item_id="i")])},
    ],
)
def test_only_an_item_has_a_relation(
    relation: pb.Relation.ValueType, source: dict[str, Any]
) -> None:
    """A relation is refused for other sources, and SIMILAR is accepted for all."""
    assert ["relation"] == find_violations(**source, relation=relation)
    parse_recommend_similar(pb.RecommendSimilarRequest(**ITEM, relation=relation))
    parse_recommend_similar(pb.RecommendSimilarRequest(**source, relation=pb.RELATION_SIMILAR))


def test_every_violation_is_named() -> None:
    """Unknown enum values, too many types and a wrong boost are reported together."""
    types = pb.InteractionTypes(types=[f"T{number}" for number in range(33)])
    paths = find_violations(
        **ITEM, relation=99, fallback=-1, exclude_interactions=types, new_item_boost=11.0
    )
    assert {"relation", "fallback", "exclude_interactions.types", "new_item_boost"} == set(paths)
    assert ["source"] == find_violations()


@pytest.mark.parametrize("weight", [-0.01, 1.01, math.nan, math.inf, -math.inf])
def test_lexical_weights_beyond_limits_are_refused(weight: float) -> None:
    """A weight outside of 0 to 1 is refused, in recommendations and in searches for passages."""
    assert ["lexical_weight"] == find_violations(text="x", lexical_weight=weight)
    with pytest.raises(errors.InvalidRequest) as caught:
        parse_search_passages(SearchPassagesRequest(text="x", lexical_weight=weight))
    assert ["lexical_weight"] == [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize("weight", [None, 0.0, 0.5, 1.0])
def test_lexical_weights_are_read(weight: float | None) -> None:
    """A weight within the limits is read, and an unset one is none."""
    query = parse_recommend_similar(pb.RecommendSimilarRequest(text="x", lexical_weight=weight))
    assert weight == query.lexical_weight
    passages = parse_search_passages(SearchPassagesRequest(text="x", lexical_weight=weight))
    assert weight == passages.lexical_weight


@pytest.mark.parametrize("source", [USER, ITEM, POPULAR])
def test_lexical_weights_are_for_texts(source: dict[str, Any]) -> None:
    """A weight for a source that is no text is refused."""
    assert ["lexical_weight"] == find_violations(**source, lexical_weight=0.0)
