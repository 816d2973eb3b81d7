"""A catalog gets another model while it is read and written, and its server is killed meanwhile.

    python bench/reembedding.py [--items FILE] [--milliseconds M] [--json FILE]

A provider on loopback takes M milliseconds for each request. One caller asks for recommendations
by text and one writes new items, before, during and after. In the middle the server is killed with
SIGKILL and started again. Items are those of FILE, lines as `akin import` takes them, or 3,000 real
package descriptions (see texts.py).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import akin
import numpy as np
from akin.v1 import catalog_service_pb2 as pb
from provider import BATCH_TEXTS, scripted_provider
from servers import Server, akin_server
from texts import items as packages

NEW = "scripted-new"
PHASE_SECONDS = 3.0
POLL_SECONDS = 0.02


class Load:
    """A reader and a writer, each a thread; what their calls took, and which failed."""

    def __init__(self, address: str, first: int) -> None:
        self.reads: list[tuple[float, float]] = []
        self.written: dict[str, str] = {}
        self.failed: list[str] = []
        self._end = threading.Event()
        self._number = first
        self._threads = [
            threading.Thread(target=self._work, args=(address, each))
            for each in (self._read, self._write)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends both."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def milliseconds(self, since: float, until: float) -> dict[str, float]:
        """Latencies of the reads that began in a span of time."""
        took = [1000 * seconds for begun, seconds in self.reads if since <= begun < until]
        p50, p95, worst = np.percentile(took, (50, 95, 100)) if took else (0.0, 0.0, 0.0)
        return {"p50_ms": round(p50, 1), "p95_ms": round(p95, 1), "max_ms": round(worst, 1)}

    def _work(self, address: str, call: Callable[[akin.Client], None]) -> None:
        with akin.Client(address, timeout_seconds=30) as client:
            while not self._end.is_set():
                try:
                    call(client)
                except akin.AkinError as exc:
                    self.failed.append(str(exc))

    def _read(self, client: akin.Client) -> None:
        begun = time.monotonic()
        client.recommend_similar(text="a tool to read mail", limit=10)
        self.reads.append((begun, time.monotonic() - begun))

    def _write(self, client: akin.Client) -> None:
        self._number += 1
        item_id, text = f"new-{self._number}", f"a text that is new, number {self._number}"
        client.upsert_item(item_id, text)
        self.written[item_id] = text


def poll(holds: Callable[[], bool]) -> None:
    """Waits until something holds."""
    while not holds():
        time.sleep(POLL_SECONDS)


def asked(url: str, what: str) -> int:
    """A number that the provider tells."""
    with urllib.request.urlopen(url.removesuffix("/api/v1") + what) as answer:  # noqa: S310
        return int(answer.read())


def first_half(server: Server, items: list[dict[str, Any]]) -> dict[str, Any]:
    """Imports, starts to re-embed under load, and kills the server when half is done."""
    with akin.Client(server.address, timeout_seconds=60) as client:
        given = (akin.item(each["id"], each["text"], each["attributes"]) for each in items)
        assert not [each for each in client.import_items(given) if each.code]
        load = Load(server.address, 0)
        begun = time.monotonic()
        time.sleep(PHASE_SECONDS)
        started = time.monotonic()
        client.start_reembedding(model=NEW)
        poll(lambda: 2 * client.get_reembedding().embedded_item_count >= len(items))
        half = time.monotonic()
        load.stop()
        os.kill(server.process_id, signal.SIGKILL)
        return {
            "before": load.milliseconds(begun, started),
            "first_half": {"seconds": round(half - started, 2), **load.milliseconds(started, half)},
            "failed": load.failed,
            "written": load.written,
        }


def second_half(server: Server, first: dict[str, Any]) -> dict[str, Any]:
    """Goes on under load until the switch, and back again; then looks for every write."""
    with akin.Client(server.address, timeout_seconds=60) as client:
        load = Load(server.address, 1_000_000)
        started = time.monotonic()
        poll(lambda: client.get_reembedding().state == pb.REEMBEDDING_STATE_SERVING)
        switched = time.monotonic()
        time.sleep(PHASE_SECONDS)
        back = time.monotonic()
        client.cancel_reembedding()
        space = client.get_catalog().space.model
        back_ms = 1000 * (time.monotonic() - back)
        time.sleep(PHASE_SECONDS)
        load.stop()
        written = first["written"] | load.written
        lost = [each for each, text in written.items() if not found(client, each, text)]
    return {
        "second_half": {
            "seconds": round(switched - started, 2),
            **load.milliseconds(started, switched),
        },
        "around_the_switch": load.milliseconds(switched - 0.5, switched + 0.5),
        "after": load.milliseconds(switched, back),
        "back_ms": round(back_ms, 1),
        "back_to": space,
        "failed_calls": len(first["failed"] + load.failed),
        "reads": len(load.reads),
        "writes": len(written),
        "writes_lost": len(lost),
    }


def found(client: akin.Client, item_id: str, text: str) -> bool:
    """Whether an item is there and is found by its own text."""
    hits = client.recommend_similar(text=text, limit=1).recommendations
    return client.get_item(item_id).text == text and [item_id] == [each.item_id for each in hits]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=Path)
    parser.add_argument("--milliseconds", type=float, default=80.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    items = packages(3_000)
    if options.items is not None:
        items = [json.loads(line) for line in options.items.read_text().splitlines()]
    with scripted_provider(options.milliseconds) as url, tempfile.TemporaryDirectory() as folder:
        settings = {
            "AKIN_EMBEDDER": "openai",
            "AKIN_EMBEDDING_BASE_URL": url,
            "AKIN_EMBEDDING_MODEL": "scripted",
            "AKIN_EMBEDDING_BATCH_TEXTS": str(BATCH_TEXTS),
        }
        with akin_server(Path(folder), **settings) as server:
            first = first_half(server, items)
        with akin_server(Path(folder), **settings) as server:
            second = second_half(server, first)
        repeated = asked(url, "/repeated")
    kept = {name: first[name] for name in ("before", "first_half")}
    result = {"items": len(items), **kept, **second, "texts_paid_for_twice": repeated}
    print(json.dumps(result, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
