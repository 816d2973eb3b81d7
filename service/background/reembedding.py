"""Changes what a catalog is embedded with: fills a second generation aside, then has it serve.

Nothing is kept of how far it is but the generation itself: what has no vectors in it is still to
do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from service import errors
from service.catalog.handle import GenerationWriter
from service.domain.generations import Generation, GenerationState
from service.domain.usage import TokenUsage
from service.embedding.text_embedder import TextVectors
from service.storage import Registry
from service.storage.records import PendingItem

ITEMS_PER_ROUND = 512
ITEMS_PER_COMMIT = 64
"""As many texts as go into a request: what a request brought is on disk before others end."""

USERS_PER_ROUND = 100
DELAYS_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)
"""Between attempts while nothing gets on; the last one holds from then on."""

PAUSE_SECONDS = 0.05


class Filler:
    """Fills one generation with vectors of all that its catalog holds.

    `filled` is called once it is full.
    """

    def __init__(
        self, registry: Registry, writer: GenerationWriter, filled: Callable[[], None]
    ) -> None:
        self._registry = registry
        self._generation = writer.generation
        self._text_embedder = writer.text_embedder
        self._filled = filled
        self._problem = ""

    async def run(self) -> None:
        """Works until the generation is full."""
        await self._through(self._items)
        await self._through(self._users)
        await self._through(self._finish)
        structlog.get_logger().info("reembedding_filled", catalog=self._generation.name)
        self._filled()

    async def _through(self, work: Callable[[int], Awaitable[int | None]]) -> None:
        """Goes on from key to key while there are any; where one fails for now, tries again."""
        after, attempts = 0, 0
        while True:
            try:
                reached = await work(after)
                await self._note("")
            except errors.AkinError as exc:
                with suppress(errors.AkinError):  # where the disk fails, it cannot be noted either
                    await self._note(exc.message)
                await asyncio.sleep(DELAYS_SECONDS[min(attempts, len(DELAYS_SECONDS) - 1)])
                attempts += 1
                continue
            if reached is None:
                return
            after, attempts = reached, 0

    async def _items(self, after: int) -> int | None:
        """Embeds the items beyond a key, a round of them; the last one's key, None at the end.

        Raises:
            AkinError: one cannot be embedded for now; what could be is on disk.
        """
        items = await self._registry.unfilled(self._generation, after, ITEMS_PER_ROUND)
        if not items:
            return None
        starts = range(0, len(items), ITEMS_PER_COMMIT)
        some = (self._some(items[start : start + ITEMS_PER_COMMIT]) for start in starts)
        failures = [each for each in await asyncio.gather(*some) if each is not None]
        if failures:
            raise failures[0]
        return items[-1].item_key

    async def _some(self, items: Sequence[PendingItem]) -> errors.AkinError | None:
        """Embeds and stores items; why not all of them, where that may pass."""
        try:
            outcome = await self._text_embedder.embed_documents(
                {each.text for each in items}, low_priority=True
            )
        except errors.Overloaded as exc:
            return exc
        filled, failure = [], None
        for each in items:
            found = outcome.failures.get(each.text)
            if found is None:
                filled.append((each, outcome.chunks[each.text]))
            elif isinstance(found, errors.TextRejected):
                await self._registry.refuse(self._generation, each, found.message)
            else:
                failure = found
        await self._registry.fill(self._generation, filled, _spent(outcome))
        return failure

    async def _users(self, after: int) -> int | None:
        """Embeds the preferences of users beyond a key; the last one's key, None at the end."""
        texts, reached = await self._registry.preferences(self._generation, after, USERS_PER_ROUND)
        outcome = await self._text_embedder.embed_queries(set(texts))
        chunks = [each for some in outcome.chunks.values() for each in some]
        if chunks:
            await self._registry.keep(self._generation, chunks, _spent(outcome))
        for failure in outcome.failures.values():
            if not isinstance(failure, errors.TextRejected):
                raise failure
        return reached

    async def _finish(self, _after: int) -> None:
        await self._registry.set_state(self._generation, GenerationState.INDEXING)

    async def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            await self._registry.note_problem(self._generation, problem)


class Switcher:
    """Has a full generation serve once its index is made.

    `ready` tells whether it has caught up, and `switched` is called at the end.
    """

    def __init__(
        self,
        registry: Registry,
        serving: Generation,
        new: Generation,
        ready: Callable[[], bool],
        switched: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._serving = serving
        self._new = new
        self._ready = ready
        self._switched = switched

    async def run(self) -> None:
        """Works until the generation serves."""
        while not self._ready() or not await self._try():  # noqa: ASYNC110  (the store has none)
            await asyncio.sleep(PAUSE_SECONDS)
        structlog.get_logger().info("reembedding_switched", catalog=self._new.name)
        self._switched()

    async def _try(self) -> bool:
        try:
            return await self._registry.switch(self._serving, self._new)
        except errors.AkinError as exc:
            structlog.get_logger().warning("reembedding_switch_failed", reason=exc.reason)
            return False


def _spent(outcome: TextVectors) -> TokenUsage:
    return TokenUsage(outcome.usage.prompt_tokens, outcome.usage.cost_usd)
