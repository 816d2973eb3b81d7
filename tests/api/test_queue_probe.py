"""Probes of the queue, with a real server that sends them to itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc

from service.api.call_counts import CountedHandlers
from service.api.queue_probe import SOCKET_PATH_BYTES, QueueProbe

GIVE_UP_SECONDS = 120.0
POLL_SECONDS = 0.01
POLLS = int(GIVE_UP_SECONDS / POLL_SECONDS)


@asynccontextmanager
async def serving(socket: Path) -> AsyncIterator[tuple[CountedHandlers, str]]:
    """Run a server that has no methods; return its counts and its address."""
    probe = QueueProbe(socket)
    handlers = CountedHandlers(probe)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    probe.listen(server)
    await server.start()
    try:
        async with asyncio.timeout(GIVE_UP_SECONDS):
            yield handlers, f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
        await probe.close()


async def call(address: str, method: str) -> grpc.StatusCode:
    """Return the status of a call."""
    async with grpc.aio.insecure_channel(address) as channel:
        attempt: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        try:
            await attempt(b"", timeout=GIVE_UP_SECONDS)
        except grpc.aio.AioRpcError as exc:
            return exc.code()
    return grpc.StatusCode.OK


async def send(handlers: CountedHandlers) -> int:
    """Send a probe, and return its place among the accepted calls."""
    handlers.send_probe()
    for _ in range(POLLS):
        if handlers.accepted_before_probe is not None:
            return handlers.accepted_before_probe
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError("the probe was not accepted")


async def test_a_probe_counts_the_calls_before_it() -> None:
    """Each probe reports how many calls were accepted before, and is a call itself."""
    with TemporaryDirectory() as folder:
        async with serving(Path(folder) / "probe") as (handlers, address):
            assert await send(handlers) == 0
            await call(address, "/a/b")
            await call(address, "/a/b")
            assert await send(handlers) == 3


async def test_nobody_else_can_send_a_probe() -> None:
    """A call to the path of an earlier probe is an unknown method and no probe."""
    with TemporaryDirectory() as folder:
        probe_socket = Path(folder) / "probe"
        async with serving(probe_socket) as (handlers, address):
            probe = handlers._probe
            await send(handlers)
            former = probe.method
            handlers.send_probe()
            assert await call(address, former) is grpc.StatusCode.UNIMPLEMENTED
            assert probe.method != former


async def test_a_probe_that_does_not_reach_the_server_is_the_last_one() -> None:
    """If the socket is gone, the server knows that it cannot send probes."""
    with TemporaryDirectory() as folder:
        async with serving(Path(folder) / "probe") as (handlers, _):
            (Path(folder) / "probe").unlink()
            assert handlers.can_probe
            handlers.send_probe()
            for _ in range(POLLS):
                if not handlers.can_probe:
                    break
                await asyncio.sleep(POLL_SECONDS)
            assert not handlers.can_probe
            assert handlers.accepted_before_probe is None


async def test_any_path_can_be_the_socket() -> None:
    """Characters that mean something in addresses do not change the path of the socket."""
    with TemporaryDirectory() as folder:
        odd = Path(folder) / "per%41 #?é"
        odd.mkdir()
        async with serving(odd / "probe") as (handlers, _):
            assert (odd / "probe").is_socket()
            assert await send(handlers) == 0


async def test_a_path_that_is_too_long_for_a_socket_is_no_failure(tmp_path: Path) -> None:
    """The server serves without probes."""
    async with serving(tmp_path / ("x" * SOCKET_PATH_BYTES)) as (handlers, address):
        handlers.send_probe()
        assert await call(address, "/a/b") is grpc.StatusCode.UNIMPLEMENTED
        assert handlers.accepted_before_probe is None
        assert handlers.accepted == 1
