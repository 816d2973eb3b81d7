"""Retrieves the best items for a query by score alone, from one state of the item index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from service.domain.filters import Filter
from service.domain.recommendations import (
    TEXT_SIGNALS,
    ItemSource,
    PopularSource,
    Query,
    Relation,
    Signals,
    TextSource,
)
from service.domain.users import LikedItem
from service.domain.vectors import Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.lexical_search import SearchScope, search_by_words
from service.index.vector_index import Hits, merge_hits
from service.recommend.attribute_prior import AttributePrior
from service.recommend.profile import Profile, QueryVectors, build_query_vectors
from service.recommend.query_preparation import PreparedQuery
from service.recommend.scoring import CorpusStatistics, Scorer, Sources
from service.recommend.source_search import (
    Adjustment,
    measure_deviation,
    score_keys,
    search_by_sources,
)

# Vectors that represent the catalog. On the film likes of 243 people, recall@20 is 0.047 with all
# 3,000 films, 0.043 to 0.046 with 1,000 to 1,500 of them, and 0.037 with 256.
CORPUS_SAMPLE_VECTORS = 4_096

# The best items by text that a validation compares with those by behavior.
SCORED_BY_TEXT = 100

NO_VECTORS: Vectors = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The ids, scores and keys of the best items, best first, as of the write `sequence`.

    `vectors` are those of each candidate's first chunk, float32 [candidates, dimensions], if they
    were requested. `query_vectors` are unset if the source is an item. `signals` say what the
    scores are based on.
    """

    ranked: Sequence[tuple[str, float, int]]
    sequence: int
    vectors: Vectors = field(default_factory=lambda: NO_VECTORS)
    query_vectors: QueryVectors | None = None
    signals: Signals = TEXT_SIGNALS

    @property
    def item_ids(self) -> list[str]:
        """The ids, best first."""
        return [item_id for item_id, _, _ in self.ranked]

    @property
    def scores(self) -> Vectors:
        """The scores, best first, float32 [candidates]."""
        return np.array([score for _, score, _ in self.ranked], np.float32)

    def take(self, positions: Sequence[int]) -> Candidates:
        """Return the candidates at some positions, in the order of the positions."""
        return replace(
            self,
            ranked=[self.ranked[position] for position in positions],
            vectors=self.vectors[list(positions)],
        )


class Retriever:
    """Retrieves candidates from an item index, by one ranking.

    Args:
        ranking: creates the scorer of a query with several sources.
        prior: a bonus for items in such queries.
    """

    def __init__(
        self, ranking: Callable[[Sources, CorpusStatistics], Scorer], prior: AttributePrior | None
    ) -> None:
        self._ranking = ranking
        self._prior = prior

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
        if isinstance(query.source, PopularSource):
            hits: Hits | None = _search_popular(item_index, prepared, query.source, limit)
        elif prepared.profile is None:
            hits = _search_by_item(item_index, query, limit)
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
        return Candidates(ranked, item_index.sequence, vectors, query_vectors, signals)

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
        if isinstance(query.source, TextSource):
            exclude = _find_excluded_keys(item_index, prepared)
            chunks = query_vectors.sources.vectors
            if prepared.words is not None:
                return _search_by_words(item_index, prepared, chunks, limit, exclude), signals
            return _search_by_text(item_index, query, chunks, limit, exclude), signals
        allowed = _compute_allowed(item_index, prepared)
        if query.relation is Relation.ALSO_LIKED or not len(query_vectors.origins):
            return _rank_by_behavior(item_index, prepared, allowed, limit)
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
        statistics = compute_corpus_statistics(item_index)
        scorer = self._ranking(sources, statistics)
        exact = prepared.query.exact
        search = partial(search_by_sources, item_index, scorer, allowed=allowed, exact=exact)
        prior = self._make_prior_adjustment(item_index)
        behavior = prepared.behavior
        if behavior is None and prepared.stand_ins is None:
            return search(limit, adjustment=prior), TEXT_SIGNALS
        sample_scores = scorer.score(statistics.sample)
        if prepared.stand_ins is not None:
            behavior = prepared.stand_ins.score(item_index, scorer, sample_scores)
        if behavior is None:
            return search(limit, adjustment=prior), TEXT_SIGNALS
        blend = behavior.blend(item_index, allowed, limit, sample_scores)
        hits = search(limit, adjustment=blend.follow(prior))
        if text_places := behavior.boost.count_text_places(limit):
            by_text = search(text_places, adjustment=prior)
            hits = behavior.boost.move_up(hits, item_index.rank_hits(by_text, text_places))
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
        statistics = compute_corpus_statistics(item_index)
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


def compute_corpus_statistics(item_index: ItemIndex) -> CorpusStatistics:
    """Return the statistics of an item index's vectors."""
    vectors = item_index.vectors
    return CorpusStatistics(len(item_index), vectors.mean(), vectors.sample(CORPUS_SAMPLE_VECTORS))


def _find_excluded_keys(item_index: ItemIndex, prepared: PreparedQuery) -> set[int]:
    """Return the keys of the items that a query or its profile excludes."""
    seen_item_ids = prepared.profile.seen_item_ids if prepared.profile else ()
    return set(item_index.find_keys({*seen_item_ids, *prepared.query.exclude_item_ids}))


def _compute_allowed(item_index: ItemIndex, prepared: PreparedQuery) -> Mask:
    """Return by key which items may be recommended."""
    exclude = _find_excluded_keys(item_index, prepared)
    return item_index.compute_mask(prepared.query.filter or Filter(), exclude)


def _rank_by_behavior(
    item_index: ItemIndex, prepared: PreparedQuery, allowed: Mask, limit: int
) -> tuple[Hits, Signals]:
    """Return the best allowed items by behavior alone, and what they are based on."""
    behavior = prepared.behavior
    if prepared.query.relation is Relation.ALSO_LIKED:
        hits = Hits.empty() if behavior is None else behavior.rank(item_index, allowed, limit)
        return hits, prepared.signals
    if behavior is None:
        return Hits.empty(), TEXT_SIGNALS
    hits = behavior.rank_with_popular(item_index, allowed, limit)
    return hits, replace(prepared.signals, text_weight=0.0, behavior_weight=1.0)


def _search_popular(
    item_index: ItemIndex, prepared: PreparedQuery, source: PopularSource, limit: int
) -> Hits:
    """Return the most popular items."""
    if prepared.model is None:
        return Hits.empty()
    allowed = _compute_allowed(item_index, prepared)
    return prepared.model.rank_popular(item_index, allowed, source.half_life_days, limit)


def _search_by_item(item_index: ItemIndex, query: Query, limit: int) -> Hits | None:
    """Return the items nearest to the query's item; None if it has no vector."""
    assert isinstance(query.source, ItemSource)  # noqa: S101  (other sources have a profile)
    key = item_index.find_key(query.source.item_id)
    if key is None:
        return None
    exclude, allowed = item_index.restrict_search(
        query.filter, item_index.find_keys(query.exclude_item_ids)
    )
    return item_index.vectors.search_by_key(key, limit, exclude, allowed, exact=query.exact)


def _search_by_text(
    item_index: ItemIndex, query: Query, chunks: Vectors, limit: int, exclude: set[int]
) -> Hits:
    """Return the items nearest to any chunk of a text."""
    separate_exclusions, allowed = item_index.restrict_search(query.filter, exclude)
    hits = item_index.vectors.search(chunks, limit, separate_exclusions, allowed, exact=query.exact)
    return hits[0] if len(hits) == 1 else merge_hits(hits)


def _search_by_words(
    item_index: ItemIndex, prepared: PreparedQuery, chunks: Vectors, limit: int, exclude: set[int]
) -> Hits:
    """Return the best items for the vectors and the words of a text together."""
    query, words = prepared.query, prepared.words
    assert words is not None  # noqa: S101  (the caller has looked)
    scope = SearchScope(query.filter, exclude, query.exact)
    return search_by_words(item_index, chunks, words, limit, scope)
