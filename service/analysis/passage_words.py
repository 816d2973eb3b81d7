"""Finds passages by their words and vectors together, in the items that rank best by both.

Passages have no index of words of their own. Therefore the texts of the best items are read, batch
by batch, until there are enough passages.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from service.analysis.passage_texts import (
    PassageReader,
    ReadPassages,
    score_chunks,
    split_into_batches,
)
from service.domain.analyses import Passage, PassagesQuery
from service.domain.terms import count_terms
from service.domain.vectors import Vectors
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.lexical_search import SearchScope, WordQuery, search_by_words
from service.index.term_index import TermWeights
from service.storage.items import ItemStore

# Items whose passages are scored by their words, at least and for each passage of the limit. The
# words of a passage count less in a long text than in the passage alone.
MIN_WORD_ITEMS = 50
WORD_ITEMS_PER_PASSAGE = 2

# Items whose passages are scored by their words, at most.
MAX_WORD_ITEMS = 4_096

# Characters of texts from which on enough passages end the search: 1.6 s to find the passages of
# English texts and count their words; 4.6 s with letters beyond ASCII, 20 s of Chinese.
MAX_PASSAGE_CHARACTERS = 16_000_000

# Characters of texts that are read at most, also if passages are missing.
MAX_READ_CHARACTERS = 4 * MAX_PASSAGE_CHARACTERS

# Times that a search looks for items again that were written while it read them.
MAX_REPEATED_SEARCHES = 2


class _ItemRanking(NamedTuple):
    """The ids of the best items, best first, as of a sequence, and what words weigh."""

    item_ids: Sequence[str]
    sequence: int
    weights: TermWeights


class BestPassages:
    """The best passages by cosine and words so far, within the limits of a query.

    `considered_ids` are the items whose passages were considered, and `is_complete` tells that no
    further ones are needed.

    Args:
        query: has the limits and the minimum score.
        words: the words of its text.
    """

    def __init__(self, query: PassagesQuery, words: WordQuery) -> None:
        self._query = query
        self._words = words
        self._characters = 0
        self.min_items = max(MIN_WORD_ITEMS, WORD_ITEMS_PER_PASSAGE * query.limit)
        self.passages: list[Passage] = []
        self.considered_ids: set[str] = set()
        self.is_complete = False

    def consider(self, item_ids: Collection[str], read: ReadPassages, weights: TermWeights) -> None:
        """Consider all passages of further items.

        Args:
            item_ids: the items.
            read: their passages, with cosines.
            weights: what the words weigh.
        """
        scored = self._score(read.passages, weights)
        self.passages = self._select([*self.passages, *scored])
        self.considered_ids.update(item_ids)
        self._characters += read.characters
        item_count = len(self.considered_ids)
        if len(self.passages) == self._query.limit:
            is_enough = item_count >= self.min_items or self._characters >= MAX_PASSAGE_CHARACTERS
        else:
            # Items are ranked, so that further passages rarely have a score that none has here.
            is_enough = item_count >= self.min_items and bool(read.passages) and not scored
        is_last = item_count >= MAX_WORD_ITEMS or self._characters >= MAX_READ_CHARACTERS
        self.is_complete = is_enough or is_last

    def reconsider(self, item_ids: Collection[str]) -> None:
        """Take back that items were considered, because they had changed."""
        self.considered_ids -= {*item_ids}
        self.is_complete = False

    def _score(self, passages: Sequence[Passage], weights: TermWeights) -> list[Passage]:
        """Return the passages with scores, without those below the minimum score."""
        cosines = np.array([passage.score for passage in passages], np.float32)
        shares = [weights.score(count_terms(passage.text)) for passage in passages]
        scores = self._words.join(cosines, np.array(shares, np.float32)).tolist()
        min_score = self._query.min_score
        return [
            passage._replace(score=score)
            for passage, score in zip(passages, scores, strict=True)
            if min_score is None or score >= min_score
        ]

    def _select(self, passages: list[Passage]) -> list[Passage]:
        """Return the best passages within the limits."""
        passages.sort(key=lambda passage: (-passage.score, passage.item_id, passage.start_offset))
        limit_per_item = self._query.limit_per_item
        counts: Counter[str] = Counter()
        selected = []
        for passage in passages:
            counts[passage.item_id] += 1
            if not limit_per_item or counts[passage.item_id] <= limit_per_item:
                selected.append(passage)
        return selected[: self._query.limit]


class WordPassageSearch:
    """Finds passages in the texts of one catalog by words and vectors together."""

    def __init__(self, store: ItemStore, index_reader: IndexReader, reader: PassageReader) -> None:
        self._store = store
        self._index_reader = index_reader
        self._reader = reader

    async def search(
        self, query: PassagesQuery, vectors: Vectors, words: WordQuery
    ) -> tuple[list[Passage], int]:
        """Return the best passages, best first, and the sequence that they reflect.

        Args:
            query: the query.
            vectors: those of its text, float32 [chunks, dimensions].
            words: the words of its text.
        """
        best = BestPassages(query, words)
        size = best.min_items
        sequences: list[int] = []
        repetitions = 0
        while True:
            ranking = await self._rank_items(query, vectors, words, best.considered_ids, size)
            sequences.append(ranking.sequence)
            changed_ids = await self._consider(ranking, vectors, best)
            if changed_ids and repetitions < MAX_REPEATED_SEARCHES:
                repetitions += 1
                best.reconsider(changed_ids)
                await self._index_reader.wait_for(await self._store.refresh())
            elif best.is_complete or len(ranking.item_ids) < size:
                # Later states of the index lack nothing that the first one reflects.
                return best.passages, min(sequences)
            else:
                size = min(2 * size, MAX_WORD_ITEMS)

    async def _consider(
        self, ranking: _ItemRanking, vectors: Vectors, best: BestPassages
    ) -> set[str]:
        """Consider the passages of ranked items until they are enough.

        Returns:
            The ids of those items that have changed since they were ranked.
        """
        loop = asyncio.get_running_loop()
        changed_ids: set[str] = set()
        for item_ids in split_into_batches(ranking.item_ids):
            if best.is_complete:
                break
            # Long texts have thousands of chunks, whose vectors are read only a batch at a time.
            chunks = await self._index_reader.read(
                partial(score_chunks, item_ids=item_ids, vectors=vectors),
                len(item_ids) * len(vectors),
            )
            read = await self._reader.read(chunks, ranking.sequence)
            await loop.run_in_executor(None, best.consider, item_ids, read, ranking.weights)
            changed_ids |= read.changed_ids
        return changed_ids

    async def _rank_items(
        self,
        query: PassagesQuery,
        vectors: Vectors,
        words: WordQuery,
        excluded_ids: Collection[str],
        limit: int,
    ) -> _ItemRanking:
        """Return the best items by words and vectors together."""

        def search(item_index: ItemIndex) -> _ItemRanking:
            assert item_index.terms is not None  # noqa: S101  (the setting was checked)
            excluded_keys = item_index.find_keys(excluded_ids)
            allowed = item_index.compute_text_vector_mask(query.filter, excluded_keys)
            scope = SearchScope(query.filter, excluded_keys, query.exact, allowed)
            hits = search_by_words(item_index, vectors, words, limit, scope)
            item_ids = [item_id for item_id, _, _ in item_index.rank_hits(hits, limit)]
            weights = item_index.terms.weigh_terms(words.terms)
            return _ItemRanking(item_ids, item_index.sequence, weights)

        conditions = self._index_reader.count_conditions(query.filter) + len(words.terms)
        return await self._index_reader.read(search, len(vectors), conditions)
