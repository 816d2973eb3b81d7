"""What Prometheus may scrape, on a port of its own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from service import errors
from service.domain.values import CatalogFigures


class Metrics:
    """Gauges of a catalog's figures; served while `listen`, host:port, is not empty.

    Raises:
        AddressUnavailable: the address cannot be listened on.
    """

    def __init__(self, listen: str) -> None:
        self._registry = CollectorRegistry()
        self._items = self._gauge("akin_items", "Items in the catalog.")
        self._pending = self._gauge(
            "akin_pending_items", "Items that wait for their vectors.", "reason"
        )
        self._tokens = self._gauge(
            "akin_embedding_prompt_tokens_today", "Tokens the provider counted this day of UTC."
        )
        self._cost = self._gauge(
            "akin_embedding_cost_usd_today", "US dollars the provider charged this day of UTC."
        )
        self._problem = self._gauge(
            "akin_embedding_problem", "1 if the last request to the embedding provider failed."
        )
        if listen:
            host, _, port = listen.rpartition(":")
            try:
                start_http_server(int(port), host, self._registry)
            except OSError as exc:
                raise errors.AddressUnavailable(f"cannot serve metrics on {listen}") from exc

    def show(self, figures: CatalogFigures, today: str) -> None:
        """Sets the gauges; `today` is YYYY-MM-DD of UTC."""
        self._items.labels(figures.name).set(figures.item_count)
        self._pending.clear()
        for reason, count in figures.pending.items():
            self._pending.labels(figures.name, reason).set(count)
        spent = {each.day: each for each in figures.usage}.get(today)
        self._tokens.labels(figures.name).set(spent.prompt_tokens if spent else 0)
        self._cost.labels(figures.name).set(spent.cost_usd if spent else 0.0)
        self._problem.labels(figures.name).set(1 if figures.embedding_problem else 0)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, ["catalog", *labels], registry=self._registry)
