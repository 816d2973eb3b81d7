"""Three nodes of Qdrant, started from a binary or running already."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from typing import Self

import httpx

from support.waiting import until

BINARY, URL = "QDRANT_BINARY", "QDRANT_URL"

NODE_COUNT = 3
HOST = "127.0.0.1"

# A node ends after this time at the latest.
LIFE_SECONDS = 3_600.0


class _Node:
    """One node. Its ports stay the same when it starts again."""

    def __init__(self, binary: Path, folder: Path, bootstrap: str) -> None:
        folder.mkdir(parents=True)
        self._binary = binary
        self._folder = folder
        self._bootstrap = bootstrap
        self.http_port, self.grpc_port, self.peer_port = _find_free_ports(3)
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: threading.Timer | None = None

    @property
    def peer_url(self) -> str:
        """Where other nodes find it."""
        return f"http://{HOST}:{self.peer_port}"

    def start(self) -> None:
        """Start it; it need not answer yet."""
        bootstrap = ("--bootstrap", self._bootstrap) if self._bootstrap else ()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._binary), "--uri", self.peer_url, *bootstrap],
                cwd=self._folder,
                env={**os.environ, **self._list_settings()},
                stdout=log,
                stderr=log,
            )
        self._watchdog = threading.Timer(LIFE_SECONDS, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def wait_until_ready(self, node_count: int = NODE_COUNT) -> None:
        """Wait until it answers and knows a number of nodes."""
        until(lambda: self._is_ready(node_count))

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it has ended."""
        if self._process is not None and self._watchdog is not None:
            self._watchdog.cancel()
            self._process.kill()
            self._process.wait()
            self._process = None

    def delete_data(self) -> None:
        """Delete its data while it does not run."""
        shutil.rmtree(self._folder / "storage", ignore_errors=True)

    def _is_ready(self, node_count: int) -> bool:
        try:
            cluster = httpx.get(f"http://{HOST}:{self.http_port}/cluster", timeout=5.0).json()
            ready = httpx.get(f"http://{HOST}:{self.http_port}/readyz", timeout=5.0)
        except httpx.HTTPError:
            return False
        return len(cluster["result"]["peers"]) >= node_count and ready.is_success

    def _list_settings(self) -> dict[str, str]:
        settings = {
            "SERVICE__HOST": HOST,
            "SERVICE__HTTP_PORT": self.http_port,
            "SERVICE__GRPC_PORT": self.grpc_port,
            "CLUSTER__ENABLED": "true",
            "CLUSTER__P2P__PORT": self.peer_port,
            "STORAGE__STORAGE_PATH": self._folder / "storage",
            "STORAGE__SNAPSHOTS_PATH": self._folder / "snapshots",
            "TELEMETRY_DISABLED": "true",
            "LOG_LEVEL": "WARN",
        }
        return {f"QDRANT__{name}": str(value) for name, value in settings.items()}


class QdrantCluster:
    """Three nodes over a folder; a context manager that ends them.

    Args:
        binary: the server.
        folder: where their data is, which must not exist.
    """

    def __init__(self, binary: Path, folder: Path) -> None:
        self.nodes = [_Node(binary, folder / "0", "")]
        self.nodes += [
            _Node(binary, folder / str(number), self.nodes[0].peer_url)
            for number in range(1, NODE_COUNT)
        ]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """The address of all nodes, for the setting AKIN_QDRANT_URL."""
        return f"http://{','.join(f'{HOST}:{node.grpc_port}' for node in self.nodes)}"

    def start(self) -> None:
        """Start all nodes, and wait until they answer."""
        # A node that starts joins the others, one after the other.
        for number, node in enumerate(self.nodes, 1):
            node.start()
            node.wait_until_ready(number)

    def kill(self) -> None:
        """End all nodes with SIGKILL."""
        for node in self.nodes:
            node.kill()

    def delete_data(self) -> None:
        """Delete the data of all nodes while they do not run."""
        for node in self.nodes:
            node.delete_data()


def _find_free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [taken.getsockname()[1] for taken in sockets]
    finally:
        for taken in sockets:
            taken.close()
