"""The use case that reads: a source in, the most similar items out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from service import errors
from service.domain.checks import query_violations
from service.domain.filters import Filter
from service.domain.queries import Answer, ItemSource, Query, Reason, Recommendation
from service.domain.texts import Wording
from service.domain.values import ItemState, Violation
from service.index.base import Hits, Vectors, merged
from service.indexer import Indexer
from service.pooling import SOURCES, pooled, surroundings
from service.prior import Prior
from service.rankings import Scorer, Sources, Surroundings
from service.reasons import only, reasons
from service.selection import nearest_better, varied
from service.storage import Store
from service.storage.store import CatalogRow
from service.tastes import Present, TasteReader, Tastes, present
from service.vectoriser import Vectoriser
from service.view import View

T = TypeVar("T")

CHOICE = 100
CHOICE_PER_RESULT = 4
"""Where more than the score decides, it chooses among so many candidates."""

NO_VECTORS: Vectors = np.empty((0, 0), np.float32)

INLINE_CHOICE = 200
"""Candidates that may be compared with each other on the event loop: some 3 ms."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best items by score, best first; vectors and reasons where the query needs them."""

    ranked: Sequence[tuple[str, float, int]]
    sequence: int
    missing_item_ids: tuple[str, ...] = ()
    vectors: Vectors = field(default_factory=lambda: NO_VECTORS)
    reasons: Sequence[tuple[Reason, ...]] = ()


class Recommender:
    """Answers queries about one catalog."""

    def __init__(
        self,
        store: Store,
        catalog: CatalogRow,
        indexer: Indexer,
        vectoriser: Vectoriser,
        ranking: Callable[[Sources, Surroundings], Scorer],
        prior: Prior | None = None,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._indexer = indexer
        self._tastes = TasteReader(store, catalog, vectoriser)
        self._ranking = ranking
        self._prior = prior

    async def recommend(self, query: Query, found: Sequence[Violation] = ()) -> Answer:
        """The items most similar to the query's source, best first.

        Args:
            query: the question.
            found: what reading the request found wrong with it, to be told with the rest.

        Raises:
            InvalidRequest: the query breaks the contract.
            ItemNotFound, UserNotFound: the source does not exist.
            EmbeddingUnavailable: the source has no vector for now.
        """
        errors.require((*query_violations(query, self._store.last_sequence), *found))
        assert query.source is not None  # noqa: S101  (or it broke the contract)
        await self._indexer.reached(query.min_sequence)
        tastes = await self._tastes.read(query.source)
        candidates, chosen = await self._chosen(query, tastes)
        recommendations = [
            Recommendation(
                *candidates.ranked[position][:2],
                reasons=candidates.reasons[position] if query.explain else (),
            )
            for position in chosen
        ]
        if query.full:
            recommendations = await self._with_items(recommendations)
        return Answer(
            recommendations, candidates.sequence, candidates.missing_item_ids, tastes.usage
        )

    async def _chosen(self, query: Query, tastes: Tastes) -> tuple[Candidates, Sequence[int]]:
        """The candidates, and the positions of those that make the answer."""
        size = query.limit
        if query.diversity or query.max_similarity is not None:
            size = max(CHOICE, CHOICE_PER_RESULT * query.limit)
        while True:
            candidates = await self._candidates(query, tastes, size)
            kept: Sequence[int] = range(len(candidates.ranked))
            if query.max_similarity is not None:
                kept = await self._without_repetitions(candidates, query.max_similarity)
            if len(kept) >= query.limit or len(candidates.ranked) < size:
                break
            size *= 2
        if not query.diversity:
            return candidates, kept[: query.limit]
        scores = np.array([score for _, score, _ in candidates.ranked], np.float32)
        order = await _aside(
            len(kept),
            lambda: varied(
                scores[list(kept)], candidates.vectors[list(kept)], query.diversity, query.limit
            ),
        )
        return candidates, [kept[position] for position in order]

    async def _candidates(self, query: Query, tastes: Tastes, size: int) -> Candidates:
        """The `size` best items by score.

        Raises:
            ItemNotFound, EmbeddingUnavailable: the source is an item that has no vector.
        """

        def work(view: View) -> Candidates | None:
            if isinstance(query.source, ItemSource):
                return _around_item(view, query, query.source, size)
            return self._ranked(view, query, present(tastes, view), size, alone=tastes.alone)

        found = await self._indexer.read(work, queries=tastes.number)
        if found is None:
            raise await self._without_vector(tastes.items[0].item_id)
        return found

    def _ranked(
        self, view: View, query: Query, here: Present, size: int, *, alone: bool
    ) -> Candidates:
        if not len(here.origins) or not len(view):
            return Candidates([], view.sequence, here.missing_item_ids)
        exclude = {*here.own_keys, *view.keys(query.exclude_item_ids)}
        if alone:
            hits = self._nearest(view, here.sources.vectors, query, size, exclude)
        else:
            prior = self._prior
            hits = pooled(
                view,
                self._ranking(here.sources, surroundings(view)),
                size,
                view.allowed(query.filter or Filter(), exclude),
                None if prior is None else lambda keys: prior.lift(view, keys),
                exact=query.exact,
            )
        ranked = _best(view, hits, query, size)
        return Candidates(
            ranked,
            view.sequence,
            here.missing_item_ids,
            _first_vectors(view, ranked, query, size),
            _reasons(view, ranked, here, alone=alone) if query.explain else (),
        )

    @staticmethod
    def _nearest(view: View, vectors: Vectors, query: Query, size: int, exclude: set[int]) -> Hits:
        """The items nearest to any of one source's passages."""
        vectors = vectors[:SOURCES]
        if query.filter is None:
            hits = view.index.search(vectors, size, exclude, exact=query.exact)
        else:
            allowed = view.allowed(query.filter, exclude)
            hits = view.index.search(vectors, size, (), allowed, exact=query.exact)
        return hits[0] if len(hits) == 1 else merged(hits)

    async def _without_repetitions(
        self, candidates: Candidates, max_similarity: float
    ) -> Sequence[int]:
        """The positions of candidates that do not repeat a better one that stays."""
        near = await _aside(
            len(candidates.ranked), lambda: nearest_better(candidates.vectors, max_similarity)
        )
        close = sorted({*near, *(better for each in near.values() for better in each)})
        ids = [candidates.ranked[position][0] for position in close]
        items = await self._store.get_items(self._catalog, ids)
        texts = {
            position: items[item_id].item.text
            for position, item_id in zip(close, ids, strict=True)
            if item_id in items
        }
        repetitions = await _aside(len(close), lambda: _repetitions(near, texts))
        return [
            position for position in range(len(candidates.ranked)) if position not in repetitions
        ]

    async def _without_vector(self, item_id: str) -> errors.AkinError:
        found = await self._store.get_items(self._catalog, [item_id])
        if item_id in found and found[item_id].state is ItemState.PENDING:
            return errors.EmbeddingUnavailable("the item's text is not embedded yet")
        return errors.ItemNotFound("there is no such item")

    async def _with_items(self, recommendations: list[Recommendation]) -> list[Recommendation]:
        ids = [each.item_id for each in recommendations]
        found = await self._store.get_items(self._catalog, ids)
        # What was deleted since the search has no item any more, and no place in the answer.
        return [
            each._replace(item=found[each.item_id])
            for each in recommendations
            if each.item_id in found
        ]


def _around_item(view: View, query: Query, source: ItemSource, size: int) -> Candidates | None:
    """The candidates for one item; None if it has no vector."""
    key = view.key(source.item_id)
    if key is None:
        return None
    exclude = view.keys(query.exclude_item_ids)
    allowed = None if query.filter is None else view.allowed(query.filter, exclude)
    hits = view.index.nearest(key, size, exclude, allowed, exact=query.exact)
    ranked = _best(view, hits, query, size)
    return Candidates(
        ranked,
        view.sequence,
        (),
        _first_vectors(view, ranked, query, size),
        [only(source, score) for _, score, _ in ranked] if query.explain else (),
    )


def _best(view: View, hits: Hits, query: Query, size: int) -> Sequence[tuple[str, float, int]]:
    ranked = view.best(hits, size)
    if query.min_score is None:
        return ranked
    return [each for each in ranked if each[1] >= query.min_score]


def _repetitions(near: Mapping[int, Sequence[int]], texts: Mapping[int, str]) -> set[int]:
    """Those whose text repeats one of the better ones that they are near to."""
    wordings = {position: Wording(text) for position, text in texts.items()}
    return {
        worse
        for worse, better in near.items()
        if worse in wordings
        and any(wordings[worse].repeats(wordings[each]) for each in better if each in wordings)
    }


async def _aside(candidates: int, work: Callable[[], T]) -> T:
    """Runs work that takes time with the number of candidates, in a thread if there are many."""
    if candidates <= INLINE_CHOICE:
        return work()
    return await asyncio.get_running_loop().run_in_executor(None, work)


def _reasons(
    view: View,
    ranked: Sequence[tuple[str, float, int]],
    here: Present,
    *,
    alone: bool,
) -> Sequence[tuple[Reason, ...]]:
    if alone:
        return [only(here.origins[0], score) for _, score, _ in ranked]
    return reasons(view, surroundings(view), [key for _, _, key in ranked], here)


def _first_vectors(
    view: View, ranked: Sequence[tuple[str, float, int]], query: Query, size: int
) -> Vectors:
    """The vector of each candidate's first passage, float32 [candidates, dimensions].

    None where nothing chooses among more candidates than were asked for.
    """
    if size == query.limit:
        return NO_VECTORS
    owned = view.index.vectors([key for _, _, key in ranked])
    first: Vectors = owned.vectors[np.searchsorted(owned.owners, np.arange(len(ranked)))]
    return first
