"""Chroma as a peer, over HTTP, in an environment of its own in the user's cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from throughput import CACHE, LIMIT

from peers.dataset import AtMost, Case, Dataset
from peers.peer import CALL_SECONDS, find_free_port, http_endpoint

VERSION = "1.5.9"
COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
HNSW = {"space": "ip", "max_neighbors": 16, "ef_construction": 200, "ef_search": 200}
START_SECONDS = 60.0
BATCH_ITEMS = 1_000


class Chroma:
    """A Chroma server. Its breadth of search belongs to the collection, not to a query."""

    name = f"Chroma {VERSION}"
    breadths: Sequence[int] = ()

    def __init__(self, address: str, client: httpx.Client, dataset: Dataset) -> None:
        """Create a collection without items."""
        created = {"name": "items", "configuration": {"hnsw": HNSW}}
        collection = client.post(COLLECTIONS, json=created).raise_for_status().json()["id"]
        self.address = address
        self.queries = http_endpoint(client, f"{COLLECTIONS}/{collection}/query")
        self.writes = http_endpoint(client, f"{COLLECTIONS}/{collection}/upsert")
        self._dataset = dataset

    def query(self, case: Case, row: int, breadth: int) -> bytes:  # noqa: ARG002  (it has none)
        """Return a query by vector. An item finds itself, so that it asks for one more."""
        body: dict[str, Any] = {
            "query_embeddings": [self._dataset.vectors[row].tolist()],
            "n_results": LIMIT + (case.by == "item"),
            "include": ["distances"],
        }
        if isinstance(case.where, AtMost):
            body["where"] = {case.where.attribute: {"$lte": case.where.bound}}
        elif case.where is not None:
            body["where"] = {case.where.attribute: case.where.value}
        return json.dumps(body).encode()

    def rows(self, reply: bytes) -> list[int]:
        """Return the result rows of a reply."""
        return [int(each.removeprefix("item"), 16) for each in json.loads(reply)["ids"][0]]

    def write(self, number: int) -> bytes:
        """Return an upsert of a vector."""
        row = self._dataset.stored + number
        return self._upsert([self._dataset.written_row(number)], [row])

    def _upsert(self, ids: Sequence[int], rows: Sequence[int]) -> bytes:
        items, vectors = self._dataset.items, self._dataset.vectors
        body = {
            "ids": [items[each]["id"] for each in ids],
            "embeddings": [b64encode(vectors[row].tobytes()).decode() for row in rows],
            "metadatas": [items[row]["attributes"] for row in rows],
        }
        return json.dumps(body).encode()

    def fill(self) -> float:
        """Store all items; return the seconds until a query was answered."""
        started = time.perf_counter()
        for first in range(0, self._dataset.stored, BATCH_ITEMS):
            rows = range(first, min(first + BATCH_ITEMS, self._dataset.stored))
            self.writes.send(self._upsert(rows, rows))
        self.queries.send(self.query(Case("first", "item", None, 0), 0, 0))
        return time.perf_counter() - started

    def settle(self) -> None:
        """Return at once: the server does not report its work in the background."""


def make_environment() -> Path:
    """Return the bin folder of Chroma's virtual environment, and make it the first time."""
    folder = CACHE / f"chroma-{VERSION}"
    if not (folder / "ready").exists():
        uv = [sys.executable, "-m", "uv"]
        make = [*uv, "venv", "-q", "--clear", "--python", sys.executable, str(folder)]
        subprocess.run(make, check=True)
        into = ["-q", "--python", str(folder / "bin/python"), f"chromadb=={VERSION}"]
        subprocess.run([*uv, "pip", "install", *into], check=True)
        (folder / "ready").touch()
    return folder / "bin"


@contextmanager
def run_chroma(folder: Path, dataset: Dataset) -> Iterator[tuple[Chroma, float]]:
    """Run a filled server on a free port; yield it with the seconds that filling took."""
    program, port = make_environment() / "chroma", find_free_port()
    command = [str(program), "run", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "chroma.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--path", str(folder / "chroma")],
            env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
            stdout=log,
            stderr=log,
        )
        try:
            address = f"127.0.0.1:{port}"
            with httpx.Client(base_url=f"http://{address}", timeout=CALL_SECONDS) as client:
                _await_start(client)
                peer = Chroma(address, client, dataset)
                yield peer, peer.fill()
        finally:
            process.terminate()
            process.wait()


def _await_start(client: httpx.Client) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            client.get("/api/v2/heartbeat").raise_for_status()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise SystemExit("Chroma's server does not answer") from None
            time.sleep(0.2)
        else:
            return
