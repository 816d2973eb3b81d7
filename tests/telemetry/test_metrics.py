from service.telemetry.metrics import Metrics


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return the value of a metric; None if it has no such labels."""
    return metrics.registry.get_sample_value(name, labels)


def test_calls_are_counted_by_method_and_code() -> None:
    """Each completed call is counted with its code, and its duration with its method."""
    metrics = Metrics()
    metrics.count_call("GetItem", "OK", 0.002)
    metrics.count_call("GetItem", "NOT_FOUND", 0.02)
    assert 1.0 == read(metrics, "akin_calls_total", method="GetItem", code="OK")
    assert 1.0 == read(metrics, "akin_calls_total", method="GetItem", code="NOT_FOUND")
    assert 0.022 == read(metrics, "akin_call_seconds_sum", method="GetItem")
    assert 1.0 == read(metrics, "akin_call_seconds_bucket", method="GetItem", le="0.0025")


def test_requests_are_counted_by_outcome() -> None:
    """Requests to the embedder that failed are counted apart from those that succeeded."""
    metrics = Metrics()
    metrics.count_request(False, 0.5)
    metrics.count_request(True, 60.0)
    metrics.count_request(True, 60.0)
    assert 1.0 == read(metrics, "akin_embedding_request_seconds_count", outcome="ok")
    assert 2.0 == read(metrics, "akin_embedding_request_seconds_count", outcome="failed")


def test_texts_are_counted_by_the_source_of_their_vectors() -> None:
    """Embedded texts and cached texts are counted separately."""
    metrics = Metrics()
    metrics.count_texts(3, 4)
    metrics.count_texts(0, 1)
    assert 3.0 == read(metrics, "akin_embedding_texts_total", source="embedder")
    assert 5.0 == read(metrics, "akin_embedding_texts_total", source="cache")
