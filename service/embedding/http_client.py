"""HTTP clients for the provider's API, with the proxies and certificates of the environment."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache

import httpx

from service.domain.addresses import is_loopback
from service.settings import read_certificate_variables


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
        verify=_load_certificates(read_certificate_variables()),
        trust_env=not _is_on_this_machine(base_url),
    )


@lru_cache(maxsize=1)
def _load_certificates(_variables: tuple[str, str]) -> ssl.SSLContext:
    """Return the certificate authorities that httpx reads from the environment.

    They take 0.8 MB, and a client that has made a request is only freed by a full garbage
    collection, so that the clients of short checks would pile up with one context each.
    """
    return httpx.create_ssl_context()


def _is_on_this_machine(base_url: str) -> bool:
    try:
        return is_loopback(httpx.URL(base_url).host)
    except httpx.InvalidURL:
        return False  # requests report it
