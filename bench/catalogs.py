"""What many catalogs take: memory, threads, open files, start time, idle CPU and delay of calls.

    python bench/catalogs.py [--catalogs 1,100,1000] [--items N] [--idle SECONDS]

Each number of catalogs has a server of its own, which is measured before and after a restart.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import akin
from process_usage import Usage, measure
from servers import Server, akin_server

CALLS = 200

# The time after the last write in which an index builds and saves what it needs.
SETTLING_SECONDS = 10.0


def read_processor_seconds(process_id: int) -> float:
    """Return the time that a process has used a processor."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_idle(server: Server, seconds: float) -> float:
    """Return the share of one processor that a server uses while nobody calls, in percent."""
    before = read_processor_seconds(server.process_id)
    time.sleep(seconds)
    return 100 * (read_processor_seconds(server.process_id) - before) / seconds


def measure_calls(call: Callable[[akin.Client, str], object], server: Server, count: int) -> float:
    """Return the median duration of a call of one caller to random catalogs, in milliseconds."""
    pick, seconds = random.Random(1), []
    for _ in range(CALLS):
        name = f"catalog-{pick.randrange(count)}"
        with akin.Client(server.address, catalog=name) as client:
            client.get_item("0")
            started = time.perf_counter()
            call(client, name)
            seconds.append(time.perf_counter() - started)
    return 1000 * median(seconds)


def fill(server: Server, count: int, items: int) -> float:
    """Create catalogs with items; return the seconds for each."""
    started = time.perf_counter()
    with akin.Client(server.address) as client:
        for number in range(count):
            client.create_catalog(f"catalog-{number}")
            with akin.Client(server.address, catalog=f"catalog-{number}") as catalog:
                texts = (akin.item(str(item), f"item {item} of {number}") for item in range(items))
                assert all(result.code == 0 for result in catalog.import_items(texts))
    return (time.perf_counter() - started) / count


def describe(server: Server, folder: Path, idle_seconds: float, count: int) -> str:
    """Return the figures of a server with catalogs."""
    time.sleep(SETTLING_SECONDS)
    idle = measure_idle(server, idle_seconds)
    usage: Usage = measure(server.process_id, folder)
    write = measure_calls(lambda client, name: client.upsert_item("0", name), server, count)
    read = measure_calls(lambda client, _: client.recommend_similar(item_id="0"), server, count)
    return (
        f"rss {usage.rss:.0f} MiB, threads {usage.threads:.0f}, open files {usage.files:.0f}, "
        f"disk {usage.disk:.0f} MiB, idle {idle:.1f}% of a processor, "
        f"write {write:.1f} ms, recommendation {read:.1f} ms"
    )


def main() -> None:
    """Measure servers with each number of catalogs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--catalogs", default="1,100,1000")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--idle", type=float, default=20.0)
    options = parser.parse_args()
    for count in map(int, options.catalogs.split(",")):
        settings = {"AKIN_EMBEDDER": "local", "AKIN_MAX_CATALOGS": str(count + 1)}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with akin_server(folder, **settings) as server:
                seconds = fill(server, count, options.items)
                print(f"{count} catalogs of {options.items} items, {1000 * seconds:.0f} ms each")
                print(f"  filled: {describe(server, folder, options.idle, count)}", flush=True)
            with akin_server(folder, **settings) as server:
                figures = describe(server, folder, options.idle, count)
                print(f"  restarted in {server.seconds_to_serve:.1f} s: {figures}", flush=True)


if __name__ == "__main__":
    main()
