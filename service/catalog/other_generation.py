"""Embeds the texts of writes for a generation that does not serve, without delaying the writes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog

from service import errors
from service.catalog.generation_writer import GenerationWriter
from service.embedding.pool import Spawn
from service.embedding.text_embedder import TextEmbedder
from service.embedding.text_vectors import TextVectors

# Longest time from the start of a write until its vectors in a generation that does not serve;
# without them, the item is pending in that generation. Providers usually respond in less.
OTHER_GENERATION_SECONDS = 1.0

Embed = Callable[[TextEmbedder], Awaitable[TextVectors]]


@dataclass(slots=True, eq=False)
class _Attempt:
    """Texts that are being embedded. `result` is cancelled once no write waits for it."""

    end: float
    result: asyncio.Future[TextVectors | None] = field(default_factory=asyncio.Future)


class OtherGeneration:
    """The next or previous generation of a catalog, as writes to the catalog use it.

    A write waits a moment for its vectors. After the first wait in vain, writes neither wait nor
    send texts, except for one at a time, until the model embeds a text in time again. The
    background tasks of pending items and pending preferences embed the other texts.

    Args:
        writer: the generation.
        spawn: starts the tasks that embed.
    """

    def __init__(self, writer: GenerationWriter, spawn: Spawn) -> None:
        self.writer = writer
        self._spawn = spawn
        self._is_slow = False
        self._attempts = 0

    @asynccontextmanager
    async def embed(
        self, embed: Embed
    ) -> AsyncIterator[Callable[[], Awaitable[TextVectors | None]]]:
        """Embed texts while the block runs; it gets a function that waits for the vectors.

        The function returns None if the texts cannot be embedded in time. If the block fails, the
        texts are not embedded.
        """
        if self._is_slow and self._attempts:
            yield _return_none
            return
        attempt = _Attempt(time.monotonic() + OTHER_GENERATION_SECONDS)
        task = self._spawn(self._run(embed, attempt))
        try:
            yield partial(self._wait, attempt)
        except BaseException:
            task.cancel()
            raise

    async def _wait(self, attempt: _Attempt) -> TextVectors | None:
        seconds = 0.0 if self._is_slow else max(0.0, attempt.end - time.monotonic())
        await asyncio.wait([attempt.result], timeout=seconds)
        if attempt.result.done():
            return attempt.result.result()
        attempt.result.cancel()
        self._is_slow = True
        return None

    async def _run(self, embed: Embed, attempt: _Attempt) -> None:
        self._attempts += 1
        try:
            outcome = await embed(self.writer.text_embedder)
        except errors.AkinError:
            outcome = None
        except Exception:  # noqa: BLE001  (a bug must fail the write at most, and not end the server)
            structlog.get_logger().exception("other_generation_failed")
            outcome = None
        finally:
            self._attempts -= 1
        if outcome is not None and outcome.embedded_texts and time.monotonic() < attempt.end:
            self._is_slow = False
        if not attempt.result.done():
            attempt.result.set_result(outcome)
        elif outcome is not None:
            await self._store_late(outcome)

    async def _store_late(self, outcome: TextVectors) -> None:
        """Store vectors that came too late for their write: nothing is paid for twice."""
        chunks = [chunk for text in outcome.embedded_texts for chunk in outcome.chunks[text]]
        try:
            await self.writer.add_vectors(chunks, outcome.usage.token_usage)
        except errors.AkinError as exc:
            structlog.get_logger().warning("late_vectors_not_stored", reason=exc.reason)


async def _return_none() -> None:
    return None
