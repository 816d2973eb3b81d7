import numpy as np
import pytest

from service.analysis.neighbors import search_by_products
from service.domain.vectors import Mask, Vectors
from service.index.faiss_segmented import SegmentedIndex


def units(count: int) -> Vectors:
    generator = np.random.default_rng(5)
    raw = generator.integers(-1, 2, size=(count, 6)) + 0.01
    vectors: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return vectors


@pytest.mark.parametrize("share", [None, 0.5, 0.01])
@pytest.mark.parametrize("number", [1, 7, 5_000])
def test_matrix_products_agree_with_brute_force(number: int, share: float | None) -> None:
    """Matrix products give the best keys with their scores, and all ties with the last."""
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
    hits_by_query = search_by_products(index, vectors[:20], number, mask)
    for query, hits in zip(vectors[:20], hits_by_query, strict=True):
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
