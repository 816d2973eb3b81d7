"""A channel to a server elsewhere, with the calls that go over it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import akin
import grpc

from service.api.channel_calls import CHANNEL_OPTIONS, ChannelCaller
from service.domain.addresses import is_loopback


@asynccontextmanager
async def connect_caller(
    address: str, authorization: str, tls: akin.Tls | None
) -> AsyncIterator[ChannelCaller]:
    """Yield a caller of the methods of a server.

    Args:
        address: `host:port` of the server.
        authorization: the header of this name for calls whose caller sends none, empty for none.
        tls: TLS settings; None for a connection without TLS.
    """
    # The proxies of the environment are for other machines.
    uses_proxy = not is_loopback(address.rpartition(":")[0])
    options = (*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(uses_proxy)))
    if tls is None:
        channel = grpc.aio.insecure_channel(address, options)
    else:
        credentials = grpc.ssl_channel_credentials(tls.authority, tls.key, tls.certificate)
        channel = grpc.aio.secure_channel(address, credentials, options)
    async with channel:
        yield ChannelCaller(channel, authorization)
