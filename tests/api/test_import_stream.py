import asyncio
from collections.abc import AsyncIterator

import pytest

from service import errors
from service.api.import_stream import PREPARED_AHEAD, run_import

GIVE_UP_SECONDS = 120.0
FAILURES = [
    errors.invalid_field("message", "must be a message"),
    errors.PermissionDenied("the key may not use this catalog"),
    errors.RateLimited("too many requests", 1.0),
]


class Import:
    """An import of numbers whose preparation waits until the stream has ended.

    Args:
        count: the number of requests.
        failure: ends the stream after them; None for a regular end.
    """

    def __init__(self, count: int, failure: errors.AkinError | None = None) -> None:
        self.stored: list[int] = []
        self.responses: list[int] = []
        self.unprepared = -1
        self._count = count
        self._failure = failure
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Run the import to its end, and collect the responses."""
        async with asyncio.timeout(GIVE_UP_SECONDS):
            async for response in run_import(self._requests(), self._prepare, self._store):
                self.responses.append(response)

    async def _requests(self) -> AsyncIterator[int]:
        for number in range(self._count):
            yield number
        self._ended.set()
        if self._failure is not None:
            raise self._failure

    async def _prepare(self, number: int) -> int:
        await self._ended.wait()
        if number == self.unprepared:
            raise errors.Overloaded("the queue is full")
        return number

    async def _store(self, number: int) -> int:
        self.stored.append(number)
        return number


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
@pytest.mark.parametrize("count", range(PREPARED_AHEAD + 1))
async def test_requests_before_a_bad_one_are_stored(count: int, failure: errors.AkinError) -> None:
    """A stream that fails does so after its earlier requests are prepared, stored and answered."""
    stream = Import(count, failure)
    with pytest.raises(type(failure)) as raised:
        await stream.run()
    assert failure is raised.value
    assert list(range(count)) == stream.stored == stream.responses


async def test_the_first_failure_ends_an_import() -> None:
    """A request that cannot be prepared ends the import, even if a later one is bad as well."""
    stream = Import(2, errors.invalid_field("message", "must be a message"))
    stream.unprepared = 1
    with pytest.raises(errors.Overloaded):
        await stream.run()
    assert [0] == stream.stored == stream.responses


async def test_a_stream_without_failure_is_stored() -> None:
    """A stream that ends regularly is answered whole and in order."""
    stream = Import(PREPARED_AHEAD + 1)
    await stream.run()
    assert list(range(PREPARED_AHEAD + 1)) == stream.stored == stream.responses
