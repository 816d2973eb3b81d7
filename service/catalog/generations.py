"""The generations of a catalog in this process: where writes are embedded, and when they show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from service import errors
from service.catalog.generation_writer import GenerationWriter
from service.catalog.other_generation import Embed, OtherGeneration
from service.domain.generations import Generation
from service.domain.index_kinds import IndexKind
from service.domain.spaces import VectorStorage
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Chunk
from service.embedding.text_vectors import TextVectors
from service.index.index_reader import IndexReader
from service.index.write_barrier import WriteBarrier


@dataclass(frozen=True, slots=True)
class OpenGeneration(GenerationWriter):
    """A generation that a reader of its index keeps current, so that it can serve."""

    reader: IndexReader
    storage: VectorStorage
    index: IndexKind


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """The vectors of texts in `generation`, which serves, and in others by their ids.

    `usage` is that of all generations, in which a text counts once.
    """

    generation: Generation
    outcome: TextVectors
    others: Mapping[int, TextVectors]
    usage: EmbeddingUsage

    def other_chunks(self, text: str) -> dict[int, Sequence[Chunk]]:
        """Return the chunks of a text in those other generations that have them, by id."""
        return {
            generation_id: outcome.chunks[text]
            for generation_id, outcome in self.others.items()
            if text in outcome.chunks
        }


@dataclass(frozen=True, slots=True)
class CatalogGenerations:
    """The serving generation, and the next or previous one if there is a re-embedding."""

    serving: OpenGeneration
    other: OtherGeneration | None
    barrier: WriteBarrier

    async def embed_documents(
        self, texts: Collection[str], *, own_texts: Collection[str] = (), low_priority: bool = False
    ) -> EmbeddedTexts:
        """Return vectors for texts of items, in every generation.

        Args:
            texts: the texts.
            own_texts: texts of items that have vectors of their own in the generation that serves;
                these texts are embedded only in others.
            low_priority: wait behind the texts of other calls.

        Raises:
            Overloaded: the embedding queue is full.
        """
        return await self._embed(
            lambda embedder: embedder.embed_documents(texts, low_priority=low_priority),
            lambda embedder: embedder.embed_documents(
                {*texts, *own_texts}, low_priority=low_priority
            ),
        )

    async def embed_queries(self, texts: Collection[str]) -> EmbeddedTexts:
        """Return vectors for query texts and preferences, in every generation.

        Raises:
            Overloaded: the embedding queue is full.
        """
        return await self._embed(lambda embedder: embedder.embed_queries(texts))

    async def wait_for(self, sequence: int) -> None:
        """Wait until reads reflect a write, which is on disk; no longer if the service ends."""
        with suppress(errors.NotReady):
            await self.barrier.wait_for(sequence)

    async def _embed(self, embed: Embed, embed_in_other: Embed | None = None) -> EmbeddedTexts:
        """Embed texts in the serving generation, and the same or others in the other one."""
        serving, other_outcome = self.serving, None
        if self.other is None:
            outcome = await embed(serving.text_embedder)
        else:
            async with self.other.embed(embed_in_other or embed) as wait_for_other:
                outcome = await embed(serving.text_embedder)
                other_outcome = await wait_for_other()
        if self.other is None or other_outcome is None:
            return EmbeddedTexts(serving.generation, outcome, {}, outcome.usage)
        usage = EmbeddingUsage(
            outcome.usage.text_count,
            outcome.usage.cached_text_count,
            outcome.usage.prompt_tokens + other_outcome.usage.prompt_tokens,
            outcome.usage.cost_usd + other_outcome.usage.cost_usd,
            outcome.usage.embedded_text_count,
        )
        others = {self.other.writer.generation.generation_id: other_outcome}
        return EmbeddedTexts(serving.generation, outcome, others, usage)
