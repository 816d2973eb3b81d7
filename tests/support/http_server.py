"""A running server that also listens for HTTP, and clients of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from support.server import WAIT_SECONDS, RunningServer


class HttpServer(RunningServer):
    """A server with a listener for HTTP on a free port, at `http_address` or `url`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **{"HTTP_LISTEN": "127.0.0.1:0"} | settings)
        scheme = "https" if "TLS_CERTIFICATE" in settings else "http"
        self.http_address = str(self.wait_for("http_listening")["address"])
        port = self.http_address.rpartition(":")[2]
        host = "localhost" if scheme == "https" else "127.0.0.1"
        self.url = f"{scheme}://{host}:{port}"

    def http(self, **options: Any) -> httpx.Client:
        """A new HTTP client of this server, to be closed by the caller."""
        return httpx.Client(base_url=self.url, timeout=WAIT_SECONDS, trust_env=False, **options)
