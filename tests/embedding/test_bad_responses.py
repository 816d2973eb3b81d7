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
from support.faults import raw, replace_rows
from support.provider import DIMENSIONS, Fault, ScriptedProvider

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits, Embeddings
from service.embedding.errors import ProviderError, ProviderRefused, ProviderUnavailable
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder
from service.embedding.openai_responses import ProviderResponse, parse_response
from service.settings import Settings

pytestmark = pytest.mark.slow

KEY = "sk-or-v1-do-not-tell"
HEADERS = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def open_embedder(
    url: str, timeout_seconds: float = 20.0, key: str = KEY
) -> OpenAICompatibleEmbedder:
    return OpenAICompatibleEmbedder(
        Endpoint("openrouter", url, "m", key),
        Space("openrouter", "m", DIMENSIONS),
        BatchLimits(64, 100_000, 512),
        timeout_seconds,
    )


async def catch_failure(embedder: OpenAICompatibleEmbedder) -> ProviderError:
    try:
        with pytest.raises(ProviderError) as caught:
            await embedder.embed(["tea", "cake"])
    finally:
        await embedder.close()
    return caught.value


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """Yield the URL of a server that calls `serve` for each connection."""
    done = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()
            done.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(20):
            await done.wait()
    finally:
        server.close()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, until the client disconnects."""
    writer.write(HEADERS)
    disconnected = asyncio.create_task(reader.read())
    while not disconnected.done():
        writer.write(b" ")
        await writer.drain()
        await asyncio.wait([disconnected], timeout=0.02)


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send a part of a response, and then reset the connection."""
    writer.write(HEADERS + b'{"data"')
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def greet_as_mail(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


HOSTILE: dict[str, Fault] = {
    "JSON nested without end": raw(b"[" * 200_000),
    "index beyond any float": replace_rows(lambda n, row: row | {"index": 10**400 + n}),
    "index infinite": replace_rows(lambda _n, row: row | {"index": float("inf")}),
    "index true and false": replace_rows(lambda n, row: row | {"index": bool(n)}),
    "index as a digit in quotes": replace_rows(lambda n, row: row | {"index": str(n)}),
    "number beyond float32": replace_rows(lambda _n, row: row | {"embedding": [1e39, 1.0]}),
    "number beyond any float": replace_rows(lambda _n, row: row | {"embedding": [10**400, 1.0]}),
    "booleans in a vector": replace_rows(lambda _n, row: row | {"embedding": [True, False]}),
    "vector in a vector": replace_rows(lambda _n, row: row | {"embedding": [[1.0, 2.0]]}),
    "NaN in base64": replace_rows(lambda _n, row: row | {"embedding": "AADAfw=="}),
    "empty base64": replace_rows(lambda _n, row: row | {"embedding": ""}),
    "invalid UTF-8": raw(b'{"data": "\xff\xfe"}'),
    "comment of an event stream": raw(b": OPENROUTER PROCESSING\n\n"),
    "two JSON values": raw(b"{}{}"),
    "JSON null": raw(b"null"),
    "JSON word": raw(b'"ok"'),
    "gzip that is plain text": raw(b"plain", Content_Encoding="gzip"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_malformed_responses_are_temporary_failures(
    provider: ScriptedProvider, name: str
) -> None:
    """A malformed response is a temporary failure, never a crash or a vector."""
    provider.script.append(HOSTILE[name])
    assert ProviderUnavailable is type(await catch_failure(open_embedder(provider.url)))


@pytest.mark.parametrize("serve", [reset, greet_as_mail], ids=["reset", "not HTTP"])
async def test_a_broken_connection_is_unavailable(serve: Serve) -> None:
    """A broken connection, or one without HTTP, is a temporary failure."""
    async with serving(serve) as url:
        failure = await catch_failure(open_embedder(url))
    assert ProviderUnavailable is type(failure)
    assert "cannot connect" in failure.message


async def test_a_trickling_response_times_out() -> None:
    """The timeout bounds the whole request, not the pause between two bytes."""
    async with serving(trickle) as url, asyncio.timeout(20):
        failure = await catch_failure(open_embedder(url, timeout_seconds=0.3))
    assert "the provider did not respond in time" == failure.message


async def test_a_key_with_invalid_characters_is_not_shown(provider: ScriptedProvider) -> None:
    """The failure and its cause do not contain the key."""
    failure = await catch_failure(open_embedder(provider.url, key=f"{KEY}\n"))
    assert ProviderRefused is type(failure)
    assert KEY not in f"{failure!r} {failure.__cause__!r}"
    assert failure.__suppress_context__


async def test_white_space_around_a_key_is_stripped() -> None:
    """A key that was read from a file works with the newline at its end."""
    stripped = Settings(openrouter_api_key=f" {KEY}\n")
    assert KEY == stripped.provider_key


@pytest.mark.parametrize("name", ["openrouter_api_key", "embedding_title", "embedding_referer"])
async def test_settings_with_invalid_header_characters_are_refused(name: str) -> None:
    """A setting that cannot be sent in a header is an error that does not contain it."""
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
def test_any_response_is_vectors_or_a_provider_error(
    value: object, status: int, retry_after: str
) -> None:
    """Whatever a provider sends is parsed into vectors or a provider error."""
    response = ProviderResponse(
        status, {"retry-after": retry_after}, json.dumps(value).encode(), 1.7e9
    )
    outcome: Embeddings | ProviderError
    try:
        outcome = parse_response(response, 1)
    except ProviderError as exc:
        outcome = exc
    if isinstance(outcome, ProviderUnavailable):
        assert (outcome.retry_after_seconds or 0.0) >= 0
    if isinstance(outcome, Embeddings):
        assert 1 == len(outcome.vectors)
        assert math.isfinite(outcome.cost_usd)
