import errno
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs
from support.disks import created_with_mode_mask, largest_file, modes

from service.domain.snapshot_files import MANIFEST_FILE
from service.domain.spaces import VectorStorage
from service.files import NoRoomError, replace_file
from service.index.faiss_files import write_faiss_index
from service.index.faiss_graph_storage import create_graph
from service.index.faiss_segmented import SegmentedIndex
from service.index.item_index import ItemIndex, ItemIndexState
from service.index.snapshot_manifest import SnapshotOrigin
from service.index.snapshots import Snapshots
from service.index.vector_index import StateFile

DIMENSIONS = 16
ORIGIN = SnapshotOrigin("store", "space")
GRAPH = f"graph-{'a' * 32}.faiss"
OTHER_GRAPH = f"graph-{'b' * 32}.faiss"
MEGABYTE = 2**20


def state(sequence: int, arrays_bytes: int, files: Mapping[str, int]) -> ItemIndexState:
    """Return a state with one array, and with files of these sizes."""

    def file(size_bytes: int) -> StateFile:
        return StateFile(size_bytes, lambda path: write(path, size_bytes))

    return ItemIndexState(
        sequence,
        {"vectors": np.zeros(arrays_bytes // 4, np.float32)},
        {name: file(size_bytes) for name, size_bytes in files.items()},
    )


def write(path: Path, size_bytes: int) -> None:
    with path.open("wb") as file:
        file.write(bytes(size_bytes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def saved_index(folder: Path) -> ItemIndex:
    """Save a snapshot of an empty index."""
    item_index = empty_index()
    item_index.sequence = 7
    Snapshots(folder, ORIGIN).save(item_index.capture())
    return item_index


def empty_index() -> ItemIndex:
    return ItemIndex(SegmentedIndex(DIMENSIONS), lambda: 0)


@pytest.mark.parametrize("files", [{GRAPH: 100}, {GRAPH: 100, OTHER_GRAPH: 2 * MEGABYTE}])
@pytest.mark.parametrize("arrays_bytes", [2 * MEGABYTE, 100])
def test_a_failed_snapshot_leaves_nothing(
    tmp_path: Path, files: Mapping[str, int], arrays_bytes: int
) -> None:
    """If any file of a snapshot cannot be written, the folder has what it had before."""
    if arrays_bytes == 100 and len(files) == 1:
        files = {GRAPH: 2 * MEGABYTE}
    snapshots = Snapshots(tmp_path, ORIGIN)
    for _ in range(3):
        with largest_file(MEGABYTE), pytest.raises(OSError, match="File too large"):
            snapshots.save(state(1, arrays_bytes, files))
        assert [] == list(tmp_path.iterdir())
    snapshots.save(state(1, 100, {GRAPH: 100}))
    before = contents(tmp_path)
    with largest_file(MEGABYTE), pytest.raises(OSError, match="File too large"):
        snapshots.save(state(2, 2 * MEGABYTE, {GRAPH: 100, OTHER_GRAPH: 100}))
    assert before == contents(tmp_path)
    snapshots.save(state(2, 2 * MEGABYTE, {GRAPH: 100, OTHER_GRAPH: 100}))
    assert {GRAPH, OTHER_GRAPH, MANIFEST_FILE} < contents(tmp_path).keys()


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_any_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    """Whatever ends the writing of a file, neither it nor the files before it stay."""

    def fail(path: Path) -> None:
        write(path, 100)
        raise error

    failing = state(1, 100, {GRAPH: 100})
    files = {**failing.files, OTHER_GRAPH: StateFile(100, fail)}
    with pytest.raises(error):
        Snapshots(tmp_path, ORIGIN).save(failing._replace(files=files))
    assert [] == list(tmp_path.iterdir())


def test_a_snapshot_is_not_begun_without_room(tmp_path: Path) -> None:
    """A snapshot that leaves less than the reserve free is refused before a byte is written."""
    snapshots = Snapshots(tmp_path, ORIGIN)
    free = shutil.disk_usage(tmp_path).free
    for arrays_bytes, files, reserve_bytes in (
        (100, {}, free + MEGABYTE),
        (100, {GRAPH: free + MEGABYTE}, 0),
        (100, {GRAPH: free // 2 + MEGABYTE}, free // 2 + MEGABYTE),
    ):
        with pytest.raises(NoRoomError, match="are free") as caught:
            snapshots.save(state(1, arrays_bytes, files), reserve_bytes)
        assert errno.ENOSPC == caught.value.errno
        assert [] == list(tmp_path.iterdir())
    snapshots.save(state(1, 100, {GRAPH: 100}))
    # A file that is on disk already needs no room again.
    again = state(2, 100, {GRAPH: 100})
    huge = {GRAPH: again.files[GRAPH]._replace(size_bytes=2 * free)}
    snapshots.save(again._replace(files=huge))


@pytest.mark.parametrize("missing_bytes", [1, 100, 5_000, 400_000])
def test_a_cut_graph_is_an_error(tmp_path: Path, missing_bytes: int) -> None:
    """A graph file of which any part does not fit raises OSError, also the last byte."""
    vectors = np.random.default_rng(1).normal(size=(2_000, 17)).astype(np.float32)
    graph = create_graph(17)
    graph.add(vectors)
    path = tmp_path / GRAPH
    write_faiss_index(graph, path)
    size_bytes = path.stat().st_size
    with (
        largest_file(size_bytes - missing_bytes),
        pytest.raises(OSError, match="cannot be written"),
    ):
        write_faiss_index(graph, path)


@pytest.mark.parametrize("storage", [VectorStorage.FLOAT32, VectorStorage.INT8])
def test_an_estimated_size_is_near_the_real_one(tmp_path: Path, storage: VectorStorage) -> None:
    """The sizes by which room is judged are those of the files, within a tenth."""
    vectors = np.random.default_rng(1).normal(size=(4_000, 64)).astype(np.float32)
    index = SegmentedIndex(64, storage=storage, first_graph_vectors=1_000)
    index.upsert(range(4_000), vectors)
    build = index.start_build(quiet=True)
    assert build is not None
    build.run()
    index.finish_build(build)
    files = index.capture().files
    assert (3 if storage is VectorStorage.INT8 else 2) == len(files)
    for name, file in files.items():
        file.write(tmp_path / name)
        assert (tmp_path / name).stat().st_size == pytest.approx(file.size_bytes, rel=0.1)


def test_a_start_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    """Loading removes half written and unnamed files, and never a file of somebody else."""
    item_index = saved_index(tmp_path)
    expected = contents(tmp_path)
    (tmp_path / f"arrays-{'c' * 32}.npz.tmp").write_bytes(b"half")
    (tmp_path / f"{MANIFEST_FILE}.tmp").write_bytes(b"half")
    (tmp_path / GRAPH).write_bytes(b"named by no manifest")
    own = {"notes.tmp": b"mine", "graph-of-sales.faiss": b"mine", "copy.partial": b"mine"}
    for name, content in own.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "photos").mkdir()
    with capture_logs() as lines:
        loaded = empty_index()
        assert Snapshots(tmp_path, ORIGIN).load(loaded, 9)
    assert item_index.sequence == loaded.sequence
    assert ["snapshot_loaded"] == [line["event"] for line in lines]
    (tmp_path / "photos").rmdir()
    assert {**expected, **own} == contents(tmp_path)


def test_a_first_snapshot_that_was_killed_is_not_dropped(tmp_path: Path) -> None:
    """Files without a manifest are removed without a line that a snapshot was dropped."""
    (tmp_path / f"{GRAPH}.tmp").write_bytes(b"half")
    (tmp_path / OTHER_GRAPH).write_bytes(b"whole")
    with capture_logs() as lines:
        assert not Snapshots(tmp_path, ORIGIN).load(empty_index(), 9)
    assert [] == lines
    assert [] == list(tmp_path.iterdir())


def load_events(snapshots: Snapshots, last_sequence: int) -> list[str]:
    with capture_logs() as lines:
        assert not snapshots.load(empty_index(), last_sequence)
    return [line["event"] for line in lines]


def test_a_drop_is_logged_only_where_one_happens(tmp_path: Path) -> None:
    """Only the owner drops; others report a failed load once, and neither reports a missing one."""
    owner, other = (Snapshots(tmp_path, ORIGIN, owner=owner) for owner in (True, False))
    for snapshots in (owner, other):
        assert [] == load_events(snapshots, 9)
    saved_index(tmp_path)
    assert [] == load_events(other, 3)  # of a later moment: the store's number may be outdated
    assert other.has_new()
    (tmp_path / MANIFEST_FILE).write_text("{}")
    assert ["snapshot_load_failed"] == load_events(other, 9)
    assert not other.has_new()
    assert ["snapshot_dropped"] == load_events(owner, 9)
    assert [] == list(tmp_path.iterdir())
    assert [] == load_events(owner, 9)


def test_an_unreadable_disk_drops_nothing(tmp_path: Path) -> None:
    """A snapshot that cannot be read now stays for later."""
    saved_index(tmp_path)
    (tmp_path / MANIFEST_FILE).unlink()
    (tmp_path / MANIFEST_FILE).mkdir()
    assert ["snapshot_load_failed"] == load_events(Snapshots(tmp_path, ORIGIN), 9)
    assert 2 == len(list(tmp_path.iterdir()))


def test_a_replaced_snapshot_is_no_failure(tmp_path: Path) -> None:
    """A reader whose files vanish because the owner saves the next snapshot logs nothing."""
    owner = Snapshots(tmp_path, ORIGIN)
    item_index = empty_index()
    stop = threading.Event()

    def save() -> None:
        while not stop.is_set():
            item_index.sequence += 1
            owner.save(item_index.capture())

    owner.save(item_index.capture())
    saver = threading.Thread(target=save)
    saver.start()
    results = []
    with capture_logs() as lines:
        for _ in range(300):
            reader = Snapshots(tmp_path, ORIGIN, owner=False)
            results.append(reader.load(empty_index(), 10**9) or reader.has_new())
    stop.set()
    saver.join()
    assert {True} == set(results)
    assert {"snapshot_loaded"} == {line["event"] for line in lines}


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o277])
def test_snapshots_are_private(tmp_path: Path, mask: int) -> None:
    """Whatever the umask, only the owner can read the files and folders of snapshots."""
    tmp_path.chmod(0o700)
    with created_with_mode_mask(mask):
        Snapshots(tmp_path / "index" / "1", ORIGIN).save(state(1, 100, {GRAPH: 100}))
    found = modes(tmp_path)
    assert {0o700} == {found[name] for name in (".", "index", "index/1")}
    assert {0o600} == {found[name] for name in found.keys() - {".", "index", "index/1"}}


def test_a_replaced_file_is_whole_or_as_before(tmp_path: Path) -> None:
    """A file that is replaced has the new content, or after an error the old one."""
    path = tmp_path / "file"
    for content in (b"one", b"two"):
        with replace_file(path) as temporary:
            temporary.write_bytes(content)
        assert content == path.read_bytes()

    def fail() -> None:
        with replace_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert {"file": b"two"} == contents(tmp_path)
