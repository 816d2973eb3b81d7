"""Calls of Qdrant, a vector database that keeps its data on several machines: https://qdrant.tech.

Reads ask one replica of each part of a collection. Reads of a majority failed while a machine was
down, and a write waits until all live replicas have applied it anyway.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple, TypeVar

import structlog
from qdrant_client import AsyncQdrantClient

from service import errors

_T = TypeVar("_T")


class CollectionLayout(NamedTuple):
    """How a collection is kept.

    Attributes:
        dimensions: the width of its vectors.
        identity: what tells it from collections of other stores and other spaces.
        shards: the number of its parts; None for the engine's default, one for each machine.
        replicas: the number of copies of each part.
    """

    dimensions: int
    identity: str
    shards: int | None = None
    replicas: int = 1


class QdrantCalls:
    """Calls for one collection.

    Args:
        client: of the engine.
        name: the name of the collection.
        layout: how it is kept.
    """

    def __init__(self, client: AsyncQdrantClient, name: str, layout: CollectionLayout) -> None:
        self.client = client
        self.name = name
        self.layout = layout

    async def wait_for(self, call: Awaitable[_T]) -> _T:
        """Return the result of a call of the client.

        Raises:
            IndexUnavailable: it failed.
        """
        try:
            return await call
        # The client raises exceptions of several libraries, and those of its own.
        except Exception as exc:
            structlog.get_logger().debug("engine_call_failed", exc_info=exc)
            message = f"the engine of the index cannot be used now: {_name_cause(exc)}"
            raise errors.IndexUnavailable(message) from exc


def _name_cause(exc: Exception) -> str:
    """Return the status code of a failed call; details can have values of items."""
    code = getattr(exc, "code", None)
    return code().name if callable(code) else type(exc).__name__
