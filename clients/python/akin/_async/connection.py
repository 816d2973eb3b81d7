"""Connection to a server: its address, the default catalog, and health."""

from __future__ import annotations

import copy
from types import TracebackType
from typing import Self

from grpc_health.v1 import health_pb2, health_pb2_grpc

from akin import _policy
from akin._async.channel import Channel
from akin._policy import Tls
from akin.v1 import (
    analysis_service_pb2_grpc,
    catalog_service_pb2_grpc,
    interaction_service_pb2_grpc,
    recommender_service_pb2_grpc,
)


class Connection:
    """Base of the classes that make calls."""

    def __init__(
        self,
        address: str,
        *,
        catalog: str = "",
        timeout_seconds: float = _policy.TIMEOUT_SECONDS,
        idle_timeout_seconds: float = _policy.IDLE_TIMEOUT_SECONDS,
        api_key: str = "",
        tls: Tls | None = None,
    ) -> None:
        self._channel = Channel(
            address,
            timeout_seconds=timeout_seconds,
            idle_timeout_seconds=idle_timeout_seconds,
            api_key=api_key,
            tls=tls,
        )
        channel = self._channel.grpc_channel
        self._recommender = recommender_service_pb2_grpc.RecommenderServiceStub(channel)
        self._catalogs = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        self._interactions = interaction_service_pb2_grpc.InteractionServiceStub(channel)
        self._analyses = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)
        self._catalog = catalog

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def catalog(self, name: str) -> Self:
        """Return a client of another catalog, which shares the connection of this one.

            books = client.catalog("books")
            books.upsert_item("isbn-1", "A novel about a lighthouse")

        Closing one of them closes the connection of both.

        Args:
            name: name of the catalog; empty means `default`.
        """
        client = copy.copy(self)
        client._catalog = name  # noqa: SLF001  (of the same class)
        return client

    async def close(self) -> None:
        """Close the connection, and cancel the calls in progress."""
        await self._channel.close()

    async def is_serving(self) -> bool:
        """Return the result of the server's health check: true if it is ready for calls."""
        check = self._health.Check  # type: ignore[attr-defined]  # missing in the published hints
        response: health_pb2.HealthCheckResponse = await self._channel.call(
            check, health_pb2.HealthCheckRequest()
        )
        return response.status == health_pb2.HealthCheckResponse.SERVING

    def _resolve(self, catalog: str | None) -> str:
        return self._catalog if catalog is None else catalog
