from __future__ import annotations

import numpy as np
import pytest
from support.item_indexes import create_item_index

from service.domain.vectors import Vectors
from service.recommend.pooled_retrieval import SOURCES, corpus_statistics
from service.recommend.profile import LEAST_WEIGHT, Profile, ProfileText, present
from service.recommend.scoring import SoftMaximum


def units(seed: int, count: int) -> Vectors:
    drawn = np.random.default_rng(seed).normal(size=(count, 16)) + 0.3
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


VIEW = create_item_index({f"i{n}": vector for n, vector in enumerate(units(1, 200))})


def scores(*texts: ProfileText) -> list[float]:
    here = present(Profile(texts=texts), VIEW)
    (_, vectors) = next(VIEW.vectors.iterate_blocks(1_000))
    return [
        float(each) for each in SoftMaximum(here.sources, corpus_statistics(VIEW)).scores(vectors)
    ]


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_saying_it_often_changes_nothing(weight: float) -> None:
    """A taste of many equal chunks counts as much as one that says it once."""
    like, other = ProfileText("like", 1.0, units(2, 1)), units(3, 1)
    once = ProfileText("once", weight, other)
    often = ProfileText("often", weight, np.repeat(other, 100, axis=0))
    assert pytest.approx(scores(like, once), abs=1e-4) == scores(like, often)


def test_so_many_chunks_count_at_most() -> None:
    """Of long texts evenly spread chunks count, the first and the last among them."""
    long = [ProfileText(f"t{n}", 1.0, units(10 + n, 700)) for n in range(3)]
    here = present(Profile(texts=long), VIEW)
    assert SOURCES >= len(here.sources.vectors) >= SOURCES - 3
    assert [SOURCES // 3] * 3 == np.bincount(here.owners).tolist()
    first, last = here.sources.vectors[0], here.sources.vectors[SOURCES // 3 - 1]
    assert first.tolist() == long[0].vectors[0].tolist()
    assert last.tolist() == long[0].vectors[-1].tolist()


def test_weights_are_proportions() -> None:
    """The largest weight counts as 1, whatever it is, and none as nothing."""
    texts = [
        ProfileText(f"t{n}", weight, units(n, 1)) for n, weight in enumerate((4e-30, -1e-30, 1e-45))
    ]
    weights = present(Profile(texts=texts), VIEW).sources.weights
    assert pytest.approx([1.0, -0.25, LEAST_WEIGHT]) == weights.tolist()
