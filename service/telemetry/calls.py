"""Counts every call, and traces it if tracing is enabled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from google.rpc import code_pb2

from service import errors
from service.telemetry.call_context import Timing
from service.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


class CallTelemetry:
    """Metrics of all calls, and their traces if there is a collector.

    Args:
        traces_endpoint: the URL of a collector for OTLP over HTTP; empty disables tracing.

    Raises:
        TracingUnavailable: the packages for tracing are not installed.
    """

    def __init__(self, traces_endpoint: str) -> None:
        self.metrics = Metrics()
        self._tracing = _make_tracing(traces_endpoint) if traces_endpoint else None

    def begin(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> Timing:
        """Begin a call of a method, by full name, and return what records its stages."""
        if self._tracing is None:
            return Timing()
        return self._tracing.begin_call(method, metadata)

    def end(self, timing: Timing, method: str, code: int, seconds: float) -> None:
        """Count and trace the end of a call with a gRPC status code."""
        self.metrics.calls.labels(method, code_pb2.Code.Name(code)).inc()
        self.metrics.call_seconds.labels(method).observe(seconds)
        if self._tracing is not None:
            self._tracing.end_call(timing, code)

    def close(self) -> None:
        """Send the remaining spans."""
        if self._tracing is not None:
            self._tracing.close()


def _make_tracing(endpoint: str) -> Tracing:
    try:
        # Imported late, because an extra of the package installs its dependencies.
        from service.telemetry.tracing import Tracing  # noqa: PLC0415
    except ImportError as exc:
        raise errors.TracingUnavailable(
            "AKIN_TRACES_ENDPOINT requires the extra: pip install akin-service[tracing]"
        ) from exc
    return Tracing(endpoint)
