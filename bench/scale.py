"""How Akin grows: import, memory, restart, queries, filters and writes, at several sizes.

    python bench/scale.py [--items 10000,100000] [--json FILE] [--plot FILE]

Items are real package descriptions (see texts.py). Recall is by score, against `exact=true` of the
same server. Latencies are of one caller at a time, through gRPC, client and server on one machine.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import akin
import charts
import numpy as np
import texts
from akin import filters
from servers import akin_server, resident_bytes

SELECTIVITIES = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0001)
QUERIES = 300
LIMIT = 10
WRITE_SHARE = 0.1
DIMENSIONS = 256
CALM_POLLS = 10

Result = dict[str, Any]


def percentiles(seconds: Sequence[float]) -> Result:
    """p50, p95 and p99 in milliseconds."""
    return {
        f"p{percent}_ms": round(float(np.percentile(seconds, percent)) * 1e3, 3)
        for percent in (50, 95, 99)
    }


def timed(ask: Callable[[Any], object], asked: Sequence[Any]) -> Result:
    """Asks for each, after a few to warm up, and tells how long it took."""
    for each in asked[:10]:
        ask(each)
    seconds = []
    for each in asked:
        started = time.perf_counter()
        ask(each)
        seconds.append(time.perf_counter() - started)
    return percentiles(seconds)


def recall(client: akin.Client, asked: Sequence[dict[str, Any]]) -> float:
    """The share of the best ten, by score, that the usual answer has."""
    shares = []
    for arguments in asked:
        exact = client.recommend_similar(**arguments, limit=LIMIT, exact=True).recommendations
        usual = client.recommend_similar(**arguments, limit=LIMIT).recommendations
        if exact:
            found = sum(hit.score >= exact[-1].score - 1e-6 for hit in usual)
            shares.append(found / len(exact))
    return round(float(np.mean(shares)), 4)


def settled(client: akin.Client, folder: Path) -> None:
    """Waits until the index has built what it has to build, and has written a snapshot."""
    calm = 0
    while calm < CALM_POLLS:
        time.sleep(0.5)
        index = client.get_catalog().index
        saved = (folder / "index/default/manifest.json").exists()
        calm = calm + 1 if saved and not index.building else 0


def imported(client: akin.Client, items: Sequence[dict[str, Any]]) -> Result:
    """Imports all items; items per second, durable and found."""
    messages = (akin.item(each["id"], each["text"], each["attributes"]) for each in items)
    started = time.perf_counter()
    failed = sum(result.code != 0 for result in client.import_items(messages))
    assert not failed
    return {"items_per_second": round(len(items) / (time.perf_counter() - started))}


def filtered(client: akin.Client, items: Sequence[dict[str, Any]]) -> list[Result]:
    """Latency and recall by the share of items that a filter keeps."""
    sizes = np.sort([each["attributes"]["size_kb"] for each in items])
    asked = random.Random(3).sample(list(items), QUERIES)
    rows = []
    for selectivity in SELECTIVITIES:
        bound = float(sizes[min(int(selectivity * len(sizes)), len(sizes) - 1)])
        where = None if selectivity == 1.0 else filters.between("size_kb", lte=bound)
        kept = client.list_items(1, where=where).total_size

        def ask(item: dict[str, Any], where: akin.Condition | None = where) -> None:
            client.recommend_similar(item_id=item["id"], limit=LIMIT, where=where)

        wanted = [{"item_id": each["id"], "where": where} for each in asked[:100]]
        rows.append({"kept": kept, **timed(ask, asked), "recall": recall(client, wanted)})
    return rows


def mixed(client: akin.Client, address: str, items: Sequence[dict[str, Any]]) -> Result:
    """Reads alone, then with a tenth as many writes by another caller who looks for them."""
    asked = random.Random(4).sample(list(items), QUERIES)

    def ask(item: dict[str, Any]) -> None:
        client.recommend_similar(item_id=item["id"], limit=LIMIT)

    alone = timed(ask, asked)
    done, writes, unseen = threading.Event(), 0, 0

    def write() -> None:
        nonlocal writes, unseen
        with akin.Client(address) as writer:
            while not done.is_set():
                item = asked[writes % len(asked)]
                stored = writer.upsert_item(
                    item["id"], f"{item['text']} revision {writes}", item["attributes"]
                )
                answer = writer.recommend_similar(
                    text=f"{item['text']} revision {writes}",
                    limit=1,
                    min_sequence=stored.item.sequence,
                )
                unseen += answer.recommendations[0].item_id != item["id"]
                writes += 1
                pause = alone["p50_ms"] / 1e3 * (1 / WRITE_SHARE - 1)
                done.wait(pause)

    thread = threading.Thread(target=write)
    thread.start()
    together = timed(ask, asked * 3)
    done.set()
    thread.join()
    return {
        "read_only": alone,
        "with_writes": together,
        "writes": writes,
        "writes_not_seen": unseen,
        "p95_ratio": round(together["p95_ms"] / alone["p95_ms"], 2),
    }


def restarted(folder: Path) -> float:
    """Seconds from the first line of the log to the one that says that it serves."""
    with akin_server(folder) as server:
        return server.seconds_to_serve


def measured(count: int) -> Result:
    """Everything at one size."""
    items = texts.items(count)
    result: Result = {"items": len(items)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with akin_server(folder) as server, akin.Client(server.address) as client:
            result["import"] = imported(client, items)
            started = time.perf_counter()
            settled(client, folder)
            result["settled_after_s"] = round(time.perf_counter() - started, 1)
            asked = random.Random(2).sample(items, QUERIES)
            result["item_query"] = timed(
                lambda item: client.recommend_similar(item_id=item["id"], limit=LIMIT), asked
            )
            result["text_query"] = timed(
                lambda item: client.recommend_similar(text=item["text"], limit=LIMIT), asked
            )
            result["item_recall"] = recall(client, [{"item_id": each["id"]} for each in asked])
            result["text_recall"] = recall(client, [{"text": each["text"]} for each in asked])
            result["filtered"] = filtered(client, items)
            result["mixed"] = mixed(client, server.address, items)
            settled(client, folder)
        with akin_server(folder) as server, akin.Client(server.address) as client:
            result["restart_s"] = server.seconds_to_serve
            memory = resident_bytes(server.process_id)
            result["bytes_per_item"] = round(memory / len(items))
            result["raw_vector_bytes_per_item"] = 4 * DIMENSIONS
        shutil.rmtree(folder / "index")
        result["rebuild_s"] = restarted(folder)
    return result


def show(result: Result) -> None:
    """Prints one size for people."""
    print(f"\n{result['items']} items")
    print(f"  import: {result['import']['items_per_second']} items/s")
    print(f"  graphs and lists built after {result['settled_after_s']} s more")
    for kind in ("item", "text"):
        times = result[f"{kind}_query"]
        print(f"  query by {kind}: {times}, recall {result[f'{kind}_recall']}")
    print("  filtered:")
    for row in result["filtered"]:
        print(f"    keeps {row['kept']:>8}: p50 {row['p50_ms']} p95 {row['p95_ms']} ms, "
              f"recall {row['recall']}")  # fmt: skip
    print(f"  mixed: {result['mixed']}")
    print(f"  restart {result['restart_s']} s, rebuild {result['rebuild_s']} s")
    print(f"  memory after restart: {result['bytes_per_item']} bytes an item, "
          f"of which {result['raw_vector_bytes_per_item']} are its vector")  # fmt: skip


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", default="10000,100000")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    results = []
    for count in map(int, options.items.split(",")):
        results.append(measured(count))
        show(results[-1])
        if options.json:
            options.json.write_text(json.dumps(results, indent=2) + "\n")
        if options.plot:
            charts.scale(options.plot, results)


if __name__ == "__main__":
    main()
