import json
from collections.abc import Mapping

import numpy as np
import pytest
from support.clock import FakeClock

from service.analysis.candidate_lists import (
    MAX_KEPT_BYTES,
    CandidateLists,
    ListNumbers,
)
from service.analysis.candidate_search import ITEMS_PER_LIST, order_by_list
from service.domain.items import Change
from service.domain.vectors import Vectors
from service.index.faiss_kmeans import compute_centers
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.index.recent_changes import MAX_RECENT_CHANGES

DIMENSIONS = 16
CLUSTERS = 30
COUNT = 3_000
LEAST = 0.8


def clustered(seed: int = 1) -> Vectors:
    """Draw unit vectors around some centers."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(CLUSTERS, DIMENSIONS))
    raw = centers[np.arange(COUNT) % CLUSTERS] + 0.4 * generator.normal(size=(COUNT, DIMENSIONS))
    vectors: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return vectors


def change(item_id: str, *vectors: Vectors) -> Change:
    """Return the change that writes an item with its vectors."""
    return Change(item_id, json.dumps({}), tuple(vector.tobytes() for vector in vectors), None)


def filled(
    vectors: Vectors, max_kept_bytes: int = MAX_KEPT_BYTES
) -> tuple[ItemIndex, CandidateLists]:
    """Return an index of items that are named by their rows, and its lists."""
    item_index = ItemIndex(SegmentedIndex(DIMENSIONS), FakeClock())
    item_index.apply([change(str(row), vector) for row, vector in enumerate(vectors)], 1)
    centers = compute_centers(vectors, CLUSTERS, attempts=1)
    lists = CandidateLists(item_index, centers, max_kept_bytes=max_kept_bytes)
    lists.fill(item_index.vectors.keys(), lists.assign(vectors))
    assert lists.follow(item_index)
    return item_index, lists


def find(lists: CandidateLists, query: Vectors) -> list[str]:
    """Return the items near a vector."""
    (neighbors,) = lists.plan(query[None], None).run(COUNT, LEAST)
    return [neighbor.item_id for neighbor in neighbors]


def compare_all(vectors: Mapping[str, Vectors], query: Vectors) -> set[str]:
    """Return the items near a vector, by comparing with all."""
    return {item_id for item_id, vector in vectors.items() if float(vector @ query) >= LEAST}


def test_lists_have_what_is_near() -> None:
    """Of vectors in clusters, the nearest lists have all that are as near as asked for."""
    vectors = clustered()
    _, lists = filled(vectors)
    by_id = {str(row): vector for row, vector in enumerate(vectors)}
    for query in vectors[:60]:
        assert compare_all(by_id, query) == set(find(lists, query))


@pytest.mark.parametrize("count", [1, 5, 40])
def test_the_nearest_come_first_with_all_ties(count: int) -> None:
    """With a limit, hits are the nearest, best first, and all that tie with the last."""
    vectors = clustered()
    vectors[200:210] = vectors[100]
    _, lists = filled(vectors)
    (neighbors,) = lists.plan(vectors[100][None], None).run(count, LEAST)
    scores = np.sort(vectors @ vectors[100])[::-1]
    expected = scores[scores >= scores[count - 1] - 1e-6]
    found = [neighbor.similarity for neighbor in neighbors]
    assert expected.tolist() == pytest.approx(found, abs=1e-5)


def test_a_mask_leaves_keys_out() -> None:
    """Only allowed keys are hits."""
    vectors = clustered()
    _, lists = filled(vectors)
    allowed = np.arange(COUNT) % 2 == 0
    (neighbors,) = lists.plan(vectors[0][None], allowed).run(COUNT, LEAST)
    even_ids = [item_id for item_id in find(lists, vectors[0]) if int(item_id) % 2 == 0]
    assert even_ids == [neighbor.item_id for neighbor in neighbors]


def test_later_writes_are_followed() -> None:
    """Items that are written, changed, deleted or stored again later are found where they are."""
    vectors = clustered()
    by_id = {str(row): vector for row, vector in enumerate(vectors)}
    item_index, lists = filled(vectors)
    moves = [
        {"new": vectors[3], "7": vectors[8], "9": None},
        {"7": vectors[37], "other": vectors[9], "new": None},
        {"7": vectors[7], "9": vectors[9]},
    ]
    for sequence, move in enumerate(moves, 2):
        for item_id in move:
            by_id.pop(item_id, None)
        changes = []
        for item_id, vector in move.items():
            if vector is None:
                changes.append(Change(item_id, None, (), None))
            else:
                by_id[item_id] = vector
                changes.append(change(item_id, vector))
        item_index.apply(changes, sequence)
        assert lists.follow(item_index)
        for row in (3, 7, 8, 9, 37):
            near = compare_all(by_id, vectors[row])
            assert near == set(find(lists, vectors[row]))


def test_lists_that_cannot_follow_say_so() -> None:
    """Lists do not follow another index, too many writes, or items with several vectors."""
    vectors = clustered()
    item_index, lists = filled(vectors)
    assert not lists.follow(filled(vectors)[0])
    item_index.apply([change("several", vectors[0], vectors[1])], 2)
    assert not lists.follow(item_index)
    item_index.apply([Change("several", None, (), None)], 3)
    assert lists.follow(item_index)
    for number in range(MAX_RECENT_CHANGES + 1):
        item_index.apply([change("busy", vectors[number % 2])], 4 + number)
    assert not lists.follow(item_index)


def test_few_vectors_are_kept() -> None:
    """Lists whose vectors take more than the limit together are not kept, and still found."""
    vectors = clustered()
    by_id = {str(row): vector for row, vector in enumerate(vectors)}
    limit = vectors.nbytes // 4
    _, lists = filled(vectors, limit)
    for query in vectors[:60]:
        assert compare_all(by_id, query) == set(find(lists, query))
        assert lists.kept_bytes <= limit


def test_lists_are_kept_while_there_is_room() -> None:
    """Lists are copied in advance up to the limit, and not from another index."""
    vectors = clustered()
    limit = vectors.nbytes // 4
    item_index, lists = filled(vectors, limit)
    assert not lists.keep(filled(vectors)[0], 0)
    assert 0 == lists.kept_bytes
    kept = [lists.keep(item_index, number) for number in range(CLUSTERS)]
    assert {True, False} == set(kept)
    assert 0 < lists.kept_bytes <= limit


def test_all_items_are_equally_likely_to_be_early() -> None:
    """Large parts stay in their random order; in each, the lists come in an order of their own."""
    generator = np.random.default_rng(3)
    numbers: ListNumbers = generator.integers(-1, 10, size=3 * 10 * ITEMS_PER_LIST + 7).astype(
        np.int32
    )
    order = order_by_list(numbers, 10)
    size = 10 * ITEMS_PER_LIST
    sequences = []
    for start in range(0, len(numbers), size):
        part = order[start : start + size]
        end = min(start + size, len(numbers))
        assert list(range(start, end)) == sorted(part.tolist())
        ordered = numbers[part]
        starts = np.flatnonzero(np.diff(ordered, prepend=-2))
        sequence = ordered[starts].tolist()
        assert len(set(sequence)) == len(sequence)
        sequences.append(sequence)
    assert len({tuple(sequence) for sequence in sequences[:3]}) == 3


def test_the_order_of_no_items_is_empty() -> None:
    """Without items there is nothing to order."""
    assert [] == order_by_list(np.empty(0, np.int32), 10).tolist()
