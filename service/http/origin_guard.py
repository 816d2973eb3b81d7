"""Keeps the pages of other sites from calling through the browser of a person."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service import errors
from service.api.status import status
from service.domain.addresses import is_loopback
from service.http.application import OPENAPI_PATH
from service.http.request_body import RequestBody
from service.http.response_writer import ResponseWriter, name_request
from service.http.statuses import write_status

# Links of other sites may lead here: both say nothing about the data.
LINKED_PATHS = {"/", OPENAPI_PATH}

# What browsers say about requests of pages of the same origin, and of a person who enters a URL.
OWN_FETCH_SITES = {"same-origin", "none"}


class OriginGuard:
    """Refuses requests that a browser sends for a page of another site.

    The browser of a person reaches what the site itself does not: a server on the same machine or
    behind a firewall, or one that knows the browser by its certificate. Other clients do not send
    the headers that are examined.

    Args:
        application: answers the requests that pass.
        needs_loopback_host: whether requests must be for a name of this machine. Without API keys,
            a site whose name leads to this machine could otherwise read and write everything.
    """

    def __init__(self, application: ASGIApp, *, needs_loopback_host: bool) -> None:
        self._application = application
        self._needs_loopback_host = needs_loopback_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        if self._needs_loopback_host and not is_loopback(_strip_port(headers.get("host", ""))):
            problem = "the header Host must be a name of this machine, such as localhost"
        elif scope["path"] not in LINKED_PATHS and _comes_from_elsewhere(headers):
            problem = "pages of other sites may not call this server"
        else:
            await self._application(scope, receive, send)
            return
        # A client that leaves needs no answer.
        with suppress(asyncio.CancelledError):
            await _refuse(errors.PermissionDenied(problem), scope, receive, send)


async def _refuse(error: errors.AkinError, scope: Scope, receive: Receive, send: Send) -> None:
    headers = Headers(scope=scope)
    body = RequestBody(receive, headers)
    writer = ResponseWriter(scope, send, body)
    await write_status(writer, status(error), name_request(headers))
    await body.discard()
    await writer.end()


def _comes_from_elsewhere(headers: Headers) -> bool:
    """Return whether a page of another site has caused a request."""
    site = headers.get("sec-fetch-site", "")
    if site:
        return site not in OWN_FETCH_SITES
    # Browsers leave that header out for names without TLS. Only hosts are compared, because a proxy
    # may have ended TLS.
    origin = headers.get("origin", "")
    return origin != "" and origin.partition("://")[2] != headers.get("host", "")


def _strip_port(host: str) -> str:
    """Return the host of a Host header: `localhost:80`, `127.0.0.1` or `[::1]:80`."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
