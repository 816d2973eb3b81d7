"""The metrics that Prometheus scrapes, on a port of their own."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from service import errors
from service.domain.stats import CatalogStats

# Bucket bounds in seconds: from a cached answer to the usual deadline of a call.
CALL_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# Bucket bounds in seconds: from a small local batch to the default timeout of a request.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ProcessState(NamedTuple):
    """The queue lengths of this process, and the sequence number of the last write on disk."""

    queued_texts: int
    queued_writes: int
    last_sequence: int


class Metrics:
    """The counters, histograms and gauges of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge(
            "akin_build_info",
            "1, with the versions of Akin and of Python.",
            ["version", "python"],
            registry=self.registry,
        ).labels(_read_version(), platform.python_version()).set(1)
        self.calls = Counter(
            "akin_calls", "Completed calls.", ["method", "code"], registry=self.registry
        )
        self.refused_calls = Counter(
            "akin_refused_calls",
            "Calls refused with RESOURCE_EXHAUSTED, by the reason in their ErrorInfo.",
            ["method", "reason"],
            registry=self.registry,
        )
        self.call_seconds = Histogram(
            "akin_call_seconds",
            "Duration of calls in seconds.",
            ["method"],
            registry=self.registry,
            buckets=CALL_BUCKETS,
        )
        self.request_seconds = Histogram(
            "akin_embedding_request_seconds",
            "Duration of each request to the embedder in seconds; a retry is a request.",
            ["outcome"],
            registry=self.registry,
            buckets=REQUEST_BUCKETS,
        )
        self.texts = Counter(
            "akin_embedding_texts",
            "Texts that calls needed vectors for, by the source of the vectors.",
            ["source"],
            registry=self.registry,
        )
        self.recommendations = Counter(
            "akin_recommendations",
            "Responses with recommendations, by their source and by what they are based on.",
            ["source", "signals"],
            registry=self.registry,
        )
        self.clicked_recommendations = Counter(
            "akin_clicked_recommendations",
            "Responses with recommendations that an interaction was the first to name.",
            ["source", "signals"],
            registry=self.registry,
        )
        self.replication_problem = Gauge(
            "akin_replication_problem",
            "1 if the loss of the database server can lose acknowledged writes.",
            registry=self.registry,
        )
        self._names: set[str] = set()
        self._reasons: dict[str, set[str]] = {}
        self._values: dict[str, dict[str, float]] = {}
        self._gauges = {
            name: Gauge(name, text, ["catalog", *labels], registry=self.registry)
            for name, (text, *labels) in _GAUGES.items()
        }

    def listen(self, address: str) -> None:
        """Serve the metrics on host:port.

        Raises:
            AddressUnavailable: the server cannot listen on the address.
        """
        serve_registry(address, self.registry)

    def observe_host(self, readings: Mapping[str, Callable[[], float]]) -> None:
        """Show what functions return at each scrape; NaN if a file cannot be read.

        Args:
            readings: the function of each gauge of HOST_GAUGES that applies to this server. The
                others are NaN, so that no alert compares them.
        """
        for name, text in HOST_GAUGES.items():
            gauge = Gauge(name, text, registry=self.registry)
            gauge.set_function(_tolerate(readings.get(name, lambda: math.nan)))

    def update_catalogs(
        self, catalogs: Sequence[CatalogStats], today: str, process: ProcessState
    ) -> None:
        """Set the gauges of all catalogs, and remove those of deleted catalogs.

        Args:
            catalogs: the statistics of every catalog.
            today: the day in UTC, YYYY-MM-DD.
            process: the state of this process.
        """
        names = {stats.name for stats in catalogs}
        if names != self._names:
            for gauge in self._gauges.values():
                gauge.clear()
            self._reasons.clear()
            self._values.clear()
            self._names = names
        for stats in catalogs:
            self._update_catalog(stats, today, process)
            self._update_pending(stats)

    def _update_catalog(self, stats: CatalogStats, today: str, process: ProcessState) -> None:
        usage = {day.day: day for day in stats.usage}.get(today)
        index = stats.index
        values = {
            "akin_items": stats.item_count,
            "akin_embedding_prompt_tokens_today": usage.prompt_tokens if usage else 0,
            "akin_embedding_cost_usd_today": usage.cost_usd if usage else 0.0,
            "akin_embedding_problem": 1 if stats.embedding_error_reason else 0,
            "akin_index_vectors": index.vectors,
            "akin_index_graph_vectors": index.graph_vectors,
            "akin_index_deleted_vectors": index.deleted_vectors,
            "akin_index_building": int(index.building),
            "akin_index_lag": max(0, process.last_sequence - stats.indexed_sequence),
            "akin_queued_texts": process.queued_texts,
            "akin_queued_writes": process.queued_writes,
        }
        # To set a gauge takes much longer than to find that nothing has changed.
        if values != self._values.get(stats.name):
            for name, value in values.items():
                self._gauges[name].labels(stats.name).set(value)
            self._values[stats.name] = values

    def _update_pending(self, stats: CatalogStats) -> None:
        pending = self._gauges["akin_pending_items"]
        counts: dict[str, int] = {}
        for group in stats.pending:
            counts[group.reason] = counts.get(group.reason, 0) + group.item_count
        for reason in self._reasons.pop(stats.name, set()) - counts.keys():
            pending.remove(stats.name, reason)
        self._reasons[stats.name] = set(counts)
        for reason, count in counts.items():
            pending.labels(stats.name, reason).set(count)


def serve_registry(address: str, registry: CollectorRegistry) -> None:
    """Serve metrics on host:port.

    Raises:
        AddressUnavailable: this process cannot listen on the address.
    """
    host, _, port = address.rpartition(":")
    try:
        start_http_server(int(port), host.strip("[]"), registry)
    except OSError as exc:
        raise errors.AddressUnavailable(f"cannot serve metrics on {address}", address) from exc


def _tolerate(read: Callable[[], float]) -> Callable[[], float]:
    """Return a function that returns NaN where `read` cannot read its file."""

    def read_or_nan() -> float:
        try:
            return read()
        except (OSError, ValueError):
            return math.nan

    return read_or_nan


def _read_version() -> str:
    try:
        return metadata.version("akin-service")
    except metadata.PackageNotFoundError:  # the sources run without being installed
        return "unknown"


# Gauges of the machine and the settings, with their help texts.
HOST_GAUGES = {
    "akin_disk_free_bytes": "Free bytes on the disk of the data folder.",
    "akin_disk_size_bytes": "Size of the disk of the data folder in bytes.",
    "akin_last_backup_timestamp_seconds": "When `akin backup` last copied this data folder (Unix "
    "time); NaN if it never did, or the data is in PostgreSQL.",
    "akin_certificate_expiry_timestamp_seconds": "When the first of the certificates in "
    "AKIN_TLS_CERTIFICATE ends (Unix time); NaN without TLS.",
    "akin_embedding_budget_usd_per_day": "US dollars that embedding may cost on a day; +Inf "
    "without a limit.",
}

# The help text of each gauge, and its labels besides the catalog.
_GAUGES: dict[str, tuple[str, ...]] = {
    "akin_items": ("Items in the catalog.",),
    "akin_pending_items": ("Pending items, which have no vectors yet.", "reason"),
    "akin_embedding_prompt_tokens_today": ("Tokens that the provider counted today (UTC).",),
    "akin_embedding_cost_usd_today": ("US dollars that the provider charged today (UTC).",),
    "akin_embedding_problem": ("1 if the last request to the embedding provider failed.",),
    "akin_index_vectors": ("Vectors that searches can find.",),
    "akin_index_graph_vectors": ("Vectors in graphs.",),
    "akin_index_deleted_vectors": ("Deleted or replaced vectors in graphs.",),
    "akin_index_building": ("1 while a graph or neighbor lists are built.",),
    "akin_index_lag": ("Writes on disk that the index has not applied yet.",),
    "akin_queued_texts": ("Texts in the batch queue of the embedder.",),
    "akin_queued_writes": ("Writes that wait to be committed.",),
}
