"""Finds the passages of item texts that are most similar to a text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from service.analysis.passage_texts import PassageReader, ScoredChunk, score_chunks
from service.analysis.passage_words import WordPassageSearch
from service.domain.analyses import Passage, Passages, PassagesQuery
from service.domain.generations import Generation
from service.domain.vectors import Vectors
from service.embedding.text_embedder import TextEmbedder
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.lexical_search import WordQueries
from service.index.vector_index import merge_hits
from service.storage.items import ItemStore

# Attempts before giving up on a consistent read while items are being written.
MAX_PASSAGE_ATTEMPTS = 3


class PassageSearch:
    """Finds passages in the texts of one catalog."""

    def __init__(
        self,
        store: ItemStore,
        generation: Generation,
        follower: Follower,
        text_embedder: TextEmbedder,
        word_queries: WordQueries | None = None,
    ) -> None:
        self._store = store
        self._follower = follower
        self._text_embedder = text_embedder
        self._word_queries = word_queries or WordQueries()
        self._reader = PassageReader(store, generation, text_embedder)
        self._word_search = WordPassageSearch(store, follower, self._reader)

    async def search(self, query: PassagesQuery) -> Passages:
        """Return the passages most similar to the query's text, best first.

        Raises:
            InvalidRequest: the model rejects the text.
            EmbeddingUnavailable: the text cannot be embedded now.
            HybridSearchOff: words are to count, but are not indexed.
        """
        words = self._word_queries.make(query.text, query.lexical_weight)
        vectors, usage = await self._text_embedder.embed_query(query.text, "text")
        if words is None:
            passages, sequence = await self._search_by_vectors(query, vectors)
        else:
            passages, sequence = await self._word_search.search(query, vectors, words)
        passages.sort(key=lambda passage: (-passage.score, passage.item_id, passage.start_offset))
        return Passages(passages, sequence, usage)

    async def _search_by_vectors(
        self, query: PassagesQuery, vectors: Vectors
    ) -> tuple[list[Passage], int]:
        """Return the best passages by cosine, and the sequence that they reflect."""
        excluded_ids: set[str] = set()
        for attempt in range(MAX_PASSAGE_ATTEMPTS):
            chunks, sequence = await self._find_chunks(query, vectors, excluded_ids)
            read = await self._reader.read(chunks, sequence)
            ids_without_passages = {chunk.item_id for chunk in chunks} - {
                passage.item_id for passage in read.passages
            }
            if not ids_without_passages or attempt == MAX_PASSAGE_ATTEMPTS - 1:
                break
            # The next attempt includes items that have changed since. It excludes pending items and
            # those that were embedded with other settings, because they remain without passages.
            excluded_ids |= ids_without_passages - read.changed_ids
            await self._follower.wait_for(await self._store.refresh())
        return read.passages, sequence

    async def _find_chunks(
        self, query: PassagesQuery, vectors: Vectors, excluded_ids: set[str]
    ) -> tuple[list[ScoredChunk], int]:
        """Return the best chunks by cosine, and the sequence that they reflect."""

        def search(item_index: ItemIndex) -> tuple[list[ScoredChunk], int]:
            excluded_keys = item_index.find_keys(excluded_ids)
            exclude, allowed = item_index.restrict_search(query.filter, excluded_keys)
            # The best chunks belong to the items with the best chunks.
            hits = merge_hits(
                item_index.vectors.search(vectors, query.limit, exclude, allowed, exact=query.exact)
            )
            item_ids = [item_id for item_id, _, _ in item_index.rank_hits(hits, query.limit)]
            chunks = score_chunks(item_index, item_ids, vectors)
            return list(_select_best_chunks(chunks, query)), item_index.sequence

        conditions = self._follower.count_conditions(query.filter)
        return await self._follower.read(search, len(vectors), conditions)


def _select_best_chunks(
    chunks: Iterable[ScoredChunk], query: PassagesQuery
) -> Iterator[ScoredChunk]:
    """Yield the best chunks within the query's limit, limit per item and minimum score."""
    counts: dict[str, int] = {}
    count = 0
    min_score = -np.inf if query.min_score is None else query.min_score
    for chunk in sorted(chunks, key=lambda chunk: (-chunk.score, chunk.item_id, chunk.position)):
        if count == query.limit or chunk.score < min_score:
            return
        counts[chunk.item_id] = counts.get(chunk.item_id, 0) + 1
        if not query.limit_per_item or counts[chunk.item_id] <= query.limit_per_item:
            count += 1
            yield chunk
