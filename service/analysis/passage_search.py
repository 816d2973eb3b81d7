"""Finds the passages of item texts that are most similar to a text."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import numpy as np

from service.analysis.passage_texts import PassageReader, ScoredChunk, score_chunks
from service.analysis.passage_words import WordPassageSearch
from service.domain.analyses import Passage, Passages, PassagesQuery
from service.domain.generations import Generation
from service.domain.vectors import Vectors
from service.embedding.text_embedder import TextEmbedder
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.lexical_search import WordQueries
from service.index.read_requests import NearestRequest, Restriction, plan_nearest
from service.index.vector_index import merge_hits
from service.storage.items import ItemStore

# Attempts before giving up on a consistent read while items are being written.
MAX_PASSAGE_ATTEMPTS = 3

# Items without passages, such as pending ones, from which on a search returns what it has found.
MAX_EXCLUDED_ITEMS = 4_096

# The same for the characters of texts that would now be split differently: 0.3 s to see that.
MAX_UNLOCATED_CHARACTERS = 4_000_000


class PassageSearch:
    """Finds passages in the texts of one catalog."""

    def __init__(
        self,
        store: ItemStore,
        generation: Generation,
        index_reader: IndexReader,
        text_embedder: TextEmbedder,
        word_queries: WordQueries | None = None,
    ) -> None:
        self._store = store
        self._index_reader = index_reader
        self._text_embedder = text_embedder
        self._word_queries = word_queries or WordQueries()
        self._reader = PassageReader(store, generation, text_embedder)
        self._word_search = WordPassageSearch(store, index_reader, self._reader)

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
        return Passages(_sort(passages), sequence, usage)

    async def _search_by_vectors(
        self, query: PassagesQuery, vectors: Vectors
    ) -> tuple[list[Passage], int]:
        """Return the best passages by cosine, and the sequence that they reflect."""
        excluded_ids: set[str] = set()
        attempts, characters = 1, 0
        while True:
            # As many more as were found without a passage: a row of them takes few searches.
            limit = max(query.limit, len(excluded_ids))
            chunks, sequence = await self._find_chunks(query, vectors, limit, excluded_ids)
            read = await self._reader.read(chunks, sequence)
            passages = _sort(read.passages)[: query.limit]
            missing_ids = {chunk.item_id for chunk in chunks} - {
                passage.item_id for passage in read.passages
            }
            if missing_ids & read.changed_ids and attempts < MAX_PASSAGE_ATTEMPTS:
                # The next search includes items that have changed since. It excludes pending items
                # and those that were embedded with other settings: they have no passages.
                excluded_ids |= missing_ids - read.changed_ids
                attempts += 1
                await self._index_reader.wait_for(await self._store.refresh())
                continue
            excluded_ids |= missing_ids
            characters += read.unlocated_characters
            is_complete = not missing_ids or len(passages) == query.limit
            if is_complete or len(excluded_ids) >= MAX_EXCLUDED_ITEMS:
                return passages, sequence
            if characters >= MAX_UNLOCATED_CHARACTERS:
                return passages, sequence

    async def _find_chunks(
        self, query: PassagesQuery, vectors: Vectors, limit: int, excluded_ids: set[str]
    ) -> tuple[list[ScoredChunk], int]:
        """Return the `limit` best chunks by cosine, and the sequence that they reflect."""

        def search(item_index: ItemIndex) -> tuple[list[ScoredChunk], int]:
            excluded_keys = item_index.find_keys(excluded_ids)
            exclude: Collection[int] = ()
            allowed = item_index.compute_text_vector_mask(query.filter, excluded_keys)
            if allowed is None:
                exclude, allowed = item_index.restrict_search(query.filter, excluded_keys)
            # The best chunks belong to the items with the best chunks.
            hits = merge_hits(
                item_index.vectors.search(vectors, limit, exclude, allowed, exact=query.exact)
            )
            item_ids = [item_id for item_id, _, _ in item_index.rank_hits(hits, limit)]
            chunks = score_chunks(item_index, item_ids, vectors)
            return list(_select_best_chunks(chunks, query, limit)), item_index.sequence

        conditions = self._index_reader.count_conditions(query.filter)
        restriction = Restriction(query.filter, excluded_ids, text_vectors_only=True)
        plan = plan_nearest(NearestRequest(vectors, limit, restriction, query.exact))
        return await self._index_reader.read(search, len(vectors), conditions, plan=plan)


def _sort(passages: Iterable[Passage]) -> list[Passage]:
    """Return passages by descending score."""
    return sorted(
        passages, key=lambda passage: (-passage.score, passage.item_id, passage.start_offset)
    )


def _select_best_chunks(
    chunks: Iterable[ScoredChunk], query: PassagesQuery, limit: int
) -> Iterator[ScoredChunk]:
    """Yield the `limit` best chunks within the query's limit per item and minimum score."""
    counts: dict[str, int] = {}
    count = 0
    min_score = -np.inf if query.min_score is None else query.min_score
    for chunk in sorted(chunks, key=lambda chunk: (-chunk.score, chunk.item_id, chunk.position)):
        if count == limit or chunk.score < min_score:
            return
        counts[chunk.item_id] = counts.get(chunk.item_id, 0) + 1
        if not query.limit_per_item or counts[chunk.item_id] <= query.limit_per_item:
            count += 1
            yield chunk
