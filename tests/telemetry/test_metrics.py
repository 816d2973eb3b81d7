from service.telemetry.metrics import Metrics


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return the value of a metric; None if it has no such labels."""
    return metrics.registry.get_sample_value(name, labels)


def test_durations_of_calls_are_told_apart_below_the_default_buckets() -> None:
    """A call of 2 ms and one of 20 ms are counted in different buckets of their method."""
    metrics = Metrics()
    for seconds in (0.002, 0.02):
        metrics.call_seconds.labels("GetItem").observe(seconds)
    assert 0.022 == read(metrics, "akin_call_seconds_sum", method="GetItem")
    assert 1.0 == read(metrics, "akin_call_seconds_bucket", method="GetItem", le="0.0025")
