"""How texts that the provider cannot embed affect an import, other callers and a re-embedding.

    python bench/poison_texts.py [--items N] [--milliseconds M] [--stuck] [--json]

Imports items of which three have a text that the provider fails on (HTTP 500), or with --stuck does
not respond to, while another caller asks for recommendations for new texts. Then re-embeds them.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Callable

import akin
import numpy as np
from provider import requests, scripted_provider
from servers import akin_server

POISON_NUMBERS = (100, 500, 777)
TIMEOUT_SECONDS = 5
INDEXED = akin.ItemState.ITEM_STATE_INDEXED
SWITCHED = akin.ReembeddingState.REEMBEDDING_STATE_SERVING


class Caller:
    """Asks for recommendations for new texts in a thread, until `stop`."""

    def __init__(self, address: str) -> None:
        self.seconds: list[float] = []
        self.failures = 0
        self._address = address
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with akin.Client(self._address, timeout_seconds=60) as client:
            while not self._stopping.wait(0.05):
                started = time.perf_counter()
                try:
                    client.recommend_similar(text=f"question {len(self.seconds)}", limit=1)
                except akin.AkinError:
                    self.failures += 1
                self.seconds.append(time.perf_counter() - started)


def wait_until(holds: Callable[[], bool]) -> float:
    """Return the seconds until a condition holds."""
    started = time.perf_counter()
    while not holds():
        time.sleep(0.1)
    return time.perf_counter() - started


def count_indexed(client: akin.Client) -> int:
    """Return the number of indexed items."""
    waiting = sum(pending.item_count for pending in client.get_catalog().pending_items)
    return client.get_catalog().item_count - waiting


def measure(address: str, url: str, items: int, poison: str) -> dict[str, object]:
    """Import, ask and re-embed."""
    texts = [
        f"{poison} text {number}" if number in POISON_NUMBERS else f"a fine book, number {number}"
        for number in range(items)
    ]
    with akin.Client(address, timeout_seconds=60) as client:
        client.upsert_item("warm", "the first call of all")
        caller = Caller(address)
        started = time.perf_counter()
        results = list(
            client.import_items(akin.item(f"i{n}", text) for n, text in enumerate(texts))
        )
        import_seconds = time.perf_counter() - started
        waited = wait_until(lambda: count_indexed(client) >= items + 1 - len(POISON_NUMBERS))
        sent = requests(url)
        caller.stop()
        reasons = {
            pending.reason: pending.item_count for pending in client.get_catalog().pending_items
        }
        client.start_reembedding(model="other", dimensions=256)
        reembedding_seconds = wait_until(lambda: client.get_reembedding().state == SWITCHED)
        progress = client.get_reembedding()
    return {
        "items": items,
        "import_seconds": round(import_seconds, 1),
        "import_indexed": sum(result.state == INDEXED for result in results),
        "seconds_until_all_others_are_indexed": round(waited, 1),
        "requests": sent,
        "pending": reasons,
        "caller_calls": len(caller.seconds),
        "caller_failures": caller.failures,
        "caller_milliseconds_p50": round(1000 * float(np.median(caller.seconds))),
        "caller_milliseconds_max": round(1000 * max(caller.seconds)),
        "reembedding_seconds": round(reembedding_seconds, 1),
        "reembedded": progress.embedded_item_count,
        "rejected": progress.rejected_item_count,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--milliseconds", type=float, default=80.0)
    parser.add_argument("--stuck", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with scripted_provider(options.milliseconds) as url:
        settings = {
            "AKIN_EMBEDDER": "openai",
            "AKIN_EMBEDDING_BASE_URL": url,
            "AKIN_EMBEDDING_MODEL": "scripted",
            "AKIN_EMBEDDING_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
        }
        with akin_server(None, **settings) as (address, *_):
            poison = "stuck" if options.stuck else "unembeddable"
            result = measure(address, url, options.items, poison)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        print(f"{name.replace('_', ' '):40}{value!s:>24}")


if __name__ == "__main__":
    main()
