import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from support.batchers import working
from support.embedders import (
    COST_USD_PER_TOKEN,
    SPACE,
    UNAVAILABLE_MESSAGE,
    Fault,
    FaultyEmbedder,
    HeldEmbedder,
    WordEmbedder,
    unit_vector,
)
from support.server import WAIT_SECONDS
from support.tasks import left, started

from service import errors
from service.embedding.batcher import MAX_QUEUED_TEXTS, MAX_QUEUED_TOKENS, Batcher
from service.embedding.embedder import EmbeddedText
from service.telemetry import call_context

# Each of these characters is estimated at 3 tokens.
LONGEST_TEXT = "🙂" * ((MAX_QUEUED_TOKENS - 1) // 3)

Outcomes = Sequence[EmbeddedText | errors.AkinError]


async def start_held_batch(
    batcher: Batcher, embedder: HeldEmbedder, *texts: str
) -> asyncio.Task[list[EmbeddedText | errors.AkinError]]:
    """Return the task of a caller whose batch the embedder holds."""
    caller = asyncio.create_task(batcher.embed(texts))
    await embedder.held.wait()
    return caller


def assert_embedded(texts: Sequence[str], outcomes: Outcomes) -> None:
    assert len(texts) == len(outcomes)
    for text, outcome in zip(texts, outcomes, strict=True):
        assert isinstance(outcome, EmbeddedText)
        np.testing.assert_allclose(unit_vector(text), outcome.vector, atol=1e-6)
        np.testing.assert_allclose(1.0, np.linalg.norm(outcome.vector), atol=1e-6)


async def test_texts_become_unit_vectors_in_order() -> None:
    """Each text has its own unit vector, whatever the length of the embedder's vectors."""
    texts = ["tea", "coffee and cake", "tea and cake"]
    async with working(WordEmbedder()) as batcher:
        assert_embedded(texts, await batcher.embed(texts))


async def test_texts_share_the_usage_of_their_batch() -> None:
    """Each text of a batch has an equal share of its tokens and US dollars."""
    async with working(WordEmbedder()) as batcher:
        outcomes = await batcher.embed(["a b c", "d", "e f"])
    texts = [outcome for outcome in outcomes if isinstance(outcome, EmbeddedText)]
    assert [2.0] * 3 == [text.prompt_tokens for text in texts]
    assert 6 * COST_USD_PER_TOKEN == pytest.approx(sum(text.cost_usd for text in texts))


async def test_concurrent_callers_share_one_request() -> None:
    """A text with several callers is sent once, whether it is queued or in flight."""
    embedder = HeldEmbedder()
    requested = [["tea"], ["coffee", "tea"], ["coffee"]]
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "tea")
        callers = [await started(batcher.embed(texts)) for texts in requested]
        embedder.release()
        for texts, caller in zip([["tea"], *requested], [first, *callers], strict=True):
            assert_embedded(texts, await caller)
    assert [("tea",), ("coffee",)] == embedder.batches


async def test_an_embedded_text_is_shared_until_its_caller_has_it() -> None:
    """An embedded text is not sent again while its caller waits for other texts."""
    embedder = HeldEmbedder(batch_texts=1, free_batches=1)
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "tea", "coffee")
        assert_embedded(["tea"], await batcher.embed(["tea"]))
        embedder.release()
        assert_embedded(["tea", "coffee"], await first)
    assert [("tea",), ("coffee",)] == embedder.batches


async def test_a_completed_text_is_sent_again() -> None:
    """The batcher keeps no vectors of completed texts, which is the task of the cache."""
    embedder = WordEmbedder()
    async with working(embedder) as batcher:
        await batcher.embed(["tea"])
        await batcher.embed(["tea"])
    assert ["tea", "tea"] == embedder.texts


async def test_a_batch_fills_while_one_is_in_flight() -> None:
    """Texts that arrive while a batch is in flight are the next batch, in order."""
    embedder = HeldEmbedder()
    texts = [f"text {n}" for n in range(20)]
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "first")
        callers = [await started(batcher.embed([text])) for text in texts]
        embedder.release()
        await asyncio.gather(first, *callers)
    assert [("first",), tuple(texts)] == embedder.batches


async def test_batches_are_no_larger_than_the_embedder_takes() -> None:
    """More texts than a batch allows are sent in several batches."""
    embedder = WordEmbedder(batch_texts=4)
    texts = [f"text {n}" for n in range(10)]
    async with working(embedder) as batcher:
        assert_embedded(texts, await batcher.embed(texts))
    assert [4, 4, 2] == [len(batch) for batch in embedder.batches]


async def test_texts_that_nobody_waits_for_are_never_sent() -> None:
    """A canceled caller removes the queued texts that no other caller waits for."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "first")
        leaving = await started(batcher.embed(["abandoned", "shared"]))
        staying = await started(batcher.embed(["shared"]))
        await left(leaving)
        embedder.release()
        assert_embedded(["shared"], await staying)
        await first
        assert leaving.cancelled()
    assert [("first",), ("shared",)] == embedder.batches


async def test_an_abandoned_text_can_be_requested_again() -> None:
    """A queued text whose only caller left is sent if another caller joins in time."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "first")
        await left(await started(batcher.embed(["tea"])))
        again = await started(batcher.embed(["tea"]))
        embedder.release()
        assert_embedded(["tea"], await again)
        await first
    assert [("first",), ("tea",)] == embedder.batches


async def test_a_canceled_caller_does_not_affect_others() -> None:
    """The other callers of a batch get their vectors if one caller is canceled."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        leaving = await start_held_batch(batcher, embedder, "tea")
        staying = await started(batcher.embed(["tea"]))
        await left(leaving)
        embedder.release()
        assert_embedded(["tea"], await staying)
    assert ["tea"] == embedder.texts


async def test_a_batch_that_everyone_left_is_forgotten() -> None:
    """If all callers of a batch in flight leave, a later caller's text is sent again."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        await left(await start_held_batch(batcher, embedder, "tea"))
        next_in_line = await started(batcher.embed(["coffee"]))
        embedder.release()
        assert_embedded(["coffee"], await next_in_line)
        assert_embedded(["tea"], await batcher.embed(["tea"]))
    assert [("tea",), ("coffee",), ("tea",)] == embedder.batches


async def test_a_full_queue_refuses_a_call_whole() -> None:
    """A call with texts beyond the bound of the queue is refused, and none of them is sent."""
    embedder = HeldEmbedder(batch_texts=MAX_QUEUED_TEXTS)
    texts = [f"t{n}" for n in range(MAX_QUEUED_TEXTS)]
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "first")
        accepted = await started(batcher.embed(texts[1:]))
        with pytest.raises(errors.Overloaded):
            await batcher.embed([texts[0], "beyond the bound"])
        last = await started(batcher.embed([texts[0], texts[1]]))
        embedder.release()
        assert_embedded([texts[0], texts[1]], await last)
        await asyncio.gather(first, accepted)
    assert [("first",), (*texts[1:], texts[0])] == embedder.batches


async def test_a_queue_full_of_tokens_refuses() -> None:
    """The number of tokens in the queue is bounded too."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "first")
        accepted = await started(batcher.embed([LONGEST_TEXT]))
        with pytest.raises(errors.Overloaded):
            await batcher.embed(["one more"])
        embedder.release()
        await asyncio.gather(first, accepted)
        assert_embedded(["y"], await batcher.embed(["y"]))


async def test_an_empty_queue_accepts_any_text() -> None:
    """A text longer than the bound of the queue is embedded if the queue is empty."""
    text = LONGEST_TEXT + "🙂"
    async with working(WordEmbedder()) as batcher:
        assert_embedded([text], await batcher.embed([text]))


@pytest.mark.parametrize(
    "fault",
    [Fault.UNAVAILABLE, Fault.TOO_NARROW, Fault.TOO_FEW],
)
async def test_a_failed_batch_does_not_affect_the_next(fault: Fault) -> None:
    """Each text of a batch with malformed vectors is unavailable; later batches succeed."""
    embedder = FaultyEmbedder(fault)
    async with working(embedder) as batcher:
        outcomes = await batcher.embed(["tea", "coffee"])
        assert [errors.EmbeddingUnavailable] * 2 == [type(outcome) for outcome in outcomes]
        embedder.fault = None
        assert_embedded(["tea", "coffee"], await batcher.embed(["tea", "coffee"]))


async def test_a_failure_reaches_every_caller() -> None:
    """Each caller of a failed batch gets the message of the embedder."""
    async with working(FaultyEmbedder(Fault.UNAVAILABLE)) as batcher:
        outcomes = await asyncio.gather(batcher.embed(["tea"]), batcher.embed(["tea", "cake"]))
    for outcome in (*outcomes[0], *outcomes[1]):
        assert isinstance(outcome, errors.EmbeddingUnavailable)
        assert UNAVAILABLE_MESSAGE == outcome.message


async def test_a_bug_does_not_affect_the_next_batch() -> None:
    """Texts on which the embedder crashes fail; later batches succeed."""
    embedder = FaultyEmbedder(Fault.CRASH)
    async with working(embedder) as batcher:
        outcomes = await batcher.embed(["tea", "coffee"])
        assert [errors.TextFailed] * 2 == [type(outcome) for outcome in outcomes]
        embedder.fault = None
        assert_embedded(["tea"], await batcher.embed(["tea"]))


@pytest.mark.parametrize("fault", [Fault.NOT_A_NUMBER, Fault.INFINITE])
async def test_numbers_that_are_not_finite_fail_their_text_alone(fault: Fault) -> None:
    """A text with a vector that is not finite fails; other texts of its batch are embedded."""
    async with working(FaultyEmbedder(fault)) as batcher:
        first, last = await batcher.embed(["tea", "zzz"])
        assert_embedded(["tea"], [first])
        assert isinstance(last, errors.TextFailed)
        assert "zzz" not in last.message


async def test_a_row_of_zeros_rejects_its_text_alone() -> None:
    """A text with a vector of zeros is rejected; other texts of its batch are embedded."""
    async with working(FaultyEmbedder(Fault.ZEROS)) as batcher:
        first, last = await batcher.embed(["tea", "zzz"])
        assert_embedded(["tea"], [first])
        assert isinstance(last, errors.TextRejected)
        assert "zzz" not in last.message


async def test_shutdown_reaches_every_caller() -> None:
    """When the batcher ends, callers of texts in flight and of queued texts get NotReady."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "in flight")
        waiting = await started(batcher.embed(["one", "two"]))
    outcomes = [*await first, *await waiting]
    assert [errors.NotReady] * 3 == [type(outcome) for outcome in outcomes]


async def test_no_text_waits_for_a_batcher_that_has_ended() -> None:
    """A caller that comes after the end of the batcher gets NotReady, and does not wait."""
    async with working(WordEmbedder()) as batcher:
        await batcher.embed(["tea"])
    async with asyncio.timeout(WAIT_SECONDS):
        with pytest.raises(errors.NotReady):
            await batcher.embed(["coffee"])


async def test_texts_of_imports_share_no_batch_with_others() -> None:
    """A bad text of an import cannot delay a caller that waits for another text."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await start_held_batch(batcher, embedder, "first")
        callers = [
            await started(batcher.embed(["import 1", "import 2"], low_priority=True)),
            await started(batcher.embed(["query"])),
            await started(batcher.embed(["import 3"], low_priority=True)),
        ]
        embedder.release()
        await asyncio.gather(first, *callers)
    assert [("first",), ("query",), ("import 1", "import 2", "import 3")] == embedder.batches


class Suspensions:
    """Counts the waits for another service that a call is in."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Count a wait."""
        self.count += 1
        yield
        self.count -= 1


@pytest.mark.parametrize(("provider", "count"), [("test", 1), ("local", 0)])
async def test_a_caller_is_suspended_while_a_provider_embeds(provider: str, count: int) -> None:
    """A wait for a provider is a wait for another service; one for the embedded model is not."""
    suspensions = Suspensions()
    call_context.set_suspension(suspensions)
    embedder = HeldEmbedder()
    embedder.space = replace(SPACE, provider=provider)
    async with working(embedder) as batcher:
        caller = await start_held_batch(batcher, embedder, "tea")
        assert count == suspensions.count
        embedder.release()
        assert_embedded(["tea"], await caller)
    assert 0 == suspensions.count
