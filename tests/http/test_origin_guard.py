"""Requests that browsers send for pages of other sites."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.http.origin_guard import OriginGuard

CALLS = [("GET", "/v1/catalogs"), ("DELETE", "/v1/catalogs/a"), ("POST", "/v1/catalogs")]
LOCAL = "http://localhost:8080"
FOREIGN = "http://akin.example"


async def answer(scope: Scope, _receive: Receive, send: Send) -> None:
    """An application that answers everything."""
    del scope
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def connect(url: str, *, needs_loopback_host: bool) -> httpx.AsyncClient:
    guard = OriginGuard(answer, needs_loopback_host=needs_loopback_host)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=guard), base_url=url)


@pytest.mark.parametrize(
    ("url", "headers", "statuses"),
    [
        (LOCAL, {}, (200, 200)),
        ("http://127.0.0.1", {"origin": "http://127.0.0.1"}, (200, 200)),
        ("http://[::1]:8080", {"sec-fetch-site": "same-origin"}, (200, 200)),
        (LOCAL, {"sec-fetch-site": "none"}, (200, 200)),
        (FOREIGN, {}, (403, 200)),
        ("http://localhost.akin.example:8080", {}, (403, 200)),
        (FOREIGN, {"origin": FOREIGN}, (403, 200)),
        (FOREIGN, {"origin": "https://akin.example"}, (403, 200)),
        (LOCAL, {"sec-fetch-site": "same-origin", "origin": "https://akin.example"}, (200, 200)),
        (LOCAL, {"origin": FOREIGN}, (403, 403)),
        (LOCAL, {"origin": "null"}, (403, 403)),
        (LOCAL, {"origin": "http://localhost:8081"}, (403, 403)),
        (LOCAL, {"sec-fetch-site": "cross-site"}, (403, 403)),
        (LOCAL, {"sec-fetch-site": "same-site", "origin": LOCAL}, (403, 403)),
    ],
)
async def test_only_own_pages_and_other_clients_may_call(
    url: str, headers: dict[str, str], statuses: tuple[int, int]
) -> None:
    """Calls of pages of other sites are refused, and foreign names where the host must be local."""
    for needs_loopback_host, expected in zip((True, False), statuses, strict=True):
        async with connect(url, needs_loopback_host=needs_loopback_host) as http:
            calls = (http.request(verb, path, headers=headers) for verb, path in CALLS)
            responses = await asyncio.gather(*calls)
        assert [expected] * len(CALLS) == [response.status_code for response in responses]


async def test_a_refusal_is_a_status_in_json() -> None:
    """A refused call has the error of a call that is not permitted, and the id of its request."""
    headers = {"origin": FOREIGN, "x-request-id": "abc"}
    async with connect(LOCAL, needs_loopback_host=False) as http:
        response = await http.post("/v1/catalogs", json={}, headers=headers)
    assert "abc" == response.headers["x-request-id"]
    assert (7, "PERMISSION_DENIED") == (
        response.json()["code"],
        response.json()["details"][0]["reason"],
    )


@pytest.mark.parametrize("path", ["/", "/openapi.json"])
async def test_links_of_other_sites_lead_to_documents(path: str) -> None:
    """The root and the description of the API may be opened from anywhere."""
    async with connect(LOCAL, needs_loopback_host=True) as http:
        response = await http.get(path, headers={"sec-fetch-site": "cross-site"})
    assert 200 == response.status_code
