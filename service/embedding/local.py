"""The embedded model: static token vectors, pooled. No network, no GPU, English only."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import resources
from pathlib import Path

from model2vec import StaticModel

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.model_families import BARE

MODEL_NAME = "static-minilm-256"

LOCAL_DIMENSIONS = 256

REQUEST_SECONDS = 0.06
"""How long a full batch takes: 256 texts at 238 us, see below."""

LIMITS = BatchLimits(texts=256, tokens=100_000, text_tokens=512)
"""Per text 473 us alone, 238 us in batches of 32, 226 us of 128 (one core, film texts of 60 words);
larger ones gain little and make the loop's other callers wait."""


@cache
def _loaded() -> tuple[StaticModel, str]:
    """The model, which catalogs share, and its name with what tells its weights from others."""
    folder = Path(str(resources.files("service.embedding") / "model"))
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    return StaticModel.from_pretrained(folder), f"{MODEL_NAME}@{weights[:12]}"


class LocalEmbedder:
    """An Embedder that computes in a thread of its own."""

    limits = LIMITS

    def __init__(self, template: str = BARE, query_template: str = BARE) -> None:
        self._model, name = _loaded()
        self.space = Space("local", name, self._model.dim, template, query_template)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="akin-model")

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embeds texts, each whole."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._encode, texts)

    async def close(self) -> None:
        """Lets the thread end, after the batch it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _encode(self, texts: Sequence[str]) -> Embeddings:
        vectors = self._model.encode(texts, max_length=None, use_multiprocessing=False)
        return Embeddings(vectors)
