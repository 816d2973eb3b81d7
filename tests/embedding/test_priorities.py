import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.batchers import working
from support.embedders import HeldEmbedder, PoisonedEmbedder
from support.tasks import left, started

from service.embedding.batcher import Batcher
from service.embedding.embedder import EmbeddedText, Embeddings

CONCURRENCY = 8


class SlowEmbedder(PoisonedEmbedder):
    """An embedder that takes several batches at once, and holds each until the test releases it."""

    def __init__(self, batch_texts: int, poison: str = "") -> None:
        super().__init__(poison)
        self.limits = replace(self.limits, texts=batch_texts, concurrency=CONCURRENCY)
        self._changed = asyncio.Condition()
        self._received: set[tuple[str, ...]] = set()
        self._released: set[tuple[str, ...]] = set()

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Embed one batch after its release; it fails if it has the poison."""
        async with self._changed:
            self._received.add(tuple(texts))
            self._changed.notify_all()
            await self._changed.wait_for(lambda: tuple(texts) in self._released)
        return await super().embed(texts)

    async def wait_for(self, *batch: str) -> None:
        """Wait until a batch arrives."""
        async with self._changed:
            await self._changed.wait_for(lambda: batch in self._received)

    async def release(self, *batches: tuple[str, ...]) -> None:
        """Let batches continue, those as well that arrive later."""
        async with self._changed:
            self._released.update(batches)
            self._changed.notify_all()


async def hold_first(batcher: Batcher, embedder: HeldEmbedder) -> asyncio.Task[object]:
    """Return a caller whose batch holds up all others."""
    caller: asyncio.Task[object] = asyncio.create_task(batcher.embed(["first"]))
    await embedder.held.wait()
    return caller


@pytest.mark.parametrize("alone", [False, True])
async def test_a_queued_text_of_an_import_moves_up_for_another_caller(alone: bool) -> None:
    """A text that a caller without low priority asks for is sent before the texts of imports."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        callers = [
            await hold_first(batcher, embedder),
            await started(batcher.embed(["import 1", "import 2"], low_priority=True)),
            await started(batcher.embed(["tea"], low_priority=True, alone=alone)),
            await started(batcher.embed(["query"])),
            await started(batcher.embed(["tea"])),
        ]
        assert 4 == batcher.queued_texts
        embedder.release()
        await asyncio.gather(*callers)
        assert 0 == batcher.queued_texts
    # A text that failed before still has a request of its own.
    urgent = [("query",), ("tea",)] if alone else [("query", "tea")]
    assert [("first",), *urgent, ("import 1", "import 2")] == embedder.batches


async def test_a_text_that_moved_up_stays_there_when_its_caller_leaves() -> None:
    """The import still gets the vector of a text after the caller that moved it up has left."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await hold_first(batcher, embedder)
        importing = await started(batcher.embed(["import", "tea"], low_priority=True))
        await left(await started(batcher.embed(["tea"])))
        embedder.release()
        assert [EmbeddedText] * 2 == [type(outcome) for outcome in await importing]
        await first
    assert [("first",), ("tea",), ("import",)] == embedder.batches


async def test_an_import_does_not_move_its_texts_back() -> None:
    """A text that a caller waits for keeps its place when an import asks for it as well."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        callers = [
            await hold_first(batcher, embedder),
            await started(batcher.embed(["import"], low_priority=True)),
            await started(batcher.embed(["tea"])),
            await started(batcher.embed(["tea"], low_priority=True)),
        ]
        embedder.release()
        await asyncio.gather(*callers)
    assert [("first",), ("tea",), ("import",)] == embedder.batches


async def test_a_text_in_flight_is_not_sent_twice() -> None:
    """A caller that asks for a text which an import has just sent waits for that request."""
    embedder = SlowEmbedder(batch_texts=2)
    async with working(embedder) as batcher:
        importing = await started(batcher.embed(["tea", "rum"], low_priority=True))
        await embedder.wait_for("tea", "rum")
        caller = await started(batcher.embed(["tea"]))
        await embedder.release(("tea", "rum"))
        await asyncio.gather(importing, caller)
    assert [("tea", "rum")] == embedder.batches


@pytest.mark.parametrize("is_early", [True, False])
async def test_a_text_leaves_a_batch_in_which_others_fail(is_early: bool) -> None:
    """A caller does not wait for a part of a failed batch of an import that has other texts."""
    embedder = SlowEmbedder(batch_texts=4, poison="bad")
    texts = ("bad", "rum", "tea", "gin")
    async with working(embedder) as batcher:
        importing = await started(batcher.embed(texts, low_priority=True))
        await embedder.wait_for(*texts)
        if is_early:
            caller = await started(batcher.embed(["gin"]))
        await embedder.release(texts)
        await embedder.wait_for("bad", "rum")  # this request hangs until its release
        if not is_early:
            caller = await started(batcher.embed(["gin"]))
        await embedder.release(("gin",))
        (outcome,) = await caller
        assert isinstance(outcome, EmbeddedText)
        await embedder.release(("bad", "rum"), ("tea",), ("bad",), ("rum",))
        outcomes = dict(zip(texts, await importing, strict=True))
    failed = {text for text in texts if not isinstance(outcomes[text], EmbeddedText)}
    assert {"bad"} == failed


async def test_imports_leave_room_for_others() -> None:
    """Requests of imports that hang do not take all the concurrency of an embedder."""
    embedder = SlowEmbedder(batch_texts=1)
    texts = [f"import {number}" for number in range(CONCURRENCY)]
    async with working(embedder) as batcher:
        importing = await started(batcher.embed(texts, low_priority=True))
        await embedder.wait_for(texts[-2])
        await embedder.release(("query",))
        await batcher.embed(["query"])
        await embedder.release(*((text,) for text in texts))
        await importing
    assert ("query",) == embedder.batches[0]
