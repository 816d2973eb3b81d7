from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Event
from typing import NamedTuple

import pytest
from support.server import WAIT_SECONDS

from service.cli.import_stream import MAX_WAITING_BYTES, MAX_WAITING_RESOURCES, ImportStream

SHORT_SECONDS = 0.05


class Batch(NamedTuple):
    """A response with one result for each resource."""

    results: Sequence[str]


class CallError(Exception):
    """The error of a call."""


class Server:
    """Stores each call as one batch.

    Attributes:
        stored: the results of the calls and their line numbers.
        failure_count: number of calls that failed.
    """

    def __init__(self) -> None:
        self.stored: SimpleQueue[tuple[list[str], list[int]]] = SimpleQueue()
        self.failure_count = 0

    def store(self, resources: Iterator[str]) -> Iterator[Batch]:
        """Read the resources of a call to their end."""
        yield Batch(list(resources))

    def refuse(self, resources: Iterator[str]) -> Iterator[Batch]:
        """End a call with an error after the first resource."""
        next(resources)
        yield from ()
        raise CallError

    def on_batch(self, batch: Batch, line_numbers: Sequence[int]) -> None:
        """Receive a batch."""
        self.stored.put((list(batch.results), list(line_numbers)))

    def on_failure(self) -> None:
        """Receive the news of a failure."""
        self.failure_count += 1


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_resources_before_a_pause_are_stored_at_once(executor: ThreadPoolExecutor) -> None:
    """A pause ends the call, and the next resource starts another one."""
    server = Server()
    stream = ImportStream(executor, server.store, server.on_batch, server.on_failure, SHORT_SECONDS)
    for number, name in enumerate(["a", "b", "c"]):
        stream.put(number, name)
        assert ([name], [number]) == server.stored.get(timeout=WAIT_SECONDS)
    stream.close()
    stream.wait()


def test_a_stream_without_pauses_is_one_call(executor: ThreadPoolExecutor) -> None:
    """Resources that follow each other are sent in one call."""
    server = Server()
    stream = ImportStream(executor, server.store, server.on_batch, server.on_failure)
    names = [str(number) for number in range(3 * MAX_WAITING_RESOURCES)]
    for number, name in enumerate(names):
        stream.put(number, name)
    stream.close()
    stream.wait()
    assert (names, list(range(len(names)))) == server.stored.get(timeout=WAIT_SECONDS)
    assert server.stored.empty()


def test_the_bytes_of_waiting_resources_are_bounded() -> None:
    """One resource waits while another one as large as the bound is being sent; none is lost."""
    server, all_put, counts = Server(), Event(), list[bool]()

    def store(resources: Iterator[str]) -> Iterator[Batch]:
        first = next(resources)
        counts.append(all_put.wait(SHORT_SECONDS))
        yield Batch([first, *resources])

    def put_all(stream: ImportStream[str, Batch]) -> None:
        for number, name in enumerate("abcd"):
            stream.put(number, name, MAX_WAITING_BYTES)
        all_put.set()
        stream.close()

    with ThreadPoolExecutor(2) as pool:
        stream = ImportStream(pool, store, server.on_batch, server.on_failure)
        pool.submit(put_all, stream).result(WAIT_SECONDS)
        stream.wait()
    assert [False] == counts
    assert ([*"abcd"], [*range(4)]) == server.stored.get(timeout=WAIT_SECONDS)


@pytest.mark.parametrize("pause_seconds", [SHORT_SECONDS, WAIT_SECONDS])
def test_a_failed_stream_never_blocks(executor: ThreadPoolExecutor, pause_seconds: float) -> None:
    """More resources than can wait are discarded after an error, which `wait` raises."""
    server = Server()
    stream = ImportStream(
        executor, server.refuse, server.on_batch, server.on_failure, pause_seconds
    )
    for number in range(3 * MAX_WAITING_RESOURCES):
        stream.put(number, "a")
    stream.close()
    with pytest.raises(CallError):
        stream.wait()
    assert stream.has_failed()
    assert 1 == server.failure_count
