import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service import errors
from service.api.request_memory import BYTES_IN_MEMORY, MIN_RECEPTIONS, RequestMemory
from service.domain import limits

WAIT_SECONDS = 10.0
LARGEST = limits.MESSAGE_BYTES


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
        tasks = [asyncio.create_task(memory.receive(sender.read)) for sender in senders]
        for sender, task in zip(senders, tasks, strict=True):
            await sender.has_begun.wait()
            sender.send()
            await task
        small = [Sender() for _ in range(MIN_RECEPTIONS + 1)]
        receptions = [asyncio.create_task(memory.receive(sender.read)) for sender in small]
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


def test_a_slow_sender_gives_up_its_place() -> None:
    """Callers that open calls without sending anything cannot keep the others out."""

    async def check() -> None:
        memory = RequestMemory(0)
        silent = [Sender() for _ in range(MIN_RECEPTIONS)]
        silent_calls = [asyncio.create_task(memory.receive(sender.read)) for sender in silent]
        for sender in silent:
            await sender.has_begun.wait()
        prompt = Sender()
        prompt.send()
        assert await memory.receive(prompt.read) == bytes(1)
        done, _ = await asyncio.wait(silent_calls, return_when=asyncio.FIRST_COMPLETED)
        (refused,) = done
        with pytest.raises(errors.Overloaded, match="too slowly"):
            refused.result()
        for call in silent_calls:
            call.cancel()

    run(check)


def test_a_silent_call_stays_while_nobody_waits() -> None:
    """No message is too slow as long as there is room for the others."""

    async def check() -> None:
        memory = RequestMemory()
        silent = Sender()
        call = asyncio.create_task(memory.receive(silent.read))
        await silent.has_begun.wait()
        prompt = Sender()
        prompt.send()
        await memory.receive(prompt.read)
        silent.send()
        assert await call == bytes(1)

    run(check)


def test_a_caller_that_leaves_gives_back_its_place() -> None:
    """Cancelled receptions and cancelled waiters leave no place taken."""

    async def check() -> None:
        memory = RequestMemory(0)
        gone = [Sender() for _ in range(2 * MIN_RECEPTIONS)]
        calls = [asyncio.create_task(memory.receive(sender.read)) for sender in gone]
        for sender in gone[:MIN_RECEPTIONS]:
            await sender.has_begun.wait()
        for call in reversed(calls):
            call.cancel()
        await asyncio.wait(calls)
        for _ in range(2 * MIN_RECEPTIONS):
            prompt = Sender()
            prompt.send()
            await memory.receive(prompt.read)

    run(check)


def test_streams_wait_while_the_budget_is_used_up() -> None:
    """A stream receives its next message after requests in progress gave back their memory."""

    async def check() -> None:
        memory = RequestMemory(BYTES_IN_MEMORY)
        await memory.wait_for_room()
        memory.hold(1)
        waiting = asyncio.create_task(memory.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        memory.release(1)
        await waiting

    run(check)
