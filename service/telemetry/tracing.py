"""Traces calls with OpenTelemetry, from the caller's span to the provider's requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.domain.addresses import is_loopback
from service.telemetry.call_context import Timing

SERVICE_NAME = "akin"

# Bounds one request to the collector.
EXPORT_TIMEOUT_SECONDS = 5

# Bounds the wait for the last spans at the end, because the collector may never respond.
CLOSE_TIMEOUT_SECONDS = 2.0

# Reads only `traceparent`: baggage contains text of the caller.
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Sends spans to the collector at `endpoint`, a URL for OTLP over HTTP."""

    def __init__(self, endpoint: str) -> None:
        self._provider = TracerProvider(resource=Resource.create({"service.name": SERVICE_NAME}))
        session = requests.Session()
        # The proxies of the environment are for other machines.
        session.trust_env = not is_loopback(urlsplit(endpoint).hostname or "")
        exporter = OTLPSpanExporter(
            f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_SECONDS, session=session
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("akin")

    def begin_call(self, method: str, metadata: Sequence[tuple[str, str | bytes]]) -> CallTrace:
        """Begin the trace of a call of a method, by full name, inside of its caller's span."""
        carrier = {name: value for name, value in metadata if name == "traceparent"}
        service, _, name = method.rpartition(".")
        span = self._tracer.start_span(
            f"{service}/{name}",
            _PROPAGATOR.extract(carrier),
            trace.SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
        )
        return CallTrace(self._tracer, span)

    def end_call(self, call: Timing, code: int) -> None:
        """End the trace of a call with a gRPC status code."""
        if isinstance(call, CallTrace):
            call.end_call(code)

    def close(self) -> None:
        """Send the remaining spans, if the collector accepts them in time."""
        # In a thread, because shutting down waits for the collector.
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(CLOSE_TIMEOUT_SECONDS)


class CallTrace(Timing):
    """The spans of one call."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        super().__init__()
        self._tracer = tracer
        self._span = span

    def begin_stage(self, name: str, parent: object) -> trace.Span:
        """Begin a span inside of `parent`, or of the call's span if it is None."""
        return self._tracer.start_span(name, self._make_context(parent))

    def end_stage(self, span: object, error: BaseException | None) -> None:
        """End a span, with the exception that ended the stage."""
        if not isinstance(span, trace.Span):
            return
        if error is not None:
            # Only the type is exported, because the message may be about a caller's text.
            span.set_status(trace.StatusCode.ERROR, type(error).__name__)
        span.end()

    def make_headers(self, span: object) -> Mapping[str, str]:
        """Return the W3C trace headers of a span."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._make_context(span))
        return carrier

    def end_call(self, code: int) -> None:
        """End the call's span with a gRPC status code."""
        self._span.set_attribute("rpc.grpc.status_code", code)
        if code:
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()

    def _make_context(self, span: object) -> Context:
        return trace.set_span_in_context(span if isinstance(span, trace.Span) else self._span)
