"""The sample of a catalog's vectors that stands for all of them."""

import random
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from support.clock import FakeClock
from support.item_indexes import run_builds

from service.domain.items import Change
from service.index.corpus_sample import CORPUS_SAMPLE_VECTORS, CorpusSample
from service.index.faiss_exact import ExactIndex
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.index.vector_index import VectorIndex

DIMENSIONS = 4
SIZE = 16

Vectors = NDArray[np.float32]


def create_segmented_index() -> VectorIndex:
    """Return an index that builds graphs of a few vectors."""
    return SegmentedIndex(DIMENSIONS, first_graph_vectors=20, next_graph_vectors=10)


def create_exact_index() -> VectorIndex:
    """Return an index without graphs."""
    return ExactIndex(DIMENSIONS)


def draw_vectors(item_id: str, version: int, count: int) -> Vectors:
    """Return vectors of an item, which differ from those of any other version."""
    numbers = np.random.default_rng([*item_id.encode(), version])
    vectors = numbers.standard_normal((count, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


class Sampled:
    """A vector index with a small sample of its vectors."""

    def __init__(self, index: VectorIndex) -> None:
        self._ids: list[str] = []
        self.index = index
        self.sample = CorpusSample(index, self._get_ids, SIZE)

    def replace(self, vectors: Mapping[str, Vectors]) -> None:
        """Write the vectors of some items in one step."""
        owners = []
        for item_id, of_item in vectors.items():
            if item_id not in self._ids:
                self._ids.append(item_id)
            owners += [self._ids.index(item_id)] * len(of_item)
        self.index.upsert(owners, np.concatenate(list(vectors.values())))
        self.sample.replace(owners)

    def discard(self, item_ids: Iterable[str]) -> None:
        """Remove some items."""
        keys = [self._ids.index(item_id) for item_id in item_ids]
        self.index.delete(keys)
        self.sample.discard(keys)

    def _get_ids(self, keys: Iterable[int]) -> list[str]:
        return [self._ids[key] for key in keys]


def sort_rows(vectors: Vectors) -> Vectors:
    """Return vectors in an order that depends on nothing else."""
    return vectors[np.lexsort(vectors.T)]


@pytest.mark.parametrize("create", [create_exact_index, create_segmented_index])
@pytest.mark.parametrize("seed", range(6))
def test_depends_on_the_content_alone(seed: int, create: Callable[[], VectorIndex]) -> None:
    """After any writes, the sample is that of an index that got the same items in another order."""
    choices = random.Random(seed)
    sampled = Sampled(create())
    content: dict[str, Vectors] = {}
    for version in range(40):
        drawn = [f"i{number}" for number in choices.sample(range(60), choices.randrange(1, 8))]
        if choices.random() < 0.4:
            gone = [item_id for item_id in drawn if content.pop(item_id, None) is not None]
            sampled.discard(gone)
        else:
            written = {
                item_id: draw_vectors(item_id, version, choices.choice((1, 1, 1, 2, 5)))
                for item_id in drawn
            }
            content |= written
            sampled.replace(written)
        if choices.random() < 0.3:
            run_builds(sampled.index)
        if choices.random() < 0.7:
            continue  # so that several writes come between two reads
        other = Sampled(create_exact_index())
        for item_id in choices.sample(list(content), len(content)):
            other.replace({item_id: content[item_id]})
        sample = sampled.sample.read()
        assert len(sample) == min(SIZE, sum(map(len, content.values())))
        assert np.array_equal(sort_rows(sample), sort_rows(other.sample.read()))
        everything = {vector.tobytes() for of_item in content.values() for vector in of_item}
        assert {vector.tobytes() for vector in sample} <= everything


def test_large_samples_have_one_order() -> None:
    """Two indexes with more vectors than the sample have equal samples in equal order."""
    content = {f"i{number}": draw_vectors(f"i{number}", 0, 3) for number in range(50)}
    forwards, backwards = Sampled(create_exact_index()), Sampled(create_exact_index())
    for item_id, vectors in content.items():
        forwards.replace({item_id: vectors})
    backwards.replace(dict(reversed(content.items())))
    assert np.array_equal(forwards.sample.read(), backwards.sample.read())


def test_each_vector_has_the_same_chance() -> None:
    """Of items with many vectors, the sample has as many as their share of all vectors."""
    sampled = Sampled(create_exact_index())
    shares = []
    for trial in range(100):
        long = draw_vectors(f"long{trial}", 0, 100)
        short = {f"s{trial}-{n}": draw_vectors(f"s{trial}-{n}", 0, 1) for n in range(100)}
        sampled.replace({f"long{trial}": long, **short})
        sample = {vector.tobytes() for vector in sampled.sample.read()}
        shares.append(len(sample & {vector.tobytes() for vector in long}) / SIZE)
        sampled.discard([f"long{trial}", *short])
    # Four times the deviation of 1,600 draws of which half are long.
    assert abs(np.mean(shares) - 0.5) < 4 * 0.5 / np.sqrt(100 * SIZE)


def make_changes(item_ids: Iterable[str], version: int = 0) -> list[Change]:
    """Return changes that write one vector of each item."""
    return [
        Change(item_id, "{}", (draw_vectors(item_id, version, 1).tobytes(),), None)
        for item_id in item_ids
    ]


def test_catalogs_and_their_copies_have_the_same_sample() -> None:
    """A catalog's sample is that of its copy, of its snapshot, and follows pending items."""
    ids = [f"item-{number}" for number in range(CORPUS_SAMPLE_VECTORS + 900)]
    original = ItemIndex(create_exact_index(), FakeClock())
    for start in range(0, len(ids), 1_000):
        original.apply(make_changes(ids[start : start + 1_000]), start + 1)
    before = original.sample.read().copy()
    rewritten, pending, deleted = ids[:300], ids[300:600], ids[600:900]
    original.apply(make_changes(rewritten, version=1), len(ids) + 1)
    original.apply([Change(item_id, "{}", (), None) for item_id in pending], len(ids) + 2)
    original.apply([Change(item_id, None, (), None) for item_id in deleted], len(ids) + 3)

    copy = ItemIndex(create_exact_index(), FakeClock())
    copy.apply(make_changes(reversed(ids[900:])) + make_changes(rewritten, version=1), 1)
    restored = ItemIndex(create_exact_index(), FakeClock())
    restored.restore(original.capture(), {})

    sample = original.sample.read()
    assert len(sample) == CORPUS_SAMPLE_VECTORS
    assert not np.array_equal(before, sample)
    assert np.array_equal(sample, copy.sample.read())
    assert np.array_equal(sample, restored.sample.read())
