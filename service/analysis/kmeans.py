"""Groups of vectors: how many, around which centers, and what is in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.map_layout import Layout, Places, laid_out
from service.domain.analyses import ClustersQuery
from service.domain.vectors import Keys, Vectors
from service.index.faiss_kmeans import compute_centers

Groups = NDArray[np.int64]

TRIED = (*range(2, 13), 14, 16, 18, 20, 24, 28, 32)
TRIED_ON = 3_000
"""Numbers of groups that are tried, on so many vectors: 0.3 s with 256 dimensions."""

CLEAR = 0.25
"""Silhouettes below this are said to show no structure (Kaufman and Rousseeuw 1990). Of 3 to 15
clouds of vectors the right number has 0.75 and more, of films and package descriptions none has
0.25: those have no number of their own."""

WIDTHS = 4.0
LEAST, MOST = 2, 24
"""Where nothing is clear: the square root of the number of items over four, 14 for 3,000; as many
as people take in."""


AXES_FROM = 200
"""A group's main directions on the map are taken from so many of its items."""


@dataclass(frozen=True, slots=True)
class Items:
    """Items and a unit vector of each, float32 [items, dimensions]."""

    item_ids: Sequence[str]
    vectors: Vectors

    @classmethod
    def joined(cls, parts: Sequence[Items]) -> Items:
        """Several as one."""
        if not parts:
            return cls([], np.empty((0, 0), np.float32))
        ids = [item_id for each in parts for item_id in each.item_ids]
        return cls(ids, np.concatenate([each.vectors for each in parts]))


class Tally:
    """What was divided so far: items, their groups, and places on the map of the first ones.

    Args:
        layout: of the centers.
        point_limit: how many items to place.
    """

    def __init__(self, layout: Layout, point_limit: int) -> None:
        self.layout = layout
        self.item_ids: list[str] = []
        self.groups: Groups = np.empty(0, np.int64)
        self.cosines: Vectors = np.empty(0, np.float32)
        self.places: Places = np.empty((0, 2))
        self._point_limit = point_limit

    def take(self, items: Items) -> None:
        """Takes in some more items."""
        groups, cosines = assigned(items.vectors, self.layout.vectors)
        self.item_ids += items.item_ids
        self.groups = np.concatenate([self.groups, groups])
        self.cosines = np.concatenate([self.cosines, cosines])
        left = self._point_limit - len(self.places)
        if left > 0:
            placed = self.layout.placed(items.vectors[:left], groups[:left])
            self.places = np.concatenate([self.places, placed])

    def order(self) -> list[int]:
        """The groups that have items, largest first."""
        counts = np.bincount(self.groups, minlength=len(self.layout.vectors))
        return [group for group in np.argsort(-counts, kind="stable").tolist() if counts[group]]

    def nearest(self, rows: Keys, most: int) -> list[int]:
        """Of some rows those of the items nearest to their center, equal ones by id."""
        near = rows[np.argsort(-self.cosines[rows], kind="stable")[:most]].tolist()
        return sorted(near, key=lambda row: (-self.cosines[row], self.item_ids[row]))


def divided(sample: Items, query: ClustersQuery, items: int) -> Tally:
    """Divides a sample of `items` items; the others can then be taken in."""
    vectors = sample.vectors
    number = query.cluster_count or chosen_number(vectors, items)
    middles = compute_centers(vectors, min(number, len(vectors)))
    groups, _ = assigned(vectors, middles)
    # Where vectors are equal some centers have none.
    used = np.unique(groups)
    parts = [vectors[groups == group][:AXES_FROM] for group in used.tolist()]
    tally = Tally(laid_out(middles[used], parts), query.point_limit)
    tally.take(sample)
    return tally


def means(vectors: Vectors, owners: Keys, items: int) -> Vectors:
    """Of each item the mean of its chunks' vectors, unit length, float32 [items, dimensions]."""
    if len(vectors) == items:
        return vectors
    sums = np.add.reduceat(vectors, np.searchsorted(owners, np.arange(items)))
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    unit: Vectors = sums / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def chosen_number(vectors: Vectors, items: int) -> int:
    """How many groups to make of `items` items, of which `vectors` are a sample.

    The number with the best silhouette, where one is clear; otherwise one that grows slowly.
    """
    some = vectors[:TRIED_ON]
    # Groups of one or two are always clear.
    tried = [number for number in TRIED if number**2 <= len(some)]
    scored = [(_silhouette(some, compute_centers(some, number)), -number) for number in tried]
    best, number = max(scored, default=(0.0, -1))
    if best >= CLEAR:
        return -number
    return min(len(some), max(LEAST, min(MOST, round(math.sqrt(items) / WIDTHS))))


def assigned(vectors: Vectors, middles: Vectors) -> tuple[Groups, Vectors]:
    """Of each vector the nearest center, and the cosine with it."""
    cosines = vectors @ middles.T
    groups = cosines.argmax(axis=1)
    return groups, np.take_along_axis(cosines, groups[:, None], axis=1)[:, 0]


def _silhouette(vectors: Vectors, middles: Vectors) -> float:
    """How much nearer vectors are to their own center than to the next, -1 to 1.

    The mean of (b - a) / max(a, b) of the cosine distances a to the one and b to the other: the
    simplified silhouette of Hruschka, de Castro and Campello (2004).
    """
    distances = np.partition(1.0 - vectors @ middles.T, 1, axis=1)[:, :2]
    own, next_one = distances[:, 0], distances[:, 1]
    return float(np.mean((next_one - own) / np.maximum(next_one, 1e-6)))
