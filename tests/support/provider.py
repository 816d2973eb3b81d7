"""An HTTP server on the loopback interface with the embeddings API, which fails as scripted.

The vector of a text depends only on the text. A script has the fault of each request, in order;
after its end, requests succeed. A held provider does not respond until it is released.
"""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import numpy as np

DIMENSIONS = 64
USD_PER_TOKEN = 2e-8


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Return the provider's vector of a text, which does not have unit length."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    numbers: list[float] = np.random.default_rng(seed).normal(size=dimensions).tolist()
    return numbers


@dataclass(frozen=True)
class Reply:
    """One HTTP response; the last `cut` bytes of the body are not sent."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    cut: int = 0


# Returns the reply to the JSON of a request; None closes the connection without a response.
Fault = Callable[[Mapping[str, Any]], Reply | None]


def success(request: Mapping[str, Any]) -> Reply:
    """Return a good response to a request."""
    return Reply(json.dumps(answer(request)).encode())


def answer(request: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the JSON of a good response, with some fields changed."""
    texts = request["input"]
    width = request.get("dimensions", DIMENSIONS)
    tokens = sum(len(text.split()) for text in texts)
    return {
        "object": "list",
        "id": "gen-emb-1",
        "provider": "Scripted",
        "model": "scripted-upstream-name",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector(text, width)}
            for index, text in enumerate(texts)
        ],
        "usage": {
            "prompt_tokens": tokens,
            "total_tokens": tokens,
            "cost": tokens * USD_PER_TOKEN,
            "is_byok": False,
        },
        **changes,
    }


def failure(status: int, message: str = "it failed", **error: Any) -> Fault:
    """Return a response with an error in the form of the API."""
    body = json.dumps({"error": {"code": status, "message": message, **error}}).encode()
    return lambda _request: Reply(body, status)


class ScriptedProvider:
    """The provider, a context manager; `url` is the base URL of its API."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Mapping[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.models: list[Mapping[str, Any]] = []
        self.script: deque[Fault] = deque()
        self.otherwise: Fault = success
        self.released = threading.Event()
        self.released.set()
        self.dead = False
        self._arrived = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/api/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop: open connections break, and new ones are refused."""
        self.released.set()
        self.dead = True
        self._server.shutdown()
        self._server.server_close()

    @property
    def texts(self) -> Sequence[str]:
        """Every text that it received, in order, with repetitions."""
        return [text for request in self.requests for text in request["input"]]

    def wait_for_requests(self, number: int, timeout_seconds: float = 60.0) -> None:
        """Wait until `number` requests have arrived."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.requests) >= number, timeout_seconds)
        assert arrived, f"only {len(self.requests)} requests arrived"

    def reply(self, request: Mapping[str, Any], headers: Mapping[str, str]) -> Reply | None:
        """Record a request, and return its reply."""
        with self._arrived:
            self.requests.append(request)
            self.headers.append(headers)
            fault = self.script.popleft() if self.script else self.otherwise
            self._arrived.notify_all()
        self.released.wait()
        return None if self.dead else fault(request)


def settings_for(provider: ScriptedProvider) -> dict[str, str]:
    """Return the settings of a server that embeds with a provider."""
    return {
        "OPENROUTER_API_KEY": "sk-or-test",
        "EMBEDDING_BASE_URL": provider.url,
        "EMBEDDING_MODEL": "someone/model",
    }


def _handler(provider: ScriptedProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            if self.path == "/api/v1/embeddings/models":
                self._send(Reply(json.dumps({"data": provider.models}).encode()))
            else:
                self._send(Reply(b"<html>no such page</html>", 404, {"Content-Type": "text/html"}))

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            request = json.loads(self.rfile.read(size))
            if self.path != "/api/v1/embeddings":
                self._send(Reply(b"<html>no such page</html>", 404, {"Content-Type": "text/html"}))
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._send(provider.reply(request, headers))

        def _send(self, reply: Reply | None) -> None:
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            with suppress(ConnectionError):  # the client may have disconnected
                self.wfile.write(reply.body[: len(reply.body) - reply.cut])
            self.close_connection = self.close_connection or reply.cut > 0

    return Handler
