"""Small histories, and what the training should make of them by dense matrices."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.domain.behavior import Blend, BlendWeights, TrainingInput, TrainingSummary
from service.recommend.collaborative.histories import Histories, to_offsets
from service.recommend.collaborative.sparse_rows import SparseRows

Dense = NDArray[np.float64]

SUMMARY = TrainingSummary(
    1_700_000_000_000_000,
    TrainingInput(30, 0, {"LIKE": 1.0}),
    30,
    3,
    Blend(BlendWeights(1.0, 0.4, 1.3), 25, 0.1, 0.05, 0.02),
)


def build_histories(
    lists: Sequence[Sequence[int]],
    item_count: int,
    weights: Sequence[Sequence[float]] | None = None,
) -> Histories:
    """Return histories with these items; the weights are 1 unless they are given."""
    offsets = to_offsets(np.array([len(items) for items in lists], np.int64))
    flat = [1.0] * int(offsets[-1]) if weights is None else [w for row in weights for w in row]
    items = [item for row in lists for item in row]
    return Histories(offsets, np.array(items, np.int32), np.array(flat, np.float32), item_count)


def draw_lists(
    seed: int, people: int, item_count: int, longest: int = 12, clusters: int = 1
) -> list[list[int]]:
    """Return random lists; the items of each person come from one of the clusters."""
    rng = np.random.default_rng(seed)
    size = item_count // clusters
    lists = []
    for person in range(people):
        count = int(rng.integers(1, min(longest, size) + 1))
        start = person % clusters * size
        lists.append((start + rng.choice(size, count, replace=False)).tolist())
    return lists


def to_dense(rows: SparseRows, column_count: int) -> Dense:
    """Return the matrix in full."""
    dense = np.zeros((rows.row_count, column_count))
    sources = np.repeat(np.arange(rows.row_count), np.diff(rows.offsets))
    dense[sources, rows.columns] = rows.weights
    return dense


def sum_pairs(histories: Histories, min_people: int) -> tuple[Dense, Dense]:
    """Return how much people like both items, and how much the column's item comes next."""
    count = histories.item_count
    near, following, people = (np.zeros((count, count)) for _ in range(3))
    for person in range(histories.people_count):
        items = histories.get_items(person)
        roots = np.sqrt(histories.get_weights(person).astype(float))
        strengths = np.outer(roots, roots)
        distances = np.arange(len(items)) - np.arange(len(items))[:, None]
        near[np.ix_(items, items)] += strengths * (0.3 + 0.7 * np.exp(-np.abs(distances) / 40))
        after = np.where(distances > 0, np.exp(-distances / 15), 0)
        following[np.ix_(items, items)] += strengths * after
        people[np.ix_(items, items)] += 1
    roots = np.sqrt(np.diag(near))
    is_pair = (people >= min_people) & ~np.eye(count, dtype=bool)
    return near * is_pair, following * is_pair / (np.outer(roots, roots) + 5)
