"""Shared indexes while nodes of the engine and servers of Akin are killed."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import akin
import pytest
from support.postgres import database_of
from support.qdrant_cluster import QdrantCluster
from support.server import RunningServer
from support.waiting import until

from cluster.load import CALL_SECONDS, Journal, Load, find_lost

# Successes of each kind that show that everything works again.
RECOVERED_CALLS = 100


class SharedService:
    """Two servers over one database and one cluster of the engine, with a load.

    Args:
        binary: the engine.
        folder: where all data is.
        stack: ends everything.
    """

    def __init__(self, binary: Path, folder: Path, stack: ExitStack) -> None:
        self.engine = stack.enter_context(QdrantCluster(binary, folder / "engine"))
        self._stack = stack
        self._folder = folder
        self._settings = {
            "EMBEDDER": "local",
            "STORE": database_of(folder),
            "INDEX": "shared",
            "QDRANT_URL": self.engine.url,
            "QDRANT_REPLICAS": "2",
        }
        self.servers = [self._start_server(name, LISTEN="127.0.0.1:0") for name in ("a", "b")]
        self.journal = Journal()
        self.clients = [
            stack.enter_context(akin.Client(server.address, timeout_seconds=CALL_SECONDS))
            for server in self.servers
        ]

    def _start_server(self, name: str, **settings: str) -> RunningServer:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        server = RunningServer(folder, **(self._settings | settings))
        return self._stack.enter_context(server)

    def restart(self, number: int) -> None:
        """Start a server that was killed, at its former address."""
        address = self.servers[number].address
        self.servers[number] = self._start_server("ab"[number], LISTEN=address)

    def wait_for_recovery(self) -> None:
        """Wait until calls of all kinds succeed again."""
        for kind in ("write", "read"):
            target = self.journal.count(kind) + RECOVERED_CALLS
            until(partial(self._has_reached, kind, target))

    def _has_reached(self, kind: str, count: int) -> bool:
        return self.journal.count(kind) >= count

    def check(self) -> None:
        """Check that nothing acknowledged is lost, and that no read was wrong."""
        assert [] == self.journal.wrong
        for client in self.clients:
            assert [] == find_lost(client, self.journal)


@pytest.fixture
def service(binary: Path, tmp_path: Path) -> Iterator[SharedService]:
    """Two servers with shared indexes."""
    with ExitStack() as stack:
        yield SharedService(binary, tmp_path, stack)


def pause(seconds: float) -> None:
    """Let the load run on during a fault."""
    threading.Event().wait(seconds)


def kill_node(service: SharedService) -> None:
    """Kill a node of the engine, and start it again after some seconds."""
    node = service.engine.nodes[1]
    node.kill()
    pause(5.0)
    node.start()
    node.wait_until_ready()


def kill_writer(service: SharedService) -> None:
    """Kill the server that fills the collections."""
    service.servers[0].kill()
    pause(3.0)
    service.restart(0)


def kill_replica(service: SharedService) -> None:
    """Kill the other server."""
    service.servers[1].kill()
    pause(3.0)
    service.restart(1)


def stop_engine(service: SharedService) -> None:
    """Kill all nodes of the engine, and start them again after some time."""
    service.engine.kill()
    pause(15.0)
    service.engine.start()


def delete_data(service: SharedService) -> None:
    """Delete all data of the engine."""
    service.engine.kill()
    service.engine.delete_data()
    service.engine.start()


@pytest.mark.parametrize("fault", [kill_node, kill_writer, kill_replica, stop_engine, delete_data])
def test_faults_lose_no_write_and_falsify_no_read(
    service: SharedService, fault: Callable[[SharedService], None]
) -> None:
    """Under load, a fault loses nothing acknowledged, and no read misses a write that it asks for.

    The longest times without a success go to standard error, which `pytest -s` shows.
    """
    with Load(service.clients, service.journal):
        service.wait_for_recovery()
        start = time.monotonic()
        fault(service)
        ended = time.monotonic()
        service.wait_for_recovery()
        gaps = {kind: service.journal.measure_gap(kind, start) for kind in ("write", "read")}
    sys.stderr.write(
        f"{fault.__name__}: fault {ended - start:.1f} s, no write for {gaps['write']:.1f} s, "
        f"no read for {gaps['read']:.1f} s\n"
    )
    service.check()
