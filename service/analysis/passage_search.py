"""Finds the passages of items' texts that are most like a text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from service.domain.analyses import FoundPassage, Passages, PassagesQuery
from service.domain.generations import Generation
from service.domain.items import ItemState
from service.embedding.embedder import Vector
from service.embedding.text_embedder import ChunkSpan, TextEmbedder
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.vector_index import merge_hits
from service.storage.items import ItemStore

TEXTS_AT_ONCE = 20
"""Texts in memory at once, of 1 MiB at most."""

ROUNDS = 3
"""So often an answer is made anew because its items were written meanwhile."""


class _Scored(NamedTuple):
    """A passage by the place of its vector among those of its item, and its score."""

    item_id: str
    place: int
    score: float


class PassageSearch:
    """Finds passages in the texts of one catalog."""

    def __init__(
        self,
        store: ItemStore,
        generation: Generation,
        follower: Follower,
        text_embedder: TextEmbedder,
    ) -> None:
        self._store = store
        self._generation = generation
        self._follower = follower
        self._text_embedder = text_embedder

    async def search(self, query: PassagesQuery) -> Passages:
        """The passages most like the query's text.

        Raises:
            InvalidRequest, EmbeddingUnavailable: the text cannot be embedded.
        """
        vectors, usage = await self._text_embedder.query(query.text, "text")
        dropped: set[str] = set()
        for final in (*[False] * (ROUNDS - 1), True):
            scored, sequence = await self._scored(query, vectors, dropped)
            passages, late = await self._worded(scored, sequence)
            unworded = {each.item_id for each in scored} - {each.item_id for each in passages}
            if final or not unworded:
                break
            # What was written meanwhile is worth another look; what waits, or was embedded under
            # other settings, stays as it is.
            dropped |= unworded - late
            await self._follower.wait_for(await self._store.refresh())
        passages.sort(key=lambda each: (-each.score, each.item_id, each.start_offset))
        return Passages(passages, sequence, usage)

    async def _scored(
        self, query: PassagesQuery, vectors: Vector, dropped: set[str]
    ) -> tuple[list[_Scored], int]:
        """The best passages by score, and the last write that they reflect."""

        def work(item_index: ItemIndex) -> tuple[list[_Scored], int]:
            exclude, allowed = item_index.restrict_search(
                query.filter, item_index.find_keys(dropped)
            )
            # The best passages are in the items with the best passages.
            hits = merge_hits(
                item_index.vectors.search(vectors, query.limit, exclude, allowed, exact=query.exact)
            )
            best = item_index.rank_hits(hits, query.limit)
            owned = item_index.vectors.get([key for _, _, key in best])
            scores = (owned.vectors @ vectors.T).max(axis=1, initial=-np.inf)
            firsts = np.searchsorted(owned.owners, owned.owners)
            places = (np.arange(len(scores)) - firsts).tolist()
            scored = [
                _Scored(best[owner][0], place, score)
                for owner, place, score in zip(
                    owned.owners.tolist(), places, scores.tolist(), strict=True
                )
            ]
            return scored, item_index.sequence

        queries = len(vectors)
        conditions = self._follower.count_conditions(query.filter)
        scored, sequence = await self._follower.read(work, queries, conditions)
        return list(_cut(scored, query)), sequence

    async def _worded(
        self, scored: Sequence[_Scored], sequence: int
    ) -> tuple[list[FoundPassage], set[str]]:
        """The passages of items that are as they were embedded; and items that are newer."""
        places: dict[str, list[_Scored]] = {}
        for each in scored:
            places.setdefault(each.item_id, []).append(each)
        loop = asyncio.get_running_loop()
        worded: list[FoundPassage] = []
        late: set[str] = set()
        ids = list(places)
        for start in range(0, len(ids), TEXTS_AT_ONCE):
            some = ids[start : start + TEXTS_AT_ONCE]
            found = await self._store.get_many(self._generation, some)
            hashes = await self._store.chunk_hashes(self._generation, some)
            late |= set(some) - found.keys()
            for item_id, stored in found.items():
                if stored.state is ItemState.PENDING:
                    continue
                if stored.sequence > sequence:
                    late.add(item_id)
                    continue
                own = places[item_id], stored.item.text, hashes.get(item_id, ())
                worded += await loop.run_in_executor(None, self._located, *own)
        return worded, late

    def _located(
        self, scored: Sequence[_Scored], text: str, hashes: Sequence[bytes]
    ) -> list[FoundPassage]:
        """The passages of one item; none if it was not embedded as it would be today."""
        spans = self._text_embedder.chunks(text)
        if [each.text_hash for each in spans] != list(hashes):
            return []
        return [_passage(each, text, spans[each.place]) for each in scored]


def _cut(scored: Sequence[_Scored], query: PassagesQuery) -> Iterator[_Scored]:
    """The best passages: as many as wanted, not too many of one item, none that scores too low."""
    taken: dict[str, int] = {}
    number = 0
    least = -np.inf if query.min_score is None else query.min_score
    for each in sorted(scored, key=lambda one: (-one.score, one.item_id, one.place)):
        if number == query.limit or each.score < least:
            return
        taken[each.item_id] = taken.get(each.item_id, 0) + 1
        if not query.limit_per_item or taken[each.item_id] <= query.limit_per_item:
            number += 1
            yield each


def _passage(scored: _Scored, text: str, span: ChunkSpan) -> FoundPassage:
    passage = text[span.start : span.end]
    start = len(text[: span.start].encode())
    return FoundPassage(scored.item_id, passage, start, start + len(passage.encode()), scored.score)
