"""The use case that reads: a source in, the most similar items out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from service import errors
from service.domain.generations import Generation
from service.domain.items import ItemState, StoredItem
from service.domain.recommendations import (
    Answer,
    ItemSource,
    Query,
    Reason,
    Recommendation,
    TextSource,
)
from service.domain.shingles import TEXT_CHARACTERS, Shingles
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.recommend.explanation import only, reasons
from service.recommend.pooled_retrieval import corpus_statistics
from service.recommend.profile import Profile, ProfileReader
from service.recommend.reranking import nearest_better, varied
from service.recommend.retrieval import Candidates, Retriever
from service.storage.items import ItemStore

T = TypeVar("T")

CHOICE = 100
CHOICE_PER_RESULT = 4
"""Where more than the score decides, it chooses among so many candidates."""

CHOICE_MOST = 4_096
"""Among so many, where repetitions take the places of others; 0.3 s."""

INLINE_CHOICE = 200
"""Candidates that may be compared with each other on the event loop: some 3 ms."""

ROUNDS = 3
"""So often an answer is made anew because its items were written meanwhile."""


class Recommender:
    """Answers queries about one catalog."""

    def __init__(
        self,
        items: ItemStore,
        generation: Generation,
        follower: Follower,
        profile: ProfileReader,
        retriever: Retriever,
    ) -> None:
        self._item_store = items
        self._generation = generation
        self._follower = follower
        self._profile = profile
        self._retriever = retriever

    async def recommend(self, query: Query) -> Answer:
        """Return the items most similar to the source of a valid query, best first.

        Raises:
            InvalidRequest: the model rejects a text.
            ItemNotFound, UserNotFound: the source does not exist.
            EmbeddingUnavailable: the source has no vector now.
        """
        assert query.source is not None  # noqa: S101  (a valid query has a source)
        profile = await self._profile.read(query.source)
        candidates, chosen = await self._chosen(query, profile)
        items: Mapping[str, StoredItem] = {}
        if query.full:
            for _ in range(ROUNDS):
                items = await self._items(query, candidates, chosen)
                if len(items) == len(chosen):
                    break
                await self._follower.wait_for(await self._item_store.refresh())
                candidates, chosen = await self._chosen(query, profile)
        because = await self._reasons(query, candidates, chosen) if query.explain else {}
        ranked = [candidates.ranked[position][:2] for position in chosen]
        recommendations = [
            Recommendation(item_id, score, items.get(item_id), because.get(item_id, ()))
            for item_id, score in ranked
            if item_id in items or not query.full
        ]
        return Answer(
            recommendations, candidates.sequence, candidates.missing_item_ids, profile.usage
        )

    async def _chosen(self, query: Query, profile: Profile) -> tuple[Candidates, Sequence[int]]:
        """The candidates, and the positions of those that make the answer."""
        size = query.limit
        if query.chooses:
            size = max(CHOICE, CHOICE_PER_RESULT * query.limit)
        while True:
            candidates = await self._candidates(query, profile, size)
            kept: Sequence[int] = range(len(candidates.ranked))
            if query.max_similarity is not None:
                kept = await self._without_repetitions(candidates, query.max_similarity)
            if (
                len(kept) >= query.limit
                or len(candidates.ranked) < size
                or (size >= CHOICE_MOST and query.chooses)
            ):
                break
            size = min(2 * size, CHOICE_MOST)
        if not query.diversity:
            return candidates, kept[: query.limit]
        scores = np.array([candidates.ranked[each][1] for each in kept], np.float32)
        vectors = candidates.vectors[list(kept)]
        order = await _aside(
            len(kept), lambda: varied(scores, vectors, query.diversity, query.limit)
        )
        return candidates, [kept[position] for position in order]

    async def _candidates(self, query: Query, profile: Profile, size: int) -> Candidates:
        """The `size` best items by score.

        Raises:
            ItemNotFound, EmbeddingUnavailable: the source is an item that has no vector.
        """
        found = await self._follower.read(
            lambda item_index: self._retriever.found(item_index, query, profile, size),
            queries=profile.number,
            conditions=self._follower.count_conditions(query.filter),
        )
        if found is None:
            raise await self._without_vector(profile.items[0].item_id)
        return found

    async def _without_repetitions(
        self, candidates: Candidates, max_similarity: float
    ) -> Sequence[int]:
        """The positions of candidates that do not repeat a better one."""
        number = len(candidates.ranked)
        near = await _aside(number, lambda: nearest_better(candidates.vectors, max_similarity))
        close = sorted({*near, *(better for each in near.values() for better in each)})
        ids = [candidates.ranked[position][0] for position in close]
        texts = await self._item_store.text_beginnings(self._generation, ids, TEXT_CHARACTERS)
        by_position = {
            position: texts[item_id]
            for position, item_id in zip(close, ids, strict=True)
            if item_id in texts
        }
        repetitions = await _aside(len(close), lambda: _repetitions(near, by_position))
        return [position for position in range(number) if position not in repetitions]

    async def _reasons(
        self, query: Query, candidates: Candidates, chosen: Sequence[int]
    ) -> Mapping[str, tuple[Reason, ...]]:
        """What each chosen item is recommended for; nothing for one that has just gone."""
        ranked = [candidates.ranked[position] for position in chosen]
        profile = candidates.profile
        if isinstance(query.source, ItemSource | TextSource):
            return {item_id: only(query.source, score) for item_id, score, _ in ranked}

        def work(item_index: ItemIndex) -> Mapping[str, tuple[Reason, ...]]:
            ids = [item_id for item_id, _, _ in ranked if item_index.find_key(item_id) is not None]
            if profile is None or not ids:
                return {}
            told = reasons(
                item_index, corpus_statistics(item_index), item_index.find_keys(ids), profile
            )
            return dict(zip(ids, told, strict=True))

        return await self._follower.read(work, queries=1)

    async def _without_vector(self, item_id: str) -> errors.AkinError:
        found = await self._item_store.get_many(self._generation, [item_id])
        if item_id in found and found[item_id].state is ItemState.PENDING:
            return errors.EmbeddingUnavailable("the item's text is not embedded yet")
        return errors.ItemNotFound("there is no such item")

    async def _items(
        self, query: Query, candidates: Candidates, chosen: Sequence[int]
    ) -> Mapping[str, StoredItem]:
        """The chosen items, but for those that went, or may pass the filter no more, since."""
        ids = [candidates.ranked[position][0] for position in chosen]
        found = await self._item_store.get_many(self._generation, ids)
        if query.filter is None:
            return found
        return {
            item_id: each for item_id, each in found.items() if each.sequence <= candidates.sequence
        }


def _repetitions(near: Mapping[int, Sequence[int]], texts: Mapping[int, str]) -> set[int]:
    """Those whose text is that of a better one, or repeats one of the better ones near to it."""
    wordings: dict[int, Shingles] = {}
    seen: set[int] = set()
    found = set()
    for position in sorted(texts):
        shingles = wordings[position] = Shingles(texts[position])
        better = (wordings[each] for each in near.get(position, ()) if each in wordings)
        if shingles.whole in seen or any(map(shingles.repeats, better)):
            found.add(position)
        seen.add(shingles.whole)
    return found


async def _aside(candidates: int, work: Callable[[], T]) -> T:
    """Runs work that takes time with the number of candidates, in a thread if there are many."""
    if candidates <= INLINE_CHOICE:
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)
