"""What Prometheus may scrape, on a port of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from service import errors
from service.domain.stats import CatalogStats

CALL_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Depths(NamedTuple):
    """What waits inside this process, texts and writes, and the number of the last write."""

    texts: int
    writes: int
    last_sequence: int


class Metrics:
    """Counts what happens and shows a catalog's figures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "akin_calls", "Calls that ended.", ["method", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "akin_call_seconds",
            "How long calls took.",
            ["method"],
            registry=self.registry,
            buckets=CALL_SECONDS,
        )
        self._requests = Histogram(
            "akin_embedding_request_seconds",
            "How long requests to the embedder took, retries apart.",
            ["outcome"],
            registry=self.registry,
            buckets=REQUEST_SECONDS,
        )
        self._texts = Counter(
            "akin_embedding_texts",
            "Texts that vectors were wanted for, by where these came from.",
            ["source"],
            registry=self.registry,
        )
        self._shown: set[str] = set()
        self._reasons: dict[str, set[str]] = {}
        self._gauges = {name: self._gauge(name, *about) for name, about in _GAUGES.items()}

    def listen(self, address: str) -> None:
        """Serves them on host:port.

        Raises:
            AddressUnavailable: the address cannot be listened on.
        """
        host, _, port = address.rpartition(":")
        try:
            start_http_server(int(port), host.strip("[]"), self.registry)
        except OSError as exc:
            raise errors.AddressUnavailable(f"cannot serve metrics on {address}") from exc

    def call(self, method: str, code: str, seconds: float) -> None:
        """Counts a call that ended."""
        self._calls.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    def request(self, failed: bool, seconds: float) -> None:
        """Counts a request to the embedder."""
        self._requests.labels("failed" if failed else "ok").observe(seconds)

    def texts(self, embedded: int, cached: int) -> None:
        """Counts texts that vectors were wanted for."""
        self._texts.labels("embedder").inc(embedded)
        self._texts.labels("cache").inc(cached)

    def show(self, catalogs: Sequence[CatalogStats], today: str, depths: Depths) -> None:
        """Sets the gauges of all catalogs, of which those that are gone show no more.

        Args:
            catalogs: their statistics.
            today: YYYY-MM-DD of UTC.
            depths: what waits.
        """
        names = {stats.name for stats in catalogs}
        if names != self._shown:
            for gauge in self._gauges.values():
                gauge.clear()
            self._reasons.clear()
            self._shown = names
        for stats in catalogs:
            lag = max(0, depths.last_sequence - stats.indexed_sequence)
            self._show(stats, today, depths, lag)

    def _show(self, stats: CatalogStats, today: str, depths: Depths, lag: int) -> None:
        spent = {each.day: each for each in stats.usage}.get(today)
        index = stats.index
        values = {
            "akin_items": stats.item_count,
            "akin_embedding_prompt_tokens_today": spent.prompt_tokens if spent else 0,
            "akin_embedding_cost_usd_today": spent.cost_usd if spent else 0.0,
            "akin_embedding_problem": 1 if stats.embedding_error_reason else 0,
            "akin_index_vectors": index.vectors,
            "akin_index_graph_vectors": index.graph_vectors,
            "akin_index_void_vectors": index.deleted_vectors,
            "akin_index_building": int(index.building),
            "akin_index_lag": lag,
            "akin_queued_texts": depths.texts,
            "akin_queued_writes": depths.writes,
        }
        for name, value in values.items():
            self._gauges[name].labels(stats.name).set(value)
        pending = self._gauges["akin_pending_items"]
        counts: dict[str, int] = {}
        for group in stats.pending:
            counts[group.reason] = counts.get(group.reason, 0) + group.item_count
        for reason in self._reasons.pop(stats.name, set()) - counts.keys():
            pending.remove(stats.name, reason)
        self._reasons[stats.name] = set(counts)
        for reason, count in counts.items():
            pending.labels(stats.name, reason).set(count)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, ["catalog", *labels], registry=self.registry)


_GAUGES = {
    "akin_items": ("Items in the catalog.",),
    "akin_pending_items": ("Items that wait for their vectors.", "reason"),
    "akin_embedding_prompt_tokens_today": ("Tokens the provider counted this day of UTC.",),
    "akin_embedding_cost_usd_today": ("US dollars the provider charged this day of UTC.",),
    "akin_embedding_problem": ("1 if the last request to the embedding provider failed.",),
    "akin_index_vectors": ("Vectors that can be found.",),
    "akin_index_graph_vectors": ("Vectors that are in graphs.",),
    "akin_index_void_vectors": ("Vectors in graphs that were replaced or deleted since.",),
    "akin_index_building": ("1 while a graph or lists are built.",),
    "akin_index_lag": ("Writes that are on disk and not yet in the index.",),
    "akin_queued_texts": ("Texts that wait to be embedded.",),
    "akin_queued_writes": ("Writes that wait for the disk.",),
}
