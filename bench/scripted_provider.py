"""An embedding provider on loopback that takes a given time for each request.

    python bench/scripted_provider.py MILLISECONDS

Prints its API's base URL, and on SIGTERM ends. GET /count tells how many requests it has had, and
GET /repeated how many texts it has answered for the same model before. A request with a text that
contains "unembeddable" fails with HTTP 500, and one with "stuck" gets no response for 30 seconds.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np

DIMENSIONS = 256
DELAY_SECONDS = float(sys.argv[1]) / 1000
STUCK_SECONDS = 30.0
PAUSE = threading.Event()


class Handler(BaseHTTPRequestHandler):
    """Answers with vectors that depend on the texts alone."""

    protocol_version = "HTTP/1.1"
    requests = 0
    repeated = 0
    answered: ClassVar[set[tuple[str, str]]] = set()
    lock = threading.Lock()

    def log_message(self, *args: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """Tells the number of requests, or of texts that came again."""
        number = Handler.requests if self.path == "/count" else Handler.repeated
        self._send(str(number).encode())

    def do_POST(self) -> None:
        """Embeds."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with Handler.lock:
            Handler.requests += 1
        PAUSE.wait(DELAY_SECONDS)
        if any("stuck" in text for text in request["input"]):
            PAUSE.wait(STUCK_SECONDS)
        if any("unembeddable" in text for text in request["input"]):
            self._send(b'{"error": {"message": "unsupported value: NaN"}}', 500)
            return
        rows = [
            {"object": "embedding", "index": index, "embedding": vector(text)}
            for index, text in enumerate(request["input"])
        ]
        usage = {"prompt_tokens": len(rows), "total_tokens": len(rows), "cost": 0.0}
        answer = {"object": "list", "model": "scripted", "data": rows, "usage": usage}
        self._send(json.dumps(answer).encode())
        texts = {(request["model"], text) for text in request["input"]}
        with Handler.lock:
            Handler.repeated += len(texts & Handler.answered)
            Handler.answered |= texts

    def _send(self, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # the server may have been killed
            self.wfile.write(body)


def vector(text: str) -> list[float]:
    """A text's vector."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
    drawn: list[float] = np.random.default_rng(seed).normal(size=DIMENSIONS).round(4).tolist()
    return drawn


def main() -> None:
    """Serves on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/api/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
