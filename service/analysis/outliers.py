"""Finds outliers: the items that are least similar to all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.analysis.examination import Examination
from service.analysis.neighbors import choose_batch_size, find_neighbors
from service.analysis.sampling import draw_sample, find_matching_ids
from service.domain.analyses import Neighbor, Outlier, Outliers, OutliersQuery
from service.domain.generations import Generation
from service.domain.items import StoredItem
from service.index.index_reader import IndexReader
from service.storage.items import ItemStore

# Neighbors whose mean cosine is the score of an item. With one, two copies of an outlier hide each
# other; with many, the items at the rim of the catalog score lowest.
OUTLIER_NEIGHBORS = 10


class OutlierSearch:
    """Finds the outliers of one catalog."""

    def __init__(self, store: ItemStore, generation: Generation, reader: IndexReader) -> None:
        self._store = store
        self._generation = generation
        self._reader = reader

    async def find(self, query: OutliersQuery) -> Outliers:
        """Return the items with the lowest mean cosine with their ten nearest neighbors."""
        examination = Examination(await draw_sample(self._reader, query.filter))
        batch_size = await choose_batch_size(self._reader, exact=query.exact)
        scored: list[Outlier] = []
        for batch in examination.iterate_batches(batch_size):
            neighbors_by_id = await find_neighbors(
                self._reader, batch, OUTLIER_NEIGHBORS, query.filter, exact=query.exact
            )
            scored += [
                _score_item(item_id, neighbors) for item_id, neighbors in neighbors_by_id.items()
            ]
        scored.sort(key=lambda outlier: (outlier.mean_similarity, outlier.item_id))
        return Outliers(await self._select_current(scored, query), examination.coverage)

    async def _select_current(
        self, scored: Sequence[Outlier], query: OutliersQuery
    ) -> Sequence[Outlier]:
        """Return the first items that still have vectors and match, with their content if full."""
        selected: list[Outlier] = []
        for start in range(0, len(scored), query.limit):
            batch = scored[start : start + query.limit]
            ids = [outlier.item_id for outlier in batch]
            current_ids, sequence = await find_matching_ids(self._reader, ids, query.filter)
            items: Mapping[str, StoredItem] = {}
            if query.full:
                items = await self._read_items(sorted(current_ids), query, sequence)
                current_ids &= items.keys()
            selected += [
                outlier._replace(item=items.get(outlier.item_id))
                for outlier in batch
                if outlier.item_id in current_ids
            ]
            if len(selected) >= query.limit:
                break
        return selected[: query.limit]

    async def _read_items(
        self, item_ids: Sequence[str], query: OutliersQuery, sequence: int
    ) -> Mapping[str, StoredItem]:
        """Return the items by id, without those that may no longer match the filter."""
        items = await self._store.get_many(self._generation, item_ids)
        if query.filter is None:
            return items
        return {item_id: stored for item_id, stored in items.items() if stored.sequence <= sequence}


def _score_item(item_id: str, neighbors: Sequence[Neighbor]) -> Outlier:
    nearest = neighbors[:OUTLIER_NEIGHBORS]
    if not nearest:
        return Outlier(item_id, 0.0, "")
    mean_similarity = sum(neighbor.similarity for neighbor in nearest) / len(nearest)
    return Outlier(item_id, mean_similarity, nearest[0].item_id)
