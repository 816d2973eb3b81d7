"""Two checkouts of Akin next to each other: imports, reads and writes in turns.

    PYTHONPATH=tests python bench/versions.py BEFORE [--after FOLDER] [--items N] [--rounds R]
                             [--seconds S] [--json FILE]

BEFORE is a checkout of another commit (`git worktree add FOLDER COMMIT`). A server of each checkout
runs with the embedded model and an empty folder. They take turns under the same load, and the order
changes in each round, so that both see the same noise. Shown are the ratios of AFTER to BEFORE, and
the CPU time of the server process for each item or call, which depends less on other work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import akin
from akin.v1 import recommender_service_pb2 as pb
from postgres import SERVICE, WRITES_PER_SECOND, import_part, make_texts, settle_all
from servers import Server, akin_server
from throughput import Generator

ROOT = Path(__file__).resolve().parents[1]
PARTS = 8
LIMIT = 10
QUERIES = 5_000
READ_CALLERS = {"item": (1, 4, 16), "text": (1, 16)}
WRITE_CALLERS = (1, 16)
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

Result = dict[str, Any]


@contextmanager
def run_checkout(folder: Path) -> Iterator[Server]:
    """Run the server of a checkout."""
    before = Path.cwd()
    os.chdir(folder)  # Python looks for modules there first
    try:
        server = akin_server(
            AKIN_EMBEDDER="local",
            PYTHONPATH=os.pathsep.join(map(str, (folder, folder / "clients/python"))),
        )
        with server as running:
            os.chdir(before)
            yield running
    finally:
        os.chdir(before)


def read_cpu_seconds(process_id: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


@dataclass
class Turns:
    """Rates and CPU times of the servers, round by round."""

    servers: Mapping[str, Server]
    rates: dict[str, list[float]] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def run(self, rounds: int, load: Callable[[str, int], tuple[float, int]]) -> Result:
        """Run a load on both servers in each round.

        Args:
            rounds: their number.
            load: takes an address and the number of the round; returns the rate and the count.
        """
        for number in range(rounds):
            names = list(self.servers)
            for name in names if number % 2 else reversed(names):
                server = self.servers[name]
                began = read_cpu_seconds(server.process_id)
                rate, count = load(server.address, number)
                spent = read_cpu_seconds(server.process_id) - began
                self.rates.setdefault(name, []).append(rate)
                self.cpu_seconds[name] = self.cpu_seconds.get(name, 0.0) + spent
                self.counts[name] = self.counts.get(name, 0) + count
        ratios = [
            after / before
            for before, after in zip(self.rates["before"], self.rates["after"], strict=True)
        ]
        return {
            **{f"{name}, per second": round(median(rates)) for name, rates in self.rates.items()},
            "ratio": round(median(ratios), 3),
            **{
                f"{name}, CPU ms": round(1_000 * self.cpu_seconds[name] / self.counts[name], 3)
                for name in self.servers
            },
        }


@dataclass(frozen=True)
class VersionBench:
    """The loads that both servers get."""

    servers: Mapping[str, Server]
    folder: Path
    rounds: int
    seconds: float

    def import_items(self, items: Sequence[Result]) -> Result:
        """Import all items, a part in each round."""
        size = -(-len(items) // PARTS)

        def load(address: str, number: int) -> tuple[float, int]:
            part = items[number * size : (number + 1) * size]
            return len(part) / import_part(address, part), len(part)

        return Turns(self.servers).run(PARTS, load)

    def read(self, requests: Sequence[pb.RecommendSimilarRequest], callers: int) -> Result:
        """Ask for recommendations."""
        messages = (request.SerializeToString() for request in requests)
        generator = Generator.built(
            self.folder / "reads", messages, f"-method={SERVICE}/RecommendSimilar"
        )
        return self._call(lambda _: generator, callers)

    def write(self, callers: int) -> Result:
        """Upsert new items."""

        def build(number: int) -> Generator:
            texts = islice(
                make_texts(100 * callers + number), int(WRITES_PER_SECOND * self.seconds)
            )
            messages = (
                pb.UpsertItemRequest(
                    item=akin.item(f"new-{callers}-{number}-{n}", text)
                ).SerializeToString()
                for n, text in enumerate(texts)
            )
            return Generator.built(
                self.folder / "writes", messages, f"-method={SERVICE}/UpsertItem"
            )

        return self._call(build, callers)

    def _call(self, build: Callable[[int], Generator], callers: int) -> Result:
        def load(address: str, number: int) -> tuple[float, int]:
            stats = build(number).run(address, self.seconds, concurrency=callers)
            return stats["calls_per_second"], stats["calls"]

        return Turns(self.servers).run(self.rounds, load)


def make_reads(items: Sequence[Result]) -> dict[str, list[pb.RecommendSimilarRequest]]:
    """Return the requests of each source."""
    item_ids = random.Random(3).sample([item["id"] for item in items], min(len(items), QUERIES))
    texts = islice(make_texts(4), QUERIES)
    return {
        "item": [pb.RecommendSimilarRequest(item_id=id_, limit=LIMIT) for id_ in item_ids],
        "text": [pb.RecommendSimilarRequest(text=text, limit=LIMIT) for text in texts],
    }


def measure(options: argparse.Namespace) -> Iterator[tuple[str, Result]]:
    """Yield each figure once it is measured."""
    items = [
        {"id": f"item{n:06}", "text": text, "attributes": {"number": n}}
        for n, text in enumerate(islice(make_texts(1), options.items))
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        checkouts = {"before": options.before.resolve(), "after": options.after.resolve()}
        servers = {
            name: stack.enter_context(run_checkout(checkout))
            for name, checkout in checkouts.items()
        }
        bench = VersionBench(servers, folder, options.rounds, options.seconds)
        yield "import", bench.import_items(items)
        settle_all(server.address for server in servers.values())
        for source, requests in make_reads(items).items():
            for callers in READ_CALLERS[source]:
                yield f"by {source}, {callers} callers", bench.read(requests, callers)
        for callers in WRITE_CALLERS:
            yield f"upsert, {callers} callers", bench.write(callers)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("--after", type=Path, default=ROOT)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result: Result = {}
    for name, figures in measure(options):
        print(f"{name:22}{figures}", flush=True)
        result[name] = figures
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
