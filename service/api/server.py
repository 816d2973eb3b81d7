"""The gRPC server: the recommender, health and reflection on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
from akin.v1 import analysis_service_pb2, catalog_service_pb2, recommender_service_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from service import errors
from service.api.admission import AdmissionControl
from service.api.analysis_servicer import AnalysisServicer
from service.api.call import Authorizer, Watch, method_handlers
from service.api.catalog_servicer import CatalogServicer
from service.api.recommender_servicer import RecommenderServicer, Services
from service.api.tls import TlsFiles, credentials

RECOMMENDER = recommender_service_pb2.DESCRIPTOR.services_by_name["RecommenderService"]
CATALOG = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"]
ANALYSIS = analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"]
EMBEDDING_HEALTH = "akin.embedding"
"""Asked for this name, health tells whether new texts can be embedded."""

RECEIVED_BYTES = 24 * 1024 * 1024
"""What gRPC itself takes in: above our own limit, so that callers get our error, which names it."""

CONNECTED_AT_ONCE = 10_000
"""Calls that gRPC itself lets in, those without a key among them: health and reflection."""


class Server:
    """Serves on one address; everything but health and reflection waits for `open_gate`.

    Args:
        services: what to serve.
        authorizer: who may call what.
        watch: what is told of calls.
        tls: its certificate, and whose clients' it wants; None to speak plainly.
        shared_port: whether other processes listen on the same port. Otherwise a second server on
            it fails, and does not take half the calls.
        reflective: whether to tell callers what services there are.

    Raises:
        TlsUnusable: the certificate cannot be used.
    """

    def __init__(
        self,
        services: Services,
        authorizer: Authorizer,
        watch: Watch,
        tls: TlsFiles | None,
        *,
        shared_port: bool,
        reflective: bool,
    ) -> None:
        self._credentials = None if tls is None else credentials(tls)
        self._admission = AdmissionControl()
        self._probes: grpc.aio.Server | None = None
        self._health = health.HealthServicer()
        options = (
            ("grpc.max_receive_message_length", RECEIVED_BYTES),
            ("grpc.so_reuseport", int(shared_port)),
        )
        self._server = grpc.aio.server(options=options, maximum_concurrent_rpcs=CONNECTED_AT_ONCE)
        for service, servicer in (
            (RECOMMENDER, RecommenderServicer(services)),
            (CATALOG, CatalogServicer(services)),
            (ANALYSIS, AnalysisServicer(services)),
        ):
            handlers = method_handlers(service, servicer, self._admission, authorizer, watch)
            self._server.add_registered_method_handlers(service.full_name, handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflective:
            names = (
                RECOMMENDER.full_name,
                CATALOG.full_name,
                ANALYSIS.full_name,
                HEALTH,
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, self._server)

    async def start(self, address: str) -> int:
        """Listens on `address`, host:port with 0 for a free port; returns the port.

        Raises:
            AddressUnavailable: the address cannot be listened on.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        secured = self._credentials
        if secured is None:
            port = _listen(self._server.add_insecure_port, address)
        else:
            port = _listen(lambda address: self._server.add_secure_port(address, secured), address)
        await self._server.start()
        return port

    async def answer_probes(self, address: str) -> None:
        """Answers health, and nothing else, on an address of its own, plainly.

        Raises:
            AddressUnavailable: the address cannot be listened on.
        """
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        self._probes = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._probes)
        _listen(self._probes.add_insecure_port, address)
        await self._probes.start()

    async def open_admission(self) -> None:
        """Lets calls in and says so to whoever asks for health."""
        self._admission.open = True
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)

    async def set_embedding_health(self, *, healthy: bool) -> None:
        """Says whether new texts can be embedded."""
        state = health_pb2.HealthCheckResponse
        await self._health.set(EMBEDDING_HEALTH, state.SERVING if healthy else state.NOT_SERVING)

    async def drain(self, grace_seconds: float) -> None:
        """Takes no more calls and lets those under way finish, up to the grace period.

        Streams of health and reflection are ended at once: their callers hold them open for ever.
        """
        await self._health.enter_graceful_shutdown()
        stopping = asyncio.create_task(self._server.stop(grace_seconds))
        idle = asyncio.create_task(self._admission.idle())
        await asyncio.wait({stopping, idle}, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        await self._server.stop(None)
        await stopping
        if self._probes is not None:
            await self._probes.stop(None)

    async def _set_health(self, state: int) -> None:
        for name in ("", RECOMMENDER.full_name, CATALOG.full_name, ANALYSIS.full_name):
            await self._health.set(name, state)


def _listen(add_port: Callable[[str], int], address: str) -> int:
    try:
        return add_port(address)
    except RuntimeError as exc:
        raise errors.AddressUnavailable(f"cannot listen on {address}") from exc
