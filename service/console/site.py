"""The site of the console: static files, and the JSON API beside them at one origin."""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

STATIC_FOLDER = Path(__file__).parent / "static"

API_PREFIX = "/v1/"

# The build names these files after their content, so that browsers may keep them.
ASSETS_PREFIX = "/assets/"

# The pages load files of their own origin and call its API, and nothing else. Images of charts and
# icons are the only content that may come as data.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class ConsoleNotBuilt(Exception):
    """The files of the console are missing, as in a checkout where nobody has built them."""

    def __init__(self) -> None:
        super().__init__(
            "the console is not built: run `make console`, which needs Node.js, or install a "
            "released package, which contains it"
        )


def make_console(api: ASGIApp, folder: Path = STATIC_FOLDER) -> ASGIApp:
    """Return the application that serves the console, and `api` for paths below /v1/.

    Args:
        api: the JSON API, which gets its requests unchanged.
        folder: the build output of console/.

    Raises:
        ConsoleNotBuilt: the folder has no index page.
    """
    if not (folder / "index.html").is_file():
        raise ConsoleNotBuilt
    files = StaticFiles(directory=folder, html=True)

    async def serve_site(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(API_PREFIX):
            await api(scope, receive, send)
        elif scope["type"] == "http":
            await files(scope, receive, _add_headers(scope["path"], send))
        else:
            # The lifespan is the API's: files need none.
            await api(scope, receive, send)

    return serve_site


def _add_headers(path: str, send: Send) -> Send:
    """Return `send` with the security headers in the start of each response."""
    caching = "public, max-age=31536000, immutable" if path.startswith(ASSETS_PREFIX) else "no-cache"

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update({**SECURITY_HEADERS, "cache-control": caching})
        await send(message)

    return send_with_headers
