"""The metrics as observers of embedding and of recommendations."""

from __future__ import annotations

from functools import cache

from service.catalog.attribution import AttributionObserver
from service.embedding.pool import EmbeddingObserver
from service.embedding.request_sender import RequestObserver
from service.embedding.text_embedder import TextObserver
from service.telemetry.metrics import Metrics


def observe_embedding(metrics: Metrics) -> EmbeddingObserver:
    """Return the metrics that observe embedding."""
    requests, texts = metrics.request_seconds, metrics.texts
    return EmbeddingObserver(
        RequestObserver(requests.labels("ok").observe, requests.labels("failed").observe),
        TextObserver(texts.labels("embedder").inc, texts.labels("cache").inc),
    )


def observe_attribution(metrics: Metrics) -> AttributionObserver:
    """Return the metrics that count responses with recommendations and clicks on them."""
    clicks = metrics.clicked_recommendations
    # To find the counter of some labels takes longer than to count.
    find_responses = cache(metrics.recommendations.labels)
    return AttributionObserver(
        lambda source, signals: find_responses(source.value, signals.value).inc(),
        lambda source, signals: clicks.labels(source.value, signals.value).inc(),
    )
