import os
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import Self

import grpc
import pytest
from akin.v1 import catalog_service_pb2, catalog_service_pb2_grpc, item_pb2
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc
from support.server import WAIT_SECONDS, RunningServer, refused
from support.stores import rows
from support.texts import distinct
from support.waiting import until
from support.workers import connect_to_workers

WORKERS = 3

# What a server whose port is taken advises.
IN_USE = "another process uses the port; stop it, or set AKIN_LISTEN to another address"

Stubs = Mapping[int, pb_grpc.RecommenderServiceStub]


def connected(server: RunningServer, stack: ExitStack) -> Stubs:
    """A stub of each worker, by its number."""
    opened = connect_to_workers(server, stack, WORKERS)
    return {number: pb_grpc.RecommenderServiceStub(channel) for number, channel in opened.items()}


def written(stub: pb_grpc.RecommenderServiceStub, number: int) -> int:
    """Stores an item; returns its sequence."""
    item = item_pb2.Item(item_id=str(number), text=distinct(number))
    reply = stub.UpsertItem(pb.UpsertItemRequest(item=item), timeout=WAIT_SECONDS)
    return int(reply.item.sequence)


def best(stub: pb_grpc.RecommenderServiceStub, number: int, sequence: int) -> str:
    """The item found first for an item's text, as of a sequence."""
    request = pb.RecommendSimilarRequest(text=distinct(number), limit=1, min_sequence=sequence)
    reply = stub.RecommendSimilar(request, timeout=WAIT_SECONDS)
    return next((each.item_id for each in reply.recommendations), "")


class MessagesWithoutEnd:
    """The messages of an import that pauses after the first one; a context manager."""

    def __init__(self) -> None:
        self._end = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._end.set()

    def __iter__(self) -> Iterator[pb.ImportItemsRequest]:
        yield pb.ImportItemsRequest()
        self._end.wait(WAIT_SECONDS)


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("workers"), WORKERS=str(WORKERS)) as server:
        server.wait_for("serving", WORKERS)
        yield server


def test_what_one_worker_wrote_any_other_finds(several: RunningServer) -> None:
    """A write's sequence, as min_sequence, has every worker answer from that write on."""
    with ExitStack() as stack:
        stubs = connected(several, stack)
        for number, (writer, reader) in enumerate(permutations(stubs, 2)):
            sequence = written(stubs[writer], number)
            assert str(number) == best(stubs[reader], number, sequence)
            request = pb.DeleteItemRequest(item_id=str(number))
            deleted = stubs[reader].DeleteItem(request, timeout=WAIT_SECONDS).sequence
            assert str(number) != best(stubs[writer], number, deleted)


def test_what_one_worker_wrote_any_other_lists(several: RunningServer) -> None:
    """With a write's min_sequence, every worker lists the new catalog it is in, with its vector."""
    with ExitStack() as stack:
        opened = connect_to_workers(several, stack, WORKERS)
        for number, (writer, reader) in enumerate(permutations(opened, 2)):
            name = f"listed{number}"
            catalogs = catalog_service_pb2_grpc.CatalogServiceStub(opened[writer])
            create = catalog_service_pb2.CreateCatalogRequest(catalog=name)
            catalogs.CreateCatalog(create, timeout=WAIT_SECONDS)
            item = item_pb2.Item(item_id="1", text=distinct(number))
            stored = pb_grpc.RecommenderServiceStub(opened[writer]).UpsertItem(
                pb.UpsertItemRequest(catalog=name, item=item), timeout=WAIT_SECONDS
            )
            listed = catalog_service_pb2_grpc.CatalogServiceStub(opened[reader]).ListCatalogs(
                catalog_service_pb2.ListCatalogsRequest(min_sequence=stored.item.sequence),
                timeout=WAIT_SECONDS,
            )
            vectors = {each.name: each.index.vector_count for each in listed.catalogs}
            assert 1 == vectors[name]
            delete = catalog_service_pb2.DeleteCatalogRequest(catalog=name)
            catalogs.DeleteCatalog(delete, timeout=WAIT_SECONDS)


def test_a_sequence_that_nobody_wrote_is_refused(several: RunningServer) -> None:
    """A min_sequence beyond the last write of all workers is an error, not a wait."""
    with ExitStack() as stack:
        stubs = connected(several, stack)
        sequence = written(stubs[0], 1)
        for stub in stubs.values():
            with pytest.raises(grpc.RpcError) as caught:
                best(stub, 1, sequence + 1)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_writes_through_all_workers_get_distinct_sequences(several: RunningServer) -> None:
    """Sequences are of one order, whoever wrote: each write's is higher than the one before."""
    with ExitStack() as stack:
        stubs = connected(several, stack)
        sequences = [written(stubs[number % WORKERS], 100 + number) for number in range(30)]
    assert sorted(set(sequences)) == sequences


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    """After kill -9 of each worker in turn all serve again, with every acknowledged write."""
    with RunningServer(tmp_path, WORKERS=str(WORKERS)) as server, ExitStack() as stack:
        server.wait_for("serving", WORKERS)
        stubs = connected(server, stack)
        sequences = [written(stubs[number % WORKERS], number) for number in range(9)]
        for kills, victim in enumerate(server.events("serving"), start=1):
            os.kill(victim["process_id"], signal.SIGKILL)
            for worker, stub in stubs.items():
                if worker != victim["worker"]:
                    assert "8" == best(stub, 8, sequences[-1])
            again = server.wait_for("serving", WORKERS + kills)
            assert victim["worker"] == again["worker"]
            assert 9 == again["items"]
            stubs = connected(server, stack)
        server.wait_for_exactly("worker_ended", WORKERS)


def test_all_workers_drain_when_asked_to_end(tmp_path: Path) -> None:
    """SIGTERM ends every worker in order, and then the server, with exit code 0."""
    with RunningServer(tmp_path, WORKERS=str(WORKERS)) as server:
        server.wait_for("serving", WORKERS)
        assert 0 == server.stop()
        assert set(range(WORKERS)) == {each["worker"] for each in server.events("stopped")}
        assert [] == server.events("worker_ended")


def test_workers_do_not_outlive_their_server(tmp_path: Path) -> None:
    """After kill -9 of the process that started them, all workers end by themselves."""
    with RunningServer(tmp_path, WORKERS=str(WORKERS)) as server:
        server.wait_for("serving", WORKERS)
        server.kill()  # which waits until nobody holds its output any more
    assert WORKERS == len(server.events("stopped"))


def test_a_killed_server_leaves_nobody_who_serves(tmp_path: Path) -> None:
    """When a server starts after kill -9 of one before, all workers of that one have ended."""
    settings = {"WORKERS": str(WORKERS), "SHUTDOWN_GRACE_SECONDS": "600"}
    with RunningServer(tmp_path, **settings) as old, ExitStack() as stack:
        old.wait_for("serving", WORKERS)
        imports = [
            stub.ImportItems(iter(stack.enter_context(MessagesWithoutEnd())))
            for stub in connected(old, stack).values()
        ]
        for responses in imports:
            next(responses)
        old.kill_supervisor()
        with RunningServer(tmp_path, **settings) as new:
            assert old.has_ended()
            new.wait_for("serving", WORKERS)
        for responses in imports:
            with pytest.raises(grpc.RpcError) as caught:
                next(responses)
            assert grpc.StatusCode.UNAVAILABLE is caught.value.code()


def test_a_frozen_worker_of_a_killed_server_keeps_others_from_starting(tmp_path: Path) -> None:
    """A worker that cannot end holds the data folder, and the next server is refused."""
    with RunningServer(tmp_path, WORKERS="2") as old:
        old.wait_for("serving", 2)
        frozen = old.events("serving")[0]["process_id"]
        os.kill(frozen, signal.SIGSTOP)
        old.kill_supervisor()
        message = f"akin serve: another server uses this data folder: {tmp_path / 'data'}"
        for workers in ("1", "2"):
            code, (line,) = refused(tmp_path, WORKERS=workers)
            assert 2 == code
            assert line.startswith(message)
        os.kill(frozen, signal.SIGKILL)
        with RunningServer(tmp_path, WORKERS="2") as new:
            new.wait_for("serving", 2)


def test_a_server_that_is_killed_while_workers_start_leaves_nobody(tmp_path: Path) -> None:
    """Workers that do not serve yet when their server is killed end as well."""
    with RunningServer(tmp_path, WORKERS=str(WORKERS)) as old:
        old.kill_supervisor()
        with RunningServer(tmp_path, WORKERS="2"):
            assert old.has_ended()


def test_a_second_server_on_the_port_is_refused(several: RunningServer, tmp_path: Path) -> None:
    """Workers share their port among themselves only: another server cannot have it."""
    for workers in ("1", "2"):
        code, lines = refused(tmp_path, LISTEN=several.address, WORKERS=workers)
        message = f"akin serve: cannot listen on {several.address}: {IN_USE}"
        assert (2, message) == (code, lines[-1])
    taken = socket.create_server(("127.0.0.1", 0))
    with taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, lines = refused(tmp_path, LISTEN=address, WORKERS="2")
    assert (2, [f"akin serve: cannot listen on {address}: {IN_USE}"]) == (code, lines)


def test_a_second_server_on_the_folder_is_refused(several: RunningServer) -> None:
    """The data folder belongs to one server, however many workers either has."""
    for workers in ("1", "2"):
        code, lines = refused(several.folder, WORKERS=workers)
        assert 2 == code
        (line,) = lines
        message = f"akin serve: another server uses this data folder: {several.folder / 'data'}; "
        assert line.startswith(message)


def test_workers_that_cannot_start_end_the_server(tmp_path: Path) -> None:
    """What keeps a worker from its first start is reported, and the start is not repeated."""
    with RunningServer(tmp_path) as server:
        assert 0 == server.stop()
    settings = {"EMBEDDER": "openai", "EMBEDDING_BASE_URL": "http://127.0.0.1:9/v1"}
    code, lines = refused(
        tmp_path, WORKERS="2", EMBEDDING_MODEL="m", EMBEDDING_DIMENSIONS="7", **settings
    )
    assert 2 == code
    assert any("catalog 'default' was embedded with" in line for line in lines)
    assert "ended before it served" in lines[-1]


def test_a_worker_that_stood_still_learns_of_deletions(tmp_path: Path) -> None:
    """A worker that was stopped while deletions were purged does not recommend their items."""
    with (
        RunningServer(tmp_path, WORKERS=str(WORKERS)) as server,
        ExitStack() as stack,
    ):
        server.wait_for("serving", WORKERS)
        stubs = connected(server, stack)
        for number in range(4):
            sequence = written(stubs[0], number)
        assert "3" == best(stubs[1], 3, sequence)
        process_ids = {line["worker"]: line["process_id"] for line in server.events("serving")}
        os.kill(process_ids[1], signal.SIGSTOP)
        try:
            request = pb.BatchDeleteItemsRequest(ids=pb.ItemIds(item_ids=["1", "2", "3"]))
            deleted = stubs[0].BatchDeleteItems(request, timeout=WAIT_SECONDS).sequence
            until(lambda: [(1,)] == rows(tmp_path / "data", "SELECT count(*) FROM items"))
        finally:
            os.kill(process_ids[1], signal.SIGCONT)
        assert ["0"] * 3 == [best(stubs[1], number, deleted) for number in (1, 2, 3)]
        (line,) = server.wait_for_exactly("index_deletions_caught_up")
        assert (1, 3) == (line["worker"], line["items"])
