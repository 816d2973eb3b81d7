"""Qdrant as a peer, over gRPC: a server binary, or a server that runs already."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
from throughput import LIMIT

from peers.dataset import CHANCE, SECTION, AtMost, Case, Dataset
from peers.peer import find_free_port, grpc_endpoint

# An extra of the package has the messages of Qdrant.
pb: Any = import_module("qdrant_client.grpc") if find_spec("qdrant_client") else None

BINARY, ADDRESS = "QDRANT_BINARY", "QDRANT_ADDRESS"
COLLECTION = "akin-bench-peers"
NEIGHBORS, BUILD_CANDIDATES = 16, 200
START_SECONDS = 60.0
BATCH_ITEMS = 500

# The optimizer starts after a pause, during which the status is green too.
GREEN_POLLS, POLL_SECONDS = 12, 0.5


class Qdrant:
    """A Qdrant server with a collection of its own."""

    name = "Qdrant"
    breadths: Sequence[int] = (16, 32, 48, 64, 96, 128, 160, 192, 256, 384, 512, 768)

    def __init__(self, address: str, channel: grpc.Channel, dataset: Dataset) -> None:
        """Address a running server."""
        self.address = address
        self.queries = grpc_endpoint(channel, "/qdrant.Points/Query")
        self.writes = grpc_endpoint(channel, "/qdrant.Points/Upsert")
        self._channel = channel
        self._dataset = dataset

    def query(self, case: Case, row: int, breadth: int) -> bytes:
        """Return a query by point id or by vector."""
        request = pb.QueryPoints(collection_name=COLLECTION, limit=LIMIT)
        request.params.hnsw_ef = breadth
        if case.by == "item":
            request.query.nearest.id.num = int(row)
        else:
            request.query.nearest.dense.data.extend(self._dataset.vectors[row])
        if case.where is not None:
            field = request.filter.must.add().field
            field.key = case.where.attribute
            if isinstance(case.where, AtMost):
                field.range.lte = case.where.bound
            else:
                field.match.keyword = case.where.value
        message: bytes = request.SerializeToString()
        return message

    def rows(self, reply: bytes) -> list[int]:
        """Return the result rows of a reply."""
        return [hit.id.num for hit in pb.QueryResponse.FromString(reply).result]

    def write(self, number: int) -> bytes:
        """Return an upsert of a vector that is applied when the reply comes."""
        row = self._dataset.stored + number
        return self._upsert([self._dataset.written_row(number)], [row])

    def _upsert(self, ids: Sequence[int], rows: Sequence[int]) -> bytes:
        request = pb.UpsertPoints(collection_name=COLLECTION, wait=True)
        for number, row in zip(ids, rows, strict=True):
            point = request.points.add()
            point.id.num = number
            point.vectors.vector.dense.data.extend(self._dataset.vectors[row])
            attributes = self._dataset.items[row]["attributes"]
            point.payload[CHANCE].double_value = attributes[CHANCE]
            point.payload[SECTION].string_value = attributes[SECTION]
        message: bytes = request.SerializeToString()
        return message

    def fill(self) -> float:
        """Store all items; return the seconds until the server settled."""
        started = time.perf_counter()
        vectors = pb.VectorParams(size=self._dataset.vectors.shape[1], distance=pb.Dot)
        created = pb.CreateCollection(
            collection_name=COLLECTION,
            hnsw_config=pb.HnswConfigDiff(m=NEIGHBORS, ef_construct=BUILD_CANDIDATES),
            vectors_config=pb.VectorsConfig(params=vectors),
        )
        self._call("/qdrant.Collections/Create", created)
        # Graphs have links for the values of attributes that are indexed before the items come.
        for name, kind in ((CHANCE, pb.FieldTypeFloat), (SECTION, pb.FieldTypeKeyword)):
            index = pb.CreateFieldIndexCollection(
                collection_name=COLLECTION, wait=True, field_name=name, field_type=kind
            )
            self._call("/qdrant.Points/CreateFieldIndex", index)
        for first in range(0, self._dataset.stored, BATCH_ITEMS):
            rows = range(first, min(first + BATCH_ITEMS, self._dataset.stored))
            self.writes.send(self._upsert(rows, rows))
        self.settle()
        return time.perf_counter() - started - GREEN_POLLS * POLL_SECONDS

    def drop(self) -> None:
        """Delete the collection if there is one."""
        self._call("/qdrant.Collections/Delete", pb.DeleteCollection(collection_name=COLLECTION))

    def settle(self) -> None:
        """Wait until the status of the collection stays green."""
        green = 0
        asked = pb.GetCollectionInfoRequest(collection_name=COLLECTION)
        while green < GREEN_POLLS:
            reply = self._call("/qdrant.Collections/Get", asked)
            status = pb.GetCollectionInfoResponse.FromString(reply).result.status
            green = green + 1 if status == pb.Green else 0
            time.sleep(POLL_SECONDS)

    def _call(self, method: str, request: Any) -> bytes:  # noqa: ANN401  (a compiled message)
        return grpc_endpoint(self._channel, method).send(request.SerializeToString())


@contextmanager
def run_qdrant(folder: Path, dataset: Dataset) -> Iterator[tuple[Qdrant, float] | None]:
    """Run a filled server, or fill one that runs; yield it with the seconds that filling took.

    Yields None without QDRANT_BINARY (a path) and QDRANT_ADDRESS (host and port of its gRPC), and
    without the package qdrant-client.
    """
    with ExitStack() as stack:
        if pb is None:
            print("Qdrant is skipped: pip install qdrant-client")
            yield None
            return
        address = os.environ.get(ADDRESS, "")
        if not address and (binary := os.environ.get(BINARY)):
            address = stack.enter_context(_run_binary(Path(binary).resolve(), folder))
        if not address:
            print(f"Qdrant is skipped: set {BINARY} or {ADDRESS}")
            yield None
            return
        channel = stack.enter_context(grpc.insecure_channel(address))
        grpc.channel_ready_future(channel).result(START_SECONDS)
        peer = Qdrant(address, channel, dataset)
        peer.drop()
        stack.callback(peer.drop)
        yield peer, peer.fill()


@contextmanager
def _run_binary(binary: Path, folder: Path) -> Iterator[str]:
    home = folder / "qdrant"
    home.mkdir()
    port = find_free_port()
    settings = {
        "QDRANT__SERVICE__HOST": "127.0.0.1",
        "QDRANT__SERVICE__GRPC_PORT": str(port),
        "QDRANT__SERVICE__HTTP_PORT": str(find_free_port()),
        "QDRANT__STORAGE__STORAGE_PATH": str(home / "storage"),
        "QDRANT__STORAGE__SNAPSHOTS_PATH": str(home / "snapshots"),
        "QDRANT__TELEMETRY_DISABLED": "true",
        "QDRANT__LOG_LEVEL": "WARN",
    }
    with (folder / "qdrant.log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary)], cwd=home, env={**os.environ, **settings}, stdout=log, stderr=log
        )
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()
