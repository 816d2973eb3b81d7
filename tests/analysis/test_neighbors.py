import numpy as np
import pytest

from service.analysis.neighbors import compared
from service.domain.vectors import Mask, Vectors
from service.index.faiss_segmented import SegmentedIndex


def units(count: int) -> Vectors:
    drawn = np.random.default_rng(5)
    raw = drawn.integers(-1, 2, size=(count, 6)) + 0.01
    vectors: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return vectors


@pytest.mark.parametrize("share", [None, 0.5, 0.01])
@pytest.mark.parametrize("number", [1, 7, 5_000])
def test_products_find_what_a_search_finds(number: int, share: float | None) -> None:
    """Comparing all in products gives the best keys with their scores, and ties of the last."""
    vectors = units(3_000)
    index = SegmentedIndex(6, first_graph_vectors=1_000)
    index.upsert(list(range(2_000)), vectors[:2_000])
    build = index.start_build(quiet=True)
    assert build is not None
    build.run()
    index.finish_build(build)
    index.upsert(list(range(2_000, 3_000)), vectors[2_000:])
    mask: Mask | None = None
    if share is not None:
        mask = np.random.default_rng(6).random(3_000) < share
    found = compared(index, vectors[:20], number, mask)
    for query, hits in zip(vectors[:20], found, strict=True):
        scores = vectors @ query
        if mask is not None:
            scores[~mask] = -np.inf
        last = np.sort(scores)[::-1][: min(number, np.isfinite(scores).sum())].min()
        expected = set(np.flatnonzero(scores >= last + 1e-6).tolist())
        assert expected <= set(hits.keys.tolist())
        assert (hits.scores >= last - 1e-6).all()
        assert sorted(hits.scores.tolist(), reverse=True) == hits.scores.tolist()
        assert len(set(hits.keys.tolist())) == len(hits.keys)
        assert len(hits.keys) >= min(number, np.isfinite(scores).sum())
