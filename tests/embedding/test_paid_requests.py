import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.clock import FakeClock
from support.embedders import (
    COST_USD_PER_TOKEN,
    SPACE,
    Fault,
    FaultyEmbedder,
    HeldEmbedder,
    WordEmbedder,
    unit_vector,
)
from support.faults import raw, remove_field, replace_data
from support.paid import (
    PLACES,
    FailingStore,
    make_failing_requests,
    make_requests,
    make_sender,
    spend,
)
from support.provider import USD_PER_TOKEN, ScriptedProvider
from support.provider import Fault as ProviderFault
from support.stores import GIVE_UP_SECONDS, opened, rows, write_connection
from support.tasks import left, started

from service import errors
from service.domain.claims import RequestOwner, Settlement
from service.domain.spaces import Space
from service.domain.usage import TokenUsage, format_utc_day
from service.embedding.batcher import Batcher
from service.embedding.embedder import BatchLimits, EmbeddedText, Embedder, Embeddings
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder
from service.embedding.paid_requests import PaidRequests, PaidVectors
from service.embedding.paid_sender import LEASE_MARGIN_SECONDS
from service.embedding.prompts import hash_text
from service.embedding.providers import PricedEmbedder
from service.embedding.rate_control import BATCHES_PER_RESERVED_BATCH, RateController
from service.embedding.request_sender import RequestSender, is_no_query
from service.storage.stores import Stores

FULL = errors.StoreFull("the disk is full")


@asynccontextmanager
async def running(embedder: Embedder, requests: PaidRequests) -> AsyncIterator[Batcher]:
    """Run a batcher of a paid model until the end of the block."""
    batcher = Batcher(embedder, requests)
    async with asyncio.timeout(GIVE_UP_SECONDS):
        task = asyncio.create_task(batcher.run())
        try:
            yield batcher
        finally:
            await left(task)


async def today(stores: Stores, clock: FakeClock) -> TokenUsage:
    """Return the usage that is recorded for today."""
    return (await stores.usage.list_days(1)).get(format_utc_day(clock()), TokenUsage())


async def cost_nothing() -> float:
    return 0.0


def assert_usage(tokens: int, usd_per_token: float, usage: TokenUsage) -> None:
    assert tokens == usage.prompt_tokens
    assert pytest.approx(tokens * usd_per_token) == usage.cost_usd


async def stored(stores: Stores, *texts: str) -> list[str]:
    """Return those of the texts whose vectors are on disk."""
    vectors = await stores.embedding_requests.read_vectors(
        SPACE.fingerprint, list(map(hash_text, texts))
    )
    return [text for text in texts if hash_text(text) in vectors]


async def test_vectors_are_on_disk_before_the_caller_has_them(tmp_path: Path) -> None:
    """A vector is stored with its usage, of an item for good and of a query for a while."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        async with running(WordEmbedder(), make_requests(stores)) as batcher:
            await batcher.embed(["tea and cake"])
            await batcher.embed(["coffee"], queries=True)
        assert ["tea and cake", "coffee"] == await stored(stores, "tea and cake", "coffee")
        assert_usage(4, COST_USD_PER_TOKEN, await today(stores, clock))
    assert [(hash_text("tea and cake"),)] == rows(tmp_path, "SELECT text_hash FROM vectors")
    assert [(hash_text("coffee"),)] == rows(tmp_path, "SELECT text_hash FROM query_vectors")


async def test_a_text_of_an_item_and_a_query_is_one_of_an_item(tmp_path: Path) -> None:
    """A text that both an item and a query have is sent once, and stored for good."""
    embedder = HeldEmbedder()
    async with opened(tmp_path, FakeClock()) as (stores, _):
        async with running(embedder, make_requests(stores)) as batcher:
            first = await started(batcher.embed(["first"]))
            await embedder.held.wait()
            query = await started(batcher.embed(["tea"], queries=True))
            item = await started(batcher.embed(["tea"]))
            embedder.release()
            await asyncio.gather(first, query, item)
        assert [] == rows(tmp_path, "SELECT * FROM query_vectors")
        assert ["tea"] == await stored(stores, "tea")
    assert ["first", "tea"] == embedder.texts


async def test_paid_vectors_survive_a_full_disk(tmp_path: Path) -> None:
    """Vectors that cannot be stored serve from memory, and nothing is sent until they can."""
    clock = FakeClock()
    embedder = WordEmbedder()
    async with opened(tmp_path, clock) as (stores, generation):
        store = FailingStore(stores)
        requests = make_failing_requests(store)
        vectors = PaidVectors(requests, SPACE.fingerprint)
        async with running(embedder, requests) as batcher:
            store.settle_error = FULL
            (outcome,) = await batcher.embed(["tea"])
            assert isinstance(outcome, EmbeddedText)
            for _ in range(3):
                (refused,) = await batcher.embed(["cake"])
                assert isinstance(refused, errors.StoreFull)
            assert [hash_text("tea")] == list(
                await vectors.get_many(generation, list(map(hash_text, ("tea", "cake"))))
            )
            assert TokenUsage() == await today(stores, clock)
            store.settle_error = None
            (outcome,) = await batcher.embed(["cake"])
            assert isinstance(outcome, EmbeddedText)
        assert ["tea", "cake"] == await stored(stores, "tea", "cake")
        assert_usage(2, COST_USD_PER_TOKEN, await today(stores, clock))
    assert ["tea", "cake"] == embedder.texts


async def test_a_real_full_disk_stops_paid_requests(tmp_path: Path) -> None:
    """While the database cannot grow, nothing is sent twice, and all is recorded afterwards."""
    clock = FakeClock()
    embedder = WordEmbedder()
    texts = [f"text of number {number}" for number in range(300)]
    async with opened(tmp_path, clock) as (stores, _):
        requests = make_requests(stores)
        async with running(embedder, requests) as batcher:
            connection = write_connection(stores)
            ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
            connection.execute(f"PRAGMA max_page_count = {pages + 3}")
            outcomes = [(await batcher.embed([text]))[0] for text in texts]
            sent = [
                text
                for text, outcome in zip(texts, outcomes, strict=True)
                if isinstance(outcome, EmbeddedText)
            ]
            assert 0 < len(sent) < len(texts)
            assert sent == embedder.texts
            connection.execute(f"PRAGMA max_page_count = {pages + 10_000}")
            await batcher.embed([text for text in texts if text not in sent])
        assert texts == await stored(stores, *texts)
        assert 4 * len(texts) == (await today(stores, clock)).prompt_tokens
    assert texts == embedder.texts


async def test_usage_is_recorded_in_the_background(tmp_path: Path) -> None:
    """What could not be recorded is recorded without another request, once the store accepts it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        store = FailingStore(stores)
        requests = make_failing_requests(store)
        store.settle_error = FULL
        await spend(make_sender(requests), 0.5)
        task = asyncio.create_task(requests.run())
        store.settle_error = None
        while not (await today(stores, clock)).cost_usd:
            pass
        await left(task)
        assert 2 == store.settlements


async def test_closing_records_the_rest(tmp_path: Path) -> None:
    """What could not be recorded is recorded when the server ends, if the store accepts it."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        store = FailingStore(stores)
        requests = make_failing_requests(store)
        store.settle_error = FULL
        await spend(make_sender(requests), 0.5)
        await requests.close()
        assert 0.0 == (await today(stores, clock)).cost_usd
        store.settle_error = None
        await requests.close()
        assert 0.5 == (await today(stores, clock)).cost_usd


async def test_nothing_is_sent_while_nothing_can_be_recorded(tmp_path: Path) -> None:
    """A request whose claim cannot be stored is not sent; its caller gets the store's error."""
    embedder = WordEmbedder()
    async with opened(tmp_path, FakeClock()) as (stores, _):
        store = FailingStore(stores)
        store.error = FULL
        async with running(embedder, make_failing_requests(store)) as batcher:
            (refused,) = await batcher.embed(["tea"])
            assert isinstance(refused, errors.StoreFull)
            store.error = None
            (outcome,) = await batcher.embed(["tea"])
            assert isinstance(outcome, EmbeddedText)
    assert ["tea"] == embedder.texts


async def test_a_caller_that_leaves_does_not_lose_the_vector(tmp_path: Path) -> None:
    """The vector of a request whose caller has left is stored."""
    embedder = HeldEmbedder()
    async with opened(tmp_path, FakeClock()) as (stores, _):
        async with running(embedder, make_requests(stores)) as batcher:
            caller = asyncio.create_task(batcher.embed(["tea"]))
            await embedder.held.wait()
            await left(caller)
            embedder.release()
            await batcher.embed(["other"])
        assert ["tea"] == await stored(stores, "tea")


async def test_a_server_that_ends_waits_for_paid_responses(tmp_path: Path) -> None:
    """The response to a request under way is stored at the end of the server."""
    embedder = HeldEmbedder()
    clock = FakeClock()
    async with opened(tmp_path, clock) as (stores, _):
        async with asyncio.timeout(GIVE_UP_SECONDS):
            batcher = Batcher(embedder, make_requests(stores))
            task = asyncio.create_task(batcher.run())
            caller = asyncio.create_task(batcher.embed(["tea"]))
            await embedder.held.wait()
            task.cancel()
            (outcome,) = await caller
            assert isinstance(outcome, errors.NotReady)
            embedder.release()
            await asyncio.wait([task])
        assert ["tea"] == await stored(stores, "tea")
        assert 1 == (await today(stores, clock)).prompt_tokens
    assert [] == rows(tmp_path, "SELECT * FROM embedding_requests")


async def test_a_response_that_nobody_waits_for_any_more_counts_as_spent(tmp_path: Path) -> None:
    """A request that takes too long when its embedder closes does not block its texts."""
    clock = FakeClock()
    embedder = HeldEmbedder()
    async with opened(tmp_path, clock) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        requests = make_requests(stores)
        before = asyncio.all_tasks()
        caller = asyncio.create_task(
            make_sender(requests).send(["tea"], is_no_query, embedder.embed)
        )
        await embedder.held.wait()
        for task in asyncio.all_tasks() - before:  # as `drain` does after a while
            task.cancel()
        await asyncio.wait([caller])
        async with running(WordEmbedder(), requests) as batcher:
            (outcome,) = await batcher.embed(["tea"])
            assert isinstance(outcome, EmbeddedText)
        assert 1 < (await today(stores, clock)).prompt_tokens


async def test_two_processes_send_a_text_once(tmp_path: Path) -> None:
    """A new text that two processes receive at the same moment is in one request."""
    embedders = HeldEmbedder(), HeldEmbedder()
    for embedder in embedders:
        embedder.limits = replace(embedder.limits, concurrency=2)
    texts = [f"text {number}" for number in range(50)]
    async with opened(tmp_path, FakeClock()) as (stores, _):
        first, second = (make_requests(stores, place=place) for place in PLACES)
        async with running(embedders[0], first) as one, running(embedders[1], second) as other:
            holder = asyncio.create_task(one.embed(texts))
            await embedders[0].held.wait()
            waiter = asyncio.create_task(other.embed([*texts, "more"]))
            await embedders[1].held.wait()
            for embedder in embedders:
                embedder.release()
            outcomes = [*await holder, *await waiter]
    assert {EmbeddedText} == set(map(type, outcomes))
    assert (texts, ["more"]) == (embedders[0].texts, embedders[1].texts)


async def test_a_full_disk_that_outlasts_a_claim_costs_nothing(tmp_path: Path) -> None:
    """A text whose vector one process keeps in memory is not sent by another one afterwards."""
    clock = FakeClock()
    embedder = WordEmbedder()
    embedder.limits = replace(embedder.limits, concurrency=2)
    async with opened(tmp_path, clock) as (stores, _):
        store = FailingStore(stores)
        holder = make_failing_requests(store)
        waiter = make_requests(stores, place=PLACES[1])
        async with running(WordEmbedder(), holder) as one, running(embedder, waiter) as other:
            store.settle_error = FULL
            await one.embed(["tea"])
            clock.advance(seconds=embedder.limits.seconds + LEASE_MARGIN_SECONDS)
            waiting = asyncio.create_task(other.embed(["tea"]))
            await other.embed(["cake"])  # the disk has room again
            store.settle_error = None
            await one.embed(["coffee"])
            assert [EmbeddedText] == list(map(type, await waiting))
        assert 3 == (await today(stores, clock)).prompt_tokens
    assert ["cake"] == embedder.texts


async def test_a_text_that_another_process_failed_on_is_sent(tmp_path: Path) -> None:
    """A process that waits for the text of a failed request sends it itself."""
    holding = HeldEmbedder()
    embedder = WordEmbedder()
    async with opened(tmp_path, FakeClock()) as (stores, _):
        first, second = (make_requests(stores, place=place) for place in PLACES)
        async with running(embedder, second) as other:
            async with running(holding, first) as one:
                holder = asyncio.create_task(one.embed(["tea"]))
                await holding.held.wait()
                waiter = await started(other.embed(["tea"]))
                # The process dies with its request; its successor takes its place.
                await stores.embedding_requests.write_off(RequestOwner("0", "successor"), PLACES)
                (outcome,) = await waiter
                assert isinstance(outcome, EmbeddedText)
                holding.release()
                await holder
    assert ["tea"] == embedder.texts


async def test_a_process_with_a_long_queue_leaves_others_their_turn(tmp_path: Path) -> None:
    """With one slot for all, a second process sends its request before the queue of the first."""
    order: list[str] = []

    class Recording(WordEmbedder):
        async def embed(self, texts: Sequence[str]) -> Embeddings:
            order.extend(texts)
            return await super().embed(texts)

    async with opened(tmp_path, FakeClock()) as (stores, _):
        first, second = (make_requests(stores, place=place) for place in PLACES)
        async with (
            running(Recording(batch_texts=1), first) as one,
            running(Recording(batch_texts=1), second) as other,
        ):
            busy = asyncio.create_task(one.embed([f"busy {number}" for number in range(200)]))
            await asyncio.wait([busy], timeout=0)
            await other.embed(["urgent"])
            assert not busy.done()
            await busy
    assert order.index("urgent") < 150


async def test_imports_of_all_processes_leave_room_for_calls(tmp_path: Path) -> None:
    """Imports of two processes hang on their requests, and the query of a call is still sent."""
    embedders = HeldEmbedder(batch_texts=1), HeldEmbedder(batch_texts=1)
    for embedder in embedders:
        embedder.limits = replace(embedder.limits, concurrency=BATCHES_PER_RESERVED_BATCH)
    texts = [f"text {number}" for number in range(20)]
    async with opened(tmp_path, FakeClock()) as (stores, _):
        first, second = (make_requests(stores, place=place) for place in PLACES)
        async with running(embedders[0], first) as one, running(embedders[1], second) as other:
            imports = [
                asyncio.create_task(one.embed(texts[:10], low_priority=True)),
                asyncio.create_task(other.embed(texts[10:], low_priority=True)),
            ]
            while not rows(tmp_path, "SELECT 1 FROM embedding_requests WHERE NOT is_sent"):
                await asyncio.wait(imports, timeout=0)
            query = asyncio.create_task(other.embed(["query"], queries=True))
            while sum(len(held.batches) for held in embedders) < BATCHES_PER_RESERVED_BATCH:
                await asyncio.wait([query], timeout=0)
            assert ("query",) in embedders[1].batches
            for embedder in embedders:
                embedder.release()
            await asyncio.gather(query, *imports)


async def test_stored_texts_do_not_close_the_circuit(tmp_path: Path) -> None:
    """An outcome without a request tells nothing about a provider that is down."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        requests = make_requests(stores)
        await RequestSender(WordEmbedder(), RateController(1), requests, None).send(["tea"])
        controller = RateController(1)
        sender = RequestSender(FaultyEmbedder(Fault.CRASH), controller, requests, None)
        controller.problem = controller.problem._replace(reason="DOWN")
        (outcome,) = await sender.send(["tea"])
        assert isinstance(outcome, EmbeddedText)
        assert "DOWN" == controller.problem.reason


async def test_probes_are_recorded_but_their_vectors_are_not(tmp_path: Path) -> None:
    """A probe costs what it costs, and is sent even if the same text was sent before."""
    clock = FakeClock()
    embedder = WordEmbedder()
    async with opened(tmp_path, clock) as (stores, _):
        sender = RequestSender(embedder, RateController(1), make_requests(stores), None)
        await sender.send_probe("probe")
        await sender.send_probe("probe")
        assert 2 == (await today(stores, clock)).prompt_tokens
        assert [] == await stored(stores, "probe")
    assert ["probe", "probe"] == embedder.texts


PAID_FAILURES: dict[str, ProviderFault] = {
    "no vectors": replace_data(lambda _rows: []),
    "no data": remove_field("data"),
    "other dimensions": replace_data(
        lambda data: [row | {"embedding": [1.0, 2.0]} for row in data]
    ),
}


@pytest.mark.parametrize("name", PAID_FAILURES)
async def test_the_usage_of_bad_responses_counts(tmp_path: Path, name: str) -> None:
    """What a provider charges for a response without usable vectors counts as spent."""
    clock = FakeClock()
    limits = BatchLimits(texts=8, tokens=1_000, text_tokens=100)
    space = Space("test", "m", 64)
    async with opened(tmp_path, clock) as (stores, _):
        with ScriptedProvider() as provider:
            provider.script.extend([PAID_FAILURES[name], raw(b"", 401)])
            endpoint = Endpoint("openai", provider.url, "m")
            embedder = OpenAICompatibleEmbedder(endpoint, space, limits, 20.0)
            sender = RequestSender(embedder, RateController(1), make_requests(stores), None)
            with pytest.raises(Exception, match="the "):
                await sender.send(["three words long"])
            await embedder.close()
        usage = await today(stores, clock)
    assert_usage(3, USD_PER_TOKEN, usage)


async def test_a_request_without_a_claim_is_recorded_before_the_next(tmp_path: Path) -> None:
    """The cost of checking a model counts before anything else is sent."""
    async with opened(tmp_path, FakeClock()) as (stores, _):
        requests = make_requests(stores, 1.0)
        requests.settle_later(Settlement(None, usage=TokenUsage(1, 1.0)))
        with pytest.raises(errors.BudgetSpent):
            await spend(make_sender(requests), 0.0)


async def test_checks_of_models_are_not_paid_for_on_a_full_disk(tmp_path: Path) -> None:
    """After a check of a model whose cost cannot be recorded, no further one is sent."""
    clock = FakeClock()
    sent: list[PricedEmbedder] = []

    async def check() -> PricedEmbedder:
        sent.append(PricedEmbedder(WordEmbedder(), cost_nothing, usage=TokenUsage(1, 0.25)))
        return sent[-1]

    async with opened(tmp_path, clock) as (stores, _):
        store = FailingStore(stores)
        requests = make_failing_requests(store)
        store.settle_error = FULL
        assert await requests.send_unclaimed(check) is sent[0]
        for _ in range(3):
            with pytest.raises(errors.StoreFull):
                await requests.send_unclaimed(check)
        store.settle_error = None
        await requests.send_unclaimed(check)
        await requests.close()
        assert 0.5 == (await today(stores, clock)).cost_usd
    assert 2 == len(sent)


async def test_a_caller_that_leaves_while_it_waits_gives_up_its_turn(tmp_path: Path) -> None:
    """Requests of callers that have left, waiting or claimed, do not hold up others."""
    embedder = HeldEmbedder(free_batches=1)
    async with opened(tmp_path, FakeClock()) as (stores, _), asyncio.timeout(GIVE_UP_SECONDS):
        requests = make_requests(stores)
        sender = RequestSender(embedder, RateController(1), requests, None)
        await sender.send(["first"])
        holder = asyncio.create_task(sender.send(["held"]))
        await embedder.held.wait()
        waiter = asyncio.create_task(sender.send(["waiting"]))
        while not rows(tmp_path, "SELECT 1 FROM embedding_requests WHERE NOT is_sent"):
            await asyncio.wait([waiter], timeout=0)
        await left(waiter)
        leaving = await started(sender.send(["leaving"]))
        await left(leaving)
        embedder.release()
        await holder
        await sender.send(["last"])
        assert unit_vector("last").size
    assert [] == rows(tmp_path, "SELECT * FROM embedding_requests")
    assert ["first", "held", "last"] == embedder.texts
