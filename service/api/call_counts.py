"""Counts the calls that arrive at the server, also those that still wait inside gRPC."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import grpc

# The package grpcio-channelz calls the same function.
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from service.api.queue_probe import QueueProbe

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class CountedHandlers(grpc.GenericRpcHandler):
    """Finds the handler of each call of a server by path, and counts the calls.

    The server has no registered methods: it would accept one call of each method at a time, wait
    for all methods with every call, and so need a fifth more time for a call.

    `accepted_before_probe` is the number of calls that were accepted before the last probe, None
    while the probe is queued, or if it failed. `methods` are the handlers by path.

    Args:
        probe: sends calls to the server.
    """

    def __init__(self, probe: QueueProbe) -> None:
        self.accepted = 0
        self.accepted_before_probe: int | None = None
        self._probe = probe
        self.methods: dict[str, Handler] = {}

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Serve the methods of a service; has the name that generated code expects of a server."""
        self.methods |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignore what generated code adds besides the registered methods."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return the handler of a call that the server accepts."""
        method = handler_call_details.method
        if method == self._probe.method:
            self.accepted_before_probe = self.accepted
        self.accepted += 1
        return self.methods.get(method)

    @property
    def can_probe(self) -> bool:
        """Whether probes reach the server."""
        return self._probe.is_possible

    def send_probe(self) -> None:
        """Send a call to the server, which is queued behind all that have arrived."""
        self.accepted_before_probe = None
        self._probe.send()

    def count_arrived(self) -> int:
        """Return the number of calls that arrived, accepted or not.

        The server must be the first one of this process. Once it has stopped, no call waits.
        """
        servers = json.loads(cygrpc.channelz_get_servers(0)).get("server", [])
        return int(servers[0]["data"].get("callsStarted", 0)) if servers else self.accepted
