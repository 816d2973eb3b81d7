"""Keeps other sites and machines away from a console that lends its key to this machine."""

from __future__ import annotations

from service.console.site import AsgiApplication, AsgiMessage, AsgiReceive, AsgiSend, send_page
from service.domain.addresses import is_loopback

# What browsers say about where a request for the API comes from. A link elsewhere may lead to a
# page, but no other site may call.
OWN_FETCH_SITES = {"same-origin", "none", ""}


class LoopbackGuard:
    """Passes on requests for a name of this machine, if they come from the console's own pages.

    Without the first rule, a site whose name leads to this machine could read what the key may
    read; without the second, any site could send writes.

    Args:
        site: answers the requests that pass.
    """

    def __init__(self, site: AsgiApplication) -> None:
        self._site = site

    async def __call__(self, scope: AsgiMessage, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request."""
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = headers.get("host", "")
        if not is_loopback(_strip_port(host)):
            await send_page(send, 403, b"the console answers only to names of this machine\n", {})
        elif _comes_from_elsewhere(scope, headers, host):
            await send_page(send, 403, b"the console answers only to its own pages\n", {})
        else:
            await self._site(scope, receive, send)


def _comes_from_elsewhere(scope: AsgiMessage, headers: dict[str, str], host: str) -> bool:
    """Has another site sent the request?"""
    origin = headers.get("origin", "")
    if origin and origin != f"{scope['scheme']}://{host}":
        return True
    return scope["path"] != "/" and headers.get("sec-fetch-site", "") not in OWN_FETCH_SITES


def _strip_port(host: str) -> str:
    """Return the host of a Host header: `localhost:80`, `127.0.0.1` or `[::1]:80`."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
