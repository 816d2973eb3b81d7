"""Finds the passages of item texts that are most similar to a text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from service.analysis.passage_words import select_by_words
from service.domain.analyses import Passage, Passages, PassagesQuery
from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.text_formats import to_plain_text
from service.embedding.embedder import Vector
from service.embedding.prompts import Prompt
from service.embedding.text_embedder import TextEmbedder
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.lexical_search import SearchScope, WordQueries, WordQuery, search_by_words
from service.index.term_index import TermWeights
from service.index.vector_index import merge_hits
from service.storage.items import ItemStore

# Texts in memory at once, of 1 MiB at most.
PASSAGE_TEXTS_AT_ONCE = 20

# Items whose passages are scored by their words, at least and for each passage of the limit. The
# words of a passage count less in a long text than in the passage alone.
MIN_WORD_ITEMS = 50
WORD_ITEMS_PER_PASSAGE = 2

# Attempts before giving up on a consistent read while items are being written.
MAX_PASSAGE_ATTEMPTS = 3


class _ScoredChunk(NamedTuple):
    """A chunk by its position among those of its item, and its score."""

    item_id: str
    position: int
    score: float


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
        self._generation = generation
        self._follower = follower
        self._text_embedder = text_embedder
        self._word_queries = word_queries or WordQueries()

    async def search(self, query: PassagesQuery) -> Passages:
        """Return the passages most similar to the query's text, best first.

        Raises:
            InvalidRequest: the model rejects the text.
            EmbeddingUnavailable: the text cannot be embedded now.
            HybridSearchOff: words are to count, but are not indexed.
        """
        words = self._word_queries.make(query.text, query.lexical_weight)
        vectors, usage = await self._text_embedder.embed_query(query.text, "text")
        excluded_ids: set[str] = set()
        for attempt in range(MAX_PASSAGE_ATTEMPTS):
            chunks, sequence, weights = await self._find_chunks(query, vectors, words, excluded_ids)
            passages, changed_ids = await self._read_passages(chunks, sequence)
            ids_without_passages = {chunk.item_id for chunk in chunks} - {
                passage.item_id for passage in passages
            }
            if not ids_without_passages or attempt == MAX_PASSAGE_ATTEMPTS - 1:
                break
            # The next attempt includes items that have changed since. It excludes pending items and
            # those that were embedded with other settings, because they remain without passages.
            excluded_ids |= ids_without_passages - changed_ids
            await self._follower.wait_for(await self._store.refresh())
        if words is not None and weights is not None:
            loop = asyncio.get_running_loop()
            passages = await loop.run_in_executor(
                None, select_by_words, passages, query, words, weights
            )
        passages.sort(key=lambda passage: (-passage.score, passage.item_id, passage.start_offset))
        return Passages(passages, sequence, usage)

    async def _find_chunks(
        self,
        query: PassagesQuery,
        vectors: Vector,
        words: WordQuery | None,
        excluded_ids: set[str],
    ) -> tuple[list[_ScoredChunk], int, TermWeights | None]:
        """Return the best chunks, the sequence they reflect, and what words weigh if they count.

        They are the best ones by cosine. If words count, they are all chunks of the best items.
        """

        def search(item_index: ItemIndex) -> tuple[list[_ScoredChunk], int, TermWeights | None]:
            items = _find_items(item_index, query, vectors, words, excluded_ids)
            owned = item_index.vectors.get([key for _, _, key in items])
            scores = (owned.vectors @ vectors.T).max(axis=1, initial=-np.inf)
            first_chunks = np.searchsorted(owned.owners, owned.owners)
            positions = (np.arange(len(scores)) - first_chunks).tolist()
            chunks = [
                _ScoredChunk(items[owner][0], position, score)
                for owner, position, score in zip(
                    owned.owners.tolist(), positions, scores.tolist(), strict=True
                )
            ]
            weights = None
            if words is not None and item_index.terms is not None:
                weights = item_index.terms.weigh_terms(words.terms)
            return chunks, item_index.sequence, weights

        conditions = self._follower.count_conditions(query.filter)
        conditions += 0 if words is None else len(words.terms)
        chunks, sequence, weights = await self._follower.read(search, len(vectors), conditions)
        if words is None:
            chunks = list(_select_best_chunks(chunks, query))
        return chunks, sequence, weights

    async def _read_passages(
        self, chunks: Sequence[_ScoredChunk], sequence: int
    ) -> tuple[list[Passage], set[str]]:
        """Return the passages of chunks, and the ids of items that have changed since `sequence`.

        There are none of items that are pending, that have changed, or that were embedded with
        other settings.
        """
        chunks_by_id: dict[str, list[_ScoredChunk]] = {}
        for chunk in chunks:
            chunks_by_id.setdefault(chunk.item_id, []).append(chunk)
        loop = asyncio.get_running_loop()
        passages: list[Passage] = []
        changed_ids: set[str] = set()
        ids = list(chunks_by_id)
        for start in range(0, len(ids), PASSAGE_TEXTS_AT_ONCE):
            batch = ids[start : start + PASSAGE_TEXTS_AT_ONCE]
            items = await self._store.get_many(self._generation, batch)
            hashes = await self._store.chunk_hashes(self._generation, batch)
            changed_ids |= set(batch) - items.keys()
            for item_id, stored in items.items():
                if stored.state is ItemState.PENDING:
                    continue
                if stored.sequence > sequence:
                    changed_ids.add(item_id)
                    continue
                passages += await loop.run_in_executor(
                    None,
                    self._locate_passages,
                    chunks_by_id[item_id],
                    stored,
                    hashes.get(item_id, ()),
                )
        return passages, changed_ids

    def _locate_passages(
        self, chunks: Sequence[_ScoredChunk], stored: StoredItem, hashes: Sequence[bytes]
    ) -> list[Passage]:
        """Return the passages of an item; none if its text would now be split differently."""
        text = to_plain_text(stored.item.text, self._generation.text_format)
        prompts = self._text_embedder.split_into_chunks(text, hashes)
        if [prompt.text_hash for prompt in prompts] != list(hashes):
            return []
        return [_make_passage(chunk, text, prompts[chunk.position]) for chunk in chunks]


def _find_items(
    item_index: ItemIndex,
    query: PassagesQuery,
    vectors: Vector,
    words: WordQuery | None,
    excluded_ids: set[str],
) -> list[tuple[str, float, int]]:
    """Return the items with the best chunks."""
    excluded_keys = item_index.find_keys(excluded_ids)
    if words is not None:
        limit = max(MIN_WORD_ITEMS, WORD_ITEMS_PER_PASSAGE * query.limit)
        scope = SearchScope(query.filter, excluded_keys, query.exact)
        hits = search_by_words(item_index, vectors, words, limit, scope)
        return item_index.rank_hits(hits, limit)
    exclude, allowed = item_index.restrict_search(query.filter, excluded_keys)
    # The best chunks belong to the items with the best chunks.
    hits = merge_hits(
        item_index.vectors.search(vectors, query.limit, exclude, allowed, exact=query.exact)
    )
    return item_index.rank_hits(hits, query.limit)


def _select_best_chunks(
    chunks: Sequence[_ScoredChunk], query: PassagesQuery
) -> Iterator[_ScoredChunk]:
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


def _make_passage(chunk: _ScoredChunk, text: str, prompt: Prompt) -> Passage:
    passage = text[prompt.start : prompt.end]
    start = len(text[: prompt.start].encode())
    return Passage(chunk.item_id, passage, start, start + len(passage.encode()), chunk.score)
