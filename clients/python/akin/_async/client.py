"""The client with all its calls."""

from __future__ import annotations

from akin._async.analyses import AnalysisCalls
from akin._async.catalogs import CatalogCalls
from akin._async.imports import ImportCalls
from akin._async.interactions import InteractionCalls
from akin._async.items import ItemCalls
from akin._async.recommendations import RecommendationCalls
from akin._async.users import UserCalls


class AsyncClient(
    ItemCalls,
    ImportCalls,
    UserCalls,
    InteractionCalls,
    RecommendationCalls,
    CatalogCalls,
    AnalysisCalls,
):
    """Connection to an Akin server.

    `Client` blocks and may be shared by threads; `AsyncClient` belongs to one event loop. Every
    call may raise AkinError, and raises TypeError for a keyword that it does not have.

    Args:
        address: `host:port` of the server. If the host has several addresses, each is a replica,
            and calls are spread over them.
        catalog: catalog of all calls; empty means `default`. `client.catalog(name)` returns a
            client of another one.
        timeout_seconds: deadline of each call, retries included.
        idle_timeout_seconds: a stream fails with UNAVAILABLE if the server sends no message for
            this time, and does not answer a health check in the second half of it.
        api_key: key to send with each call; without `tls`, only to a server on this machine.
        tls: TLS settings; None means a connection without TLS.
    """
