"""Retrieves the best items for a query by score alone, from one state of the item index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from service.domain.filters import Filter
from service.domain.recommendations import (
    TEXT_SIGNALS,
    ItemSource,
    PopularSource,
    Relation,
    Signals,
    TextSource,
    VectorSource,
)
from service.domain.users import LikedItem
from service.domain.vectors import Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.lexical_search import (
    SearchScope,
    WordQuery,
    score_words,
    search_by_words,
)
from service.index.read_requests import ReadPlan
from service.index.vector_index import Hits, merge_hits, select_queries
from service.recommend.attribute_prior import AttributePrior
from service.recommend.behavior_search import rank_by_behavior, search_popular
from service.recommend.boosts import QueryBoosts, compute_boosts
from service.recommend.candidates import NO_VECTORS, Candidates
from service.recommend.profile import Profile, QueryVectors, build_query_vectors
from service.recommend.query_preparation import PreparedQuery
from service.recommend.restriction import (
    compute_allowed,
    find_excluded_keys,
    restrict_search,
)
from service.recommend.retrieval_plans import plan_retrieval, plan_scores_by_text
from service.recommend.scoring import MakeScorer, NearestChunk, Sources
from service.recommend.source_search import (
    Adjustment,
    measure_deviation,
    score_keys,
    search_by_sources,
)

# The best items by text that a validation compares with those by behavior.
SCORED_BY_TEXT = 100


class Retriever:
    """Retrieves candidates from an item index, by one ranking.

    Args:
        ranking: creates the scorer of a query with several sources.
        prior: a bonus for items in such queries.
    """

    def __init__(self, ranking: MakeScorer, prior: AttributePrior | None) -> None:
        self._ranking = ranking
        self._prior = prior

    def plan(self, prepared: PreparedQuery, limit: int) -> ReadPlan:
        """Return what `retrieve` needs of an index that is not in memory."""
        return partial(plan_retrieval, self._ranking, prepared, limit)

    def plan_scores(self, likes: Sequence[LikedItem], item_ids: Sequence[str]) -> ReadPlan:
        """Return what `score_by_text` needs of an index that is not in memory."""
        return partial(plan_scores_by_text, self._ranking, likes, item_ids, SCORED_BY_TEXT)

    def retrieve(
        self,
        item_index: ItemIndex,
        prepared: PreparedQuery,
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> Candidates | None:
        """Return the `limit` best items; None if the source is an item that has no vector.

        Args:
            item_index: the index to search.
            prepared: a valid query.
            limit: the number of candidates.
            with_vectors: whether the candidates need their vectors.
        """
        query, query_vectors, signals = prepared.query, None, prepared.signals
        if query.boosts:
            prepared = replace(prepared, boosts=compute_boosts(item_index, query.boosts))
        if isinstance(query.source, PopularSource):
            hits: Hits | None = search_popular(item_index, prepared, query.source, limit)
        elif prepared.profile is None:
            hits = _search_by_item(item_index, prepared, limit)
        else:
            query_vectors = build_query_vectors(prepared.profile, item_index)
            hits, signals = self._search_by_profile(item_index, prepared, query_vectors, limit)
        if hits is None:
            return None
        ranked = item_index.rank_hits(hits, limit)
        if query.min_score is not None:
            ranked = [candidate for candidate in ranked if candidate[1] >= query.min_score]
        vectors = NO_VECTORS
        if with_vectors and ranked:
            owned = item_index.vectors.get([key for _, _, key in ranked])
            vectors = owned.vectors[np.searchsorted(owned.owners, np.arange(len(ranked)))]
        candidates = Candidates(ranked, item_index.sequence, vectors, query_vectors, signals)
        return _add_attributes(item_index, prepared, candidates)

    def _search_by_profile(
        self,
        item_index: ItemIndex,
        prepared: PreparedQuery,
        query_vectors: QueryVectors,
        limit: int,
    ) -> tuple[Hits | None, Signals]:
        """Return the best items for a profile, and what they are based on.

        There are no hits, but None, if the only item of the profile has no vector.
        """
        query, signals = prepared.query, prepared.signals
        if isinstance(query.source, ItemSource) and query_vectors.missing_item_ids:
            return None, signals
        if not len(item_index):
            return Hits.empty(), signals
        if isinstance(query.source, TextSource | VectorSource):
            chunks = query_vectors.sources.vectors
            if prepared.words is not None:
                hits = _search_by_words(item_index, prepared, prepared.words, chunks, limit)
                return hits, signals
            return _search_by_text(item_index, prepared, chunks, limit), signals
        allowed = compute_allowed(item_index, prepared)
        if query.relation is Relation.ALSO_LIKED or not len(query_vectors.origins):
            return rank_by_behavior(item_index, prepared, allowed, limit)
        return self._search_by_sources(item_index, prepared, query_vectors.sources, allowed, limit)

    def _search_by_sources(
        self,
        item_index: ItemIndex,
        prepared: PreparedQuery,
        sources: Sources,
        allowed: Mask,
        limit: int,
    ) -> tuple[Hits, Signals]:
        """Return the best allowed items for several sources, by text and by what behavior says."""
        statistics = item_index.compute_statistics()
        scorer = self._ranking(sources, statistics)
        boosts = prepared.boosts
        exact = prepared.query.exact or boosts is not None
        search = partial(search_by_sources, item_index, scorer, allowed=allowed, exact=exact)
        prior = by_text = self._make_prior_adjustment(item_index)
        behavior = prepared.behavior
        if behavior is None and prepared.stand_ins is None and boosts is None:
            return search(limit, adjustment=prior), TEXT_SIGNALS
        sample_scores = scorer.score(statistics.sample)
        if boosts is not None:
            by_text = _chain(prior, boosts.adjust_scores(sample_scores))
        if prepared.stand_ins is not None:
            behavior = prepared.stand_ins.score(item_index, scorer, sample_scores)
        if behavior is None:
            return search(limit, adjustment=by_text), TEXT_SIGNALS
        blend = behavior.blend(item_index, allowed, limit, sample_scores).follow(prior)
        hits = search(limit, adjustment=blend if boosts is None else boosts.follow(blend))
        text_places = behavior.boost.count_text_places(limit)
        if text_places and prepared.filled is None:
            best = item_index.rank_hits(search(text_places, adjustment=by_text), text_places)
            hits = behavior.boost.move_up(hits, best)
        return hits, prepared.signals

    def score_by_text(
        self, item_index: ItemIndex, likes: Sequence[LikedItem], item_ids: Sequence[str]
    ) -> tuple[list[str], Vectors]:
        """Return the ids and the z-scores by text of items and of the best items by text.

        Args:
            item_index: the index to search.
            likes: what a person liked, oldest first; these items are no results.
            item_ids: the items to score; those without a vector are left out.
        """
        keys = np.array(item_index.find_keys(item_ids), np.int64)
        query_vectors = build_query_vectors(Profile(likes, oldest_first=True), item_index)
        if not len(query_vectors.origins):
            return item_index.get_ids(keys.tolist()), np.zeros(len(keys), np.float32)
        statistics = item_index.compute_statistics()
        scorer = self._ranking(query_vectors.sources, statistics)
        adjustment = self._make_prior_adjustment(item_index)
        own_keys = item_index.find_keys(item.item_id for item in likes)
        allowed = item_index.compute_mask(Filter(), own_keys)
        best = search_by_sources(item_index, scorer, SCORED_BY_TEXT, allowed, adjustment)
        hits = score_keys(item_index, scorer, np.union1d(keys, best.keys), adjustment)
        sample_scores = scorer.score(statistics.sample)
        deviation = np.float32(measure_deviation(sample_scores))
        scores = (hits.scores - sample_scores.mean()) / deviation
        return item_index.get_ids(hits.keys.tolist()), scores

    def _make_prior_adjustment(self, item_index: ItemIndex) -> Adjustment | None:
        prior = self._prior
        if prior is None:
            return None
        return Adjustment(lambda keys, scores: scores + prior.compute_bonuses(item_index, keys))


def _add_attributes(
    item_index: ItemIndex, prepared: PreparedQuery, candidates: Candidates
) -> Candidates:
    """Add what the query needs of the candidates' attributes: group values and boosts."""
    group_by, boosts = prepared.query.group_by, prepared.boosts
    if group_by is None and boosts is None:
        return candidates
    keys = np.array([key for _, _, key in candidates.ranked], np.int64)
    if group_by is not None:
        values = item_index.attributes.get_values(group_by.attribute, keys)
        candidates = replace(candidates, group_values=values)
    if boosts is not None:
        totals = zip(candidates.item_ids, boosts.totals[keys].tolist(), strict=True)
        candidates = replace(candidates, boost_totals=dict(totals))
    return candidates


def _search_by_item(item_index: ItemIndex, prepared: PreparedQuery, limit: int) -> Hits | None:
    """Return the items nearest to the query's item; None if it has no vector."""
    query = prepared.query
    assert isinstance(query.source, ItemSource)  # noqa: S101  (other sources have a profile)
    key = item_index.find_key(query.source.item_id)
    if key is None:
        return None
    boosts = prepared.boosts
    if boosts is not None:
        chunks = select_queries(item_index.vectors.get([key]).vectors)
        allowed = compute_allowed(item_index, prepared, key)
        return _search_boosted(item_index, boosts, chunks, allowed, limit)
    exclude, mask = restrict_search(item_index, prepared)
    return item_index.vectors.search_by_key(key, limit, exclude, mask, exact=query.exact)


def _search_by_text(
    item_index: ItemIndex, prepared: PreparedQuery, chunks: Vectors, limit: int
) -> Hits:
    """Return the items nearest to any chunk of a text."""
    boosts = prepared.boosts
    if boosts is not None:
        allowed = compute_allowed(item_index, prepared)
        return _search_boosted(item_index, boosts, chunks, allowed, limit)
    exclude, mask = restrict_search(item_index, prepared)
    exact = prepared.query.exact
    hits = item_index.vectors.search(chunks, limit, exclude, mask, exact=exact)
    return hits[0] if len(hits) == 1 else merge_hits(hits)


def _search_boosted(
    item_index: ItemIndex, boosts: QueryBoosts, chunks: Vectors, allowed: Mask, limit: int
) -> Hits:
    """Return the best allowed items by the nearest of some chunks, with boosts."""
    sample = item_index.read_sample()
    return boosts.search(item_index, NearestChunk(chunks), sample, allowed, limit)


def _chain(first: Adjustment | None, then: Adjustment) -> Adjustment:
    """Return the adjustment that makes one and then another."""
    if first is None:
        return then
    return Adjustment(lambda keys, scores: then.adjust(keys, first.adjust(keys, scores)))


def _search_by_words(
    item_index: ItemIndex, prepared: PreparedQuery, words: WordQuery, chunks: Vectors, limit: int
) -> Hits:
    """Return the best items for the vectors and the words of a text together."""
    query = prepared.query
    boosts = prepared.boosts
    if boosts is not None:
        return _search_boosted_words(item_index, prepared, words, boosts, chunks, limit)
    allowed = None
    if prepared.filled is not None:
        allowed = compute_allowed(item_index, prepared)
    excluded_keys = find_excluded_keys(item_index, prepared)
    scope = SearchScope(query.filter, excluded_keys, query.exact, allowed)
    return search_by_words(item_index, chunks, words, limit, scope)


def _search_boosted_words(
    item_index: ItemIndex,
    prepared: PreparedQuery,
    words: WordQuery,
    boosts: QueryBoosts,
    chunks: Vectors,
    limit: int,
) -> Hits:
    """Return the best items for the vectors and the words of a text together, with boosts."""
    scorer, allowed = NearestChunk(chunks), compute_allowed(item_index, prepared)
    shares = score_words(item_index, words, allowed)
    by_words = Adjustment(lambda keys, cosines: words.join(cosines, shares[keys]))
    sample_cosines = scorer.score(item_index.read_sample())
    unmatched = words.join(sample_cosines, np.zeros_like(sample_cosines))
    adjustment = _chain(by_words, boosts.adjust_scores(unmatched))
    return search_by_sources(item_index, scorer, limit, allowed, adjustment, exact=True)
