from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import akin
import grpc
import pytest
from akin.v1 import recommender_service_pb2 as pb
from grpc_health.v1 import health_pb2
from support.lost_commits import RestorableServer
from support.rejections import RawClient
from support.server import WAIT_SECONDS, RunningServer, free_address
from support.texts import distinct
from support.waiting import until

from service.index.maintenance import MIN_SNAPSHOT_CHANGES

pytestmark = pytest.mark.slow

SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def store() -> Iterator[RestorableServer]:
    """A database server."""
    server = RestorableServer()
    try:
        yield server
    finally:
        server.stop()


def write(server: RunningServer, start: int, count: int) -> None:
    """Import items, all of which are stored."""
    with server.client() as client:
        items = (
            akin.item(str(n), f"{distinct(n % 1_000)}, {n}") for n in range(start, start + count)
        )
        assert {0} == {result.code for result in client.import_items(items)}


def test_a_replica_without_a_folder_starts_from_a_published_snapshot(
    tmp_path: Path, store: RestorableServer
) -> None:
    """Snapshots outlast the machine that saved them, and the next replica publishes new ones.

    A later one may have been published by the time the next replica starts.
    """
    with ExitStack() as stack:

        def start(name: str) -> RunningServer:
            folder = tmp_path / name
            folder.mkdir()
            return stack.enter_context(RunningServer(folder, STORE=store.url))

        first = start("first")
        write(first, 0, MIN_SNAPSHOT_CHANGES)
        published = first.wait_for("snapshot_published")
        first.kill()
        second = start("second")
        assert published["sequence"] <= second.wait_for("snapshot_loaded")["sequence"]
        assert second.wait_for("serving")["items"] == MIN_SNAPSHOT_CHANGES
        until(lambda: "indexing" in [event["duty"] for event in second.events("duty_taken")])
        write(second, MIN_SNAPSHOT_CHANGES, MIN_SNAPSHOT_CHANGES)
        published = second.wait_for("snapshot_published")
        third = start("third")
        assert published["sequence"] <= third.wait_for("snapshot_loaded")["sequence"]
        assert third.wait_for("serving")["items"] == 2 * MIN_SNAPSHOT_CHANGES


def test_a_replica_serves_only_once_it_is_current(tmp_path: Path, store: RestorableServer) -> None:
    """A replica that reports SERVING has every write that was acknowledged before it started."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    address, count = free_address(), 5_000
    with RunningServer(tmp_path / "first", STORE=store.url) as first:
        write(first, 0, count)
        with ThreadPoolExecutor(1) as threads:
            answer = threads.submit(ask_once_serving, address, f"{count - 1}")
            with RunningServer(tmp_path / "second", STORE=store.url, LISTEN=address):
                assert 1 == len(answer.result(WAIT_SECONDS).recommendations)


def ask_once_serving(address: str, item_id: str) -> pb.RecommendSimilarResponse:
    """Ask for items similar to an item as soon as a server that is yet to start reports SERVING."""
    while True:
        with RawClient(address) as raw, suppress(grpc.RpcError):
            for health in raw.watch_health():
                if health.status == SERVING:
                    request = pb.RecommendSimilarRequest(item_id=item_id, limit=1)
                    return raw.stub.RecommendSimilar(request, timeout=WAIT_SECONDS)
