"""What learning costs a server: recording, training, and reads before, during and after it.

    python bench/learning.py [--items N] [--likes N] [--json FILE]

Items are package descriptions (see texts.py), and interactions are generated (see interactions.py):
their clusters have nothing to do with the texts. One caller reads, for random people and items. The
catalog learns nothing (signals: text) until all interactions are recorded.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import akin
import interactions
import numpy as np
import texts
from servers import akin_server, resident_bytes

from service.recommend.collaborative.histories import Histories

READS = 300
LIMIT = 20
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
POLL_SECONDS = 0.25
QUIET_SECONDS = 10.0

Figures = dict[str, Any]


def list_interactions(histories: Histories, ids: Sequence[str]) -> Iterator[akin.Interaction]:
    """Yield the likes of histories, an hour apart."""
    for person in range(histories.people_count):
        for place, number in enumerate(histories.get_items(person).tolist()):
            at = FIRST_DAY + timedelta(hours=place)
            yield akin.interaction(f"user-{person}", ids[number], "LIKE", at)


def measure_reads(read: Callable[[int], object], stop: Callable[[], bool]) -> Figures:
    """Read READS times, and again until `stop` returns true; return percentiles.

    The first READS calls, for which the server reads each person from the disk, do not count.
    """
    for number in range(READS):
        read(number)
    seconds: list[float] = []
    while len(seconds) < READS or not stop():
        for number in range(READS):
            started = time.perf_counter()
            read(number)
            seconds.append(time.perf_counter() - started)
    return {
        "reads": len(seconds),
        **{
            f"p{percent}_ms": round(float(np.percentile(seconds, percent)) * 1e3, 2)
            for percent in (50, 95, 99)
        },
    }


def make_readers(
    client: akin.Client, histories: Histories, ids: Sequence[str]
) -> dict[str, Callable[[int], object]]:
    """Return what reads for a user and for an item, by name."""
    rng = random.Random(1)
    people = rng.choices(range(histories.people_count), k=READS)
    items = rng.choices(ids, k=READS)
    return {
        "user": lambda number: client.recommend_similar(
            user_id=f"user-{people[number % READS]}", limit=LIMIT
        ),
        "item": lambda number: client.recommend_similar(item_id=items[number % READS], limit=LIMIT),
    }


def wait_for_graphs(client: akin.Client) -> None:
    """Wait until the server has built nothing for QUIET_SECONDS."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_SECONDS:
        if client.get_catalog().index.building:
            quiet_since = time.monotonic()
        time.sleep(POLL_SECONDS)


def has_learned(client: akin.Client, like_count: int) -> bool:
    """Return whether the catalog has learned from all likes."""
    return bool(client.get_catalog().behavior_model.like_count == like_count)


def run(client: akin.Client, process_id: int, item_count: int, like_count: int) -> Figures:
    """Measure and return the figures."""
    figures: Figures = {}
    items = texts.items(item_count)
    for _ in client.import_items(
        akin.item(str(item["id"]), item["text"], item["attributes"]) for item in items
    ):
        pass
    wait_for_graphs(client)
    ids = [str(item["id"]) for item in items]
    histories = interactions.generate(item_count, like_count)
    client.update_catalog(signals=akin.SignalMode.SIGNAL_MODE_TEXT)
    started = time.perf_counter()
    recorded = sum(
        response.recorded_count
        for response in client.import_interactions(list_interactions(histories, ids))
    )
    figures["recorded a second"] = round(recorded / (time.perf_counter() - started))
    readers = make_readers(client, histories, ids)
    for name, read in readers.items():
        figures[f"{name}, text"] = measure_reads(read, lambda: True)
    figures["before, MB"] = resident_bytes(process_id) // 10**6
    started = time.perf_counter()
    client.update_catalog(signals=akin.SignalMode.SIGNAL_MODE_BEHAVIOR)
    is_done = partial(has_learned, client, recorded)
    figures["user, during training"] = measure_reads(readers["user"], is_done)
    figures["trained within, s"] = round(time.perf_counter() - started, 1)
    time.sleep(3)
    for name, read in readers.items():
        figures[f"{name}, text and behavior"] = measure_reads(read, lambda: True)
    client.update_catalog(signals=akin.SignalMode.SIGNAL_MODE_TEXT)
    figures["user, text again"] = measure_reads(readers["user"], lambda: True)
    figures["after, MB"] = resident_bytes(process_id) // 10**6
    model = client.get_catalog().behavior_model
    figures["likes"], figures["learned items"] = model.like_count, model.item_count
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--likes", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with akin_server() as server, akin.Client(server.address) as client:
        figures = run(client, server.process_id, options.items, options.likes)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
