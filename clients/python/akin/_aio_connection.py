"""What every call of the asyncio client goes through: one channel, deadlines, decoded errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc

from akin import _policy
from akin._errors import decode
from akin._policy import Tls
from akin.v1 import analysis_service_pb2_grpc, catalog_service_pb2_grpc
from akin.v1 import recommender_service_pb2_grpc as pb_grpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


class AsyncConnection:
    """A connection to an Akin server, on which the calls are made."""

    def __init__(
        self,
        address: str,
        *,
        catalog: str = "",
        timeout_seconds: float = _policy.TIMEOUT_SECONDS,
        api_key: str = "",
        tls: Tls | None = None,
    ) -> None:
        secured, options = _policy.credentials(api_key, tls), _policy.CHANNEL_OPTIONS
        self._channel = (
            grpc.aio.insecure_channel(address, options)
            if secured is None
            else grpc.aio.secure_channel(address, secured, options)
        )
        self._stub = pb_grpc.RecommenderServiceStub(self._channel)
        self._catalogs = catalog_service_pb2_grpc.CatalogServiceStub(self._channel)
        self._analyses = analysis_service_pb2_grpc.AnalysisServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._catalog = catalog
        self._timeout_seconds = timeout_seconds

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and with it the calls under way."""
        await self._channel.close()

    async def is_serving(self) -> bool:
        """Whether the server says that it is healthy and ready."""
        check = self._health.Check  # type: ignore[attr-defined]  # its published hints lack it
        response: health_pb2.HealthCheckResponse = await self._call(
            check, health_pb2.HealthCheckRequest()
        )
        return response.status == health_pb2.HealthCheckResponse.SERVING

    def _named(self, catalog: str | None) -> str:
        return self._catalog if catalog is None else catalog

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float | None = None,
    ) -> Response:
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as exc:
            raise decode(exc) from exc

    async def _stream(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        timeout_seconds: float,
    ) -> AsyncIterator[Response]:
        call = method(request, timeout=timeout_seconds)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as exc:
            raise decode(exc) from exc
        finally:
            call.cancel()
