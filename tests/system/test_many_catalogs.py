"""A server with many catalogs."""

import os
from pathlib import Path

import akin
import pytest
from support.server import RunningServer

FEW, MANY = 20, 120
PROCESSORS = len(os.sched_getaffinity(0))

# Pools of threads and connections grow to their size while they are used.
SPARE_THREADS = 4 * PROCESSORS + 8
SPARE_FILES = 20


def count(server: RunningServer, what: str) -> int:
    """Return the number of threads (`task`) or of open files (`fd`) of a server."""
    process_id = server.events("serving")[0]["process_id"]
    return len(list(Path(f"/proc/{process_id}/{what}").iterdir()))


def use_catalogs(server: RunningServer, numbers: range) -> None:
    """Create catalogs, each with an item, and recommend from each."""
    with server.client() as client:
        for number in numbers:
            name = f"catalog-{number}"
            client.create_catalog(name)
            with server.client(catalog=name) as catalog:
                catalog.upsert_item("a", f"tea {number}")
                assert not catalog.recommend_similar(item_id="a").recommendations


def test_threads_and_files_do_not_grow_with_catalogs(tmp_path: Path) -> None:
    """Six times as many catalogs need no more threads and open files, also after a restart.

    The setting bounds their number.
    """
    settings = {"EMBEDDER": "local", "MAX_CATALOGS": str(MANY + 1)}
    with RunningServer(tmp_path, **settings) as server:
        use_catalogs(server, range(FEW))
        threads, files = count(server, "task"), count(server, "fd")
        use_catalogs(server, range(FEW, MANY))
        assert count(server, "task") <= threads + SPARE_THREADS
        assert count(server, "fd") <= files + SPARE_FILES
        with server.client() as client, pytest.raises(akin.AkinError) as raised:
            client.create_catalog("one-too-many")
        assert raised.value.reason == "TOO_MANY_CATALOGS"
        assert 0 == server.stop()
    with RunningServer(tmp_path, **settings) as server, server.client() as client:
        assert MANY + 1 == len(client.list_catalogs())
        assert count(server, "task") <= threads + SPARE_THREADS
        assert count(server, "fd") <= files + SPARE_FILES
