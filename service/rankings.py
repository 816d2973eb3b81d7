"""How the similarities to several sources become one score: the strategies to choose from.

One mean vector of the likes finds a third of what a soft maximum finds: text embeddings share a
large common component, so a mean says little. `akin evaluate` measures each strategy; what each
part of the soft maximum brings is in the README.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.index.base import Vectors

SHARPNESS = 6.0
"""b in (1/b) log sum_i w_i exp(b cos_i). On 243 people's film likes 5 to 8 differ by less than
chance does."""

FADE_HALVINGS = np.float32(2.0)
"""The oldest like that counts has 1/2^2 of the latest one's weight. Half-lives counted in likes
rather than by their place helped less."""

REACH_BOUND = 2.0
"""A source's similarities are multiplied by at most this, and by at least one over it."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Unit vectors float32 [sources, dimensions] with weights and ages, float32 [sources].

    A negative weight is a dislike; none is 0. The age is 0 for the latest like and for what has no
    age, 1 for the oldest.
    """

    vectors: Vectors
    weights: Vectors
    ages: Vectors

    def faded(self) -> Vectors:
        """The weights, less with age; float32 [sources]."""
        weights: Vectors = self.weights * np.float32(0.5) ** (FADE_HALVINGS * self.ages)
        return weights


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a catalogue's vectors are like: their number, their mean, and a sample of them."""

    number: int
    mean: Vectors
    sample: Vectors


class Scorer(Protocol):
    """Scores items for some sources."""

    @property
    def queries(self) -> Vectors:
        """What to search an index with for candidates, float32 [queries, dimensions]."""

    def scores(self, vectors: Vectors) -> Vectors:
        """The scores, float32 [n], of unit vectors, float32 [n, dimensions]."""


class Centred:
    """Cosines to some sources, the catalogue's mean taken out of both sides.

    The mean counts as if one item more lay at the origin, so that a lone item differs from it.
    """

    def __init__(self, sources: Vectors, surroundings: Surroundings) -> None:
        number = surroundings.number
        self._mean = surroundings.mean * np.float32(number / (number + 1))
        self.directions = _unit(sources - self._mean)

    def cosines(self, vectors: Vectors) -> Vectors:
        """float32 [n, sources] for unit vectors float32 [n, dimensions]."""
        # (x - m) is never made: x.d - m.d over |x - m|, all from one matrix product.
        products = vectors @ np.vstack([self.directions, self._mean]).T
        lengths = np.sqrt(
            np.maximum(1.0 - 2.0 * products[:, -1] + self._mean @ self._mean, np.float32(1e-6))
        )
        cosines: Vectors = products[:, :-1] - self.directions @ self._mean
        cosines /= lengths[:, None]
        return cosines


class SoftMaximum:
    """A soft maximum of centred cosines, less the same of the dislikes.

    Sources differ in how near anything comes to them; each one's cosines are measured by its reach,
    the cubic mean of its positive cosines with the catalogue, so that a taste in a crowded
    neighbourhood does not take all the places. (Scaling by local density is known from CSLS,
    Conneau et al. 2018.)
    """

    def __init__(self, sources: Sources, surroundings: Surroundings) -> None:
        self._centred = Centred(sources.vectors, surroundings)
        self._liked = sources.weights > 0
        self._sample = surroundings.sample
        self._sample_cosines = self._centred.cosines(self._sample)
        near = np.maximum(self._sample_cosines, 0.0)
        # Multiplied out: numpy's power takes twenty times as long.
        reach = np.cbrt(np.mean(near * near * near, axis=0))
        factors = reach.mean() / np.maximum(reach, np.float32(1e-9))
        self._scale = SHARPNESS * np.clip(factors, 1 / REACH_BOUND, REACH_BOUND)
        weights = sources.faded()
        self._likes = _shares(np.maximum(weights, 0.0))
        self._dislikes = _shares(np.maximum(-weights, 0.0))
        self._dislike_factor = _dislike_factor(weights)

    @property
    def queries(self) -> Vectors:
        """The likes; for someone who only dislikes, what is farthest from it."""
        directions = self._centred.directions
        return directions[self._liked] if self._liked.any() else -directions

    def scores(self, vectors: Vectors) -> Vectors:
        """Between -4 and 4: twice the cosine at most, for likes and for dislikes."""
        # In a small catalogue the sample is all there is, and its cosines are known.
        known = vectors is self._sample
        cosines = self._sample_cosines if known else self._centred.cosines(vectors)
        raised = cosines * self._scale
        np.exp(raised, out=raised)
        scores = np.zeros(len(vectors), np.float32)
        if self._liked.any():
            scores += np.log(raised @ self._likes) / SHARPNESS
        if self._dislike_factor:
            scores -= self._dislike_factor * np.log(raised @ self._dislikes) / SHARPNESS
        return scores


class Nearest:
    """The weighted cosine with the nearest like, less that with the nearest dislike."""

    def __init__(self, sources: Sources, surroundings: Surroundings) -> None:
        del surroundings
        self._vectors = sources.vectors
        self._liked = sources.weights > 0
        self._shares = np.abs(sources.weights) / np.abs(sources.weights).max()

    @property
    def queries(self) -> Vectors:
        """The likes; for someone who only dislikes, what is farthest from it."""
        return self._vectors[self._liked] if self._liked.any() else -self._vectors

    def scores(self, vectors: Vectors) -> Vectors:
        """Between -2 and 2."""
        cosines = (vectors @ self._vectors.T) * self._shares
        scores = np.zeros(len(vectors), np.float32)
        if self._liked.any():
            scores += cosines[:, self._liked].max(axis=1)
        if not self._liked.all():
            scores -= cosines[:, ~self._liked].max(axis=1)
        return scores


class MeanVector:
    """The cosine with the weighted mean of the sources: what most do, and the yardstick."""

    def __init__(self, sources: Sources, surroundings: Surroundings) -> None:
        del surroundings
        self.queries = _unit((sources.weights @ sources.vectors)[None])

    def scores(self, vectors: Vectors) -> Vectors:
        """Between -1 and 1."""
        scores: Vectors = vectors @ self.queries[0]
        return scores


RANKINGS: Mapping[str, Callable[[Sources, Surroundings], Scorer]] = {
    "pooled": SoftMaximum,
    "nearest": Nearest,
    "mean": MeanVector,
}


def _dislike_factor(weights: Vectors) -> np.float32:
    """A dislike counts as much as a like of its weight, and never for more."""
    likes, dislikes = weights[weights > 0], -weights[weights < 0]
    if not len(dislikes):
        return np.float32(0.0)
    if not len(likes):
        return np.float32(1.0)
    return np.float32(min(1.0, dislikes.mean() / likes.mean()))


def _shares(weights: Vectors) -> Vectors:
    shares: Vectors = weights / np.maximum(weights.sum(), np.float32(1e-9))
    return shares


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = vectors / np.maximum(lengths, np.float32(1e-9))
    return units
