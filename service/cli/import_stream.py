"""Imports of items or users through calls in a thread of their own, one call after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from queue import Empty, Queue
from threading import Lock
from typing import Generic, Protocol, TypeVar


class ImportBatch(Protocol):
    """A response of an import: one result for each resource of a request message."""

    @property
    def results(self) -> Iterable[object]:
        """The results, in the order of the resources."""


Resource = TypeVar("Resource")
Batch = TypeVar("Batch", bound=ImportBatch)

# Resources that wait to be sent. Few, because each can have megabytes.
MAX_WAITING_RESOURCES = 64

# A call ends if no resource follows for this time: its last resources are stored then, and the
# server, which ends idle streams after 10 minutes, need not wait.
PAUSE_SECONDS = 60.0


class ImportStream(Generic[Resource, Batch]):
    """Sends resources to the server in the order of `put`, and hands over the responses.

    A call starts with the first resource, and with the first one after a pause. `put` is for one
    thread, and the other methods are for any.

    Args:
        executor: runs the stream; it must have a free thread.
        send: the client's method that imports resources and yields responses.
        on_batch: receives each response with the line numbers of its results, in the thread of the
            stream.
        on_failure: is called in that thread when a call has failed.
        pause_seconds: the call ends if no resource is put for this time.
    """

    def __init__(
        self,
        executor: Executor,
        send: Callable[[Iterator[Resource]], Iterator[Batch]],
        on_batch: Callable[[Batch, Sequence[int]], None],
        on_failure: Callable[[], None],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._executor = executor
        self._send = send
        self._on_batch = on_batch
        self._on_failure = on_failure
        self._pause_seconds = pause_seconds
        self._queue: Queue[tuple[int, Resource] | None] = Queue(MAX_WAITING_RESOURCES)
        self._sent_lines: deque[int] = deque()
        self._call: Future[None] | None = None
        self._failed = False
        self._closed = False
        self._opening = Lock()

    def put(self, line_number: int, resource: Resource) -> None:
        """Send a resource; wait while too many are waiting. A closed stream discards it."""
        with self._opening:
            if self._closed:
                return
            if self._call is None:
                self._call = self._executor.submit(self._run)
        self._queue.put((line_number, resource))

    def has_failed(self) -> bool:
        """Has the call failed? Further resources are then discarded."""
        return self._failed

    def close(self) -> None:
        """End the stream after the resources that were put."""
        with self._opening:
            self._closed = True
        if self._call is not None:
            self._queue.put(None)

    def wait(self) -> None:
        """Wait for all responses of a closed stream.

        Raises:
            AkinError: the call failed.
        """
        if self._call is not None:
            self._call.result()

    def _run(self) -> None:
        try:
            while (first := self._queue.get()) is not None:
                for batch in self._send(self._take_resources(first)):
                    line_numbers = [self._sent_lines.popleft() for _ in batch.results]
                    self._on_batch(batch, line_numbers)
        except BaseException:
            self._failed = True
            self._on_failure()
            while self._queue.get() is not None:  # until the end, so that `put` never blocks
                pass
            raise

    def _take_resources(self, first: tuple[int, Resource]) -> Iterator[Resource]:
        entry: tuple[int, Resource] | None = first
        try:
            while entry is not None:
                line_number, resource = entry
                self._sent_lines.append(line_number)
                yield resource
                entry = self._queue.get(timeout=self._pause_seconds)
        except Empty:
            return
        # gRPC reads in another thread: the thread of the stream has not seen the end.
        self._queue.put(None)
