import asyncio
from pathlib import Path
from typing import Any, NoReturn

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from support.server import WAIT_SECONDS

from service.api.server import EMBEDDING_HEALTH, SERVICE_NAMES, Server, ServerOptions
from service.telemetry.calls import CallTelemetry


class NoCalls:
    """A servicer whose methods nobody calls."""

    def __getattr__(self, method: str) -> Any:
        return self._refuse

    async def _refuse(self, *arguments: object) -> NoReturn:
        raise NotImplementedError


async def test_a_connection_ends_at_its_age_and_its_stream_goes_on(tmp_path: Path) -> None:
    """A caller looks for servers from time to time, and loses neither a stream nor a call by it."""
    options = ServerOptions(
        None,
        shared_port=False,
        reflective=False,
        probe_socket=tmp_path / "probe",
        connection_age_seconds=0.5,
    )
    server = Server(dict.fromkeys(SERVICE_NAMES, NoCalls()), None, CallTelemetry(""), options)
    port = await server.start("127.0.0.1:0")
    request = health_pb2.HealthCheckRequest(service=EMBEDDING_HEALTH)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health: Any = HealthStub(channel)
        stream = health.Watch(request, timeout=WAIT_SECONDS)
        first = await stream.read()
        async with asyncio.timeout(WAIT_SECONDS):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        await server.set_embedding_health(healthy=True)
        second = await stream.read()
        answer = await health.Check(request, timeout=WAIT_SECONDS)
        stream.cancel()
    await server.drain(0, asyncio.Event())
    states = health_pb2.HealthCheckResponse
    assert [states.SERVICE_UNKNOWN, states.SERVING] == [first.status, second.status]
    assert states.SERVING == answer.status
