"""The local model: static token vectors, pooled. No network, no GPU, English only."""

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

LOCAL_MODEL = "static-minilm-256"

LOCAL_DIMENSIONS = 256

# How long a full batch takes: 256 texts at 238 us.
LOCAL_BATCH_SECONDS = 0.06

# A text takes 473 us alone, 238 us in batches of 32, 226 us of 128 (one core, film texts of 60
# words); larger batches gain little and delay other callers.
_LIMITS = BatchLimits(texts=256, tokens=100_000, text_tokens=512)


@cache
def _load_model() -> tuple[StaticModel, str]:
    """Return the model, which catalogs share, and its name with a digest of its weights."""
    folder = Path(str(resources.files("service.embedding") / "model"))
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return StaticModel.from_pretrained(folder), f"{LOCAL_MODEL}@{digest[:12]}"


@cache
def _get_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="akin-model")


def read_vocabulary() -> Iterable[str]:
    """Return the words of the model's vocabulary, and pieces of words after `##`."""
    model, _ = _load_model()
    return model.tokenizer.get_vocab().keys()


class LocalEmbedder:
    """An Embedder that computes in the thread of the model, which all templates share."""

    limits = _LIMITS

    def __init__(
        self, template: str = PLAIN_TEMPLATE, query_template: str = PLAIN_TEMPLATE
    ) -> None:
        self._model, name = _load_model()
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
