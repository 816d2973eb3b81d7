"""Places clusters and their items on a two-dimensional map that people can read.

The centers are placed such that their distances resemble those of their vectors, by
multidimensional scaling, and are then pushed apart. An item is placed between the centers that it
is similar to, nearest to its own, and is then offset by its coordinates in the two main directions
of its cluster. These directions are rotated such that no cluster becomes a line. The result is the
same for the same input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Vectors

Places = NDArray[np.float64]

# The factor s of the weights exp(s cos) of centers: 0.05 less cosine is a seventh of the weight.
CENTER_SHARPNESS = 40.0

# The own center counts this many times, so that clusters stay together.
OWN_CENTER_WEIGHT = 3.0

# Rounds of reducing the stress: 1 s for 1,000 centers.
STRESS_ROUNDS = 100

# Rounds of pushing centers apart, at most: 1 s for 1,000 centers.
MAX_PUSH_ROUNDS = 100

# The minimum distance of centers, in terms of evenly spread ones.
MIN_CENTER_DISTANCE = 1.2

# Rotations of a cluster's main directions that are tried.
ROTATION_COUNT = 24

# The largest offset of an item, as a share of the distance from its center to the nearest other.
MAX_OFFSET_SHARE = 0.45


@dataclass(frozen=True, slots=True)
class MapLayout:
    """The map: where the centers are, and how to place items.

    Attributes:
        centers: float32 [centers, dimensions].
        places: float64 [centers, 2], from -1 to 1.
        axes: the two main directions of each cluster, float32 [centers, 2, dimensions], scaled such
            that most items have coordinates between -1 and 1.
        max_offsets: the largest offset of the items of each cluster, float64 [centers].
    """

    centers: Vectors
    places: Places
    axes: Vectors
    max_offsets: Places

    def place(self, items: Vectors, clusters: NDArray[np.int64]) -> Places:
        """Return the places of items, float64 [items, 2]; `clusters` are the numbers of centers."""
        coordinates = np.einsum("iad,id->ia", self.axes[clusters], items - self.centers[clusters])
        offsets = np.tanh(coordinates) * self.max_offsets[clusters, None]
        places: Places = self.interpolate(items, clusters) + offsets
        return places

    def interpolate(self, items: Vectors, clusters: NDArray[np.int64]) -> Places:
        """Return the places of items between the centers, before their offsets."""
        cosines = (items @ self.centers.T).astype(np.float64)
        weights = np.exp(CENTER_SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        weights[np.arange(len(items)), clusters] *= OWN_CENTER_WEIGHT
        weights /= weights.sum(axis=1, keepdims=True)
        places: Places = weights @ self.places
        return places


def compute_layout(centers: Vectors, members: Sequence[Vectors]) -> MapLayout:
    """Compute the map of clusters.

    Args:
        centers: float32 [centers, dimensions].
        members: vectors of some items of each cluster, float32 [items, dimensions].
    """
    places = _push_apart(_reduce_stress(_scale(centers), centers))
    count = len(places)
    if count > 1:
        distances = _compute_distances(places)
        np.fill_diagonal(distances, np.inf)
        max_offsets = MAX_OFFSET_SHARE * distances.min(axis=1)
    else:
        max_offsets = np.ones(count)
    axes = np.stack(
        [_compute_axes(items, center) for items, center in zip(members, centers, strict=True)]
    )
    layout = MapLayout(centers, places, axes, max_offsets)
    for cluster, items in enumerate(members):
        axes[cluster] = _rotate_axes(layout, cluster, items)
    return layout


def _scale(vectors: Vectors) -> Places:
    """Place vectors by classical multidimensional scaling of cosine distances, within -1 to 1."""
    count = len(vectors)
    squared_distances = 2.0 - 2.0 * (vectors @ vectors.T).astype(np.float64)
    centering = np.eye(count) - 1.0 / count
    values, directions = np.linalg.eigh(-0.5 * centering @ squared_distances @ centering)
    largest = np.argsort(-values, kind="stable")[:2]
    places = np.zeros((count, 2))
    places[:, : len(largest)] = directions[:, largest] * np.sqrt(np.maximum(values[largest], 0.0))
    return _normalize_places(places * _choose_signs(places))


def _reduce_stress(places: Places, vectors: Vectors) -> Places:
    """Move places such that their distances resemble those of the vectors (SMACOF).

    Classical scaling collapses what differs in the other dimensions only; this spreads it out,
    which leaves fewer voids.
    """
    targets = np.sqrt(np.maximum(2.0 - 2.0 * (vectors @ vectors.T).astype(np.float64), 0.0))
    np.fill_diagonal(targets, 0.0)
    places = places + _create_nudges(len(places))
    for _ in range(STRESS_ROUNDS):
        distances = _compute_distances(places)
        np.fill_diagonal(distances, 1.0)
        ratios = targets / distances
        places = (places * ratios.sum(axis=1, keepdims=True) - ratios @ places) / len(places)
    return _normalize_places(places)


def _create_nudges(count: int) -> Places:
    """Return a tiny offset in a different direction for each place, so that equal ones separate."""
    angles = np.arange(count) * np.pi * (3.0 - np.sqrt(5.0))
    return 1e-6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _push_apart(places: Places) -> Places:
    """Push apart places that are much nearer to each other than evenly spread ones."""
    count = len(places)
    min_distance = MIN_CENTER_DISTANCE / np.sqrt(max(count, 1))
    places = places + _create_nudges(count)
    for _ in range(MAX_PUSH_ROUNDS):
        distances = _compute_distances(places)
        np.fill_diagonal(distances, np.inf)
        pushes = np.maximum(min_distance - distances, 0.0) / 2.0
        if not pushes.any():
            break
        pushes /= 2.0 * distances
        places = places * (1.0 + pushes.sum(axis=1, keepdims=True)) - pushes @ places
    return _normalize_places(places)


def _compute_distances(places: Places) -> Places:
    """Return the distances between all places, float64 [places, places]."""
    horizontal, vertical = (column[:, None] - column for column in places.T)
    distances: Places = np.sqrt(horizontal * horizontal + vertical * vertical)
    return distances


def _normalize_places(places: Places) -> Places:
    """Center places on the origin, and scale them such that the largest coordinate is 1."""
    places = places - (places.min(axis=0) + places.max(axis=0)) / 2.0
    return places / (np.abs(places).max(initial=0.0) or 1.0)


def _compute_axes(items: Vectors, center: Vectors) -> Vectors:
    """Return the two main directions of items around their center, float32 [2, dimensions]."""
    axes = np.zeros((2, len(center)), np.float32)
    if len(items) > 1:
        _, lengths, directions = np.linalg.svd(items - center, full_matrices=False)
        deviations = lengths[:2] / np.sqrt(len(items))
        is_used = deviations > np.finfo(np.float32).eps
        used_directions = directions[:2][is_used]
        signs = _choose_signs(used_directions.T)
        scales = 2.0 * deviations[is_used, None]
        axes[: len(used_directions)] = used_directions * signs[:, None] / scales
    return axes


def _rotate_axes(layout: MapLayout, cluster: int, items: Vectors) -> Vectors:
    """Return a cluster's axes, rotated such that its items take the most room.

    In some directions the interpolation between centers and the offsets cancel each other out, so
    that the cluster becomes a line. Of all rotations and reflections, one does so least.
    """
    axes: Vectors = layout.axes[cluster]
    if len(items) < 2:  # noqa: PLR2004  (a single item has no direction)
        return axes
    interpolated = layout.interpolate(items, np.full(len(items), cluster))
    coordinates = (items - layout.centers[cluster]) @ axes.T
    offsets = np.tanh(coordinates) * layout.max_offsets[cluster]
    covariance = np.cov(np.concatenate([interpolated, offsets], axis=1).T)
    rotations = _list_rotations()
    mixed = covariance[:2, 2:] @ rotations
    spreads = covariance[:2, :2] + rotations.mT @ covariance[2:, 2:] @ rotations + mixed + mixed.mT
    best = rotations[np.linalg.det(spreads).argmax()].astype(np.float32)
    rotated: Vectors = best.T @ axes
    return rotated


def _list_rotations() -> Places:
    """Return rotations of two dimensions, then the same reflected, float64 [rotations, 2, 2]."""
    angles = np.linspace(0.0, 2.0 * np.pi, ROTATION_COUNT, endpoint=False)
    cosines, sines = np.cos(angles), np.sin(angles)
    rotations = np.stack([cosines, -sines, sines, cosines], axis=1).reshape(-1, 2, 2)
    return np.concatenate([rotations, rotations * [1.0, -1.0]])


def _choose_signs(columns: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return the signs that make the largest number of each column positive.

    The sign of a main direction is arbitrary; this makes the result the same each time.
    """
    largest = np.abs(columns).argmax(axis=0)
    signs: NDArray[np.floating[Any]] = np.sign(columns[largest, np.arange(columns.shape[1])])
    signs[signs == 0] = 1.0
    return signs
