"""The time of a batch of queries as a share of that of the same calls one after the other.

    python bench/batches.py [--items FILE] [--rounds N]

Both take turns on one server, so that they see the same noise; medians are shown.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import akin
from servers import akin_server
from smoke import FILMS, SAMPLE, fill

QUERIES = 100
LIKES = 20
ROUNDS = 15

Options = akin.options.RecommendSimilarOptions


def measure_seconds(work: Callable[[], object]) -> float:
    """Return how long work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def recommend_each(client: akin.Client, queries: Sequence[Options]) -> None:
    """Call for each query, one after the other."""
    for query in queries:
        client.recommend_similar(**query)


def compare(client: akin.Client, make_queries: Callable[[], Sequence[Options]], rounds: int) -> str:
    """Return the medians for batches and for single calls, each round with queries of its own."""
    batches, singles = [], []
    for _ in range(rounds):
        queries = make_queries()
        batches.append(measure_seconds(partial(client.batch_recommend, queries)))
        singles.append(measure_seconds(partial(recommend_each, client, make_queries())))
    batch, single = median(batches), median(singles)
    return f"{1000 * batch:.0f} ms, one by one {1000 * single:.0f} ms, ratio {batch / single:.2f}"


def main() -> None:
    """Measure batches of each kind of source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=Path, default=FILMS if FILMS.exists() else SAMPLE)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    with akin_server(AKIN_EMBEDDER="local") as server, akin.Client(server.address) as client:
        fill(server.address, options.items)
        ids = [item.item_id for item in client.list_items(page_size=1_000).items]
        pick = random.Random(1)
        for number in range(QUERIES):
            client.upsert_user(f"user {number}", liked_items=pick.sample(ids, LIKES))
        kinds: dict[str, Callable[[], Sequence[Options]]] = {
            "items": lambda: [{"item_id": item_id} for item_id in pick.sample(ids, QUERIES)],
            "users": lambda: [{"user_id": f"user {number}"} for number in range(QUERIES)],
            "users, whole items": lambda: [
                {"user_id": f"user {number}", "full": True} for number in range(QUERIES)
            ],
            "new texts": lambda: [{"text": f"a film {pick.random()}"} for _ in range(QUERIES)],
        }
        for kind, make_queries in kinds.items():
            print(f"{QUERIES} {kind}: {compare(client, make_queries, options.rounds)}")


if __name__ == "__main__":
    main()
