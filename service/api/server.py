"""The gRPC server: the four services, health checks and reflection on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from akin.v1 import (
    analysis_service_pb2,
    catalog_service_pb2,
    interaction_service_pb2,
    recommender_service_pb2,
)
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health

from service import errors
from service.api.admission import AdmissionControl
from service.api.call import Authorizer, Pipeline
from service.api.call_counts import CountedHandlers
from service.api.handlers import make_handlers
from service.api.library_services import add_health, add_reflection
from service.api.load_shedding import LoadShedder
from service.api.message_stream import OpenStreams
from service.api.method_calls import InProcessCaller
from service.api.queue_probe import QueueProbe
from service.api.request_memory import RequestMemory
from service.api.tls import TlsFiles, load_credentials
from service.telemetry.calls import CallTelemetry

RECOMMENDER = "akin.v1.RecommenderService"
CATALOG = "akin.v1.CatalogService"
ANALYSIS = "akin.v1.AnalysisService"
INTERACTION = "akin.v1.InteractionService"
SERVICE_NAMES = (RECOMMENDER, CATALOG, ANALYSIS, INTERACTION)
SERVICES = (
    recommender_service_pb2.DESCRIPTOR.services_by_name["RecommenderService"],
    catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
    analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"],
    interaction_service_pb2.DESCRIPTOR.services_by_name["InteractionService"],
)

# The health check of this name says whether new texts can be embedded.
EMBEDDING_HEALTH = "akin.embedding"

# Largest message that gRPC itself accepts. It exceeds the limit of the contract, so that callers
# get our error, which names the limit.
RECEIVED_BYTES = 24 * 1024 * 1024

# Streams that one connection may have at once; its further calls wait in the client.
STREAMS_PER_CONNECTION = 256

# A message that is not being received stays with its caller except for 64 KiB. With the probe, gRPC
# would receive 60 messages of 14 MiB before any of them is read, and take 550 MB.
WINDOW_OPTIONS = (("grpc.http2.bdp_probe", 0),)

# gRPC must not drop calls that wait to be accepted: it would answer CANCELLED. Its overload
# protection counts streams until their memory is free, and answers UNAVAILABLE to calls of clients
# that keep within the limit.
QUEUE_OPTIONS = (
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION),
    ("grpc.http.overload_protection", 0),
    ("grpc.server.max_pending_requests", 2**30),
    ("grpc.server.max_pending_requests_hard_limit", 2**30 + 1),
    ("grpc.server_max_unrequested_time_in_server", 2**20),
)

# gRPC keeps no events of connections for channelz. They would take memory, and a measurement of the
# queued calls would take 0.1 ms longer.
TRACE_OPTIONS = (("grpc.max_channel_trace_event_memory_per_node", 0),)

# A server that drains stops gRPC once it has accepted no call for this time. While more calls
# arrived than were accepted, it waits for MAX_SILENCE_SECONDS, because a busy machine is slower.
# Malformed requests count as well, and are never accepted.
SILENCE_BEFORE_STOP_SECONDS = 0.02
MAX_SILENCE_SECONDS = 0.5

# It stops gRPC at the latest after this time.
MAX_ACCEPT_SECONDS = 3.0

# gRPC crashes if its grace period ends at the moment at which a second stop ends the calls. So its
# own period is longer than any, and the second stop always ends the calls.
_STOP_SECONDS = 1e9

# Clients may ping every 10 s, with and without calls. The minimum is lower, because pings that gRPC
# sends for other reasons count as well, and a ping can arrive early after a late one.
PING_OPTIONS = (
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

# gRPC looks up the addresses of a name when a connection ends, and otherwise never. The server ends
# connections of this age, so that callers soon use a replica or a worker that was added. Calls and
# streams in progress finish on the old connection.
CONNECTION_AGE_SECONDS = 300.0


class ServerOptions(NamedTuple):
    """How a server listens.

    `tls` is the server's certificate and the CA of its clients, None for plaintext. `shared_port`
    tells that other processes listen on the same port; without it, a second server on the port
    fails instead of receiving half of the calls. `reflective` servers describe their services.
    `probe_socket` is the socket through which the server measures its queue. A connection takes
    calls for about `connection_age_seconds`, and ends with the last of them.
    """

    tls: TlsFiles | None
    shared_port: bool
    reflective: bool
    probe_socket: Path
    connection_age_seconds: float = CONNECTION_AGE_SECONDS


class Server:
    """Serves on one address; everything except health and reflection waits for `open_admission`.

    Attributes:
        port: the port that the server listens on; 0 before `start`.

    Args:
        servicers: the implementation of each service, by its full name.
        authorizer: authenticates and authorizes callers; None authorizes every call.
        telemetry: counts and traces calls.
        options: how it listens.

    Raises:
        TlsUnusable: the certificate cannot be used.
    """

    def __init__(
        self,
        servicers: Mapping[str, object],
        authorizer: Authorizer | None,
        telemetry: CallTelemetry,
        options: ServerOptions,
    ) -> None:
        self.port = 0
        self._credentials = None if options.tls is None else load_credentials(options.tls)
        self._admission = AdmissionControl()
        self._probes: grpc.aio.Server | None = None
        self._health = health.HealthServicer()
        channel_options = (
            ("grpc.max_receive_message_length", RECEIVED_BYTES),
            ("grpc.so_reuseport", int(options.shared_port)),
            ("grpc.max_connection_age_ms", int(1_000 * options.connection_age_seconds)),
            *PING_OPTIONS,
            *QUEUE_OPTIONS,
            *WINDOW_OPTIONS,
            *TRACE_OPTIONS,
        )
        self._queue_probe = QueueProbe(options.probe_socket)
        self._handlers = CountedHandlers(self._queue_probe)
        handlers: Any = self._handlers  # generated code expects a server
        self._server = grpc.aio.server(options=channel_options)
        self._server.add_generic_rpc_handlers((handlers,))
        self._queue_probe.listen(self._server)
        self._streams = OpenStreams()
        self._shedder = LoadShedder(handlers)
        pipeline = Pipeline(
            self._admission,
            self._shedder,
            RequestMemory(),
            authorizer,
            telemetry,
            self._streams,
        )
        for service in SERVICES:
            handlers.add_registered_method_handlers(
                service.full_name,
                make_handlers(service, servicers[service.full_name], pipeline),
            )
        add_health(self._health, handlers)
        if options.reflective:
            add_reflection((*SERVICE_NAMES, HEALTH), handlers)

    def make_caller(self) -> InProcessCaller:
        """Return what calls the methods in this process."""
        return InProcessCaller(self._handlers.methods, self._shedder)

    async def start(self, address: str) -> int:
        """Listen on `address`, host:port with 0 for a free port; return the port.

        Raises:
            AddressUnavailable: the server cannot listen on the address.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        credentials = self._credentials
        if credentials is None:
            port = _add_port(self._server.add_insecure_port, address)
        else:
            port = _add_port(
                lambda address: self._server.add_secure_port(address, credentials), address
            )
        await self._server.start()
        self.port = port
        return port

    async def serve_probes(self, address: str) -> None:
        """Serve health checks, and nothing else, in plaintext on an address of their own.

        Raises:
            AddressUnavailable: the server cannot listen on the address.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._probes = grpc.aio.server(options=(("grpc.so_reuseport", 0), *PING_OPTIONS))
        add_health(self._health, self._probes)
        _add_port(self._probes.add_insecure_port, address)
        await self._probes.start()

    async def open_admission(self) -> None:
        """Admit calls, and report SERVING to health checks."""
        self._admission.is_open = True
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def set_embedding_health(self, *, healthy: bool) -> None:
        """Report to health checks whether new texts can be embedded."""
        state = health_pb2.HealthCheckResponse
        await self._health.set(EMBEDDING_HEALTH, state.SERVING if healthy else state.NOT_SERVING)

    async def drain(self, grace_seconds: float, hurry: asyncio.Event) -> None:
        """Accept no more calls, and let those in progress finish within the grace period.

        `hurry` ends the grace period at once when it is set.

        Streams of health and reflection end at once, because callers keep them open without end.
        Other streams end as soon as they are idle. For calls that wait inside gRPC when it stops,
        it would answer CANCELLED, which no client retries: they are accepted before, and refused
        once their callers know that the server ends, so that these do not repeat them here.
        """
        await self._health.enter_graceful_shutdown()
        self._streams.drain()
        self._admission.hold()
        await self._accept_queued_calls()
        await self._queue_probe.close()
        stopping = asyncio.create_task(self._server.stop(_STOP_SECONDS))
        await asyncio.sleep(0)  # it begins to stop
        self._admission.close()
        idle = asyncio.create_task(self._admission.wait_until_idle())
        hurrying = asyncio.create_task(hurry.wait())
        ends = {stopping, idle, hurrying}
        await asyncio.wait(ends, timeout=grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        hurrying.cancel()
        await self._server.stop(None)
        await stopping
        if self._probes is not None:
            await self._probes.stop(None)

    async def _accept_queued_calls(self) -> None:
        """Wait until no call arrives, but not for long."""
        counts, clock = self._handlers, asyncio.get_running_loop().time
        accepted, accepted_at = -1, clock()
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_ACCEPT_SECONDS):
                while True:
                    is_silent = clock() - accepted_at >= MAX_SILENCE_SECONDS
                    if counts.accepted != accepted:
                        accepted, accepted_at = counts.accepted, clock()
                    elif is_silent or counts.count_arrived() <= accepted:
                        return
                    await asyncio.sleep(SILENCE_BEFORE_STOP_SECONDS)

    async def _set_health(self, state: int) -> None:
        for name in ("", *SERVICE_NAMES):
            await self._health.set(name, state)


def _add_port(add: Callable[[str], int], address: str) -> int:
    try:
        return add(address)
    except RuntimeError as exc:
        raise errors.AddressUnavailable(f"cannot listen on {address}", address) from exc
