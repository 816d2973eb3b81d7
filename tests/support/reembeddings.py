"""Re-embeddings in process, with a model that words embed."""

from __future__ import annotations

from contextlib import AsyncExitStack

from service.catalog.reembedding import Reembeddings
from service.domain.spaces import Model, ModelChoice
from service.embedding.pool import EmbedderPool, EmbeddingObserver
from service.embedding.providers import PricedEmbedder, ProbedModel
from service.embedding.request_sender import RequestObserver
from service.embedding.text_embedder import TextObserver
from service.settings import Settings
from support.embedders import COST_USD_PER_TOKEN, WordEmbedder
from support.open_catalogs import WordCatalogs
from support.paid import make_requests


def reembeddings(factory: WordCatalogs, stack: AsyncExitStack, model: Model) -> Reembeddings:
    """Return the re-embeddings of catalogs, for whose every choice `model` is found."""
    paid_requests = make_requests(factory.stores)
    requests, texts = RequestObserver(_ignore, _ignore), TextObserver(_ignore, _ignore)
    observer = EmbeddingObserver(requests, texts)
    pool = EmbedderPool(Settings(), paid_requests, observer, factory.spawn, stack)
    pool.add(model, PricedEmbedder(WordEmbedder(), _fetch_usd_per_token))

    async def find_model(_choice: ModelChoice) -> ProbedModel:
        return ProbedModel(model, 1.0)

    return Reembeddings(factory.stores, factory.catalogs.update, pool, find_model)


def _ignore(_value: float) -> None:
    """Observe nothing."""


async def _fetch_usd_per_token() -> float:
    return COST_USD_PER_TOKEN
