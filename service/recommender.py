"""The use case that reads: a source in, the most similar items out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from service import errors
from service.domain.checks import query_violations
from service.domain.queries import Answer, ItemSource, Query, Recommendation, TextSource, UserSource
from service.domain.values import EmbeddingUsage, ItemState, LikedItem, User, Violation
from service.index.base import Vectors
from service.indexer import Indexer
from service.pooling import SOURCES, Sources, merged, pooled
from service.storage import Store
from service.storage.store import CatalogRow
from service.vectoriser import Vectoriser, at_field
from service.view import View

Ranked = Sequence[tuple[str, float]]


class Recommender:
    """Answers queries about one catalog."""

    def __init__(
        self, store: Store, catalog: CatalogRow, indexer: Indexer, vectoriser: Vectoriser
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._indexer = indexer
        self._vectoriser = vectoriser

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
        await self._indexer.reached(query.min_sequence)
        match query.source:
            case ItemSource(item_id):
                answer = await self._for_item(query, item_id)
            case TextSource(text):
                answer = await self._for_text(query, text)
            case UserSource(user_id):
                answer = await self._for_user(query, user_id)
            case None:
                raise AssertionError("a query without a source breaks the contract")
        return await self._with_items(answer) if query.full else answer

    async def _for_item(self, query: Query, item_id: str) -> Answer:
        def work(view: View) -> Answer | None:
            key = view.key(item_id)
            if key is None:
                return None
            exclude = [key, *view.keys(query.exclude_item_ids)]
            return _answer(
                view, query, _nearest(view, view.index.vectors([key]).vectors, query, exclude)
            )

        answer = await self._indexer.read(work, queries=1)
        if answer is None:
            raise await self._without_vector(item_id)
        return answer

    async def _for_text(self, query: Query, text: str) -> Answer:
        vectors, usage = await self._vectoriser.query(text, "text")

        def work(view: View) -> Answer:
            exclude = view.keys(query.exclude_item_ids)
            return _answer(view, query, _nearest(view, vectors, query, exclude), usage=usage)

        return await self._indexer.read(work, queries=len(vectors))

    async def _for_user(self, query: Query, user_id: str) -> Answer:
        stored = await self._store.get_user(self._catalog, user_id)
        if stored is None:
            raise errors.UserNotFound("there is no such user")
        user = stored.user
        tastes = await self._vectoriser.queries(each.text for each in user.preferences)
        for failure in tastes.failures.values():
            raise at_field(failure, "user_id")
        vectors = [tastes.vectors(each.text) for each in user.preferences]

        def work(view: View) -> Answer:
            missing = tuple(
                each.item_id for each in user.liked_items if view.key(each.item_id) is None
            )
            ranked = _for_tastes(view, query, user, vectors)
            return _answer(view, query, ranked, missing, tastes.usage)

        sources = len(vectors) + len(user.liked_items)
        return await self._indexer.read(work, queries=min(sources, SOURCES))

    async def _without_vector(self, item_id: str) -> errors.AkinError:
        found = await self._store.get_items(self._catalog, [item_id])
        if item_id in found and found[item_id].state is ItemState.PENDING:
            return errors.EmbeddingUnavailable("the item's text is not embedded yet")
        return errors.ItemNotFound("there is no such item")

    async def _with_items(self, answer: Answer) -> Answer:
        ids = [each.item_id for each in answer.recommendations]
        found = await self._store.get_items(self._catalog, ids)
        # What was deleted since the search has no item any more, and no place in the answer.
        full = [
            Recommendation(each.item_id, each.score, found[each.item_id])
            for each in answer.recommendations
            if each.item_id in found
        ]
        return replace(answer, recommendations=full)


def _nearest(view: View, vectors: Vectors, query: Query, exclude: Sequence[int]) -> Ranked:
    """The items nearest to any of the source's passages."""
    hits = view.index.search(vectors[:SOURCES], query.limit, exclude)
    return view.best(hits[0] if len(hits) == 1 else merged(hits), query.limit)


def _for_tastes(view: View, query: Query, user: User, tastes: Sequence[Vectors]) -> Ranked:
    present = [each for each in user.liked_items if view.key(each.item_id) is not None]
    counting = _strongest(present, SOURCES - len(tastes))
    owned = view.index.vectors(view.keys(each.item_id for each in counting))
    vectors = np.concatenate([*tastes, owned.vectors])
    if not len(vectors):
        return []
    # The passages of one long text share its weight.
    passages = [*map(len, tastes), *np.bincount(owned.owners, minlength=len(counting)).tolist()]
    weights = [each.weight for each in user.preferences] + [each.weight for each in counting]
    shares = [
        weight / number
        for weight, number in zip(weights, passages, strict=True)
        for _ in range(number)
    ]
    exclude = view.keys((*(each.item_id for each in present), *query.exclude_item_ids))
    sources = Sources(vectors, np.array(shares, np.float32))
    return view.best(
        pooled(view, sources, query.limit, set(exclude), exact=query.exact), query.limit
    )


def _strongest(liked: Sequence[LikedItem], number: int) -> Sequence[LikedItem]:
    """The heaviest `number` likes or dislikes, and of equal ones the latest, in their order."""
    if len(liked) <= number:
        return liked
    latest_first = reversed(range(len(liked)))
    heaviest = sorted(latest_first, key=lambda position: -abs(liked[position].weight))
    return [liked[position] for position in sorted(heaviest[:number])]


def _answer(
    view: View,
    query: Query,
    ranked: Ranked,
    missing_item_ids: tuple[str, ...] = (),
    usage: EmbeddingUsage = EmbeddingUsage(),  # noqa: B008  (frozen)
) -> Answer:
    floor = -math.inf if query.min_score is None else query.min_score
    recommendations = [Recommendation(*each) for each in ranked if each[1] >= floor]
    return Answer(recommendations, view.sequence, missing_item_ids, usage)
