"""Writes and reads over PostgreSQL, next to the database file.

    python bench/postgres.py [--items N] [--texts FILE] [--seconds S] [--rounds R]
                             [--replicas N] [--json FILE]

Starts a PostgreSQL server with a fresh cluster that syncs each commit to the disk, a server of Akin
over it, and one over the database file, both with the embedded model. They take turns under the
same load, so that both see the same noise: parts of an import, single writes, and reads. At the
end, replicas over the same PostgreSQL server answer reads together, in turns with one of them. The
load generator is that of throughput.py.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import akin
from akin.v1 import recommender_service_pb2 as pb
from servers import akin_server
from support.postgres import PostgresServer
from throughput import Generator, Result, middle, settle

SERVICE = "/akin.v1.RecommenderService"
LIMIT = 10
PARTS = 9
USERS = 500
LIKES = 10
CALLERS = (1, 16, 64)
REPLICA_CALLERS = 12
WRITES_PER_SECOND = 4_000
VOCABULARY, TEXT_WORDS = 4_000, (20, 60)
SYLLABLES = [first + vowel for first in "bcdfghklmnprstvw" for vowel in "aeiou"]


def make_texts(seed: int) -> Iterator[str]:
    """Yields texts of made-up words, frequent and rare ones."""
    generator = random.Random(seed)
    words = ["".join(random.Random(n).choices(SYLLABLES, k=2 + n % 3)) for n in range(VOCABULARY)]
    while True:
        count = generator.randint(*TEXT_WORDS)
        numbers = (int(VOCABULARY * generator.random() ** 3) for _ in range(count))
        yield " ".join(words[number] for number in numbers)


def read_items(path: Path | None, count: int) -> list[Result]:
    """Items as `akin import` takes them, from a file of JSON lines or made up.

    If the file has fewer, its texts are repeated with a number.
    """
    if path is None:
        drawn = make_texts(1)
        return [
            {"id": f"item{n:06}", "text": next(drawn), "attributes": {"number": n}}
            for n in range(count)
        ]
    items = [json.loads(line) for line in path.read_text().splitlines()]
    rounds = -(-count // len(items))
    return [
        {**item, "id": f"{item['id']}-{n}", "text": f"{item['text']} {n or ''}"}
        for n in range(rounds)
        for item in items
    ][:count]


@dataclass(frozen=True)
class Contest:
    """Servers over both stores, which take turns."""

    addresses: Mapping[str, str]
    folder: Path
    seconds: float
    rounds: int

    def run(self, load: Callable[[str], Result]) -> Result:
        """The figures of each server, and the ratios of PostgreSQL's to SQLite's."""
        figures: dict[str, list[Result]] = {name: [] for name in self.addresses}
        for _ in range(self.rounds):
            for name, address in self.addresses.items():
                figures[name].append(load(address))
        result: Result = {name: middle(rounds) for name, rounds in figures.items()}
        for name, label in (("calls_per_second", "ratio_calls"), ("p50_ms", "ratio_p50")):
            pairs = zip(figures["postgres"], figures["sqlite"], strict=True)
            result[label] = round(median(one[name] / other[name] for one, other in pairs), 2)
        return result

    def import_items(self, items: Sequence[Result]) -> Result:
        """Imports the items into both, a part at a time."""
        size = -(-len(items) // PARTS)
        seconds = dict.fromkeys(self.addresses, 0.0)
        for start in range(0, len(items), size):
            for name, address in self.addresses.items():
                seconds[name] += import_part(address, items[start : start + size])
        result: Result = {name: round(len(items) / spent) for name, spent in seconds.items()}
        return {**result, "ratio": round(seconds["sqlite"] / seconds["postgres"], 2)}

    def write(self, callers: int) -> Result:
        """Upserts new items from a number of callers."""
        numbers = iter(range(1_000))

        def load(address: str) -> Result:
            # Each round has texts of its own, which both servers embed.
            number = next(numbers) // len(self.addresses)
            drawn = make_texts(1_000 * callers + number)
            items = (
                akin.item(f"new-{callers}-{number}-{n}", next(drawn))
                for n in range(int(WRITES_PER_SECOND * self.seconds))
            )
            messages = (pb.UpsertItemRequest(item=item).SerializeToString() for item in items)
            generator = Generator.built(
                self.folder / "writes", messages, f"-method={SERVICE}/UpsertItem"
            )
            return generator.run(address, self.seconds, concurrency=callers)

        return self.run(load)

    def read(self, generator: Generator) -> Result:
        """Reads from one caller."""
        return self.run(lambda address: generator.run(address, self.seconds, concurrency=1))


def import_part(address: str, items: Sequence[Result]) -> float:
    """Imports items; returns how long it took until they could be read."""
    with akin.Client(address) as client:
        messages = (akin.item(item["id"], item["text"], item["attributes"]) for item in items)
        started = time.perf_counter()
        failed = sum(result.code != 0 for result in client.import_items(messages))
        seconds = time.perf_counter() - started
    assert not failed
    return seconds


def import_users(address: str, items: Sequence[Result]) -> None:
    """Imports users who like some of the items."""
    generator = random.Random(2)
    users = [
        akin.user(f"user{n}", liked_items=[item["id"] for item in generator.sample(items, LIKES)])
        for n in range(USERS)
    ]
    with akin.Client(address) as client:
        assert not sum(result.code != 0 for result in client.import_users(users))


def settle_all(addresses: Iterable[str]) -> None:
    """Waits until no server builds graphs any more, which would take the others' processors."""
    for address in addresses:
        settle(address)


def compare_replicas(
    generator: Generator, addresses: Sequence[str], seconds: float, rounds: int
) -> Result:
    """Reads from the same number of callers, of one replica and of all together, in turns."""
    one, together = [], []
    with ThreadPoolExecutor(len(addresses)) as threads:

        def load(targets: Sequence[str]) -> float:
            callers = REPLICA_CALLERS // len(targets)
            runs = threads.map(
                lambda address: generator.run(address, seconds, concurrency=callers), targets
            )
            return float(sum(run["calls_per_second"] for run in runs))

        for _ in range(rounds):
            one.append(load(addresses[:1]))
            together.append(load(addresses))
    ratios = (both / single for both, single in zip(together, one, strict=True))
    return {
        "replicas": len(addresses),
        "callers": REPLICA_CALLERS,
        "one": round(median(one)),
        "together": round(median(together)),
        "ratio": round(median(ratios), 2),
    }


class Report(dict[str, Any]):
    """The figures; shows each one on stderr once it is measured."""

    def __setitem__(self, name: str, figures: Any) -> None:  # noqa: ANN401
        print(f"{name}: {figures}", file=sys.stderr, flush=True)
        super().__setitem__(name, figures)


def measure(options: argparse.Namespace) -> Result:
    """Runs the servers and their rounds."""
    items = read_items(options.texts, options.items)
    result = Report(items=len(items), rounds=options.rounds, seconds=options.seconds)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = PostgresServer({})
        stack.callback(postgres.stop)
        settings = {"AKIN_EMBEDDER": "local", "AKIN_STORE": postgres.address()}
        replica = stack.enter_context(akin_server(None, **settings)).address
        with akin_server(AKIN_EMBEDDER="local") as sqlite:
            addresses = {"sqlite": sqlite.address, "postgres": replica}
            contest = Contest(addresses, folder, options.seconds, options.rounds)
            result["import"] = contest.import_items(items)
            settle_all(addresses.values())
            for callers in CALLERS:
                result[f"upsert, {callers} callers"] = contest.write(callers)
            for address in addresses.values():
                import_users(address, items)
            settle_all(addresses.values())
            reads = make_reads(folder, items)
            for name, generator in reads.items():
                result[name] = contest.read(generator)
        others = [
            stack.enter_context(akin_server(None, **settings)).address
            for _ in range(options.replicas - 1)
        ]
        settle_all(others)
        result["replicas"] = compare_replicas(
            reads["read by item"], [replica, *others], options.seconds, options.rounds
        )
    return result


def make_reads(folder: Path, items: Sequence[Result]) -> dict[str, Generator]:
    """The load of reads by item and by user."""
    item_ids = random.Random(3).sample([item["id"] for item in items], min(len(items), 5_000))
    by_item = (pb.RecommendSimilarRequest(item_id=item_id, limit=LIMIT) for item_id in item_ids)
    by_user = (pb.RecommendSimilarRequest(user_id=f"user{n}", limit=LIMIT) for n in range(USERS))
    return {
        name: Generator.built(
            folder / name.replace(" ", "-"),
            (request.SerializeToString() for request in requests),
            f"-method={SERVICE}/RecommendSimilar",
        )
        for name, requests in (("read by item", by_item), ("read by user", by_user))
    }


def show(result: Mapping[str, Any]) -> None:
    """Prints the result for people."""
    print(f"{result['items']:,} items, {result['rounds']} rounds of {result['seconds']:g} s\n")
    print(f"{'':20}{'SQLite':^34}{'PostgreSQL':^34}")
    print(f"{'':20}" + f"{'calls/s':>12}{'p50 ms':>11}{'p99 ms':>11}" * 2)
    for name, row in result.items():
        if isinstance(row, dict) and "ratio_p50" in row:
            cells = "".join(
                f"{row[store]['calls_per_second']:>12,.0f}"
                f"{row[store]['p50_ms']:>11.2f}{row[store]['p99_ms']:>11.2f}"
                for store in ("sqlite", "postgres")
            )
            print(f"{name:20}{cells}   calls {row['ratio_calls']}, p50 {row['ratio_p50']} times")
    print(f"\nimport, items/s: {result['import']}")
    print(f"reads of replicas, calls/s: {result['replicas']}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=63_000)
    parser.add_argument("--texts", type=Path, help="JSON lines as `akin import` takes them")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = measure(options)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
