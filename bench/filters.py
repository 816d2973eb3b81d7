"""RecommendSimilar by random item with filters that keep from a half to a thousandth of the items.

    python bench/filters.py [--items N] [--seconds S] [--concurrency 1,16] [--rounds R]
                            [--data FOLDER] [--json FILE]

A filter keeps a range of one attribute: of a random number, which says nothing about the text, or
of the size of the package, which is related to its subject. All filters and the calls without one
take turns under the same load. Recall@10 is by score, against `exact=true` of the same server.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import akin
import numpy as np
from akin import filters
from akin.v1 import recommender_service_pb2 as pb
from throughput import (
    LIMIT,
    METHOD,
    SCORE_TOLERANCE,
    Generator,
    Result,
    arguments,
    filled_server,
    numbered,
)

SHARES = (0.5, 0.2, 0.1, 0.05, 0.01, 0.001)
UNRELATED, RELATED = "chance", "size_kb"
ALL = "all"
RECALL_QUERIES = 200


@dataclass(frozen=True)
class Filtered:
    """A filter by its name, and how many items it keeps."""

    name: str
    where: akin.Condition | None
    kept: int


def with_chance(items: Sequence[Result]) -> list[Result]:
    """Add an attribute to each item that has nothing to do with its text."""
    drawn = random.Random(5)
    return [
        {**each, "attributes": {**each["attributes"], UNRELATED: drawn.random()}} for each in items
    ]


def list_filters(items: Sequence[Result]) -> list[Filtered]:
    """Return no filter, and those that keep a share of the items by either attribute."""
    found = [Filtered(ALL, None, len(items))]
    for attribute in (UNRELATED, RELATED):
        values = np.sort([each["attributes"][attribute] for each in items])
        for share in SHARES:
            bound = float(values[int(share * len(values))])
            kept = int(np.searchsorted(values, bound, "right"))
            where = filters.between(attribute, lte=bound)
            found.append(Filtered(f"{attribute} {share:g}", where, kept))
    return found


def write_requests(folder: Path, ids: Sequence[str], cases: Sequence[Filtered]) -> list[Generator]:
    """Return a load generator for each filter."""
    generators = []
    for number, case in enumerate(cases):
        messages = (
            pb.RecommendSimilarRequest(
                item_id=each, limit=LIMIT, filter=filters.all_of(case.where) if case.where else None
            ).SerializeToString()
            for each in ids
        )
        generators.append(
            Generator.built(folder / f"requests{number}", messages, f"-method={METHOD}")
        )
    return generators


def measure_recall(client: akin.Client, ids: Sequence[str], case: Filtered) -> float:
    """Return the share of the best ten, by score, that usual responses have."""
    shares = []
    for each in ids:
        asked: dict[str, Any] = {"item_id": each, "limit": LIMIT, "where": case.where}
        exact = client.recommend_similar(**asked, exact=True).recommendations
        usual = client.recommend_similar(**asked).recommendations
        if exact:
            least = exact[-1].score - SCORE_TOLERANCE
            shares.append(sum(hit.score >= least for hit in usual) / len(exact))
    return round(mean(shares), 4)


def measure(options: argparse.Namespace) -> Result:
    """Import the items and measure each filter at each number of callers."""
    items = with_chance(numbered(options.items))
    ids = random.Random(6).sample([each["id"] for each in items], min(len(items), 5_000))
    cases = list_filters(items)
    levels = [int(each) for each in options.concurrency.split(",")]
    rows: list[Result] = [{"filter": case.name, "kept": case.kept} for case in cases]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generators = write_requests(folder, ids, cases)
        address, _ = stack.enter_context(filled_server(items, options.data))
        for level in levels:
            measured: list[list[Mapping[str, float]]] = [[] for _ in cases]
            for _ in range(options.rounds):
                for found, generator in zip(measured, generators, strict=True):
                    found.append(generator.run(address, options.seconds, concurrency=level))
            for row, found in zip(rows, measured, strict=True):
                row[f"{level}"] = {name: median(each[name] for each in found) for name in found[0]}
        with akin.Client(address) as client:
            for row, case in zip(rows, cases, strict=True):
                row["recall_at_10"] = measure_recall(client, ids[:RECALL_QUERIES], case)
    return {"items": len(items), "callers": levels, "filters": rows}


def show(result: Result) -> None:
    """Print the result for people."""
    print(f"RecommendSimilar by item, {result['items']:,} items, relative to calls without filter")
    heads = "".join(
        f"{f'{level} callers/s':>14}{'p50 ms':>8}{'p95 ms':>8}{'ratio':>7}"
        for level in result["callers"]
    )
    print(f"{'filter':14}{'kept':>10}{heads}{'recall':>8}")
    whole = result["filters"][0]
    for row in result["filters"]:
        cells = ""
        for level in map(str, result["callers"]):
            found = row[level]
            ratio = found["p95_ms"] / whole[level]["p95_ms"]
            cells += f"{found['calls_per_second']:>14,.0f}{found['p50_ms']:>8.2f}"
            cells += f"{found['p95_ms']:>8.2f}{ratio:>7.2f}"
        print(f"{row['filter']:14}{row['kept']:>10,}{cells}{row['recall_at_10']:>8.3f}")


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, 100_000, "1,16", 2.0)
    result = measure(options)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
