"""The items of a catalog, with their vectors and attributes by key."""

import numpy as np
import pytest
from support.clock import FakeClock
from support.item_indexes import run_builds

from service.domain.filters import Condition, Equals, Filter
from service.domain.items import Change
from service.domain.spaces import VectorStorage
from service.domain.vectors import Vectors
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex

DIMENSIONS = 8
COUNT = 60

# The rounding error of a component with each storage of vectors, whose ranges are 2 wide at most.
ROUNDING = {
    VectorStorage.FLOAT32: 0.0,
    VectorStorage.FLOAT16: 2**-12,
    VectorStorage.INT8: 2 / 1_024,
}

RED = Filter(all=(Condition("red", Equals(True)),))


def draw_vectors(seed: int, chunks: int) -> Vectors:
    """Return unit vectors, [COUNT, chunks, dimensions]."""
    vectors = np.random.default_rng(seed).standard_normal((COUNT, chunks, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    return vectors.astype(np.float32)


def make_change(number: int, vectors: Vectors, attributes: str = "{}") -> Change:
    """Return a change that writes an item with vectors, [chunks, dimensions]."""
    return Change(f"i{number}", attributes, tuple(row.tobytes() for row in vectors), None)


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("storage", ROUNDING)
def test_unchanged_vectors_stay_in_their_graph(storage: VectorStorage, chunks: int) -> None:
    """A write that changes attributes alone leaves an item in the graph; other vectors do not."""
    vectors, others = draw_vectors(1, chunks), draw_vectors(2, chunks)
    index = SegmentedIndex(DIMENSIONS, storage=storage, first_graph_vectors=10)
    item_index = ItemIndex(index, FakeClock())
    item_index.apply([make_change(n, vectors[n]) for n in range(COUNT)], 1)
    run_builds(index)
    item_index.apply([make_change(n, vectors[n], '{"red": true}') for n in range(20)], 2)
    stats = index.collect_stats()
    assert (COUNT * chunks, 0) == (stats.graph_vectors, stats.deleted_vectors)
    assert 20 == len(item_index.list_keys(RED))
    item_index.apply([make_change(n, others[n]) for n in range(5)], 3)
    assert 5 * chunks == index.collect_stats().deleted_vectors
    for number in range(COUNT):
        key = item_index.find_key(f"i{number}")
        assert key is not None
        expected = (others if number < 5 else vectors)[number]
        stored = item_index.vectors.get([key]).vectors
        np.testing.assert_allclose(stored, expected, rtol=0, atol=ROUNDING[storage])


@pytest.mark.parametrize("storage", ROUNDING)
def test_a_vector_that_differs_is_written(storage: VectorStorage) -> None:
    """A vector that differs in one value by more than rounding, or in number, is another one."""
    vectors = draw_vectors(3, 2)
    index = SegmentedIndex(DIMENSIONS, storage=storage, first_graph_vectors=10)
    item_index = ItemIndex(index, FakeClock())
    item_index.apply([make_change(n, vectors[n]) for n in range(COUNT)], 1)
    run_builds(index)
    changed = vectors.copy()
    changed[0, 1, 5] += 4 * ROUNDING[storage] + 1e-6
    item_index.apply([make_change(0, changed[0])], 2)
    assert 2 == index.collect_stats().deleted_vectors
    item_index.apply([make_change(1, vectors[1, :1])], 3)
    assert 4 == index.collect_stats().deleted_vectors
    item_index.apply([make_change(2, vectors[2, ::-1])], 4)
    assert 6 == index.collect_stats().deleted_vectors


def test_vectors_stay_in_a_graph_whose_ranges_became_wider() -> None:
    """Unchanged vectors are recognized after they were encoded again with wider ranges."""
    vectors = draw_vectors(4, 1)
    index = SegmentedIndex(
        DIMENSIONS, storage=VectorStorage.INT8, first_graph_vectors=10, next_graph_vectors=10
    )
    item_index = ItemIndex(index, FakeClock())
    item_index.apply([make_change(n, 0.5 * vectors[n]) for n in range(40)], 1)
    run_builds(index)
    item_index.apply([make_change(n, vectors[n]) for n in range(40, COUNT)], 2)
    run_builds(index)
    item_index.apply([make_change(n, 0.5 * vectors[n]) for n in range(40)], 3)
    stats = index.collect_stats()
    assert (COUNT, 0) == (stats.graph_vectors, stats.deleted_vectors)
