"""The generations of one catalog in this process: serving, next and previous."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from service import errors
from service.domain.generations import Generation
from service.domain.spaces import VectorStorage
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Chunk
from service.embedding.text_embedder import TextEmbedder, TextVectors
from service.index.follower import Follower

OTHER_SECONDS = 2.0
"""Longest wait of a write for vectors of a generation that does not serve; they are added later."""


@dataclass(frozen=True, slots=True)
class GenerationWriter:
    """A generation that texts are embedded for, and what a token costs in US dollars."""

    generation: Generation
    text_embedder: TextEmbedder
    usd_per_token: Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class OpenGeneration(GenerationWriter):
    """A generation that is followed, so that it can serve, with how its vectors are in memory."""

    follower: Follower
    storage: VectorStorage


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts as vectors of `generation`, which serves, and of others by their ids."""

    generation: Generation
    outcome: TextVectors
    others: Mapping[int, TextVectors]

    @property
    def usage(self) -> EmbeddingUsage:
        """What it took, over all generations; texts count once."""
        every = (self.outcome, *self.others.values())
        return EmbeddingUsage(
            self.outcome.usage.text_count,
            self.outcome.usage.cached_text_count,
            sum(each.usage.prompt_tokens for each in every),
            sum(each.usage.cost_usd for each in every),
        )

    def chunks(self, text: str) -> dict[int, Sequence[Chunk]]:
        """By generation, the chunks of a text in the others that have them."""
        return {
            generation_id: each.chunks[text]
            for generation_id, each in self.others.items()
            if text in each.chunks
        }


class Generations:
    """What a catalog's use cases need of its generations; which they are changes meanwhile.

    `current` tells that the other generation has caught up, so that writes wait for it too.
    """

    def __init__(self, serving: OpenGeneration) -> None:
        self.serving = serving
        self.other: GenerationWriter | None = None
        self.current = False

    async def reached(self, sequence: int) -> None:
        """Waits until every generation that serves, or may at any moment, has taken in a write.

        Raises:
            NotReady: the service shuts down first.
        """
        await self.serving.follower.reached(sequence)
        if self.current and isinstance(self.other, OpenGeneration):
            await self.other.follower.reached(sequence)

    async def documents(self, texts: Collection[str], *, patient: bool = False) -> Embedded:
        """Vectors for texts of items, in every generation.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        return await self._embedded(lambda each: each.embed_documents(texts, low_priority=patient))

    async def queries(self, texts: Collection[str]) -> Embedded:
        """Vectors for texts that items are looked for with, in every generation.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        return await self._embedded(lambda each: each.embed_queries(texts))

    async def _embedded(self, work: Callable[[TextEmbedder], Awaitable[TextVectors]]) -> Embedded:
        serving, other = self.serving, self.other
        if other is None:
            return Embedded(serving.generation, await work(serving.text_embedder), {})
        aside = asyncio.ensure_future(_if_soon(work(other.text_embedder)))
        try:
            outcome = await work(serving.text_embedder)
            late = await aside
        finally:
            aside.cancel()
        return Embedded(
            serving.generation, outcome, {other.generation.generation_id: late} if late else {}
        )


async def _if_soon(work: Awaitable[TextVectors]) -> TextVectors | None:
    """What a generation that does not serve has to say, if it is soon; the rest comes by itself."""
    try:
        async with asyncio.timeout(OTHER_SECONDS):
            return await work
    except (TimeoutError, errors.AkinError):
        return None
