"""Messages of calls that stream: a stream whose client is idle ends, and sooner during a drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import grpc

from service import errors

# A stream ends if its client neither sends nor reads for this time. An import may read its items
# slowly, from a pipe for example, and large services that accept streams of writes wait as long.
STREAM_IDLE_SECONDS = 600.0

# The same while the server drains: a client that is sending gets to its end.
DRAINING_IDLE_SECONDS = 3.0

Context = grpc.aio.ServicerContext[bytes, bytes]


class OpenStreams:
    """The streams in progress, which share one idle timeout.

    Args:
        idle_seconds: the idle timeout.
    """

    def __init__(self, idle_seconds: float = STREAM_IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._is_draining = False
        self._streams: set[MessageStream] = set()

    @property
    def idle_seconds(self) -> float:
        """The time after which a stream is idle."""
        return DRAINING_IDLE_SECONDS if self._is_draining else self._idle_seconds

    @contextmanager
    def open(self, context: Context) -> Iterator[MessageStream]:
        """Yield the stream of a call."""
        stream = MessageStream(context, self)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.remove(stream)

    def drain(self) -> None:
        """End idle streams soon, with NotReady."""
        self._is_draining = True
        for stream in self._streams:
            stream.restart()

    def make_error(self, behavior: str) -> errors.AkinError:
        """Return the error that ends an idle stream.

        Args:
            behavior: what the client has not done, as in "sent no message".
        """
        if self._is_draining:
            return errors.NotReady("the service is shutting down")
        return errors.StreamIdle(f"the client has {behavior} for {self._idle_seconds:g} seconds")


class MessageStream:
    """The messages of one call. Each message that is read has one response."""

    def __init__(self, context: Context, streams: OpenStreams) -> None:
        self._context = context
        self._streams = streams
        self._unanswered_count = 0
        self._reading: asyncio.Timeout | None = None

    async def read(self) -> AsyncIterator[bytes]:
        """Yield the messages of the client.

        Raises:
            StreamIdle: all messages are answered, and the client sent none for the idle timeout.
            NotReady: the same, while the server drains.
        """
        while (message := await self._read_next()) is not None:
            self._unanswered_count += 1
            yield message

    async def write(self, message: bytes) -> None:
        """Send a response.

        Raises:
            StreamIdle: the client has read no response for the idle timeout.
            NotReady: the same, while the server drains.
        """
        try:
            async with asyncio.timeout(self._streams.idle_seconds):
                await self._context.write(message)
        except TimeoutError:
            raise self._streams.make_error("read no response") from None
        except grpc.aio.BaseError:
            # The client has left. grpc.aio cancels this call, but later than it fails the write.
            raise asyncio.CancelledError from None
        self._unanswered_count -= 1
        self.restart()

    def restart(self) -> None:
        """Begin the idle timeout again, unless a message waits for its response."""
        if self._reading is not None and not self._reading.expired():
            self._reading.reschedule(self._find_idle_time())

    async def _read_next(self) -> bytes | None:
        """Return the next message; None at the end."""
        try:
            async with asyncio.timeout_at(self._find_idle_time()) as self._reading:
                message: object = await self._context.read()
        except TimeoutError:
            raise self._streams.make_error("sent no message") from None
        finally:
            self._reading = None
        return message if isinstance(message, bytes) else None  # grpc.aio.EOF

    def _find_idle_time(self) -> float | None:
        """Return the time of the event loop at which the stream is idle."""
        if self._unanswered_count:
            return None
        return asyncio.get_running_loop().time() + self._streams.idle_seconds
