"""`akin console`: serves the web console on this machine, for a server anywhere."""

from __future__ import annotations

import asyncio
import re
import signal
import webbrowser
from typing import Annotated
from urllib.parse import quote

import typer

from service import errors
from service.cli import console, options
from service.cli.connection import ConnectionOptions, read_parameters
from service.domain.addresses import find_host, is_loopback, replace_port
from service.domain.generations import DEFAULT_CATALOG
from service.environment import MAX_PORT
from service.extras import describe_installation
from service.server.listen_addresses import open_listeners

DEFAULT_LISTEN = "127.0.0.1:0"

# A page that is open in a browser keeps its connections, so that waiting for them would not end.
_DRAIN_SECONDS = 1.0


def serve_console(
    listen: Annotated[
        str,
        typer.Option(
            help="Address of the console, as host:port, on this machine. Port 0 picks a free port."
        ),
    ] = DEFAULT_LISTEN,
    opens_browser: Annotated[
        bool, typer.Option("--open", help="Open the console in the browser.")
    ] = False,
    address: options.AddressOption = options.DEFAULT_ADDRESS,
) -> None:
    """Serve the web console on this machine, until it is interrupted.

    The console shows and changes what is in the server at --address. It uses the API key of the
    command for everyone who can open it, and therefore listens on this machine only.

    Requires the extra `http` of the package.
    """
    host, _, port = listen.rpartition(":")
    if not host or not re.fullmatch("[0-9]+", port) or int(port) > MAX_PORT:
        console.exit_with_error(
            f"--listen: must be host:port, with a port from 0 to {MAX_PORT}", status=2
        )
    if not is_loopback(find_host(listen)):
        console.exit_with_error(
            "--listen: the console lends its key to whoever opens it, so it must listen on this "
            "machine, as in 127.0.0.1:8080",
            status=2,
        )
    parameters = read_parameters()
    if parameters.api_key and parameters.tls is None and not is_loopback(find_host(address)):
        console.exit_with_error("an API key is sent over TLS or to this machine only: use --tls")
    run_console(listen, address, parameters, opens_browser=opens_browser)


def run_console(
    listen: str, address: str, parameters: ConnectionOptions, *, opens_browser: bool = False
) -> None:
    """Print the address of a console, and serve it until SIGINT or SIGTERM.

    Exits with status 1 if it cannot be served.

    Args:
        listen: host:port of the console, with 0 for a free port.
        address: of the server that the console shows.
        parameters: how to call the server.
        opens_browser: whether to open the console in the browser.
    """
    try:
        asyncio.run(_serve(listen, address, parameters, opens_browser=opens_browser))
    except ImportError:
        console.exit_with_error(f"akin console requires an extra: {describe_installation('http')}")
    except (errors.AkinError, ValueError) as exc:
        console.exit_with_error(str(exc))


async def _serve(
    listen: str, address: str, parameters: ConnectionOptions, *, opens_browser: bool
) -> None:
    """Serve the console until SIGINT or SIGTERM."""
    # Imported late, because an extra of the package installs what they need.
    from service.api.remote_calls import connect_caller  # noqa: PLC0415
    from service.api.server import SERVICES  # noqa: PLC0415
    from service.console.site import ConsoleSite, GrpcConnection  # noqa: PLC0415
    from service.http.application import Application  # noqa: PLC0415
    from service.http.http_listener import HttpListener  # noqa: PLC0415
    from service.http.origin_guard import OriginGuard  # noqa: PLC0415

    end = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    authorization = f"Bearer {parameters.api_key}" if parameters.api_key else ""
    async with connect_caller(address, authorization, parameters.tls) as caller:
        application = Application(SERVICES, caller)
        connection = GrpcConnection(address, parameters.tls is not None, bool(authorization))
        # It lends its key to this machine.
        site = OriginGuard(
            ConsoleSite(application, describe_connection=lambda: connection),
            needs_loopback_host=True,
        )
        listener = HttpListener(site, None)
        sockets = open_listeners(listen, shared_port=False)
        await listener.start(sockets)
        port = sockets[0].getsockname()[1]
        catalog = quote(parameters.catalog or DEFAULT_CATALOG, safe="")
        url = f"http://{replace_port(listen, port)}/#/{catalog}/overview"
        console.print_line(f"The console is at {url}")
        console.print_line(f"It shows the server at {address}. Press Ctrl+C to end it.")
        if opens_browser:
            webbrowser.open(url)
        await end.wait()
        await listener.drain(_DRAIN_SECONDS, asyncio.Event())
        application.close()
