"""The model that a catalog learned from likes, as recommendations use it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from service.domain.behavior import BlendWeights, TrainingSummary
from service.domain.users import LikedItem
from service.domain.vectors import Keys, Mask
from service.index.item_index import ItemIndex
from service.index.vector_index import Hits
from service.recommend.collaborative.histories import Floats, Items
from service.recommend.collaborative.item_ids import NO_ITEM, ItemIds
from service.recommend.collaborative.model_arrays import check_range, model_from_arrays
from service.recommend.collaborative.popularity import Popularity
from service.recommend.collaborative.profile_scores import (
    LikeProfile,
    build_profile,
    explain_score,
    score_profile,
)
from service.recommend.collaborative.sparse_rows import Numbers

# Marks an item without a key, and one whose key has not been looked up yet.
NO_KEY = -1
UNKNOWN = -2

# What the z-scores by stand-ins, by popularity and by text count.
STAND_IN_WEIGHTS = BlendWeights(1.0, 1.0, 1.3).normalize()

# The items that popularity adds to those that stand-ins speak for.
MAX_POPULAR_ITEMS = 1_000

# The popular items that are looked up first.
POPULAR_BLOCK = 1_024


@dataclass(frozen=True, slots=True)
class ProfileBehavior:
    """Scores of items by behavior for one profile, each the weighted sum of z-scores.

    Attributes:
        numbers: int32 [scores], ascending: the items that anything speaks for.
        scores: float32 [scores].
        base: the score of all other items.
        profile: the likes that the scores are for.
        weights: of the z-scores.
        factors: what a score of local ridge and of what comes next counts, one over the deviation
            times the weight.
    """

    numbers: Items
    scores: Floats
    base: float
    profile: LikeProfile
    weights: BlendWeights
    factors: tuple[float, float]


@dataclass(frozen=True, slots=True)
class BehaviorHits:
    """The searchable items among the scored ones.

    Attributes:
        keys: int64 [hits]: their keys.
        scores: float32 [hits].
        base: the score of all other items.
    """

    keys: Keys
    scores: Floats
    base: float

    def spread(self, key_count: int) -> Floats:
        """Return the scores by key: float32 [keys]."""
        scores = np.full(key_count, self.base, np.float32)
        scores[self.keys] = self.scores
        return scores

    def select_best(self, allowed: Mask, count: int) -> BehaviorHits:
        """Return the best allowed hits that score above the base, and all that tie with the last.

        Args:
            allowed: by key: which hits are allowed.
            count: the number of hits.
        """
        is_candidate = allowed[self.keys] & (self.scores > self.base)
        keys, scores = self.keys[is_candidate], self.scores[is_candidate]
        if len(scores) > count:
            is_best = scores >= np.partition(scores, len(scores) - count)[len(scores) - count]
            keys, scores = keys[is_best], scores[is_best]
        best = np.argsort(-scores, kind="stable")
        return BehaviorHits(keys[best], scores[best], self.base)


@dataclass(slots=True)
class IndexKeys:
    """The keys of a model's items in one item index, as far as they were looked up.

    Attributes:
        version: that of `rekeyed_ids` of the item index that they belong to.
        keys: int64, by number: NO_KEY or UNKNOWN if there is none.
    """

    version: int
    keys: Keys


class BehaviorModel:
    """A trained model with the ids of its items.

    Several threads may use it, each for another item index, as the locks of the indexes ensure.

    Args:
        summary: what its training found.
        arrays: the model, its item ids and its popularity, as the training returns them.

    Raises:
        KeyError: an array is missing.
        ValueError: the arrays do not belong together.
    """

    def __init__(self, summary: TrainingSummary, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.summary = summary
        self.popularity = Popularity(arrays)
        self._model = model_from_arrays(arrays)
        self._ids = ItemIds(arrays)
        check_range(arrays["popular_items"], len(self._ids))
        for name in ("ridge_columns", "following_columns"):
            check_range(arrays[name], len(self._ids))
        # During a re-embedding a catalog has two item indexes.
        self._keys: WeakKeyDictionary[ItemIndex, IndexKeys] = WeakKeyDictionary()

    def are_learned(self, item_ids: Sequence[str]) -> Mask:
        """Return whether anything is learned about items: bool [items]."""
        numbers = self._ids.find(item_ids)
        offsets = self._model.ridge.offsets
        is_learned: Mask = (numbers != NO_ITEM) & (offsets[numbers + 1] > offsets[numbers])
        return is_learned

    def select_unlearned(self, item_ids: Sequence[str]) -> frozenset[str]:
        """Return those items that nothing is learned about."""
        places = np.flatnonzero(~self.are_learned(item_ids)).tolist()
        return frozenset(item_ids[place] for place in places)

    def score(
        self, likes: Sequence[LikedItem], weights: BlendWeights, *, oldest_first: bool
    ) -> ProfileBehavior | None:
        """Return the scores for what a person liked, or None if they say nothing.

        Args:
            likes: each item once; dislikes do not count.
            weights: what each z-score counts.
            oldest_first: whether older likes count less.
        """
        liked = [item for item in likes if item.weight > 0]
        numbers = self._ids.find(item.item_id for item in liked)
        is_known = numbers != NO_ITEM
        strengths = np.array([item.weight for item in liked], np.float32)
        profile = build_profile(numbers[is_known], strengths[is_known], fades=oldest_first)
        scores = score_profile(self._model, profile)
        items = scores.list_items()
        if not len(items):
            return None
        ridge, following = scores.ridge.measure(), scores.following.measure()
        factors = weights.ridge / ridge.deviation, weights.following / following.deviation
        values = factors[0] * (scores.ridge.get(items) - ridge.mean)
        values += factors[1] * (scores.following.get(items) - following.mean)
        base = -factors[0] * ridge.mean - factors[1] * following.mean
        return ProfileBehavior(
            items, values.astype(np.float32), float(base), profile, weights, factors
        )

    def score_stand_ins(self, item_ids: Sequence[str], strengths: Floats) -> ProfileBehavior:
        """Return the scores for items that stand in for likes, with popularity.

        Args:
            item_ids: items that something is learned about.
            strengths: float32 [items], above 0: what each counts.
        """
        weights = STAND_IN_WEIGHTS
        profile = build_profile(self._ids.find(item_ids), strengths, fades=False)
        ridge = score_profile(self._model, profile).ridge
        numbers = np.union1d(ridge.items, self._most_popular)
        totals = self._model.totals
        ridge_mean, ridge_deviation = ridge.measure()
        total_mean, total_deviation = float(totals.mean()), float(totals.std()) or np.inf
        factors = weights.ridge / ridge_deviation, weights.following / total_deviation
        scores = factors[0] * ridge.get(numbers) + factors[1] * totals[numbers]
        base = -factors[0] * ridge_mean - factors[1] * total_mean
        return ProfileBehavior(
            numbers, (scores + base).astype(np.float32), base, profile, weights, (factors[0], 0.0)
        )

    @cached_property
    def _most_popular(self) -> Items:
        """The items with the most likes: int32, ascending."""
        totals = self._model.totals[: len(self._ids)]
        count = min(MAX_POPULAR_ITEMS, len(totals))
        best = np.argpartition(-totals, count - 1)[:count] if count else np.empty(0)
        return np.sort(best).astype(np.int32)

    def find_hits(self, behavior: ProfileBehavior, item_index: ItemIndex) -> BehaviorHits:
        """Return the scores of the items that an item index has."""
        keys = self.find_keys(behavior.numbers, item_index)
        is_present = keys >= 0
        return BehaviorHits(keys[is_present], behavior.scores[is_present], behavior.base)

    def rank_popular(
        self, item_index: ItemIndex, allowed: Mask, half_life_days: float, limit: int
    ) -> Hits:
        """Return the most popular allowed items, best first, and all that tie with the last.

        Args:
            item_index: the index of the items.
            allowed: the keys that may be hits.
            half_life_days: the time after which an interaction counts half.
            limit: the number of hits.
        """
        numbers, scores = self.popularity.rank(half_life_days)
        keys, places = np.empty(0, np.int64), np.empty(0, np.int64)
        count = 0
        # Few of many items are needed, so that the best ones are looked up first.
        while count < len(numbers):
            count = min(max(2 * count, POPULAR_BLOCK), len(numbers))
            keys = self.find_keys(numbers[:count], item_index)
            is_present = keys >= 0
            places = np.flatnonzero(is_present)
            places = places[allowed[keys[is_present]]]
            if len(places) >= limit and scores[places[limit - 1]] > scores[count - 1]:
                break
        if len(places) > limit:
            places = places[scores[places] >= scores[places[limit - 1]]]
        return Hits(keys[places], scores[places])

    def list_best(self, behavior: ProfileBehavior) -> Iterator[str]:
        """Yield the ids of the items that score above the base, best first."""
        is_better = behavior.scores > behavior.base
        numbers, scores = behavior.numbers[is_better], behavior.scores[is_better]
        for number in numbers[np.argsort(-scores, kind="stable")].tolist():
            yield self._ids.get(number)

    def list_popular(self, half_life_days: float) -> Iterator[str]:
        """Yield the ids of items with interactions, the most popular first, equal ones by id."""
        numbers, scores = self.popularity.rank(half_life_days)
        ends = np.append(np.flatnonzero(np.diff(scores)) + 1, len(scores)).tolist()
        start = 0
        for end in ends:
            yield from sorted(map(self._ids.get, numbers[start:end].tolist()))
            start = end

    def explain(self, behavior: ProfileBehavior, item_id: str) -> list[tuple[str, float]]:
        """Return the likes that lead to an item, strongest first, with what each adds."""
        (number,) = self._ids.find([item_id]).tolist()
        if number == NO_ITEM:
            return []
        parts = explain_score(self._model, behavior.profile, number)
        liked = parts.list_items()
        values = behavior.factors[0] * parts.ridge.get(liked)
        values += behavior.factors[1] * parts.following.get(liked)
        order = np.argsort(-values, kind="stable").tolist()
        return [(self._ids.get(int(liked[place])), float(values[place])) for place in order]

    def find_keys(self, numbers: Items | Numbers, item_index: ItemIndex) -> Keys:
        """Return the keys of items in an item index, NO_KEY for those that it does not have.

        Keys are looked up once, and again after the item index gave them away or took them back.
        """
        if item_index.is_temporary:
            return self._find_present_keys(numbers, item_index)
        known = self._refresh_keys(item_index)
        for number in numbers[known.keys[numbers] == UNKNOWN].tolist():
            key = item_index.find_key(self._ids.get(number))
            known.keys[number] = NO_KEY if key is None else key
        return known.keys[numbers]

    def _find_present_keys(self, numbers: Items | Numbers, item_index: ItemIndex) -> Keys:
        """Return the same as `find_keys`, from the few items that an item index has."""
        all_keys = item_index.vectors.keys()
        present = self._ids.find(item_index.get_ids(all_keys.tolist()))
        order = np.argsort(present, kind="stable")
        present, all_keys = present[order], all_keys[order]
        if not len(present):
            return np.full(len(numbers), NO_KEY, np.int64)
        places = np.minimum(np.searchsorted(present, numbers), len(present) - 1)
        keys: Keys = np.where(present[places] == numbers, all_keys[places], NO_KEY)
        return keys

    def _refresh_keys(self, item_index: ItemIndex) -> IndexKeys:
        """Return the keys of an item index that are still valid."""
        known = self._keys.get(item_index)
        version = item_index.rekeyed_ids.version
        rekeyed_ids = None if known is None else item_index.rekeyed_ids.list_since(known.version)
        if known is None or rekeyed_ids is None:
            keys = np.full(len(self._ids), UNKNOWN, np.int64)
            known = self._keys[item_index] = IndexKeys(version, keys)
        elif rekeyed_ids:
            numbers = self._ids.find(rekeyed_ids)
            known.keys[numbers[numbers != NO_ITEM]] = UNKNOWN
            known.version = version
        return known
