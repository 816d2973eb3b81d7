"""The layers of one catalog in this process: which one serves, and which one is filled or kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from service import errors
from service.domain.generations import Layer
from service.domain.spaces import VectorStorage
from service.domain.usage import EmbeddingUsage
from service.domain.vectors import Passage
from service.embedding.text_embedder import TextVectors, Vectoriser
from service.index.follower import Indexer

OTHER_SECONDS = 2.0
"""So long a write waits for its vectors in a layer that does not serve; then they come later."""


@dataclass(frozen=True, slots=True)
class LayerWriter:
    """A layer that texts are embedded for, and what a token costs in US dollars."""

    layer: Layer
    vectoriser: Vectoriser
    usd_per_token: Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class OpenLayer(LayerWriter):
    """A layer that is followed, so that it can serve, with how its vectors are in memory."""

    indexer: Indexer
    storage: VectorStorage


@dataclass(frozen=True, slots=True)
class Embedded:
    """Texts as vectors of `layer`, which serves, and of others by their ids."""

    layer: Layer
    outcome: TextVectors
    others: Mapping[int, TextVectors]

    @property
    def usage(self) -> EmbeddingUsage:
        """What it took, over all layers; texts count once."""
        every = (self.outcome, *self.others.values())
        return EmbeddingUsage(
            self.outcome.usage.texts,
            self.outcome.usage.cached_texts,
            sum(each.usage.prompt_tokens for each in every),
            sum(each.usage.cost_usd for each in every),
        )

    def passages(self, text: str) -> dict[int, Sequence[Passage]]:
        """By layer, the passages of a text in the others that have them."""
        return {
            layer_id: each.passages[text]
            for layer_id, each in self.others.items()
            if text in each.passages
        }


class Layers:
    """What a catalog's use cases need of its layers; which they are changes meanwhile.

    `current` tells that the other layer has caught up, so that writes wait for it too.
    """

    def __init__(self, serving: OpenLayer) -> None:
        self.serving = serving
        self.other: LayerWriter | None = None
        self.current = False

    async def reached(self, sequence: int) -> None:
        """Waits until every layer that serves, or may at any moment, has taken in a write.

        Raises:
            NotReady: the service shuts down first.
        """
        await self.serving.indexer.reached(sequence)
        if self.current and isinstance(self.other, OpenLayer):
            await self.other.indexer.reached(sequence)

    async def documents(self, texts: Collection[str], *, patient: bool = False) -> Embedded:
        """Vectors for texts of items, in every layer.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        return await self._embedded(lambda each: each.documents(texts, patient=patient))

    async def queries(self, texts: Collection[str]) -> Embedded:
        """Vectors for texts that items are looked for with, in every layer.

        Raises:
            Overloaded: too many texts wait to be embedded.
        """
        return await self._embedded(lambda each: each.queries(texts))

    async def _embedded(self, work: Callable[[Vectoriser], Awaitable[TextVectors]]) -> Embedded:
        serving, other = self.serving, self.other
        if other is None:
            return Embedded(serving.layer, await work(serving.vectoriser), {})
        aside = asyncio.ensure_future(_if_soon(work(other.vectoriser)))
        try:
            outcome = await work(serving.vectoriser)
            late = await aside
        finally:
            aside.cancel()
        return Embedded(serving.layer, outcome, {other.layer.layer_id: late} if late else {})


async def _if_soon(work: Awaitable[TextVectors]) -> TextVectors | None:
    """What a layer that does not serve has to say, if it is soon; the rest comes by itself."""
    try:
        async with asyncio.timeout(OTHER_SECONDS):
            return await work
    except (TimeoutError, errors.AkinError):
        return None
