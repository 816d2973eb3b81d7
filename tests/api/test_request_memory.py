import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from support.tasks import left

from service import errors
from service.api.request_memory import (
    BYTES_IN_MEMORY,
    LARGEST_BYTES,
    MAX_SLOW_RECEPTIONS,
    MIN_RECEPTIONS,
    RequestMemory,
)
from service.domain import limits

WAIT_SECONDS = 60.0
LARGEST = limits.MESSAGE_BYTES
CALLER = "caller"


class Sender:
    """A caller whose message of `size` bytes arrives when a test says so."""

    def __init__(self, size: int = 1) -> None:
        self.has_begun = asyncio.Event()
        self._message: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._size = size

    async def read(self) -> bytes:
        """Return the message when it has arrived."""
        self.has_begun.set()
        return await self._message

    def send(self) -> None:
        """Let the message arrive."""
        self._message.set_result(bytes(self._size))


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(), WAIT_SECONDS)

    asyncio.run(main())


def test_messages_beyond_the_budget_are_not_received() -> None:
    """A message waits at its caller until requests in progress have given back their memory."""

    async def check() -> None:
        count = 2 * MIN_RECEPTIONS
        memory = RequestMemory(count * LARGEST * BYTES_IN_MEMORY)
        senders = [Sender(LARGEST) for _ in range(count)]
        tasks = [
            asyncio.create_task(memory.receive(sender.read, lambda: CALLER)) for sender in senders
        ]
        for sender, task in zip(senders, tasks, strict=True):
            await sender.has_begun.wait()
            sender.send()
            await task
        small = [Sender() for _ in range(MIN_RECEPTIONS + 1)]
        receptions = [
            asyncio.create_task(memory.receive(sender.read, lambda: CALLER)) for sender in small
        ]
        for sender in small[:MIN_RECEPTIONS]:
            await sender.has_begun.wait()
        assert not small[-1].has_begun.is_set()
        for _ in senders:
            memory.release(LARGEST)
        await small[-1].has_begun.wait()
        for sender in small:
            sender.send()
        await asyncio.gather(*receptions)

    run(check)


def test_silent_calls_keep_nobody_out() -> None:
    """Callers that open calls without sending anything give up their places, and go on to wait."""

    async def check() -> None:
        memory = RequestMemory(0)
        silent = [Sender() for _ in range(MIN_RECEPTIONS)]
        silent_calls = [
            asyncio.create_task(memory.receive(sender.read, lambda: "silent")) for sender in silent
        ]
        for sender in silent:
            await sender.has_begun.wait()
        prompt = Sender()
        prompt.send()
        assert await memory.receive(prompt.read, lambda: CALLER) == bytes(1)
        for sender in silent:
            sender.send()
        assert await asyncio.gather(*silent_calls) == [bytes(1)] * MIN_RECEPTIONS

    run(check)


def test_callers_receive_in_turns() -> None:
    """A caller with many silent calls delays another one by the time of one place only."""

    async def check() -> None:
        memory = RequestMemory(0)
        silent = [Sender() for _ in range(100 * MIN_RECEPTIONS)]
        silent_calls = [
            asyncio.create_task(memory.receive(sender.read, lambda: "silent")) for sender in silent
        ]
        for sender in silent[:MIN_RECEPTIONS]:
            await sender.has_begun.wait()
        prompt = Sender()
        prompt.send()
        await memory.receive(prompt.read, lambda: CALLER)
        assert sum(sender.has_begun.is_set() for sender in silent) <= 3 * MIN_RECEPTIONS
        await left(*silent_calls)

    run(check)


def test_few_requests_arrive_slowly() -> None:
    """Of too many requests that arrive slowly, the oldest ones are refused."""

    async def check() -> None:
        memory = RequestMemory(0)
        silent = [Sender() for _ in range(MAX_SLOW_RECEPTIONS + MIN_RECEPTIONS + 1)]
        first, *others = [
            asyncio.create_task(memory.receive(sender.read, partial(str, number)))
            for number, sender in enumerate(silent)
        ]
        with pytest.raises(errors.Overloaded, match="too slowly"):
            await first
        await left(*others)

    run(check)


def test_large_requests_do_not_exceed_the_budget_without_end() -> None:
    """Large requests that take long are at most four more than the budget, however many come."""

    async def check() -> None:
        memory = RequestMemory(LARGEST_BYTES)
        received = 1 + MIN_RECEPTIONS
        for _ in range(received):
            sender = Sender(LARGEST)
            sender.send()
            await memory.receive(sender.read, lambda: CALLER)
        refused = Sender(LARGEST)
        with pytest.raises(errors.Overloaded, match="no room"):
            await memory.receive(refused.read, lambda: CALLER)
        assert not refused.has_begun.is_set()

    run(check)


def test_streams_take_places_for_their_messages() -> None:
    """Many streams that begin to send at once do not receive more than other calls do."""

    async def check() -> None:
        memory = RequestMemory(0)
        senders = [Sender(LARGEST) for _ in range(2 * MIN_RECEPTIONS)]
        streams = [
            asyncio.create_task(memory.receive_next(sender.read, lambda: CALLER))
            for sender in senders
        ]
        for sender in senders[:MIN_RECEPTIONS]:
            await sender.has_begun.wait()
            sender.send()
        await asyncio.gather(*streams[:MIN_RECEPTIONS])
        assert not any(sender.has_begun.is_set() for sender in senders[MIN_RECEPTIONS:])
        for stream in streams[MIN_RECEPTIONS:]:
            stream.cancel()
        await asyncio.wait(streams)

    run(check)


def test_every_stream_continues_once_there_is_room() -> None:
    """A stream that continues and has nothing more to send leaves none of the others waiting."""

    async def check() -> None:
        memory = RequestMemory(BYTES_IN_MEMORY)
        held_bytes = 1 + MIN_RECEPTIONS * LARGEST
        large = Sender(held_bytes)
        large.send()
        await memory.receive_next(large.read, lambda: CALLER)
        senders = [Sender() for _ in range(3 * MIN_RECEPTIONS)]
        streams = [
            asyncio.create_task(memory.receive_next(sender.read, lambda: CALLER))
            for sender in senders
        ]
        await asyncio.sleep(0)
        assert not any(sender.has_begun.is_set() for sender in senders)
        memory.release(held_bytes)
        for sender in senders:
            await sender.has_begun.wait()
        await left(*streams)

    run(check)


def test_a_silent_call_stays_while_nobody_waits() -> None:
    """No message is too slow as long as there is room for the others."""

    async def check() -> None:
        memory = RequestMemory()
        silent = Sender()
        call = asyncio.create_task(memory.receive(silent.read, lambda: CALLER))
        await silent.has_begun.wait()
        prompt = Sender()
        prompt.send()
        await memory.receive(prompt.read, lambda: CALLER)
        silent.send()
        assert await call == bytes(1)

    run(check)


def test_a_caller_that_leaves_gives_back_its_place() -> None:
    """Cancelled receptions and cancelled waiters leave no place taken."""

    async def check() -> None:
        memory = RequestMemory(0)
        gone = [Sender() for _ in range(2 * MIN_RECEPTIONS)]
        calls = [
            asyncio.create_task(memory.receive(sender.read, lambda: CALLER)) for sender in gone
        ]
        for sender in gone[:MIN_RECEPTIONS]:
            await sender.has_begun.wait()
        for call in reversed(calls):
            call.cancel()
        await asyncio.wait(calls)
        for _ in range(2 * MIN_RECEPTIONS):
            prompt = Sender()
            prompt.send()
            await memory.receive(prompt.read, lambda: CALLER)

    run(check)


def test_silent_streams_take_no_place() -> None:
    """Streams that wait for their next message keep no request out, and are not ended."""

    async def check() -> None:
        memory = RequestMemory()
        silent = [Sender() for _ in range(100)]
        streams = [
            asyncio.create_task(memory.receive_next(sender.read, lambda: CALLER))
            for sender in silent
        ]
        for sender in silent:
            await sender.has_begun.wait()
        prompt = Sender()
        prompt.send()
        await memory.receive(prompt.read, lambda: CALLER)
        assert not any(stream.done() for stream in streams)
        for sender in silent:
            sender.send()
        assert [bytes(1)] * 100 == await asyncio.gather(*streams)

    run(check)
