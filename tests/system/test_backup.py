from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import akin
import pytest
from support.command import run
from support.server import WAIT_SECONDS, RunningServer
from support.texts import distinct
from support.waiting import until

IMPORTED = 200


def test_a_backup_is_of_one_moment_while_a_server_writes(tmp_path: Path) -> None:
    """A backup made during writes holds every write up to one, and none after; it serves again."""
    file, old, new = tmp_path / "copy", tmp_path / "old", tmp_path / "new"
    old.mkdir()
    stop, written = threading.Event(), []

    with RunningServer(old) as server, server.client() as client:

        def write() -> None:
            number = 0
            while not stop.is_set():
                item = client.upsert_item(str(number), distinct(number)).item
                written.append((item.item_id, item.sequence))
                number += 1

        imported = {f"i{n}": distinct(n) for n in range(IMPORTED)}
        results = client.import_items(akin.item(*entry) for entry in imported.items())
        assert {0} == {result.code for result in results}
        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: len(written) > 10)
        made = run("backup", file, "--json", folder=old)
        count = len(written)
        until(lambda: len(written) > count)
        stop.set()
        writer.join(WAIT_SECONDS)
    assert 0 == made.status, made.stderr
    summary = json.loads(made.stdout)
    new.mkdir()
    assert 0 == run("restore", file, folder=new).status
    with RunningServer(new) as server, server.client() as client:
        expected = {item_id for item_id, sequence in written if sequence <= summary["sequence"]}
        page = client.list_items(1000)
        assert not page.next_page_token
        assert {*expected, *imported} == {item.item_id for item in page.items}
        assert summary["items"] == client.get_catalog().item_count
        assert summary["sequence"] == client.get_catalog().sequence
        found = client.recommend_similar(text=distinct(7), limit=1).recommendations
        assert found[0].score == pytest.approx(1.0, abs=1e-5)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither a file that is there nor a folder with data is written over."""
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    file = tmp_path / "copy"
    file.write_text("precious")
    refused = run("backup", file, folder=tmp_path)
    assert (1, "precious") == (refused.status, file.read_text())
    assert b"exists already" in refused.stderr
    good = tmp_path / "good"
    assert 0 == run("backup", good, folder=tmp_path).status
    refused = run("restore", good, folder=tmp_path)
    assert 1 == refused.status
    assert b"has a database already" in refused.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of 300 items."""
    folder = tmp_path_factory.mktemp("copied")
    with RunningServer(folder) as server, server.client() as client:
        for _ in client.import_items(akin.item(str(n), distinct(n)) for n in range(300)):
            pass
        assert 0 == run("backup", "copy", folder=folder).status
    return (folder / "copy").read_bytes()


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "missing"])
def test_a_damaged_backup_is_not_put_back(tmp_path: Path, copy: bytes, damage: str) -> None:
    """A backup that is incomplete, altered or no backup is refused, and the folder stays empty."""
    file = tmp_path / "copy"
    content = bytearray(copy)
    if damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2 : len(content) // 2 + 4096] = b"\xff" * 4096
        file.write_bytes(content)
    elif damage == "foreign":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE t (x)")
    new = tmp_path / "new"
    new.mkdir()
    refused = run("restore", file, folder=new)
    assert 1 == refused.status
    assert refused.stderr.startswith(b"akin restore: ")
    assert b"Traceback" not in refused.stderr
    assert not (new / "data" / "akin.sqlite3").exists()


def test_no_log_of_another_database_is_played_into_a_restored_one(tmp_path: Path) -> None:
    """Where a log was left behind, nothing is put beside it, and the log is named."""
    with RunningServer(tmp_path) as server:
        with server.client() as client:
            client.upsert_item("a", "green tea")
        assert 0 == run("backup", "copy", folder=tmp_path).status
        server.kill()
    (tmp_path / "data" / "akin.sqlite3").unlink()
    assert (tmp_path / "data" / "akin.sqlite3-wal").exists()
    done = run("restore", "copy", folder=tmp_path)
    assert 1 == done.status
    assert b"akin.sqlite3-" in done.stderr
    assert not (tmp_path / "data" / "akin.sqlite3").exists()
    assert 0o600 == (tmp_path / "copy").stat().st_mode & 0o777
