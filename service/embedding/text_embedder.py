"""Embeds texts in the cheapest way: from the cache, from the store, or by the embedder.

A text is one chunk, or several if the model's context is too short for it. Each chunk is put into
the space's template and has a vector of its own, addressed by the hash of the text that the model
sees. Nothing is paid for twice: a chunk whose vector is stored is never embedded again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from service import errors
from service.domain.generations import Generation
from service.domain.spaces import Space
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Chunk
from service.embedding.chunking import estimate_tokens, find_spans, split
from service.embedding.embedder import BatchLimits, EmbeddingOutcome, Vector
from service.embedding.errors import EmbeddingProblem
from service.telemetry import call_context

# Holds 65,536 vectors of 256 dimensions, about the distinct queries of a busy site in an hour.
MAX_CACHE_BYTES = 64 * 1024 * 1024


class VectorStore(Protocol):
    """The store of vectors by the hash of their text."""

    async def get_many(
        self, generation: Generation, hashes: Sequence[bytes]
    ) -> Mapping[bytes, Vector]:
        """Return the stored vectors in the generation's space, by hash.

        Raises:
            StoreUnavailable: the store cannot be read.
        """


class BatchQueue(Protocol):
    """The queue in front of an embedder."""

    @property
    def limits(self) -> BatchLimits:
        """The batches that the embedder accepts."""

    @property
    def problem(self) -> EmbeddingProblem:
        """Why the embedder's last request failed; its fields are empty if it succeeded."""

    async def embed(
        self, texts: Sequence[str], *, low_priority: bool = False
    ) -> Sequence[EmbeddingOutcome]:
        """Embed one or more distinct texts, and return the vector or the error of each.

        Args:
            texts: what to embed.
            low_priority: queue behind texts without low priority.

        Raises:
            Overloaded: the queue is full; none of the texts was queued.
        """


class VectorCache:
    """Vectors by the hash of their text; the least recently used one is dropped first."""

    def __init__(self, dimensions: int) -> None:
        self._capacity = max(1, MAX_CACHE_BYTES // (4 * dimensions))
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()

    def get(self, text_hash: bytes) -> Vector | None:
        """Return the vector of a text, float32 [dimensions]; None on a cache miss."""
        vector = self._vectors.get(text_hash)
        if vector is not None:
            self._vectors.move_to_end(text_hash)
        return vector

    def put(self, text_hash: bytes, vector: Vector) -> None:
        """Store a vector, and drop the least recently used one if the cache is full."""
        self._vectors[text_hash] = vector
        self._vectors.move_to_end(text_hash)
        if len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)


@dataclass(frozen=True, slots=True)
class TextVectors:
    """The outcome for a set of texts.

    Every text is a key of either `chunks` or `failures`. `embedded_texts` are the texts of `chunks`
    that the embedder had to embed, at least in part.
    """

    chunks: Mapping[str, Sequence[Chunk]]
    failures: Mapping[str, errors.AkinError]
    embedded_texts: frozenset[str]
    usage: EmbeddingUsage

    def stack_vectors(self, text: str) -> Vector:
        """Return the vectors of a text's chunks, float32 [chunks, dimensions]."""
        return np.stack([chunk.vector for chunk in self.chunks[text]])


class TextObserver(NamedTuple):
    """Receives the numbers of embedded and of cached texts of each set of texts, for metrics."""

    embedded: Callable[[float], object]
    cached: Callable[[float], object]


class ChunkSpan(NamedTuple):
    """The start and end of a chunk in its text, in characters, and the address of its vector.

    The hash is of the chunk inside of the template, which is what the model sees.
    """

    start: int
    end: int
    text_hash: bytes


class TextEmbedder:
    """Provides the unit vectors of texts for one generation."""

    def __init__(
        self,
        store: VectorStore,
        generation: Generation,
        space: Space,
        batches: BatchQueue,
        cache: VectorCache,
        observer: TextObserver | None = None,
    ) -> None:
        self._store = store
        self._generation = generation
        self.space = space
        self._batches = batches
        self._cache = cache
        self._observer = observer

    @property
    def problem(self) -> EmbeddingProblem:
        """Why the embedder's last request failed; its fields are empty if it succeeded."""
        return self._batches.problem

    async def embed_documents(
        self, texts: Iterable[str], *, low_priority: bool = False
    ) -> TextVectors:
        """Embed texts of items; with `low_priority` after the texts of other callers.

        Raises:
            Overloaded: the batch queue is full.
        """
        return await self._embed(texts, self.space.template, low_priority=low_priority)

    async def embed_queries(self, texts: Iterable[str]) -> TextVectors:
        """Embed query texts.

        Raises:
            Overloaded: the batch queue is full.
        """
        return await self._embed(texts, self.space.query_template, low_priority=False)

    async def embed_query(self, text: str, field: str) -> tuple[Vector, EmbeddingUsage]:
        """Embed one query text of a request, into float32 [chunks, dimensions].

        Raises:
            InvalidRequest: the model rejects the text of `field`.
            AkinError: the text cannot be embedded now.
        """
        outcome = await self.embed_queries([text])
        if text in outcome.failures:
            raise to_field_error(outcome.failures[text], field)
        return outcome.stack_vectors(text), outcome.usage

    def split_into_chunks(self, text: str) -> list[ChunkSpan]:
        """Return the chunks of an item's text, in the order of its vectors."""
        template = self.space.template
        return [
            ChunkSpan(start, end, hash_text(template.replace("{text}", text[start:end])))
            for start, end in find_spans(text, self._count_chunk_tokens(template))
        ]

    async def estimate(self, texts: Iterable[str]) -> EmbeddingUsage:
        """Return the usage of embedding texts of items, with estimated tokens and no cost."""
        return await self._estimate(texts, self.space.template)

    async def estimate_queries(self, texts: Iterable[str]) -> EmbeddingUsage:
        """Return the usage of embedding query texts, with estimated tokens and no cost."""
        return await self._estimate(texts, self.space.query_template)

    async def _estimate(self, texts: Iterable[str], template: str) -> EmbeddingUsage:
        prompts = self._render(texts, template)
        hashes = _hash_prompts(prompts)
        vectors = await self._look_up(hashes)
        new_texts = _find_new_texts(prompts, vectors)
        tokens = sum(estimate_tokens(prompt) for prompt in hashes if prompt not in vectors)
        return EmbeddingUsage(len(prompts), len(prompts) - len(new_texts), tokens)

    async def _embed(
        self, texts: Iterable[str], template: str, *, low_priority: bool
    ) -> TextVectors:
        prompts = self._render(texts, template)
        hashes = _hash_prompts(prompts)
        vectors = await self._look_up(hashes)
        new_texts = _find_new_texts(prompts, vectors)
        new_prompts = [prompt for prompt in hashes if prompt not in vectors]
        prompt_failures: dict[str, errors.AkinError] = {}
        tokens = cost_usd = 0.0
        outcomes = await self._send(new_prompts, low_priority=low_priority) if new_prompts else []
        for prompt, outcome in zip(new_prompts, outcomes, strict=True):
            if isinstance(outcome, errors.AkinError):
                prompt_failures[prompt] = outcome
                continue
            vectors[prompt] = outcome.vector
            self._cache.put(hashes[prompt], outcome.vector)
            tokens += outcome.prompt_tokens
            cost_usd += outcome.cost_usd
        failures = {
            text: prompt_failures[prompt]
            for text, text_prompts in prompts.items()
            for prompt in text_prompts
            if prompt in prompt_failures
        }
        chunks = {
            text: [Chunk(hashes[prompt], vectors[prompt]) for prompt in text_prompts]
            for text, text_prompts in prompts.items()
            if text not in failures
        }
        cached_count = len(prompts) - len(new_texts)
        embedded = new_texts - failures.keys()
        if self._observer is not None:
            self._observer.embedded(len(embedded))
            self._observer.cached(cached_count)
        usage = EmbeddingUsage(len(prompts), cached_count, round(tokens), cost_usd, len(embedded))
        return TextVectors(chunks, failures, embedded, usage)

    async def _send(
        self, prompts: Sequence[str], *, low_priority: bool
    ) -> Sequence[EmbeddingOutcome]:
        with call_context.Stage(call_context.EMBED):
            return await self._batches.embed(prompts, low_priority=low_priority)

    def _render(self, texts: Iterable[str], template: str) -> dict[str, list[str]]:
        """Return the prompts of each text: its chunks, each inside of the template."""
        max_tokens = self._count_chunk_tokens(template)
        return {
            text: [template.replace("{text}", chunk) for chunk in split(text, max_tokens)]
            for text in texts
        }

    def _count_chunk_tokens(self, template: str) -> int:
        """Return how many tokens of text fit into the template."""
        return self._batches.limits.text_tokens - estimate_tokens(template)

    async def _look_up(self, hashes: Mapping[str, bytes]) -> dict[str, Vector]:
        """Return the vectors of prompts that the cache or the store has."""
        vectors = self._look_up_cache(hashes)
        missing = {key: prompt for prompt, key in hashes.items() if prompt not in vectors}
        if missing:
            stored = await self._store.get_many(self._generation, list(missing))
            for key, vector in stored.items():
                vectors[missing[key]] = vector
                self._cache.put(key, vector)
            # Other calls may have embedded some of them while the store was read.
            still_missing = {prompt: key for key, prompt in missing.items() if key not in stored}
            vectors |= self._look_up_cache(still_missing)
        return vectors

    def _look_up_cache(self, hashes: Mapping[str, bytes]) -> dict[str, Vector]:
        cached = ((prompt, self._cache.get(key)) for prompt, key in hashes.items())
        return {prompt: vector for prompt, vector in cached if vector is not None}


def hash_text(text: str) -> bytes:
    """Return the address of a text's vector: SHA-256 of its UTF-8, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def _hash_prompts(prompts: Mapping[str, Sequence[str]]) -> dict[str, bytes]:
    return {
        prompt: hash_text(prompt) for text_prompts in prompts.values() for prompt in text_prompts
    }


def _find_new_texts(
    prompts: Mapping[str, Sequence[str]], vectors: Mapping[str, Vector]
) -> frozenset[str]:
    """Return the texts with a prompt that has no vector."""
    return frozenset(
        text
        for text, text_prompts in prompts.items()
        if any(prompt not in vectors for prompt in text_prompts)
    )


def to_field_error(error: errors.AkinError, field: str) -> errors.AkinError:
    """Return the error for the caller whose request has the text in `field`."""
    if isinstance(error, errors.TextRejected):
        return errors.invalid_field(field, error.message)
    return error
