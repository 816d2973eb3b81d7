"""Clusters the items of a catalog, and describes each cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from service import errors
from service.analysis.computation import compute
from service.analysis.examination import Examination
from service.analysis.keywords import MAX_KEYWORD_CHARACTERS, extract_keywords
from service.analysis.kmeans import (
    ClusterAssignment,
    ClusterInput,
    compute_clusters,
    compute_item_vectors,
)
from service.analysis.sampling import draw_sample, find_matching_ids
from service.domain.analyses import Cluster, ClusterItem, ClusterPoint, Clusters, ClustersQuery
from service.domain.filters import Filter
from service.domain.generations import Generation
from service.domain.vectors import Keys
from service.index.faiss_kmeans import KMEANS_ATTEMPTS, KMEANS_ROUNDS
from service.index.index_reader import IndexReader
from service.index.item_index import ItemIndex
from service.index.read_requests import plan_items
from service.storage.items import ItemStore

# Items whose vectors are copied out of the item index at once, in 4 ms.
CLUSTERED_ITEMS_AT_ONCE = 1_000

# Items that centers are computed from.
MAX_TRAINING_ITEMS = 20_000

# Multiply-adds of computing the centers: 2 s. With many clusters it allows fewer training items.
MAX_TRAINING_COST = 40_000_000_000

# Training items of each cluster, whatever they cost.
MIN_TRAINING_ITEMS_PER_CLUSTER = 2

# Texts that keywords are extracted from, in all.
MAX_KEYWORD_TEXTS = 5_000

# Texts of each cluster that keywords are extracted from, however many clusters there are.
MIN_KEYWORD_TEXTS_PER_CLUSTER = 10

KEYWORD_TEXTS_AT_ONCE = 500

# Representatives beyond the limit, in case some are deleted in the meantime.
SPARE_REPRESENTATIVES = 10


class Clusterer:
    """Clusters the items of one catalog."""

    def __init__(self, store: ItemStore, generation: Generation, reader: IndexReader) -> None:
        self._store = store
        self._generation = generation
        self._reader = reader

    async def find(self, query: ClustersQuery) -> Clusters:
        """Return the clusters, largest first, with representatives, keywords and map places.

        Raises:
            TooFewItems: there are fewer items than requested clusters.
        """
        examination = Examination(await draw_sample(self._reader, query.filter))
        item_count = examination.sample.item_count
        if item_count < query.cluster_count:
            raise errors.TooFewItems(
                f"there are fewer items ({item_count}) than clusters ({query.cluster_count})"
            )
        batches = examination.iterate_batches(CLUSTERED_ITEMS_AT_ONCE)
        training = await self._read_training_items(batches, query)
        if not training.item_ids:
            return Clusters((), (), examination.coverage)
        assignment = await compute(compute_clusters, training, query, item_count)
        for batch in batches:
            items = await self._read_vectors(batch, query.filter)
            await compute(assignment.add, items)
        return await self._describe(assignment, examination, query)

    async def _read_training_items(
        self, batches: Iterator[Sequence[str]], query: ClustersQuery
    ) -> ClusterInput:
        """Take batches until there are enough items to compute centers from."""
        training: list[ClusterInput] = []
        count = 0
        for batch in batches:
            training.append(await self._read_vectors(batch, query.filter))
            count += len(training[-1].item_ids)
            if count >= _choose_training_count(training[-1].vectors.shape[1], query.cluster_count):
                break
        return ClusterInput.concatenate(training)

    async def _read_vectors(self, item_ids: Sequence[str], filter_: Filter | None) -> ClusterInput:
        """Return the items that still match, each with the mean of its chunks' vectors."""

        def read(item_index: ItemIndex) -> ClusterInput:
            keys = item_index.find_matching_keys(item_ids, filter_)
            owned = item_index.vectors.get(list(keys.values()))
            return ClusterInput(
                list(keys), compute_item_vectors(owned.vectors, owned.owners, len(keys))
            )

        return await self._reader.read_in_worker(read, plan_items(item_ids))

    async def _describe(
        self, assignment: ClusterAssignment, examination: Examination, query: ClustersQuery
    ) -> Clusters:
        """Return the clusters with those items that still match."""
        clusters = assignment.list_clusters()
        members = [np.flatnonzero(assignment.clusters == cluster) for cluster in clusters]
        candidate_count = query.representative_limit + SPARE_REPRESENTATIVES
        nearest_rows = [assignment.select_nearest(rows, candidate_count) for rows in members]
        ids = [assignment.item_ids[row] for rows in nearest_rows for row in rows]
        ids += assignment.item_ids[: len(assignment.places)]
        current_ids, _ = await find_matching_ids(
            self._reader, list(dict.fromkeys(ids)), query.filter
        )
        keywords = await self._extract_keywords(assignment, members)
        scale = examination.sample.item_count / len(assignment.clusters)
        described = [
            Cluster(
                round(scale * len(rows)),
                cluster_keywords,
                _list_representatives(assignment, nearest, current_ids)[
                    : query.representative_limit
                ],
                float(assignment.cosines[rows].mean()),
                *map(float, assignment.layout.places[cluster]),
            )
            for cluster, rows, nearest, cluster_keywords in zip(
                clusters, members, nearest_rows, keywords, strict=True
            )
        ]
        points = _list_points(assignment, clusters, current_ids)
        return Clusters(described, points, examination.coverage)

    async def _extract_keywords(
        self, assignment: ClusterAssignment, members: Sequence[Keys]
    ) -> list[list[str]]:
        """Return the keywords of each cluster, from some of its texts."""
        text_count = max(MIN_KEYWORD_TEXTS_PER_CLUSTER, MAX_KEYWORD_TEXTS // len(members))
        cluster_ids = [
            [assignment.item_ids[row] for row in rows[:text_count].tolist()] for rows in members
        ]
        item_ids = [item_id for ids in cluster_ids for item_id in ids]
        texts: dict[str, str] = {}
        for start in range(0, len(item_ids), KEYWORD_TEXTS_AT_ONCE):
            batch = item_ids[start : start + KEYWORD_TEXTS_AT_ONCE]
            excerpts = await self._store.excerpts(self._generation, batch, MAX_KEYWORD_CHARACTERS)
            texts |= {
                item_id: excerpt.text
                for item_id, excerpt in excerpts.items()
                if not excerpt.is_pending
            }
        cluster_texts = [
            [texts[item_id] for item_id in ids if item_id in texts] for ids in cluster_ids
        ]
        return await compute(extract_keywords, cluster_texts)


def _choose_training_count(dimensions: int, cluster_count: int) -> int:
    """Return how many items to compute centers from; a cluster count of 0 is not chosen yet."""
    cost = max(dimensions * KMEANS_ROUNDS * KMEANS_ATTEMPTS * max(cluster_count, 1), 1)
    affordable_count = min(MAX_TRAINING_ITEMS, MAX_TRAINING_COST // cost)
    return max(MIN_TRAINING_ITEMS_PER_CLUSTER * cluster_count, affordable_count)


def _list_representatives(
    assignment: ClusterAssignment, rows: Sequence[int], current_ids: set[str]
) -> list[ClusterItem]:
    return [
        ClusterItem(assignment.item_ids[row], float(assignment.cosines[row]))
        for row in rows
        if assignment.item_ids[row] in current_ids
    ]


def _list_points(
    assignment: ClusterAssignment, clusters: Sequence[int], current_ids: set[str]
) -> list[ClusterPoint]:
    """Return the items on the map; `clusters` are the cluster numbers in order of the result."""
    indexes = {cluster: index for index, cluster in enumerate(clusters)}
    return [
        ClusterPoint(item_id, indexes[cluster], *place)
        for item_id, cluster, place in zip(
            assignment.item_ids,
            assignment.clusters.tolist(),
            assignment.places.tolist(),
            strict=False,
        )
        if item_id in current_ids
    ]
