"""Plans what recommendations need of an index that is not in memory: see `index.read_requests`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.domain.boosts import Boost
from service.domain.filters import Condition, Filter
from service.domain.recommendations import (
    DEFAULT_HALF_LIFE_DAYS,
    ItemSource,
    PopularSource,
    Relation,
    TextSource,
    VectorSource,
)
from service.domain.users import LikedItem
from service.domain.vectors import Vectors
from service.index.item_index import ItemIndex
from service.index.read_requests import (
    MAX_NEAREST_ITEMS,
    ItemsRequest,
    NearestRequest,
    RankedRequest,
    ReadRequest,
    Restriction,
)
from service.index.vector_index import select_queries
from service.recommend.blending import ScoredBehavior, count_behavior_candidates
from service.recommend.candidates import Candidates
from service.recommend.profile import Profile, build_query_vectors
from service.recommend.query_preparation import PreparedQuery
from service.recommend.scoring import MakeScorer, Scorer
from service.recommend.source_search import CANDIDATES_PER_SOURCE
from service.recommend.stand_ins import NEAREST_COUNT

# The items that are scored for several sources together, at least and for each result, up to
# MAX_NEAREST_ITEMS. Of 20 films for 80 people with 20 likes each, 99.6% are the same as if all were
# scored, and 98.4% with half.
MIN_SCORED_ITEMS = 512
SCORED_ITEMS_PER_RESULT = 16

# With boosts, many more items than the result has can be among the best: those that are nearest,
# and the nearest ones that each boost with a filter raises, up to MAX_NEAREST_ITEMS each.
MIN_BOOSTED_CANDIDATES = 500
BOOSTED_CANDIDATES_PER_RESULT = 10


def plan_retrieval(
    make_scorer: MakeScorer, prepared: PreparedQuery, limit: int, item_index: ItemIndex
) -> Iterator[ReadRequest]:
    """Yield what a prepared query needs for its `limit` best items.

    Args:
        make_scorer: the ranking of the catalog.
        prepared: a valid query.
        limit: the number of candidates.
        item_index: receives the items.
    """
    query, profile = prepared.query, prepared.profile
    restriction = _describe_restriction(prepared)
    fetch = _count_candidates(prepared, limit)
    if isinstance(query.source, PopularSource):
        if prepared.model is not None:
            popular_ids = prepared.model.list_popular(query.source.half_life_days)
            yield RankedRequest(popular_ids, fetch, restriction)
    elif profile is None:
        assert isinstance(query.source, ItemSource)  # noqa: S101  (other sources have a profile)
        yield from _plan_by_item(query.source.item_id, prepared, fetch, item_index)
    else:
        yield ItemsRequest([item.item_id for item in profile.items])
        query_vectors = build_query_vectors(profile, item_index)
        if isinstance(query.source, TextSource | VectorSource):
            yield from _plan_nearest(query_vectors.sources.vectors, prepared, fetch, restriction)
        elif query.relation is Relation.ALSO_LIKED or not len(query_vectors.origins):
            yield from _plan_by_behavior(prepared.behavior, fetch, restriction)
        else:
            scorer = make_scorer(query_vectors.sources, item_index.compute_statistics())
            yield from _plan_by_sources(scorer, prepared, fetch, item_index)


def plan_scores_by_text(
    make_scorer: MakeScorer,
    likes: Sequence[LikedItem],
    item_ids: Sequence[str],
    limit: int,
    item_index: ItemIndex,
) -> Iterator[ReadRequest]:
    """Yield what scores by text need: likes, items to score, and the `limit` best by text."""
    liked_ids = [item.item_id for item in likes]
    yield ItemsRequest([*liked_ids, *item_ids])
    query_vectors = build_query_vectors(Profile(likes, oldest_first=True), item_index)
    if len(query_vectors.origins):
        scorer = make_scorer(query_vectors.sources, item_index.compute_statistics())
        restriction = Restriction(exclude_ids=liked_ids)
        yield NearestRequest(scorer.queries, 2 * limit, restriction)


def plan_explanations(
    prepared: PreparedQuery, candidates: Candidates, _item_index: ItemIndex
) -> Iterator[ReadRequest]:
    """Yield what the explanations of candidates need."""
    source = prepared.query.source
    source_ids = [source.item_id] if isinstance(source, ItemSource) else []
    yield ItemsRequest([*source_ids, *candidates.item_ids])


def _describe_restriction(prepared: PreparedQuery) -> Restriction:
    """Return which items a query allows."""
    query, filled = prepared.query, prepared.filled
    seen_ids = prepared.profile.seen_item_ids if prepared.profile else ()
    restriction = Restriction(query.filter, {*seen_ids, *query.exclude_item_ids})
    if filled is None or query.group_by is None:
        return restriction
    return replace(
        restriction,
        exclude_ids={*restriction.exclude_ids, *filled.item_ids},
        excluded_attribute=query.group_by.attribute,
        excluded_values=filled.values,
    )


def _count_candidates(prepared: PreparedQuery, limit: int) -> int:
    if not prepared.query.boosts:
        return limit
    count = min(BOOSTED_CANDIDATES_PER_RESULT * limit, MAX_NEAREST_ITEMS)
    return max(MIN_BOOSTED_CANDIDATES, count)


def _plan_by_item(
    item_id: str, prepared: PreparedQuery, fetch: int, item_index: ItemIndex
) -> Iterator[ReadRequest]:
    yield ItemsRequest([item_id])
    key = item_index.find_key(item_id)
    if key is not None:
        queries = select_queries(item_index.vectors.get([key]).vectors)
        restriction = _describe_restriction(prepared)
        others = replace(restriction, exclude_ids={*restriction.exclude_ids, item_id})
        yield from _plan_nearest(queries, prepared, fetch, others)


def _plan_nearest(
    queries: Vectors,
    prepared: PreparedQuery,
    fetch: int,
    restriction: Restriction,
    max_items: int = MAX_NEAREST_ITEMS,
) -> Iterator[ReadRequest]:
    """Yield requests for the items nearest to some vectors, and for those that boosts may raise."""
    exact = prepared.query.exact
    yield NearestRequest(queries, fetch, restriction, exact, max_items)
    for boost in prepared.query.boosts:
        if isinstance(boost.function, Filter):
            filter_ = _select_raised(boost, boost.function, restriction.filter)
            raised = replace(restriction, filter=filter_)
            yield NearestRequest(queries, fetch, raised, exact, max_items)


def _select_raised(boost: Boost, boosted: Filter, filter_: Filter | None) -> Filter:
    """Return the filter of those allowed items that a boost puts before others."""
    required = () if filter_ is None else (Condition("", filter_),)
    condition = Condition("", boosted)
    if boosted == Filter():
        return Filter(all=required)
    if boost.weight < 0:
        return Filter(all=required, none=(condition,))
    return Filter(all=(*required, condition))


def _plan_by_behavior(
    behavior: ScoredBehavior | None, limit: int, restriction: Restriction
) -> Iterator[ReadRequest]:
    """Yield requests for the best items by behavior, and for popular ones that may follow them."""
    if behavior is not None:
        yield RankedRequest(behavior.list_best(), limit, restriction)
        popular_ids = behavior.model.list_popular(DEFAULT_HALF_LIFE_DAYS)
        yield RankedRequest(popular_ids, limit, restriction)


def _plan_by_sources(
    scorer: Scorer, prepared: PreparedQuery, fetch: int, item_index: ItemIndex
) -> Iterator[ReadRequest]:
    """Yield requests for the best items for several sources, by text and by behavior."""
    restriction, behavior = _describe_restriction(prepared), prepared.behavior
    adjusts = behavior is not None or prepared.stand_ins is not None or bool(prepared.query.boosts)
    count = max(CANDIDATES_PER_SOURCE, fetch) * (2 if adjusts else 1)
    max_items = max(MIN_SCORED_ITEMS, min(SCORED_ITEMS_PER_RESULT * fetch, MAX_NEAREST_ITEMS))
    yield from _plan_nearest(scorer.queries, prepared, count, restriction, max_items)
    if prepared.stand_ins is not None:
        yield NearestRequest(scorer.queries, NEAREST_COUNT)
        sample_scores = scorer.score(item_index.read_sample())
        behavior = prepared.stand_ins.score(item_index, scorer, sample_scores)
    if behavior is not None:
        behavior_count = count_behavior_candidates(fetch)
        yield RankedRequest(behavior.list_best(), behavior_count, restriction)
