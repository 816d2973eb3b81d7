"""Answers a query for recommendations: profile, retrieval, reranking, explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service import errors
from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.recommendations import (
    Explanation,
    ItemSource,
    Query,
    Recommendation,
    Recommendations,
    TextSource,
)
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.recommend.explanation import explain_by_profile, explain_by_source
from service.recommend.profile import Profile
from service.recommend.profile_reader import ProfileReader
from service.recommend.reranking import Reranker
from service.recommend.retrieval import Candidates, Retriever, compute_corpus_statistics
from service.storage.items import ItemStore

# Candidates to rerank, at least, and for each recommendation.
MIN_RERANKED_CANDIDATES = 100
RERANKED_CANDIDATES_PER_RESULT = 4

# Candidates to rerank, at most, if near-duplicates take the places of others: 0.3 s.
MAX_RERANKED_CANDIDATES = 4_096

# Attempts before giving up on a consistent read while items are being written.
MAX_RECOMMEND_ATTEMPTS = 3


class Recommender:
    """Recommends items of one catalog."""

    def __init__(
        self,
        item_store: ItemStore,
        generation: Generation,
        follower: Follower,
        profiles: ProfileReader,
        retriever: Retriever,
    ) -> None:
        self._item_store = item_store
        self._generation = generation
        self._follower = follower
        self._profiles = profiles
        self._retriever = retriever
        self._reranker = Reranker(item_store, generation)

    async def recommend(self, query: Query) -> Recommendations:
        """Return the items most similar to the source of a valid query, best first.

        Raises:
            InvalidRequest: the model rejects a text.
            ItemNotFound, UserNotFound: the source does not exist.
            EmbeddingUnavailable: the source has no vector now.
        """
        source, profile = query.source, None
        assert source is not None  # noqa: S101  (a valid query has a source)
        if not isinstance(source, ItemSource):
            profile = await self._profiles.read(source)
        candidates = await self._select(query, profile)
        items: Mapping[str, StoredItem] = {}
        if query.full:
            candidates, items = await self._select_with_items(query, profile, candidates)
        explanations: Mapping[str, Sequence[Explanation]] = {}
        if query.explain:
            explanations = await self._explain(query, candidates)
        recommendations = [
            Recommendation(item_id, score, items.get(item_id), explanations.get(item_id, ()))
            for item_id, score, _ in candidates.ranked
            if item_id in items or not query.full
        ]
        if profile is None or candidates.query_vectors is None:
            return Recommendations(recommendations, candidates.sequence)
        missing_item_ids = candidates.query_vectors.missing_item_ids
        return Recommendations(
            recommendations, candidates.sequence, missing_item_ids, profile.usage
        )

    async def _select(self, query: Query, profile: Profile | None) -> Candidates:
        """Return the candidates to recommend, best first."""
        if query.diversity or query.max_similarity is not None:
            return await self._rerank(query, profile)
        return await self._retrieve(query, profile, query.limit, with_vectors=False)

    async def _rerank(self, query: Query, profile: Profile | None) -> Candidates:
        """Retrieve candidates until enough remain after reranking."""
        size = max(MIN_RERANKED_CANDIDATES, RERANKED_CANDIDATES_PER_RESULT * query.limit)
        while True:
            retrieved = await self._retrieve(query, profile, size, with_vectors=True)
            candidates = retrieved
            if query.max_similarity is not None:
                positions = await self._reranker.exclude_near_duplicates(
                    retrieved.item_ids, retrieved.vectors, query.max_similarity
                )
                candidates = retrieved.take(positions)
            is_last = len(retrieved.ranked) < size or size >= MAX_RERANKED_CANDIDATES
            if len(candidates.ranked) >= query.limit or is_last:
                break
            size = min(2 * size, MAX_RERANKED_CANDIDATES)
        if query.diversity:
            positions = await self._reranker.diversify(
                candidates.scores, candidates.vectors, query.diversity, query.limit
            )
            return candidates.take(positions)
        return candidates.take(range(min(query.limit, len(candidates.ranked))))

    async def _retrieve(
        self, query: Query, profile: Profile | None, limit: int, *, with_vectors: bool
    ) -> Candidates:
        """Return the `limit` best items by score.

        Raises:
            ItemNotFound: the source is an item that does not exist.
            EmbeddingUnavailable: the source is an item that has no vector.
        """
        candidates = await self._follower.read(
            lambda item_index: self._retriever.retrieve(
                item_index, query, profile, limit, with_vectors=with_vectors
            ),
            queries=1 if profile is None else profile.max_source_count,
            conditions=self._follower.count_conditions(query.filter),
        )
        if candidates is None:
            assert isinstance(query.source, ItemSource)  # noqa: S101  (others have no such error)
            raise await self._explain_missing_vector(query.source.item_id)
        return candidates

    async def _explain_missing_vector(self, item_id: str) -> errors.AkinError:
        """Return the error for an item that is not in the index."""
        items = await self._item_store.get_many(self._generation, [item_id])
        if item_id in items and items[item_id].state is ItemState.PENDING:
            return errors.EmbeddingUnavailable("the item's text is not embedded yet")
        return errors.ItemNotFound("there is no such item")

    async def _select_with_items(
        self, query: Query, profile: Profile | None, candidates: Candidates
    ) -> tuple[Candidates, Mapping[str, StoredItem]]:
        """Read the items of candidates; while some were written since, select candidates again."""
        items = await self._read_items(query, candidates)
        for _ in range(MAX_RECOMMEND_ATTEMPTS - 1):
            if len(items) == len(candidates.ranked):
                break
            await self._follower.wait_for(await self._item_store.refresh())
            candidates = await self._select(query, profile)
            items = await self._read_items(query, candidates)
        return candidates, items

    async def _read_items(self, query: Query, candidates: Candidates) -> Mapping[str, StoredItem]:
        """Return the items by id, without those that may no longer match the filter."""
        items = await self._item_store.get_many(self._generation, candidates.item_ids)
        if query.filter is None:
            return items
        return {
            item_id: stored
            for item_id, stored in items.items()
            if stored.sequence <= candidates.sequence
        }

    async def _explain(
        self, query: Query, candidates: Candidates
    ) -> Mapping[str, Sequence[Explanation]]:
        """Return the explanations by item id; none for an item that was just deleted."""
        source, query_vectors = query.source, candidates.query_vectors
        if isinstance(source, ItemSource | TextSource):
            return {
                item_id: (explain_by_source(source, score),)
                for item_id, score, _ in candidates.ranked
            }

        def explain(item_index: ItemIndex) -> Mapping[str, Sequence[Explanation]]:
            ids = [
                item_id
                for item_id in candidates.item_ids
                if item_index.find_key(item_id) is not None
            ]
            if query_vectors is None or not ids:
                return {}
            keys = item_index.find_keys(ids)
            statistics = compute_corpus_statistics(item_index)
            explanations = explain_by_profile(item_index, statistics, keys, query_vectors)
            return dict(zip(ids, explanations, strict=True))

        return await self._follower.read(explain, queries=1)
