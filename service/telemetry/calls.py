"""Watches calls: counts each, and traces it where traces are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.rpc import code_pb2

from service import errors
from service.telemetry.call_context import Timing
from service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


class Watch:
    """Metrics of all calls, and spans of each if there is an endpoint for them.

    Args:
        traces_endpoint: the URL of a collector for OTLP over HTTP; empty for no traces.

    Raises:
        TracingUnavailable: what traces need is not installed.
    """

    def __init__(self, traces_endpoint: str) -> None:
        self.metrics = Metrics()
        self._tracing = _tracing(traces_endpoint) if traces_endpoint else None

    def begin(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Timing:
        """A call of a method, by full name, begins."""
        if self._tracing is None:
            return Timing()
        return self._tracing.call(method, metadata)

    def end(self, timing: Timing, method: str, code: int, seconds: float) -> None:
        """It ends with a gRPC status code."""
        self.metrics.call(method, code_pb2.Code.Name(code), seconds)
        if self._tracing is not None:
            self._tracing.finish(timing, code)

    def close(self) -> None:
        """Sends the spans that were not sent yet."""
        if self._tracing is not None:
            self._tracing.close()


def _tracing(endpoint: str) -> Tracing:
    try:
        # It comes with an extra of the package.
        from service.telemetry.tracing import Tracing  # noqa: PLC0415
    except ImportError as exc:
        raise errors.TracingUnavailable(
            "AKIN_TRACES_ENDPOINT needs the extra: pip install akin-service[tracing]"
        ) from exc
    return Tracing(endpoint)
