from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers

from service import errors
from service.http.read_ahead import READ_AHEAD_BYTES, ReadAhead
from service.http.request_body import RequestBody

PART = b"x" * 1024


class Client:
    """The events of one request, as a client causes them."""

    def __init__(self) -> None:
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received_bytes = 0

    def send(self, data: bytes, *, ends: bool = False) -> None:
        """Sends a part of the body."""
        self._events.put_nowait({"type": "http.request", "body": data, "more_body": not ends})

    def leave(self) -> None:
        """Closes the connection."""
        self._events.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        """The next event."""
        event = await self._events.get()
        self.received_bytes += len(event.get("body", b""))
        return event


def open_body(client: Client) -> ReadAhead:
    return ReadAhead(RequestBody(client.receive, Headers()))


async def run_until_idle() -> None:
    """Lets all other tasks go on until they wait."""
    for _ in range(2 * READ_AHEAD_BYTES // len(PART)):
        await asyncio.sleep(0)


async def test_the_whole_body_is_read() -> None:
    """All parts are read in order, however the reader and the client take turns."""
    client = Client()
    body = open_body(client)
    client.send(b"a")
    assert b"a" == await body.read_chunk()
    client.send(b"b")
    client.send(b"c", ends=True)
    await run_until_idle()
    assert b"bc" == await body.read_chunk()
    assert await body.read_chunk() is None
    body.close()


@pytest.mark.parametrize("ends", [False, True])
async def test_a_client_that_leaves_cancels_the_request(*, ends: bool) -> None:
    """The request is cancelled when its client leaves, also if nobody reads the body."""
    client = Client()

    async def serve() -> None:
        await open_body(client).read_chunk()
        await asyncio.Event().wait()

    request = asyncio.create_task(serve())
    client.send(PART)
    client.send(PART, ends=ends)
    client.leave()
    await asyncio.wait({request})
    assert request.cancelled()


async def test_a_closed_body_cancels_nothing() -> None:
    """After the end of the call, a client that leaves ends nothing."""
    client = Client()
    body = open_body(client)
    client.send(PART, ends=True)
    assert PART == await body.read_chunk()
    body.close()
    client.leave()
    await run_until_idle()


async def test_an_unread_body_has_a_limit() -> None:
    """A client that sends faster than its body is read has to wait."""
    client = Client()
    body = open_body(client)
    for _ in range(4 * READ_AHEAD_BYTES // len(PART)):
        client.send(PART)
    for reads in range(1, 4):
        assert READ_AHEAD_BYTES == len(await body.read_chunk() or b"")
        await run_until_idle()
        assert (reads + 1) * READ_AHEAD_BYTES == client.received_bytes
    body.close()


async def test_a_drain_ends_reads_of_a_body_without_end() -> None:
    """A read in progress and further ones fail, and the rest of a body that has arrived is read."""
    client = Client()
    body = open_body(client)
    reading = asyncio.create_task(body.read_chunk())
    await run_until_idle()
    body.drain()
    with pytest.raises(errors.NotReady):
        await reading
    with pytest.raises(errors.NotReady):
        await body.read_chunk()
    client.send(PART, ends=True)
    await run_until_idle()
    assert PART == await body.read_chunk()
    assert await body.read_chunk() is None
    body.close()
