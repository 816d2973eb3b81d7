"""Assigns items to clusters: how many clusters, around which centers, and which items each has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.map_layout import MapLayout, Places, compute_layout
from service.domain.analyses import ClustersQuery
from service.domain.vectors import Keys, Vectors
from service.index.faiss_kmeans import compute_centers

# The number of the cluster of each item.
ClusterNumbers = NDArray[np.int64]

# Cluster counts that are tried.
TRIED_CLUSTER_COUNTS = (*range(2, 13), 14, 16, 18, 20, 24, 28, 32)

# Vectors that they are tried on: 0.3 s with 256 dimensions.
MAX_TRIED_VECTORS = 3_000

# A silhouette below this shows no structure (Kaufman and Rousseeuw 1990). With 3 to 15 clouds of
# vectors the right count reaches 0.75 and more; with films and package descriptions no count
# reaches 0.25, because they have no count of their own.
MIN_SILHOUETTE = 0.25

# Without a clear structure the count is the square root of the number of items over this: 14 for
# 3,000 items.
ROOT_OF_ITEMS_PER_CLUSTER = 4.0

# Bounds of that count. More clusters than the upper one are hard for people to take in.
MIN_CLUSTERS, MAX_CLUSTERS = 2, 24

# Items of a cluster that its main directions on the map are computed from.
MAX_AXES_ITEMS = 200


@dataclass(frozen=True, slots=True)
class ClusterInput:
    """Items to assign and a unit vector of each, float32 [items, dimensions]."""

    item_ids: Sequence[str]
    vectors: Vectors

    @classmethod
    def concatenate(cls, batches: Sequence[ClusterInput]) -> ClusterInput:
        """Return all items of several batches."""
        if not batches:
            return cls([], np.empty((0, 0), np.float32))
        item_ids = [item_id for batch in batches for item_id in batch.item_ids]
        return cls(item_ids, np.concatenate([batch.vectors for batch in batches]))


class ClusterAssignment:
    """The items assigned so far, their clusters, and the places of the first ones on the map.

    Args:
        layout: the map, with the clusters' centers.
        point_limit: the number of items to place.
    """

    def __init__(self, layout: MapLayout, point_limit: int) -> None:
        self.layout = layout
        self.item_ids: list[str] = []
        self.clusters: ClusterNumbers = np.empty(0, np.int64)
        self.cosines: Vectors = np.empty(0, np.float32)
        self.places: Places = np.empty((0, 2))
        self._point_limit = point_limit

    def add(self, batch: ClusterInput) -> None:
        """Assign more items to their nearest centers."""
        clusters, cosines = assign_to_centers(batch.vectors, self.layout.centers)
        self.item_ids += batch.item_ids
        self.clusters = np.concatenate([self.clusters, clusters])
        self.cosines = np.concatenate([self.cosines, cosines])
        remaining = self._point_limit - len(self.places)
        if remaining > 0:
            places = self.layout.place(batch.vectors[:remaining], clusters[:remaining])
            self.places = np.concatenate([self.places, places])

    def list_clusters(self) -> list[int]:
        """Return the numbers of the clusters that have items, largest first."""
        counts = np.bincount(self.clusters, minlength=len(self.layout.centers))
        by_size = np.argsort(-counts, kind="stable").tolist()
        return [cluster for cluster in by_size if counts[cluster]]

    def select_nearest(self, rows: Keys, limit: int) -> list[int]:
        """Return those rows whose items are nearest to their center, equal ones by id."""
        nearest = rows[np.argsort(-self.cosines[rows], kind="stable")[:limit]].tolist()
        return sorted(nearest, key=lambda row: (-self.cosines[row], self.item_ids[row]))


def compute_clusters(
    training: ClusterInput, query: ClustersQuery, item_count: int
) -> ClusterAssignment:
    """Compute clusters from some of `item_count` items, and assign those items.

    The other items can be added to the result.
    """
    vectors = training.vectors
    count = query.cluster_count or choose_cluster_count(vectors, item_count)
    centers = compute_centers(vectors, min(count, len(vectors)))
    clusters, _ = assign_to_centers(vectors, centers)
    # With equal vectors some centers have no items.
    used_clusters = np.unique(clusters)
    members = [vectors[clusters == cluster][:MAX_AXES_ITEMS] for cluster in used_clusters.tolist()]
    layout = compute_layout(centers[used_clusters], members)
    assignment = ClusterAssignment(layout, query.point_limit)
    assignment.add(training)
    return assignment


def compute_item_vectors(vectors: Vectors, owners: Keys, item_count: int) -> Vectors:
    """Return the mean of each item's chunks, unit length, float32 [items, dimensions]."""
    if len(vectors) == item_count:
        return vectors
    sums = np.add.reduceat(vectors, np.searchsorted(owners, np.arange(item_count)))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    units: Vectors = sums / np.maximum(lengths, np.finfo(np.float32).tiny)
    return units


def choose_cluster_count(vectors: Vectors, item_count: int) -> int:
    """Return how many clusters to make of `item_count` items, of which `vectors` are a sample.

    It is the count with the best silhouette if that shows a clear structure, and otherwise one that
    grows slowly with the number of items.
    """
    tried_vectors = vectors[:MAX_TRIED_VECTORS]
    # Clusters of one or two items always have a good silhouette.
    counts = [count for count in TRIED_CLUSTER_COUNTS if count**2 <= len(tried_vectors)]
    silhouettes = [
        (_compute_silhouette(tried_vectors, compute_centers(tried_vectors, count)), -count)
        for count in counts
    ]
    best_silhouette, negative_count = max(silhouettes, default=(0.0, -1))
    if best_silhouette >= MIN_SILHOUETTE:
        return -negative_count
    count = round(math.sqrt(item_count) / ROOT_OF_ITEMS_PER_CLUSTER)
    return min(len(tried_vectors), max(MIN_CLUSTERS, min(MAX_CLUSTERS, count)))


def assign_to_centers(vectors: Vectors, centers: Vectors) -> tuple[ClusterNumbers, Vectors]:
    """Return the number of the nearest center of each vector, and the cosine with it."""
    cosines = vectors @ centers.T
    clusters = cosines.argmax(axis=1)
    return clusters, np.take_along_axis(cosines, clusters[:, None], axis=1)[:, 0]


def _compute_silhouette(vectors: Vectors, centers: Vectors) -> float:
    """Return how much nearer vectors are to their own center than to the next, -1 to 1.

    It is the mean of (b - a) / max(a, b), where a and b are the cosine distances to the two
    centers: the simplified silhouette of Hruschka, de Castro and Campello (2004).
    """
    distances = np.partition(1.0 - vectors @ centers.T, 1, axis=1)[:, :2]
    own, next_nearest = distances[:, 0], distances[:, 1]
    return float(np.mean((next_nearest - own) / np.maximum(next_nearest, 1e-6)))
