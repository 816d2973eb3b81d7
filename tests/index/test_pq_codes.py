"""Which lists of PQ codes a filtered search reads."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from service.domain.vectors import Vectors
from service.index.faiss_pq_codes import MAX_FAR_CODES, AllowedRows, PQCodes, RankedLists
from service.index.faiss_row_vectors import FloatVectors
from service.index.planner import CodeTargets, count_compared_rows

LISTS, ROWS = 100, 1_000


def rank(allowed_counts: list[int], nearest: float = 1.0, near: float = 1.0) -> RankedLists:
    """Lists of the same size, nearest first."""
    counts = np.array(allowed_counts, np.int64)
    sizes = np.full(len(counts), ROWS, np.int64)
    numbers = np.arange(len(counts), dtype=np.int64)
    return RankedLists(numbers, np.zeros(len(counts), np.float32), counts, sizes, nearest, near)


def count_read(ranked: RankedLists, targets: CodeTargets) -> int:
    """The number of lists that are read."""
    return int(np.count_nonzero(ranked.choose(targets)))


def test_lists_are_read_until_enough_codes_and_enough_allowed_ones() -> None:
    """The nearest lists are read up to the target, and beyond while too few rows are allowed."""
    assert 10 == count_read(rank([500] * LISTS), CodeTargets(10 * ROWS, 100))
    assert 40 == count_read(rank([50] * LISTS), CodeTargets(10 * ROWS, 2_000))
    assert LISTS == count_read(rank([1] * LISTS), CodeTargets(10 * ROWS, 2_000))


def test_more_is_read_where_fewer_rows_are_allowed_than_elsewhere() -> None:
    """Half the allowed share around the query doubles what is read, up to four times."""
    targets = CodeTargets(10 * ROWS, 0)
    assert 20 == count_read(rank([500] * LISTS, nearest=0.5), targets)
    assert 40 == count_read(rank([500] * LISTS, nearest=0.0), targets)


def test_a_far_query_reads_all_lists_with_allowed_rows() -> None:
    """The order of lists means little then, so that it does not end the search before a bound."""
    targets = CodeTargets(ROWS, 0)
    few = rank([0, 10] * (LISTS // 2), near=0.1)
    assert LISTS // 2 == count_read(few, targets)
    many = rank([MAX_FAR_CODES // 10] * LISTS, near=0.1)
    assert 10 == count_read(many, targets)


@pytest.mark.parametrize("limit", [1, 10, 50, 1_000])
def test_there_are_enough_rows_for_the_results(limit: int) -> None:
    """However few codes are compared, several rows for each result are compared in full."""
    assert count_compared_rows(0, limit) >= 10 * limit
    assert count_compared_rows(10_000, limit) >= count_compared_rows(1_000, limit)


def test_codes_find_what_is_near_and_allowed(unit_vectors: Vectors) -> None:
    """All rows with the best scores are among those that the codes select, near or far."""
    index = faiss.IndexFlatIP(unit_vectors.shape[1])
    index.add(unit_vectors)
    codes = PQCodes.encode(FloatVectors(index))
    allowed = AllowedRows(np.arange(len(unit_vectors)) % 3 == 0, 0, codes)
    for query in unit_vectors[:20]:
        ranked = codes.rank_lists(query, allowed)
        found = codes.find_nearest(query, 10, ranked, allowed)
        assert not np.any(found % 3)
        scores = np.where(allowed.mask, unit_vectors @ query, -1.0)
        best = np.argsort(-scores)[:10]
        assert 9 <= np.isin(best, found).sum()


@pytest.fixture(scope="module")
def unit_vectors() -> Vectors:
    """Vectors in 40 groups."""
    drawn = np.random.default_rng(1)
    centers = drawn.normal(size=(40, 32))
    vectors = centers[drawn.integers(40, size=6_000)] + 0.5 * drawn.normal(size=(6_000, 32))
    units: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return units
