"""Re-embeds a catalog: fills the next generation with vectors, then makes it serve.

The generation itself is the only record of progress: an item without vectors in it is still to be
embedded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import structlog

from service import errors
from service.background.pending_preferences import USERS_PER_ROUND, embed_preferences
from service.catalog.generation_writer import GenerationWriter
from service.domain.generations import Generation
from service.storage.generations import GenerationStore
from service.storage.records import UnembeddedItem
from service.storage.reembedding import ReembeddingStore

# Items that are read and embedded at once.
REEMBEDDED_ITEMS_PER_ROUND = 512

# Items that are stored in one transaction: the texts of one request to a provider, so that their
# vectors are on disk before other requests end.
ITEMS_PER_COMMIT = 64

# If at least this many items and this share of a round fail, and more than have been embedded, the
# new model does not work: then the catalog must not switch to it with most items pending.
MIN_FAILED_ITEMS = 16
MIN_FAILED_SHARE = 0.9

# Delays between attempts while embedding fails; the last one repeats.
REEMBEDDING_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 10.0)

# The interval of checks whether the index of the next generation is ready.
READINESS_SECONDS = 0.05


class GenerationFiller:
    """Fills the next generation of a catalog with vectors of all items and preferences.

    Args:
        store: reads what is missing in the generation, and stores its vectors.
        generations: stores the progress.
        writer: the generation.
        on_filled: is called at the end.
    """

    def __init__(
        self,
        store: ReembeddingStore,
        generations: GenerationStore,
        writer: GenerationWriter,
        on_filled: Callable[[], None],
    ) -> None:
        self._store = store
        self._generations = generations
        self._generation = writer.generation
        self._text_embedder = writer.text_embedder
        self._on_filled = on_filled
        self._problem = ("", "")

    async def run(self) -> None:
        """Fill the generation."""
        await self._repeat(self._fill_items)
        await self._repeat(self._fill_preferences)
        await self._repeat(self._start_indexing)
        structlog.get_logger().info("reembedding_filled", catalog=self._generation.name)
        self._on_filled()

    async def _repeat(self, fill: Callable[[int], Awaitable[int | None]]) -> None:
        """Call `fill` with the last key it returned until it returns None; retry failures."""
        after, attempts = 0, 0
        while True:
            try:
                last_key = await fill(after)
                await self._note_problem("", "")
            except errors.AkinError as exc:
                with suppress(errors.AkinError):  # while the disk fails, nothing can be noted
                    await self._note_problem(exc.reason, exc.message)
                await asyncio.sleep(
                    REEMBEDDING_RETRY_SECONDS[min(attempts, len(REEMBEDDING_RETRY_SECONDS) - 1)]
                )
                attempts += 1
                continue
            if last_key is None:
                return
            after, attempts = last_key, 0

    async def _fill_items(self, after: int) -> int | None:
        """Fill a round of items with keys after `after`; return the last key, None at the end.

        Raises:
            AkinError: an item cannot be embedded now; the vectors of others are on disk.
        """
        items = await self._store.list_unfilled(self._generation, after, REEMBEDDED_ITEMS_PER_ROUND)
        if not items:
            return None
        batches = [
            items[start : start + ITEMS_PER_COMMIT]
            for start in range(0, len(items), ITEMS_PER_COMMIT)
        ]
        filled_batches = await asyncio.gather(*map(self._fill_batch, batches))
        failed = [pair for failures in filled_batches for pair in failures]
        if await self._is_provider_failing(len(failed), len(items)):
            raise failed[0][1]
        for item, error in failed:
            if isinstance(error, errors.TEXT_ERRORS):
                await self._store.reject(self._generation, item, error.reason, error.message)
        for _, error in failed:
            if not isinstance(error, errors.TEXT_ERRORS):
                raise error
        return items[-1].item_key

    async def _fill_batch(
        self, items: Sequence[UnembeddedItem]
    ) -> list[tuple[UnembeddedItem, errors.AkinError]]:
        """Embed and store items; return those that could not be embedded, with their errors."""
        try:
            outcome = await self._text_embedder.embed_documents(
                {item.text for item in items}, low_priority=True
            )
        except errors.Overloaded as exc:
            return [(item, exc) for item in items]
        filled = [
            (item, outcome.chunks[item.text]) for item in items if item.text in outcome.chunks
        ]
        await self._store.fill(self._generation, filled, outcome.usage.token_usage)
        failures = outcome.failures
        return [(item, failures[item.text]) for item in items if item.text in failures]

    async def _is_provider_failing(self, failed_count: int, item_count: int) -> bool:
        """Return whether the provider is the cause of the failures, and not the texts."""
        if failed_count < max(MIN_FAILED_ITEMS, MIN_FAILED_SHARE * item_count):
            return False
        progress = await self._store.get_progress(self._generation)
        return progress.embedded < failed_count

    async def _fill_preferences(self, after: int) -> int | None:
        """Embed preferences of users with keys after `after`; return the last key, None at the end.

        Raises:
            AkinError: a preference cannot be embedded now; the vectors of others are on disk.
        """
        users = await self._store.list_preferences(self._generation, after, USERS_PER_ROUND)
        if not users:
            return None
        outcome = await embed_preferences(self._store, self._generation, self._text_embedder, users)
        for failure in outcome.failures.values():
            if not isinstance(failure, errors.TEXT_ERRORS):
                raise failure
        return users[-1].user_key

    async def _start_indexing(self, _after: int) -> None:
        await self._generations.start_indexing(self._generation)

    async def _note_problem(self, reason: str, message: str) -> None:
        if (reason, message) != self._problem:
            self._problem = (reason, message)
            await self._generations.note_problem(self._generation, reason, message)


class GenerationSwitch:
    """Makes the next generation serve once its index is ready.

    Args:
        generations: where the switch is made.
        serving: the serving generation.
        next_: the next generation.
        is_ready: whether the index of the next generation has every write so far.
        on_switched: is called at the end.
    """

    def __init__(
        self,
        generations: GenerationStore,
        serving: Generation,
        next_: Generation,
        is_ready: Callable[[], bool],
        on_switched: Callable[[], None],
    ) -> None:
        self._generations = generations
        self._serving = serving
        self._next = next_
        self._is_ready = is_ready
        self._on_switched = on_switched

    async def run(self) -> None:
        """Wait until the next generation is ready, and switch."""
        while not self._is_ready() or not await self._try_switch():  # noqa: ASYNC110  (no event)
            await asyncio.sleep(READINESS_SECONDS)
        structlog.get_logger().info("reembedding_switched", catalog=self._next.name)
        self._on_switched()

    async def _try_switch(self) -> bool:
        try:
            return await self._generations.switch(self._serving, self._next)
        except errors.AkinError as exc:
            structlog.get_logger().warning("reembedding_switch_failed", reason=exc.reason)
            return False
