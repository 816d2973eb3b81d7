"""Imports of items or users through calls in a thread of their own, one call after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from queue import Empty, Queue
from threading import Condition, Lock
from typing import Generic, NamedTuple, Protocol, TypeVar


class ImportBatch(Protocol):
    """A response of an import: one result for each resource of a request message."""

    @property
    def results(self) -> Iterable[object]:
        """The results, in the order of the resources."""


Resource = TypeVar("Resource")
Batch = TypeVar("Batch", bound=ImportBatch)

# Resources that wait to be sent.
MAX_WAITING_RESOURCES = 64

# Their bytes, because an item can have 16 MiB. A larger resource waits alone.
MAX_WAITING_BYTES = 32 * 1024 * 1024

# A call ends if no resource follows for this time: its last resources are stored then, and the
# server, which ends idle streams after 10 minutes, need not wait.
PAUSE_SECONDS = 60.0


class _Entry(NamedTuple, Generic[Resource]):
    """A resource that waits to be sent, with its line and its size."""

    line_number: int
    resource: Resource
    byte_count: int


class _EntryQueue(Generic[Resource]):
    """A queue of entries with a bound on their number and one on their bytes; None ends it."""

    def __init__(self) -> None:
        self._queue: Queue[_Entry[Resource] | None] = Queue(MAX_WAITING_RESOURCES)
        self._byte_count = 0
        self._changed = Condition()

    def put(self, entry: _Entry[Resource]) -> None:
        """Add an entry; wait while the queue has no room for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(entry.byte_count))
            self._byte_count += entry.byte_count
        self._queue.put(entry)

    def put_end(self) -> None:
        """Add the end."""
        self._queue.put(None)

    def get(self, timeout_seconds: float | None = None) -> _Entry[Resource] | None:
        """Remove the first entry; wait for one.

        Raises:
            Empty: there was none for this time.
        """
        entry = self._queue.get(timeout=timeout_seconds)
        if entry is not None:
            with self._changed:
                self._byte_count -= entry.byte_count
                self._changed.notify()
        return entry

    def _has_room(self, byte_count: int) -> bool:
        return not self._byte_count or self._byte_count + byte_count <= MAX_WAITING_BYTES


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
        self._queue: _EntryQueue[Resource] = _EntryQueue()
        self._sent_lines: deque[int] = deque()
        self._call: Future[None] | None = None
        self._failed = False
        self._closed = False
        self._opening = Lock()

    def put(self, line_number: int, resource: Resource, byte_count: int = 0) -> None:
        """Send a resource; wait while too many are waiting. A closed stream discards it.

        Args:
            line_number: its line, for the response.
            resource: the resource.
            byte_count: its size, if it can be large.
        """
        with self._opening:
            if self._closed:
                return
            if self._call is None:
                self._call = self._executor.submit(self._run)
        self._queue.put(_Entry(line_number, resource, byte_count))

    def has_failed(self) -> bool:
        """Has the call failed? Further resources are then discarded."""
        return self._failed

    def close(self) -> None:
        """End the stream after the resources that were put."""
        with self._opening:
            self._closed = True
        if self._call is not None:
            self._queue.put_end()

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

    def _take_resources(self, first: _Entry[Resource]) -> Iterator[Resource]:
        entry: _Entry[Resource] | None = first
        try:
            while entry is not None:
                self._sent_lines.append(entry.line_number)
                yield entry.resource
                entry = self._queue.get(self._pause_seconds)
        except Empty:
            return
        # gRPC reads in another thread: the thread of the stream has not seen the end.
        self._queue.put_end()
