from __future__ import annotations

import numpy as np
import pytest

from service.index.faiss_exact import ExactIndex
from service.index.faiss_segmented import SegmentedIndex
from service.index.planner import GRAPH_BREADTH, SearchMethod, plan_search
from service.index.vector_index import Hits, Vectors

pytestmark = pytest.mark.slow

DIMENSIONS = 64
SIZE = 6_000
ROUNDING = 2e-4
"""What float16 may take from a score."""


def clusters(seed: int, count: int) -> Vectors:
    """Unit vectors around 60 centers, as texts on as many subjects are."""
    drawn = np.random.default_rng(seed)
    centers = np.random.default_rng(0).normal(size=(60, DIMENSIONS)) + 0.5
    points = centers[drawn.integers(0, 60, count)] + 0.7 * drawn.normal(size=(count, DIMENSIONS))
    units: Vectors = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return units


def settled(index: SegmentedIndex) -> None:
    while (build := index.start_build(quiet=True)) is not None:
        build.run()
        index.finish_build(build)


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return clusters(1, SIZE)


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "float16"])
def graph(vectors: Vectors, request: pytest.FixtureRequest) -> SegmentedIndex:
    """One graph with lists over all vectors."""
    index = SegmentedIndex(
        DIMENSIONS, float16=request.param, first_graph_vectors=1_000, next_graph_vectors=500
    )
    index.upsert(range(SIZE), vectors)
    settled(index)
    assert (SIZE, SIZE, 0, SIZE, False) == index.collect_stats()[:5]
    width = 2 if request.param else 4
    assert width * DIMENSIONS * SIZE < index.collect_stats().memory_bytes
    return index


@pytest.fixture(scope="module")
def exact(vectors: Vectors) -> ExactIndex:
    index = ExactIndex(DIMENSIONS)
    index.upsert(range(SIZE), vectors)
    return index


def recall(expected: Hits, found: Hits, limit: int) -> float:
    """The share of found hits whose score is among the best `limit`."""
    last = np.sort(expected.scores)[::-1][:limit][-1]
    count = np.count_nonzero(np.sort(found.scores)[::-1][:limit] >= last - ROUNDING)
    return float(count) / min(limit, len(expected.scores))


def test_walks_find_nearly_everything(graph: SegmentedIndex, exact: ExactIndex) -> None:
    """Without a filter the recall of the best ten is at least 0.98, and that of lists too."""
    queries = clusters(2, 200)
    found = zip(exact.search(queries, 10), graph.search(queries, 10), strict=True)
    assert 0.98 <= np.mean([recall(one, other, 10) for one, other in found])
    keys = range(0, SIZE, 30)
    listed = [
        recall(exact.search_by_key(key, 10), graph.search_by_key(key, 10), 10) for key in keys
    ]
    assert 0.98 <= np.mean(listed)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25, 0.1, 0.02, 0.004])
def test_recall_does_not_fall_with_the_filter(
    graph: SegmentedIndex, exact: ExactIndex, share: float
) -> None:
    """However few items a filter keeps, the recall stays at 0.98 and the answer full."""
    allowed = np.random.default_rng(3).random(SIZE) < share
    queries = clusters(4, 100)
    expected = exact.search(queries, 10, (), allowed)
    found = graph.search(queries, 10, (), allowed)
    pairs = list(zip(expected, found, strict=True))
    assert 0.98 <= np.mean([recall(*pair, 10) for pair in pairs])
    assert all(10 <= len(hits.keys) for hits in found)
    assert all(allowed[hits.keys].all() for hits in found)


@pytest.mark.parametrize("subjects", [1, 6, 25])
def test_recall_does_not_fall_where_a_filter_keeps_other_subjects(
    graph: SegmentedIndex, exact: ExactIndex, vectors: Vectors, subjects: int
) -> None:
    """A filter that keeps whole clusters, most of them far from the query, is no harder."""
    centers = vectors[:subjects]
    allowed = (vectors @ centers.T).max(axis=1) > 0.6
    queries = clusters(8, 100)
    pairs = list(
        zip(
            exact.search(queries, 10, (), allowed),
            graph.search(queries, 10, (), allowed),
            strict=True,
        )
    )
    assert 0.98 <= np.mean([recall(*pair, 10) for pair in pairs])
    assert all(10 <= len(hits.keys) for _, hits in pairs)


def test_a_query_that_is_like_nothing_has_an_answer(graph: SegmentedIndex) -> None:
    """Where all scores are the same, as of a zero vector, an answer is full all the same."""
    allowed = np.ones(SIZE, np.bool_)
    allowed[: SIZE // 2] = False
    queries = np.stack([np.zeros(DIMENSIONS, np.float32), clusters(9, 1)[0]])
    for hits in graph.search(queries, 10, (), allowed):
        assert 10 <= len(hits.keys)
        assert allowed[hits.keys].all()


def test_lists_lose_no_ties() -> None:
    """Of items that score the same, lists of neighbors leave none out that a search finds."""
    same = np.repeat(clusters(10, 1), 20, axis=0)
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=500)
    index.upsert(range(2_000), np.concatenate([clusters(11, 1_980), same]))
    settled(index)
    assert 2_000 == index.collect_stats().neighbor_lists
    assert set(range(1_980, 1_999)) == set(index.search_by_key(1_999, 10).keys.tolist())


def test_exact_is_exact(graph: SegmentedIndex, exact: ExactIndex) -> None:
    """Asked to be exact, the graph's answers are those of the exact index, but for rounding."""
    queries = clusters(5, 50)
    for one, other in zip(
        exact.search(queries, 10), graph.search(queries, 10, exact=True), strict=True
    ):
        assert pytest.approx(one.scores.tolist(), abs=ROUNDING) == other.scores.tolist()


def test_the_best_of_a_large_limit_are_found(graph: SegmentedIndex, exact: ExactIndex) -> None:
    """For a limit of 1,000 the recall is 0.98 too, and as many come back."""
    queries = clusters(6, 10)
    for one, other in zip(exact.search(queries, 1_000), graph.search(queries, 1_000), strict=True):
        assert 1_000 <= len(other.keys)
        assert 0.98 <= recall(one, other, 1_000)


def test_a_small_catalog_items_has_no_graph(vectors: Vectors) -> None:
    """Below the threshold nothing is due, above it a graph is."""
    index = SegmentedIndex(DIMENSIONS, first_graph_vectors=1_000, next_graph_vectors=500)
    index.upsert(range(999), vectors[:999])
    assert None is index.start_build(quiet=True)
    index.upsert([999], vectors[999:1_000])
    assert None is not index.start_build(quiet=False)
    assert index.collect_stats().building
    assert None is index.start_build(quiet=False)


def test_churn_leaves_few_void_rows_and_graphs(vectors: Vectors) -> None:
    """While every item is replaced again and again, void rows and the number of graphs stay low."""
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


@pytest.mark.parametrize("rows", [100_000, 1_000_000])
def test_the_planner_walks_wide_and_scans_narrow(rows: int) -> None:
    """A walk for most rows, codes for some, a scan for few or if it must be exact."""
    walk = plan_search(rows, rows, 10, 256, exact=False)
    assert (SearchMethod.GRAPH, GRAPH_BREADTH) == (walk.method, walk.depth)
    assert SearchMethod.PQ_CODES is plan_search(rows, rows // 2, 10, 256, exact=False).method
    assert SearchMethod.PQ_CODES is plan_search(rows, rows // 10, 10, 256, exact=False).method
    assert SearchMethod.SCAN is plan_search(rows, 20, 10, 256, exact=False).method
    assert SearchMethod.SCAN is plan_search(rows, rows, 10, 256, exact=True).method
    assert SearchMethod.SCAN is plan_search(rows, 0, 10, 256, exact=False).method
    assert GRAPH_BREADTH < plan_search(rows, rows, 100, 256, exact=False).depth


def test_no_plan_is_dearer_than_a_scan() -> None:
    """Whatever the filter keeps, the chosen way is estimated to take no longer than a scan."""
    for allowed in (1, 10, 100, 1_000, 10_000, 100_000):
        chosen = plan_search(100_000, allowed, 10, 256, exact=False)
        assert chosen.cost_ns <= plan_search(100_000, allowed, 10, 256, exact=True).cost_ns
