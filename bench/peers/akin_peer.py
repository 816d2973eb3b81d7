"""Akin as a peer: it gets texts, and embeds them itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import akin
import grpc
from akin import filters
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.item_pb2 import Vector
from servers import akin_server
from throughput import LIMIT, METHOD, settle

from peers.dataset import AtMost, Case, Dataset
from peers.peer import grpc_endpoint

UPSERT = "/akin.v1.RecommenderService/UpsertItem"


class Akin:
    """An Akin server over a copy of a filled data folder."""

    breadths: Sequence[int] = ()

    def __init__(self, name: str, address: str, channel: grpc.Channel, dataset: Dataset) -> None:
        """Address a running server."""
        self.name, self.address = name, address
        self.queries = grpc_endpoint(channel, METHOD)
        self.writes = grpc_endpoint(channel, UPSERT)
        self._dataset = dataset

    def query(self, case: Case, row: int, breadth: int) -> bytes:  # noqa: ARG002  (it has none)
        """Return a query by item id or by vector."""
        request = pb.RecommendSimilarRequest(limit=LIMIT)
        if case.by == "item":
            request.item_id = self._dataset.items[row]["id"]
        else:
            request.vector.CopyFrom(Vector(values=self._dataset.vectors[row]))
        if isinstance(case.where, AtMost):
            condition = filters.between(case.where.attribute, lte=case.where.bound)
            request.filter.CopyFrom(filters.all_of(condition))
        elif case.where is not None:
            condition = filters.equals(case.where.attribute, case.where.value)
            request.filter.CopyFrom(filters.all_of(condition))
        return request.SerializeToString()

    def rows(self, reply: bytes) -> list[int]:
        """Return the result rows of a reply."""
        hits = pb.RecommendSimilarResponse.FromString(reply).recommendations
        return [int(hit.item_id.removeprefix("item"), 16) for hit in hits]

    def write(self, number: int) -> bytes:
        """Return an upsert of a text."""
        row = self._dataset.items[self._dataset.stored + number]
        item_id = self._dataset.items[self._dataset.written_row(number)]["id"]
        item = akin.item(item_id, row["text"], row["attributes"])
        return pb.UpsertItemRequest(item=item).SerializeToString()

    def settle(self) -> None:
        """Wait until no worker builds an index."""
        settle(self.address)


@contextmanager
def run_akin(filled: Path, own: Path, workers: int, dataset: Dataset) -> Iterator[Akin]:
    """Run a server of one or more workers over a copy of a filled data folder."""
    shutil.copytree(filled, own)
    settings = {"AKIN_EMBEDDER": "local", "AKIN_WORKERS": str(workers)}
    with akin_server(own, **settings) as server, grpc.insecure_channel(server.address) as channel:
        name = "Akin" if workers == 1 else f"Akin, {workers} workers"
        peer = Akin(name, server.address, channel, dataset)
        peer.settle()
        yield peer
