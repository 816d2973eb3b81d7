import asyncio
import json
import math
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.faults import each, raw
from support.provider import DIMENSIONS, Fault, ScriptedProvider

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.errors import ProviderError, ProviderRefused, ProviderUnavailable
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder
from service.embedding.openai_responses import ProviderResponse, parse_response
from service.settings import Settings

pytestmark = pytest.mark.slow

KEY = "sk-or-v1-do-not-tell"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def embedder(url: str, timeout_seconds: float = 20.0, key: str = KEY) -> OpenAICompatibleEmbedder:
    return OpenAICompatibleEmbedder(
        Endpoint("openrouter", url, "m", key),
        Space("openrouter", "m", DIMENSIONS),
        BatchLimits(64, 100_000, 512),
        timeout_seconds,
    )


async def failure_at(made: OpenAICompatibleEmbedder) -> ProviderError:
    try:
        with pytest.raises(ProviderError) as caught:
            await made.embed(["tea", "cake"])
    finally:
        await made.close()
    return caught.value


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as made:
        yield made


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """The URL of a server that does what it likes with each connection."""
    done = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            done.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(20):
            await done.wait()
    finally:
        server.close()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A byte every now and then, until the client has gone."""
    writer.write(HEAD)
    gone = asyncio.create_task(reader.read())
    while not gone.done():
        writer.write(b" ")
        await writer.drain()
        await asyncio.wait([gone], timeout=0.02)


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Part of an answer, and then no orderly end of the connection."""
    writer.write(HEAD + b'{"data"')
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def no_http(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


HOSTILE: dict[str, Fault] = {
    "JSON nested without end": raw(b"[" * 200_000),
    "index beyond any float": each(lambda n, row: row | {"index": 10**400 + n}),
    "index infinite": each(lambda _n, row: row | {"index": float("inf")}),
    "index true and false": each(lambda n, row: row | {"index": bool(n)}),
    "index as a digit in quotes": each(lambda n, row: row | {"index": str(n)}),
    "number beyond float32": each(lambda _n, row: row | {"embedding": [1e39, 1.0]}),
    "number beyond any float": each(lambda _n, row: row | {"embedding": [10**400, 1.0]}),
    "numbers that are truths": each(lambda _n, row: row | {"embedding": [True, False]}),
    "vector in a vector": each(lambda _n, row: row | {"embedding": [[1.0, 2.0]]}),
    "NaN in base64": each(lambda _n, row: row | {"embedding": "AADAfw=="}),
    "empty base64": each(lambda _n, row: row | {"embedding": ""}),
    "bytes that are no UTF-8": raw(b'{"data": "\xff\xfe"}'),
    "comment of an event stream": raw(b": OPENROUTER PROCESSING\n\n"),
    "two JSON values": raw(b"{}{}"),
    "JSON null": raw(b"null"),
    "JSON word": raw(b'"ok"'),
    "gzip that is none": raw(b"plain", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_answers_without_sense_are_failures_for_now(
    provider: ScriptedProvider, name: str
) -> None:
    """An answer that makes no sense is a failure that passes, never a crash or a vector."""
    provider.script.append(HOSTILE[name])
    assert ProviderUnavailable is type(await failure_at(embedder(provider.url)))


@pytest.mark.parametrize("serve", [reset, no_http], ids=["reset", "no HTTP"])
async def test_a_broken_connection_is_unavailable(serve: Serve) -> None:
    """A connection that breaks, or that speaks no HTTP, is a failure that passes."""
    async with serving(serve) as url:
        found = await failure_at(embedder(url))
    assert ProviderUnavailable is type(found)
    assert "cannot connect" in found.message


async def test_an_answer_that_trickles_in_is_given_up() -> None:
    """The timeout bounds the whole request, not the pause between two of its bytes."""
    async with serving(trickle) as url, asyncio.timeout(20):
        found = await failure_at(embedder(url, timeout_seconds=0.3))
    assert "the provider did not respond in time" == found.message


async def test_a_key_that_http_does_not_take_is_not_repeated(provider: ScriptedProvider) -> None:
    """Neither the failure nor what it came from quotes the key."""
    found = await failure_at(embedder(provider.url, key=f"{KEY}\n"))
    assert ProviderRefused is type(found)
    assert KEY not in f"{found!r} {found.__cause__!r}"
    assert found.__suppress_context__


async def test_a_key_out_of_a_file_works() -> None:
    """White space around a key is not part of it."""
    found = Settings(openrouter_api_key=f" {KEY}\n")
    assert KEY == found.provider_key


@pytest.mark.parametrize("name", ["openrouter_api_key", "embedding_title", "embedding_referer"])
async def test_settings_that_no_header_takes_are_refused_at_start(name: str) -> None:
    """What cannot be sent in a header is told at the start, without quoting it."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: f"{KEY}\u2013"})
    assert KEY not in str(caught.value.errors(include_input=False, include_url=False))


extremes = st.sampled_from([10**400, -1, 1e39, float("inf"), float("nan")])
numbers = st.one_of(extremes, st.integers(), st.floats())
junk = st.one_of(
    extremes, st.none(), st.booleans(), numbers, st.text(max_size=8), st.lists(numbers)
)
rows = st.fixed_dictionaries(
    {"embedding": st.one_of(st.just([1.0, 2.0]), junk)}, optional={"index": junk}
)
usages = st.fixed_dictionaries({}, optional={"prompt_tokens": junk, "cost": junk})
failures = st.fixed_dictionaries(
    {},
    optional={
        "code": junk,
        "http_status": junk,
        "message": junk,
        "availability": st.fixed_dictionaries({}, optional={"retry_after": junk}),
    },
)
values = st.one_of(
    junk,
    st.fixed_dictionaries({"data": st.lists(rows, min_size=1, max_size=2), "usage": usages}),
    st.fixed_dictionaries({"error": st.one_of(failures, junk)}),
)
DATES = ["Mon, 01 Jan 0001 00:00:00", "Wed, 21 Oct 99999 07:28:00 GMT", "1, 2", "-0", "1e999"]


@settings(max_examples=400, deadline=None)
@given(
    value=values,
    status=st.integers(200, 599),
    retry_after=st.one_of(st.text(max_size=12), st.sampled_from(DATES)),
)
def test_any_answer_is_vectors_or_a_failure(value: object, status: int, retry_after: str) -> None:
    """Whatever a provider sends becomes vectors or one of the known failures."""
    response = ProviderResponse(
        status, {"retry-after": retry_after}, json.dumps(value).encode(), 1.7e9
    )
    found: Embeddings | ProviderError
    try:
        found = parse_response(response, 1)
    except ProviderError as exc:
        found = exc
    if isinstance(found, ProviderUnavailable):
        assert (found.retry_after_seconds or 0.0) >= 0
    if isinstance(found, Embeddings):
        assert 1 == len(found.vectors)
        assert math.isfinite(found.cost_usd)
