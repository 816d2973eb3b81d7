"""Embeds texts in the cheapest way: from the cache, from the store, or by the embedder.

A text is one chunk, or several if the model's context is too short for it. Each chunk is put into
the space's template and has a vector of its own, addressed by the hash of the text that the model
sees. Nothing is paid for twice: a chunk whose vector is stored is never embedded again. The local
model, which costs nothing, embeds queries without a look at the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from service import errors
from service.domain.generations import Generation
from service.domain.spaces import Space
from service.domain.text_formats import TextFormat
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Chunk
from service.embedding.documents import read_documents
from service.embedding.embedder import BatchLimits, EmbeddedText, EmbeddingOutcome, Vector
from service.embedding.errors import EmbeddingProblem, TextTooLong
from service.embedding.prompts import Prompt, render, split_too_long
from service.embedding.text_vectors import TextVectors
from service.embedding.token_estimates import estimate_tokens
from service.embedding.vector_cache import VectorCache
from service.telemetry import call_context


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

    @property
    def import_slots(self) -> asyncio.Semaphore:
        """Limits the messages of imports that are embedded at once."""

    async def embed(
        self,
        texts: Sequence[str],
        *,
        low_priority: bool = False,
        alone: bool = False,
        queries: bool = False,
    ) -> Sequence[EmbeddingOutcome]:
        """Embed one or more distinct texts, and return the vector or the error of each.

        Args:
            texts: what to embed.
            low_priority: queue behind texts without low priority.
            alone: send each text in a request of its own, once: the provider failed on it before.
            queries: the texts are of queries, and not of items.

        Raises:
            Overloaded: the queue is full; none of the texts was queued.
        """


class TextObserver(NamedTuple):
    """Receives the numbers of embedded and of cached texts of each set of texts, for metrics."""

    embedded: Callable[[float], object]
    cached: Callable[[float], object]


@dataclass(slots=True)
class _Embedded:
    """The vectors and failures of prompts, and their usage."""

    vectors: dict[str, Vector] = field(default_factory=dict)
    failures: dict[str, errors.AkinError] = field(default_factory=dict)
    tokens: float = 0.0
    cost_usd: float = 0.0


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

    @property
    def import_slots(self) -> asyncio.Semaphore:
        """Limits the messages of imports whose texts are embedded with this model at once."""
        return self._batches.import_slots

    async def embed_documents(
        self, texts: Iterable[str], *, low_priority: bool = False, alone: bool = False
    ) -> TextVectors:
        """Embed texts of items.

        Args:
            texts: what to embed.
            low_priority: embed the texts of other callers first.
            alone: send each text in a request of its own, because it may make requests fail.

        Raises:
            Overloaded: the batch queue is full.
        """
        if self._generation.text_format is TextFormat.PLAIN:
            return await self._embed(
                texts, self.space.template, low_priority=low_priority, alone=alone
            )
        documents, failures = await read_documents(texts, self._generation.text_format)
        outcome = await self._embed(
            set(documents.values()), self.space.template, low_priority=low_priority, alone=alone
        )
        return outcome.by_document(documents, failures)

    async def embed_queries(self, texts: Iterable[str]) -> TextVectors:
        """Embed query texts.

        Raises:
            Overloaded: the batch queue is full.
        """
        return await self._embed(texts, self.space.query_template, queries=True)

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

    def split_into_chunks(self, text: str, hashes: Sequence[bytes]) -> list[Prompt]:
        """Return the chunks of an item's text in the order of its vectors.

        Args:
            text: the item's text without markup.
            hashes: of the item's vectors. They tell which chunks the model found too long.

        Returns:
            The chunks; none if the text was split in another way, because of other settings.
        """
        template = self.space.template
        stored = frozenset(hashes)
        chunks: list[Prompt] = []
        for prompt in self._render([text], template)[text]:
            parts = split_too_long(
                [prompt], text, template, lambda part: part.text_hash not in stored
            )
            expected_hashes = hashes[len(chunks) : len(chunks) + len(parts)]
            # To halve all of a text in vain would take 40 times as long as to split it.
            if [part.text_hash for part in parts] != [*expected_hashes]:
                return []
            chunks += parts
        return chunks if len(chunks) == len(hashes) else []

    async def estimate(self, texts: Iterable[str]) -> EmbeddingUsage:
        """Return the usage of embedding texts of items, with estimated tokens and no cost."""
        if self._generation.text_format is not TextFormat.PLAIN:
            documents, _ = await read_documents(texts, self._generation.text_format)
            texts = set(documents.values())
        return await self._estimate(texts, self.space.template)

    async def estimate_queries(self, texts: Iterable[str]) -> EmbeddingUsage:
        """Return the usage of embedding query texts, with estimated tokens and no cost."""
        return await self._estimate(texts, self.space.query_template)

    async def _estimate(self, texts: Iterable[str], template: str) -> EmbeddingUsage:
        prompts = self._render(texts, template)
        hashes = _hash_prompts(prompts)
        vectors = self._look_up_cache(hashes)
        vectors |= await self._look_up_store(hashes, vectors)
        new_texts = _find_new_texts(prompts, vectors)
        tokens = sum(estimate_tokens(prompt) for prompt in hashes if prompt not in vectors)
        return EmbeddingUsage(len(prompts), len(prompts) - len(new_texts), tokens)

    async def _embed(
        self,
        texts: Iterable[str],
        template: str,
        *,
        low_priority: bool = False,
        alone: bool = False,
        queries: bool = False,
    ) -> TextVectors:
        # The local model takes less time than the store takes to find out that a query is new.
        reads_store = not (queries and self.space.is_local)
        prompts = self._render(texts, template)
        embedded = _Embedded()
        new_texts: set[str] = set()
        unresolved = prompts
        while unresolved:
            hashes = _hash_prompts(unresolved)
            vectors = self._look_up_cache(hashes)
            if reads_store:
                vectors |= await self._look_up_store(hashes, vectors)
            embedded.vectors |= vectors
            new_texts |= _find_new_texts(unresolved, vectors)
            new_prompts = [prompt for prompt in hashes if prompt not in vectors]
            if new_prompts:
                with call_context.Stage(call_context.EMBED):
                    outcomes = await self._batches.embed(
                        new_prompts, low_priority=low_priority, alone=alone, queries=queries
                    )
                for prompt, outcome in zip(new_prompts, outcomes, strict=True):
                    self._collect(embedded, prompt, hashes[prompt], outcome)
            # Chunks that the model finds too long are split and embedded again.
            unresolved = self._split_too_long(unresolved, template)
            prompts |= unresolved
        return self._make_result(prompts, new_texts, embedded)

    def _collect(
        self, embedded: _Embedded, prompt: str, text_hash: bytes, outcome: EmbeddingOutcome
    ) -> None:
        if isinstance(outcome, EmbeddedText):
            self._cache.put(text_hash, outcome.vector)
            embedded.vectors[prompt] = outcome.vector
            embedded.tokens += outcome.prompt_tokens
            embedded.cost_usd += outcome.cost_usd
            return
        embedded.failures[prompt] = outcome
        if isinstance(outcome, TextTooLong):
            self._cache.mark_too_long(text_hash)

    def _make_result(
        self, prompts: Mapping[str, Sequence[Prompt]], new_texts: set[str], embedded: _Embedded
    ) -> TextVectors:
        failures = {
            text: embedded.failures[prompt.text]
            for text, text_prompts in prompts.items()
            for prompt in text_prompts
            if prompt.text in embedded.failures
        }
        chunks = {
            text: [
                Chunk(prompt.text_hash, embedded.vectors[prompt.text]) for prompt in text_prompts
            ]
            for text, text_prompts in prompts.items()
            if text not in failures
        }
        embedded_texts = frozenset(new_texts - failures.keys())
        cached_count = len(prompts) - len(new_texts)
        if self._observer is not None:
            self._observer.embedded(len(embedded_texts))
            self._observer.cached(cached_count)
        usage = EmbeddingUsage(
            len(prompts),
            cached_count,
            round(embedded.tokens),
            embedded.cost_usd,
            len(embedded_texts),
        )
        return TextVectors(chunks, failures, embedded_texts, usage)

    def _render(self, texts: Iterable[str], template: str) -> dict[str, list[Prompt]]:
        """Return the prompts of each text, without those that the model has found too long."""
        max_tokens = self._batches.limits.text_tokens - estimate_tokens(template)
        prompts = {text: render(text, template, max_tokens) for text in texts}
        return prompts | self._split_too_long(prompts, template)

    def _split_too_long(
        self, prompts: Mapping[str, list[Prompt]], template: str
    ) -> dict[str, list[Prompt]]:
        """Return the new prompts of texts with a prompt that the model has found too long."""

        def is_too_long(prompt: Prompt) -> bool:
            return self._cache.is_too_long(prompt.text_hash)

        split = {
            text: split_too_long(text_prompts, text, template, is_too_long)
            for text, text_prompts in prompts.items()
            if any(map(is_too_long, text_prompts))
        }
        return {text: parts for text, parts in split.items() if parts != prompts[text]}

    async def _look_up_store(
        self, hashes: Mapping[str, bytes], known: Collection[str]
    ) -> dict[str, Vector]:
        """Return the vectors that the store has of the prompts that are not known yet."""
        missing = {key: prompt for prompt, key in hashes.items() if prompt not in known}
        if not missing:
            return {}
        stored = await self._store.get_many(self._generation, list(missing))
        for key, vector in stored.items():
            self._cache.put(key, vector)
        # Other calls may have embedded some of them while the store was read.
        still_missing = {prompt: key for key, prompt in missing.items() if key not in stored}
        vectors = {missing[key]: vector for key, vector in stored.items()}
        return vectors | self._look_up_cache(still_missing)

    def _look_up_cache(self, hashes: Mapping[str, bytes]) -> dict[str, Vector]:
        cached = ((prompt, self._cache.get(key)) for prompt, key in hashes.items())
        return {prompt: vector for prompt, vector in cached if vector is not None}


def _hash_prompts(prompts: Mapping[str, Sequence[Prompt]]) -> dict[str, bytes]:
    return {
        prompt.text: prompt.text_hash
        for text_prompts in prompts.values()
        for prompt in text_prompts
    }


def _find_new_texts(
    prompts: Mapping[str, Sequence[Prompt]], vectors: Mapping[str, Vector]
) -> frozenset[str]:
    """Return the texts with a prompt that has no vector."""
    return frozenset(
        text
        for text, text_prompts in prompts.items()
        if any(prompt.text not in vectors for prompt in text_prompts)
    )


def to_field_error(error: errors.AkinError, field: str) -> errors.AkinError:
    """Return the error for the caller whose request has the text in `field`."""
    if isinstance(error, errors.TextRejected):
        return errors.invalid_field(field, error.message)
    if isinstance(error, errors.TextFailed):
        return errors.TextFailed(f"{field} {error.message}")
    return error
