"""How calls, memory, imports and restarts change with the number of items.

    python bench/growth.py [--items 1000,3000,10000,…] [--seconds S] [--rounds R]
                           [--concurrency 16] [--data FOLDER] [--json FILE] [--plot FILE]

At each size, a new server imports real texts and builds its index. Then RecommendSimilar by random
item, by a text that is embedded, and by random item with one caller take turns with the bare
handler of bare.py.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import charts
from akin.v1 import recommender_service_pb2 as pb
from servers import Server, akin_server, resident_bytes
from smoke import bare_server
from throughput import LIMIT, METHOD, Generator, Result, import_items, numbered

SIZES = "1000,3000,10000,20000,50000,100000"
REQUESTS = 5_000
HEADING = (
    f"{'items':>10}{'item/bare':>11}{'text/bare':>11}{'calls/s':>9}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'items/s':>9}{'built s':>9}{'MB':>7}{'restart s':>11}{'MB':>7}"
)
TEXT_WORDS = 12


def write_requests(folder: Path, items: Sequence[Result]) -> dict[str, Generator]:
    """Return the load by item and by text; each text is another one."""
    drawn = random.Random(7)
    chosen = [drawn.choice(items) for _ in range(REQUESTS)]
    texts = (
        " ".join([*each["text"].split()[:TEXT_WORDS], str(number)])
        for number, each in enumerate(chosen)
    )
    requests = {
        "item": [pb.RecommendSimilarRequest(item_id=each["id"], limit=LIMIT) for each in chosen],
        "text": [pb.RecommendSimilarRequest(text=text, limit=LIMIT) for text in texts],
    }
    return {
        name: Generator.built(
            folder / name, (each.SerializeToString() for each in messages), f"-method={METHOD}"
        )
        for name, messages in requests.items()
    }


def compare(
    loads: dict[str, Generator], server: Server, bare: str, options: argparse.Namespace
) -> Result:
    """Return calls per second of Akin by item and by text and of the bare handler, in turns."""
    callers = int(options.concurrency)
    turns = {
        "item": (loads["item"], server.address),
        "text": (loads["text"], server.address),
        "bare": (loads["item"], bare),
    }
    rounds: dict[str, list[Result]] = {name: [] for name in turns}
    single: list[Result] = []
    for _ in range(options.rounds):
        for name, (generator, address) in turns.items():
            rounds[name].append(generator.run(address, options.seconds, concurrency=callers))
        single.append(loads["item"].run(server.address, options.seconds, concurrency=1))
    calls = {name: [each["calls_per_second"] for each in found] for name, found in rounds.items()}
    return {
        **{f"{name}_calls_per_second": round(median(found)) for name, found in calls.items()},
        "item_over_bare": _median_ratio(calls["item"], calls["bare"]),
        "text_over_bare": _median_ratio(calls["text"], calls["bare"]),
        "p50_ms": round(median(each["p50_ms"] for each in single), 2),
        "p99_ms": round(median(each["p99_ms"] for each in single), 2),
    }


def _median_ratio(ours: Sequence[float], bare: Sequence[float]) -> float:
    return round(median(one / other for one, other in zip(ours, bare, strict=True)), 3)


def measure(count: int, options: argparse.Namespace) -> Result:
    """Return all figures of one size."""
    items = numbered(count)
    result: Result = {"items": count}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        loads = write_requests(folder, items)
        data = (options.data or folder) / str(count)
        data.mkdir(parents=True)
        with akin_server(data, AKIN_EMBEDDER="local") as server, bare_server() as (bare, _):
            result["import"] = import_items(server.address, items)
            result["resident_mb"] = round(resident_bytes(server.process_id) / 1e6)
            result |= compare(loads, server, bare, options)
        with akin_server(data, AKIN_EMBEDDER="local") as server:
            result["restart_seconds"] = server.seconds_to_serve
            result["restarted_mb"] = round(resident_bytes(server.process_id) / 1e6)
    return result


def show(row: dict[str, Any]) -> None:
    """Print one row of the table for people."""
    imported = row["import"]
    print(
        f"{row['items']:>10,}{row['item_over_bare']:>11}{row['text_over_bare']:>11}"
        f"{row['item_calls_per_second']:>9,}{row['p50_ms']:>8}{row['p99_ms']:>8}"
        f"{imported['items_per_second']:>9,}{imported['seconds_until_settled']:>9}"
        f"{row['resident_mb']:>7,}{row['restart_seconds']:>11.1f}{row['restarted_mb']:>7,}",
        flush=True,
    )


def main() -> None:
    """Measure, and print the table after each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", default=SIZES)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", default="16", help="callers")
    parser.add_argument("--data", type=Path, help="keep Akin's data here, a folder for each size")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    results: list[Result] = []
    print(HEADING)
    for count in map(int, options.items.split(",")):
        results.append(measure(count, options))
        show(results[-1])
        if options.json:
            options.json.write_text(json.dumps(results, indent=2) + "\n")
        if options.plot:
            charts.growth(options.plot, results)


if __name__ == "__main__":
    main()
