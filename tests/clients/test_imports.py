from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any, Self

import akin
import grpc
import pytest
from akin import _imports
from akin.v1 import recommender_service_pb2 as pb
from support.recording import RecordingServer
from support.scripted import Failure, ScriptedServer
from support.server import WAIT_SECONDS
from support.waiting import until

NOT_FOUND = Failure(grpc.StatusCode.NOT_FOUND)
UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)

Call = Callable[..., Awaitable[Any]]


class ReadError(Exception):
    """An exception from the caller's items."""


def unreadable_items(count: int) -> Iterator[akin.Item]:
    """Yield `count` items, and then raise ReadError."""
    for number in range(count):
        yield akin.item(str(number), "a text")
    raise ReadError


def items_of_a_failing_call(server: ScriptedServer) -> Iterator[akin.Item]:
    """Yield the items of one message, and raise ReadError after the server has ended the call."""
    for number in range(_imports.IMPORT_MESSAGE_RESOURCES):
        yield akin.item(str(number), "a text")
    server.imports_may_fail.set()
    server.import_ended.wait(WAIT_SECONDS)
    raise ReadError


def group_sizes(items: list[akin.Item]) -> list[int]:
    groups = list(_imports.split(items))
    assert items == [item for group in groups for item in group]
    for group in groups:
        size = pb.ImportItemsRequest(items=group).ByteSize()
        assert size <= _imports.IMPORT_MESSAGE_BYTES + 1024 or len(group) == 1
    return [len(group) for group in groups]


def test_a_message_has_at_most_250_items() -> None:
    """An import is sent in messages of at most 250 items, in order, and no message is empty."""
    items = [akin.item(str(number), "text") for number in range(600)]
    assert [250, 250, 100] == group_sizes(items)
    assert [250, 250] == group_sizes(items[:500])
    assert [1] == group_sizes(items[:1])
    assert [] == group_sizes([])


def test_a_message_has_at_most_4_mib() -> None:
    """Large items are sent in messages of at most 4 MiB, and a larger item is sent alone."""
    large = [akin.item(str(number), "x" * 1_000_000) for number in range(10)]
    assert [4, 4, 2] == group_sizes(large)
    huge = akin.item("huge", "x" * 5_000_000)
    assert [1, 1, 1] == group_sizes([large[0], huge, large[1]])
    assert [1, 1] == group_sizes([huge, huge])


async def test_users_are_split_like_items(call: Call) -> None:
    """An import of users is sent in messages of at most 250 users."""
    users = [akin.user(str(number), ["tea"]) for number in range(300)]
    with RecordingServer() as server:
        await call(server.address, "import_user_batches", users)
    assert [
        pb.ImportUsersRequest(catalog="books", users=users[:250]),
        pb.ImportUsersRequest(catalog="books", users=users[250:]),
    ] == server.requests


def test_a_broken_import_is_not_retried() -> None:
    """An import that breaks after a response raises its error, and is not sent again."""
    with ScriptedServer(UNAVAILABLE) as server, akin.Client(server.address) as client:
        results = client.import_items([akin.item("1", "text")])
        assert "1" == next(results).item_id
        with pytest.raises(akin.AkinError) as caught:
            next(results)
        assert grpc.StatusCode.UNAVAILABLE == caught.value.code
        assert 1 == server.import_count


async def test_a_broken_import_is_not_retried_by_asyncio() -> None:
    """An import of the asyncio client that breaks raises its error, and is not sent again."""
    with ScriptedServer(UNAVAILABLE) as server:
        async with akin.AsyncClient(server.address) as client:
            results = client.import_items([akin.item("1", "text")])
            assert "1" == (await anext(results)).item_id
            with pytest.raises(akin.AkinError) as caught:
                await anext(results)
        assert grpc.StatusCode.UNAVAILABLE == caught.value.code
        assert 1 == server.import_count


async def test_an_exception_of_the_items_reaches_the_caller() -> None:
    """An exception of the items is raised after the results of the items sent before it."""
    with ScriptedServer() as server:
        with akin.Client(server.address) as client:
            results = client.import_items(unreadable_items(300))
            assert [str(number) for number in range(250)] == [
                next(results).item_id for _ in range(250)
            ]
            with pytest.raises(ReadError):
                next(results)
        async with akin.AsyncClient(server.address) as async_client:
            async_results = async_client.import_items(unreadable_items(300))
            assert [str(number) for number in range(250)] == [
                (await anext(async_results)).item_id for _ in range(250)
            ]
            with pytest.raises(ReadError):
                await anext(async_results)


async def test_an_exception_of_the_items_replaces_the_error_of_the_call(call: Call) -> None:
    """An exception of a read is raised even if the server ends the call during that read."""
    with ScriptedServer(UNAVAILABLE) as server:
        server.imports_may_fail.clear()
        with pytest.raises(ReadError):
            await call(server.address, "import_items", items_of_a_failing_call(server))


def make_request(items: list[akin.Item]) -> pb.ImportItemsRequest:
    return pb.ImportItemsRequest(items=items)


class BlockedItems:
    """Items of an import, of which only some are available.

    Args:
        count: number of items that are available; -1 for all.
        on_block: is called when the others are asked for.

    Attributes:
        read_count: number of items that were read.
        closed: is set when the generator of the items has been closed.
    """

    def __init__(self, count: int, on_block: Callable[[], None] = lambda: None) -> None:
        self.read_count = 0
        self.closed = Event()
        self._count = count
        self._on_block = on_block
        self._release = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()

    def release(self) -> None:
        """Continue with endless items."""
        self._release.set()

    def generate(self) -> Iterator[akin.Item]:
        """Yield the items."""
        try:
            while True:
                if self.read_count == self._count:
                    self._on_block()
                    self._release.wait(WAIT_SECONDS)
                self.read_count += 1
                yield akin.item("a", "a text")
        finally:
            self.closed.set()


def count_reader_threads() -> int:
    """Return the number of threads in which gRPC reads requests."""
    return sum("consume_request_iterator" in thread.name for thread in enumerate_threads())


def test_an_error_arrives_although_the_items_block() -> None:
    """An error that ends an import is raised while the items wait, and the items are then closed.

    Their thread ends with the read that it is in.
    """
    with ScriptedServer(NOT_FOUND) as server, akin.Client(server.address) as client:
        server.imports_may_fail.clear()
        with BlockedItems(300, server.imports_may_fail.set) as items:
            with pytest.raises(akin.AkinError) as caught:
                list(client.import_items(items.generate()))
            assert grpc.StatusCode.NOT_FOUND == caught.value.code
            assert not items.closed.is_set()
        assert items.closed.wait(WAIT_SECONDS)
        assert 301 == items.read_count
        until(lambda: not count_reader_threads())


async def test_an_error_ends_an_import_of_endless_items() -> None:
    """An error ends an import whose items never end, and the items are closed."""
    with ScriptedServer(NOT_FOUND, NOT_FOUND) as server:
        with akin.Client(server.address) as client:
            items = BlockedItems(-1)
            with pytest.raises(akin.AkinError) as caught:
                list(client.import_items(items.generate()))
            assert grpc.StatusCode.NOT_FOUND == caught.value.code
            assert items.closed.wait(WAIT_SECONDS)
        async with akin.AsyncClient(server.address) as async_client:
            items = BlockedItems(-1)
            with pytest.raises(akin.AkinError) as caught:
                [result async for result in async_client.import_items(items.generate())]
            assert grpc.StatusCode.NOT_FOUND == caught.value.code
            assert items.closed.wait(WAIT_SECONDS)


def test_leaving_an_import_closes_the_items() -> None:
    """A caller that stops reading the results does not wait for the items, which are closed."""
    with ScriptedServer() as server, akin.Client(server.address) as client:
        with BlockedItems(300) as items:
            for _ in client.import_items(items.generate()):
                break
        assert items.closed.wait(WAIT_SECONDS)
        assert items.read_count <= 301
        until(lambda: not count_reader_threads())


def test_a_read_in_progress_is_waited_for() -> None:
    """A stream that stops during a read returns the exception that this read raises."""
    started, released = Event(), Event()

    def items() -> Iterator[akin.Item]:
        started.set()
        released.wait(WAIT_SECONDS)
        yield from ()
        raise ReadError

    stream = _imports.RequestStream(items(), make_request)
    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(list, stream)
        assert started.wait(WAIT_SECONDS)
        stopping = pool.submit(stream.stop)
        released.set()
        assert isinstance(stopping.result(WAIT_SECONDS), ReadError)
        assert [] == reading.result(WAIT_SECONDS)


def test_a_stopped_stream_reads_no_more() -> None:
    """A stream that has stopped does not read the caller's iterable again."""
    items = (akin.item(str(number), "a text") for number in range(300))
    stream = _imports.RequestStream(items, make_request)
    assert 250 == len(next(stream).items)
    assert stream.stop() is None
    assert [] == list(stream)
    assert "250" == next(items).item_id
