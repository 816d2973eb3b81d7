"""Calls per second of RecommendSimilar by random item, next to a bare handler in the same run.

    python bench/smoke.py [--items FILE] [--seconds S] [--json]

The two servers take turns, several rounds each, so that both see the same noise; medians are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from statistics import median

import akin
from akin.v1 import recommender_service_pb2 as pb
from load import Figures, run
from servers import akin_server

HERE = Path(__file__).resolve().parent
FILMS = HERE.parents[1] / "shared/data/movies/items.jsonl"
SAMPLE = HERE.parent / "service/cli/sample/books.jsonl"
ROUNDS = 5
CONCURRENCY = 32


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """Runs the bare handler; yields its address and process id."""
    process = subprocess.Popen(
        [sys.executable, HERE / "bare.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().decode().strip(), process.pid
    finally:
        process.stdin.close()
        process.wait()


def fill(address: str, path: Path) -> list[bytes]:
    """Imports items; returns one serialized request for each, in random order."""
    items = [json.loads(line) for line in path.read_text().splitlines()]
    with akin.Client(address) as client:
        messages = (akin.item(each["id"], each["text"], each["attributes"]) for each in items)
        failed = sum(result.code != 0 for result in client.import_items(messages))
    assert not failed
    requests = [
        pb.RecommendSimilarRequest(item_id=each["id"]).SerializeToString() for each in items
    ]
    random.Random(1).shuffle(requests)
    return requests


def middle(rounds: list[Figures]) -> Figures:
    """The median of each figure."""
    return Figures(
        **{
            each.name: round(median(getattr(stats, each.name) for stats in rounds), 3)
            for each in fields(Figures)
        }
    )


async def measure(path: Path, seconds: float) -> dict[str, object]:
    """Runs both servers and their rounds."""
    with akin_server() as (ours, our_id, *_), bare_server() as (bare, bare_id):
        requests = fill(ours, path)
        rounds: dict[str, list[Figures]] = {"akin": [], "bare": []}
        for _ in range(ROUNDS):
            rounds["akin"].append(await run(ours, our_id, requests, CONCURRENCY, seconds))
            rounds["bare"].append(await run(bare, bare_id, requests, CONCURRENCY, seconds))
    akin_figures, bare_figures = middle(rounds["akin"]), middle(rounds["bare"])
    return {
        "items": len(requests),
        "concurrency": CONCURRENCY,
        "akin": asdict(akin_figures),
        "bare": asdict(bare_figures),
        "ratio_calls": round(akin_figures.calls_per_second / bare_figures.calls_per_second, 3),
        "ratio_cpu": round(
            bare_figures.server_cpu_us_per_call / akin_figures.server_cpu_us_per_call, 3
        ),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=Path, default=FILMS if FILMS.exists() else SAMPLE)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = asyncio.run(measure(options.items, options.seconds))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    print(f"RecommendSimilar by random item, {result['items']} items from {options.items.name}")
    print(f"{CONCURRENCY} concurrent callers, median of {ROUNDS} rounds of {options.seconds} s\n")
    print(f"{'':24}{'akin':>10}{'bare':>10}")
    for each in fields(Figures):
        row = [result[server][each.name] for server in ("akin", "bare")]  # type: ignore[index]
        print(f"{each.name:24}{row[0]:>10}{row[1]:>10}")
    print(f"\nakin / bare, calls per second: {result['ratio_calls']}")
    print(f"bare / akin, server CPU time per call: {result['ratio_cpu']}")


if __name__ == "__main__":
    main()
