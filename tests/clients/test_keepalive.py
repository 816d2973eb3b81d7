"""Pings of clients to servers, which take half a minute to show their effect."""

import asyncio
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import akin
import grpc
import pytest
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from support.imports import ITEMS, Import, endless_items, import_async, import_blocking
from support.server import WAIT_SECONDS, RunningServer

pytestmark = pytest.mark.slow


def import_until_the_end(
    folder: Path, send: Import, *, is_busy: bool
) -> tuple[str, akin.AkinError]:
    """Import into a server that freezes; return its address and the error that ends the import."""

    def items() -> Iterator[akin.Item]:
        yield from ITEMS
        server.freeze()
        yield from endless_items() if is_busy else ITEMS

    folder.mkdir()
    with RunningServer(folder) as server:
        with pytest.raises(akin.AkinError) as caught:
            asyncio.run(send(server.address, items(), idle_timeout_seconds=600))
        return server.address, caught.value


async def test_pings_end_an_import_without_the_idle_timeout(tmp_path: Path) -> None:
    """The keepalive ends an import into a frozen server as well, with the same error.

    It does so for both kinds of clients, for one that waits for the server, and for one that sends
    without end. The imports run at the same time.
    """
    kinds = list(itertools.product([import_blocking, import_async], [False, True]))
    imports = [
        asyncio.to_thread(import_until_the_end, tmp_path / str(number), send, is_busy=is_busy)
        for number, (send, is_busy) in enumerate(kinds)
    ]
    for kind, (address, error) in zip(kinds, await asyncio.gather(*imports), strict=True):
        assert grpc.StatusCode.UNAVAILABLE == error.code, kind
        silence = f"the server at {re.escape(address)} has not responded for [0-9.]+ seconds"
        assert re.fullmatch(silence, error.message), kind


def test_the_server_accepts_keepalive_pings(tmp_path: Path) -> None:
    """Clients that ping more often than every 10 s, with or without a call, stay connected."""
    options = [
        ("grpc.keepalive_time_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    disconnected, ended = Event(), Event()

    def observe(state: grpc.ChannelConnectivity) -> None:
        if state in {grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.TRANSIENT_FAILURE}:
            disconnected.set()

    with (
        RunningServer(tmp_path) as server,
        grpc.insecure_channel(server.address, options) as idle,
        grpc.insecure_channel(server.address, options) as busy,
    ):
        call = RecommenderServiceStub(busy).ImportItems(wait_for_requests(ended))
        for channel in (idle, busy):
            grpc.channel_ready_future(channel).result(WAIT_SECONDS)
            channel.subscribe(observe)
        # A server with gRPC's own limits ends a connection at the fourth ping.
        assert not disconnected.wait(24)
        call.cancel()
        ended.set()


def wait_for_requests(end: Event) -> Iterator[pb.ImportItemsRequest]:
    """Yield nothing until the end, so that the stream stays open."""
    end.wait(WAIT_SECONDS)
    yield from ()
