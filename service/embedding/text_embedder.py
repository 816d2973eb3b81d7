"""Texts to vectors by the cheapest way: from memory, from the store, or from the embedder.

A text becomes one chunk or, where the model's context is too short for it, several; each chunk
is put into the space's template and gets a vector, found by the hash of exactly what the model saw.
Nothing is paid for twice: what the store has is never embedded again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from service import errors
from service.domain.generations import Generation
from service.domain.spaces import Space
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Chunk, text_hash
from service.embedding.batcher import Batcher
from service.embedding.cache import VectorCache
from service.embedding.chunking import spans, split
from service.embedding.embedder import Vector, estimated_tokens
from service.embedding.retries import Outcome
from service.telemetry import call_context


class VectorStore(Protocol):
    """The store as the embedder needs it: vectors by the hash of their text."""

    async def get_many(
        self, generation: Generation, hashes: Sequence[bytes]
    ) -> Mapping[bytes, Vector]:
        """Return the vectors known in the generation's space, by hash.

        Raises:
            StoreUnavailable: the store cannot be read.
        """


@dataclass(frozen=True, slots=True)
class TextVectors:
    """The outcome for a set of texts.

    `chunks` and `failures` go by text and share no key; `embedded` names the texts for which the
    embedder was asked.
    """

    chunks: Mapping[str, Sequence[Chunk]]
    failures: Mapping[str, errors.AkinError]
    embedded: frozenset[str]
    usage: EmbeddingUsage

    def vectors(self, text: str) -> Vector:
        """The vectors of a text's chunks, float32 [chunks, dimensions]."""
        return np.stack([each.vector for each in self.chunks[text]])


class ChunkSpan(NamedTuple):
    """Where a chunk starts and ends in its text, in characters, and what its vector is kept by.

    The hash is of exactly what the model saw.
    """

    start: int
    end: int
    text_hash: bytes


class TextEmbedder:
    """Gets unit vectors for the texts of one generation.

    `observe` is told how many texts were embedded, and how many had their vectors.
    """

    def __init__(
        self,
        store: VectorStore,
        generation: Generation,
        space: Space,
        batcher: Batcher,
        cache: VectorCache,
        observe: Callable[[int, int], None] = lambda _embedded, _cached: None,
    ) -> None:
        self._store = store
        self._generation = generation
        self.space = space
        self._limits = batcher.limits
        self._batcher = batcher
        self._cache = cache
        self._observe = observe

    @property
    def problem(self) -> str:
        """Why the embedder's last request failed; empty if it did not."""
        return self._batcher.rate_controller.problem

    async def documents(self, texts: Iterable[str], *, patient: bool = False) -> TextVectors:
        """Vectors for texts of items; with `patient` after those of others who wait.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        return await self._vectors(texts, self.space.template, patient=patient)

    async def queries(self, texts: Iterable[str]) -> TextVectors:
        """Vectors for texts that items are looked for with.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        return await self._vectors(texts, self.space.query_template, patient=False)

    async def query(self, text: str, field: str) -> tuple[Vector, EmbeddingUsage]:
        """The vectors of one query, float32 [chunks, dimensions].

        Raises:
            InvalidRequest: the text of `field` can never be embedded.
            AkinError: it cannot be embedded for now.
        """
        outcome = await self.queries([text])
        if text in outcome.failures:
            raise at_field(outcome.failures[text], field)
        return outcome.vectors(text), outcome.usage

    def chunks(self, text: str) -> list[ChunkSpan]:
        """The chunks of an item's text, in the order of its vectors."""
        template = self.space.template
        return [
            ChunkSpan(start, end, text_hash(template.replace("{text}", text[start:end])))
            for start, end in spans(text, self._room(template))
        ]

    async def estimate(self, texts: Iterable[str]) -> EmbeddingUsage:
        """Estimate the usage of embedding texts of items, without the price."""
        return await self._estimate(texts, self.space.template)

    async def estimate_queries(self, texts: Iterable[str]) -> EmbeddingUsage:
        """Estimate the usage of embedding query texts and preferences, without the price."""
        return await self._estimate(texts, self.space.query_template)

    async def _estimate(self, texts: Iterable[str], template: str) -> EmbeddingUsage:
        rendered = self._rendered(texts, template)
        parts = {part: text_hash(part) for each in rendered.values() for part in each}
        found = await self._found(parts)
        new = [text for text, each in rendered.items() if not found.keys() >= set(each)]
        tokens = sum(estimated_tokens(part) for part in parts if part not in found)
        return EmbeddingUsage(len(rendered), len(rendered) - len(new), tokens)

    async def _vectors(self, texts: Iterable[str], template: str, *, patient: bool) -> TextVectors:
        rendered = self._rendered(texts, template)
        hashes = {part: text_hash(part) for each in rendered.values() for part in each}
        found = await self._found(hashes)
        unknown = [part for part in hashes if part not in found]
        embedded = frozenset(
            text for text, each in rendered.items() if any(part not in found for part in each)
        )
        failed: dict[str, errors.AkinError] = {}
        tokens = cost = 0.0
        outcomes = await self._embedded(unknown, patient=patient) if unknown else []
        for part, outcome in zip(unknown, outcomes, strict=True):
            if isinstance(outcome, errors.AkinError):
                failed[part] = outcome
                continue
            found[part] = outcome.vector
            self._cache.put(hashes[part], outcome.vector)
            tokens += outcome.prompt_tokens
            cost += outcome.cost_usd
        failures = {
            text: failed[part] for text, each in rendered.items() for part in each if part in failed
        }
        chunks = {
            text: [Chunk(hashes[part], found[part]) for part in each]
            for text, each in rendered.items()
            if text not in failures
        }
        cached = len(rendered) - len(embedded)
        self._observe(len(embedded), cached)
        usage = EmbeddingUsage(len(rendered), cached, round(tokens), cost)
        return TextVectors(chunks, failures, embedded - failures.keys(), usage)

    async def _embedded(self, parts: Sequence[str], *, patient: bool) -> Sequence[Outcome]:
        with call_context.Stage(call_context.EMBED):
            return await self._batcher.embed(parts, patient=patient)

    def _rendered(self, texts: Iterable[str], template: str) -> dict[str, list[str]]:
        """What the model is to see of each text."""
        room = self._room(template)
        return {
            text: [template.replace("{text}", chunk) for chunk in split(text, room)]
            for text in texts
        }

    def _room(self, template: str) -> int:
        """How many tokens of text the template leaves room for."""
        return self._limits.text_tokens - estimated_tokens(template)

    async def _found(self, hashes: Mapping[str, bytes]) -> dict[str, Vector]:
        """The vectors that memory or the store has."""
        found = self._remembered(hashes)
        missing = {key: part for part, key in hashes.items() if part not in found}
        if missing:
            stored = await self._store.get_many(self._generation, list(missing))
            for key, vector in stored.items():
                found[missing[key]] = vector
                self._cache.put(key, vector)
            # Others may have had these embedded while the store was read.
            left = {part: key for key, part in missing.items() if key not in stored}
            found |= self._remembered(left)
        return found

    def _remembered(self, hashes: Mapping[str, bytes]) -> dict[str, Vector]:
        cached = ((part, self._cache.get(key)) for part, key in hashes.items())
        return {part: vector for part, vector in cached if vector is not None}


def at_field(error: errors.AkinError, field: str) -> errors.AkinError:
    """The error as the caller of `field` shall see it."""
    if isinstance(error, errors.TextRejected):
        return errors.invalid(field, error.message)
    return error
