"""One text that the provider fails on does not affect other texts."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import stamina
from support.batchers import collect
from support.faults import error, raw
from support.provider import DIMENSIONS, Fault, Reply, ScriptedProvider, answer, failure, success
from support.stores import GIVE_UP_SECONDS

from service import errors
from service.domain.spaces import Space
from service.embedding.batcher import Batcher
from service.embedding.embedder import PROBE_TEXT, BatchLimits, EmbeddedText
from service.embedding.errors import NO_PROBLEM
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder
from service.embedding.rate_control import FAILURES_BEFORE_OPEN, RateController
from service.embedding.retries import MAX_ATTEMPTS, RetryingEmbedder

pytestmark = pytest.mark.slow

TEXTS = [f"text {n}" for n in range(64)]
POISON = "text 17"

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def retry_without_delay() -> Iterator[None]:
    stamina.set_testing(True, attempts=MAX_ATTEMPTS, cap=True)
    yield
    stamina.set_testing(False)


def fail_on(is_poison: Callable[[str], bool], fault: Fault) -> Fault:
    """Return a fault for requests with a poison text, and success for others."""
    return lambda request: (fault if any(map(is_poison, request["input"])) else success)(request)


def spoil(change: Callable[[Row], Row]) -> Fault:
    """Return a good response, but with `change` applied to the vectors of the poison text."""

    def fault(request: Mapping[str, Any]) -> Reply:
        value = answer(request)
        value["data"] = [
            change(row) if text == POISON else row
            for text, row in zip(request["input"], value["data"], strict=True)
        ]
        return Reply(json.dumps(value).encode())

    return fault


ON_REQUESTS: dict[str, Fault] = {
    "500 of a server that cannot encode NaN": failure(500, "json: unsupported value: NaN"),
    "502": failure(502),
    "503 with Retry-After": error(503, {"code": 503}, Retry_After="0"),
    "504": failure(504),
    "524 with HTML": raw(b"<html>", 524),
    "broken connection": lambda _request: None,
    "body cut off": lambda request: Reply(json.dumps(answer(request)).encode(), cut=20),
    "bare NaN that is no JSON": raw(b'{"data": [{"embedding": [nan]}]}'),
    "fewer vectors": raw(b'{"data": []}'),
    "no successful provider responses": error(200, {"message": "No successful provider responses"}),
}

ON_VECTORS: dict[str, Fault] = {
    "NaN": spoil(lambda row: row | {"embedding": [float("nan")] * DIMENSIONS}),
    "one NaN": spoil(lambda row: row | {"embedding": [float("nan"), *row["embedding"][1:]]}),
    "null": spoil(lambda row: row | {"embedding": None}),
    "nulls": spoil(lambda row: row | {"embedding": [None] * DIMENSIONS}),
    "infinity": spoil(lambda row: row | {"embedding": [1e400] * DIMENSIONS}),
    "zeros": spoil(lambda row: row | {"embedding": [0.0] * DIMENSIONS}),
    "empty": spoil(lambda row: row | {"embedding": []}),
    "a word": spoil(lambda row: row | {"embedding": "%%%"}),
}


@asynccontextmanager
async def open_embedder(
    provider: ScriptedProvider, timeout_seconds: float = 20.0
) -> AsyncIterator[OpenAICompatibleEmbedder]:
    embedder = OpenAICompatibleEmbedder(
        Endpoint("openrouter", provider.url, "m"),
        Space("openrouter", "m", DIMENSIONS),
        BatchLimits(64, 100_000, 512, concurrency=8),
        timeout_seconds,
    )
    try:
        yield embedder
    finally:
        await embedder.close()


def assert_alone(outcomes: Mapping[str, object], poison: Sequence[str]) -> None:
    """Check that the poison texts failed, and all others were embedded."""
    assert sorted(TEXTS) == sorted(outcomes)
    failed = [text for text, outcome in outcomes.items() if isinstance(outcome, errors.TextFailed)]
    assert sorted(poison) == sorted(failed)
    assert 64 - len(poison) == sum(isinstance(each, EmbeddedText) for each in outcomes.values())


@pytest.mark.parametrize("name", [*ON_REQUESTS, *ON_VECTORS])
async def test_a_poison_text_fails_alone(name: str) -> None:
    """Of 64 texts, only the one that the provider fails on fails; nothing blames the provider."""
    controller = RateController(8)
    with ScriptedProvider() as provider:
        provider.otherwise = (
            fail_on(POISON.__eq__, ON_REQUESTS[name]) if name in ON_REQUESTS else ON_VECTORS[name]
        )
        async with open_embedder(provider) as embedder:
            outcomes = await collect(RetryingEmbedder(embedder, controller), TEXTS)
        assert_alone(outcomes, [POISON])
        assert len(provider.requests) <= 25
    assert NO_PROBLEM == controller.problem


@pytest.mark.parametrize("name", ON_VECTORS)
async def test_good_vectors_of_a_response_are_not_requested_again(name: str) -> None:
    """Texts with a good vector beside a bad one are paid for once."""
    with ScriptedProvider() as provider:
        provider.otherwise = ON_VECTORS[name]
        async with open_embedder(provider) as embedder:
            await collect(RetryingEmbedder(embedder, RateController(8)), TEXTS)
        sent = [text for text in provider.texts if text in TEXTS and text != POISON]
    assert len(sent) == len(set(sent))


async def test_a_poison_text_by_timeout_fails_alone() -> None:
    """A text that makes the provider hang fails alone, and later batches are smaller."""
    with ScriptedProvider() as provider:
        ended = threading.Event()

        def wait(request: Mapping[str, Any]) -> Reply | None:
            if POISON in request["input"]:
                ended.wait(GIVE_UP_SECONDS)
            return success(request)

        provider.otherwise = wait
        try:
            async with open_embedder(provider, timeout_seconds=0.5) as embedder:
                retrying = RetryingEmbedder(embedder, RateController(8))
                outcomes = await collect(retrying, TEXTS)
        finally:
            ended.set()
        assert_alone(outcomes, [POISON])
        assert retrying.batch_texts < 64


async def test_batches_grow_again_after_a_poison_text() -> None:
    """After a timeout because of one text, full batches that succeed lead back to larger ones."""
    with ScriptedProvider() as provider:
        ended = threading.Event()

        def wait(request: Mapping[str, Any]) -> Reply | None:
            if POISON in request["input"]:
                ended.wait(GIVE_UP_SECONDS)
            return success(request)

        provider.otherwise = wait
        try:
            async with open_embedder(provider, timeout_seconds=0.5) as embedder:
                retrying = RetryingEmbedder(embedder, RateController(8))
                await collect(retrying, TEXTS)
                reduced = retrying.batch_texts
                assert reduced < 64
                async with asyncio.timeout(GIVE_UP_SECONDS):
                    while retrying.batch_texts < 64:
                        texts = [f"again {text}" for text in TEXTS[: retrying.batch_texts]]
                        await collect(retrying, texts)
        finally:
            ended.set()


async def test_a_rate_limit_during_the_split_is_retried() -> None:
    """A part of a batch that the provider limits the rate of is sent again."""
    with ScriptedProvider() as provider:
        provider.script += [
            failure(500),
            success,
            *[error(429, {"code": 429}, Retry_After="0")] * 3,
        ]
        async with open_embedder(provider) as embedder:
            outcomes = await collect(RetryingEmbedder(embedder, RateController(8)), TEXTS)
    assert_alone(outcomes, [])


async def test_a_failure_by_chance_is_not_blamed_on_a_text() -> None:
    """A text whose batch failed, and that failed once more on its own, is tried again."""
    with ScriptedProvider() as provider:
        provider.script += [failure(503), success, failure(503), success]
        async with open_embedder(provider) as embedder:
            outcomes = await collect(RetryingEmbedder(embedder, RateController(8)), TEXTS[:2])
    assert {EmbeddedText} == {type(outcome) for outcome in outcomes.values()}


async def test_many_poison_texts_do_not_open_the_circuit() -> None:
    """More failures in a row than open the circuit do not do so if texts are the cause."""
    poison = TEXTS[:: 64 // (2 * FAILURES_BEFORE_OPEN)]
    with ScriptedProvider() as provider:
        provider.otherwise = fail_on(poison.__contains__, failure(500))
        async with open_embedder(provider) as embedder:
            retrying = RetryingEmbedder(embedder, RateController(8))
            parts = await asyncio.gather(
                *(collect(retrying, TEXTS[start : start + 4]) for start in range(0, 64, 4))
            )
    assert_alone({text: outcome for part in parts for text, outcome in part.items()}, poison)


async def test_an_outage_is_not_blamed_on_texts() -> None:
    """While the provider also fails on the harmless text, no batch is split."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(500)
        async with open_embedder(provider) as embedder:
            outcomes = await collect(RetryingEmbedder(embedder, RateController(8)), TEXTS)
        assert {64, 1} == {len(request["input"]) for request in provider.requests}
        probes = {text for text in provider.texts if text not in TEXTS}
        assert all(text.startswith(PROBE_TEXT) for text in probes)
    assert {errors.EmbeddingUnavailable} == {type(outcome) for outcome in outcomes.values()}


async def test_an_outage_during_the_split_stops_it() -> None:
    """If the provider goes down while a batch is split, the rest is unavailable, not at fault."""
    with ScriptedProvider() as provider:
        provider.script += [failure(500), success]
        provider.otherwise = failure(500)
        async with open_embedder(provider) as embedder:
            outcomes = await collect(RetryingEmbedder(embedder, RateController(8)), TEXTS)
    assert {errors.EmbeddingUnavailable} == {type(outcome) for outcome in outcomes.values()}


async def test_neighbors_do_not_wait_for_the_poison_text() -> None:
    """A caller gets its vector while the poison text of the same batch is still being tried."""
    with ScriptedProvider() as provider:
        stuck = threading.Event()

        def fault(request: Mapping[str, Any]) -> Reply | None:
            if request["input"] == [POISON]:
                stuck.wait(GIVE_UP_SECONDS)
            return fail_on(POISON.__eq__, failure(500))(request)

        provider.otherwise = fault
        async with open_embedder(provider) as embedder, asyncio.timeout(GIVE_UP_SECONDS):
            batcher = Batcher(embedder)
            running = asyncio.create_task(batcher.run())
            poisoned = asyncio.create_task(batcher.embed([POISON]))
            neighbors = await batcher.embed([text for text in TEXTS if text != POISON])
            assert all(isinstance(outcome, EmbeddedText) for outcome in neighbors)
            assert not poisoned.done()
            stuck.set()
            assert [errors.TextFailed] == [type(outcome) for outcome in await poisoned]
            running.cancel()


async def test_texts_that_are_sent_alone_have_no_neighbors() -> None:
    """A text that is embedded alone shares no request with other texts in the queue."""
    with ScriptedProvider() as provider:
        async with open_embedder(provider) as embedder, asyncio.timeout(GIVE_UP_SECONDS):
            batcher = Batcher(embedder)
            callers = [
                asyncio.create_task(batcher.embed(["before"])),
                asyncio.create_task(batcher.embed([POISON, "text 18"], alone=True)),
                asyncio.create_task(batcher.embed(["after"])),
            ]
            running = asyncio.create_task(batcher.run())
            await asyncio.gather(*callers)
            running.cancel()
        batches = [request["input"] for request in provider.requests]
    assert [POISON] in batches
    assert ["text 18"] in batches


async def test_texts_that_are_sent_alone_are_tried_once() -> None:
    """A text that the provider has failed on before is tried again later, not at once."""
    with ScriptedProvider() as provider:
        provider.otherwise = fail_on(POISON.__eq__, failure(500))
        async with open_embedder(provider) as embedder, asyncio.timeout(GIVE_UP_SECONDS):
            batcher = Batcher(embedder)
            running = asyncio.create_task(batcher.run())
            outcomes = await batcher.embed([POISON], alone=True)
            running.cancel()
        assert [errors.TextFailed] == [type(outcome) for outcome in outcomes]
        assert 1 == provider.texts.count(POISON)
