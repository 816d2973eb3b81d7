"""Generated likes with the skew of real ones.

Items belong to clusters of taste of about 500. Both clusters and the items of a cluster are drawn
about in inverse proportion to their rank. List lengths are lognormal (median 20, sigma 1.4) up to
3,000. A person has four clusters and stays in one for five likes on average. Every seventh like is
from any cluster. Of several likes of a person for one item, the first counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from service.recommend.collaborative.histories import Histories, to_offsets

ITEMS_IN_CLUSTER = 500
MEDIAN_LENGTH, LENGTH_SIGMA, MAX_LENGTH = 20, 1.4, 3_000
CLUSTERS_OF_PERSON = 4
SWITCH_SHARE = 0.2
STRAY_SHARE = 1 / 7
LATEST_LIKES = 5

Integers = NDArray[np.int64]


def generate(item_count: int, like_count: int, seed: int = 1) -> Histories:
    """Return histories with about like_count likes, each of weight 1."""
    rng = np.random.default_rng(seed)
    cluster_count = max(item_count // ITEMS_IN_CLUSTER, CLUSTERS_OF_PERSON)
    counts = _draw_lengths(rng, like_count)
    people = np.repeat(np.arange(len(counts)), counts)
    tastes = _draw_ranks(rng, cluster_count, (len(counts), CLUSTERS_OF_PERSON))
    # One taste for each run of likes.
    runs = np.cumsum(rng.random(len(people)) < SWITCH_SHARE)
    run_tastes = rng.integers(0, CLUSTERS_OF_PERSON, runs[-1] + 1)
    clusters = tastes[people, run_tastes[runs]]
    is_stray = rng.random(len(people)) < STRAY_SHARE
    clusters[is_stray] = _draw_ranks(rng, cluster_count, (int(is_stray.sum()),))
    ranks = _draw_ranks(rng, item_count // cluster_count, (len(people),))
    numbers = rng.permutation(item_count).astype(np.int32)
    items = numbers[ranks * cluster_count + clusters]
    first = np.unique(people * item_count + items, return_index=True)[1]
    first.sort()
    offsets = to_offsets(np.bincount(people[first], minlength=len(counts)))
    return Histories(offsets, items[first], np.ones(len(first), np.float32), item_count)


def leave_out_latest(histories: Histories, share: float, seed: int = 2) -> Histories:
    """Return the histories without this share of all likes: the latest five of random people."""
    rng = np.random.default_rng(seed)
    counts = np.diff(histories.offsets)
    people = rng.permutation(len(counts))
    removed = np.minimum(counts[people], LATEST_LIKES)
    people = people[np.cumsum(removed) <= share * len(histories.items)]
    remaining = counts.copy()
    remaining[people] -= np.minimum(counts[people], LATEST_LIKES)
    places = np.arange(len(histories.items)) - np.repeat(histories.offsets[:-1], counts)
    is_kept = places < np.repeat(remaining, counts)
    return Histories(
        to_offsets(remaining),
        histories.items[is_kept],
        histories.weights[is_kept],
        histories.item_count,
    )


def _draw_lengths(rng: np.random.Generator, like_count: int) -> Integers:
    """Return list lengths whose sum is about like_count after repeated likes are removed."""
    mean = MEDIAN_LENGTH * np.exp(LENGTH_SIGMA**2 / 2)
    lengths = rng.lognormal(np.log(MEDIAN_LENGTH), LENGTH_SIGMA, int(2 * like_count / mean) + 10)
    counts = np.clip(lengths, 1, MAX_LENGTH).astype(np.int64)
    return counts[: np.searchsorted(np.cumsum(counts), like_count * 1.15)]


def _draw_ranks(rng: np.random.Generator, count: int, shape: tuple[int, ...]) -> Integers:
    """Return numbers below count; each is drawn about in inverse proportion to its rank plus 3."""
    ranks = 3.0 * ((count + 3.0) / 3.0) ** rng.random(shape) - 3.0
    return np.minimum(ranks.astype(np.int64), count - 1)
