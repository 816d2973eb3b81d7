"""The files of the console as a site, without a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from service import errors
from service.console.site import (
    CONTENT_SECURITY_POLICY,
    AsgiApplication,
    AsgiMessage,
    AsgiReceive,
    AsgiSend,
    ConsoleSite,
    GrpcConnection,
)

PAGE = "<!doctype html><p>The console</p>"


async def api(scope: AsgiMessage, _receive: AsgiReceive, send: AsgiSend) -> None:
    """Answers with the raw path that it got."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["raw_path"]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(PAGE)
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "app-1a2b.js").write_text("void 0;" * 100)
    return tmp_path


@asynccontextmanager
async def connect(
    application: AsgiApplication, url: str = "http://localhost:80"
) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=application)
    async with httpx.AsyncClient(transport=transport, base_url=url) as client:
        yield client


async def test_every_file_has_the_security_headers(folder: Path) -> None:
    """Pages, assets and errors all forbid content of other hosts and guesses of types."""
    async with connect(ConsoleSite(api, folder)) as http:
        for path in ("/", "/index.html", "/assets/app-1a2b.js", "/nowhere"):
            headers = (await http.get(path)).headers
            assert CONTENT_SECURITY_POLICY == headers["content-security-policy"]
            assert "nosniff" == headers["x-content-type-options"]
            assert "no-referrer" == headers["referrer-policy"]
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


async def test_pages_are_checked_again_and_assets_are_kept(folder: Path) -> None:
    """An index page is asked for each time, and an asset with its content in its name never."""
    async with connect(ConsoleSite(api, folder)) as http:
        page = await http.get("/")
        assert PAGE == page.text
        assert "no-cache" == page.headers["cache-control"]
        known = await http.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (304, b"") == (known.status_code, known.content)
        asset = await http.get("/assets/app-1a2b.js")
        assert "immutable" in asset.headers["cache-control"]
        assert "gzip" == asset.headers["content-encoding"]
        plain = await http.get("/assets/app-1a2b.js", headers={"accept-encoding": "identity"})
        assert plain.text == asset.text
        assert "content-encoding" not in plain.headers


async def test_api_gets_its_requests_unchanged(folder: Path) -> None:
    """Everything below /v1/ is for the API, with its encoded path, and so is its description."""
    async with connect(ConsoleSite(api, folder)) as http:
        answer = await http.delete("/v1/catalogs/default/items/a%2Fb")
        assert "/v1/catalogs/default/items/a%2Fb" == answer.text
        assert "/openapi.json" == (await http.get("/openapi.json")).text


async def test_pages_learn_how_programs_call_the_server(folder: Path) -> None:
    """The address for gRPC is read at each request, because it is known after a start."""
    listeners = iter([GrpcConnection("[::]:1", tls=True), GrpcConnection("[::]:2", key=True)])
    async with connect(ConsoleSite(api, folder, lambda: next(listeners))) as http:
        answers = [await http.get("/connection.json") for _ in range(2)]
    assert [
        {"address": "[::]:1", "tls": True, "key": False},
        {"address": "[::]:2", "tls": False, "key": True},
    ] == [answer.json() for answer in answers]
    assert "no-store" == answers[0].headers["cache-control"]


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/assets/../index.htm", 404),
        ("GET", "/..%2f..%2fetc/passwd", 404),
        ("POST", "/", 405),
        ("HEAD", "/", 200),
    ],
)
async def test_only_known_files_are_served(folder: Path, verb: str, path: str, status: int) -> None:
    """Other paths and verbs get an error."""
    async with connect(ConsoleSite(api, folder)) as http:
        answer = await http.request(verb, path)
        assert status == answer.status_code
        assert PAGE not in answer.text


def test_missing_build_says_how_to_build(tmp_path: Path) -> None:
    """Without an index page, the error names the command that makes one."""
    with pytest.raises(errors.ConsoleNotBuilt, match="make console"):
        ConsoleSite(api, tmp_path)
