"""The best items for a query by score alone: all that is done while the item index holds still."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from service.domain.filters import Filter
from service.domain.recommendations import ItemSource, Query
from service.domain.vectors import Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits, merge_hits
from service.recommend.attribute_prior import AttributePrior
from service.recommend.pooled_retrieval import corpus_statistics, pooled
from service.recommend.profile import Profile, QueryVectors, present
from service.recommend.scoring import CorpusStatistics, Scorer, Sources

NO_VECTORS: Vectors = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids, scores and keys of the best items, best first, as of `sequence`.

    `vectors`, of each candidate's first chunk, are there where more than the score decides:
    float32 [candidates, dimensions]. `profile` are what the scores were made from, where that is
    more than one item.
    """

    ranked: Sequence[tuple[str, float, int]]
    sequence: int
    vectors: Vectors = field(default_factory=lambda: NO_VECTORS)
    profile: QueryVectors | None = None

    @property
    def missing_item_ids(self) -> tuple[str, ...]:
        """Items of the source that did not count."""
        return () if self.profile is None else self.profile.missing_item_ids


class Retriever:
    """Finds candidates in an item index, by one ranking."""

    def __init__(
        self, ranking: Callable[[Sources, CorpusStatistics], Scorer], prior: AttributePrior | None
    ) -> None:
        self._ranking = ranking
        self._prior = prior

    def found(
        self, item_index: ItemIndex, query: Query, profile: Profile, size: int
    ) -> Candidates | None:
        """The `size` best items; None if the source is an item that has no vector."""
        if isinstance(query.source, ItemSource):
            hits = _around(item_index, query, query.source, size)
            return None if hits is None else _candidates(item_index, hits, query, size)
        here = present(profile, item_index)
        if not len(here.origins) or not len(item_index):
            return Candidates([], item_index.sequence, profile=here)
        exclude = {*here.own_keys, *item_index.find_keys(query.exclude_item_ids)}
        if profile.alone:
            hits = _nearest(item_index, here.sources.vectors, query, size, exclude)
        else:
            hits = self._pooled(item_index, here, query, size, exclude)
        return _candidates(item_index, hits, query, size, here)

    def _pooled(
        self, item_index: ItemIndex, here: QueryVectors, query: Query, size: int, exclude: set[int]
    ) -> Hits:
        """The best items for several profile."""
        prior = self._prior
        return pooled(
            item_index,
            self._ranking(here.sources, corpus_statistics(item_index)),
            size,
            item_index.compute_mask(query.filter or Filter(), exclude),
            None if prior is None else lambda keys: prior.lift(item_index, keys),
            exact=query.exact,
        )


def _around(item_index: ItemIndex, query: Query, source: ItemSource, size: int) -> Hits | None:
    """The items nearest to one item."""
    key = item_index.find_key(source.item_id)
    if key is None:
        return None
    exclude, allowed = item_index.restrict_search(
        query.filter, item_index.find_keys(query.exclude_item_ids)
    )
    return item_index.vectors.search_by_key(key, size, exclude, allowed, exact=query.exact)


def _nearest(
    item_index: ItemIndex, vectors: Vectors, query: Query, size: int, exclude: set[int]
) -> Hits:
    """The items nearest to any of one text's chunks."""
    left_out, allowed = item_index.restrict_search(query.filter, exclude)
    hits = item_index.vectors.search(vectors, size, left_out, allowed, exact=query.exact)
    return hits[0] if len(hits) == 1 else merge_hits(hits)


def _candidates(
    item_index: ItemIndex, hits: Hits, query: Query, size: int, profile: QueryVectors | None = None
) -> Candidates:
    ranked = item_index.rank_hits(hits, size)
    if query.min_score is not None:
        ranked = [each for each in ranked if each[1] >= query.min_score]
    vectors = NO_VECTORS
    if query.chooses and ranked:
        owned = item_index.vectors.get([key for _, _, key in ranked])
        vectors = owned.vectors[np.searchsorted(owned.owners, np.arange(len(ranked)))]
    return Candidates(ranked, item_index.sequence, vectors, profile)
