"""Embedders without a model: the vector of a text is the sum of its words' random directions.

Texts with common words are similar, so that recommendations are predictable.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache

import numpy as np

from service import errors
from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings, Vector

DIMENSIONS = 32
SPACE = Space("test", "words", DIMENSIONS)
COST_USD_PER_TOKEN = 0.001
ANY_NUMBER = 2**40


@lru_cache(maxsize=10_000)
def _direction(word: str) -> Vector:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
    return np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)


def raw_vector(text: str) -> Vector:
    """Return the vector of a text as the embedders return it, of any length."""
    total: Vector = np.sum([_direction(word) for word in text.split()], axis=0, dtype=np.float32)
    return total


def unit_vector(text: str) -> Vector:
    """Return the unit vector of a text, as it is stored."""
    raw = raw_vector(text)
    unit: Vector = raw / np.linalg.norm(raw)
    return unit


class WordEmbedder:
    """An Embedder that records each batch; each word is a token."""

    space = SPACE

    def __init__(self, batch_texts: int = 256) -> None:
        self.limits = BatchLimits(batch_texts, tokens=ANY_NUMBER, text_tokens=ANY_NUMBER)
        self.batches: list[tuple[str, ...]] = []
        self.closed = False

    @property
    def texts(self) -> list[str]:
        """Every text that it received, in order, with repetitions."""
        return [text for batch in self.batches for text in batch]

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch."""
        self.batches.append(tuple(texts))
        tokens = sum(len(text.split()) for text in texts)
        vectors = np.stack([raw_vector(text) for text in texts])
        return Embeddings(vectors, tokens, tokens * COST_USD_PER_TOKEN)

    async def close(self) -> None:
        """Record that it was closed."""
        self.closed = True


class Fault(Enum):
    """A way to fail."""

    UNAVAILABLE = auto()
    CRASH = auto()
    TOO_NARROW = auto()
    TOO_FEW = auto()
    NOT_A_NUMBER = auto()
    INFINITE = auto()
    ZEROS = auto()


UNAVAILABLE_MESSAGE = "the provider is out of order"


class FaultyEmbedder(WordEmbedder):
    """An embedder with a fault as long as `fault` is set."""

    def __init__(self, fault: Fault | None = None, batch_texts: int = 256) -> None:
        super().__init__(batch_texts)
        self.fault = fault

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch, with the fault."""
        embeddings = await super().embed(texts)
        if self.fault is Fault.UNAVAILABLE:
            raise errors.EmbeddingUnavailable(UNAVAILABLE_MESSAGE)
        if self.fault is Fault.CRASH:
            raise ZeroDivisionError
        return Embeddings(_corrupt(embeddings.vectors, self.fault))


class PoisonedEmbedder(WordEmbedder):
    """An embedder that crashes on batches with one text, as long as `poison` is that text."""

    def __init__(self, poison: str) -> None:
        super().__init__()
        self.poison = poison

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch without the poison text."""
        embeddings = await super().embed(texts)
        if self.poison in texts:
            raise ZeroDivisionError
        return embeddings


def _corrupt(vectors: Vector, fault: Fault | None) -> Vector:
    match fault:
        case Fault.TOO_NARROW:
            return vectors[:, :-1]
        case Fault.TOO_FEW:
            return vectors[:-1]
        case Fault.NOT_A_NUMBER:
            vectors[-1, 0] = np.nan
        case Fault.INFINITE:
            vectors[-1, 0] = np.inf
        case Fault.ZEROS:
            vectors[-1] = 0
    return vectors


class HeldEmbedder(WordEmbedder):
    """An embedder that holds each batch after the first few until the test releases it."""

    def __init__(self, batch_texts: int = 256, free_batches: int = 0) -> None:
        super().__init__(batch_texts)
        self.held = asyncio.Event()
        self._free_batches = free_batches
        self._released = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Signal that a batch is held, and embed it after the release."""
        embeddings = await super().embed(texts)
        if len(self.batches) > self._free_batches:
            self.held.set()
            await self._released.wait()
        return embeddings

    def release(self) -> None:
        """Release the held batch and all later ones."""
        self._released.set()
