"""Places groups and their items on a map of two dimensions that people can read.

Centers lie as far from each other as their cosines demand, as nearly as two dimensions allow
(multidimensional scaling: the classical kind, and from there the least stress), and are then
pushed apart. An item lies between the centers that it is like, nearest to its own, and aside by
what it has of its group's two main directions, which are turned so that groups are no lines. All
of it is the same for the same input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.vectors import Vectors

Places = NDArray[np.float64]

SHARPNESS = 40.0
"""Of the weights exp(40 cos) of centers: 0.05 less cosine is a seventh of the weight."""

OWN_WEIGHT = 3.0
"""The own center counts so many times as much besides: so that groups keep together."""

ROUNDS = 100
"""Of lessening the stress, and as many pushes at most: 1 s each for 1,000 centers."""

PUSHES = 100
TURNS = 24
SPREAD = 0.45
"""A group's items lie within this share of the way to the nearest other center."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where centers are, and what places items.

    Args:
        vectors: of the centers, float32 [centers, dimensions].
        places: float64 [centers, 2], from -1 to 1.
        axes: each center's two main directions, float32 [centers, 2, dimensions], scaled so that
            most items have coordinates between -1 and 1.
        reach: how far aside a group's items lie at most, float64 [centers].
    """

    vectors: Vectors
    places: Places
    axes: Vectors
    reach: Places

    def placed(self, items: Vectors, groups: NDArray[np.int64]) -> Places:
        """The places of items, float64 [items, 2], of which `groups` names the centers."""
        aside = np.einsum("iad,id->ia", self.axes[groups], items - self.vectors[groups])
        places: Places = self.between(items, groups) + np.tanh(aside) * self.reach[groups, None]
        return places

    def between(self, items: Vectors, groups: NDArray[np.int64]) -> Places:
        """The places of items among the centers, before they go aside."""
        cosines = (items @ self.vectors.T).astype(np.float64)
        weights = np.exp(SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        weights[np.arange(len(items)), groups] *= OWN_WEIGHT
        weights /= weights.sum(axis=1, keepdims=True)
        places: Places = weights @ self.places
        return places


def laid_out(vectors: Vectors, groups: Sequence[Vectors]) -> Layout:
    """A layout for centers, float32 [centers, dimensions], and vectors of each group's items."""
    places = _apart(_relaxed(_scaled(vectors), vectors))
    number = len(places)
    if number > 1:
        gaps = _gaps(places)
        np.fill_diagonal(gaps, np.inf)
        reach = SPREAD * gaps.min(axis=1)
    else:
        reach = np.ones(number)
    axes = np.stack([_axes(each, center) for each, center in zip(groups, vectors, strict=True)])
    layout = Layout(vectors, places, axes, reach)
    for group, items in enumerate(groups):
        axes[group] = _turned(layout, group, items)
    return layout


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


def _relaxed(places: Places, vectors: Vectors) -> Places:
    """Places with less stress: with distances that are more like those of the vectors (SMACOF).

    The classical kind lets what lies in other dimensions collapse; this spreads it out, which
    leaves fewer voids.
    """
    wanted = np.sqrt(np.maximum(2.0 - 2.0 * (vectors @ vectors.T).astype(np.float64), 0.0))
    np.fill_diagonal(wanted, 0.0)
    places = places + _nudges(len(places))
    for _ in range(ROUNDS):
        gaps = _gaps(places)
        np.fill_diagonal(gaps, 1.0)
        ratios = wanted / gaps
        places = (places * ratios.sum(axis=1, keepdims=True) - ratios @ places) / len(places)
    return _within(places)


def _nudges(number: int) -> Places:
    """A direction of its own for each, so that what has one place can come apart."""
    angles = np.arange(number) * np.pi * (3.0 - np.sqrt(5.0))
    return 1e-6 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _apart(places: Places) -> Places:
    """Pushes apart those that are nearer to each other than they would be evenly spread."""
    number = len(places)
    least = 1.2 / np.sqrt(max(number, 1))
    places = places + _nudges(number)
    for _ in range(PUSHES):
        gaps = _gaps(places)
        np.fill_diagonal(gaps, np.inf)
        pushes = np.maximum(least - gaps, 0.0) / 2.0
        if not pushes.any():
            break
        pushes /= 2.0 * gaps
        places = places * (1.0 + pushes.sum(axis=1, keepdims=True)) - pushes @ places
    return _within(places)


def _gaps(places: Places) -> Places:
    """The distances of places from each other, float64 [places, places]."""
    across, along = (each[:, None] - each for each in places.T)
    gaps: Places = np.sqrt(across * across + along * along)
    return gaps


def _within(places: Places) -> Places:
    """Around the origin, with the farthest one at a coordinate of 1."""
    places = places - (places.min(axis=0) + places.max(axis=0)) / 2.0
    return places / (np.abs(places).max(initial=0.0) or 1.0)


def _axes(items: Vectors, center: Vectors) -> Vectors:
    """The two main directions of items around their center, float32 [2, dimensions]."""
    axes = np.zeros((2, len(center)), np.float32)
    if len(items) > 1:
        _, lengths, directions = np.linalg.svd(items - center, full_matrices=False)
        deviations = lengths[:2] / np.sqrt(len(items))
        used = deviations > np.finfo(np.float32).eps
        found = directions[:2][used]
        axes[: len(found)] = found * _signs(found.T)[:, None] / (2.0 * deviations[used, None])
    return axes


def _turned(layout: Layout, group: int, items: Vectors) -> Vectors:
    """A group's axes turned so that its items take the most room.

    Going between the centers and going aside cancel each other in some directions, so that a group
    is no more than a line; of all turns, mirrored ones too, there is one that does so least.
    """
    axes: Vectors = layout.axes[group]
    if len(items) < 2:  # noqa: PLR2004  (one item has no direction)
        return axes
    between = layout.between(items, np.full(len(items), group))
    aside = np.tanh((items - layout.vectors[group]) @ axes.T) * layout.reach[group]
    whole = np.cov(np.concatenate([between, aside], axis=1).T)
    turns = _turns()
    crossed = whole[:2, 2:] @ turns
    spreads = whole[:2, :2] + turns.mT @ whole[2:, 2:] @ turns + crossed + crossed.mT
    best = turns[np.linalg.det(spreads).argmax()].astype(np.float32)
    turned: Vectors = best.T @ axes
    return turned


def _turns() -> Places:
    """Turns of two dimensions, then the same mirrored, float64 [turns, 2, 2]."""
    angles = np.linspace(0.0, 2.0 * np.pi, TURNS, endpoint=False)
    cosines, sines = np.cos(angles), np.sin(angles)
    turns = np.stack([cosines, -sines, sines, cosines], axis=1).reshape(-1, 2, 2)
    return np.concatenate([turns, turns * [1.0, -1.0]])


def _signs(columns: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """What makes the largest number of each column positive: directions have no sign."""
    largest = np.abs(columns).argmax(axis=0)
    signs: NDArray[np.floating[Any]] = np.sign(columns[largest, np.arange(columns.shape[1])])
    signs[signs == 0] = 1.0
    return signs
