from service.telemetry.call_context import Timing
from service.telemetry.calls import CallTelemetry


def read(telemetry: CallTelemetry, name: str, **labels: str) -> float | None:
    """Return the value of a metric; None if it has no such labels."""
    return telemetry.metrics.registry.get_sample_value(name, labels)


def test_calls_are_counted_by_method_and_code() -> None:
    """Each completed call is counted with its code, and its duration with its method."""
    telemetry = CallTelemetry("")
    telemetry.end(Timing(), "GetItem", 0, 0.002)
    telemetry.end(Timing(), "GetItem", 5, 0.02)
    assert 1.0 == read(telemetry, "akin_calls_total", method="GetItem", code="OK")
    assert 1.0 == read(telemetry, "akin_calls_total", method="GetItem", code="NOT_FOUND")
    assert 0.022 == read(telemetry, "akin_call_seconds_sum", method="GetItem")
    assert 1.0 == read(telemetry, "akin_call_seconds_bucket", method="GetItem", le="0.0025")
