from __future__ import annotations

import os
import socket
import struct
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from support.observing import scraped
from support.server import free_address
from support.waiting import until

from service import errors
from service.telemetry.metrics import Metrics
from service.telemetry.worker_metrics import WorkerMetrics, answer_scrapes


def start_worker(metrics: WorkerMetrics, number: int, calls: int) -> Connection:
    """Make a worker that has completed some calls; return its end of the connection."""
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["method"], registry=registry).labels("GetItem").inc(calls)
    asking, answering = Pipe()
    answer_scrapes(answering, registry)
    metrics.attach(number, asking)
    return answering


def show(metrics: WorkerMetrics) -> str:
    registry = CollectorRegistry()
    registry.register(metrics)
    return generate_latest(registry).decode()


def test_samples_of_workers_are_apart() -> None:
    """A metric is described once, and has a sample of each worker, and the supervisor its own."""
    metrics = WorkerMetrics()
    for number, calls in enumerate((3, 5)):
        start_worker(metrics, number, calls)
    text = show(metrics)
    assert 1 == text.count("# TYPE calls_total counter")
    assert 'calls_total{method="GetItem",worker="0"} 3.0' in text
    assert 'calls_total{method="GetItem",worker="1"} 5.0' in text
    assert 'process_resident_memory_bytes{worker="supervisor"}' in text


def test_a_worker_that_stands_still_keeps_nobody_waiting() -> None:
    """However often metrics are read, a worker that never answers, or half, is down alone."""
    metrics = WorkerMetrics(scrape_seconds=0.001)
    start_worker(metrics, 0, 3)
    asking, silent = Pipe()
    metrics.attach(1, asking)
    asking, halfway = Pipe()
    metrics.attach(2, asking)
    os.write(halfway.fileno(), struct.pack("!i", 1_000) + b"half of an answer")
    for _ in range(2_000):  # more questions than a pipe has room for
        text = show(metrics)
        assert 'akin_worker_up{worker="1"} 0.0' in text
        assert 'akin_worker_up{worker="2"} 0.0' in text
    metrics.attach(1, None)
    metrics.attach(2, None)
    until(lambda: 'akin_worker_up{worker="0"} 1.0' in show(metrics))
    silent.close()
    halfway.close()


def test_a_worker_that_has_ended_is_down() -> None:
    """A worker that ended has no samples; one that takes its place has its own."""
    metrics = WorkerMetrics()
    start_worker(metrics, 0, 3)
    metrics.attach(0, None)
    text = show(metrics)
    assert 'akin_worker_up{worker="0"} 0.0' in text
    assert "calls_total" not in text
    start_worker(metrics, 0, 1)
    text = show(metrics)
    assert 'akin_worker_up{worker="0"} 1.0' in text
    assert 'calls_total{method="GetItem",worker="0"} 1.0' in text


def test_a_connection_that_breaks_during_a_scrape_is_a_worker_that_is_down() -> None:
    """The other workers are still shown if one ends without the supervisor having noticed."""
    metrics = WorkerMetrics()
    start_worker(metrics, 0, 3)
    asking, answering = Pipe()
    metrics.attach(1, asking)
    answering.close()
    text = show(metrics)
    assert 'akin_worker_up{worker="1"} 0.0' in text
    assert 'calls_total{method="GetItem",worker="0"} 3.0' in text


def test_an_address_in_use_is_an_error() -> None:
    """The supervisor names the address of the metrics that it cannot listen on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(errors.AddressUnavailable, match=address):
            WorkerMetrics().listen(address)


def test_everything_that_a_worker_measures_is_shown() -> None:
    """Prometheus gets the same metrics of a worker as of a server without workers."""
    single, metrics, address = Metrics(), WorkerMetrics(), free_address()
    single.observe_host({})
    asking, answering = Pipe()
    answer_scrapes(answering, single.registry)
    metrics.attach(0, asking)
    metrics.listen(address)
    text = scraped(address)
    names = {metric.name for metric in single.registry.collect()}
    assert "akin_build_info" in names
    assert [] == [name for name in names if f"# TYPE {name}" not in text]
