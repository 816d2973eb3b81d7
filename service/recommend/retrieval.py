"""Retrieves the best items for a query by score alone, from one state of the item index."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from service.domain.filters import Filter
from service.domain.recommendations import ItemSource, Query, TextSource
from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits, merge_hits
from service.recommend.attribute_prior import AttributePrior
from service.recommend.profile import Profile, QueryVectors, build_query_vectors
from service.recommend.scoring import CorpusStatistics, Scorer, Sources

# Returns what to add to the scores of keys.
Bonus = Callable[[Keys], Vectors]

# Candidates for each query vector. On the films' evaluation, scoring the union of 50 for each gives
# the same result as scoring everything.
CANDIDATES_PER_SOURCE = 50

# Vectors scored at once: few enough for their similarities to 50 sources to stay in a core's cache.
MAX_BLOCK_ROWS = 4_096

# The largest difference that rounding in a matrix product makes between scores of equal vectors.
SCORE_TOLERANCE = 1e-5

# Vectors that represent the catalog. On the film likes of 243 people, recall@20 is 0.047 with all
# 3,000 films, 0.043 to 0.046 with 1,000 to 1,500 of them, and 0.037 with 256.
CORPUS_SAMPLE_VECTORS = 4_096

NO_VECTORS: Vectors = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """The ids, scores and keys of the best items, best first, as of the write `sequence`.

    `vectors` are those of each candidate's first chunk, float32 [candidates, dimensions], if they
    were requested. `query_vectors` are unset if the source is an item.
    """

    ranked: Sequence[tuple[str, float, int]]
    sequence: int
    vectors: Vectors = field(default_factory=lambda: NO_VECTORS)
    query_vectors: QueryVectors | None = None

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
        query: Query,
        profile: Profile | None,
        limit: int,
        *,
        with_vectors: bool = False,
    ) -> Candidates | None:
        """Return the `limit` best items; None if the source is an item that has no vector.

        Args:
            item_index: the index to search.
            query: a valid query.
            profile: the profile of the query's source; None if it is an item.
            limit: the number of candidates.
            with_vectors: whether the candidates need their vectors.
        """
        query_vectors = None
        if profile is None:
            hits = _search_by_item(item_index, query, limit)
            if hits is None:
                return None
        else:
            query_vectors = build_query_vectors(profile, item_index)
            hits = self._search_by_profile(item_index, query, query_vectors, limit)
        ranked = item_index.rank_hits(hits, limit)
        if query.min_score is not None:
            ranked = [candidate for candidate in ranked if candidate[1] >= query.min_score]
        vectors = NO_VECTORS
        if with_vectors and ranked:
            owned = item_index.vectors.get([key for _, _, key in ranked])
            vectors = owned.vectors[np.searchsorted(owned.owners, np.arange(len(ranked)))]
        return Candidates(ranked, item_index.sequence, vectors, query_vectors)

    def _search_by_profile(
        self, item_index: ItemIndex, query: Query, query_vectors: QueryVectors, limit: int
    ) -> Hits:
        if not len(query_vectors.origins) or not len(item_index):
            return Hits.empty()
        exclude = {*query_vectors.own_keys, *item_index.find_keys(query.exclude_item_ids)}
        if isinstance(query.source, TextSource):
            return _search_by_text(item_index, query, query_vectors.sources.vectors, limit, exclude)
        prior = self._prior
        return search_by_sources(
            item_index,
            self._ranking(query_vectors.sources, compute_corpus_statistics(item_index)),
            limit,
            item_index.compute_mask(query.filter or Filter(), exclude),
            None if prior is None else lambda keys: prior.compute_bonuses(item_index, keys),
            exact=query.exact,
        )


def compute_corpus_statistics(item_index: ItemIndex) -> CorpusStatistics:
    """Return the statistics of an item index's vectors."""
    vectors = item_index.vectors
    return CorpusStatistics(len(item_index), vectors.mean(), vectors.sample(CORPUS_SAMPLE_VECTORS))


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


def search_by_sources(
    item_index: ItemIndex,
    scorer: Scorer,
    limit: int,
    allowed: Mask,
    bonus: Bonus | None = None,
    *,
    exact: bool = False,
) -> Hits:
    """Return the best items for several sources together.

    If the index compares exhaustively, every allowed item is scored: that takes less time than a
    search for a single source, and half of it at 3,000 items. If the index has graphs, the items
    nearest to each source are scored.

    Args:
        item_index: the index to search.
        scorer: scores the items.
        limit: the number of hits; there are fewer only if fewer items are allowed.
        allowed: the keys that may be hits.
        bonus: what to add to the scores.
        exact: score every allowed item in any case.

    Returns:
        The best keys, best first, and all that tie with the last one.
    """
    query_count = len(scorer.queries)
    scan_cost = len(item_index) * item_index.vectors.dimensions * query_count
    if exact or item_index.vectors.estimate_cost(query_count) >= scan_cost:
        scored = _score_all(item_index, scorer, allowed)
        extra_chunks = item_index.vectors.vector_count - len(item_index)
    else:
        fetch = max(CANDIDATES_PER_SOURCE, limit) * (1 if bonus is None else 2)
        scored, extra_chunks = _score_nearest(item_index, scorer, fetch, allowed)
    if bonus is not None:
        scored = [Hits(hits.keys, hits.scores + bonus(hits.keys)) for hits in scored]
    # Every further chunk of an item may take a place.
    best = _select_best(scored, limit + extra_chunks)
    return _score_again(item_index, scorer, best, bonus)


def _score_all(item_index: ItemIndex, scorer: Scorer, allowed: Mask) -> list[Hits]:
    """Return every allowed vector with its score."""
    scored = [Hits.empty()]
    for keys, vectors in item_index.vectors.iterate_blocks(MAX_BLOCK_ROWS):
        is_allowed = allowed[keys]
        if 2 * np.count_nonzero(is_allowed) < len(is_allowed):
            scores = scorer.score(vectors[is_allowed])
        else:
            # Scoring a few more vectors costs less than copying the allowed ones.
            scores = scorer.score(vectors)[is_allowed]
        scored.append(Hits(keys[is_allowed], scores))
    return scored


def _score_nearest(
    item_index: ItemIndex, scorer: Scorer, fetch: int, allowed: Mask
) -> tuple[list[Hits], int]:
    """Return the vectors of each query's nearest items with scores, and how many are extra chunks.

    Extra chunks are all vectors of an item but one.
    """
    hits = item_index.vectors.search(scorer.queries, fetch, allowed=allowed)
    keys: Keys = np.unique(np.concatenate([query_hits.keys for query_hits in hits]))
    owned = item_index.vectors.get(keys.tolist())
    scored = Hits(keys[owned.owners], scorer.score(owned.vectors))
    return [scored], len(owned.vectors) - len(keys)


def _select_best(scored: Sequence[Hits], count: int) -> Hits:
    """Return the `count` best vectors and all that tie with the last; each key with its best."""
    keys = np.concatenate([hits.keys for hits in scored])
    scores = np.concatenate([hits.scores for hits in scored])
    if len(keys) > count:
        last_score = np.partition(scores, len(scores) - count)[len(scores) - count]
        is_best = scores >= last_score - SCORE_TOLERANCE
        keys, scores = keys[is_best], scores[is_best]
    return merge_hits([Hits(keys, scores)])


def _score_again(item_index: ItemIndex, scorer: Scorer, hits: Hits, bonus: Bonus | None) -> Hits:
    """Return the same keys, best first, such that equal vectors have equal scores.

    A matrix product rounds a row by its position, so that equal vectors would not tie.
    """
    if not len(hits.keys):
        return hits
    owned = item_index.vectors.get(hits.keys.tolist())
    rows = owned.vectors.view(np.dtype((np.void, owned.vectors.strides[0]))).ravel()
    _, first_rows, row_numbers = np.unique(rows, return_index=True, return_inverse=True)
    scores = scorer.score(owned.vectors[first_rows])[row_numbers.ravel()]
    first_chunks = np.searchsorted(owned.owners, np.arange(len(hits.keys)))
    best_scores: Vectors = np.maximum.reduceat(scores, first_chunks)
    if bonus is not None:
        best_scores += bonus(hits.keys)
    order = np.argsort(-best_scores, kind="stable")
    return Hits(hits.keys[order], best_scores[order])
