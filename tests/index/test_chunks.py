from pathlib import Path

import numpy as np
import pytest
from support.item_indexes import run_builds

from service.domain.vectors import Vectors
from service.index.faiss_exact import ExactIndex
from service.index.faiss_segmented import SegmentedIndex
from service.index.vector_index import IndexState, VectorIndex

DIMENSIONS = 8
KEYS = 40


def reopen(index: VectorIndex, empty: VectorIndex, folder: Path) -> VectorIndex:
    """Return an index restored from another one's captured state."""
    state = index.capture()
    paths = {name: folder / name for name in state.files}
    for name, file in state.files.items():
        file.write(paths[name])
    empty.restore(IndexState(dict(state.arrays), {}), paths)
    return empty


def check(index: VectorIndex, expected: dict[int, Vectors]) -> None:
    assert sorted(expected) == sorted(index.keys().tolist())
    owned = index.get(list(expected))
    for place, chunks in enumerate(expected.values()):
        assert chunks.tolist() == owned.vectors[owned.owners == place].tolist()


@pytest.mark.parametrize("segmented", [False, True])
def test_chunks_keep_their_order(tmp_path: Path, *, segmented: bool) -> None:
    """A key's vectors keep the order of its upsert through churn, builds and snapshots."""

    def empty() -> VectorIndex:
        if segmented:
            return SegmentedIndex(DIMENSIONS, first_graph_vectors=30, next_graph_vectors=30)
        return ExactIndex(DIMENSIONS)

    drawn = np.random.default_rng(1)
    index = empty()
    expected: dict[int, Vectors] = {}
    for step in range(200):
        key = int(drawn.integers(KEYS))
        if drawn.random() < 0.3:
            index.delete([key])
            expected.pop(key, None)
        else:
            raw = drawn.normal(size=(int(drawn.integers(1, 6)), DIMENSIONS))
            units = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
            index.upsert([key] * len(units), units)
            expected[key] = units
        if step % 20 == 19:
            check(index, expected)
            folder = tmp_path / str(step)
            folder.mkdir()
            index = reopen(index, empty(), folder)
            check(index, expected)
            run_builds(index)
            check(index, expected)
