"""How concurrent writes share requests to a slow provider.

    python bench/provider.py [--items N] [--milliseconds M] [--json]

Stores distinct texts all at once, and some one at a time, through a real server and a provider on
loopback that takes a given number of milliseconds for each request; then imports the same items
again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import akin
from servers import akin_server

HERE = Path(__file__).resolve().parent
ALONE = 40
BATCH_TEXTS = 64


@contextmanager
def scripted_provider(milliseconds: float) -> Iterator[str]:
    """Runs the provider; yields its API's base URL."""
    process = subprocess.Popen(
        [sys.executable, HERE / "scripted_provider.py", str(milliseconds)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.wait()


def requests(url: str) -> int:
    """How many requests the provider has had."""
    with urllib.request.urlopen(url.removesuffix("/api/v1") + "/count") as answer:  # noqa: S310
        return int(answer.read())


async def measure(address: str, url: str, items: int) -> dict[str, float]:
    """Writes, and counts requests and seconds."""
    async with akin.AsyncClient(address, timeout_seconds=60) as client:
        await client.upsert_item("warm", "the first call of all")
        before, started = requests(url), time.perf_counter()
        for number in range(ALONE):
            await client.upsert_item(f"alone-{number}", f"a text of its own, number {number}")
        alone_seconds = (time.perf_counter() - started) / ALONE * items
        alone_requests = requests(url) - before

        texts = {f"together-{n}": f"a text among others, number {n}" for n in range(items)}
        before, started = requests(url), time.perf_counter()
        await asyncio.gather(*(client.upsert_item(*each) for each in texts.items()))
        together_seconds = time.perf_counter() - started
        together_requests = requests(url) - before

        before = requests(url)
        again = [akin.item(*each) for each in texts.items()]
        failed = [each async for each in client.import_items(again) if each.code]
        assert not failed
    return {
        "items": items,
        "one_at_a_time_requests_for_40": alone_requests,
        "one_at_a_time_seconds": round(alone_seconds, 2),
        "together_requests": together_requests,
        "together_seconds": round(together_seconds, 2),
        "speed_up": round(alone_seconds / together_seconds, 1),
        "imported_again_requests": requests(url) - before,
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--milliseconds", type=float, default=80.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with scripted_provider(options.milliseconds) as url:
        settings = {
            "AKIN_EMBEDDER": "openai",
            "AKIN_EMBEDDING_BASE_URL": url,
            "AKIN_EMBEDDING_MODEL": "scripted",
            "AKIN_EMBEDDING_BATCH_TEXTS": str(BATCH_TEXTS),
        }
        with akin_server(None, **settings) as (address, *_):
            result = asyncio.run(measure(address, url, options.items))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"A provider that takes {options.milliseconds:g} ms, {BATCH_TEXTS} texts in a batch\n")
    for name, value in result.items():
        print(f"{name.replace('_', ' '):32}{value:>10}")


if __name__ == "__main__":
    main()
