"""The site of the console: its files, and the JSON API beside them at one origin."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from service import errors

STATIC_FOLDER = Path(__file__).parent / "static"

INDEX_FILE = "index.html"

API_PREFIX = "/v1/"

# The description of the API, which the API itself serves.
API_DESCRIPTION_PATH = "/openapi.json"

# How to call the server over gRPC, which the pages show as code.
CONNECTION_PATH = "/connection.json"

# The build names these files after their content, so that browsers may keep them.
ASSETS_PREFIX = "/assets/"

# The pages load files of their own origin and call its API, and nothing else. Images of charts and
# icons are the only content that may come as data.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)

SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

AsgiMessage: TypeAlias = MutableMapping[str, Any]
AsgiReceive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
AsgiSend: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
AsgiApplication: TypeAlias = Callable[[AsgiMessage, AsgiReceive, AsgiSend], Awaitable[None]]


class SiteFile(NamedTuple):
    """A file in memory, as it is sent.

    Attributes:
        body: its bytes.
        compressed: the same with gzip.
        headers: its own headers, without those of each response.
    """

    body: bytes
    compressed: bytes
    headers: dict[str, str]


class GrpcConnection(NamedTuple):
    """How programs call the server that the console shows.

    Attributes:
        address: host:port for gRPC. The host can be one that listens on all addresses.
        tls: whether the server uses TLS.
        key: whether calls of the console have an API key that the browser does not send.
    """

    address: str = "localhost:50051"
    tls: bool = False
    key: bool = False


class ConsoleSite:
    """The ASGI application that serves the console, and the API with its description beside it.

    The files are read once: together they have a few hundred kilobytes.

    Args:
        api: the JSON API, which gets its requests unchanged.
        folder: the build output of console/.
        describe_connection: returns how programs call the server.

    Raises:
        ConsoleNotBuilt: the folder has no index page.
    """

    def __init__(
        self,
        api: AsgiApplication,
        folder: Path = STATIC_FOLDER,
        describe_connection: Callable[[], GrpcConnection] = GrpcConnection,
    ) -> None:
        self._api = api
        self._describe_connection = describe_connection
        self._files = _read_files(folder)
        if f"/{INDEX_FILE}" not in self._files:
            raise errors.ConsoleNotBuilt(
                "the console is not built: run `make console`, which needs Node.js, or install a "
                "released package, which contains it"
            )
        self._files["/"] = self._files[f"/{INDEX_FILE}"]

    async def __call__(self, scope: AsgiMessage, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one request."""
        path = scope["path"]
        if path.startswith(API_PREFIX) or path == API_DESCRIPTION_PATH:
            await self._api(scope, receive, send)
        elif scope["method"] not in {"GET", "HEAD"}:
            await send_page(
                send, 405, b"the console answers GET and HEAD\n", {"allow": "GET, HEAD"}
            )
        elif path == CONNECTION_PATH:
            body = json.dumps(self._describe_connection()._asdict()).encode()
            headers = {"content-type": "application/json", "cache-control": "no-store"}
            await send_page(send, 200, body, headers, is_head=scope["method"] == "HEAD")
        elif (file := self._files.get(path)) is None:
            await send_page(send, 404, b"there is no such page\n", {})
        else:
            await _send_file(scope, send, file)


def _read_files(folder: Path) -> dict[str, SiteFile]:
    """Return the files of a folder by their paths on the site."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {f"/{path.relative_to(folder).as_posix()}": _read_file(path, folder) for path in paths}


def _read_file(path: Path, folder: Path) -> SiteFile:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    is_asset = f"/{path.relative_to(folder).as_posix()}".startswith(ASSETS_PREFIX)
    return SiteFile(
        body,
        gzip.compress(body, mtime=0),
        {
            "content-type": f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
            "etag": f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            "cache-control": "public, max-age=31536000, immutable" if is_asset else "no-cache",
            "vary": "accept-encoding",
        },
    )


async def _send_file(scope: AsgiMessage, send: AsgiSend, file: SiteFile) -> None:
    request = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if file.headers["etag"] in request.get("if-none-match", ""):
        await send_page(send, 304, b"", file.headers)
    elif "gzip" in request.get("accept-encoding", ""):
        headers = {**file.headers, "content-encoding": "gzip"}
        await send_page(send, 200, file.compressed, headers, is_head=scope["method"] == "HEAD")
    else:
        await send_page(send, 200, file.body, file.headers, is_head=scope["method"] == "HEAD")


async def send_page(
    send: AsgiSend, status: int, body: bytes, headers: dict[str, str], *, is_head: bool = False
) -> None:
    """Send a response with the security headers.

    Args:
        send: of the request.
        status: the HTTP status.
        body: the bytes.
        headers: further headers; the content type is plain text by default.
        is_head: whether the client wants the headers alone.
    """
    whole = {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(body)),
        **headers,
        **SECURITY_HEADERS,
    }
    encoded = [(name.encode(), value.encode()) for name, value in whole.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if is_head else body})
