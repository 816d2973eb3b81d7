import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import akin
import pytest
from grpc_health.v1 import health_pb2
from support.lost_commits import RestorableServer
from support.rejections import RawClient
from support.server import RunningServer, free_address
from support.texts import distinct

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
        items = (akin.item(str(n), distinct(n)) for n in range(start, start + count))
        assert {0} == {result.code for result in client.import_items(items)}


def test_a_replica_without_a_folder_starts_from_a_published_snapshot(
    tmp_path: Path, store: RestorableServer
) -> None:
    """Snapshots outlast the machine that saved them, and the next replica publishes new ones."""
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
        assert published["sequence"] == second.wait_for("snapshot_loaded")["sequence"]
        assert second.wait_for("serving")["items"] == MIN_SNAPSHOT_CHANGES
        while second.wait_for("duty_taken", len(second.events("duty_taken")) or 1)["duty"]:
            if "indexing" in [event["duty"] for event in second.events("duty_taken")]:
                break
        write(second, MIN_SNAPSHOT_CHANGES, MIN_SNAPSHOT_CHANGES)
        published = second.wait_for("snapshot_published")
        third = start("third")
        assert published["sequence"] == third.wait_for("snapshot_loaded")["sequence"]
        assert third.wait_for("serving")["items"] == 2 * MIN_SNAPSHOT_CHANGES


def test_a_replica_serves_only_once_it_is_current(tmp_path: Path, store: RestorableServer) -> None:
    """A replica that reports SERVING has every write that was acknowledged before it started."""
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    address = free_address()
    with RunningServer(tmp_path / "first", STORE=store.url) as first:
        write(first, 0, 5_000)
        counts: list[int] = []

        def ask() -> None:
            with RawClient(address) as raw, akin.Client(address) as client:
                for status in raw.watch_health():
                    if status.status == SERVING:
                        last = distinct(4_999)
                        answer = client.recommend_similar(text=last, limit=1)
                        counts.append([item.item_id for item in answer.recommendations] == ["4999"])
                        return

        with ExitStack() as stack:
            stack.enter_context(RunningServer(tmp_path / "second", STORE=store.url, LISTEN=address))
            asking = threading.Thread(target=ask)
            asking.start()
            asking.join(60)
        assert [True] == counts
