"""What observes calls: metrics always, and tracing if it is enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service import errors
from service.extras import describe_installation
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
        self.tracing = _make_tracing(traces_endpoint) if traces_endpoint else None

    def close(self) -> None:
        """Send the remaining spans."""
        if self.tracing is not None:
            self.tracing.close()


def _make_tracing(endpoint: str) -> Tracing:
    try:
        # Imported late, because an extra of the package installs its dependencies.
        from service.telemetry.tracing import Tracing  # noqa: PLC0415
    except ImportError as exc:
        raise errors.TracingUnavailable(
            f"AKIN_TRACES_ENDPOINT requires an extra: {describe_installation('tracing')}"
        ) from exc
    return Tracing(endpoint)
