"""Places groups and their items on a map of two dimensions that people can read.

Centres lie as their cosines demand, as far as two dimensions allow (classical multidimensional
scaling), and are then pushed apart; an item lies between the centres that it is like, nearest to
its own, and aside by what it has of its group's two main directions. All of it is the same for the
same input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.index.base import Vectors

Places = NDArray[np.float64]

SHARPNESS = 40.0
"""Of the weights exp(40 cos) of centres: 0.05 less cosine is a seventh of the weight."""

OWN_WEIGHT = 3.0
"""The own centre counts so many times as much besides: so that groups keep together."""

PUSHES = 100
SPREAD = 0.35
"""A group's items lie within this share of the way to the nearest other centre."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where centres are, and what places items.

    Args:
        vectors: of the centres, float32 [centres, dimensions].
        places: float64 [centres, 2], from -1 to 1.
        axes: each centre's two main directions, float32 [centres, 2, dimensions], scaled so that
            most items have coordinates between -1 and 1.
        reach: how far aside a group's items lie at most, float64 [centres].
    """

    vectors: Vectors
    places: Places
    axes: Vectors
    reach: Places

    def placed(self, items: Vectors, groups: NDArray[np.int64]) -> Places:
        """The places of items, float64 [items, 2], of which `groups` names the centres."""
        cosines = (items @ self.vectors.T).astype(np.float64)
        weights = np.exp(SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        weights[np.arange(len(items)), groups] *= OWN_WEIGHT
        weights /= weights.sum(axis=1, keepdims=True)
        aside = np.einsum("iad,id->ia", self.axes[groups], items - self.vectors[groups])
        places: Places = weights @ self.places + np.tanh(aside) * self.reach[groups, None]
        return places


def laid_out(vectors: Vectors, groups: Sequence[Vectors]) -> Layout:
    """A layout for centres, float32 [centres, dimensions], and vectors of each group's items."""
    places = _apart(_scaled(vectors))
    number = len(places)
    if number > 1:
        gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
        np.fill_diagonal(gaps, np.inf)
        reach = SPREAD * gaps.min(axis=1)
    else:
        reach = np.ones(number)
    axes = np.stack([_axes(each, centre) for each, centre in zip(groups, vectors, strict=True)])
    return Layout(vectors, places, axes, reach)


def _scaled(vectors: Vectors) -> Places:
    """Classical multidimensional scaling of cosine distances, within -1 to 1."""
    number = len(vectors)
    squares = 2.0 - 2.0 * (vectors @ vectors.T).astype(np.float64)
    centring = np.eye(number) - 1.0 / number
    values, directions = np.linalg.eigh(-0.5 * centring @ squares @ centring)
    chosen = np.argsort(-values, kind="stable")[:2]
    places = np.zeros((number, 2))
    places[:, : len(chosen)] = directions[:, chosen] * np.sqrt(np.maximum(values[chosen], 0.0))
    return _within(places * _signs(places))


def _apart(places: Places) -> Places:
    """Pushes apart those that are nearer to each other than they would be evenly spread."""
    number = len(places)
    least = 1.2 / np.sqrt(max(number, 1))
    # Where some have one place, a direction of their own.
    angles = np.arange(number) * np.pi * (3.0 - np.sqrt(5.0))
    places = places + 1e-6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(PUSHES):
        ways = places[:, None] - places[None]
        gaps = np.linalg.norm(ways, axis=2)
        np.fill_diagonal(gaps, np.inf)
        pushes = np.maximum(least - gaps, 0.0) / 2.0
        if not pushes.any():
            break
        places = places + np.einsum("ij,ijk->ik", pushes / gaps / 2.0, ways)
    return _within(places)


def _within(places: Places) -> Places:
    """Around the origin, with the farthest one at a coordinate of 1."""
    places = places - (places.min(axis=0) + places.max(axis=0)) / 2.0
    return places / (np.abs(places).max(initial=0.0) or 1.0)


def _axes(items: Vectors, centre: Vectors) -> Vectors:
    """The two main directions of items around their centre, float32 [2, dimensions]."""
    axes = np.zeros((2, len(centre)), np.float32)
    if len(items) > 1:
        _, lengths, directions = np.linalg.svd(items - centre, full_matrices=False)
        deviations = lengths[:2] / np.sqrt(len(items))
        used = deviations > np.finfo(np.float32).eps
        found = directions[:2][used]
        axes[: len(found)] = found * _signs(found.T)[:, None] / (2.0 * deviations[used, None])
    return axes


def _signs(columns: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """What makes the largest number of each column positive: directions have no sign."""
    largest = np.abs(columns).argmax(axis=0)
    signs: NDArray[np.floating[Any]] = np.sign(columns[largest, np.arange(columns.shape[1])])
    signs[signs == 0] = 1.0
    return signs
