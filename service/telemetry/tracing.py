"""Traces through OpenTelemetry, from the caller's context into the provider's requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.telemetry.call_context import Timing

SERVICE_NAME = "akin"
EXPORT_SECONDS = 5
CLOSE_SECONDS = 2.0

_CONTEXT = TraceContextTextMapPropagator()
"""Of what callers send only `traceparent` counts: baggage is the caller's own words."""


class Tracing:
    """Sends spans to the collector at `endpoint`, a URL of OTLP over HTTP."""

    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("akin")

    def call(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> CallTrace:
        """A call of a method by full name, with what its caller sent along."""
        carrier = {name: value for name, value in metadata if name == "traceparent"}
        service, _, name = method.rpartition(".")
        span = self._tracer.start_span(
            f"{service}/{name}",
            _CONTEXT.extract(carrier),
            trace.SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        return CallTrace(self._tracer, span)

    def finish(self, call: Timing, code: int) -> None:
        """A call of `call` ends."""
        if isinstance(call, CallTrace):
            call.finish(code)

    def close(self) -> None:
        """Sends what was not sent yet, where the collector takes it within a moment."""
        # Shutting down waits for the collector, which may never answer.
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(CLOSE_SECONDS)


class CallTrace(Timing):
    """The spans of one call."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        super().__init__()
        self._tracer = tracer
        self._span = span

    def begin(self, name: str, parent: object) -> trace.Span:
        """Starts a span inside the parent's, or else the call's."""
        return self._tracer.start_span(name, self._inside(parent))

    def end(self, begun: object, error: BaseException | None) -> None:
        """Ends the span."""
        if not isinstance(begun, trace.Span):
            return
        if error is not None:
            # Not its message, which an exporter would carry away: it may be about a caller's text.
            begun.set_status(trace.StatusCode.ERROR, type(error).__name__)
        begun.end()

    def headers(self, begun: object) -> Mapping[str, str]:
        """The W3C headers of the span."""
        carrier: dict[str, str] = {}
        _CONTEXT.inject(carrier, self._inside(begun))
        return carrier

    def finish(self, code: int) -> None:
        """Ends the call's own span with a gRPC status code."""
        self._span.set_attribute("rpc.grpc.status_code", code)
        if code:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()

    def _inside(self, begun: object) -> Context:
        return trace.set_span_in_context(begun if isinstance(begun, trace.Span) else self._span)
