"""Finds the items that are least like any others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.analysis.neighbors import Neighbor, batch_size, neighbors
from service.analysis.sampling import Sample, population, present
from service.domain.analyses import Outlier, Outliers, OutliersQuery
from service.domain.generations import Generation
from service.domain.items import StoredItem
from service.index.follower import Follower
from service.storage.items import ItemStore

NEIGHBORS = 10
"""An item is odd if it has few like it. One neighbor would do for none, but two copies of the same
oddity are each other's; of many the score becomes that of the catalog's rim."""


class OutlierSearch:
    """Finds outliers of one catalog."""

    def __init__(self, store: ItemStore, generation: Generation, follower: Follower) -> None:
        self._store = store
        self._generation = generation
        self._follower = follower

    async def find(self, query: OutliersQuery) -> Outliers:
        """The items whose mean cosine with their ten nearest neighbors is lowest."""
        sample = Sample(await population(self._follower, query.filter))
        scored: list[Outlier] = []
        for some in sample.some(batch_size(self._follower)):
            near = await neighbors(self._follower, some, NEIGHBORS, query.filter, exact=query.exact)
            scored += [_outlier(item_id, each) for item_id, each in near.items()]
        scored.sort(key=lambda each: (each.mean_similarity, each.item_id))
        return Outliers(await self._still_there(scored, query), sample.coverage)

    async def _still_there(
        self, scored: Sequence[Outlier], query: OutliersQuery
    ) -> Sequence[Outlier]:
        """The first that can still be recommended and pass."""
        chosen: list[Outlier] = []
        for start in range(0, len(scored), query.limit):
            some = scored[start : start + query.limit]
            ids = [each.item_id for each in some]
            here, sequence = await present(self._follower, ids, query.filter)
            items: Mapping[str, StoredItem] = {}
            if query.full:
                items = await self._items(sorted(here), query, sequence)
                here &= items.keys()
            chosen += [
                each._replace(item=items.get(each.item_id)) for each in some if each.item_id in here
            ]
            if len(chosen) >= query.limit:
                break
        return chosen[: query.limit]

    async def _items(
        self, item_ids: Sequence[str], query: OutliersQuery, sequence: int
    ) -> Mapping[str, StoredItem]:
        """The items, but for those that went, or may pass the filter no more, since."""
        found = await self._store.get_many(self._generation, item_ids)
        if query.filter is None:
            return found
        return {item_id: each for item_id, each in found.items() if each.sequence <= sequence}


def _outlier(item_id: str, near: Sequence[Neighbor]) -> Outlier:
    nearest = near[:NEIGHBORS]
    if not nearest:
        return Outlier(item_id, 0.0, "")
    score = sum(each.similarity for each in nearest) / len(nearest)
    return Outlier(item_id, score, nearest[0].item_id)
