"""Vectors of 10 bits a component, in a graph and beside it."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray
from support.item_indexes import run_builds

from service.domain.spaces import VectorStorage
from service.domain.vectors import Vectors
from service.index.component_ranges import LEVELS_PER_CODE, MAX_ERROR, RANGE_MARGIN, ComponentRanges
from service.index.faiss_graph_storage import (
    add_rows,
    create_graph,
    map_vectors,
    restore_vectors,
)
from service.index.faiss_quantized_vectors import QuantizedVectors
from service.index.faiss_segmented import SegmentedIndex
from service.index.low_bits import pack_low_bits, read_low_bits, unpack_low_bits, write_low_bits

ROWS = 3_000


def cluster(seed: int, count: int, dimensions: int) -> Vectors:
    """Return unit vectors around 40 centers, whose components have ranges of different widths."""
    drawn = np.random.default_rng(seed)
    fixed = np.random.default_rng(0)
    centers = fixed.normal(size=(40, dimensions)) + 0.5
    points = centers[drawn.integers(0, 40, count)] + 0.6 * drawn.normal(size=(count, dimensions))
    points *= fixed.uniform(0.2, 2.0, dimensions)
    units: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return units


def around(vectors: Vectors) -> ComponentRanges:
    return ComponentRanges.around(vectors.min(axis=0), vectors.max(axis=0))


def quantize(vectors: Vectors) -> QuantizedVectors:
    """Return vectors as a graph over them has them."""
    graph = create_graph(vectors.shape[1], VectorStorage.INT8, around(vectors))
    mapped = map_vectors(graph, add_rows(graph, vectors))
    assert isinstance(mapped, QuantizedVectors)
    return mapped


def select(rows: NDArray[np.bool_]) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(np.packbits(rows, bitorder="little"))


@pytest.fixture(scope="module", params=[48, 37], ids=["48", "37"])
def vectors(request: pytest.FixtureRequest) -> Vectors:
    """Vectors of a width that is a multiple of four, and of one that is not."""
    return cluster(1, ROWS, request.param)


@pytest.fixture(scope="module")
def quantized(vectors: Vectors) -> QuantizedVectors:
    return quantize(vectors)


def test_each_value_is_within_a_level(vectors: Vectors, quantized: QuantizedVectors) -> None:
    """Every value differs from its original by less than a level, most by half of one at most."""
    levels = (vectors.max(axis=0) - vectors.min(axis=0)) / 1_024
    errors = np.abs(quantized.get(slice(None)) - vectors)
    assert np.all(errors <= (1.01 + 2 * RANGE_MARGIN) * MAX_ERROR * levels + 1e-7)
    assert np.mean(errors <= 0.52 * levels + 1e-7) > 0.8
    assert vectors.shape == quantized.shape


def test_errors_are_not_along_the_vector(vectors: Vectors, quantized: QuantizedVectors) -> None:
    """The product of a vector with its rounded self is half as wrong as by nearest levels."""
    ranges = quantized.ranges
    nearest = ranges.decode(np.floor((vectors - ranges.lowest) / ranges.levels).astype(np.uint16))
    nearest_error, error = (
        np.abs(np.einsum("vd,vd->v", vectors, rounded - vectors)).mean()
        for rounded in (nearest, quantized.get(slice(None)))
    )
    assert error <= nearest_error / 2


def test_rows_are_read_alike_in_every_form(quantized: QuantizedVectors) -> None:
    """One row, some rows, a slice and a mask give the same vectors."""
    everything = quantized.get(slice(None))
    rows = np.array([5, 2, 5, ROWS - 1])
    mask = np.arange(ROWS) % 7 == 3
    np.testing.assert_array_equal(everything[rows], quantized.get(rows))
    np.testing.assert_array_equal(everything[17], quantized.get(17))
    np.testing.assert_array_equal(everything[mask], quantized.get(mask))
    np.testing.assert_array_equal(everything[3:9], quantized.get(slice(3, 9)))


def test_the_vectors_take_ten_bits(vectors: Vectors, quantized: QuantizedVectors) -> None:
    """A row takes a byte for each component and one more for each four of them."""
    dimensions = vectors.shape[1]
    row_bytes = dimensions + (dimensions + 3) // 4
    assert row_bytes * ROWS == quantized.graph_bytes + quantized.low_bits.nbytes


def test_decoded_vectors_have_the_same_numbers(quantized: QuantizedVectors) -> None:
    """Encoding what was decoded gives the same numbers, so that merges add no errors."""
    ranges, decoded = quantized.ranges, quantized.get(slice(None))
    numbers = ranges.encode(decoded)
    np.testing.assert_array_equal(decoded, ranges.decode(numbers))
    graph = create_graph(quantized.shape[1], VectorStorage.INT8, ranges)
    low_bits = add_rows(graph, decoded)
    again = map_vectors(graph, low_bits)
    np.testing.assert_array_equal(decoded, again.get(slice(None)))
    np.testing.assert_array_equal(quantized.low_bits, low_bits)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.02])
@pytest.mark.parametrize("limit", [1, 10, 50])
def test_scans_compare_all_bits_of_all_rows(
    quantized: QuantizedVectors, share: float, limit: int
) -> None:
    """Scans by codes first return what comparing all bits of all allowed rows does."""
    queries = cluster(2, 20, quantized.shape[1])
    mask = np.random.default_rng(3).random(ROWS) < share
    rows = np.flatnonzero(mask)
    every_score = queries @ quantized.get(rows).T
    expected = -np.sort(-every_score, axis=1)[:, :limit]
    for scores, best in (
        quantized.scan(queries, limit, select(mask)),
        quantized.scan_rows(queries, limit, rows),
    ):
        np.testing.assert_allclose(expected, scores, atol=1e-6)
        own_scores = np.einsum("qd,qrd->qr", queries, quantized.get(best))
        np.testing.assert_allclose(own_scores, scores, atol=1e-6)
        assert mask[best].all()


def test_scans_lose_nothing_whose_codes_are_equal(quantized: QuantizedVectors) -> None:
    """If codes tell nothing apart, all rows that may be the best are compared by all bits."""
    dimensions = quantized.shape[1]
    ranges = quantized.ranges
    numbers = np.full((500, dimensions), 400, np.uint16)
    numbers += np.random.default_rng(4).integers(0, LEVELS_PER_CODE, numbers.shape, np.uint16)
    close = ranges.decode(numbers)
    graph = create_graph(dimensions, VectorStorage.INT8, ranges)
    low_bits = add_rows(graph, close)
    same_codes = map_vectors(graph, low_bits)
    queries = cluster(5, 5, dimensions)
    expected = -np.sort(-(queries @ close.T), axis=1)[:, :3]
    everything = np.ones(500, np.bool_)
    np.testing.assert_allclose(
        expected, same_codes.scan(queries, 3, select(everything))[0], atol=1e-6
    )
    np.testing.assert_allclose(
        expected, same_codes.scan_rows(queries, 3, np.arange(500))[0], atol=1e-6
    )


def test_the_recall_of_ten_bits_is_high(vectors: Vectors, quantized: QuantizedVectors) -> None:
    """Of the ten best by the original vectors, 0.98 are among the ten best by 10 bits."""
    queries = cluster(6, 200, vectors.shape[1])
    every_score = queries @ vectors.T
    tenth = np.sort(every_score, axis=1)[:, -10]
    _, rows = quantized.scan(queries, 10, select(np.ones(ROWS, np.bool_)))
    assert 0.98 <= np.mean(np.take_along_axis(every_score, rows, axis=1) >= tenth[:, None])


def test_reranking_orders_candidates_by_all_bits(quantized: QuantizedVectors) -> None:
    """Candidates in any order, also too few of them, come back best first."""
    queries = cluster(7, 3, quantized.shape[1])
    rows = np.array([[4, 900, 2, 77, -1], [8, 3, 5, 1, 0], [9, -1, -1, -1, -1]])
    unused = np.zeros(rows.shape, np.float32)
    scores, best = quantized.rerank(queries, 3, unused, rows)
    for query, filled, own_scores, own_rows in zip(queries, rows, scores, best, strict=True):
        candidates = filled[filled >= 0]
        expected = candidates[np.argsort(-(quantized.get(candidates) @ query))][:3]
        assert expected.tolist() == own_rows[: len(expected)].tolist()
        assert set(own_rows[len(expected) :].tolist()) <= {-1}
        assert np.all(np.diff(own_scores[: len(expected)]) <= 0)


def test_ranges_keep_what_they_cover() -> None:
    """A union or extension changes the components that are not covered, and no others."""
    low, high = np.zeros(3, np.float32), np.ones(3, np.float32)
    ranges = ComponentRanges.around(low, high)
    same = ranges.extend(low + 0.1, high)
    np.testing.assert_array_equal(ranges.lowest, same.lowest)
    np.testing.assert_array_equal(ranges.spans, same.spans)
    beyond = np.array([0.5, 2.0, -0.5], np.float32)
    assert [True, False, False] == ranges.covers(beyond, beyond).tolist()
    extended = ranges.extend(beyond, beyond)
    assert extended.covers(np.minimum(low, beyond), np.maximum(high, beyond)).all()
    assert (extended.lowest[0], extended.spans[0]) == (ranges.lowest[0], ranges.spans[0])
    for union in (ranges.union(extended), extended.union(ranges)):
        np.testing.assert_array_equal(extended.lowest, union.lowest)
        np.testing.assert_array_equal(extended.spans, union.spans)
    other = ComponentRanges.around(low - 1, low + 0.5)
    assert ranges.union(other).covers(other.lowest, np.float32(0.999) * high).all()


def test_equal_values_have_a_range() -> None:
    """A component that is the same in all vectors keeps its value."""
    vectors = np.repeat(cluster(8, 1, 16), 5, axis=0)
    vectors[:, 3] = 0
    ranges = around(vectors)
    np.testing.assert_allclose(vectors, ranges.decode(ranges.encode(vectors)), atol=1e-5)


def test_low_bits_are_packed(tmp_path: Path) -> None:
    """Packed and written bits are the same again, of one row and of several."""
    for dimensions in (1, 3, 4, 5, 256):
        bits = np.random.default_rng(9).integers(0, 4, (50, dimensions), np.uint8)
        packed = pack_low_bits(bits)
        np.testing.assert_array_equal(bits, unpack_low_bits(packed, dimensions))
        np.testing.assert_array_equal(bits[7], unpack_low_bits(packed[7], dimensions))
        write_low_bits(packed, tmp_path / "bits")
        np.testing.assert_array_equal(packed, read_low_bits(tmp_path / "bits"))


def test_bits_of_another_graph_are_refused(tmp_path: Path, quantized: QuantizedVectors) -> None:
    """A graph is not restored with the bits of other rows, with other files, or without any."""
    path = tmp_path / "bits.npy"
    graph = create_graph(8, VectorStorage.INT8, around(cluster(1, 20, 8)))
    graph.add(cluster(1, 20, 8))
    write_low_bits(quantized.low_bits, path)
    with pytest.raises(ValueError, match="another graph"):
        restore_vectors(graph, path)
    np.save(path, np.zeros((20, 2)))
    with pytest.raises(ValueError, match="no low bits"):
        restore_vectors(graph, path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        restore_vectors(graph, path)


def test_merges_add_no_errors() -> None:
    """Vectors within the ranges of the first graph are the same after it was merged three times."""
    dimensions = 24
    axes = np.eye(dimensions, dtype=np.float32)
    vectors = np.concatenate([axes, -axes, cluster(10, 2_400, dimensions)])
    index = SegmentedIndex(
        dimensions, storage=VectorStorage.INT8, first_graph_vectors=1_000, next_graph_vectors=300
    )
    index.upsert(range(1_500), vectors[:1_500])
    run_builds(index)
    first = index.get(range(1_500)).vectors
    for start in range(1_500, 2_400, 300):
        index.upsert(range(start, start + 300), vectors[start : start + 300])
        run_builds(index)
    assert (2_400, 2_400) == index.collect_stats()[:2]
    np.testing.assert_array_equal(first, index.get(range(1_500)).vectors)


def test_a_value_beyond_former_ranges_is_kept() -> None:
    """A vector that is far from all others keeps its values when it is merged into a graph."""
    dimensions = 12
    index = SegmentedIndex(
        dimensions, storage=VectorStorage.INT8, first_graph_vectors=1_000, next_graph_vectors=300
    )
    usual = cluster(11, 1_000, dimensions)
    index.upsert(range(1_000), usual)
    run_builds(index)
    far = -np.eye(dimensions, dtype=np.float32)
    index.upsert(range(2_000, 2_000 + dimensions), far)
    index.upsert(range(1_000, 1_400), cluster(12, 400, dimensions))
    run_builds(index)
    assert 1_400 + dimensions == index.collect_stats().graph_vectors
    # A range is now 2 wide at most.
    kept = index.get(range(2_000, 2_000 + dimensions)).vectors
    np.testing.assert_allclose(far, kept, atol=2 / 1_024)
    np.testing.assert_allclose(usual, index.get(range(1_000)).vectors, atol=2 * 2 / 1_024)


def test_a_build_that_is_stopped_leaves_no_trace() -> None:
    """A build that is stopped before it begins ends, and the next one builds the same graph."""
    index = SegmentedIndex(12, storage=VectorStorage.INT8, first_graph_vectors=100)
    vectors = cluster(13, 200, 12)
    index.upsert(range(200), vectors)
    build = index.start_build(quiet=True)
    assert build is not None
    build.stop()
    build.run()
    index.cancel_build(build)
    np.testing.assert_array_equal(vectors, index.get(range(200)).vectors)
    run_builds(index)
    assert (200, 200) == index.collect_stats()[:2]


def test_an_index_whose_vectors_are_all_deleted_takes_new_ones() -> None:
    """After every vector was deleted, others are built into a graph."""
    index = SegmentedIndex(
        12, storage=VectorStorage.INT8, first_graph_vectors=100, next_graph_vectors=100
    )
    index.upsert(range(200), cluster(14, 200, 12))
    run_builds(index)
    index.delete(range(200))
    run_builds(index)
    assert (0, 0) == (len(index), index.collect_stats().graph_vectors)
    vectors = cluster(15, 150, 12)
    index.upsert(range(150), vectors)
    run_builds(index)
    (hits,) = index.search(vectors[7:8], 1)
    assert [7] == hits.keys.tolist()
    assert 150 == index.collect_stats().graph_vectors
