"""The best items for a query by score alone: all that is done while the view holds still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.domain.filters import Filter
from service.domain.recommendations import ItemSource, Query
from service.index.item_index import View
from service.index.vector_index import Hits, Vectors, merged
from service.recommend.attribute_prior import Prior
from service.recommend.pooled_retrieval import pooled, surroundings
from service.recommend.profile import Present, Tastes, present
from service.recommend.scoring import Scorer, Sources, Surroundings

NO_VECTORS: Vectors = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids, scores and keys of the best items, best first, as of `sequence`.

    `vectors`, of each candidate's first chunk, are there where more than the score decides:
    float32 [candidates, dimensions]. `tastes` are what the scores were made from, where that is
    more than one item.
    """

    ranked: Sequence[tuple[str, float, int]]
    sequence: int
    vectors: Vectors = field(default_factory=lambda: NO_VECTORS)
    tastes: Present | None = None

    @property
    def missing_item_ids(self) -> tuple[str, ...]:
        """Items of the source that did not count."""
        return () if self.tastes is None else self.tastes.missing_item_ids


class Finder:
    """Finds candidates in a view, by one ranking."""

    def __init__(
        self, ranking: Callable[[Sources, Surroundings], Scorer], prior: Prior | None
    ) -> None:
        self._ranking = ranking
        self._prior = prior

    def found(self, view: View, query: Query, tastes: Tastes, size: int) -> Candidates | None:
        """The `size` best items; None if the source is an item that has no vector."""
        if isinstance(query.source, ItemSource):
            hits = _around(view, query, query.source, size)
            return None if hits is None else _candidates(view, hits, query, size)
        here = present(tastes, view)
        if not len(here.origins) or not len(view):
            return Candidates([], view.sequence, tastes=here)
        exclude = {*here.own_keys, *view.keys(query.exclude_item_ids)}
        if tastes.alone:
            hits = _nearest(view, here.sources.vectors, query, size, exclude)
        else:
            hits = self._pooled(view, here, query, size, exclude)
        return _candidates(view, hits, query, size, here)

    def _pooled(
        self, view: View, here: Present, query: Query, size: int, exclude: set[int]
    ) -> Hits:
        """The best items for several tastes."""
        prior = self._prior
        return pooled(
            view,
            self._ranking(here.sources, surroundings(view)),
            size,
            view.allowed(query.filter or Filter(), exclude),
            None if prior is None else lambda keys: prior.lift(view, keys),
            exact=query.exact,
        )


def _around(view: View, query: Query, source: ItemSource, size: int) -> Hits | None:
    """The items nearest to one item."""
    key = view.key(source.item_id)
    if key is None:
        return None
    exclude, allowed = view.selection(query.filter, view.keys(query.exclude_item_ids))
    return view.index.nearest(key, size, exclude, allowed, exact=query.exact)


def _nearest(view: View, vectors: Vectors, query: Query, size: int, exclude: set[int]) -> Hits:
    """The items nearest to any of one text's chunks."""
    left_out, allowed = view.selection(query.filter, exclude)
    hits = view.index.search(vectors, size, left_out, allowed, exact=query.exact)
    return hits[0] if len(hits) == 1 else merged(hits)


def _candidates(
    view: View, hits: Hits, query: Query, size: int, tastes: Present | None = None
) -> Candidates:
    ranked = view.best(hits, size)
    if query.min_score is not None:
        ranked = [each for each in ranked if each[1] >= query.min_score]
    vectors = NO_VECTORS
    if query.chooses and ranked:
        owned = view.index.vectors([key for _, _, key in ranked])
        vectors = owned.vectors[np.searchsorted(owned.owners, np.arange(len(ranked)))]
    return Candidates(ranked, view.sequence, vectors, tastes)
