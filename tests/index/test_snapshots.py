from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.clock import FakeClock
from support.item_indexes import run_builds

from service.domain.filters import Condition, Equals, Filter
from service.domain.items import Change
from service.domain.snapshot_files import MANIFEST_FILE
from service.domain.spaces import VectorStorage
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots

pytestmark = pytest.mark.slow

DIMENSIONS = 16
ORIGIN = SnapshotOrigin("store", "space")
STORAGES = [VectorStorage.FLOAT32, VectorStorage.FLOAT16, VectorStorage.INT8]
VECTORS = np.random.default_rng(1).normal(size=(3_000, DIMENSIONS)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


def empty_item_index(storage: VectorStorage = VectorStorage.FLOAT32) -> ItemIndex:
    index = SegmentedIndex(
        DIMENSIONS, storage=storage, first_graph_vectors=1_000, next_graph_vectors=200
    )
    return ItemIndex(index, FakeClock())


def changes(numbers: Sequence[int], vector_from: int = 0) -> list[Change]:
    clock = FakeClock()
    return [
        Change(
            f"i{n}",
            json.dumps({"even": n % 2 == 0, "tags": [f"t{n % 5}"]}),
            (VECTORS[(n + vector_from) % 3_000].tobytes(),) * (1 + (n % 10 == 0)),
            clock.now_us + 1_000 + n if n % 7 == 0 else None,
        )
        for n in numbers
    ]


def filled(storage: VectorStorage = VectorStorage.FLOAT32) -> ItemIndex:
    """An item index with graphs, deleted rows, neighbor lists, gaps and expiring items."""
    item_index = empty_item_index(storage)
    item_index.apply(changes(range(1_500)), 1_500)
    run_builds(item_index.maintenance)
    item_index.apply([Change(f"i{n}", None, (), None) for n in range(0, 60, 3)], 1_520)
    item_index.apply(changes(range(100, 150), vector_from=1), 1_570)
    item_index.apply(changes(range(1_500, 1_600)), 1_670)
    item_index.apply([Change("pending", '{"even": true}', (), None)], 1_671)
    assert item_index.maintenance.collect_stats().deleted_vectors
    return item_index


@pytest.fixture(scope="module")
def unchanged() -> ItemIndex:
    """The filled index, for tests that do not change it."""
    return filled()


def content(item_index: ItemIndex) -> object:
    """Return all that the methods of an item index reveal."""
    evens = Filter(all=(Condition("even", Equals(True)),))
    ids = [f"i{n}" for n in range(1_600)]
    present = [item_id for item_id in ids if item_index.find_key(item_id) is not None]
    vectors = [
        item_index.vectors.get(item_index.find_keys([item_id])).vectors.tolist()
        for item_id in present
    ]
    hits = item_index.vectors.search(VECTORS[:5], 20, exact=True)
    nearest = [item_index.vectors.search_by_key(item_index.find_keys(["i700"])[0], 12)]
    return (
        item_index.sequence,
        present,
        vectors,
        [item_index.rank_hits(result, 20) for result in (*hits, *nearest)],
        item_index.list_ids(evens, "", 2_000),
        len(item_index),
        item_index.maintenance.collect_stats(),
        np.round(item_index.vectors.mean(), 4).tolist(),
    )


def save(folder: Path, item_index: ItemIndex) -> None:
    Snapshots(folder, ORIGIN).save(item_index.capture())


def load(
    folder: Path,
    origin: SnapshotOrigin = ORIGIN,
    last_sequence: int = 9_999,
    storage: VectorStorage = VectorStorage.FLOAT32,
) -> ItemIndex | None:
    item_index = empty_item_index(storage)
    return item_index if Snapshots(folder, origin).load(item_index, last_sequence) else None


def test_a_loaded_index_equals_the_saved_one(tmp_path: Path, unchanged: ItemIndex) -> None:
    """Every method of an item index returns the same after saving and loading a snapshot."""
    save(tmp_path, unchanged)
    again = load(tmp_path)
    assert again is not None
    assert content(unchanged) == content(again)


@pytest.mark.parametrize("storage", STORAGES[1:])
def test_a_loaded_index_of_each_storage_equals_the_saved_one(
    tmp_path: Path, storage: VectorStorage
) -> None:
    """Vectors of every number format are the same after loading, and so are their hits."""
    item_index = filled(storage)
    save(tmp_path, item_index)
    again = load(tmp_path, storage=storage)
    assert again is not None
    assert content(item_index) == content(again)


@pytest.mark.parametrize("kind", ["gone", "cut", "empty", "flipped"])
def test_damaged_bits_of_vectors_drop_a_snapshot(tmp_path: Path, kind: str) -> None:
    """If the bits beside a graph are missing, torn or changed, the snapshot is not used."""
    save(tmp_path, filled(VectorStorage.INT8))
    (path,) = tmp_path.glob("bits-*")
    damage(path, kind)
    assert load(tmp_path, storage=VectorStorage.INT8) is None
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("storage", STORAGES)
def test_a_loaded_index_continues(tmp_path: Path, storage: VectorStorage) -> None:
    """Writes, deletes, expiry and builds continue after loading as they do without."""
    item_index = filled(storage)
    save(tmp_path, item_index)
    again = load(tmp_path, storage=storage)
    assert again is not None
    for index in (item_index, again):
        index.apply(changes(range(1_400, 1_700), vector_from=2), 2_000)
        index.apply([Change(f"i{n}", None, (), None) for n in range(200, 260)], 2_060)
        run_builds(index.maintenance)
    assert content(item_index) == content(again)


def test_writes_while_a_snapshot_is_saved_are_not_in_it(tmp_path: Path) -> None:
    """Later writes do not change a captured state."""
    item_index = filled()
    state, expected = item_index.capture(), content(item_index)
    item_index.apply(changes(range(300, 400), vector_from=5), 1_800)
    item_index.apply([Change(f"i{n}", None, (), None) for n in range(500, 520)], 1_820)
    Snapshots(tmp_path, ORIGIN).save(state)
    again = load(tmp_path)
    assert again is not None
    assert expected == content(again)


def test_there_is_one_snapshot_at_a_time(tmp_path: Path) -> None:
    """A new snapshot replaces the old one, and graphs in both are written once."""
    item_index, snapshots = filled(), Snapshots(tmp_path, ORIGIN)
    snapshots.save(item_index.capture())
    graphs = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("graph-*")}
    assert graphs
    item_index.apply(changes([1_999]), 1_700)
    snapshots.save(item_index.capture())
    assert graphs == {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("graph-*")}
    assert 1 == len(list(tmp_path.glob("arrays-*")))
    assert [] == list(tmp_path.glob("*.tmp"))


def test_a_missing_snapshot_is_no_error(tmp_path: Path) -> None:
    """Loading from an empty or missing folder returns False."""
    assert load(tmp_path / "nowhere") is None
    assert load(tmp_path) is None


@pytest.mark.parametrize(
    "origin", [SnapshotOrigin("other", "space"), SnapshotOrigin("store", "other")]
)
def test_a_foreign_snapshot_is_dropped(
    tmp_path: Path, unchanged: ItemIndex, origin: SnapshotOrigin
) -> None:
    """A snapshot of another store or space is not used, and is removed."""
    save(tmp_path, unchanged)
    assert load(tmp_path, origin) is None
    assert [] == list(tmp_path.iterdir())


def test_a_snapshot_newer_than_the_store_is_dropped(tmp_path: Path, unchanged: ItemIndex) -> None:
    """If the store was reset to an earlier state, the snapshot is not used."""
    save(tmp_path, unchanged)
    assert load(tmp_path, last_sequence=1_670) is None
    assert [] == list(tmp_path.iterdir())


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    if kind == "gone":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[:middle])
    elif kind == "empty":
        path.write_bytes(b"")
    else:
        flipped = bytes([content[middle] ^ 0xFF])
        path.write_bytes(content[:middle] + flipped + content[middle + 1 :])


@pytest.mark.parametrize("kind", ["gone", "cut", "empty", "flipped"])
@pytest.mark.parametrize("file", ["graph-*", "arrays-*", MANIFEST_FILE])
def test_a_damaged_snapshot_is_dropped(
    tmp_path: Path, unchanged: ItemIndex, file: str, kind: str
) -> None:
    """If any file is missing, torn or changed, the snapshot is not used."""
    save(tmp_path, unchanged)
    (path,) = tmp_path.glob(file)
    damage(path, kind)
    assert load(tmp_path) is None
    save(tmp_path, unchanged)
    assert load(tmp_path) is not None
