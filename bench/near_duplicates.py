"""How long FindDuplicates takes over a large catalog, and what it finds of what there is.

    python bench/near_duplicates.py [--items N] [--sample N] [--json FILE]

Imports real package descriptions into a real server and asks it for all duplicates, once right
after the import and once the index has settled. What it finds is compared with brute force: for a
sample of the items all others with at least the cosine and the wording that make a duplicate.
While it works, recommendations are asked for one after another, to see how long they take.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import akin
import grpc
import hotpath
import numpy as np
import texts
from akin.v1 import analysis_service_pb2 as pb
from akin.v1 import analysis_service_pb2_grpc
from servers import akin_server

from service.analysis.duplicates import MAX_RARITY_TEXTS
from service.domain.analyses import DEFAULT_MIN_SIMILARITY
from service.domain.shingles import ShingleRarity, Shingles

TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.5
CALM_POLLS = 10

Items = list[dict[str, Any]]
Result = dict[str, Any]


def brute_force(items: Items, sample: int) -> dict[str, set[str]]:
    """By item of a sample, all others that repeat it."""
    found = [str(each["text"]) for each in items]
    vectors = hotpath.vectors_of(found)
    drawn = random.Random(1)
    rarity = ShingleRarity(
        Shingles(text) for text in drawn.sample(found, min(MAX_RARITY_TEXTS, len(found)))
    )
    repeated = {}
    for row in drawn.sample(range(len(items)), sample):
        near = np.flatnonzero(vectors @ vectors[row] >= DEFAULT_MIN_SIMILARITY - 1e-6)
        others = [int(each) for each in near if each != row]
        same = rarity.are_near_duplicates(
            Shingles(found[row]), [Shingles(found[each]) for each in others]
        )
        ids = {items[each]["id"] for each, yes in zip(others, same, strict=True) if yes}
        repeated[str(items[row]["id"])] = ids
    return repeated


def agreement(groups: Sequence[Sequence[str]], expected: dict[str, set[str]]) -> Result:
    """How far groups agree with brute force.

    What share of its pairs are in one group, and of the items what share is in a group exactly
    where it has a duplicate.
    """
    place = {item_id: number for number, group in enumerate(groups) for item_id in group}
    pairs = [(one, other) for one, others in expected.items() for other in others]
    together = sum(
        one in place and other in place and place[one] == place[other] for one, other in pairs
    )
    alike = sum((item_id in place) == bool(others) for item_id, others in expected.items())
    return {
        "pairs": len(pairs),
        "pairs_found": round(together / max(len(pairs), 1), 4),
        "items_agreed": round(alike / max(len(expected), 1), 4),
    }


@contextmanager
def recommending(client: akin.Client, ids: Sequence[str]) -> Iterator[list[float]]:
    """Asks for recommendations all the while; yields the milliseconds that each took."""
    took: list[float] = []
    over = threading.Event()
    drawn = random.Random(2)

    def ask() -> None:
        while not over.is_set():
            started = time.perf_counter()
            client.recommend_similar(item_id=drawn.choice(ids), limit=10)
            took.append((time.perf_counter() - started) * 1e3)
            over.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()


def asked(address: str, client: akin.Client, ids: Sequence[str]) -> tuple[Result, list[list[str]]]:
    """One call: how long it took, what it found, and how recommendations went meanwhile."""
    with grpc.insecure_channel(address) as channel, recommending(client, ids) as took:
        stub = analysis_service_pb2_grpc.AnalysisServiceStub(channel)
        started = time.perf_counter()
        request = pb.FindDuplicatesRequest()
        replies = list(stub.FindDuplicates(request, timeout=TIMEOUT_SECONDS))
        seconds = time.perf_counter() - started
    groups = [
        [each.item_id for each in group.items] for one in replies for group in one.groups.groups
    ]
    return {
        "seconds": round(seconds, 2),
        "replies": len(replies),
        "sampled": replies[-1].groups.coverage.sampled,
        "groups": len(groups),
        "items_in_groups": sum(map(len, groups)),
        "largest_group": max(map(len, groups), default=0),
        "recommend_p50_ms": round(float(np.percentile(took, 50)), 2),
        "recommend_p99_ms": round(float(np.percentile(took, 99)), 2),
    }, groups


def settle(client: akin.Client) -> None:
    """Waits until the index has nothing more to build."""
    calm = 0
    while calm < CALM_POLLS:
        time.sleep(POLL_SECONDS)
        calm = 0 if client.get_catalog().index.building else calm + 1


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=63_000)
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    items = texts.items(options.items)
    ids = [str(each["id"]) for each in items]
    with akin_server() as server, akin.Client(server.address) as client:
        each_item = (akin.item(each["id"], each["text"], each["attributes"]) for each in items)
        assert not [each for each in client.import_items(each_item) if each.code]
        fresh, _ = asked(server.address, client, ids)
        settle(client)
        settled, groups = asked(server.address, client, ids)
    result = {
        "items": len(items),
        "after_import": fresh,
        "settled": settled,
        "brute_force": agreement(groups, brute_force(items, options.sample)),
    }
    print(f"FindDuplicates over {len(items):,} items\n")
    print(f"{'':24}{'after import':>14}{'settled':>14}")
    for name in fresh:
        print(f"{name.replace('_', ' '):24}{fresh[name]!s:>14}{settled[name]!s:>14}")
    print(f"\nagainst brute force, {options.sample} items: {result['brute_force']}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
