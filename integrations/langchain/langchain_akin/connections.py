"""Clients of one server: one that blocks, and one for each event loop that uses it."""

from __future__ import annotations

import asyncio
from typing import Any

import akin


class Connections:
    """The clients of a vector store.

    An `akin.AsyncClient` belongs to one event loop, while a vector store can be used from several.
    Clients are opened when they are first needed.

    Args:
        address: `host:port` of the server.
        **options: the keyword arguments of `akin.Client`, such as `catalog` and `api_key`.
    """

    def __init__(self, address: str, **options: Any) -> None:
        self._address = address
        self._options = options
        self._client = akin.Client(address, **options)
        self._async_clients: dict[asyncio.AbstractEventLoop, akin.AsyncClient] = {}

    @property
    def client(self) -> akin.Client:
        """The client that blocks."""
        return self._client

    @property
    def async_client(self) -> akin.AsyncClient:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._async_clients:
            # A client cannot be closed once its loop is closed; its connections end with it.
            open_clients = self._async_clients.items()
            self._async_clients = {key: value for key, value in open_clients if not key.is_closed()}
            self._async_clients[loop] = akin.AsyncClient(self._address, **self._options)
        return self._async_clients[loop]

    def close(self) -> None:
        """Close the client that blocks."""
        self._client.close()

    async def aclose(self) -> None:
        """Close the client that blocks and the client of the running event loop."""
        self.close()
        client = self._async_clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()
