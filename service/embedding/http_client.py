"""HTTP clients for the provider's API, with the proxies and certificates of the environment."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from service.domain.addresses import is_loopback


def open_http_client(
    base_url: str,
    *,
    timeout: httpx.Timeout | float,
    headers: Mapping[str, str] | None = None,
    limits: httpx.Limits = httpx.Limits(),  # noqa: B008  (immutable)
) -> httpx.AsyncClient:
    """Return a client for requests to a base URL.

    The client uses HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY, except for a server on this
    machine, and SSL_CERT_FILE and SSL_CERT_DIR.
    """
    return httpx.AsyncClient(
        headers=headers,
        timeout=timeout,
        limits=limits,
        # The variables of certificates apply to every server.
        verify=httpx.create_ssl_context(),
        trust_env=not _is_on_this_machine(base_url),
    )


def _is_on_this_machine(base_url: str) -> bool:
    try:
        return is_loopback(httpx.URL(base_url).host)
    except httpx.InvalidURL:
        return False  # requests report it
