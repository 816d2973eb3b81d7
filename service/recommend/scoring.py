"""Turns the cosines with several sources into one score: the rankings to choose from.

One mean vector of the likes finds a third of what a soft maximum finds: text embeddings share a
large common component, so that a mean says little. `akin evaluate` measures each ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from service.domain.vectors import Vectors
from service.index.corpus_statistics import CorpusStatistics

# The b in (1/b) log sum_i w_i exp(b cos_i). On the film likes of 243 people, values from 5 to 8
# differ by less than chance.
SHARPNESS = 6.0

# The oldest like weighs 1/2^2 of the latest. Half-lives counted in likes rather than by position
# helped less.
FADE_HALVINGS = np.float32(2.0)

# The mean is not subtracted from vectors with a variance below this. The variance of unit vectors
# is 0 if their mean has length 1.
MIN_VARIANCE = 0.01

# A source's cosines are multiplied by at most this, and by at least its inverse.
MAX_REACH_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Sources:
    """The vectors of a profile, with what each counts; one entry for each chunk.

    Attributes:
        vectors: float32 [sources, dimensions], unit length.
        weights: float32 [sources]: of the text or item that the chunk belongs to, the largest 1 and
            none 0; negative for a dislike.
        shares: float32 [sources]: one over the number of chunks of the text or item.
        ages: float32 [sources]: 0 for the latest like and for what has no age, 1 for the oldest.
    """

    vectors: Vectors
    weights: Vectors
    shares: Vectors
    ages: Vectors

    def fade_weights(self) -> Vectors:
        """Return the weights reduced by age, float32 [sources]."""
        weights: Vectors = self.weights * np.float32(0.5) ** (FADE_HALVINGS * self.ages)
        return weights


class Scorer(Protocol):
    """Scores items for the sources of a profile."""

    @property
    def queries(self) -> Vectors:
        """The vectors to search an index with for candidates, float32 [queries, dimensions]."""

    def score(self, vectors: Vectors) -> Vectors:
        """Return the scores, float32 [n], of unit vectors, float32 [n, dimensions]."""


class CenteredCosines:
    """Cosines with some sources after the catalog's mean is subtracted from both sides.

    The mean counts one more item, at the origin. If all vectors are nearly equal, nothing is
    subtracted, because only noise would remain.
    """

    def __init__(self, sources: Vectors, statistics: CorpusStatistics) -> None:
        count, mean = statistics.item_count, statistics.mean
        factor = count / (count + 1) if mean @ mean < 1 - MIN_VARIANCE else 0.0
        self._mean = mean * np.float32(factor)
        self.directions = _normalize(sources - self._mean)

    def compute(self, vectors: Vectors) -> Vectors:
        """Return the cosines, float32 [n, sources], for unit vectors, float32 [n, dimensions]."""
        # One matrix product gives (x.d - m.d) / |x - m| without computing x - m.
        products = vectors @ np.vstack([self.directions, self._mean]).T
        lengths = np.sqrt(
            np.maximum(1.0 - 2.0 * products[:, -1] + self._mean @ self._mean, np.float32(1e-6))
        )
        cosines: Vectors = products[:, :-1] - self.directions @ self._mean
        cosines /= lengths[:, None]
        return np.clip(cosines, -1.0, 1.0, out=cosines)


class SoftMaximum:
    """A soft maximum of centered cosines with the likes, minus the same of the dislikes.

    A source's cosines are divided by its reach, the cubic mean of its positive cosines with the
    catalog, so that a like with many similar items does not take all places. (Scaling by local
    density is known from CSLS, Conneau et al. 2018.)
    """

    def __init__(self, sources: Sources, statistics: CorpusStatistics) -> None:
        self._centered = CenteredCosines(sources.vectors, statistics)
        self._is_liked = sources.weights > 0
        self._sample = statistics.sample
        self._sample_cosines = self._centered.compute(self._sample)
        near = np.maximum(self._sample_cosines, 0.0)
        # numpy's power takes twenty times as long as products.
        reach = np.cbrt(np.mean(near * near * near, axis=0))
        mean_reach = np.average(reach, weights=sources.shares)
        factors = (mean_reach / np.maximum(reach, 1e-9)).astype(np.float32)
        self._scale = SHARPNESS * np.clip(factors, 1 / MAX_REACH_FACTOR, MAX_REACH_FACTOR)
        weights = sources.fade_weights() * sources.shares
        self._likes = _to_proportions(np.maximum(weights, 0.0))
        self._dislikes = _to_proportions(np.maximum(-weights, 0.0))
        self._dislike_factor = _compute_dislike_factor(weights, sources.shares)

    @property
    def queries(self) -> Vectors:
        """The likes, or the opposites of the dislikes if there are only dislikes."""
        directions = self._centered.directions
        return directions[self._is_liked] if self._is_liked.any() else -directions

    def score(self, vectors: Vectors) -> Vectors:
        """Return scores between -4 and 4: likes and dislikes each count up to twice the cosine."""
        # In a small catalog the sample is the whole catalog.
        is_sample = vectors is self._sample
        cosines = self._sample_cosines if is_sample else self._centered.compute(vectors)
        raised = cosines * self._scale
        np.exp(raised, out=raised)
        scores = np.zeros(len(vectors), np.float32)
        if self._is_liked.any():
            scores += np.log(raised @ self._likes) / SHARPNESS
        if self._dislike_factor:
            scores -= self._dislike_factor * np.log(raised @ self._dislikes) / SHARPNESS
        return scores


class NearestChunk:
    """The cosine with the nearest chunk of one item or text, without the catalog's statistics.

    Args:
        chunks: float32 [chunks, dimensions], unit length.
    """

    def __init__(self, chunks: Vectors) -> None:
        self.queries = chunks

    def score(self, vectors: Vectors) -> Vectors:
        """Return scores between -1 and 1."""
        # A maximum over one column takes as long as the products.
        products: Vectors = vectors @ (
            self.queries[0] if len(self.queries) == 1 else self.queries.T
        )
        return products if products.ndim == 1 else products.max(axis=1)


class NearestSource:
    """The weighted cosine with the nearest like, minus that with the nearest dislike."""

    def __init__(self, sources: Sources, statistics: CorpusStatistics) -> None:
        del statistics
        self._vectors = sources.vectors
        self._is_liked = sources.weights > 0
        self._proportions = np.abs(sources.weights)

    @property
    def queries(self) -> Vectors:
        """The likes, or the opposites of the dislikes if there are only dislikes."""
        return self._vectors[self._is_liked] if self._is_liked.any() else -self._vectors

    def score(self, vectors: Vectors) -> Vectors:
        """Return scores between -2 and 2."""
        cosines = (vectors @ self._vectors.T) * self._proportions
        scores = np.zeros(len(vectors), np.float32)
        if self._is_liked.any():
            scores += cosines[:, self._is_liked].max(axis=1)
        if not self._is_liked.all():
            scores -= cosines[:, ~self._is_liked].max(axis=1)
        return scores


class MeanVector:
    """The cosine with the weighted mean of the sources: the common method, as a baseline."""

    def __init__(self, sources: Sources, statistics: CorpusStatistics) -> None:
        del statistics
        weights: Vectors = sources.weights * sources.shares
        total: Vectors = weights @ sources.vectors
        self.queries = _normalize(total[None])

    def score(self, vectors: Vectors) -> Vectors:
        """Return scores between -1 and 1."""
        scores: Vectors = vectors @ self.queries[0]
        return scores


# Returns the scorer of a query with several sources, by one ranking.
MakeScorer: TypeAlias = Callable[[Sources, CorpusStatistics], Scorer]

# The rankings by their names in the settings.
RANKINGS: Mapping[str, MakeScorer] = {
    "pooled": SoftMaximum,
    "nearest": NearestSource,
    "mean": MeanVector,
}


def _compute_dislike_factor(weights: Vectors, shares: Vectors) -> np.float32:
    """Return the factor by which a dislike counts as much as a like of its weight, at most 1."""
    is_liked, is_disliked = weights > 0, weights < 0
    if not is_disliked.any():
        return np.float32(0.0)
    if not is_liked.any():
        return np.float32(1.0)
    mean_like = weights[is_liked].sum() / shares[is_liked].sum()
    mean_dislike = -weights[is_disliked].sum() / shares[is_disliked].sum()
    return np.float32(min(1.0, mean_dislike / mean_like))


def _to_proportions(weights: Vectors) -> Vectors:
    proportions: Vectors = weights / (weights.sum() or 1.0)
    return proportions


def _normalize(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    units: Vectors = vectors / np.maximum(lengths, np.float32(1e-9))
    return units
