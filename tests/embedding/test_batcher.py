import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from support.batchers import working
from support.embedders import (
    COST_USD_PER_TOKEN,
    UNAVAILABLE_MESSAGE,
    Fault,
    FaultyEmbedder,
    HeldEmbedder,
    WordEmbedder,
    unit_vector,
)
from support.tasks import left, started

from service import errors
from service.embedding.batcher import MAX_QUEUED_TEXTS, MAX_QUEUED_TOKENS, Batcher
from service.embedding.embedder import BYTES_PER_TOKEN, EmbeddedText

MAX_QUEUED_BYTES = (MAX_QUEUED_TOKENS - 1) * BYTES_PER_TOKEN

Outcomes = Sequence[EmbeddedText | errors.AkinError]


async def first_batch_under_way(
    batcher: Batcher, embedder: HeldEmbedder, *texts: str
) -> asyncio.Task[list[EmbeddedText | errors.AkinError]]:
    """The caller of a batch that the embedder holds."""
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
    """Each text gets its own vector of unit length, whatever length the embedder answered."""
    texts = ["tea", "coffee and cake", "tea and cake"]
    async with working(WordEmbedder()) as batcher:
        assert_embedded(texts, await batcher.embed(texts))


async def test_texts_share_what_their_batch_took() -> None:
    """The shares of tokens and dollars of a batch's texts sum up to the whole."""
    async with working(WordEmbedder()) as batcher:
        outcomes = await batcher.embed(["a b c", "d", "e f"])
    shares = [each for each in outcomes if isinstance(each, EmbeddedText)]
    assert [2.0] * 3 == [each.prompt_tokens for each in shares]
    assert 6 * COST_USD_PER_TOKEN == pytest.approx(sum(each.cost_usd for each in shares))


async def test_concurrent_callers_share_one_flight() -> None:
    """A text that many ask for at once is sent once, whether it waits or is under way."""
    embedder = HeldEmbedder()
    asked = [["tea"], ["coffee", "tea"], ["coffee"]]
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "tea")
        callers = [await started(batcher.embed(texts)) for texts in asked]
        embedder.release()
        for texts, caller in zip([["tea"], *asked], [first, *callers], strict=True):
            assert_embedded(texts, await caller)
    assert [("tea",), ("coffee",)] == embedder.batches


async def test_a_landed_text_is_shared_until_its_caller_has_it() -> None:
    """A text whose vector is there, while its caller waits for others, is not sent again."""
    embedder = HeldEmbedder(batch_texts=1, free_batches=1)
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "tea", "coffee")
        assert_embedded(["tea"], await batcher.embed(["tea"]))
        embedder.release()
        assert_embedded(["tea", "coffee"], await first)
    assert [("tea",), ("coffee",)] == embedder.batches


async def test_a_text_is_sent_again_once_it_has_landed() -> None:
    """The batcher itself remembers nothing: that is the cache's task."""
    embedder = WordEmbedder()
    async with working(embedder) as batcher:
        await batcher.embed(["tea"])
        await batcher.embed(["tea"])
    assert ["tea", "tea"] == embedder.texts


async def test_a_batch_gathers_while_one_is_under_way() -> None:
    """What comes while a batch is under way goes together into the next one, in order."""
    embedder = HeldEmbedder()
    texts = [f"text {n}" for n in range(20)]
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "first")
        callers = [await started(batcher.embed([text])) for text in texts]
        embedder.release()
        await asyncio.gather(first, *callers)
    assert [("first",), tuple(texts)] == embedder.batches


async def test_batches_are_no_larger_than_the_embedder_takes() -> None:
    """More texts than the embedder takes at once go in several batches."""
    embedder = WordEmbedder(batch_texts=4)
    texts = [f"text {n}" for n in range(10)]
    async with working(embedder) as batcher:
        assert_embedded(texts, await batcher.embed(texts))
    assert [4, 4, 2] == [len(batch) for batch in embedder.batches]


async def test_texts_that_nobody_waits_for_are_never_sent() -> None:
    """A caller who leaves takes along the texts that only they wanted, and no others."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "first")
        leaving = await started(batcher.embed(["unwanted", "shared"]))
        staying = await started(batcher.embed(["shared"]))
        await left(leaving)
        embedder.release()
        assert_embedded(["shared"], await staying)
        await first
        assert leaving.cancelled()
    assert [("first",), ("shared",)] == embedder.batches


async def test_a_text_given_up_can_be_asked_for_again() -> None:
    """A text whose only caller left is sent if another one comes before its turn."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "first")
        await left(await started(batcher.embed(["tea"])))
        again = await started(batcher.embed(["tea"]))
        embedder.release()
        assert_embedded(["tea"], await again)
        await first
    assert [("first",), ("tea",)] == embedder.batches


async def test_a_caller_who_leaves_a_batch_under_way_disturbs_nobody() -> None:
    """The others of a batch get their vectors when one of its callers was cancelled."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        leaving = await first_batch_under_way(batcher, embedder, "tea")
        staying = await started(batcher.embed(["tea"]))
        await left(leaving)
        embedder.release()
        assert_embedded(["tea"], await staying)
    assert ["tea"] == embedder.texts


async def test_a_batch_that_everyone_left_is_forgotten() -> None:
    """When all callers of a batch under way leave, a later one has the text sent again."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        await left(await first_batch_under_way(batcher, embedder, "tea"))
        next_in_line = await started(batcher.embed(["coffee"]))
        embedder.release()
        assert_embedded(["coffee"], await next_in_line)
        assert_embedded(["tea"], await batcher.embed(["tea"]))
    assert [("tea",), ("coffee",), ("tea",)] == embedder.batches


async def test_a_full_queue_refuses_and_takes_none() -> None:
    """Texts beyond the bounded queue are refused at once, all of the call, and never sent."""
    embedder = HeldEmbedder(batch_texts=MAX_QUEUED_TEXTS)
    texts = [f"t{n}" for n in range(MAX_QUEUED_TEXTS)]
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "first")
        accepted = await started(batcher.embed(texts[1:]))
        with pytest.raises(errors.Overloaded):
            await batcher.embed([texts[0], "one too many"])
        last = await started(batcher.embed([texts[0], texts[1]]))
        embedder.release()
        assert_embedded([texts[0], texts[1]], await last)
        await asyncio.gather(first, accepted)
    assert [("first",), (*texts[1:], texts[0])] == embedder.batches


async def test_a_queue_full_of_tokens_refuses() -> None:
    """What waits is bounded by its tokens too."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "first")
        accepted = await started(batcher.embed(["x" * MAX_QUEUED_BYTES]))
        with pytest.raises(errors.Overloaded):
            await batcher.embed(["y"])
        embedder.release()
        await asyncio.gather(first, accepted)
        assert_embedded(["y"], await batcher.embed(["y"]))


async def test_a_lone_text_is_always_taken() -> None:
    """A text longer than the whole queue is embedded when nothing else waits."""
    text = "x" * (MAX_QUEUED_BYTES + BYTES_PER_TOKEN)
    async with working(WordEmbedder()) as batcher:
        assert_embedded([text], await batcher.embed([text]))


@pytest.mark.parametrize(
    "fault",
    [Fault.UNAVAILABLE, Fault.TOO_NARROW, Fault.TOO_FEW, Fault.NOT_A_NUMBER, Fault.INFINITE],
)
async def test_a_failed_batch_does_not_end_the_next(fault: Fault) -> None:
    """Each text of a batch with a bad answer is unavailable for now; later batches succeed."""
    embedder = FaultyEmbedder(fault)
    async with working(embedder) as batcher:
        outcomes = await batcher.embed(["tea", "coffee"])
        assert [errors.EmbeddingUnavailable] * 2 == [type(outcome) for outcome in outcomes]
        embedder.fault = None
        assert_embedded(["tea", "coffee"], await batcher.embed(["tea", "coffee"]))


async def test_a_failure_reaches_everyone_who_waits() -> None:
    """The embedder's own words reach each caller of its batch."""
    async with working(FaultyEmbedder(Fault.UNAVAILABLE)) as batcher:
        outcomes = await asyncio.gather(batcher.embed(["tea"]), batcher.embed(["tea", "cake"]))
    for outcome in (*outcomes[0], *outcomes[1]):
        assert isinstance(outcome, errors.EmbeddingUnavailable)
        assert UNAVAILABLE_MESSAGE == outcome.message


async def test_a_fault_of_ours_does_not_end_the_next_batch() -> None:
    """Texts on which the embedder crashes are unavailable for now; later batches succeed."""
    embedder = FaultyEmbedder(Fault.CRASH)
    async with working(embedder) as batcher:
        outcomes = await batcher.embed(["tea", "coffee"])
        assert [errors.EmbeddingUnavailable] * 2 == [type(outcome) for outcome in outcomes]
        embedder.fault = None
        assert_embedded(["tea"], await batcher.embed(["tea"]))


async def test_a_row_of_zeros_rejects_its_text_alone() -> None:
    """A text the model has nothing to say about is rejected, its neighbors are embedded."""
    async with working(FaultyEmbedder(Fault.ZEROS)) as batcher:
        first, last = await batcher.embed(["tea", "zzz"])
        assert_embedded(["tea"], [first])
        assert isinstance(last, errors.TextRejected)
        assert "zzz" not in last.message


async def test_shutdown_tells_everyone_who_waits() -> None:
    """When the batcher ends, callers of texts under way and waiting alike get NotReady."""
    embedder = HeldEmbedder()
    async with working(embedder) as batcher:
        first = await first_batch_under_way(batcher, embedder, "under way")
        waiting = await started(batcher.embed(["one", "two"]))
    outcomes = [*await first, *await waiting]
    assert [errors.NotReady] * 3 == [type(outcome) for outcome in outcomes]
