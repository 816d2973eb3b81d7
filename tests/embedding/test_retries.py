from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import stamina
from support.batchers import collect
from support.embedders import Fault as EmbedderFault
from support.embedders import FaultyEmbedder
from support.faults import error, raw
from support.provider import DIMENSIONS, Fault, Reply, ScriptedProvider, failure, success

from service import errors
from service.domain.spaces import Space
from service.embedding.embedder import PROBE_TEXT, BatchLimits, EmbeddedText
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder
from service.embedding.rate_control import RateController
from service.embedding.request_sender import RequestObserver
from service.embedding.retries import (
    MAX_ATTEMPTS,
    MAX_DELAY_SECONDS,
    RetryingEmbedder,
)

pytestmark = pytest.mark.slow

TEXTS = [f"text {n}" for n in range(64)]
POISON = "text 17"


@pytest.fixture(autouse=True)
def retry_without_delay() -> Iterator[None]:
    stamina.set_testing(True, attempts=MAX_ATTEMPTS)
    yield
    stamina.set_testing(False)


@asynccontextmanager
async def open_embedder(provider: ScriptedProvider) -> AsyncIterator[RetryingEmbedder]:
    space = Space("openrouter", "m", DIMENSIONS)
    limits = BatchLimits(64, 100_000, 512)
    embedder = OpenAICompatibleEmbedder(
        Endpoint("openrouter", provider.url, "m"), space, limits, 20.0
    )
    try:
        yield RetryingEmbedder(embedder, RateController(8))
    finally:
        await embedder.close()


def refuse_if(is_bad: Callable[[list[str]], bool], otherwise: Fault) -> Fault:
    """Return a fault that is `otherwise` for bad batches, and success for others."""
    return lambda request: (otherwise if is_bad(request["input"]) else success)(request)


TEMPORARY: dict[str, Fault] = {
    "408": failure(408),
    "429": failure(429),
    "429 that counts tokens": failure(429, "Too many tokens, please wait before trying again."),
    "Retry-After at once": error(503, {"code": 503}, Retry_After="0"),
    "500": failure(500),
    "502": failure(502),
    "503": failure(503),
    "504": failure(504),
    "524 with HTML": raw(b"<html>", 524),
    "529": failure(529),
    "no successful provider responses": error(
        200, {"message": "No successful provider responses.", "code": 404}
    ),
    "empty body": raw(b""),
    "truncated body": lambda _request: Reply(b'{"data": [', cut=3),
    "connection closed": lambda _request: None,
    "fewer vectors": raw(b'{"data": []}'),
}


@pytest.mark.parametrize("name", TEMPORARY)
async def test_temporary_failures_are_retried(name: str) -> None:
    """After temporary failures, a retry embeds the text."""
    with ScriptedProvider() as provider:
        # Each failure but that of a rate limit is followed by a probe, which fails as well.
        failures = MAX_ATTEMPTS - 1 if "429" in name else 2 * (MAX_ATTEMPTS - 1)
        provider.script += [TEMPORARY[name]] * failures
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, ["tea"])
        assert isinstance(outcomes["tea"], EmbeddedText)
        assert MAX_ATTEMPTS == provider.requests.count(provider.requests[0])


async def test_the_number_of_attempts_is_bounded() -> None:
    """A persistent failure is reported after a bounded number of attempts, each with a probe."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(503)
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, ["tea"])
        assert isinstance(outcomes["tea"], errors.EmbeddingUnavailable)
        texts = provider.texts
        assert ["tea"] * MAX_ATTEMPTS == texts[::2]
        assert [PROBE_TEXT] * MAX_ATTEMPTS == [text.split()[0] for text in texts[1::2]]


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405])
async def test_refusals_of_our_account_are_not_retried(status: int) -> None:
    """A refusal of our key, credit or model is reported after one request."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(status)
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, ["tea", "cake"])
        assert [errors.EmbeddingRejected] * 2 == [type(outcome) for outcome in outcomes.values()]
        assert 1 == len(provider.requests)


async def test_a_long_retry_after_is_passed_on() -> None:
    """A retry delay longer than ours is not waited for but passed on to the caller."""
    seconds = MAX_DELAY_SECONDS + 1
    with ScriptedProvider() as provider:
        provider.otherwise = error(429, {"code": 429}, Retry_After=str(seconds))
        async with open_embedder(provider) as embedder:
            outcome = (await collect(embedder, ["tea"]))["tea"]
        assert isinstance(outcome, errors.EmbeddingUnavailable)
        assert seconds == outcome.retry_after_seconds
        assert 1 == len(provider.requests)


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_a_short_retry_after_is_the_delay(seconds: float) -> None:
    """A short delay that the provider asks for replaces our own delay."""
    delays: list[float] = []
    stamina.set_testing(False)
    stamina.instrumentation.set_on_retry_hooks([lambda retry: delays.append(retry.wait_for)])
    try:
        with ScriptedProvider() as provider:
            provider.script.append(error(503, {"code": 503}, Retry_After=str(seconds)))
            async with open_embedder(provider) as embedder:
                outcomes = await collect(embedder, ["tea"])
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
    assert isinstance(outcomes["tea"], EmbeddedText)
    assert [seconds] == delays


@pytest.mark.parametrize("fault", [failure(413), failure(400, "Too many inputs in request")])
async def test_a_batch_too_large_is_halved(fault: Fault) -> None:
    """A batch that is too large is split in halves, and later batches are no larger."""
    with ScriptedProvider() as provider:
        provider.otherwise = refuse_if(lambda texts: len(texts) > 20, fault)
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, TEXTS)
            assert 16 == embedder.batch_texts
        assert all(isinstance(outcome, EmbeddedText) for outcome in outcomes.values())
        assert sorted(TEXTS) == sorted(outcomes)
        assert [64, 32, 32, 16, 16, 16, 16] == [
            len(request["input"]) for request in provider.requests
        ]


@pytest.mark.parametrize(
    "fault",
    [
        failure(400),
        failure(422),
        failure(400, "maximum context length exceeded"),
        failure(403, metadata={"flagged_input": "x"}),
        failure(403, metadata={"patterns": ["ignore .*"]}),
    ],
    ids=["400", "422", "context length", "content policy", "guardrail"],
)
async def test_one_refused_text_fails_alone(fault: Fault) -> None:
    """Of 64 texts, only the one that the provider refuses is rejected."""
    with ScriptedProvider() as provider:
        provider.otherwise = refuse_if(lambda texts: POISON in texts, fault)
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, TEXTS)
        assert isinstance(outcomes.pop(POISON), errors.TextRejected)
        assert 63 == len(outcomes)
        assert all(isinstance(outcome, EmbeddedText) for outcome in outcomes.values())
        assert len(provider.requests) <= 14


async def test_a_refusal_of_every_text_is_a_wrong_setting() -> None:
    """If the provider refuses the probe text as well, the settings are the cause."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(400, "dimensions are not supported")
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, ["tea"])
        assert isinstance(outcomes["tea"], errors.EmbeddingRejected)
        assert 2 == len(provider.requests)


async def test_abandoned_texts_are_not_sent() -> None:
    """A retry sends only texts that a caller waits for; without any, no request is sent."""
    awaited = {"tea", "cake"}
    with ScriptedProvider() as provider:

        def fault(request: object) -> Reply | None:
            awaited.discard("cake")
            return failure(503)(request)  # type: ignore[arg-type]

        provider.script += [fault, failure(503)]
        async with open_embedder(provider) as embedder:
            outcomes = await collect(embedder, ["tea", "cake"], awaited.__contains__)
            assert {} == await collect(embedder, ["abandoned"], awaited.__contains__)
        assert ["tea"] == list(outcomes)
        first, _probe, second = (request["input"] for request in provider.requests)
        assert (["tea", "cake"], ["tea"]) == (first, second)


async def test_a_crash_is_isolated() -> None:
    """After a bug in the embedder, each text gets a request of its own."""
    embedder = FaultyEmbedder(EmbedderFault.CRASH)
    outcomes = await collect(RetryingEmbedder(embedder, RateController(1)), ["a", "b"])
    assert [errors.TextFailed] * 2 == [type(outcome) for outcome in outcomes.values()]
    assert [("a", "b"), ("a",), ("b",)] == embedder.batches


async def test_every_request_is_observed_with_its_outcome() -> None:
    """The duration of each request, retries included, is observed as succeeded or failed."""
    succeeded: list[float] = []
    failed: list[float] = []
    embedder = FaultyEmbedder()
    retrying = RetryingEmbedder(
        embedder, RateController(1), None, RequestObserver(succeeded.append, failed.append)
    )
    await collect(retrying, ["tea"])
    assert (1, 0) == (len(succeeded), len(failed))
    embedder.fault = EmbedderFault.UNAVAILABLE
    await collect(retrying, ["coffee"])
    assert (1, len(embedder.texts) - 1) == (len(succeeded), len(failed))
    assert all(seconds >= 0 for seconds in (*succeeded, *failed))
