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

from service.domain.vectors import Vectors

SHARPNESS = 6.0
"""b in (1/b) log sum_i w_i exp(b cos_i). On 243 people's film likes 5 to 8 differ by less than
chance does."""

FADE_HALVINGS = np.float32(2.0)
"""The oldest like that counts has 1/2^2 of the latest one's weight. Half-lives counted in likes
rather than by their place helped less."""

LEAST_VARIANCE = 0.01
"""Of unit vectors whose mean has the length 1 the variance is 0."""

REACH_BOUND = 2.0
"""A source's similarities are multiplied by at most this, and by at least one over it."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Unit vectors float32 [sources, dimensions], one for each chunk of each taste.

    Per source, float32: the weight of its taste, the largest 1 and none 0, a dislike's negative;
    the share that it has in its taste, one over the number of chunks; the age of the taste, 0 for
    the latest like and for what has no age, 1 for the oldest.
    """

    vectors: Vectors
    weights: Vectors
    shares: Vectors
    ages: Vectors

    def faded(self) -> Vectors:
        """The profile' weights, less with age; float32 [sources]."""
        weights: Vectors = self.weights * np.float32(0.5) ** (FADE_HALVINGS * self.ages)
        return weights


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """What a catalog's vectors are like: their number, their mean, and a sample of them."""

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


class CenteredCosines:
    """Cosines to some sources, the catalog's mean taken out of both sides.

    The mean counts as if one item more lay at the origin. Where all vectors are nearly the same
    nothing is taken out, for what would be left is noise.
    """

    def __init__(self, sources: Vectors, corpus_statistics: CorpusStatistics) -> None:
        number, mean = corpus_statistics.number, corpus_statistics.mean
        taken = number / (number + 1) if mean @ mean < 1 - LEAST_VARIANCE else 0.0
        self._mean = mean * np.float32(taken)
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
        return np.clip(cosines, -1.0, 1.0, out=cosines)


class SoftMaximum:
    """A soft maximum of centerd cosines, less the same of the dislikes.

    Sources differ in how near anything comes to them; each one's cosines are measured by its reach,
    the cubic mean of its positive cosines with the catalog, so that a taste in a crowded
    neighborhood does not take all the places. (Scaling by local density is known from CSLS,
    Conneau et al. 2018.)
    """

    def __init__(self, sources: Sources, corpus_statistics: CorpusStatistics) -> None:
        self._centerd = CenteredCosines(sources.vectors, corpus_statistics)
        self._liked = sources.weights > 0
        self._sample = corpus_statistics.sample
        self._sample_cosines = self._centerd.cosines(self._sample)
        near = np.maximum(self._sample_cosines, 0.0)
        # Multiplied out: numpy's power takes twenty times as long.
        reach = np.cbrt(np.mean(near * near * near, axis=0))
        usual = np.average(reach, weights=sources.shares)
        factors = (usual / np.maximum(reach, 1e-9)).astype(np.float32)
        self._scale = SHARPNESS * np.clip(factors, 1 / REACH_BOUND, REACH_BOUND)
        weights = sources.faded() * sources.shares
        self._likes = _proportions(np.maximum(weights, 0.0))
        self._dislikes = _proportions(np.maximum(-weights, 0.0))
        self._dislike_factor = _dislike_factor(weights, sources.shares)

    @property
    def queries(self) -> Vectors:
        """The likes; for someone who only dislikes, what is farthest from it."""
        directions = self._centerd.directions
        return directions[self._liked] if self._liked.any() else -directions

    def scores(self, vectors: Vectors) -> Vectors:
        """Between -4 and 4: twice the cosine at most, for likes and for dislikes."""
        # In a small catalog the sample is all there is, and its cosines are known.
        known = vectors is self._sample
        cosines = self._sample_cosines if known else self._centerd.cosines(vectors)
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

    def __init__(self, sources: Sources, corpus_statistics: CorpusStatistics) -> None:
        del corpus_statistics
        self._vectors = sources.vectors
        self._liked = sources.weights > 0
        self._proportions = np.abs(sources.weights)

    @property
    def queries(self) -> Vectors:
        """The likes; for someone who only dislikes, what is farthest from it."""
        return self._vectors[self._liked] if self._liked.any() else -self._vectors

    def scores(self, vectors: Vectors) -> Vectors:
        """Between -2 and 2."""
        cosines = (vectors @ self._vectors.T) * self._proportions
        scores = np.zeros(len(vectors), np.float32)
        if self._liked.any():
            scores += cosines[:, self._liked].max(axis=1)
        if not self._liked.all():
            scores -= cosines[:, ~self._liked].max(axis=1)
        return scores


class MeanVector:
    """The cosine with the weighted mean of the sources: what most do, and the yardstick."""

    def __init__(self, sources: Sources, corpus_statistics: CorpusStatistics) -> None:
        del corpus_statistics
        weights: Vectors = sources.weights * sources.shares
        total: Vectors = weights @ sources.vectors
        self.queries = _unit(total[None])

    def scores(self, vectors: Vectors) -> Vectors:
        """Between -1 and 1."""
        scores: Vectors = vectors @ self.queries[0]
        return scores


RANKINGS: Mapping[str, Callable[[Sources, CorpusStatistics], Scorer]] = {
    "pooled": SoftMaximum,
    "nearest": Nearest,
    "mean": MeanVector,
}


def _dislike_factor(weights: Vectors, shares: Vectors) -> np.float32:
    """A dislike counts as much as a like of its weight, and never for more."""
    liked, disliked = weights > 0, weights < 0
    if not disliked.any():
        return np.float32(0.0)
    if not liked.any():
        return np.float32(1.0)
    like = weights[liked].sum() / shares[liked].sum()
    dislike = -weights[disliked].sum() / shares[disliked].sum()
    return np.float32(min(1.0, dislike / like))


def _proportions(weights: Vectors) -> Vectors:
    proportions: Vectors = weights / (weights.sum() or 1.0)
    return proportions


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = vectors / np.maximum(lengths, np.float32(1e-9))
    return units
