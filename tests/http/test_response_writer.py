from __future__ import annotations

from typing import Any

import pytest
from starlette.datastructures import Headers

from service.http.request_body import RequestBody
from service.http.response_writer import MIN_COMPRESSED_BYTES, ResponseWriter


async def send_large_response(accept_encoding: str | None) -> Headers:
    """The headers of a response that is large enough to be compressed."""
    events: list[Any] = []

    async def send(event: Any) -> None:
        events.append(event)

    async def receive() -> Any:
        return {"type": "http.request"}

    value = [] if accept_encoding is None else [(b"accept-encoding", accept_encoding.encode())]
    body = RequestBody(receive, Headers(raw=value))
    writer = ResponseWriter({"type": "http", "headers": value}, send, body)
    await writer.write_all(200, b" " * MIN_COMPRESSED_BYTES)
    return Headers(raw=events[0]["headers"])


@pytest.mark.parametrize(
    ("accept_encoding", "is_compressed"),
    [
        (None, False),
        ("", False),
        ("br, zstd", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, *", False),
        ("*, gzip;q=0", False),
        ("*;q=0, gzip", True),
        ("*;q=0", False),
    ],
)
async def test_a_client_chooses_the_encoding(
    accept_encoding: str | None, *, is_compressed: bool
) -> None:
    """Gzip is used if the client takes it by name, or any encoding and does not refuse gzip."""
    headers = await send_large_response(accept_encoding)
    assert is_compressed == (headers.get("content-encoding") == "gzip")
    assert "accept-encoding" == headers["vary"]
