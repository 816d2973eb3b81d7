from __future__ import annotations

import numpy as np
import pytest
from support.item_indexes import create_item_index

from service.domain.vectors import Vectors
from service.recommend.profile import (
    MAX_SOURCES,
    MIN_WEIGHT_SHARE,
    Profile,
    ProfileText,
    build_query_vectors,
)
from service.recommend.scoring import SoftMaximum


def units(seed: int, count: int) -> Vectors:
    raw = np.random.default_rng(seed).normal(size=(count, 16)) + 0.3
    unit: Vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return unit


ITEM_INDEX = create_item_index({f"i{n}": vector for n, vector in enumerate(units(1, 200))})


def scores(*texts: ProfileText) -> list[float]:
    query_vectors = build_query_vectors(Profile(texts=texts), ITEM_INDEX)
    (_, vectors) = next(ITEM_INDEX.vectors.iterate_blocks(1_000))
    return [
        float(score)
        for score in SoftMaximum(query_vectors.sources, ITEM_INDEX.compute_statistics()).score(
            vectors
        )
    ]


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_repeating_a_text_does_not_raise_its_weight(weight: float) -> None:
    """A text of many equal chunks counts as much as a text with one of them."""
    like, other = ProfileText("like", 1.0, units(2, 1)), units(3, 1)
    once = ProfileText("once", weight, other)
    often = ProfileText("often", weight, np.repeat(other, 100, axis=0))
    assert pytest.approx(scores(like, once), abs=1e-4) == scores(like, often)


def test_the_number_of_chunks_is_bounded() -> None:
    """Of long texts, evenly spread chunks count, including the first and the last."""
    long = [ProfileText(f"t{n}", 1.0, units(10 + n, 700)) for n in range(3)]
    query_vectors = build_query_vectors(Profile(texts=long), ITEM_INDEX)
    assert MAX_SOURCES >= len(query_vectors.sources.vectors) >= MAX_SOURCES - 3
    assert [MAX_SOURCES // 3] * 3 == np.bincount(query_vectors.owners).tolist()
    first, last = (
        query_vectors.sources.vectors[0],
        query_vectors.sources.vectors[MAX_SOURCES // 3 - 1],
    )
    assert first.tolist() == long[0].vectors[0].tolist()
    assert last.tolist() == long[0].vectors[-1].tolist()


def test_weights_are_scaled_to_the_largest() -> None:
    """The largest weight becomes 1, and the smallest one does not become 0."""
    texts = [
        ProfileText(f"t{n}", weight, units(n, 1)) for n, weight in enumerate((4e-30, -1e-30, 1e-45))
    ]
    weights = build_query_vectors(Profile(texts=texts), ITEM_INDEX).sources.weights
    assert pytest.approx([1.0, -0.25, MIN_WEIGHT_SHARE]) == weights.tolist()
