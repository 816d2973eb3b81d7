"""RecommendSimilar by an index in memory and by a shared one in Qdrant, in turns.

    python bench/shared_index.py --memory FOLDER --shared FOLDER [--seconds S]
                                 [--rounds R] [--concurrency 1,16] [--queries N] [--json FILE]

Both folders are data folders of servers with the same items, as filters.py and growth.py leave them
with --data; the catalog of the second one has a shared index, or changes to one first.
AKIN_QDRANT_URL says where Qdrant is. Recall@10 is by score, against `exact=true` of the index in
memory. The numbers of a filter are those of the attribute `chance` of filters.py.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from typing import Any

import akin
from akin import filters
from akin.v1 import catalog_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from filters import UNRELATED
from servers import akin_server, resident_bytes
from throughput import LIMIT, METHOD, SCORE_TOLERANCE, Generator, Result

SHARES = (0.5, 0.1, 0.01, 0.001)
PAGE_ITEMS = 1_000
PAGES = 5
TEXT_WORDS = 12
POLL_SECONDS = 0.5
MEMORY, SHARED = "memory", "shared"


def list_cases() -> dict[str, akin.Condition | None]:
    """Return what to filter by, by the names of the cases."""
    cases: dict[str, akin.Condition | None] = {"item": None, "text": None}
    for share in SHARES:
        cases[f"item, {share:.1%}"] = filters.between(UNRELATED, lte=share)
    return cases


def make_request(case: str, where: akin.Condition | None, item: Any) -> pb.RecommendSimilarRequest:  # noqa: ANN401
    """Return the request of a case for an item."""
    filter_ = None if where is None else filters.all_of(where)
    if case == "text":
        text = " ".join(item.text.split()[:TEXT_WORDS])
        return pb.RecommendSimilarRequest(text=text, limit=LIMIT, filter=filter_)
    return pb.RecommendSimilarRequest(item_id=item.item_id, limit=LIMIT, filter=filter_)


def draw_items(client: akin.Client) -> list[Any]:
    """Return items of the catalog in random order."""
    items: list[Any] = []
    token = ""
    for _ in range(PAGES):
        page = client.list_items(page_size=PAGE_ITEMS, page_token=token)
        items += page.items
        token = page.next_page_token
        if not token:
            break
    random.Random(8).shuffle(items)
    return items


def wait_until_shared(client: akin.Client) -> float:
    """Change the catalog to a shared index if it has another one; return the seconds it took."""
    started = time.perf_counter()
    kinds = catalog_service_pb2.IndexKind
    if client.get_catalog().index_kind != kinds.INDEX_KIND_SHARED:
        client.reindex(kinds.INDEX_KIND_SHARED)
    while client.get_catalog().index_kind != kinds.INDEX_KIND_SHARED:
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - started


def measure_recall(
    clients: dict[str, akin.Client], case: str, where: akin.Condition | None, items: Sequence[Any]
) -> dict[str, float]:
    """Return for each index the share of the best ten, by score, that it finds."""
    shares: dict[str, list[float]] = {name: [] for name in clients}
    for item in items:
        options: dict[str, Any] = {"limit": LIMIT, "where": where}
        source = make_request(case, None, item)
        options["text" if case == "text" else "item_id"] = source.text or source.item_id
        exact = clients[MEMORY].recommend_similar(**options, exact=True).recommendations
        if not exact:
            continue
        least = exact[-1].score - SCORE_TOLERANCE
        for name, client in clients.items():
            hits = client.recommend_similar(**options).recommendations
            shares[name].append(sum(hit.score >= least for hit in hits) / len(exact))
    return {name: round(mean(values), 4) for name, values in shares.items()}


def measure(options: argparse.Namespace) -> Result:
    """Return all figures."""
    levels = [int(level) for level in options.concurrency.split(",")]
    result: Result = {"callers": levels, "cases": {}}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {
            MEMORY: stack.enter_context(akin_server(options.memory, AKIN_EMBEDDER="local")),
            SHARED: stack.enter_context(
                akin_server(
                    options.shared,
                    AKIN_EMBEDDER="local",
                    AKIN_QDRANT_URL=os.environ["AKIN_QDRANT_URL"],
                )
            ),
        }
        clients = {
            name: stack.enter_context(akin.Client(server.address))
            for name, server in servers.items()
        }
        result["build_seconds"] = round(wait_until_shared(clients[SHARED]), 1)
        items = draw_items(clients[MEMORY])
        for case, where in list_cases().items():
            messages = (make_request(case, where, item).SerializeToString() for item in items)
            generator = Generator.built(folder / "requests", messages, f"-method={METHOD}")
            recall = measure_recall(clients, case, where, items[: options.queries])
            row: Result = {"recall": recall}
            result["cases"][case] = row
            for level in levels:
                rounds: dict[str, list[Result]] = {name: [] for name in servers}
                for _ in range(options.rounds):
                    for name, server in servers.items():
                        rounds[name].append(
                            generator.run(server.address, options.seconds, concurrency=level)
                        )
                row[str(level)] = {
                    name: {
                        figure: round(median(each[figure] for each in measured), 2)
                        for figure in ("calls_per_second", "p50_ms", "p95_ms")
                    }
                    for name, measured in rounds.items()
                }
            show(case, row, levels)
        for name, server in servers.items():
            result[f"{name}_resident_mb"] = round(resident_bytes(server.process_id) / 1e6)
    return result


def show(case: str, row: Result, levels: Sequence[int]) -> None:
    """Print the figures of a case for people."""
    cells = [f"{case:14}"]
    for level in map(str, levels):
        for name in (MEMORY, SHARED):
            figures = row[level][name]
            cells.append(f"{figures['calls_per_second']:>10,.0f}{figures['p95_ms']:>9.1f}")
    cells += [f"{row['recall'][name]:>9.4f}" for name in (MEMORY, SHARED)]
    sys.stdout.write("".join(cells) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memory", type=Path, required=True)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", default="1,16", help="callers")
    parser.add_argument("--queries", type=int, default=200, help="of the recall")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options)
    sys.stdout.write(json.dumps({key: result[key] for key in result if key != "cases"}) + "\n")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
