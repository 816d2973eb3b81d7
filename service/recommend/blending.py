"""Blends the scores of items by text with those by behavior."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.domain.recommendations import DEFAULT_HALF_LIFE_DAYS
from service.domain.vectors import Keys, Mask, Vectors
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits
from service.recommend.behavior_model import BehaviorModel, ProfileBehavior
from service.recommend.new_items import NewItemBoost
from service.recommend.source_search import Adjustment, measure_deviation

# The best items by behavior that are scored by text as well, at least and for each recommendation,
# where not all items are.
MIN_BEHAVIOR_CANDIDATES = 200
BEHAVIOR_CANDIDATES_PER_RESULT = 2


def count_behavior_candidates(limit: int) -> int:
    """Return how many of the best items by behavior are scored by text, for `limit` results."""
    return max(MIN_BEHAVIOR_CANDIDATES, BEHAVIOR_CANDIDATES_PER_RESULT * limit)


@dataclass(frozen=True, slots=True)
class QueryBlend:
    """What blends scores by text of one query with its scores by behavior.

    Attributes:
        behavior_scores: float32, by key.
        best_keys: int64: the best allowed items by behavior.
        text_mean: the mean score by text in the catalog.
        text_factor: the weight of text over the deviation of scores by text in the catalog.
    """

    behavior_scores: Vectors
    best_keys: Keys
    text_mean: np.float32
    text_factor: np.float32

    def follow(self, other: Adjustment | None) -> Adjustment:
        """Return the adjustment of scores by text that first makes another one."""

        def blend(keys: Keys, scores: Vectors) -> Vectors:
            if other is not None:
                scores = other.adjust(keys, scores)
            blended: Vectors = (scores - self.text_mean) * self.text_factor
            blended += self.behavior_scores[keys]
            return blended

        return Adjustment(blend, self.best_keys)


@dataclass(frozen=True, slots=True)
class ScoredBehavior:
    """What the model of a catalog says for one profile.

    Attributes:
        model: the model.
        profile: the scores for the profile.
        boost: how early new items come.
    """

    model: BehaviorModel
    profile: ProfileBehavior
    boost: NewItemBoost

    def blend(
        self, item_index: ItemIndex, allowed: Mask, limit: int, sample_scores: Vectors
    ) -> QueryBlend:
        """Return the blend with scores by text.

        Args:
            item_index: the index of the items.
            allowed: the keys that may be recommended.
            limit: the number of items that are searched for.
            sample_scores: the scores by text of a sample of the catalog, float32 [sample].
        """
        hits = self.model.find_hits(self.profile, item_index)
        count = count_behavior_candidates(limit)
        return QueryBlend(
            hits.spread(len(allowed)),
            hits.select_best(allowed, count).keys,
            np.float32(sample_scores.mean()),
            np.float32(self.profile.weights.text / measure_deviation(sample_scores)),
        )

    def list_best(self) -> Iterator[str]:
        """Yield the ids of the items that score above the base, best first."""
        return self.model.list_best(self.profile)

    def rank(self, item_index: ItemIndex, allowed: Mask, limit: int) -> Hits:
        """Return the best items by behavior alone."""
        hits = self.model.find_hits(self.profile, item_index).select_best(allowed, limit)
        return Hits(hits.keys, hits.scores)

    def rank_with_popular(self, item_index: ItemIndex, allowed: Mask, limit: int) -> Hits:
        """Return the best items by behavior alone, and popular ones if it speaks for too few.

        The popular ones score hardly less than items that nothing speaks for, in their order.
        """
        hits = self.rank(item_index, allowed, limit)
        missing_count = limit - len(hits.keys)
        if missing_count <= 0:
            return hits
        remaining = allowed.copy()
        remaining[hits.keys] = False
        popular = self.model.rank_popular(
            item_index, remaining, DEFAULT_HALF_LIFE_DAYS, missing_count
        )
        ranked = item_index.rank_hits(popular, missing_count)
        keys = np.array([key for _, _, key in ranked], np.int64)
        base = np.float32(self.profile.base)
        steps = 2 * np.spacing(np.abs(base)) * np.arange(1, len(keys) + 1, dtype=np.float32)
        return Hits(np.concatenate([hits.keys, keys]), np.concatenate([hits.scores, base - steps]))
