import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import akin
import pytest
from support.disks import modes, run_with_largest_file
from support.server import RunningServer, environment

# Less than a snapshot leaves free for the database.
DISK_BYTES = 60 * 1024 * 1024

CHANGES = 10_500


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that is a small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not in every container")
    yield folder
    unmount = ["umount", str(folder)]
    subprocess.run(unmount, check=True)


@pytest.mark.slow
def test_a_snapshot_leaves_room_for_the_database(small_disk: Path) -> None:
    """Where little is free, no snapshot is begun, that is logged once, and writes go on."""
    with RunningServer(small_disk) as server, server.client() as client:
        items = (akin.item(f"i{n}", f"word{n % 20}") for n in range(CHANGES))
        assert CHANGES == len(list(client.import_items(items)))
        line = server.wait_for("snapshot_skipped")
        assert "reserved for the database" in line["reason"]
        assert [] == [path.name for path in (small_disk / "data" / "index").rglob("*.tmp")]
        client.upsert_item("last", "tea")
        assert 0 == server.stop()
        assert 1 == len(server.events("snapshot_skipped"))
        assert [] == server.events("snapshot_failed")


def test_a_server_tightens_an_open_folder(tmp_path: Path) -> None:
    """A server makes the files of an earlier version private, and logs it at that start only."""
    with RunningServer(tmp_path) as server, server.client() as client:
        client.upsert_item("a", "tea")
        server.kill()
    data = tmp_path / "data"
    assert {0o600, 0o700} == set(modes(data).values())
    for path in (data, *data.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for tightened in (1, 0):
        with RunningServer(tmp_path, WORKERS="2") as server, server.client() as client:
            assert "tea" == client.get_item("a").text
            assert {0o600, 0o700} == set(modes(data).values())
            assert tightened == len(server.events("data_folder_tightened"))
            assert [] == server.events("data_folder_exposed") + server.events("snapshot_dropped")
            assert 0 == server.stop()


def test_a_backup_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    """A backup onto a full disk ends with one line and without a file."""
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    before = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    ended = run_with_largest_file(
        60_000, tmp_path, "backup", "copy", environment=environment(tmp_path)
    )
    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.splitlines()), ended.stderr
    assert before == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}


def test_a_vacuum_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    """A vacuum without room for the new database ends with one line, and the old one serves."""
    with RunningServer(tmp_path) as server, server.client() as client:
        client.upsert_item("a", "tea")
        assert 0 == server.stop()
    before = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    ended = run_with_largest_file(60_000, tmp_path, "vacuum", environment=environment(tmp_path))
    assert 1 == ended.returncode
    assert 1 == len(ended.stderr.splitlines()), ended.stderr
    assert before == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    with RunningServer(tmp_path) as server, server.client() as client:
        assert "tea" == client.get_item("a").text
