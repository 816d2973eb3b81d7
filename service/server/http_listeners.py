"""The listeners for HTTP, whose libraries are imported only if the settings name an address."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from service import errors
from service.api.server import SERVICES, Server
from service.api.tls import TlsFiles
from service.console.site import ConsoleSite, GrpcConnection
from service.domain.addresses import find_host, is_loopback, replace_port
from service.extras import describe_installation
from service.server.listen_addresses import open_listeners
from service.settings import Settings

if TYPE_CHECKING:
    from service.http.application import Application
    from service.http.http_listener import HttpListener

_CONSOLE_EVENT = "console_listening"


class HttpListeners:
    """Serves the methods as JSON over HTTP, and the console, on the addresses of the settings.

    Args:
        settings: the settings of the server.
        server: the server whose methods are called.
        tls: the certificate of the server, None for plaintext.
        shared_port: whether other processes listen on the same ports.

    Raises:
        HttpUnavailable: the packages for HTTP are not installed.
        ConsoleNotBuilt: the files of the console are missing.
        TlsUnusable: the certificate cannot be used.
    """

    def __init__(
        self, settings: Settings, server: Server, tls: TlsFiles | None, *, shared_port: bool
    ) -> None:
        self._application: Application | None = None
        self._shared_port = shared_port
        self._listeners: list[tuple[str, str, HttpListener]] = []
        addresses = {
            "http_listening": settings.http_listen,
            _CONSOLE_EVENT: settings.console_listen,
        }
        if not any(addresses.values()):
            return
        try:
            # Imported late, because an extra of the package installs its dependencies.
            from service.http.application import Application  # noqa: PLC0415
            from service.http.http_listener import HttpListener  # noqa: PLC0415
            from service.http.origin_guard import OriginGuard  # noqa: PLC0415
            from service.http.tls_context import make_tls_context  # noqa: PLC0415
        except ImportError as exc:
            raise errors.HttpUnavailable(
                "AKIN_HTTP_LISTEN and AKIN_CONSOLE_LISTEN require an extra: "
                f"{describe_installation('http')}"
            ) from exc
        self._application = Application(SERVICES, server.make_caller())
        context = None if tls is None else make_tls_context(tls)
        for event, address in addresses.items():
            if address:
                site = (
                    ConsoleSite(
                        self._application,
                        describe_connection=partial(_describe_connection, settings, server),
                    )
                    if event == _CONSOLE_EVENT
                    else self._application
                )
                needs_loopback_host = _is_open(settings) and is_loopback(find_host(address))
                guard = OriginGuard(site, needs_loopback_host=needs_loopback_host)
                self._listeners.append((event, address, HttpListener(guard, context)))

    async def start(self) -> None:
        """Listen.

        Raises:
            AddressUnavailable: the server cannot listen on an address.
        """
        for event, address, listener in self._listeners:
            sockets = open_listeners(address, shared_port=self._shared_port)
            await listener.start(sockets)
            port = sockets[0].getsockname()[1]
            structlog.get_logger().info(event, address=replace_port(address, port))

    async def drain(self, grace_seconds: float, hurry: asyncio.Event) -> None:
        """Accept no more requests, and let those in progress finish within the grace period.

        `hurry` ends the grace period at once when it is set.
        """
        if self._application is not None:
            self._application.drain()
        drains = (listener.drain(grace_seconds, hurry) for _, _, listener in self._listeners)
        await asyncio.gather(*drains)
        if self._application is not None:
            self._application.close()


def _is_open(settings: Settings) -> bool:
    """Return whether nothing but its address protects a listener.

    With TLS, browsers themselves refuse names that are not in the certificate.
    """
    return settings.api_keys is None and settings.tls_certificate is None


def _describe_connection(settings: Settings, server: Server) -> GrpcConnection:
    """Return how programs call the server, with its actual port once it listens."""
    address = replace_port(settings.listen, server.port) if server.port else settings.listen
    return GrpcConnection(address, tls=settings.tls_certificate is not None)
