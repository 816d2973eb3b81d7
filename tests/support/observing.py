"""What a server shows to those who observe it."""

from __future__ import annotations

from urllib.request import urlopen

from support.server import WAIT_SECONDS


def scraped(address: str) -> str:
    """The metrics, as Prometheus reads them."""
    with urlopen(f"http://{address}/metrics", timeout=WAIT_SECONDS) as response:
        return str(response.read().decode())
