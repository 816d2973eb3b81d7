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
                connection.recv()
                connection.send(list(registry.collect()))

    threading.Thread(target=answer, name="akin-metrics", daemon=True).start()


class _Line:
    """The connection to one worker, with at most one unanswered question.

    A thread receives the answers, because a worker that stands still can have sent half of one.

    Attributes:
        is_waiting: an answer is to come. `changed` guards it, and is notified when it comes.
    """

    def __init__(self, connection: Connection, changed: threading.Condition) -> None:
        self.is_waiting = False
        self._connection = connection
        self._changed = changed
        self._answer: list[Metric] | None = None
        threading.Thread(target=self._receive, name="akin-scrape", daemon=True).start()

    def ask(self) -> None:
        """Ask for metrics, unless an answer is still to come; `changed` must be held."""
        if not self.is_waiting:
            with suppress(OSError):
                self._connection.send(None)  # one message never fills the pipe
                self.is_waiting = True

    def take_answer(self) -> list[Metric] | None:
        """Return the answer, if it has come; `changed` must be held."""
        answer, self._answer = self._answer, None
        return answer

    def _receive(self) -> None:
        with self._connection, suppress(EOFError, OSError):
            while True:
                self._set_answer(self._connection.recv())
        self._set_answer(None)

    def _set_answer(self, answer: list[Metric] | None) -> None:
        with self._changed:
            self._answer, self.is_waiting = answer, False
            self._changed.notify_all()


class WorkerMetrics(Collector):
    """The metrics of workers, each sample with the label `worker`; threads can share it.

    Samples are those of each worker, neither summed nor averaged: counters of one worker go back to
    zero when it is restarted, which Prometheus takes into account only if they are apart.

    Args:
        scrape_seconds: the time that workers have to answer.
    """

    def __init__(self, scrape_seconds: float = SCRAPE_SECONDS) -> None:
        self._scrape_seconds = scrape_seconds
        # Held briefly, because the event loop of the supervisor attaches workers.
        self._changed = threading.Condition()
        self._scraping = threading.Lock()
        self._lines: dict[int, _Line | None] = {}
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
        line = None if connection is None else _Line(connection, self._changed)
        with self._changed:
            self._lines[worker] = line
            self._changed.notify_all()

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
        for worker, metrics in sorted(self._ask_workers().items()):
            _merge(merged, metrics or (), str(worker))
            answers.add_metric([str(worker)], int(metrics is not None))
        yield from merged.values()
        yield answers

    def _ask_workers(self) -> dict[int, list[Metric] | None]:
        """Return the metrics of each worker, None if it does not answer in time."""
        with self._scraping, self._changed:
            lines = dict(self._lines)
            asked = [line for line in lines.values() if line is not None]
            for line in asked:
                line.ask()
            self._changed.wait_for(
                lambda: not any(line.is_waiting for line in asked), self._scrape_seconds
            )
            return {
                worker: None if line is None else line.take_answer()
                for worker, line in lines.items()
            }


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
