from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.item_indexes import run_builds

from service.domain.spaces import VectorStorage
from service.domain.vectors import Vectors
from service.index.faiss_exact import ExactIndex
from service.index.faiss_graph_segment import GRAPH_FILE_PREFIX
from service.index.faiss_segmented import SegmentedIndex
from service.index.planner import GRAPH_BREADTH, SearchMethod, plan_search
from service.index.vector_index import Hits

pytestmark = pytest.mark.slow

DIMENSIONS = 64
SIZE = 6_000
# The rounding error of a score with each storage of vectors.
ROUNDING = {
    VectorStorage.FLOAT32: 1e-6,
    VectorStorage.FLOAT16: 2e-4,
    VectorStorage.INT8: 8e-4,
}


def clusters(seed: int, count: int) -> Vectors:
    """Return unit vectors around 60 centers, like those of texts on 60 topics."""
    drawn = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(60, DIMENSIONS)) + 0.5
    points = centers[drawn.integers(0, 60, count)] + 0.7 * drawn.normal(size=(count, DIMENSIONS))
    units: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return units


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clusters(1, SIZE)


@pytest.fixture(scope="module", params=ROUNDING)
def storage(request: pytest.FixtureRequest) -> VectorStorage:
    chosen: VectorStorage = request.param
    return chosen


@pytest.fixture(scope="module")
def graph(vectors: Vectors, storage: VectorStorage) -> SegmentedIndex:
    """One graph with neighbor lists over all vectors."""
    index = SegmentedIndex(
        DIMENSIONS, storage=storage, first_graph_vectors=1_000, next_graph_vectors=500
    )
    index.upsert(range(SIZE), vectors)
    run_builds(index)
    assert (SIZE, SIZE, 0, SIZE, False) == index.collect_stats()[:5]
    number_bytes = {VectorStorage.FLOAT32: 4, VectorStorage.FLOAT16: 2, VectorStorage.INT8: 1.25}
    vectors_bytes = number_bytes[storage] * DIMENSIONS * SIZE
    # For each row beside its vector: links, keys, PQ codes, and its neighbor list.
    assert 0 < index.collect_stats().memory_bytes - vectors_bytes < 400 * SIZE
    return index


@pytest.fixture(scope="module")
def exact(vectors: Vectors) -> ExactIndex:
    index = ExactIndex(DIMENSIONS)
    index.upsert(range(SIZE), vectors)
    return index


@pytest.fixture
def rounding(storage: VectorStorage) -> float:
    """By how much the hits of a storage may be worse than the best."""
    return max(2e-4, ROUNDING[storage])


def recall(expected: Hits, actual: Hits, limit: int, rounding: float = 2e-4) -> float:
    """Return the share of hits whose score is among the best `limit`, up to rounding."""
    last = np.sort(expected.scores)[::-1][:limit][-1]
    count = np.count_nonzero(np.sort(actual.scores)[::-1][:limit] >= last - rounding)
    return float(count) / min(limit, len(expected.scores))


def test_graph_searches_find_nearly_everything(
    graph: SegmentedIndex, exact: ExactIndex, rounding: float
) -> None:
    """Without a filter the recall@10 of graph searches and neighbor lists is at least 0.98."""
    queries = clusters(2, 200)
    pairs = zip(exact.search(queries, 10), graph.search(queries, 10), strict=True)
    assert 0.98 <= np.mean([recall(*pair, 10, rounding) for pair in pairs])
    keys = range(0, SIZE, 30)
    list_recalls = [
        recall(exact.search_by_key(key, 10), graph.search_by_key(key, 10), 10) for key in keys
    ]
    assert 0.98 <= np.mean(list_recalls)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25, 0.1, 0.02, 0.004])
def test_recall_does_not_fall_with_the_filter(
    graph: SegmentedIndex, exact: ExactIndex, share: float, rounding: float
) -> None:
    """However few items a filter keeps, the recall stays at 0.98 and the result complete."""
    allowed = np.random.default_rng(3).random(SIZE) < share
    queries = clusters(4, 100)
    expected = exact.search(queries, 10, (), allowed)
    actual = graph.search(queries, 10, (), allowed)
    pairs = list(zip(expected, actual, strict=True))
    assert 0.98 <= np.mean([recall(*pair, 10, rounding) for pair in pairs])
    assert all(10 <= len(hits.keys) for hits in actual)
    assert all(allowed[hits.keys].all() for hits in actual)


@pytest.mark.parametrize("topics", [1, 6, 25])
def test_recall_does_not_fall_if_a_filter_keeps_other_topics(
    graph: SegmentedIndex, exact: ExactIndex, vectors: Vectors, topics: int, rounding: float
) -> None:
    """A filter that keeps whole clusters far from the query does not lower the recall."""
    centers = vectors[:topics]
    allowed = (vectors @ centers.T).max(axis=1) > 0.6
    queries = clusters(8, 100)
    pairs = list(
        zip(
            exact.search(queries, 10, (), allowed),
            graph.search(queries, 10, (), allowed),
            strict=True,
        )
    )
    assert 0.98 <= np.mean([recall(*pair, 10, rounding) for pair in pairs])
    assert all(10 <= len(hits.keys) for _, hits in pairs)


def test_a_zero_query_has_hits(graph: SegmentedIndex) -> None:
    """If all scores are equal, as for a zero vector, the result is complete."""
    allowed = np.ones(SIZE, np.bool_)
    allowed[: SIZE // 2] = False
    queries = np.stack([np.zeros(DIMENSIONS, np.float32), clusters(9, 1)[0]])
    for hits in graph.search(queries, 10, (), allowed):
        assert 10 <= len(hits.keys)
        assert allowed[hits.keys].all()


def test_neighbor_lists_lose_no_ties() -> None:
    """Neighbor lists leave out none of the items that tie, as a search does not either."""
    same = np.repeat(clusters(10, 1), 20, axis=0)
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=500)
    index.upsert(range(2_000), np.concatenate([clusters(11, 1_980), same]))
    run_builds(index)
    assert 2_000 == index.collect_stats().neighbor_lists
    assert set(range(1_980, 1_999)) == set(index.search_by_key(1_999, 10).keys.tolist())


def test_exact_is_exact(graph: SegmentedIndex, exact: ExactIndex, storage: VectorStorage) -> None:
    """An exact search of graphs has the scores of the exact index, up to rounding."""
    queries = clusters(5, 50)
    for one, other in zip(
        exact.search(queries, 10), graph.search(queries, 10, exact=True), strict=True
    ):
        assert pytest.approx(one.scores.tolist(), abs=ROUNDING[storage]) == other.scores.tolist()


def test_the_best_of_a_large_limit_are_found(
    graph: SegmentedIndex, exact: ExactIndex, rounding: float
) -> None:
    """For a limit of 1,000 the recall is at least 0.98, and the result is complete."""
    queries = clusters(6, 10)
    for one, other in zip(exact.search(queries, 1_000), graph.search(queries, 1_000), strict=True):
        assert 1_000 <= len(other.keys)
        assert 0.98 <= recall(one, other, 1_000, rounding)


def test_a_small_index_has_no_graph(vectors: Vectors) -> None:
    """Below the threshold no build is needed, from it on a graph is built, once."""
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=500)
    index.upsert(range(999), vectors[:999])
    assert None is index.start_build(quiet=True)
    index.upsert([999], vectors[999:1_000])
    assert None is not index.start_build(quiet=False)
    assert index.collect_stats().building
    assert None is index.start_build(quiet=False)


def test_churn_leaves_few_deleted_rows(vectors: Vectors) -> None:
    """While all items are replaced repeatedly, the number of deleted rows stays low."""
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=200)
    random = np.random.default_rng(7)
    index.upsert(range(2_000), vectors[:2_000])
    for _ in range(30):
        keys = random.choice(2_000, 300, replace=False)
        index.upsert(keys.tolist(), vectors[random.choice(SIZE, 300, replace=False)])
        build = index.start_build(quiet=False)
        if build is not None:
            index.delete([int(keys[0])])
            index.upsert([int(keys[0])], vectors[:1])
            build.run()
            index.finish_build(build)
        stats = index.collect_stats()
        assert 2_000 == stats.vectors == len(index)
        assert stats.deleted_vectors <= 1_000
    assert 2_000 == sum(len(keys) for keys, _ in index.iterate_blocks(100))


def test_a_grown_graph_finds_what_a_rebuilt_one_does(
    tmp_path: Path, storage: VectorStorage, rounding: float
) -> None:
    """A graph that grows by merges, also from a file, has the recall of one built at once."""
    size = 12_000  # with fewer, no search goes through the graph
    vectors, exact = clusters(1, size), ExactIndex(DIMENSIONS)
    exact.upsert(range(size), vectors)
    index = SegmentedIndex(DIMENSIONS, storage=storage, first_graph_vectors=1_000)
    for end in (4_000, 8_000, size):
        start = len(index)
        index.upsert(range(start, end), vectors[start:end])
        run_builds(index)
        index = save_and_restore(index, tmp_path, storage)
    assert (size, size, 0) == index.collect_stats()[:3]
    assert 1 == sum(name.startswith(GRAPH_FILE_PREFIX) for name in index.capture().files)
    allowed = np.ones(size, np.bool_)
    allowed[::40] = False  # nearly all rows pass: a search through the graph
    queries = clusters(12, 100)
    pairs = zip(
        exact.search(queries, 10, (), allowed),
        index.search(queries, 10, (), allowed),
        strict=True,
    )
    assert 0.98 <= np.mean([recall(*pair, 10, rounding) for pair in pairs])


@pytest.mark.parametrize("large", [2_000, 12_000])
def test_deleted_rows_take_no_place_in_neighbor_lists(large: int) -> None:
    """Items that are written again and again are found by their lists after a merge, too."""
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=50)
    index.upsert(range(large), clusters(13, large))
    count = large // 17
    near = np.repeat(clusters(14, 1), count, axis=0)
    drawn = np.random.default_rng(15)
    keys = range(large - count, large)  # the last ones: their former rows are next to the new ones
    for _ in range(4):
        moved = near + 0.1 * drawn.normal(size=near.shape)
        index.upsert(keys, (moved / np.linalg.norm(moved, axis=1, keepdims=True)).astype("<f4"))
        build = index.start_build(quiet=True)
        assert build is not None
        build.run()
        index.finish_build(build)
    run_builds(index)
    stats = index.collect_stats()
    assert 0 < stats.deleted_vectors
    assert large == stats.vectors == stats.neighbor_lists
    recalls = []
    for key in keys[:100]:
        hits = index._graphs.search_neighbor_list(key, 10, {key}, None)
        assert hits is not None
        recalls.append(recall(index.search_by_key(key, 10, exact=True), hits, 10))
    assert 0.98 <= np.mean(recalls)


def test_a_grown_graph_keeps_deletions(vectors: Vectors) -> None:
    """What was replaced or deleted stays so after a merge, wherever its former rows are."""
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=10)
    index.upsert(range(1_000), vectors[:1_000])
    run_builds(index)
    index.delete([3])
    # The former row of 999 is the last one, next to which its new rows are.
    index.upsert([999, 999, *range(1_000, 1_100)], vectors[1_000:1_102])
    index.delete([1_099])
    run_builds(index)
    assert sorted({*range(1_099)} - {3}) == index.keys().tolist()
    assert 1_099 == index.collect_stats().vectors
    np.testing.assert_array_equal(vectors[1_000:1_002], index.get([999]).vectors)
    assert 999 == index.search(vectors[1_001:1_002], 1)[0].keys[0]
    expected = np.concatenate([index.get([key]).vectors for key in index.keys().tolist()])
    np.testing.assert_allclose(expected.mean(axis=0), index.mean(), atol=1e-6)
    index.upsert([999], vectors[1_200:1_201])
    np.testing.assert_array_equal(vectors[1_200:1_201], index.get([999]).vectors)


def test_deletes_during_a_build_remove_its_keys_only(vectors: Vectors) -> None:
    """Keys deleted during a build are gone after it, and keys that were never stored do no harm."""
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=500)
    index.upsert(range(1_000), vectors[:1_000])
    build = index.start_build(quiet=False)
    assert build is not None
    index.upsert([1_000, 5], vectors[1_000:1_002])
    index.delete([7, 1_000, 1_000_000])
    build.run()
    index.finish_build(build)
    assert sorted({*range(1_000)} - {7}) == index.keys().tolist()
    assert (999, 998, 2) == index.collect_stats()[:3]
    np.testing.assert_array_equal(vectors[1_001:1_002], index.get([5]).vectors)
    assert 1_000_000 not in index
    assert 7 not in index


def save_and_restore(index: SegmentedIndex, folder: Path, storage: VectorStorage) -> SegmentedIndex:
    """Return an index over the files of another, which it maps into memory."""
    state = index.capture()
    for name, file in state.files.items():
        file.write(folder / name)
    restored = SegmentedIndex(DIMENSIONS, storage=storage, first_graph_vectors=1_000)
    restored.restore(state, {name: folder / name for name in state.files})
    return restored


@pytest.mark.parametrize("rows", [100_000, 1_000_000])
def test_the_planner_chooses_by_the_share_of_allowed_rows(rows: int) -> None:
    """Graph search for most rows, PQ codes for fewer, a scan for few or if it must be exact."""
    widest = plan_search(rows, rows, 10, 256, exact=False)
    assert (SearchMethod.GRAPH, GRAPH_BREADTH) == (widest.method, widest.depth)
    assert SearchMethod.PQ_CODES is plan_search(rows, rows // 2, 10, 256, exact=False).method
    assert SearchMethod.PQ_CODES is plan_search(rows, rows // 10, 10, 256, exact=False).method
    assert SearchMethod.SCAN is plan_search(rows, 20, 10, 256, exact=False).method
    assert SearchMethod.SCAN is plan_search(rows, rows, 10, 256, exact=True).method
    assert SearchMethod.SCAN is plan_search(rows, 0, 10, 256, exact=False).method
    assert GRAPH_BREADTH < plan_search(rows, rows, 100, 256, exact=False).depth


def test_no_plan_costs_more_than_a_scan() -> None:
    """The estimated time of a plan is never longer than that of a scan."""
    for allowed in (1, 10, 100, 1_000, 10_000, 100_000):
        chosen = plan_search(100_000, allowed, 10, 256, exact=False)
        assert chosen.cost_ns <= plan_search(100_000, allowed, 10, 256, exact=True).cost_ns
