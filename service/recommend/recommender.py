"""Answers a query for recommendations: profile, retrieval, reranking, explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count

from service import errors
from service.domain import limits
from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.recommendations import (
    Explanation,
    ItemSource,
    Query,
    Recommendation,
    Recommendations,
    VectorSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem
from service.domain.vectors import Vectors
from service.index.index_reader import IndexReader
from service.recommend.boosts import count_boost_conditions
from service.recommend.candidates import Candidates
from service.recommend.explanation import explain_candidates
from service.recommend.grouping import (
    FilledGroups,
    GroupQuota,
    run_for_candidates,
    select_by_group,
)
from service.recommend.query_preparation import PreparedQuery, QueryPreparation
from service.recommend.reranking import Reranker
from service.recommend.retrieval import Retriever
from service.recommend.retrieval_plans import plan_explanations
from service.storage.items import ItemStore

# Candidates to rerank, at least, and for each recommendation.
MIN_RERANKED_CANDIDATES = 100
RERANKED_CANDIDATES_PER_RESULT = 4

# Candidates to rerank, at most, if near-duplicates take the places of others: 0.3 s. It is also the
# number that is retrieved at once, at most, if groups do.
MAX_RERANKED_CANDIDATES = 4_096

# Attempts before giving up on a consistent read while items are being written.
MAX_RECOMMEND_ATTEMPTS = 3


class Recommender:
    """Recommends items of one catalog."""

    def __init__(
        self,
        item_store: ItemStore,
        generation: Generation,
        reader: IndexReader,
        preparation: QueryPreparation,
        retriever: Retriever,
    ) -> None:
        self._item_store = item_store
        self._generation = generation
        self._reader = reader
        self._preparation = preparation
        self._retriever = retriever
        self._reranker = Reranker(item_store, generation)

    async def recommend(self, query: Query) -> Recommendations:
        """Return the best items for the source of a valid query, best first.

        Raises:
            InvalidRequest: the model rejects a text.
            ItemNotFound, UserNotFound: the source does not exist.
            EmbeddingUnavailable: the source has no vector now.
        """
        return await self.answer(await self._preparation.prepare(query))

    async def prepare_many(
        self, queries: Sequence[Query]
    ) -> tuple[list[PreparedQuery | errors.AkinError], EmbeddingUsage]:
        """Prepare valid queries for `answer`; their texts are embedded together.

        Returns:
            Each query or, if it has one of errors.QUERY_ERRORS, its error; and the usage of all.

        Raises:
            Overloaded: the embedding queue is full.
        """
        return await self._preparation.prepare_many(queries)

    async def answer(self, prepared: PreparedQuery) -> Recommendations:
        """Return the best items for a prepared query, best first.

        Raises:
            ItemNotFound: the source does not exist.
            EmbeddingUnavailable: the source has no vector now.
        """
        query = prepared.query
        candidates = await self._select(prepared)
        items: Mapping[str, StoredItem] = {}
        if query.full:
            candidates, items = await self._select_with_items(prepared, candidates)
        explanations: Mapping[str, Sequence[Explanation]] = {}
        if query.explain and not isinstance(query.source, VectorSource):
            explanations = await self._explain(prepared, candidates)
        recommendations = [
            Recommendation(item_id, score, items.get(item_id), explanations.get(item_id, ()))
            for item_id, score, _ in candidates.ranked
            if item_id in items or not query.full
        ]
        query_vectors = candidates.query_vectors
        return Recommendations(
            recommendations,
            candidates.sequence,
            () if query_vectors is None else query_vectors.missing_item_ids,
            prepared.usage,
            candidates.signals,
        )

    async def _select(self, prepared: PreparedQuery) -> Candidates:
        """Return the candidates to recommend, best first."""
        query = prepared.query
        if query.diversity or query.max_similarity is not None or query.group_by is not None:
            return await self._rerank(prepared)
        return await self._retrieve(prepared, query.limit, with_vectors=False)

    async def _rerank(self, prepared: PreparedQuery) -> Candidates:
        """Retrieve candidates until enough remain after reranking."""
        query = prepared.query
        uses_vectors = bool(query.diversity) or query.max_similarity is not None
        size = max(MIN_RERANKED_CANDIDATES, RERANKED_CANDIDATES_PER_RESULT * query.limit)
        retrieved = candidates = await self._retrieve(prepared, size, with_vectors=uses_vectors)
        for round_number in count():
            selected, full_values = await self._choose(query, candidates)
            if query.max_similarity is not None:
                is_last = len(candidates.ranked) >= MAX_RERANKED_CANDIDATES
            else:
                is_last = round_number == query.limit
            if len(selected.ranked) >= query.limit or len(retrieved.ranked) < size or is_last:
                break
            size = min(2 * size, MAX_RERANKED_CANDIDATES)
            if query.group_by is None:
                retrieved = candidates = await self._retrieve(prepared, size, with_vectors=True)
                continue
            if query.max_similarity is None:
                # All others belong to full groups. Dropping them bounds the number of candidates.
                # Each round adds an item, so that as many rounds as the limit are enough.
                candidates = selected
            else:
                size = min(size, MAX_RERANKED_CANDIDATES - len(candidates.ranked))
            # The other items of full groups may be most of the catalog.
            filled = FilledGroups(candidates.item_ids, full_values)
            remaining = replace(prepared, filled=filled)
            retrieved = await self._retrieve(remaining, size, with_vectors=uses_vectors)
            candidates = await run_for_candidates(
                len(candidates.ranked) + size, partial(candidates.join, retrieved)
            )
        return selected

    async def _choose(
        self, query: Query, candidates: Candidates
    ) -> tuple[Candidates, frozenset[int]]:
        """Return up to `limit` of the candidates, in their order, and the values without room."""
        if query.max_similarity is not None:
            positions = await self._reranker.exclude_near_duplicates(
                candidates.item_ids, candidates.vectors, query.max_similarity
            )
            candidates = candidates.take(positions)
        size = len(candidates.ranked)
        if query.diversity:
            quota = await run_for_candidates(size, partial(_make_quota, query, candidates))
            positions = await self._reranker.diversify(
                candidates.scores, candidates.vectors, query.diversity, query.limit, quota
            )
            full_values = frozenset() if quota is None else quota.full_values
            return candidates.take(positions), full_values
        return await run_for_candidates(size, partial(_take_best, query, candidates))

    async def _retrieve(
        self, prepared: PreparedQuery, limit: int, *, with_vectors: bool
    ) -> Candidates:
        """Return the `limit` best items by score.

        Raises:
            ItemNotFound: the source is an item that does not exist.
            EmbeddingUnavailable: the source is an item that has no vector.
        """
        query = prepared.query
        candidates = await self._reader.read(
            lambda item_index: self._retriever.retrieve(
                item_index, prepared, limit, with_vectors=with_vectors
            ),
            queries=prepared.max_query_count,
            conditions=self._count_conditions(prepared),
            scans=query.exact or bool(query.boosts),
            hits=0 if query.group_by is None else limit,
            plan=self._retriever.plan(prepared, limit),
        )
        if candidates is None:
            assert isinstance(query.source, ItemSource)  # noqa: S101  (others have no such error)
            raise await self._explain_missing_vector(query.source.item_id)
        return candidates

    def _count_conditions(self, prepared: PreparedQuery) -> int:
        """Return what a query evaluates for all items; a word takes no longer than a condition."""
        query = prepared.query
        condition_count = self._reader.count_conditions(query.filter)
        return condition_count + count_boost_conditions(query.boosts) + _count_words(prepared)

    async def _explain_missing_vector(self, item_id: str) -> errors.AkinError:
        """Return the error for an item that is not in the index."""
        items = await self._item_store.get_many(self._generation, [item_id])
        if item_id in items and items[item_id].state is ItemState.PENDING:
            return errors.EmbeddingUnavailable(f"item {item_id!r} is not embedded yet")
        return errors.ItemNotFound(f"item {item_id!r} does not exist")

    async def _select_with_items(
        self, prepared: PreparedQuery, candidates: Candidates
    ) -> tuple[Candidates, Mapping[str, StoredItem]]:
        """Read the items of candidates; while some were written since, select candidates again."""
        items = await self._read_items(prepared.query, candidates)
        for _ in range(MAX_RECOMMEND_ATTEMPTS - 1):
            if len(items) == len(candidates.ranked):
                break
            await self._reader.wait_for(await self._item_store.refresh())
            candidates = await self._select(prepared)
            items = await self._read_items(prepared.query, candidates)
        return candidates, items

    async def _read_items(self, query: Query, candidates: Candidates) -> Mapping[str, StoredItem]:
        """Return the items by id, without those that a condition of the query may now exclude.

        Those are items that were written after the search, if the query has a filter or groups.
        Boosts and score limits apply to items as they were searched, as scores do.
        """
        items = await self._item_store.get_many(
            self._generation,
            candidates.item_ids,
            with_vectors=query.with_vectors,
            max_text_bytes=limits.MESSAGE_BYTES,
        )
        if query.filter is None and query.group_by is None:
            return items
        return {
            item_id: stored
            for item_id, stored in items.items()
            if stored.sequence <= candidates.sequence
        }

    async def _explain(
        self, prepared: PreparedQuery, candidates: Candidates
    ) -> Mapping[str, Sequence[Explanation]]:
        """Return the explanations by item id; none for an item that was just deleted."""
        return await self._reader.read(
            lambda item_index: explain_candidates(item_index, prepared, candidates),
            queries=1,
            conditions=_count_words(prepared),
            plan=partial(plan_explanations, prepared, candidates),
        )

    async def score_by_text(
        self, liked_ids: Sequence[str], item_ids: Sequence[str]
    ) -> tuple[list[str], Vectors]:
        """Return the ids and the z-scores by text of items and of the best items by text.

        Args:
            liked_ids: what a person liked, oldest first.
            item_ids: the items to score; those without a vector are left out.
        """
        likes = [LikedItem(item_id) for item_id in liked_ids]
        return await self._reader.read(
            lambda item_index: self._retriever.score_by_text(item_index, likes, item_ids),
            queries=len(likes),
            plan=self._retriever.plan_scores(likes, item_ids),
        )


def _make_quota(query: Query, candidates: Candidates) -> GroupQuota | None:
    group_by = query.group_by
    if group_by is None:
        return None
    return GroupQuota(candidates.group_values, group_by.max_per_group)


def _take_best(query: Query, candidates: Candidates) -> tuple[Candidates, frozenset[int]]:
    """Return up to `limit` of the candidates by score, and the values without room."""
    quota, size = _make_quota(query, candidates), len(candidates.ranked)
    if quota is None:
        return candidates.take(range(min(query.limit, size))), frozenset()
    return candidates.take(select_by_group(quota, size, query.limit)), quota.full_values


def _count_words(prepared: PreparedQuery) -> int:
    return 0 if prepared.words is None else len(prepared.words.terms)
