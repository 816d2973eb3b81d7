"""One import stream of items or users, in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from queue import Queue
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


class ImportStream(Generic[Resource, Batch]):
    """Sends resources to the server in the order of `put`, and hands over the responses.

    The call starts with the first resource. Methods are for one thread.

    Args:
        executor: runs the stream; it must have a free thread.
        send: the client's method that imports resources and yields responses.
        on_batch: receives each response with the line numbers of its results, in the thread of the
            stream.
    """

    def __init__(
        self,
        executor: Executor,
        send: Callable[[Iterator[Resource]], Iterator[Batch]],
        on_batch: Callable[[Batch, Sequence[int]], None],
    ) -> None:
        self._executor = executor
        self._send = send
        self._on_batch = on_batch
        self._queue: Queue[tuple[int, Resource] | None] = Queue(MAX_WAITING_RESOURCES)
        self._sent_lines: deque[int] = deque()
        self._call: Future[None] | None = None
        self._failed = False

    def put(self, line_number: int, resource: Resource) -> None:
        """Send a resource; wait while too many are waiting."""
        if self._call is None:
            self._call = self._executor.submit(self._run)
        self._queue.put((line_number, resource))

    def has_failed(self) -> bool:
        """Has the call failed? Further resources are then discarded."""
        return self._failed

    def close(self) -> None:
        """End the stream after the resources that were put."""
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
            for batch in self._send(self._take_resources()):
                line_numbers = [self._sent_lines.popleft() for _ in batch.results]
                self._on_batch(batch, line_numbers)
        except BaseException:
            self._failed = True
            for _ in self._take_resources():  # until the end, so that `put` never blocks
                pass
            raise

    def _take_resources(self) -> Iterator[Resource]:
        while (entry := self._queue.get()) is not None:
            line_number, resource = entry
            self._sent_lines.append(line_number)
            yield resource
        # gRPC may still be reading the resources of a failed call in another thread.
        self._queue.put(None)
