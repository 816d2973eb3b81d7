"""The local models: static token vectors, pooled. No network, no GPU, English only."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path

from model2vec import StaticModel

from service.domain.spaces import LOCAL_PROVIDER, Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.model_families import PLAIN_TEMPLATE

LOCAL_MODEL = "static-minilm-256-v2"

# The model of earlier versions, which catalogs keep until they are re-embedded.
FORMER_LOCAL_MODEL = "static-minilm-256"

LOCAL_DIMENSIONS = 256

# How long a full batch takes: 256 texts at 238 us.
LOCAL_BATCH_SECONDS = 0.06

# A text takes 473 us alone, 238 us in batches of 32, 226 us of 128 (one core, film texts of 60
# words); larger batches gain little and delay other callers.
_LIMITS = BatchLimits(texts=256, tokens=100_000, text_tokens=512)


# The folder of each model, with its weights, tokenizer, license and model card.
_FOLDERS = {LOCAL_MODEL: "model", FORMER_LOCAL_MODEL: "former_model"}


@cache
def _load_model(name: str) -> tuple[StaticModel, str]:
    """Return a model, which catalogs share, and its name with a digest of its weights."""
    folder = Path(str(resources.files("service.embedding") / _FOLDERS[name]))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return StaticModel.from_pretrained(folder), f"{name}@{digest[:12]}"


def choose_local_model(stored: Space | None) -> str:
    """Return the former model if it made the stored vectors, and the current model otherwise."""
    if stored and stored.is_local and stored.model.partition("@")[0] == FORMER_LOCAL_MODEL:
        return FORMER_LOCAL_MODEL
    return LOCAL_MODEL


@cache
def _get_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="akin-model")


def read_vocabulary() -> Iterable[str]:
    """Return the words of the models' common vocabulary, and pieces of words after `##`."""
    model, _ = _load_model(LOCAL_MODEL)
    return model.tokenizer.get_vocab().keys()


class LocalEmbedder:
    """An Embedder that computes in the thread of the models, which all templates share.

    Args:
        template: surrounds each text of an item.
        query_template: surrounds each query text.
        model: LOCAL_MODEL or FORMER_LOCAL_MODEL.
    """

    limits = _LIMITS

    def __init__(
        self,
        template: str = PLAIN_TEMPLATE,
        query_template: str = PLAIN_TEMPLATE,
        model: str = LOCAL_MODEL,
    ) -> None:
        self._model, name = _load_model(model)
        self.space = Space(LOCAL_PROVIDER, name, self._model.dim, template, query_template)
        self._thread = _get_thread()

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch; texts are never truncated."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._encode, texts)

    async def close(self) -> None:
        """Do nothing: the thread stays for the next embedder."""

    def _encode(self, texts: Sequence[str]) -> Embeddings:
        vectors = self._model.encode(texts, max_length=None, use_multiprocessing=False)
        return Embeddings(vectors)
