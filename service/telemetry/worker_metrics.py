"""The metrics of all workers on one port: the supervisor asks each worker when it is scraped."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from service.telemetry.metrics import serve_registry

# Time that a worker has for its metrics. Without them in time, the scrape lacks this worker.
SCRAPE_SECONDS = 2.0

# The value of the label `worker` of the process that supervises the workers.
SUPERVISOR = "supervisor"


def answer_scrapes(connection: Connection, registry: CollectorRegistry) -> None:
    """Start a thread that sends a worker's metrics to the supervisor whenever it asks."""

    def answer() -> None:
        # The supervisor has ended, or has started another worker in the place of this one.
        with suppress(EOFError, OSError):
            while True:
                number = connection.recv()
                connection.send((number, list(registry.collect())))

    threading.Thread(target=answer, name="akin-metrics", daemon=True).start()


class WorkerMetrics(Collector):
    """The metrics of workers, each sample with the label `worker`; threads can share it.

    Samples are those of each worker, neither summed nor averaged: counters of one worker go back to
    zero when it is restarted, which Prometheus takes into account only if they are apart.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: dict[int, Connection | None] = {}
        self._question = 0
        self._own = CollectorRegistry()
        ProcessCollector(registry=self._own)

    def listen(self, address: str) -> None:
        """Serve the metrics on host:port.

        Raises:
            AddressUnavailable: the supervisor cannot listen on the address.
        """
        registry = CollectorRegistry()
        registry.register(self)
        serve_registry(address, registry)

    def attach(self, worker: int, connection: Connection | None) -> None:
        """Ask a worker through this connection from now on; None: it has ended."""
        with self._lock:
            previous = self._connections.get(worker)
            self._connections[worker] = connection
            if previous is not None:
                previous.close()

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: no worker has metrics yet when this is registered."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all workers that answer, and whether each one did."""
        merged: dict[str, Metric] = {}
        _merge(merged, self._own.collect(), SUPERVISOR)
        answers = GaugeMetricFamily(
            "akin_worker_up", "1 if the worker answers the supervisor.", labels=["worker"]
        )
        with self._lock:
            self._question += 1
            asked = [worker for worker in self._connections if self._ask(worker)]
            for worker in sorted(self._connections):
                metrics = self._receive(worker) if worker in asked else None
                _merge(merged, metrics or (), str(worker))
                answers.add_metric([str(worker)], int(metrics is not None))
        yield from merged.values()
        yield answers

    def _ask(self, worker: int) -> bool:
        connection = self._connections[worker]
        try:
            if connection is not None:
                connection.send(self._question)
        except OSError:
            return False
        return connection is not None

    def _receive(self, worker: int) -> list[Metric] | None:
        """Return a worker's answer to the last question; skip late ones to former questions."""
        connection = self._connections[worker]
        with suppress(EOFError, OSError):
            while connection is not None and connection.poll(SCRAPE_SECONDS):
                number, metrics = connection.recv()
                if number == self._question:
                    return list(metrics)
        return None


def _merge(merged: dict[str, Metric], metrics: Iterable[Metric], worker: str) -> None:
    """Add the samples of metrics, with a label for their worker, to those of the same name."""
    for metric in metrics:
        target = merged.setdefault(
            metric.name, Metric(metric.name, metric.documentation, metric.type)
        )
        target.samples += [
            Sample(sample.name, {**sample.labels, "worker": worker}, sample.value)
            for sample in metric.samples
        ]
