from collections.abc import Callable, Collection, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.item_indexes import run_builds

from service.domain.vectors import Vectors
from service.index.faiss_exact import MAX_DROPPED_ROWS, ExactIndex
from service.index.faiss_segmented import SegmentedIndex
from service.index.vector_index import Build, Hits, VectorIndex, merge_hits

pytestmark = pytest.mark.slow

Factory = Callable[[int], VectorIndex]


class SettledIndex(SegmentedIndex):
    """A segmented index that builds everything into graphs at once."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions, first_graph_vectors=1, next_graph_vectors=1)

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Write, and run all builds."""
        super().upsert(keys, vectors)
        run_builds(self)


class BuildingIndex(SegmentedIndex):
    """A segmented index with a build always running over all but the last write."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions, first_graph_vectors=1, next_graph_vectors=1)
        self._running_build: Build | None = None

    def upsert(self, keys: Sequence[int], vectors: Vectors) -> None:
        """Write during a build, finish it, and start the next one."""
        super().upsert(keys, vectors)
        if self._running_build is not None:
            self._running_build.run()
            self.finish_build(self._running_build)
        self._running_build = self.start_build(quiet=False)


FACTORIES: list[Factory] = [ExactIndex, SegmentedIndex, SettledIndex, BuildingIndex]

# The 16 unit vectors of a 4-dimensional cube: their products are exact, and many are ties.
SIGNS: Vectors = np.array(list(product((-0.5, 0.5), repeat=4)), np.float32)

Steps = list[tuple[dict[int, int], list[int]]]

every_index = pytest.mark.parametrize("factory", FACTORIES)


class BruteForce:
    """The model of an index: a dictionary and a full comparison."""

    def __init__(self, vectors: dict[int, Vectors] | None = None) -> None:
        self.vectors = vectors or {}

    def best(self, query: Vectors, limit: int, exclude: Collection[int]) -> list[tuple[int, float]]:
        """The best keys with their scores, all that tie with the last place among them."""
        scored = {
            key: float(np.dot(vector, query))
            for key, vector in self.vectors.items()
            if key not in exclude
        }
        ranked = sorted(scored.values(), reverse=True)
        if not limit or not ranked:
            return []
        last = ranked[min(limit, len(ranked)) - 1]
        return sorted((key, score) for key, score in scored.items() if score >= last)

    def mean(self) -> Vectors:
        """The mean of all vectors, in double precision."""
        stacked = np.stack(list(self.vectors.values())).astype(np.float64)
        mean: Vectors = stacked.mean(axis=0)
        return mean


def units(seed: int, count: int, dimensions: int) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, dimensions))
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def filled(factory: Factory, vectors: Vectors) -> VectorIndex:
    """An index with keys that are not row numbers: 7, 17, 27 and so on."""
    index = factory(vectors.shape[1])
    index.upsert(keys_of(len(vectors)), vectors)
    return index


def keys_of(count: int) -> list[int]:
    return [10 * number + 7 for number in range(count)]


def pairs_of(hits: Hits) -> list[tuple[int, float]]:
    assert np.all(np.diff(hits.scores) <= 0)
    return sorted(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))


@every_index
def test_an_empty_index_finds_nothing(factory: Factory) -> None:
    """An empty index has no hits for any query and a mean of zeros."""
    index = factory(4)
    assert 0 == len(index)
    assert 4 == index.dimensions
    assert [[], []] == [pairs_of(hits) for hits in index.search(SIGNS[:2], 5, {1})]
    np.testing.assert_array_equal(np.zeros(4, np.float32), index.mean())
    index.delete([1])


@every_index
def test_an_empty_upsert_and_delete_change_nothing(factory: Factory) -> None:
    """Empty writes are no error, whether the index is empty or not."""
    index = factory(4)
    for size in (0, 16):
        index.upsert([], np.empty((0, 4), np.float32))
        index.delete([])
        assert size == len(index)
        index.upsert(keys_of(16), SIGNS)


@every_index
@pytest.mark.parametrize("limit", [0, 1, 10, 999, 1_000, 1_001, 5_000])
def test_the_nearest_are_found(factory: Factory, limit: int) -> None:
    """The nearest keys come back best first with their cosines, all keys if the limit is larger."""
    vectors = units(1, 1_000, 24)
    index = filled(factory, vectors)
    oracle = BruteForce(dict(zip(keys_of(1_000), vectors, strict=True)))
    query = units(2, 1, 24)
    (hits,) = index.search(query, limit)
    expected = oracle.best(query[0], limit, ())
    assert [key for key, _ in expected] == [key for key, _ in pairs_of(hits)]
    scores = [score for _, score in pairs_of(hits)]
    np.testing.assert_allclose([score for _, score in expected], scores, atol=1e-6)


@every_index
@pytest.mark.parametrize("queries", [1, 2, 19, 20, 64])
def test_a_batch_finds_what_each_query_finds(factory: Factory, queries: int) -> None:
    """A batch of queries gives each its own hits, in order."""
    index = filled(factory, units(3, 500, 24))
    batch = units(4, queries, 24)
    expected = [pairs_of(index.search(query[None], 10)[0]) for query in batch]
    for alone, together in zip(expected, index.search(batch, 10), strict=True):
        assert [key for key, _ in alone] == [key for key, _ in pairs_of(together)]
        scores = [score for _, score in pairs_of(together)]
        np.testing.assert_allclose([score for _, score in alone], scores, atol=1e-6)


@every_index
@pytest.mark.parametrize(
    "count", [1, MAX_DROPPED_ROWS - 1, MAX_DROPPED_ROWS, MAX_DROPPED_ROWS + 1, 290, 300]
)
def test_excluded_keys_leave_their_places_to_others(factory: Factory, count: int) -> None:
    """The next nearest keys replace excluded ones, however many are excluded."""
    vectors = units(5, 300, 24)
    index = filled(factory, vectors)
    oracle = BruteForce(dict(zip(keys_of(300), vectors, strict=True)))
    query = units(6, 1, 24)
    nearest_first = index.search(query, 300)[0].keys.tolist()
    exclude = set(nearest_first[:count])
    (hits,) = index.search(query, 10, exclude)
    expected = [key for key, _ in oracle.best(query[0], 10, exclude)]
    assert expected == [key for key, _ in pairs_of(hits)]
    assert min(10, 300 - count) == len(hits.keys)


@every_index
@pytest.mark.parametrize("strangers", [3, 10 * MAX_DROPPED_ROWS])
def test_excluding_missing_keys_changes_nothing(factory: Factory, strangers: int) -> None:
    """Excluding keys that the index does not have changes nothing."""
    index = filled(factory, units(7, 50, 24))
    query = units(8, 1, 24)
    (expected,) = index.search(query, 5)
    (hits,) = index.search(query, 5, list(range(1_000_000, 1_000_000 + strangers)))
    assert pairs_of(expected) == pairs_of(hits)


@every_index
@pytest.mark.parametrize("excluded", [0, 5, MAX_DROPPED_ROWS + 5])
@pytest.mark.parametrize("queries", [1, 32])
def test_all_ties_of_the_last_place_come_back(
    factory: Factory, excluded: int, queries: int
) -> None:
    """If many keys share one vector, either all of them are hits or none."""
    vectors = units(9, 400, 24)
    vectors[100:300] = units(10, 1, 24)
    index = filled(factory, vectors)
    twins = set(keys_of(400)[100:300])
    exclude = keys_of(400)[100 : 100 + excluded]
    batch = np.repeat(vectors[150][None], queries, axis=0)
    for limit in (1, 2, 50, 200 - excluded):
        for hits in index.search(batch, limit, exclude):
            assert twins.difference(exclude) == set(hits.keys.tolist())
    for hits in index.search(batch, 201 - excluded, exclude):
        assert 201 - excluded == len(hits.keys)


@every_index
def test_queries_of_any_length_are_ranked_alike(factory: Factory) -> None:
    """A longer query finds the same keys, with inner products as scores."""
    index = filled(factory, units(11, 100, 24))
    query = units(12, 1, 24)
    ((keys, scores),), ((longer_keys, longer_scores),) = (
        index.search(query, 7),
        index.search(4 * query, 7),
    )
    np.testing.assert_array_equal(keys, longer_keys)
    np.testing.assert_allclose(4 * scores, longer_scores, rtol=1e-5)


@every_index
def test_vectors_come_back_in_the_order_asked_for(factory: Factory) -> None:
    """The vectors of keys come back in the order of the request, with repeated keys repeated."""
    index = filled(factory, SIGNS)
    np.testing.assert_array_equal(SIGNS[[3, 0, 3]], index.get([37, 7, 37]).vectors)
    assert (0, 4) == index.get([]).vectors.shape


@every_index
def test_returned_vectors_are_copies(factory: Factory) -> None:
    """Changing returned vectors, or vectors after their upsert, does not change the index."""
    put_in = SIGNS.copy()
    index = filled(factory, put_in)
    index.get([7]).vectors[:] = 9
    put_in[:] = 9
    np.testing.assert_array_equal(SIGNS, index.get(keys_of(16)).vectors)


@every_index
def test_missing_keys_are_errors(factory: Factory) -> None:
    """Getting the vector of a missing or deleted key raises KeyError."""
    index = filled(factory, SIGNS)
    index.delete([17])
    for missing in (17, 8):
        with pytest.raises(KeyError):
            index.get([7, missing])


@every_index
def test_vectors_are_compared_in_number_and_order(factory: Factory) -> None:
    """An index knows whether a key has certain vectors, also of a key that it does not have."""
    index = factory(4)
    index.upsert([7, 7, 8], SIGNS[:3])
    assert index.has_vectors(7, SIGNS[:2])
    assert index.has_vectors(8, SIGNS[2:3])
    assert not index.has_vectors(7, SIGNS[1::-1])
    assert not index.has_vectors(7, SIGNS[:1])
    assert not index.has_vectors(8, SIGNS[3:4])
    index.delete([8])
    assert not index.has_vectors(8, SIGNS[2:3])
    assert not index.has_vectors(9, SIGNS[2:3])


@every_index
def test_the_mean_survives_churn(factory: Factory) -> None:
    """After thousands of changes the mean is exact, and zeros once the index is empty."""
    index, oracle = factory(24), BruteForce()
    random = np.random.default_rng(14)
    # Numbers of very different sizes, whose sums must be rounded.
    vectors = units(13, 4_000, 24) * (10.0 ** random.integers(-12, 1, (4_000, 24)))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for step in range(400):
        batch = vectors[10 * step : 10 * step + 10]
        keys = random.choice(60, 10, replace=False).tolist()
        gone = random.choice(60, 4, replace=False).tolist()
        index.upsert(keys, batch)
        index.delete(gone)
        oracle.vectors.update(zip(keys, batch, strict=True))
        for key in gone:
            oracle.vectors.pop(key, None)
    np.testing.assert_allclose(oracle.mean(), index.mean(), atol=1e-6)
    index.delete(range(60))
    np.testing.assert_array_equal(np.zeros(24, np.float32), index.mean())


def test_the_cost_is_that_of_all_comparisons() -> None:
    """An exact search costs a multiply-add for each query, vector and dimension."""
    index = filled(ExactIndex, SIGNS)
    assert 3 * 16 * 4 == index.estimate_cost(3)


changes = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 90), st.integers(0, 15), max_size=40),
        st.lists(st.integers(0, 90), max_size=30),
    ),
    max_size=8,
)


@every_index
@settings(max_examples=150, deadline=None)
@given(
    steps=changes,
    query=st.integers(0, 15),
    limit=st.integers(0, 100),
    exclude=st.sets(st.integers(0, 95), max_size=95),
)
def test_an_index_behaves_as_its_model(
    factory: Factory, steps: Steps, query: int, limit: int, exclude: set[int]
) -> None:
    """After any changes size, vectors, mean and hits are those of a plain dictionary."""
    index, oracle = factory(4), BruteForce()
    for upserted, deleted in steps:
        index.upsert(list(upserted), SIGNS[list(upserted.values())])
        index.delete(deleted)
        oracle.vectors |= {key: SIGNS[number] for key, number in upserted.items()}
        for key in deleted:
            oracle.vectors.pop(key, None)
    assert len(oracle.vectors) == len(index)
    for key, vector in oracle.vectors.items():
        np.testing.assert_array_equal(vector[None], index.get([key]).vectors)
    if oracle.vectors:
        np.testing.assert_allclose(oracle.mean(), index.mean(), atol=1e-7)
    for number in (query, 15 - query):
        (hits,) = index.search(SIGNS[number][None], limit, exclude)
        assert oracle.best(SIGNS[number], limit, exclude) == pairs_of(hits)


@every_index
def test_vectors_are_counted(factory: Factory) -> None:
    """The vector count includes every vector of a key with several, and no deleted one."""
    index = factory(4)
    index.upsert([number // 2 for number in range(16)], SIGNS)
    index.delete([3, 3, 99])
    index.upsert([4], SIGNS[:1])
    assert 7 == len(index)
    assert 13 == index.vector_count == index.collect_stats().vectors


@every_index
@pytest.mark.parametrize("share", [0.0, 0.003, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("limit", [1, 10, 400])
def test_only_allowed_keys_are_found(factory: Factory, share: float, limit: int) -> None:
    """With a mask the nearest allowed keys come back, ties included."""
    vectors = units(31, 300, 24)
    index = filled(factory, vectors)
    allowed = np.random.default_rng(32).random(keys_of(300)[-1] + 1) < share
    vectors_allowed = {
        key: vector for key, vector in zip(keys_of(300), vectors, strict=True) if allowed[key]
    }
    query = units(33, 1, 24)
    (hits,) = index.search(query, limit, allowed=allowed)
    expected = [key for key, _ in BruteForce(vectors_allowed).best(query[0], limit, ())]
    assert expected == [key for key, _ in pairs_of(hits)]


@every_index
def test_a_mask_and_excluded_keys_go_together(factory: Factory) -> None:
    """A key is a hit only if it is allowed and not excluded, also one with several chunks."""
    index = factory(4)
    index.upsert([number // 2 for number in range(16)], SIGNS)
    allowed = np.array([True, True, False, True, False, True, True, True])
    for query in SIGNS:
        (hits,) = index.search(query[None], 10, {0, 7}, allowed)
        assert {1, 3, 5, 6} == set(hits.keys.tolist())
        assert 4 == len(hits.keys)


@every_index
def test_a_key_is_there_between_upsert_and_delete(factory: Factory) -> None:
    """A key is in the index after its upsert and not after its delete."""
    index = filled(factory, SIGNS)
    assert [True, False] == [7 in index, 8 in index]
    index.delete([7])
    assert 7 not in index


@every_index
@pytest.mark.parametrize("limit", [1, 10, 31, 200])
def test_the_nearest_to_a_key_leave_it_out(factory: Factory, limit: int) -> None:
    """The nearest keys to a key are those to its vector, except itself and excluded keys."""
    vectors = units(35, 300, 24)
    index = filled(factory, vectors)
    vectors_by_key = dict(zip(keys_of(300), vectors, strict=True))
    for number in range(0, 300, 30):
        own = keys_of(300)[number]
        exclude = {keys_of(300)[(number + step) % 300] for step in (1, 2, 3)}
        expected = BruteForce(vectors_by_key).best(vectors[number], limit, {own, *exclude})
        hits = index.search_by_key(own, limit, exclude)
        assert [key for key, _ in expected] == sorted(hits.keys.tolist())[: len(expected)]
        scores = dict(zip(hits.keys.tolist(), hits.scores.tolist(), strict=True))
        assert pytest.approx(dict(expected), abs=1e-6) == scores


@every_index
def test_the_nearest_to_a_key_follow_every_write(factory: Factory) -> None:
    """The next search by key reflects every delete, upsert and mask."""
    vectors = units(36, 400, 24)
    index = filled(factory, vectors[:300])
    oracle = BruteForce(dict(zip(keys_of(300), vectors[:300], strict=True)))
    for step in range(100):
        gone, replaced = keys_of(300)[step], keys_of(300)[step + 100]
        index.delete([gone])
        oracle.vectors.pop(gone)
        index.upsert([replaced], vectors[300 + step : 301 + step])
        oracle.vectors[replaced] = vectors[300 + step]
        own = keys_of(300)[200 + step]
        expected = oracle.best(oracle.vectors[own], 10, {own})
        assert [key for key, _ in expected] == sorted(index.search_by_key(own, 10).keys.tolist())
        allowed = np.arange(keys_of(300)[-1] + 1) % 20 != 7
        passing = {key: vector for key, vector in oracle.vectors.items() if allowed[key]}
        expected = BruteForce(passing).best(oracle.vectors[own], 10, {own})
        hits = index.search_by_key(own, 10, (), allowed)
        assert [key for key, _ in expected] == sorted(hits.keys.tolist())


@every_index
def test_many_vectors_of_a_key_search_with_a_part_of_them(factory: Factory) -> None:
    """A key with very many vectors has the nearest keys to 256 that are evenly spread over them."""
    vectors = units(37, 1_300, 24)
    many, others = vectors[:1_000], vectors[1_000:]
    index = factory(24)
    *keys, own = keys_of(301)
    index.upsert([*keys, *[own] * 1_000], np.concatenate([others, many]))
    queries = many[np.linspace(0, 999, 256).astype(int)]
    expected = merge_hits(index.search(queries, 300, {own}))
    hits = index.search_by_key(own, 300)
    assert expected.keys.tolist() == hits.keys.tolist()
    assert pytest.approx(expected.scores, abs=1e-6) == hits.scores
